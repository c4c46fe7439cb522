//! `Sequential` and `Trainer` on small data: what they learn, what they compute against f64, and what
//! stays the same to the last bit.

mod activity;
mod batches;
mod buckets;
mod bytes;
mod constraints;
mod equivalence;
mod labels;
mod layers;
mod learning;
mod models;
mod on_batch;
mod options;
mod outputs;
mod own;
mod positions;
mod predictor;
mod profile;
#[path = "../reference/mod.rs"]
mod reference;
mod resnet50;
mod scaling;
mod seeds;
mod session;
mod session_models;
mod session_shared;
mod stream;
mod submits;
#[path = "../support/mod.rs"]
mod support;

use reference::compare::widen;
use reference::{elementwise, linalg, random};
use std::path::Path;
use support::device;
use wgrad::prelude::*;

/// Cross-entropy of integer labels on logits.
const SPARSE: Loss = Loss::SparseCategoricalCrossentropy { from_logits: true };

/// 400 training and 200 test digits.
fn digits() -> (TensorDataset, TensorDataset) {
    load_mnist(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")).unwrap()
}

/// `n` points of `width` numbers in [-1, 1), labelled by which of `classes` fixed directions they
/// point along most.
fn points(n: usize, width: usize, classes: usize) -> TensorDataset {
    let x = random::uniform(1, n * width, -1.0, 1.0);
    let directions = widen(&random::uniform(2, width * classes, -1.0, 1.0));
    let scores = linalg::matmul(&widen(&x), &directions, 1, n, classes, width, false, false);
    let labels: Vec<u32> =
        reference::softmax::argmax(&scores, classes).into_iter().map(|c| c as u32).collect();
    TensorDataset::new(Tensor::f32([n, width], x).unwrap(), Tensor::u32([n], labels).unwrap())
        .unwrap()
}

/// `n` points with `outputs` smooth targets each.
fn curve(n: usize, width: usize, outputs: usize) -> TensorDataset {
    let x = random::uniform(3, n * width, -1.0, 1.0);
    let target = |i: usize| (2.0 * x[i / outputs * width] + (i % outputs) as f32).sin();
    let y: Vec<f32> = (0..n * outputs).map(target).collect();
    TensorDataset::new(Tensor::f32([n, width], x).unwrap(), Tensor::f32([n, outputs], y).unwrap())
        .unwrap()
}

/// `width` inputs, one hidden layer of 8 tanh units, `outputs` logits.
fn small(width: usize, outputs: usize) -> Sequential {
    Sequential::new([width])
        .add(Dense::new(8).activation(Activation::Tanh))
        .add(Dense::new(outputs))
}

fn compile(model: &Sequential, compile: Compile) -> Trainer {
    model.compile(device(), compile).unwrap()
}

/// All parameters, in order.
fn tensors(trainer: &Trainer) -> Vec<Tensor> {
    trainer.weights().unwrap().into_iter().map(|(_, tensor)| tensor).collect()
}

/// The bytes of all parameters.
fn bits(trainer: &Trainer) -> Vec<u8> {
    tensors(trainer).iter().flat_map(|t| t.data().bytes().to_vec()).collect()
}

/// All parameters as one list.
fn flat(trainer: &Trainer) -> Vec<f32> {
    tensors(trainer).iter().flat_map(|t| t.as_f32().unwrap().to_vec()).collect()
}

/// The numbers of each parameter in f64.
fn wide(trainer: &Trainer) -> Vec<Vec<f64>> {
    tensors(trainer).iter().map(|t| widen(t.as_f32().unwrap())).collect()
}

/// The features in f64, scaled.
fn features(data: &TensorDataset) -> Vec<f64> {
    let scale = f64::from(data.scale());
    match data.x().data() {
        Data::F32(v) => v.iter().map(|&v| f64::from(v) * scale).collect(),
        Data::U8(v) => v.iter().map(|&v| f64::from(v) * scale).collect(),
        other => unreachable!("datasets refuse {:?} features", other.dtype()),
    }
}

fn labels(data: &TensorDataset) -> Vec<usize> {
    data.y().as_u32().unwrap().iter().map(|&l| l as usize).collect()
}

/// A stack of dense layers in f64: `weights` are kernel, bias, kernel, bias, ...; `activations` one per layer.
fn forward(weights: &[Vec<f64>], activations: &[&str], x: &[f64], n: usize) -> Vec<f64> {
    let mut x = x.to_vec();
    for (pair, activation) in weights.chunks_exact(2).zip(activations) {
        let (inputs, units) = (x.len() / n, pair[1].len());
        x = linalg::matmul(&x, &pair[0], 1, n, units, inputs, false, false);
        x = linalg::add_bias(&x, &pair[1]);
        x.iter_mut().for_each(|x| *x = elementwise::unary(activation, &[], *x));
    }
    x
}
