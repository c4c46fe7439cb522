//! Training step by step against Keras 3: `steps.json`.

use super::reference::compare::compare;
use super::*;
use wgrad::data::TensorDataset;
use wgrad::train::{Compile, Fit};

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
    Ok(match text(entry, "optimizer")? {
        "SGD" => Compile::new(sgd(c)?, loss),
        "RMSprop" => Compile::new(rmsprop(c)?, loss),
        "Adagrad" => Compile::new(adagrad(c)?, loss),
        "Adam" => Compile::new(adam(c)?, loss),
        "AdamW" => Compile::new(adamw(c)?, loss),
        other => bail!("no optimizer {other:?}"),
    })
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
        let history = trainer.fit(batch, Fit::new().batch_size(batch.len()).shuffle(false))?;
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
        // Roundings of 6e-8 grow as the parameters part; the recorded runs are 1e-2 from each other.
        agree(&name, &losses(&all, &entry, want.len())?, &want, 1e-4, 0.0);
        kinds.insert(text(&entry, "optimizer")?.to_owned());
    }
    ensure!(kinds.len() == 5, "recorded: {kinds:?}");
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
