//! Layers against values and gradients recorded from Keras 3 (`tests/known/README.md` says how).

use super::*;
use anyhow::{Context, bail, ensure};
use recording::{agree, data, number, text};
use serde_json::{Value as Json, json};
use wgrad::layers::ModelLoader;

fn recorded() -> anyhow::Result<Json> {
    Ok(serde_json::from_str(include_str!("../known/layers.json"))?)
}

pub fn list<'a>(entry: &'a Json, key: &str) -> anyhow::Result<&'a Vec<Json>> {
    entry[key].as_array().with_context(|| format!("no list {key}"))
}

fn shape(tensor: &Json) -> anyhow::Result<Shape> {
    let dims: Option<Vec<usize>> =
        list(tensor, "shape")?.iter().map(|d| Some(d.as_u64()? as usize)).collect();
    Ok(dims.context("extents are whole numbers")?.into())
}

pub fn floats(tensor: &Json) -> anyhow::Result<Tensor> {
    Ok(Tensor::f32(shape(tensor)?, data(tensor)?)?)
}

pub fn all_floats(entry: &Json, key: &str) -> anyhow::Result<Vec<Tensor>> {
    list(entry, key)?.iter().map(floats).collect()
}

pub fn whole(tensor: &Json) -> anyhow::Result<Tensor> {
    let ids: Vec<u32> = data(tensor)?.into_iter().map(|v| v as u32).collect();
    Ok(Tensor::u32(shape(tensor)?, ids)?)
}

/// Twenty training steps of `model` from the recorded weights, on three batches in turn, beside the recorded losses.
pub fn trains_as_recorded(
    model: &Model,
    entry: &Json,
    samples: &TensorDataset,
    loss: Loss,
) -> anyhow::Result<()> {
    let name = text(entry, "name")?;
    let batches = (0..3).map(|i| samples.rows(16 * i, 16)).collect::<Result<Vec<_>>>()?;
    let settings = Compile::new(Adam::new(0.02), loss);
    let mut trainer = model.clone().compile(support::device(), settings)?;
    // States that a layer keeps begin as they are; the recording has none.
    let mut recorded = all_floats(entry, "weights")?.into_iter();
    let weights =
        trainer.weights()?.into_iter().map(|(name, state)| match name.contains("/state_") {
            true => Ok(state),
            false => recorded.next().with_context(|| format!("{name} is recorded")),
        });
    let weights = weights.collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(recorded.next().is_none(), "{name}: more weights are recorded");
    trainer.set_weights(&weights)?;
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
    Ok(())
}

/// A layer that another model has made.
#[derive(Debug)]
pub struct Whole(pub std::sync::Arc<dyn Layer>);

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

    fn batch_size(&self) -> Option<usize> {
        self.0.batch_size()
    }

    fn takes_indices_of(&self, input: usize, inputs: &[Shape]) -> Option<usize> {
        self.0.takes_indices_of(input, inputs)
    }

    fn apply(&self, graph: &mut Graph, cx: &wgrad::layers::Context) -> Result<Outputs> {
        self.0.apply(graph, cx)
    }
}

/// The model of a recorded layer alone: from its config, if that is recorded.
fn model(entry: &Json, x: &[Tensor]) -> anyhow::Result<Model> {
    let Some(config) = entry.get("config") else {
        let inputs: Vec<SymbolicTensor> = samples(&refs(x)).into_iter().map(input).collect();
        return Ok(Model::new(&inputs, [&merge(layer(entry)?, &inputs)])?);
    };
    let dims = x[0].shape().dims()[1..].iter().map(|&d| Json::from(d));
    let batch: Json = std::iter::once(Json::Null).chain(dims).collect();
    let whole = json!({ "class_name": "Sequential",
        "config": { "layers": [config], "build_input_shape": batch } });
    Ok(ModelLoader::new().from_value(&whole)?)
}

