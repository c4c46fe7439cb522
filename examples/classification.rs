//! Binary classification of made-up features, with validation, curves and a single prediction; from probabilities and
//! from logits.
//!
//! `cargo run --release --example classification` draws accuracy and loss in `out/classification.png`.

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use std::process::ExitCode;
use wgrad::data::{Classification, Split, make_classification, train_test_split};
use wgrad::plot::{Curves, Figure};
use wgrad::prelude::*;

/// Trains a classifier on `make_classification`.
#[derive(Parser)]
struct Args {
    /// Seed of the data, the split, the initial weights and the shuffling.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passes over the training data.
    #[arg(long, default_value_t = 50)]
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
    println!("adapter: {}", device.info());
    let options = Classification { seed: args.seed, ..Classification::default() };
    let data = make_classification(&Classification { n_samples: 1000, n_features: 20, ..options })?;
    let (train, test) =
        train_test_split(&data, &Split { test_size: 0.2, seed: args.seed, ..Split::default() })?;
    println!("{} samples to train on, {} to test on", train.len(), test.len());

    let (probabilities, mut trainer) = trained(args, &device, &train, false)?;
    let result = trainer.evaluate(&test)?;
    let accuracy = result.get("accuracy").context("accuracy was asked for")?;
    println!("test accuracy {accuracy:.4}, loss {:.4}", result.loss);
    let one = test.take(1)?;
    let p = trainer.predict(&one)?.as_f32()?[0];
    println!("the first test sample: probability {p:.4} of class 1, is {}", one.y().as_u32()?[0]);

    let (logits, mut trainer) = trained(args, &device, &train, true)?;
    let from_logits = trainer.evaluate(&test)?;
    let z = trainer.predict(&one)?.as_f32()?[0];
    let p = 1.0 / (1.0 + (-z).exp());
    let same = from_logits.get("accuracy").context("accuracy was asked for")?;
    println!(
        "from logits: test accuracy {same:.4}, loss {:.4}; that sample: logit {z:.4}, probability {p:.4}",
        from_logits.loss
    );

    let pairs = probabilities.get("loss").into_iter().zip(logits.get("loss"));
    let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("over all epochs the training losses of both forms are at most {apart:.1e} apart");

    let path = common::picture("classification", args.svg);
    let panel = |name: &str| {
        Curves::new(name)
            .x("epoch")
            .y(name)
            .values("training", &logits.get(name))
            .values("validation", &logits.get(&format!("val_{name}")))
    };
    Figure::new("make_classification: 64-32-1 on logits")
        .panel(panel("accuracy"))
        .panel(panel("loss"))
        .save(&path)?;
    println!("wrote {}", path.display());
    println!(
        "result: test_accuracy={accuracy:.4} test_loss={:.4} logits_accuracy={same:.4} seconds={:.2}",
        result.loss,
        clock.seconds()
    );
    Ok(())
}

/// A network of two hidden layers, trained with a fifth of the data held back.
fn trained(
    args: &Args,
    device: &Device,
    data: &TensorDataset,
    from_logits: bool,
) -> Result<(History, Trainer)> {
    let output = if from_logits { Activation::Linear } else { Activation::Sigmoid };
    let model = Sequential::new([20])
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(32).activation(Activation::Relu))
        .add(Dense::new(1).activation(output));
    println!("\n{}\n", model.summary()?);
    let loss = Loss::BinaryCrossentropy { from_logits };
    let compile = Compile::new(Adam::new(0.001), loss).metrics([Metric::Accuracy]).seed(args.seed);
    let mut trainer = model.compile(device, compile)?;
    let fit = Fit::new().epochs(args.epochs).batch_size(32).validation_split(0.2);
    let history = trainer.fit(data, fit)?;
    Ok((history, trainer))
}
