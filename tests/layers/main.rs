//! Layers and models on a graph: values and gradients against the oracle, random layers against its numbers, and
//! what is refused.

mod attention;
mod attention_cache;
mod attention_known;
mod augment;
mod batch_normalization;
mod bits;
mod cells;
mod config;
mod config_layers;
mod contract;
mod convolution;
mod crops;
mod edges;
mod embedding;
mod extremes;
mod image_training;
mod keras;
mod known;
mod layer_normalization;
mod margins;
mod masking;
mod merge;
mod models;
mod nested;
mod noise;
mod normalization;
mod norms;
mod pooling;
#[path = "../recording/mod.rs"]
mod recording;
mod rectifier;
mod recurrent;
mod recurrent_f64;
mod recurrent_known;
mod recurrent_options;
#[path = "../reference/mod.rs"]
mod reference;
mod rotary;
mod rules;
mod sequence_dropout;
mod shape;
mod small;
#[path = "../support/mod.rs"]
mod support;
mod training;

use reference::compare::{assert_close, widen};
use reference::gradient::{STEP, numeric_vjp};
use reference::random::{box_muller, threefry2x32, uniform, unit_interval};
use support::{run, says};
use wgrad::autodiff::gradients;
use wgrad::graph::{Graph, Value};
use wgrad::layers::{Context, Outputs, Random};
use wgrad::prelude::*;
use wgrad::{Error, Result};

/// What a graph of layers gave: outputs, and the gradients of Σ output · upstream over all outputs.
struct Step {
    outputs: Vec<Tensor>,
    /// The gradient of each input, with no elements for ids.
    inputs: Vec<Vec<f32>>,
    weights: Vec<Vec<f32>>,
}

impl Step {
    /// The elements of the first output.
    fn y(&self) -> &[f32] {
        self.outputs[0].as_f32().unwrap()
    }
}

/// The upstream gradient of output `i`: numbers from 0.25 to 1.75.
fn upstream(i: usize, len: usize) -> Vec<f32> {
    uniform(90 + i as u32, len, 0.25, 1.75)
}

/// Builds a graph on inputs and weights, and runs it with its gradients; `words` are seed and step. Upstream gradients
/// are those of [`upstream`] if none is `given`.
fn differentiate(
    inputs: &[&Tensor],
    weights: &[&Tensor],
    words: [u32; 2],
    given: Option<&Tensor>,
    build: impl FnOnce(&mut Graph, &[Value], &[Value]) -> Result<Vec<Value>>,
) -> Result<Step> {
    let mut g = Graph::new();
    let mut feeds: Vec<(String, Tensor)> = Vec::new();
    let mut values = |g: &mut Graph, prefix: &str, tensors: &[&Tensor]| -> Vec<Value> {
        let feed = |(i, t): (usize, &&Tensor)| {
            feeds.push((format!("{prefix}{i}"), (*t).clone()));
            g.input(&format!("{prefix}{i}"), t.shape(), t.dtype())
        };
        tensors.iter().enumerate().map(feed).collect()
    };
    let (x, w) = (values(&mut g, "x", inputs), values(&mut g, "w", weights));
    let outputs = build(&mut g, &x, &w)?;
    let mut total = g.constant(0.0);
    for (i, &y) in outputs.iter().enumerate() {
        g.output(&format!("y{i}"), y);
        let shape = g.shape(y).clone();
        let name = format!("upstream{i}");
        let dy = g.input(&name, &shape, DType::F32);
        let drawn = Tensor::f32(&shape, upstream(i, shape.len()))?;
        feeds.push((name, given.cloned().unwrap_or(drawn)));
        let weighted = g.mul(y, dy)?;
        let sum = g.sum(weighted, &[], false)?;
        total = g.add(total, sum)?;
    }
    let of_f32 = |v: &&Value| g.ty(**v).dtype == DType::F32;
    let wrt: Vec<Value> = x.iter().filter(of_f32).chain(&w).copied().collect();
    let numbers: Vec<bool> = x.iter().map(|v| g.ty(*v).dtype == DType::F32).collect();
    for (i, d) in gradients(&mut g, total, &wrt)?.into_iter().enumerate() {
        g.output(&format!("d{i}"), d);
    }
    let fed: Vec<(&str, &Tensor)> = feeds.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let mut given = vec![("seed", words[0]), ("step", words[1])];
    given.retain(|(name, _)| g.step_params().iter().any(|p| p.name == *name));
    let mut read = run(&g, &fed, &given)?;
    let grads = read.split_off(outputs.len());
    let mut grads = grads.iter().map(|t| t.as_f32().unwrap().to_vec());
    let inputs = numbers.iter().map(|&f32| if f32 { grads.next().unwrap() } else { vec![] });
    Ok(Step { outputs: read, inputs: inputs.collect(), weights: grads.collect() })
}

/// One layer alone. With `random` (stream, seed, step) it trains.
fn layer_step(
    layer: &dyn Layer,
    inputs: &[&Tensor],
    weights: &[&Tensor],
    random: Option<[u32; 3]>,
) -> Result<Step> {
    masked_step(layer, inputs, weights, &[], random)
}

