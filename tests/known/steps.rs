//! Training step by step against Keras 3: `steps.json`.

use super::reference::compare::compare;
use super::*;
use wgrad::data::TensorDataset;
use wgrad::optim::Clip;
use wgrad::optim::schedule::{
    CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay,
    PolynomialDecay,
};
use wgrad::train::{Compile, Fit, Verbose};

fn recorded() -> Result<Json> {
    Ok(serde_json::from_str(include_str!("steps.json"))?)
}

/// The numbers of a plain list.
pub fn list(entry: &Json, key: &str) -> Result<Vec<f64>> {
    let values = entry[key].as_array().with_context(|| format!("no list {key:?}"))?;
    values.iter().map(|v| v.as_f64().with_context(|| format!("{v} in {key}"))).collect()
}

/// The optimizer of an entry and its loss, compiled.
fn settings(entry: &Json) -> Result<Compile> {
    let loss = match text(entry, "loss")? {
        "MeanSquaredError" => Loss::MeanSquaredError,
        "SparseCategoricalCrossentropy" => {
            Loss::SparseCategoricalCrossentropy { from_logits: true }
        }
        other => bail!("no run with {other:?}"),
    };
    let c = &entry["config"];
    let plain = match text(entry, "optimizer")? {
        "SGD" => Compile::new(sgd(c)?, loss),
        "RMSprop" => Compile::new(rmsprop(c)?, loss),
        "Adagrad" => Compile::new(adagrad(c)?, loss),
        "Adam" => Compile::new(adam(c)?, loss),
        "AdamW" => Compile::new(adamw(c)?, loss),
        other => bail!("no optimizer {other:?}"),
    };
    let bound = |key: &str| c[key].as_f64().map(|bound| bound as f32);
    let clips = [
        bound("clipvalue").map(Clip::Value),
        bound("clipnorm").map(Clip::Norm),
        bound("global_clipnorm").map(Clip::GlobalNorm),
    ];
    let clipped = clips.into_iter().flatten().fold(plain, Compile::clip);
    let steps = c["gradient_accumulation_steps"].as_u64().unwrap_or(1);
    Ok(clipped.gradient_accumulation_steps(steps))
}

/// The loss of each of `steps` steps: a `fit` of one batch is a step, and the optimizer's state stays.
fn losses(all: &Json, entry: &Json, steps: usize) -> Result<Vec<f32>> {
    let data = &all["data"];
    let y = match text(entry, "loss")? {
        "MeanSquaredError" => floats(&data["y"])?,
        _ => classes(&data["labels"])?,
    };
    let data_set = TensorDataset::new(floats(&data["x"])?, y)?;
    let batch = number(data, "batch")? as usize;
    let starts = (0..data_set.len()).step_by(batch);
    let batches: Vec<TensorDataset> =
        starts.map(|s| data_set.rows(s, batch)).collect::<Result<_, _>>()?;
    let weights = data["weights"].as_array().context("weights")?;
    let weights: Vec<Tensor> = weights.iter().map(floats).collect::<Result<_>>()?;

    let tanh = |units| Dense::new(units).activation(Activation::Tanh);
    let model = Sequential::new([6]).add(tanh(10)).add(tanh(8)).add(Dense::new(3));
    let mut trainer = model.compile(device(), settings(entry)?)?;
    trainer.set_weights(&weights)?;
    let mut losses = Vec::new();
    for batch in batches.iter().cycle().take(steps) {
        let history =
            trainer.fit(batch, Fit::new().full_batch().shuffle(false).verbose(Verbose::Silent))?;
        losses.push(history.get("loss")[0] as f32);
    }
    ensure!(trainer.steps() == steps as u64, "{} steps", trainer.steps());
    Ok(losses)
}

#[test]
fn two_hundred_steps_of_every_optimizer_agree_with_keras() -> Result<()> {
    let all = recorded()?;
    let mut kinds = std::collections::BTreeSet::new();
    for entry in entries(&all, "runs")? {
        let name = format!("{} {}", text(&entry, "name")?, text(&entry, "loss")?);
        let want = list(&entry, "losses")?;
        ensure!(want.len() == 200, "{name}: {} steps", want.len());
        // Roundings of 6e-8 grow as the parameters drift apart; the recorded runs are 1e-2 from each other.
        agree(&name, &losses(&all, &entry, want.len())?, &want, 1e-4, 0.0);
        kinds.insert(text(&entry, "optimizer")?.to_owned());
    }
    ensure!(kinds.len() == 5, "recorded: {kinds:?}");
    Ok(())
}

