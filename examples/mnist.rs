//! A dense classifier on MNIST: 784-128-10, ReLU, Adam, softmax cross-entropy.
//!
//! `cargo run --release --example mnist` gets the data unless a folder is named; `cargo xtask mnist` looks for
//! a GPU adapter too.

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use wgrad::prelude::*;

/// Trains a dense network on MNIST.
#[derive(Parser)]
struct Args {
    /// Folder with the four IDX files, plain or gzip [default: data/mnist, and what it lacks is downloaded]
    #[arg(long, env = "WGRAD_DATA")]
    data: Option<PathBuf>,
    /// Passes over the training images.
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    /// Images per step.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Units of each hidden layer.
    #[arg(long, value_delimiter = ',', default_value = "128")]
    hidden: Vec<usize>,
    /// Adam's learning rate.
    #[arg(long, default_value_t = 0.001, allow_negative_numbers = true)]
    learning_rate: f32,
    /// Seed of initial weights and shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    let began = Instant::now();
    common::report(run(&Args::parse(), began))
}

fn run(args: &Args, began: Instant) -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let (train, test) = common::mnist(args.data.as_deref())?;

    let mut model = Sequential::new([28, 28]).add(Flatten);
    for &units in &args.hidden {
        model = model.add(Dense::new(units).activation(Activation::Relu));
    }
    let model = model.add(Dense::new(10));
    println!("{}\n", model.summary()?);

    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(Adam::new(args.learning_rate), loss);
    let compile = compile.metrics([Metric::Accuracy]).seed(args.seed);
    let mut trainer = model.compile(&device, compile)?;

    let before_fit = began.elapsed();
    let fit = Fit::new().epochs(args.epochs).batch_size(args.batch).validation_data(&test);
    let history = trainer.fit(&train, fit)?;

    let result = trainer.evaluate(&test)?;
    let accuracy = result.get("accuracy").context("accuracy was asked for")?;
    println!("\ntest accuracy {:.2} %, loss {:.4}\n", 100.0 * accuracy, result.loss);
    show_digits(&mut trainer, &test.take(test.len().min(10))?)?;

    let seconds: f64 = history.epochs.iter().map(|e| e.duration.as_secs_f64()).sum();
    println!(
        "result: test_accuracy={accuracy:.4} test_loss={:.4} epochs={} seconds_per_epoch={:.2} first_step_seconds={:.2}",
        result.loss,
        args.epochs,
        seconds / args.epochs as f64,
        (before_fit + history.first_step.unwrap_or_default()).as_secs_f64(),
    );
    Ok(())
}

/// Prints each image as text, five in a row, with its predicted class and its label.
fn show_digits(trainer: &mut Trainer, images: &TensorDataset) -> Result<()> {
    let logits = trainer.predict(images)?;
    let Data::U8(pixels) = images.x().data() else { anyhow::bail!("MNIST images are bytes") };
    let labels = images.y().as_u32()?;
    let classes = wgrad::metrics::classes(&logits, 0.0)?;
    let shades: Vec<char> = " .:-=+*#%@".chars().collect();
    for five in (0..images.len()).collect::<Vec<_>>().chunks(5) {
        // Every second row: a character is about twice as tall as wide.
        for row in (0..28).step_by(2) {
            let line = |&i: &usize| -> String {
                let pixels = &pixels[i * 784 + row * 28..][..28];
                pixels.iter().map(|&p| shades[usize::from(p) * (shades.len() - 1) / 255]).collect()
            };
            println!("{}", five.iter().map(line).collect::<Vec<_>>().join("  "));
        }
        let caption =
            |&i: &usize| format!("{:<28}", format!("predicted {}, is {}", classes[i], labels[i]));
        println!("{}\n", five.iter().map(caption).collect::<Vec<_>>().join("  "));
    }
    Ok(())
}
