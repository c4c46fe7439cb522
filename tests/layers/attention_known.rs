//! Attention against values, gradients and training steps recorded from Keras 3 (`tests/known/README.md`).

use super::*;
use anyhow::{Context as _, ensure};
use recording::{agree, data, text};
use serde_json::{Value as Json, json};
use wgrad::layers::ModelLoader;

fn recorded() -> anyhow::Result<Json> {
    Ok(serde_json::from_str(include_str!("../known/attention.json"))?)
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
    let (mut x, w) = (tensors(entry, "inputs")?, tensors(entry, "weights")?);
    let (want, dy) = (tensors(entry, "outputs")?, tensor(&entry["upstream"])?);
    let given = x.len();
    let mut masks: Vec<Option<Tensor>> = Vec::new();
    for mask in list(entry, "masks")? {
        masks.push(if mask.is_null() { None } else { Some(tensor(mask)?) });
    }
    x.extend(entry.get("pairs").map(tensor).transpose()?);
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
    let grads = tensors(entry, "input_grads")?;
    ensure!(grads.len() == given && got.inputs.len() == x.len(), "{name}: inputs");
    for (i, (got, want)) in got.inputs.iter().zip(&grads).enumerate() {
        check(&format!("gradient of input {i}"), got, want);
    }
    let grads = tensors(entry, "weight_grads")?;
    ensure!(grads.len() == got.weights.len(), "{name}: {} weights", grads.len());
    for (i, (got, want)) in got.weights.iter().zip(&grads).enumerate() {
        check(&format!("gradient of weight {i}"), got, want);
    }
    Ok(())
}

#[test]
fn a_table_embeds_and_scores_as_in_keras() -> anyhow::Result<()> {
    let entry = &recorded()?["tied"];
    let ids: Vec<u32> = data(&entry["ids"])?.into_iter().map(|v| v as u32).collect();
    let (ids, table) = (Tensor::u32([3, 5], ids)?, tensor(&entry["table"])?);
    let words = LayerHandle::new(ReversibleEmbedding::new(7, 4));
    let x = input([5]);
    let scores = x.then(&words).then(Activation::Tanh).then(&words);
    let model = Model::new([&x], [&scores])?;
    ensure!(model.weights().count() == 1, "one table");
    let dy = tensor(&entry["upstream"])?;
    let got =
        differentiate(&[&ids], &[&table], [0; 2], Some(&dy), |g, x, w| model.apply(g, x, w, None))?;
    agree("scores", got.y(), &wide(&tensor(&entry["y"])?), 1e-5, 2e-6);
    agree("gradient", &got.weights[0], &wide(&tensor(&entry["grad"])?), 1e-5, 2e-6);
    Ok(())
}

#[test]
fn twenty_training_steps_agree_with_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    let data_set = TensorDataset::new(tensor(&all["x"])?, tensor(&all["y"])?)?;
    let batches: Vec<TensorDataset> =
        (0..3).map(|i| data_set.rows(16 * i, 16)).collect::<Result<_>>()?;
    let entries = list(&all, "training")?;
    ensure!(entries.len() >= 26, "{} layers are trained", entries.len());
    for entry in entries {
        let name = text(entry, "name")?;
        let count = entry["inputs"].as_u64().context("inputs")? as usize;
        let x = input([5, 4]);
        let own = merge(layer(entry, &vec![[5, 4].into(); count])?, vec![&x; count]);
        let y = merge(Add, [&x, &own]).then(Flatten).then(Dense::new(2));
        let settings = Compile::new(Adam::new(0.02), Loss::MeanSquaredError);
        let mut trainer = Model::new([&x], [&y])?.compile(support::device(), settings)?;
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
struct Whole(std::sync::Arc<dyn Layer>);

impl Layer for Whole {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        self.0.check_inputs(count)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.0.output_shape(inputs)
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<wgrad::graph::TensorType>> {
        self.0.outputs(inputs)
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<wgrad::layers::WeightSpec> {
        self.0.weights(inputs)
    }

    fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        self.0.constants(inputs)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        self.0.apply(graph, cx)
    }
}
