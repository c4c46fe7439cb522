//! XOR, the problem that one layer cannot solve: 2-4-1 sigmoid units, squared error, full-batch descent.
//!
//! `cargo run --release --example xor` draws the loss in `out/xor.png`.

mod common;

use anyhow::Result;
use clap::Parser;
use std::process::ExitCode;
use wgrad::plot::Curves;
use wgrad::prelude::*;

/// Trains a network of one hidden layer on XOR.
#[derive(Parser)]
struct Args {
    /// Seed of the initial weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Full-batch steps.
    #[arg(long, default_value_t = 5000)]
    epochs: usize,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

const X: [f32; 8] = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
const Y: [f32; 4] = [0.0, 1.0, 1.0, 0.0];

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let data = TensorDataset::new(Tensor::f32([4, 2], X)?, Tensor::f32([4, 1], Y)?)?;
    let model = Sequential::new([2])
        .add(Dense::new(4).activation(Activation::Sigmoid))
        .add(Dense::new(1).activation(Activation::Sigmoid));
    println!("{}\n", model.summary()?);

    let compile = Compile::new(Sgd::new(1.0), Loss::MeanSquaredError).seed(args.seed);
    let mut trainer = model.compile(&device, compile)?;
    let fit = Fit::new().epochs(args.epochs).full_batch().shuffle(false).verbose(Verbose::Silent);
    let history = trainer.fit(&data, fit)?;
    let losses = history.get("loss");
    for (epoch, loss) in losses.iter().enumerate().step_by(1000) {
        println!("epoch {epoch:>5}  loss {loss:.6}");
    }

    let loss = trainer.evaluate(&data)?.loss;
    let predicted = trainer.predict(&data)?;
    let mut correct = 0;
    println!();
    for ((input, target), output) in X.chunks(2).zip(Y).zip(predicted.as_f32()?) {
        println!("{} xor {} -> {output:.4}  (target {target})", input[0], input[1]);
        correct += usize::from((*output > 0.5) == (target > 0.5));
    }
    let path = common::picture("xor", args.svg);
    let curve = Curves::new("XOR: 2-4-1 sigmoid, full batch").x("epoch").y("mean squared error");
    curve.log_y().values("loss", &losses).save(&path)?;
    println!("\nwrote {}", path.display());
    let (correct, seconds) = (correct as f64 / 4.0, clock.seconds());
    println!("result: loss={loss:.6} correct={correct:.4} seconds={seconds:.2}");
    Ok(())
}