fn layer(entry: &Json) -> anyhow::Result<LayerHandle> {
    let name = text(entry, "name")?;
    Ok(match (text(entry, "layer")?, name) {
        ("PReLU", _) => PRelu::new().into(),
        ("Embedding", _) => Embedding::new(4, 3).into(),
        ("Add", _) => Add.into(),
        ("Multiply", _) => Multiply.into(),
        ("Average", _) => Average.into(),
        ("Concatenate", "concatenate, axis -1") => Concatenate::default().into(),
        ("Concatenate", "concatenate, axis 1") => Concatenate::new(1).into(),
        ("Permute", "permute [2, 1]") => Permute::new([2, 1]).into(),
        ("Permute", "permute [3, 1, 2]") => Permute::new([3, 1, 2]).into(),
        ("Subtract", _) => Subtract.into(),
        ("Maximum", _) => Maximum.into(),
        ("Minimum", _) => Minimum.into(),
        ("Dot", "dot, axes 2 and 1") => Dot::new([2, 1]).into(),
        ("Dot", "dot, normalised") => Dot::new([1, 2]).normalize(true).into(),
        ("RepeatVector", _) => RepeatVector::new(3).into(),
        ("Masking", _) => Masking::new(0.5).into(),
        ("TimeDistributed", _) => TimeDistributed::new(Dense::new(2)).into(),
        ("BatchNormalization", name) if name.ends_with("defaults") => {
            BatchNormalization::new().into()
        }
        ("BatchNormalization", _) => BatchNormalization::new().momentum(0.5).epsilon(0.1).into(),
        ("Reshape", "reshape [4, 6]") => Reshape::new([4, 6]).into(),
        ("Reshape", "reshape [-1, 8]") => Reshape::new([-1, 8]).into(),
        other => bail!("no layer {other:?}"),
    })
}

/// Seed and step of a training step.
fn words(g: &mut Graph, trains: bool) -> Result<Option<(Value, Value)>> {
    let mut word = |name| g.step_param(name, DType::U32);
    Ok(if trains { Some((word("seed")?, word("step")?)) } else { None })
}

/// The new states that a training step of one layer gives.
fn new_states(model: &Model, x: &Tensor, w: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut g = Graph::new();
    let input = g.input("x", x.shape(), DType::F32);
    let names: Vec<String> = (0..w.len()).map(|i| format!("w{i}")).collect();
    let values: Vec<Value> =
        names.iter().zip(w).map(|(name, t)| g.input(name, t.shape(), DType::F32)).collect();
    let random = words(&mut g, true)?;
    for (name, value) in model.run(&mut g, &[input], &[], &values, random)?.state {
        g.output(&name, value);
    }
    let fed: Vec<(&str, &Tensor)> =
        names.iter().map(String::as_str).zip(w).chain([("x", x)]).collect();
    run(&g, &fed, &[])
}

#[test]
fn values_and_gradients_agree_with_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    ensure!(list(&all, "layers")?.len() >= 24, "layers are recorded");
    check(list(&all, "layers")?)
}

#[test]
fn layers_for_images_agree_with_keras() -> anyhow::Result<()> {
    let all: Json = serde_json::from_str(include_str!("../known/image_layers.json"))?;
    let entries = list(&all, "layers")?;
    ensure!(entries.len() >= 43, "{} layers are recorded", entries.len());
    check(entries)?;
    // The control: another upstream gradient is noticed.
    let mut other = vec![entries[0].clone()];
    other[0]["upstream"]["data"][0] = 9.0.into();
    ensure!(std::panic::catch_unwind(|| check(&other)).is_err(), "a wrong gradient passed");
    Ok(())
}

/// Statistics after each of some steps of training, the last with a short batch.
#[test]
fn moving_statistics_are_those_of_keras() -> anyhow::Result<()> {
    let all: Json = serde_json::from_str(include_str!("../known/image_layers.json"))?;
    for entry in list(&all, "running")? {
        let mut states: Vec<Tensor> = Vec::new();
        for (x, want) in list(entry, "batches")?.iter().zip(list(entry, "states")?) {
            let x = floats(x)?;
            let model = model(entry, std::slice::from_ref(&x))?;
            let width = model.weights().next().context("gamma")?.1.shape.len();
            if states.is_empty() {
                let of = |v| Tensor::f32([width], vec![v; width]);
                states = vec![of(1.0)?, of(0.0)?, of(0.0)?, of(1.0)?];
            }
            let new = new_states(&model, &x, &states)?;
            let want = want.as_array().context("states")?;
            ensure!(new.len() == 2 && want.len() == 2, "two states");
            for (new, want) in new.iter().zip(want) {
                agree("state", new.as_f32()?, &widen(&data(want)?), 1e-6, 2e-7);
            }
            states.splice(2.., new);
        }
    }
    Ok(())
}

