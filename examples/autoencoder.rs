//! A convolutional autoencoder takes the noise out of MNIST: two convolutions with pooling make an image small, two
//! transposed convolutions make it large again.
//!
//! `cargo run --release --example autoencoder` draws noisy digits above denoised ones, and the losses, in `out/`. It gets
//! the data unless a folder is named.

mod common;

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use wgrad::plot::{Curves, ImageGrid};
use wgrad::prelude::*;

/// Trains a denoising autoencoder on MNIST.
#[derive(Parser)]
struct Args {
    /// Folder with the four IDX files, plain or gzip [default: data/mnist, and what it lacks is downloaded]
    #[arg(long, env = "WGRAD_DATA")]
    data: Option<PathBuf>,
    /// Seed of the noise, the initial weights and the shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training images.
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

const SIDE: usize = 28;
/// The standard deviation of the noise; pixels are 0 to 1.
const NOISE: f32 = 0.4;

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

/// Images `[n, 28, 28]` of bytes as numbers from 0 to 1, `[n, 28, 28, 1]`.
fn clean(images: &TensorDataset) -> Result<Tensor> {
    let Data::U8(pixels) = images.x().data() else { anyhow::bail!("MNIST images are bytes") };
    let pixels: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    Ok(Tensor::f32([images.len(), SIDE, SIDE, 1], pixels)?)
}

/// Clean images with noise, the same for the same seed.
fn noisy(clean: &Tensor, seed: u64) -> Result<Tensor> {
    let pixels = clean.as_f32()?;
    let noise = Initializer::Normal { mean: 0.0, stddev: NOISE }.fill(pixels.len(), 1, 1, seed, 1);
    let noisy = pixels.iter().zip(noise).map(|(pixel, noise)| (pixel + noise).clamp(0.0, 1.0));
    Ok(Tensor::f32(clean.shape().clone(), noisy.collect::<Vec<f32>>())?)
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let (train, test) = common::mnist(args.data.as_deref())?;
    // Each image is its own target. The model adds noise while it trains, other noise in each epoch; the test images
    // have theirs.
    let target = clean(&train)?;
    let train = TensorDataset::new(target.clone(), target)?;
    let target = clean(&test)?;
    let test = TensorDataset::new(noisy(&target, args.seed)?, target)?;

    let same = |filters| Conv2D::new(filters, 3).padding(Padding::Same);
    let twice = || Conv2DTranspose::new(32, 3).strides(2).padding(Padding::Same);
    let model = Sequential::new([SIDE, SIDE, 1])
        .add(GaussianNoise::new(NOISE))
        .add(Activation::ClippedLinear { low: 0.0, high: 1.0 })
        .add(same(32).activation(Activation::Relu))
        .add(MaxPooling2D::new(2))
        .add(same(32).activation(Activation::Relu))
        .add(MaxPooling2D::new(2))
        .add(twice().activation(Activation::Relu))
        .add(twice().activation(Activation::Relu))
        .add(same(1).activation(Activation::Sigmoid));
    println!("{}\n", model.summary()?);

    let loss = Loss::BinaryCrossentropy { from_logits: false };
    let mut trainer =
        model.compile(&device, Compile::new(Adam::new(0.001), loss).seed(args.seed))?;
    let fit = Fit::new().epochs(args.epochs).batch_size(128).validation_data(&test);
    let history = trainer.fit(&train, fit)?;
    let loss = trainer.evaluate(&test)?.loss;
    println!("\nloss {loss:.4} on noisy test digits");

    let few = test.take(test.len().min(10))?;
    let denoised = trainer.predict(&few)?;
    let pairs = [few.x().as_f32()?, denoised.as_f32()?].concat();
    let [digits, curves] =
        [common::picture("autoencoder", args.svg), common::picture("autoencoder_loss", args.svg)];
    ImageGrid::grey(
        "Noisy test digits, and what the autoencoder makes of them",
        [SIDE, SIDE],
        &pairs,
    )
    .columns(few.len())
    .save(&digits)?;
    Curves::new("Denoising")
        .x("epoch")
        .y("binary cross-entropy")
        .values("training", &history.get("loss"))
        .values("test", &history.get("val_loss"))
        .save(&curves)?;
    for path in [digits, curves] {
        println!("wrote {}", path.display());
    }
    println!("result: test_loss={loss:.4} seconds={:.1}", clock.seconds());
    Ok(())
}
