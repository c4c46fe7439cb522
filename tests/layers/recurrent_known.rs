//! Recurrent layers against values, gradients and training steps recorded from Keras 3 (`tests/known/README.md`).

use super::*;
use anyhow::{Context as _, ensure};
use recording::{agree, data, text};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use wgrad::layers::ModelLoader;

fn recorded() -> anyhow::Result<Json> {
    Ok(serde_json::from_str(include_str!("../known/recurrent.json"))?)
}

fn list<'a>(entry: &'a Json, key: &str) -> anyhow::Result<&'a Vec<Json>> {
    entry[key].as_array().with_context(|| format!("no list {key}"))
}

fn tensor(entry: &Json) -> anyhow::Result<Tensor> {
    let dims = list(entry, "shape")?.iter().map(|d| d.as_u64().map(|d| d as usize));
    let dims: Option<Vec<usize>> = dims.collect();
    Ok(Tensor::f32(dims.context("extents are whole numbers")?, data(entry)?)?)
}

fn tensors(entry: &Json, key: &str) -> anyhow::Result<Vec<Tensor>> {
    list(entry, key)?.iter().map(tensor).collect()
}

/// The layer that Keras wrote.
fn layer(entry: &Json) -> anyhow::Result<Arc<dyn Layer>> {
    let stack = json!({ "class_name": "Sequential",
        "config": { "layers": [entry["layer"]], "build_input_shape": [null, 5, 4] } });
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
    let all = recorded()?;
    let entries = list(&all, "layers")?;
    ensure!(entries.len() >= 48, "{} layers are recorded", entries.len());
    for entry in entries {
        let name = text(entry, "name")?;
        let (layer, x, w) = (layer(entry)?, tensors(entry, "inputs")?, tensors(entry, "weights")?);
        let (want, dy) = (tensors(entry, "outputs")?, tensor(&entry["upstream"])?);
        let mask = entry.get("mask").map(tensor).transpose()?;
        // Sums of some ten products near 1 over five steps, each rounded to 6e-8.
        let check = |what: &str, got: &[f32], want: &Tensor| {
            agree(&format!("{name}, {what}"), got, &wide(want), 1e-5, 2e-6);
        };
        let got = differentiate(&refs(&x), &refs(&w), [0; 2], Some(&dy), |g, x, w| {
            Ok(outputs(g, &*layer, [x, w], mask.as_ref())?[..1].to_vec())
        })?;
        check("output", got.y(), &want[0]);
        let grads = [tensors(entry, "input_grads")?, tensors(entry, "weight_grads")?].concat();
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

#[test]
fn twenty_training_steps_agree_with_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    let data_set = TensorDataset::new(tensor(&all["x"])?, tensor(&all["y"])?)?;
    let batches: Vec<TensorDataset> =
        (0..3).map(|i| data_set.rows(16 * i, 16)).collect::<Result<_>>()?;
    let entries = list(&all, "training")?;
    ensure!(entries.len() >= 25, "{} layers are trained", entries.len());
    for entry in entries {
        let name = text(entry, "name")?;
        let made = layer(entry)?;
        let handle = LayerHandle::new(Whole(made));
        let model = Sequential::new([5, 4]).add(handle).add(Flatten).add(Dense::new(2));
        let settings = Compile::new(Adam::new(0.02), Loss::MeanSquaredError);
        let mut trainer = model.compile(support::device(), settings)?;
        trainer.set_weights(&tensors(entry, "weights")?)?;
        let mut losses = Vec::new();
        for batch in batches.iter().cycle().take(20) {
            let fit = Fit::new().full_batch().shuffle(false).verbose(Verbose::Silent);
            losses.push(trainer.fit(batch, fit)?.get("loss")[0] as f32);
        }
        let want = data(&json!({ "shape": [20], "data": entry["losses"] }))?;
        agree(name, &losses, &widen(&want), 1e-4, 0.0);
        // The controls: losses change, and a thousandth is noticed.
        ensure!(losses[0] != losses[18], "{name}: nothing is learned");
        let wrong: Vec<f32> = losses.iter().map(|loss| loss * 1.001).collect();
        let noticed = reference::compare::compare(name, &wrong, &widen(&want), 1e-4, 0.0);
        ensure!(noticed.is_err(), "{name}: nothing is noticed");
    }
    Ok(())
}

/// A layer that another model has made.
#[derive(Debug)]
struct Whole(Arc<dyn Layer>);

impl Layer for Whole {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.0.output_shape(inputs)
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<wgrad::layers::WeightSpec> {
        self.0.weights(inputs)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        self.0.apply(graph, cx)
    }
}
