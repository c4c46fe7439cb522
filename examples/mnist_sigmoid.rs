//! The tutorial's MNIST: 784-500-500-10 sigmoid units on raw pixels from 0 to 255, dropout, Nesterov momentum; then
//! the same digits scaled, with ReLU and Adam.
//!
//! `cargo run --release --example mnist_sigmoid` draws curves, confusion matrix and digits in `out/`. It gets the data
//! unless a folder is named.

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use wgrad::metrics::{classes, confusion_matrix};
use wgrad::plot::{ConfusionMatrix, Curves, Figure, ImageGrid};
use wgrad::prelude::*;

/// Trains two networks on MNIST.
#[derive(Parser)]
struct Args {
    /// Folder with the four IDX files, plain or gzip [default: data/mnist, and what it lacks is downloaded]
    #[arg(long, env = "WGRAD_DATA")]
    data: Option<PathBuf>,
    /// Seed of the initial weights, dropout and shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes of the sigmoid network.
    #[arg(long, default_value_t = 50)]
    epochs: usize,
    /// Passes of the ReLU network; 0 leaves it out.
    #[arg(long, default_value_t = 10)]
    relu_epochs: usize,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

const LOSS: Loss = Loss::SparseCategoricalCrossentropy { from_logits: false };

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let (train, test) = common::mnist(args.data.as_deref())?;
    // The tutorial trains on bytes as they are.
    let (raw, raw_test) = (train.clone().scaled(1.0)?, test.clone().scaled(1.0)?);

    let sigmoid = || Dense::new(500).activation(Activation::Sigmoid);
    let model = Sequential::new([28, 28])
        .add(Flatten)
        .add(sigmoid())
        .add(Dropout::new(0.5))
        .add(sigmoid())
        .add(Dropout::new(0.5))
        .add(Dense::new(10).activation(Activation::Softmax));
    println!("{}\n", model.summary()?);
    let sgd = Sgd { momentum: 0.9, nesterov: true, decay: 1e-6, ..Sgd::new(0.01) };
    let compile = Compile::new(sgd, LOSS).metrics([Metric::Accuracy]).seed(args.seed);
    let mut trainer = model.compile(&device, compile)?;
    let fit = Fit::new().epochs(args.epochs).batch_size(200).validation_split(0.3);
    let history = trainer.fit(&raw, fit)?;
    let result = trainer.evaluate(&raw_test)?;
    let accuracy = result.get("accuracy").context("accuracy was asked for")?;
    let seconds = clock.seconds();
    println!("test accuracy {accuracy:.4}, loss {:.4}\n", result.loss);
    draw(args, &mut trainer, &history, &raw_test)?;

    let relu = match args.relu_epochs {
        0 => String::new(),
        _ => format!(" relu_accuracy={:.4}", relu(args, &device, &train, &test)?),
    };
    println!(
        "result: test_accuracy={accuracy:.4} test_loss={:.4} sigmoid_seconds={seconds:.1}{relu} seconds={:.1}",
        result.loss,
        clock.seconds()
    );
    Ok(())
}

/// The scaled pixels, ReLU and Adam, on all training images.
fn relu(args: &Args, device: &Device, train: &TensorDataset, test: &TensorDataset) -> Result<f64> {
    let hidden = || Dense::new(500).activation(Activation::Relu);
    let model = Sequential::new([28, 28])
        .add(Flatten)
        .add(hidden())
        .add(Dropout::new(0.2))
        .add(hidden())
        .add(Dropout::new(0.2))
        .add(Dense::new(10).activation(Activation::Softmax));
    println!("{}\n", model.summary()?);
    let compile = Compile::new(Adam::new(0.001), LOSS).metrics([Metric::Accuracy]).seed(args.seed);
    let mut trainer = model.compile(device, compile)?;
    trainer.fit(train, Fit::new().epochs(args.relu_epochs).batch_size(200))?;
    let result = trainer.evaluate(test)?;
    let accuracy = result.get("accuracy").context("accuracy was asked for")?;
    println!("scaled pixels, ReLU, Adam: test accuracy {accuracy:.4}, loss {:.4}\n", result.loss);
    Ok(accuracy)
}

/// Curves, confusion matrix and some digits.
fn draw(args: &Args, trainer: &mut Trainer, history: &History, test: &TensorDataset) -> Result<()> {
    let curves = common::picture("mnist_sigmoid", args.svg);
    let pair = |title: &str, name: &str| {
        Curves::new(title)
            .x("epoch")
            .y(name)
            .values("training", &history.get(name))
            .values("validation", &history.get(&format!("val_{name}")))
    };
    Figure::new("MNIST, raw pixels: 784-500-500-10 sigmoid")
        .panel(pair("loss", "loss"))
        .panel(pair("accuracy", "accuracy"))
        .save(&curves)?;

    let labels = test.y().as_u32()?;
    let classes = classes(&trainer.predict(test)?, 0.5)?;
    let counts = confusion_matrix(labels, &classes, 10)?;
    let names: Vec<String> = (0..10).map(|d| d.to_string()).collect();
    let matrix = common::picture("mnist_sigmoid_confusion", args.svg);
    ConfusionMatrix::new("MNIST test digits", &names, &counts).save(&matrix)?;

    let Data::U8(pixels) = test.x().data() else { anyhow::bail!("MNIST images are bytes") };
    let shown = labels.len().min(20);
    let digits = common::picture("mnist_sigmoid_digits", args.svg);
    ImageGrid::bytes("MNIST test digits", [28, 28], &pixels[..shown * 784])
        .predictions(&classes[..shown], &labels[..shown])
        .columns(10)
        .save(&digits)?;
    for path in [curves, matrix, digits] {
        println!("wrote {}", path.display());
    }
    println!();
    Ok(())
}
