//! 20 steps of training of each layer for images against Keras' recorded losses and moving statistics.

use super::*;
use anyhow::{Context as _, ensure};
use recording::{agree, data, number, text};
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

#[test]
fn each_layer_for_images_trains_as_in_keras() -> anyhow::Result<()> {
    let runs = runs()?;
    ensure!(runs.len() >= 45, "{} are recorded", runs.len());
    for run in &runs {
        let name = text(run, "name")?;
        let model = ModelLoader::new().from_json(&run["model"].to_string());
        let model = model.with_context(|| name.to_owned())?;
        let rate = number(run, "learning_rate")? as f32;
        let compile =
            Compile::new(wgrad::optim::Sgd::new(rate), wgrad::losses::Loss::MeanSquaredError);
        let mut trainer = model.compile(support::device(), compile)?;
        let weights = run["weights"].as_array().context("weights")?;
        let weights = weights.iter().map(tensor).collect::<anyhow::Result<Vec<_>>>()?;
        trainer.set_weights(&weights).with_context(|| name.to_owned())?;
        let samples = TensorDataset::new(tensor(&run["x"])?, tensor(&run["y"])?)?;
        let fit = Fit::new().epochs(20).full_batch().shuffle(false).verbose(Verbose::Silent);
        let history = trainer.fit(&samples, fit)?;
        let got: Vec<f32> = history.get("loss").iter().map(|&v| v as f32).collect();
        let losses = run["losses"].as_array().context("losses")?;
        let want: Vec<f64> = losses.iter().filter_map(Json::as_f64).collect();
        ensure!(want.len() == 20 && want[19] < 0.95 * want[0], "{name}: {want:?}");
        agree(name, &got, &want, 1e-4, 0.0);
        // A rule that does not follow the losses would be noticed.
        let off = want.iter().zip(&want[1..]).any(|(a, b)| (a - b).abs() > 1e-3 * a.abs());
        ensure!(off, "{name}: the losses stay where they are");
        for (state, value) in run["states"].as_object().context("states")? {
            let (_, got) = trainer
                .weights()?
                .into_iter()
                .find(|(own, _)| own.ends_with(state.as_str()))
                .with_context(|| format!("{name}: {state}"))?;
            let want: Vec<f64> = tensor(value)?.as_f32()?.iter().map(|&v| v.into()).collect();
            agree(&format!("{name} {state}"), got.as_f32()?, &want, 1e-4, 1e-6);
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
