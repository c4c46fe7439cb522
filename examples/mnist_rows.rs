//! An LSTM reads the 28 rows of each MNIST image, one after the other, and then says which digit it was.
//!
//! `cargo run --release --example mnist_rows` gets the data unless a folder is named.

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use wgrad::prelude::*;

/// Trains a recurrent network on the rows of MNIST's images.
#[derive(Parser)]
struct Args {
    /// Folder with the four IDX files, plain or gzip [default: data/mnist, and what it lacks is downloaded]
    #[arg(long, env = "WGRAD_DATA")]
    data: Option<PathBuf>,
    /// Passes over the training images.
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    /// Images per step.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Units of the recurrent layer.
    #[arg(long, default_value_t = 128)]
    units: usize,
    /// A gated recurrent unit in place of the long short-term memory.
    #[arg(long)]
    gru: bool,
    /// Adam's first learning rate; it falls to zero by the end.
    #[arg(long, default_value_t = 0.003, allow_negative_numbers = true)]
    learning_rate: f32,
    /// Seed of initial weights and shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let (train, test) = common::mnist(args.data.as_deref())?;

    let reader: LayerHandle = match args.gru {
        true => Gru::new(args.units).into(),
        false => Lstm::new(args.units).into(),
    };
    let model = Sequential::new([28, 28]).add(reader).add(Dense::new(10));
    println!("{}\n", model.summary()?);

    let steps = (args.epochs * train.len().div_ceil(args.batch.max(1))) as u64;
    let rate = CosineDecay::new(args.learning_rate, steps.max(1));
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(Adam::new(rate), loss).clip(Clip::GlobalNorm(1.0));
    let mut trainer =
        model.compile(&device, compile.metrics([Metric::Accuracy]).seed(args.seed))?;
    let fit = Fit::new().epochs(args.epochs).batch_size(args.batch).validation_data(&test);
    let history = trainer.fit(&train, fit)?;

    let result = trainer.evaluate(&test)?;
    let accuracy = result.get("accuracy").context("accuracy was asked for")?;
    let seconds: f64 = history.epochs.iter().map(|e| e.duration.as_secs_f64()).sum();
    println!("\ntest accuracy {:.2} %, loss {:.4}\n", 100.0 * accuracy, result.loss);
    println!(
        "result: test_accuracy={accuracy:.4} test_loss={:.4} epochs={} seconds_per_epoch={:.2}",
        result.loss,
        args.epochs,
        seconds / args.epochs as f64,
    );
    Ok(())
}
