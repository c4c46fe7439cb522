//! Recurrent layers against values, gradients and training steps recorded from Keras 3 (`tests/known/README.md`).

use super::known::{Whole, all_floats, floats, list, trains_as_recorded, whole};
use super::*;
use anyhow::{Context as _, ensure};
use recording::{agree, text};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use wgrad::layers::ModelLoader;

fn recorded() -> anyhow::Result<Json> {
    Ok(serde_json::from_str(include_str!("../known/recurrent.json"))?)
}

/// Keras' cells in its loop.
fn cells() -> anyhow::Result<Json> {
    Ok(serde_json::from_str(include_str!("../known/cells.json"))?)
}

/// The layer that Keras wrote.
fn layer(entry: &Json) -> anyhow::Result<Arc<dyn Layer>> {
    from_keras(&entry["layer"], json!([null, 5, 4]))
}

fn from_keras(layer: &Json, input: Json) -> anyhow::Result<Arc<dyn Layer>> {
    let stack = json!({ "class_name": "Sequential",
        "config": { "layers": [layer], "build_input_shape": input } });
    let model = ModelLoader::new().from_value(&stack)?;
    Ok(model.layers()[0].layer.clone())
}

/// All outputs of a layer for these inputs and weights.
fn outputs(
    g: &mut Graph,
    layer: &dyn Layer,
    [x, w]: [&[Value]; 2],
    mask: Option<&Tensor>,
) -> Result<Vec<Value>> {
    let mut masks = vec![None; x.len()];
    if let Some(mask) = mask {
        masks[0] = Some(g.constant_tensor(mask.clone())?);
    }
    let sizes: Vec<Shape> = x.iter().map(|v| g.shape(*v).dims()[1..].into()).collect();
    let cx = Context::new("layer", x).tensors(&layer.weights(&sizes), w);
    Ok(layer.apply(g, &cx.with_masks(&masks))?.values)
}

#[test]
fn values_and_gradients_agree_with_keras() -> anyhow::Result<()> {
    let all = [recorded()?, cells()?];
    let entries = [list(&all[0], "layers")?, list(&all[1], "layers")?];
    ensure!(entries[0].len() >= 56, "{} layers are recorded", entries[0].len());
    ensure!(entries[1].len() >= 16, "{} cells are recorded", entries[1].len());
    for entry in entries.into_iter().flatten() {
        let name = text(entry, "name")?;
        let (layer, x, w) =
            (layer(entry)?, all_floats(entry, "inputs")?, all_floats(entry, "weights")?);
        let (want, dy) = (all_floats(entry, "outputs")?, floats(&entry["upstream"])?);
        let mask = entry.get("mask").map(floats).transpose()?;
        // Sums of some ten products near 1 over five steps, each rounded to 6e-8.
        let check = |what: &str, got: &[f32], want: &Tensor| {
            agree(&format!("{name}, {what}"), got, &wide(want), 1e-5, 2e-6);
        };
        let got = differentiate(&refs(&x), &refs(&w), [0; 2], Some(&dy), |g, x, w| {
            Ok(outputs(g, &*layer, [x, w], mask.as_ref())?[..1].to_vec())
        })?;
        check("output", got.y(), &want[0]);
        let grads =
            [all_floats(entry, "input_grads")?, all_floats(entry, "weight_grads")?].concat();
        let found: Vec<&Vec<f32>> = got.inputs.iter().chain(&got.weights).collect();
        ensure!(found.len() == grads.len(), "{name}: {} gradients", grads.len());
        for (i, (got, want)) in found.into_iter().zip(&grads).enumerate() {
            check(&format!("gradient {i}"), got, want);
        }
        // Further outputs: states, the other direction.
        let mut g = Graph::new();
        let mut feeds: Vec<(String, &Tensor)> = Vec::new();
        let values = |g: &mut Graph, kind: &str, tensors: &'_ [Tensor]| -> Vec<Value> {
            (0..tensors.len())
                .map(|i| g.input(&format!("{kind}{i}"), tensors[i].shape(), DType::F32))
                .collect()
        };
        let (xs, ws) = (values(&mut g, "x", &x), values(&mut g, "w", &w));
        feeds.extend(x.iter().enumerate().map(|(i, t)| (format!("x{i}"), t)));
        feeds.extend(w.iter().enumerate().map(|(i, t)| (format!("w{i}"), t)));
        let all = outputs(&mut g, &*layer, [&xs, &ws], mask.as_ref())?;
        ensure!(all.len() == want.len(), "{name}: {} outputs", all.len());
        all.iter().enumerate().for_each(|(i, &v)| g.output(&format!("y{i}"), v));
        let fed: Vec<(&str, &Tensor)> = feeds.iter().map(|(n, t)| (n.as_str(), *t)).collect();
        for (i, (got, want)) in run(&g, &fed, &[])?.iter().zip(&want).enumerate() {
            check(&format!("output {i} of evaluation"), got.as_f32()?, want);
        }
    }
    Ok(())
}