fn check(entries: &[Json]) -> anyhow::Result<()> {
    for entry in entries {
        let name = text(entry, "name")?;
        let ids = text(entry, "layer")? == "Embedding";
        let read = |t: &Json| if ids { whole(t) } else { floats(t) };
        let x = list(entry, "inputs")?.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let w = list(entry, "weights")?.iter().map(floats).collect::<anyhow::Result<Vec<_>>>()?;
        let dy = floats(&entry["upstream"])?;
        let model = model(entry, &x)?;
        ensure!(model.layers()[0].layer.kind() == text(entry, "layer")?, "{name}: its kind");

        let trains = entry["training"] == true;
        let build = |g: &mut Graph, x: &[Value], w: &[Value]| {
            let random = words(g, trains)?;
            Ok(model.run(g, x, &[], w, random)?.values)
        };
        let got = differentiate(&refs(&x), &refs(&w), [0; 2], Some(&dy), build)?;
        if trains {
            let new = new_states(&model, &x[0], &w)?;
            let want = list(entry, "states")?;
            ensure!(new.len() == want.len() && !new.is_empty(), "{name}: states");
            for (new, want) in new.iter().zip(want) {
                agree(&format!("{name}, state"), new.as_f32()?, &widen(&data(want)?), 1e-6, 2e-7);
            }
        }
        let y = &got.outputs[0];
        ensure!(*y.shape() == shape(&entry["y"])?, "{name}: shape {}", y.shape());
        let none = vec![];
        let grads = |key: &str| entry[key].as_array().unwrap_or(&none).clone();
        let want = [vec![entry["y"].clone()], grads("input_grads"), grads("weight_grads")].concat();
        let numbers = got.inputs.iter().filter(|d| !d.is_empty()).map(Vec::as_slice);
        // States have no gradient.
        let trained = grads("weight_grads").len();
        let weights = got.weights.iter().map(Vec::as_slice).take(trained);
        let got: Vec<&[f32]> = std::iter::once(got.y()).chain(numbers).chain(weights).collect();
        ensure!(want.len() == got.len(), "{name}: {} tensors are recorded", want.len());
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            // Sums of a few products of numbers near 1, each rounded to 6e-8. Keras normalises by x · s + (beta - mean · s)
            // with s = gamma / sqrt(variance + epsilon): terms of up to 8, which cancel.
            // Keras finds the places of a resized image in f32, to 2.4e-7 for extents of up to 8, on each of two axes; between
            // neighbours that differ by 4 that is 2e-6.
            let atol = match text(entry, "layer")? {
                layer if layer.ends_with("Normalization") => 2e-6,
                "UpSampling2D" | "Resizing" | "CenterCrop" => 2e-6,
                _ => 2e-7,
            };
            agree(&format!("{name}, {i}"), got, &widen(&data(want)?), 1e-6, atol);
        }
    }
    Ok(())
}

#[test]
fn alpha_dropout_has_the_constants_of_keras() -> anyhow::Result<()> {
    for entry in list(&recorded()?, "alpha_dropout")? {
        let rate = number(entry, "rate")? as f32;
        let ramp: Vec<f32> = (0..400).map(|i| i as f32 / 100.0).collect();
        let x = Tensor::f32([400], ramp)?;
        let step = layer_step(&AlphaDropout::new(rate), &[&x], &[], Some([1, 2, 3]))?;
        let [slope, offset, dropped] =
            ["slope", "offset", "dropped"].map(|key| number(entry, key).unwrap_or(f64::NAN));
        let want: Vec<f64> = (wide(&x).iter().zip(&step.inputs[0]))
            .map(|(x, d)| if *d == 0.0 { dropped } else { slope * x + offset })
            .collect();
        // Keras' slope is the difference of two outputs near 2: good to 1e-7.
        agree(&format!("alpha dropout {rate}"), step.y(), &want, 1e-6, 1e-6);
    }
    Ok(())
}
