//! Attention against values, gradients and training steps recorded from Keras 3 (`tests/known/README.md`).

use super::known::{Whole, all_floats, batches, floats, list, trains_as_recorded};
use super::*;
use anyhow::{Context as _, ensure};
use recording::{agree, data, text};
use serde_json::{Value as Json, json};
use wgrad::layers::ModelLoader;

fn recorded() -> anyhow::Result<Json> {
    Ok(serde_json::from_str(include_str!("../known/attention.json"))?)
}

/// The layer that Keras wrote, for inputs of these samples.
fn layer(entry: &Json, samples: &[Shape]) -> anyhow::Result<LayerHandle> {
    let inputs = samples.iter().enumerate().map(|(i, shape)| {
        let batch: Json =
            std::iter::once(Json::Null).chain(shape.dims().iter().map(|&d| d.into())).collect();
        json!({ "class_name": "InputLayer", "name": format!("x{i}"), "inbound_nodes": [],
            "config": { "name": format!("x{i}"), "batch_shape": batch } })
    });
    let args: Vec<Json> = (0..samples.len())
        .map(|i| {
            json!({ "class_name": "__keras_tensor__",
            "config": { "keras_history": [format!("x{i}"), 0, 0] } })
        })
        .collect();
    let own = json!({ "class_name": entry["layer"]["class_name"], "config": entry["layer"]["config"],
        "name": "own", "inbound_nodes": [{ "args": args, "kwargs": {} }] });
    let names: Vec<Json> = (0..samples.len()).map(|i| json!([format!("x{i}"), 0, 0])).collect();
    let whole = json!({ "class_name": "Functional", "config": { "name": "whole",
        "layers": inputs.chain([own]).collect::<Vec<_>>(),
        "input_layers": names, "output_layers": [["own", 0, 0]] } });
    let model = ModelLoader::new().from_value(&whole)?;
    let found = model.layers().last().context("a layer")?.layer.clone();
    Ok(LayerHandle::new(Whole(found)))
}

#[test]
fn values_and_gradients_agree_with_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    let entries = list(&all, "layers")?;
    ensure!(entries.len() >= 46, "{} layers are recorded", entries.len());
    for entry in entries {
        check(entry)?;
    }
    // The control: another upstream gradient is noticed.
    let mut other = entries[0].clone();
    other["upstream"]["data"][0] = 9.0.into();
    ensure!(std::panic::catch_unwind(|| check(&other)).is_err(), "a wrong gradient passed");
    Ok(())
}

