//! The perceptron learns AND, OR and NOT: a step activation, trained by the perceptron rule on the device.
//!
//! `cargo run --release --example gates`

mod common;

use anyhow::Result;
use clap::Parser;
use std::process::ExitCode;
use wgrad::prelude::*;

/// Trains a perceptron on each gate and prints its truth table, weights and bias.
#[derive(Parser)]
struct Args {
    /// Seed of the initial weights and of the order of rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the truth table.
    #[arg(long, default_value_t = 20)]
    epochs: usize,
    /// Write SVG instead of PNG (the gates have no picture).
    #[arg(long)]
    svg: bool,
}

/// A gate's name, its inputs and its outputs.
type Gate = (&'static str, &'static [&'static [f32]], &'static [f32]);

const GATES: [Gate; 3] = [
    ("AND", &[&[0.0, 0.0], &[0.0, 1.0], &[1.0, 0.0], &[1.0, 1.0]], &[0.0, 0.0, 0.0, 1.0]),
    ("OR", &[&[0.0, 0.0], &[0.0, 1.0], &[1.0, 0.0], &[1.0, 1.0]], &[0.0, 1.0, 1.0, 1.0]),
    ("NOT", &[&[0.0], &[1.0]], &[1.0, 0.0]),
];

/// The rule w ← w + rate (t - y) x is descent on (y - t)² at half that rate.
const RATE: f32 = 0.1;

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let (mut rows, mut right) = (0, 0);
    for (name, inputs, outputs) in GATES {
        let width = inputs[0].len();
        let x = Tensor::f32([inputs.len(), width], inputs.concat())?;
        let y = Tensor::f32([outputs.len(), 1], outputs)?;
        let data = TensorDataset::new(x, y)?;
        let start = Initializer::Uniform { low: -0.5, high: 0.5 };
        let perceptron = Dense::new(1)
            .activation(Activation::Perceptron)
            .kernel_initializer(start)
            .bias_initializer(start);
        let compile = Compile::new(Sgd::new(RATE / 2.0), Loss::MeanSquaredError).seed(args.seed);
        let mut trainer = Sequential::new([width]).add(perceptron).compile(&device, compile)?;
        let fit = Fit::new().epochs(args.epochs).batch_size(1).verbose(Verbose::Silent);
        trainer.fit(&data, fit)?;

        println!("\n{name}");
        let predicted = trainer.predict(&data)?;
        for ((input, &target), &output) in inputs.iter().zip(outputs).zip(predicted.as_f32()?) {
            let shown: Vec<String> = input.iter().map(ToString::to_string).collect();
            println!("  {} -> {output}  (target {target})", shown.join(" "));
            rows += 1;
            right += usize::from(output == target);
        }
        for (weight, values) in trainer.weights()? {
            println!("  {weight} = {:.3?}", values.as_f32()?);
        }
    }
    let correct = right as f64 / rows as f64;
    println!("\nresult: correct={correct:.4} seconds={:.2}", clock.seconds());
    Ok(())
}