#[test]
fn clipped_and_accumulated_gradients_agree_with_keras() -> Result<()> {
    let all = recorded()?;
    let mut count = 0;
    for part in ["clipping", "accumulation"] {
        for entry in entries(&all, part)? {
            let name = format!("{part} {}", text(&entry, "name")?);
            let want = list(&entry, "losses")?;
            agree(&name, &losses(&all, &entry, want.len())?, &want, 1e-4, 0.0);
            count += 1;
        }
    }
    ensure!(count == 13, "{count} runs are recorded");
    Ok(())
}

/// The schedule of an entry.
fn schedule(entry: &Json) -> Result<Schedule> {
    let c = &entry["config"];
    let n = |key: &str| Ok::<f32, anyhow::Error>(number(c, key)? as f32);
    let steps = |key: &str| c[key].as_u64().with_context(|| format!("no {key}"));
    let flag = |key: &str| c[key] == true;
    let initial = || n("initial_learning_rate");
    Ok(match text(entry, "schedule")? {
        "ExponentialDecay" => {
            let decay = ExponentialDecay::new(initial()?, steps("decay_steps")?, n("decay_rate")?);
            decay.staircase(flag("staircase")).into()
        }
        "InverseTimeDecay" => {
            let decay = InverseTimeDecay::new(initial()?, steps("decay_steps")?, n("decay_rate")?);
            decay.staircase(flag("staircase")).into()
        }
        "PolynomialDecay" => PolynomialDecay::new(initial()?, steps("decay_steps")?)
            .end_learning_rate(n("end_learning_rate")?)
            .power(n("power")?)
            .cycle(flag("cycle"))
            .into(),
        "CosineDecay" => {
            let decay = CosineDecay::new(initial()?, steps("decay_steps")?).alpha(n("alpha")?);
            match steps("warmup_steps")? {
                0 => decay.into(),
                warmup => decay.warmup(n("warmup_target")?, warmup).into(),
            }
        }
        "CosineDecayRestarts" => CosineDecayRestarts::new(initial()?, steps("first_decay_steps")?)
            .t_mul(n("t_mul")?)
            .m_mul(n("m_mul")?)
            .alpha(n("alpha")?)
            .into(),
        "PiecewiseConstantDecay" => {
            let boundaries: Vec<u64> =
                list(c, "boundaries")?.into_iter().map(|b| b as u64).collect();
            let values: Vec<f32> = list(c, "values")?.into_iter().map(|v| v as f32).collect();
            PiecewiseConstantDecay::new(boundaries, values).into()
        }
        other => bail!("no schedule {other:?}"),
    })
}

#[test]
fn schedules_agree_with_keras() -> Result<()> {
    for entry in entries(&recorded()?, "schedules")? {
        let name = format!("{} {}", text(&entry, "schedule")?, entry["config"]);
        let schedule = schedule(&entry)?;
        let at = |step: &f64| schedule.at(*step as u64) as f32;
        let got: Vec<f32> = list(&entry, "steps")?.iter().map(at).collect();
        let want = list(&entry, "values")?;
        // Keras computes in f32, a cosine or a power of which is right to some 1e-6.
        agree(&name, &got, &want, 4e-6, 2e-8);
        let wrong: Vec<f32> = got.iter().map(|r| r * 1.0001).collect();
        ensure!(compare(&name, &wrong, &want, 4e-6, 2e-8).is_err(), "{name}: nothing is noticed");
    }
    Ok(())
}

#[test]
fn a_slightly_wrong_rule_is_noticed() -> Result<()> {
    let all = recorded()?;
    for (name, key, wrong) in
        [("sgd nesterov", "momentum", 0.901), ("adam", "beta_2", 0.998), ("adam", "epsilon", 1e-5)]
    {
        let mut entry =
            entries(&all, "runs")?.into_iter().find(|e| e["name"] == name).context(name)?;
        entry["config"][key] = wrong.into();
        let (got, want) = (losses(&all, &entry, 200)?, list(&entry, "losses")?);
        ensure!(compare(name, &got, &want, 1e-4, 0.0).is_err(), "{name}: {key} {wrong} passes");
    }
    Ok(())
}
