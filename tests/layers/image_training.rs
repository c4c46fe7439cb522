//! 20 steps of training of each layer for images against Keras' recorded losses, moving statistics, and weights under
//! penalties and constraints.

use super::*;
use anyhow::{Context as _, ensure};
use recording::{agree, data, number, text};
use reference::compare::compare;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use wgrad::data::TensorDataset;
use wgrad::layers::ModelLoader;
use wgrad::train::{Compile, Fit, Verbose};

fn runs() -> anyhow::Result<Vec<Json>> {
    let all: Json = serde_json::from_str(include_str!("../known/image_training.json"))?;
    all["runs"].as_array().cloned().context("a list")
}

fn tensor(value: &Json) -> anyhow::Result<Tensor> {
    let dims = value["shape"].as_array().context("a shape")?;
    let dims: Vec<usize> = dims.iter().filter_map(|d| Some(d.as_u64()? as usize)).collect();
    Ok(Tensor::f32(dims, data(value)?)?)
}

/// Weights by name.
type Named = Vec<(String, Tensor)>;

/// A name, what is computed, and what is recorded.
type Pair = (String, Vec<f32>, Vec<f64>);

/// The losses of 20 steps, and all weights after them.
fn trained(run: &Json) -> anyhow::Result<(Vec<f32>, Named)> {
    let model = ModelLoader::new().from_json(&run["model"].to_string())?;
    let rate = number(run, "learning_rate")? as f32;
    let compile = Compile::new(wgrad::optim::Sgd::new(rate), wgrad::losses::Loss::MeanSquaredError);
    let mut trainer = model.compile(support::device(), compile)?;
    let weights = run["weights"].as_array().context("weights")?;
    let weights = weights.iter().map(tensor).collect::<anyhow::Result<Vec<_>>>()?;
    trainer.set_weights(&weights)?;
    let samples = TensorDataset::new(tensor(&run["x"])?, tensor(&run["y"])?)?;
    let fit = Fit::new().epochs(20).full_batch().shuffle(false).verbose(Verbose::Silent);
    let history = trainer.fit(&samples, fit)?;
    Ok((history.get("loss").iter().map(|&v| v as f32).collect(), trainer.weights()?))
}

/// Pairs of what `got` has under the recorded names of weights and states, and what is recorded.
fn states(run: &Json, got: &[(String, Tensor)]) -> anyhow::Result<Vec<Pair>> {
    let pair = |(state, value): (&String, &Json)| {
        let found = got.iter().find(|(own, _)| own.ends_with(state.as_str()));
        let (_, found) = found.with_context(|| state.clone())?;
        let want = tensor(value)?.as_f32()?.iter().map(|&v| v.into()).collect();
        Ok((state.clone(), found.as_f32()?.to_vec(), want))
    };
    run["states"].as_object().context("states")?.iter().map(pair).collect()
}

fn losses(run: &Json) -> anyhow::Result<Vec<f64>> {
    let losses = run["losses"].as_array().context("losses")?;
    Ok(losses.iter().filter_map(Json::as_f64).collect())
}

#[test]
fn each_layer_for_images_trains_as_in_keras() -> anyhow::Result<()> {
    let runs = runs()?;
    ensure!(runs.len() >= 60, "{} are recorded", runs.len());
    for run in &runs {
        let name = text(run, "name")?;
        let (got, weights) = trained(run).with_context(|| name.to_owned())?;
        let want = losses(run)?;
        ensure!(want.len() == 20 && want[19] < 0.95 * want[0], "{name}: {want:?}");
        // Some fit their few samples in 20 steps: of a loss near zero, digits of the first one are left alone.
        agree(name, &got, &want, 1e-4, 1e-5 * want[0]);
        // A rule that does not follow the losses would be noticed.
        let off = want.iter().zip(&want[1..]).any(|(a, b)| (a - b).abs() > 1e-3 * a.abs());
        ensure!(off, "{name}: the losses stay where they are");
        for (state, got, want) in states(run, &weights)? {
            agree(&format!("{name} {state}"), &got, &want, 1e-4, 1e-6);
        }
    }
    Ok(())
}

