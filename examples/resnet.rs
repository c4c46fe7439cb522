//! ResNet-20 with batch normalization, on CIFAR-10 if its files are there, else on MNIST's digits padded to 32x32x3.
//!
//! `cargo xtask data cifar10` gets CIFAR-10 into `data/cifar10`; then `cargo run --release --example resnet`.
//! It draws the loss and the kernels of the first layer in `out/`. On a processor an epoch takes many minutes:
//! `--samples 5000` trains on a part. He, Zhang, Ren and Sun trained for 182 epochs ("Deep residual learning for image
//! recognition", 2015): `--epochs 182`, on a GPU.

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wgrad::data::load_cifar10;
use wgrad::layers::FlipMode;
use wgrad::plot::{Curves, Figure, ImageGrid};
use wgrad::prelude::*;

/// Trains ResNet-20.
#[derive(Parser)]
struct Args {
    /// Folder with CIFAR-10's binary files [default: data/cifar10; without them MNIST, which is found as in `mnist`]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder with MNIST, if CIFAR-10 is not there.
    #[arg(long, env = "WGRAD_DATA")]
    mnist: Option<PathBuf>,
    /// Seed of the initial weights, the augmentation and the shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training images.
    #[arg(long, default_value_t = 1)]
    epochs: usize,
    /// Train on so many images at most.
    #[arg(long)]
    samples: Option<usize>,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

const BATCH: usize = 128;
/// Weight decay, as a penalty on kernels: half of it times their squares.
const DECAY: f32 = 1e-4;

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

/// A convolution of 3x3 with its normalization. Without bias, as the normalization has one.
fn conv(x: &SymbolicTensor, filters: usize, size: usize, strides: usize) -> SymbolicTensor {
    let layer = Conv2D::new(filters, size).strides(strides).padding(Padding::Same).use_bias(false);
    let layer = layer.kernel_initializer(Initializer::HeNormal);
    let x = x.then(layer.kernel_regularizer(Regularizer::l2(DECAY / 2.0)));
    x.then(BatchNormalization::new().momentum(0.9))
}

/// Two convolutions beside a way around them, which is a 1x1 convolution if the size changes.
fn block(x: &SymbolicTensor, filters: usize, strides: usize, changes: bool) -> SymbolicTensor {
    let inner = conv(x, filters, 3, strides).then(Activation::Relu);
    let inner = conv(&inner, filters, 3, 1);
    let around = if changes { conv(x, filters, 1, strides) } else { x.clone() };
    merge(Add, [&inner, &around]).then(Activation::Relu)
}

/// Three stages of three blocks on images `[32, 32, 3]`: 6 · 3 + 2 layers with weights along the longest way.
fn resnet20(images: &SymbolicTensor) -> SymbolicTensor {
    let mut x = conv(images, 16, 3, 1).then(Activation::Relu);
    for (stage, filters) in [16, 32, 64].into_iter().enumerate() {
        for nth in 0..3 {
            let changes = stage > 0 && nth == 0;
            x = block(&x, filters, if changes { 2 } else { 1 }, changes);
        }
    }
    let x = x.then(GlobalAveragePooling2D::new());
    x.then(Dense::new(10).kernel_initializer(Initializer::HeNormal))
}

/// Training and test images, and a model from their pixels to logits.
fn data(args: &Args) -> Result<(TensorDataset, TensorDataset, Model)> {
    let folder = args.data.as_deref().unwrap_or(Path::new("data/cifar10"));
    if args.data.is_some() || folder.is_dir() {
        let failed = || format!("CIFAR-10 in {}", folder.display());
        let (train, test) = load_cifar10(folder).with_context(failed)?;
        println!("CIFAR-10 in {}", folder.display());
        let pixels = input([32, 32, 3]);
        // Shifted by up to four pixels, and flipped half of the time.
        let images = pixels
            .then(RandomTranslation::new(0.125, 0.125).fill_mode(FillMode::Constant))
            .then(RandomFlip::new(FlipMode::Horizontal));
        return Ok((train, test, Model::new([&pixels], [&resnet20(&images)])?));
    }
    let (train, test) = common::mnist(args.mnist.as_deref())?;
    println!("no data/cifar10: MNIST, padded to 32x32x3");
    let pixels = input([28, 28]);
    let grey = pixels.then(Reshape::new([28, 28, 1])).then(ZeroPadding2D::new(2));
    let images = merge(Concatenate::new(-1), [&grey, &grey, &grey]);
    Ok((train, test, Model::new([&pixels], [&resnet20(&images)])?))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let (train, test, model) = data(args)?;
    let train = train.take(args.samples.unwrap_or(usize::MAX).min(train.len()))?;
    println!("{}\n", model.summary());

    // The rate falls to 0 along a cosine.
    let steps = args.epochs * train.len().div_ceil(BATCH);
    let sgd = Sgd { momentum: 0.9, ..Sgd::new(CosineDecay::new(0.1, steps.max(1) as u64)) };
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(sgd, loss).metrics([Metric::Accuracy]).seed(args.seed);
    let mut trainer = model.compile(&device, compile)?;
    let history = trainer.fit(&train, Fit::new().epochs(args.epochs).batch_size(BATCH))?;
    let losses = history.get("loss");
    for (epoch, loss) in (1..).zip(&losses) {
        println!("epoch {epoch}: training loss {loss:.4}");
    }
    draw(args, &trainer, &history)?;
    let result = trainer.evaluate(&test)?;
    let accuracy = result.get("accuracy").context("accuracy was asked for")?;
    println!(
        "result: train_loss={:.4} test_loss={:.4} test_accuracy={accuracy:.4} seconds={:.1}",
        losses.last().context("at least one epoch")?,
        result.loss,
        clock.seconds()
    );
    Ok(())
}

/// The training loss, and the 16 kernels of the first layer in colour.
fn draw(args: &Args, trainer: &Trainer, history: &History) -> Result<()> {
    let kernels = common::picture("resnet_kernels", args.svg);
    let weights = trainer.weights()?;
    let (_, first) = weights.first().context("the first convolution has a kernel")?;
    ImageGrid::kernels("The 16 kernels of the first layer", [3, 3, 3, 16], first.as_f32()?)
        .columns(8)
        .save(&kernels)?;
    let curves = common::picture("resnet", args.svg);
    let loss = Curves::new("loss").x("epoch").y("loss").values("training", &history.get("loss"));
    Figure::new("ResNet-20").panel(loss).save(&curves)?;
    for path in [kernels, curves] {
        println!("wrote {}", path.display());
    }
    Ok(())
}
