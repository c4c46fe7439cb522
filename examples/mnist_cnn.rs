//! Keras' first convolutional network on MNIST: two convolutions with pooling, dropout and a dense layer.
//!
//! `cargo run --release --example mnist_cnn` draws accuracy, the kernels of the first layer, what it sees in a digit, and
//! digits that were mistaken, in `out/`. It gets the data unless a folder is named.

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use wgrad::plot::{Curves, Figure, ImageGrid};
use wgrad::prelude::*;

/// Trains a convolutional network on MNIST.
#[derive(Parser)]
struct Args {
    /// Folder with the four IDX files, plain or gzip [default: data/mnist, and what it lacks is downloaded]
    #[arg(long, env = "WGRAD_DATA")]
    data: Option<PathBuf>,
    /// Seed of the initial weights, dropout and shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training images.
    #[arg(long, default_value_t = 8)]
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
    let (train, test) = common::mnist(args.data.as_deref())?;

    let image = input([28, 28]);
    let first =
        image.then(Reshape::new([28, 28, 1])).then(Conv2D::new(32, 3).activation(Activation::Relu));
    let classes = first
        .then(MaxPooling2D::new(2))
        .then(Conv2D::new(64, 3).activation(Activation::Relu))
        .then(MaxPooling2D::new(2))
        .then(Flatten)
        .then(Dropout::new(0.5))
        .then(Dense::new(10));
    let model = Model::new([&image], [&classes])?;
    println!("{}\n", model.summary());

    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(Adam::new(0.001), loss).metrics([Metric::Accuracy]);
    let mut trainer = model.compile(&device, compile.seed(args.seed))?;
    let fit = Fit::new().epochs(args.epochs).batch_size(128).validation_data(&test);
    let history = trainer.fit(&train, fit)?;
    let result = trainer.evaluate(&test)?;
    let accuracy = result.get("accuracy").context("accuracy was asked for")?;
    println!("\ntest accuracy {:.2} %, loss {:.4}", 100.0 * accuracy, result.loss);

    // The part of the model that ends after the first convolution, with its kernel and bias.
    let part = Model::new([&image], [&first])?;
    let weights: Vec<Tensor> = trainer.weights()?.into_iter().take(2).map(|(_, w)| w).collect();
    let maps = Predictor::new(&device, &part, &weights)?.predict(&test.take(1)?)?;
    let [kernels, features] = [
        common::picture("mnist_cnn_kernels", args.svg),
        common::picture("mnist_cnn_maps", args.svg),
    ];
    ImageGrid::kernels("The 32 kernels of the first layer", [3, 3, 1, 32], weights[0].as_f32()?)
        .columns(8)
        .save(&kernels)?;
    ImageGrid::feature_maps("What they see in the first test digit", [26, 26, 32], maps.as_f32()?)
        .columns(8)
        .save(&features)?;
    for path in [kernels, features] {
        println!("wrote {}", path.display());
    }
    draw(args, &mut trainer, &history, &test)?;

    let seconds: f64 = history.epochs.iter().map(|e| e.duration.as_secs_f64()).sum();
    println!(
        "result: test_accuracy={accuracy:.4} test_loss={:.4} epochs={} seconds_per_epoch={:.1} seconds={:.1}",
        result.loss,
        args.epochs,
        seconds / args.epochs as f64,
        clock.seconds()
    );
    Ok(())
}

/// Loss and accuracy, and the first test digits that were taken for others.
fn draw(args: &Args, trainer: &mut Trainer, history: &History, test: &TensorDataset) -> Result<()> {
    let curves = common::picture("mnist_cnn", args.svg);
    let pair = |name: &str| {
        Curves::new(name)
            .x("epoch")
            .y(name)
            .values("training, with dropout", &history.get(name))
            .values("test", &history.get(&format!("val_{name}")))
    };
    Figure::new("MNIST, two convolutions")
        .panel(pair("loss"))
        .panel(pair("accuracy"))
        .save(&curves)?;
    println!("wrote {}", curves.display());

    let classes = wgrad::metrics::classes(&trainer.predict(test)?, 0.5)?;
    let pairs = (0..).zip(classes.iter().zip(test.y().as_u32()?));
    let mistaken: Vec<u32> = pairs.filter(|(_, (a, b))| a != b).map(|(i, _)| i).take(20).collect();
    if mistaken.is_empty() {
        return Ok(());
    }
    let digits = test.select(&mistaken)?;
    let Data::U8(pixels) = digits.x().data() else { anyhow::bail!("MNIST images are bytes") };
    let taken: Vec<u32> = mistaken.iter().map(|&i| classes[i as usize]).collect();
    let path = common::picture("mnist_cnn_mistakes", args.svg);
    ImageGrid::bytes("Test digits that were taken for others", [28, 28], pixels)
        .predictions(&taken, digits.y().as_u32()?)
        .columns(10)
        .save(&path)?;
    println!("wrote {}", path.display());
    Ok(())
}
