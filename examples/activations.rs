//! Plots each activation function and its derivative, all values computed on the device: the functions as a
//! graph, their derivatives as its gradients.
//!
//! `cargo run --release --example activations` draws them in `out/activations.png`.

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use std::process::ExitCode;
use std::sync::Arc;
use wgrad::autodiff::gradients;
use wgrad::gpu::{Executor, StepBlock, Store, block_on};
use wgrad::graph::{Graph, Value};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::plot::{Curves, Figure};
use wgrad::prelude::*;

/// The functions are evaluated at this many points from -END to END. The number is odd, so that 0 is one.
const POINTS: usize = 1001;
const END: f32 = 6.0;

const ACTIVATIONS: [Activation; 17] = [
    Activation::Linear,
    Activation::Step,
    Activation::ClippedLinear { low: -1.0, high: 1.0 },
    Activation::HardSigmoid,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Softsign,
    Activation::Softplus,
    Activation::Relu,
    Activation::LeakyRelu { negative_slope: 0.2 },
    Activation::Elu { alpha: 1.0 },
    Activation::Selu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Softmax,
    Activation::LogSoftmax,
];

/// Plots the activation functions.
#[derive(Parser)]
struct Args {
    /// Accepted as by every example; nothing here is random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Accepted as by every example; nothing here is trained.
    #[arg(long, default_value_t = 0)]
    epochs: usize,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}\n", device.info());
    let step = 2.0 * END / (POINTS - 1) as f32;
    let x: Vec<f32> = (0..POINTS).map(|i| (i as f32 - (POINTS / 2) as f32) * step).collect();
    let curves = evaluate(&device, &x)?;

    println!(
        "{:<16}{:>8} {:>8} {:>8}   {:<17}   range of f′",
        "activation", "f(-6)", "f(0)", "f(6)", "range of f"
    );
    let mut figure = Figure::new("Activation functions and their derivatives").columns(4);
    for (activation, (f, derivative)) in ACTIVATIONS.iter().zip(&curves) {
        println!(
            "{:<16}{:>8.4} {:>8.4} {:>8.4}   {}   {}",
            activation.name(),
            f[0],
            f[POINTS / 2],
            f[POINTS - 1],
            range(f),
            range(derivative)
        );
        let title = match activation {
            Activation::Softmax | Activation::LogSoftmax => {
                format!("{}([x, 0, 0])₁", activation.name())
            }
            _ => activation.name().into(),
        };
        let panel = Curves::new(title).x("x").panel_size(300, 210);
        figure = figure.panel(panel.series("f(x)", &x, f).series("f′(x)", &x, derivative));
    }
    let path = common::picture("activations", args.svg);
    figure.save(&path)?;
    println!("\nwrote {}", path.display());
    println!("result: activations={} seconds={:.2}", ACTIVATIONS.len(), clock.seconds());
    Ok(())
}

/// Each activation at `x`, and its derivative there, in one run of one plan.
fn evaluate(device: &Device, x: &[f32]) -> Result<Vec<(Vec<f32>, Vec<f32>)>> {
    let mut graph = Graph::new();
    let input = graph.input("x", [x.len(), 1], DType::F32);
    let first = graph.input("first", [1, 3], DType::F32);
    for activation in &ACTIVATIONS {
        let y = apply(&mut graph, activation, input, first)?;
        // The sum's gradient with respect to each x is the derivative at that x: points do not mix.
        let sum = graph.sum(y, &[], false)?;
        let derivative = gradients(&mut graph, sum, &[input])?;
        graph.output(activation.name(), y);
        graph.output(&format!("{}'", activation.name()), derivative[0]);
    }
    let plan = Plan::compile(&graph, &Passes::default(), device.caps())?;
    let mut store = Store::new(device);
    store.upload("x", &Tensor::f32([x.len(), 1], x.to_vec())?)?;
    store.upload("first", &Tensor::f32([1, 3], [1.0, 0.0, 0.0])?)?;
    let mut executor = Executor::new(device, Arc::new(plan), &store)?;
    executor.run(&[StepBlock::default()])?;
    let read = |name: &str| -> Result<Vec<f32>> {
        Ok(block_on(executor.read(name))?.as_f32().context("activations are f32")?.to_vec())
    };
    ACTIVATIONS.iter().map(|a| Ok((read(a.name())?, read(&format!("{}'", a.name()))?))).collect()
}

/// The activation of `x`, of shape [points, 1]. Those of whole rows are shown as the first element of their row
/// [x, 0, 0]; `first` is [[1, 0, 0]].
fn apply(graph: &mut Graph, activation: &Activation, x: Value, first: Value) -> Result<Value> {
    if !matches!(activation, Activation::Softmax | Activation::LogSoftmax) {
        return Ok(activation.apply(graph, x)?);
    }
    let rows = graph.mul(x, first)?;
    let y = activation.apply(graph, rows)?;
    let masked = graph.mul(y, first)?;
    Ok(graph.sum(masked, &[1], true)?)
}

/// The least and the greatest value.
fn range(values: &[f32]) -> String {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    format!("{low:>7.4} ..{high:>8.4}")
}