/// The control: without one of its penalties or constraints a layer trains otherwise. Each kind that a convolution has is
/// among them.
#[test]
fn each_penalty_and_constraint_makes_a_difference() -> anyhow::Result<()> {
    let mut kinds = BTreeSet::new();
    for run in &runs()? {
        let config = "/model/config/layers/2/config";
        let rules = run.pointer(config).and_then(Json::as_object).context("a config")?;
        let ends = |key: &str| key.ends_with("_regularizer") || key.ends_with("_constraint");
        for (rule, _) in rules.iter().filter(|(key, value)| ends(key) && !value.is_null()) {
            let name = format!("{} without {rule}", text(run, "name")?);
            let mut bare = run.clone();
            *bare.pointer_mut(&format!("{config}/{rule}")).context("the rule")? = Json::Null;
            let (got, weights) = trained(&bare)?;
            let mut apart = compare(&name, &got, &losses(run)?, 1e-4, 1e-5).is_err();
            for (state, got, want) in states(run, &weights)? {
                apart |= compare(&state, &got, &want, 1e-4, 1e-6).is_err();
            }
            ensure!(apart, "{name} is the same");
            let class = &run["model"]["config"]["layers"][2]["class_name"];
            kinds.insert(format!("{} {rule}", class.as_str().context("a class")?));
        }
    }
    for kind in [
        "Conv2D kernel_regularizer",
        "Conv2D bias_regularizer",
        "Conv2D kernel_constraint",
        "Conv1D activity_regularizer",
        "DepthwiseConv2D depthwise_regularizer",
        "DepthwiseConv2D depthwise_constraint",
        "DepthwiseConv2D activity_regularizer",
        "SeparableConv2D depthwise_regularizer",
        "SeparableConv2D depthwise_constraint",
        "SeparableConv2D bias_regularizer",
        "SeparableConv2D pointwise_regularizer",
        "SeparableConv2D pointwise_constraint",
        "SeparableConv1D activity_regularizer",
        "Conv2DTranspose kernel_constraint",
        "Conv2DTranspose kernel_regularizer",
        "Conv2DTranspose bias_regularizer",
        "Conv3DTranspose activity_regularizer",
    ] {
        ensure!(kinds.contains(kind), "{kind} is not recorded");
    }
    for kind in ["BatchNormalization", "LayerNormalization", "GroupNormalization"] {
        for rule in ["gamma_regularizer", "gamma_constraint", "beta_regularizer", "beta_constraint"]
        {
            ensure!(kinds.contains(&format!("{kind} {rule}")), "{kind} {rule} is not recorded");
        }
    }
    Ok(())
}

/// Each layer that is there for images is among them.
#[test]
fn no_layer_for_images_is_left_out() -> anyhow::Result<()> {
    let kinds: BTreeSet<String> = runs()?
        .iter()
        .filter_map(|run| run["model"]["config"]["layers"][2]["class_name"].as_str())
        .map(str::to_owned)
        .collect();
    for rank in ["1D", "2D", "3D"] {
        for kind in [
            "Conv",
            "MaxPooling",
            "AveragePooling",
            "GlobalMaxPooling",
            "GlobalAveragePooling",
            "AdaptiveAveragePooling",
            "ZeroPadding",
            "Cropping",
            "UpSampling",
        ] {
            ensure!(kinds.contains(&format!("{kind}{rank}")), "{kind}{rank}");
        }
        ensure!(kinds.contains(&format!("Conv{rank}Transpose")), "Conv{rank}Transpose");
    }
    for kind in [
        "DepthwiseConv1D",
        "DepthwiseConv2D",
        "SeparableConv1D",
        "SeparableConv2D",
        "BatchNormalization",
        "LayerNormalization",
        "GroupNormalization",
        "UnitNormalization",
        "SpectralNormalization",
        "Resizing",
        "CenterCrop",
        "Rescaling",
    ] {
        ensure!(kinds.contains(kind), "{kind}");
    }
    Ok(())
}