/// Each layer with each option, on numbers or on ids whose embedding masks; a table of ids alone.
#[test]
fn twenty_training_steps_agree_with_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    let entries = list(&all, "training")?;
    ensure!(entries.len() >= 67, "{} layers are trained", entries.len());
    for entry in entries {
        trains(&all, entry)?;
    }
    // The control: a layer that forgets its states is noticed.
    let stateful = |entry: &&Json| entry["layer"]["config"]["stateful"] == true;
    ensure!(entries.iter().filter(stateful).count() >= 5, "stateful layers are recorded");
    let mut forgets = entries.iter().find(stateful).context("a stateful layer")?.clone();
    forgets["layer"]["config"]["stateful"] = false.into();
    let noticed = std::panic::catch_unwind(|| trains(&all, &forgets));
    ensure!(noticed.is_err(), "a layer without its states passed");
    // The same for cells.
    let all = cells()?;
    let entries = list(&all, "training")?;
    ensure!(entries.len() >= 16, "{} cells are trained", entries.len());
    for entry in entries {
        trains(&all, entry)?;
    }
    Ok(())
}

/// A layer on numbers, or on ids of an embedding.
fn trains(all: &Json, entry: &Json) -> anyhow::Result<()> {
    let count = |key: &str| entry[key].as_u64().context("a count").map(|n| n as usize);
    let of_ids = text(entry, "x")? == "ids";
    let x = input(if of_ids { Shape::from([5]) } else { [5, 4].into() });
    let mask_zero = entry["mask_zero"] == true;
    let table: LayerHandle = match entry.get("table") {
        Some(table) => LayerHandle::new(Whole(from_keras(table, json!([null, 5]))?)),
        None => Embedding::new(7, 4).mask_zero(mask_zero).into(),
    };
    let h = if of_ids { x.then(table) } else { x.clone() };
    let states = (0..count("states")?).map(|_| h.then(Flatten).then(Dense::new(4)));
    let given: Vec<SymbolicTensor> = std::iter::once(h.clone()).chain(states).collect();
    let own = match entry["layer"].is_null() {
        true => h,
        false => merge(LayerHandle::new(Whole(layer(entry)?)), &given),
    };
    let outputs = |i| own.output(i).then(Flatten);
    let y = match (text(entry, "y")?, count("outputs")?) {
        ("steps", _) => own,
        (_, 1) => outputs(0),
        (_, n) => merge(Concatenate::default(), &(0..n).map(outputs).collect::<Vec<_>>()),
    };
    let read = if of_ids { whole(&all["ids"])? } else { floats(&all["x"])? };
    let samples = TensorDataset::new(read, floats(&all[text(entry, "y")?])?)?;
    let model = Model::new([&x], [&y.then(Dense::new(2))])?;
    trains_as_recorded(&model, entry, &samples, Loss::MeanSquaredError)
}