fn check(entry: &Json) -> anyhow::Result<()> {
    let name = text(entry, "name")?;
    let (mut x, w) = (all_floats(entry, "inputs")?, all_floats(entry, "weights")?);
    let (want, dy) = (all_floats(entry, "outputs")?, floats(&entry["upstream"])?);
    let given = x.len();
    let mut masks: Vec<Option<Tensor>> = Vec::new();
    for mask in list(entry, "masks")? {
        masks.push(if mask.is_null() { None } else { Some(floats(mask)?) });
    }
    match entry.get("pairs") {
        Some(Json::Array(_)) => x.extend(all_floats(entry, "pairs")?),
        pairs => x.extend(pairs.map(floats).transpose()?),
    }
    let handle = layer(entry, &samples(&refs(&x)))?;
    let build = |g: &mut Graph, x: &[Value], w: &[Value], output: usize| {
        let layer = handle.layer();
        let sizes: Vec<Shape> = x.iter().map(|v| g.shape(*v).dims()[1..].into()).collect();
        let mut given = Vec::new();
        for mask in &masks {
            given.push(mask.clone().map(|mask| g.constant_tensor(mask)).transpose()?);
        }
        let mut cx = Context::new("layer", x).tensors(&layer.weights(&sizes), w);
        for (name, tensor) in layer.constants(&sizes) {
            let value = g.constant_tensor(tensor)?;
            cx = cx.with_constant(&name, value);
        }
        let outputs = cx.with_masks(&given).apply(g, &handle)?;
        let mut y = outputs.values[output];
        assert_eq!(outputs.mask_of(0), given.first().copied().flatten(), "{name}: its mask");
        if let Some(mask) = outputs.mask_of(output) {
            let dims = [g.shape(mask).dims(), &[1]].concat();
            let rows = g.reshape(mask, dims)?;
            y = g.mul(y, rows)?;
        }
        Ok(vec![y])
    };
    let got = differentiate(&refs(&x), &refs(&w), [0; 2], Some(&dy), |g, x, w| build(g, x, w, 0))?;
    // Sums of some ten products near 1, each rounded to 6e-8, through exponentials and norms.
    let check = |what: &str, got: &[f32], want: &Tensor| {
        agree(&format!("{name}, {what}"), got, &wide(want), 1e-5, 4e-6);
    };
    check("output", got.y(), &want[0]);
    for (i, want) in want.iter().enumerate().skip(1) {
        let got = differentiate(&refs(&x), &refs(&w), [0; 2], None, |g, x, w| build(g, x, w, i))?;
        check(&format!("output {i}"), got.y(), want);
    }
    let grads = all_floats(entry, "input_grads")?;
    ensure!(grads.len() == given && got.inputs.len() == x.len(), "{name}: inputs");
    for (i, (got, want)) in got.inputs.iter().zip(&grads).enumerate() {
        check(&format!("gradient of input {i}"), got, want);
    }
    let grads = all_floats(entry, "weight_grads")?;
    ensure!(grads.len() == got.weights.len(), "{name}: {} weights", grads.len());
    for (i, (got, want)) in got.weights.iter().zip(&grads).enumerate() {
        check(&format!("gradient of weight {i}"), got, want);
    }
    Ok(())
}

/// Blocks as KerasHub has them, with masks of pairs.
#[test]
fn blocks_agree_with_keras_hub() -> anyhow::Result<()> {
    let all: Json = serde_json::from_str(include_str!("../known/transformer.json"))?;
    let entries = list(&all, "layers")?;
    ensure!(entries.len() >= 10, "{} layers are recorded", entries.len());
    for entry in entries {
        check(entry)?;
    }
    // The control: another mask is noticed.
    let mut other = entries[1].clone();
    other["pairs"][0]["data"][1] = (1.0 - data(&other["pairs"][0])?[1]).into();
    ensure!(std::panic::catch_unwind(|| check(&other)).is_err(), "a wrong mask passed");
    Ok(())
}

#[test]
fn a_table_embeds_and_scores_as_in_keras() -> anyhow::Result<()> {
    let entry = &recorded()?["tied"];
    let ids: Vec<u32> = data(&entry["ids"])?.into_iter().map(|v| v as u32).collect();
    let (ids, table) = (Tensor::u32([3, 5], ids)?, floats(&entry["table"])?);
    let words = LayerHandle::new(ReversibleEmbedding::new(7, 4));
    let x = input([5]);
    let scores = x.then(&words).then(Activation::Tanh).then(&words);
    let model = Model::new([&x], [&scores])?;
    ensure!(model.weights().count() == 1, "one table");
    let dy = floats(&entry["upstream"])?;
    let got =
        differentiate(&[&ids], &[&table], [0; 2], Some(&dy), |g, x, w| model.apply(g, x, w, None))?;
    agree("scores", got.y(), &wide(&floats(&entry["y"])?), 1e-5, 2e-6);
    agree("gradient", &got.weights[0], &wide(&floats(&entry["grad"])?), 1e-5, 2e-6);
    Ok(())
}

#[test]
fn twenty_training_steps_agree_with_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    let batches = batches(&all)?;
    let entries = list(&all, "training")?;
    ensure!(entries.len() >= 26, "{} layers are trained", entries.len());
    for entry in entries {
        let count = entry["inputs"].as_u64().context("inputs")? as usize;
        let x = input([5, 4]);
        let own = merge(layer(entry, &vec![[5, 4].into(); count])?, vec![&x; count]);
        let y = merge(Add, [&x, &own]).then(Flatten).then(Dense::new(2));
        trains_as_recorded(&Model::new([&x], [&y])?, entry, &batches)?;
    }
    Ok(())
}
