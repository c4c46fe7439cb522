//! Attention against values, gradients and training steps recorded from Keras 3 (`tests/known/README.md`).

use super::known::{Whole, all_floats, floats, list, trains_as_recorded, whole};
use super::*;
use anyhow::{Context as _, ensure};
use recording::{agree, data, text};
use serde_json::{Value as Json, json};
use wgrad::layers::ModelLoader;

fn recorded() -> anyhow::Result<Json> {
    Ok(serde_json::from_str(include_str!("../known/attention.json"))?)
}

/// Layers of KerasHub itself.
fn of_hub() -> anyhow::Result<Json> {
    Ok(serde_json::from_str(include_str!("../known/transformer.json"))?)
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
    ensure!(entries.len() >= 55, "{} layers are recorded", entries.len());
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

/// Layers as KerasHub has them, with masks of pairs too.
#[test]
fn layers_agree_with_keras_hub() -> anyhow::Result<()> {
    let all = of_hub()?;
    let entries = list(&all, "layers")?;
    ensure!(entries.len() >= 17, "{} layers are recorded", entries.len());
    for entry in entries {
        check(entry)?;
    }
    // The control: another mask is noticed.
    let mut other = entries[1].clone();
    other["pairs"][0]["data"][1] = (1.0 - data(&other["pairs"][0])?[1]).into();
    ensure!(std::panic::catch_unwind(|| check(&other)).is_err(), "a wrong mask passed");
    Ok(())
}

/// The table of an entry: one that scores by its own rows, by a second table, or up to a bound.
fn table(entry: &Json) -> anyhow::Result<LayerHandle> {
    let config = &entry["layer"]["config"];
    let mut table = ReversibleEmbedding::new(7, 4).tie_weights(config["tie_weights"] == true);
    if let Some(cap) = config["logit_soft_cap"].as_f64() {
        table = table.logit_soft_cap(cap as f32);
    }
    Ok(LayerHandle::new(table))
}

#[test]
fn a_table_embeds_and_scores_as_in_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    let entries = list(&all, "tied")?;
    ensure!(entries.len() >= 3, "{} tables are recorded", entries.len());
    for entry in entries {
        let name = text(entry, "name")?;
        let (ids, tables) = (whole(&entry["ids"])?, all_floats(entry, "weights")?);
        let (x, words) = (input([5]), table(entry)?);
        let scores = x.then(&words).then(Activation::Tanh).then(&words);
        let model = Model::new([&x], [&scores])?;
        ensure!(model.weights().count() == if name == "untied" { 2 } else { 1 }, "{name}: tables");
        let dy = floats(&entry["upstream"])?;
        let build = |g: &mut Graph, x: &[Value], w: &[Value]| model.apply(g, x, w, None);
        let got = differentiate(&[&ids], &refs(&tables), [0; 2], Some(&dy), build)?;
        agree(name, got.y(), &wide(&floats(&entry["y"])?), 1e-5, 2e-6);
        for (got, want) in got.weights.iter().zip(&all_floats(entry, "weight_grads")?) {
            agree(&format!("{name}, gradient"), got, &wide(want), 1e-5, 2e-6);
        }
    }
    Ok(())
}

#[test]
fn twenty_training_steps_agree_with_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    let entries = list(&all, "training")?;
    ensure!(entries.len() >= 55, "{} layers are trained", entries.len());
    entries.iter().try_for_each(|entry| trains(&all, entry))
}

#[test]
fn twenty_training_steps_agree_with_keras_hub() -> anyhow::Result<()> {
    let all = of_hub()?;
    let entries = list(&all, "training")?;
    ensure!(entries.len() >= 17, "{} layers are trained", entries.len());
    entries.iter().try_for_each(|entry| trains(&all, entry))
}

/// A layer on numbers, or on ids whose embedding masks.
fn trains(all: &Json, entry: &Json) -> anyhow::Result<()> {
    let count = entry["inputs"].as_u64().context("inputs")? as usize;
    let of_ids = text(entry, "x")? == "ids";
    let x = input(if of_ids { Shape::from([5]) } else { [5, 4].into() });
    let h = if of_ids { x.then(Embedding::new(7, 4).mask_zero(true)) } else { x.clone() };
    let (mut given, mut samples) = (vec![h.clone(); count], vec![Shape::from([5, 4]); count]);
    // Whether there is a mask of pairs, or how many.
    let pairs = entry["pairs"].as_u64().unwrap_or_else(|| (entry["pairs"] == true).into());
    for _ in 0..pairs {
        given.push(merge(Dot::new([2, 2]), [&h, &h]));
        samples.push([5, 5].into());
    }
    let layer = layer(entry, &samples)?;
    let own = merge(layer.clone(), &given);
    let as_wide = layer.layer().outputs(&samples)?[0].shape == [5, 4].into();
    let y = if as_wide { merge(Add, [&h, &own]) } else { own };
    let y = if of_ids { y } else { y.then(Flatten) };
    let read = if of_ids { whole(&all["ids"])? } else { floats(&all["x"])? };
    let data = TensorDataset::new(read, floats(&all[text(entry, "y")?])?)?;
    let model = Model::new([&x], [&y.then(Dense::new(2))])?;
    trains_as_recorded(&model, entry, &data, Loss::MeanSquaredError)
}

#[test]
fn a_table_trains_as_in_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    let data = TensorDataset::new(whole(&all["words"])?, whole(&all["next_words"])?)?;
    let entries = list(&all, "language")?;
    ensure!(entries.len() >= 3, "{} tables are trained", entries.len());
    for entry in entries {
        let (x, words) = (input([5]), table(entry)?);
        let y = x.then(&words).then(TransformerDecoder::new(7, 2)).then(&words);
        let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
        trains_as_recorded(&Model::new([&x], [&y])?, entry, &data, loss)?;
    }
    Ok(())
}