/// As [`layer_step`], with the mask of each input.
fn masked_step(
    layer: &dyn Layer,
    inputs: &[&Tensor],
    weights: &[&Tensor],
    masks: &[Option<Tensor>],
    random: Option<[u32; 3]>,
) -> Result<Step> {
    let [stream, seed, step] = random.unwrap_or_default();
    differentiate(inputs, weights, [seed, step], None, |g, x, w| {
        let random = match random {
            Some(_) => {
                let [seed, step] = ["seed", "step"].map(|word| g.step_param(word, DType::U32));
                Some(Random { seed: seed?, step: step?, stream })
            }
            None => None,
        };
        let mut given = Vec::new();
        for mask in masks {
            given.push(mask.clone().map(|mask| g.constant_tensor(mask)).transpose()?);
        }
        let declared = layer.outputs(&samples(inputs))?;
        let cx = Context::new("layer", x).tensors(&layer.weights(&samples(inputs)), w);
        let outputs = layer.apply(g, &cx.training_with(random).with_masks(&given))?;
        assert_eq!(outputs.values.len(), declared.len(), "{layer:?} says its outputs");
        for (&y, ty) in outputs.values.iter().zip(&declared) {
            assert_eq!(&g.shape(y).dims()[1..], ty.shape.dims(), "{layer:?} says its shape");
        }
        Ok(outputs.values)
    })
}

/// A model with its weights as inputs. With `random` (seed, step) it trains.
fn model_step(
    model: &Model,
    inputs: &[&Tensor],
    weights: &[&Tensor],
    random: Option<[u32; 2]>,
) -> Result<Step> {
    differentiate(inputs, weights, random.unwrap_or_default(), None, |g, x, w| {
        let random = match random {
            Some(_) => Some((g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?)),
            None => None,
        };
        model.apply(g, x, w, random)
    })
}

/// The sample shapes of batches.
fn samples(batches: &[&Tensor]) -> Vec<Shape> {
    batches.iter().map(|t| Shape::from(&t.shape().dims()[1..])).collect()
}

fn refs(tensors: &[Tensor]) -> Vec<&Tensor> {
    tensors.iter().collect()
}

/// Numbers of this shape in [-2, 2), none of them close to 0.
fn numbers(shape: &[usize], seed: u32) -> Tensor {
    let mut x = uniform(seed, shape.iter().product(), -2.0, 2.0);
    x.iter_mut().filter(|x| x.abs() < 0.05).for_each(|x| *x += 0.1);
    Tensor::f32(shape, x).unwrap()
}

fn wide(tensor: &Tensor) -> Vec<f64> {
    widen(tensor.as_f32().unwrap())
}

/// The uniform numbers that a layer draws.
fn drawn(len: usize, [stream, seed, step]: [u32; 3]) -> Vec<f64> {
    let draw = |i| unit_interval(threefry2x32([seed, stream], [i, step], 13)[0]);
    (0..len as u32).map(draw).collect()
}

/// The normal numbers that a layer draws.
fn normal(len: usize, [stream, seed, step]: [u32; 3]) -> Vec<f64> {
    let draw = |i| threefry2x32([seed, stream], [i, step], 13).map(unit_interval);
    (0..len as u32).map(draw).map(|[u, v]| box_muller(u, v)).collect()
}

/// Checks the gradients of a layer by every operand against finite differences of `f`, the layer in f64.
#[track_caller]
fn check_gradients(
    name: &str,
    step: &Step,
    operands: &[&Tensor],
    f: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) {
    let at: Vec<Vec<f64>> = operands.iter().map(|t| wide(t)).collect();
    assert_close(name, step.y(), &f(&at), 1e-6, 1e-6);
    let dy = widen(&upstream(0, step.y().len()));
    let got: Vec<&Vec<f32>> =
        step.inputs.iter().filter(|d| !d.is_empty()).chain(&step.weights).collect();
    assert_eq!(got.len(), operands.len(), "{name}: a gradient per operand");
    for (i, got) in got.into_iter().enumerate() {
        let of_operand = |x: &[f64]| {
            let mut all = at.clone();
            all[i] = x.to_vec();
            f(&all)
        };
        let want = numeric_vjp(of_operand, &at[i], &dy, STEP);
        // Sums of up to some hundred products near 1.
        assert_close(&format!("{name}: gradient {i}"), got, &want, 1e-5, 1e-5);
    }
}

/// The error that keeps a model of this one layer from being built; it names the layer `name`.
#[track_caller]
fn refusal(name: &str, layer: impl Layer + 'static, sample: &[usize]) -> Error {
    let error = Sequential::new(sample).add(layer).build().unwrap_err();
    says(&error, &[&format!("layer `{name}`")]);
    error
}

/// Mean and variance.
fn moments(x: &[f32]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    (mean, x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n)
}

/// Asserts that a layer draws other numbers at another step, seed or stream, and the same again.
#[track_caller]
fn draws_anew(layer: &dyn Layer, x: &Tensor) {
    let step = |random| layer_step(layer, &[x], &[], Some(random)).unwrap();
    let base = step([1, 2, 3]);
    assert_eq!(base.y(), step([1, 2, 3]).y(), "{layer:?} repeats");
    for other in [[4, 2, 3], [1, 4, 3], [1, 2, 4]] {
        assert_ne!(base.y(), step(other).y(), "{layer:?} with {other:?}");
    }
}
