//! A small U-Net finds circles, squares and triangles in noise: the class of each pixel.
//!
//! `cargo run --release --example segmentation` draws images, their true masks and the predicted ones, and the curves, in
//! `out/`.

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use rand::RngExt;
use std::process::ExitCode;
use wgrad::plot::{Curves, Figure, ImageGrid};
use wgrad::prelude::*;

/// Trains a U-Net on made-up shapes.
#[derive(Parser)]
struct Args {
    /// Seed of the shapes, the initial weights and the shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training images.
    #[arg(long, default_value_t = 8)]
    epochs: usize,
    /// Images to train on; a quarter as many are for the test.
    #[arg(long, default_value_t = 1600)]
    samples: usize,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

const CLASSES: [&str; 4] = ["background", "circle", "square", "triangle"];
/// The colour of each class in the pictures.
const COLORS: [[f32; 3]; 4] =
    [[0.1, 0.1, 0.12], [0.9, 0.6, 0.2], [0.3, 0.6, 0.9], [0.3, 0.75, 0.4]];
const SIDE: usize = 40;
const BATCH: usize = 32;
/// Shapes in an image. A later one may cover a part of an earlier one.
const SHAPES: usize = 2;
/// The standard deviation of the noise; a shape is 0.5 to 1 above the background.
const NOISE: f32 = 0.2;

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

/// Whether a point is in the shape of this class, which has its centre at the origin and the radius 1.
fn inside(class: usize, x: f32, y: f32) -> bool {
    match class {
        1 => x * x + y * y <= 1.0,
        2 => x.abs().max(y.abs()) <= 0.85,
        // An equilateral triangle that points up: each edge is half a radius from the centre.
        _ => y <= 0.5 && 3.0_f32.sqrt() * x.abs() - y <= 1.0,
    }
}

/// `n` images `[n, SIDE, SIDE, 1]` with shapes in noise, and the class of each pixel, `[n, SIDE, SIDE]`.
fn shapes(n: usize, seed: u64, stream: u64) -> wgrad::Result<TensorDataset> {
    const PIXELS: usize = SIDE * SIDE;
    let mut rng = common::generator(seed, stream);
    let noise = Initializer::Normal { mean: 0.0, stddev: NOISE };
    let mut images = noise.fill(n * PIXELS, 1, 1, seed, stream);
    let mut masks = vec![0; n * PIXELS];
    for (image, mask) in images.chunks_exact_mut(PIXELS).zip(masks.chunks_exact_mut(PIXELS)) {
        let mut bright = [0.0; PIXELS];
        for _ in 0..SHAPES {
            let (class, radius) = (rng.random_range(1..CLASSES.len()), rng.random_range(6.0..10.0));
            let [x, y] = [(); 2].map(|()| rng.random_range(radius..SIDE as f32 - radius));
            let brightness = rng.random_range(0.5..1.0);
            for pixel in 0..PIXELS {
                let (column, row) = ((pixel % SIDE) as f32 + 0.5, (pixel / SIDE) as f32 + 0.5);
                if inside(class, (column - x) / radius, (row - y) / radius) {
                    (bright[pixel], mask[pixel]) = (brightness, class as u32);
                }
            }
        }
        image.iter_mut().zip(bright).for_each(|(value, bright)| *value += bright);
    }
    let images = Tensor::f32([n, SIDE, SIDE, 1], images)?;
    TensorDataset::new(images, Tensor::u32([n, SIDE, SIDE], masks)?)
}

/// Two convolutions with normalization, which keep the size.
fn pair(x: &SymbolicTensor, filters: usize) -> SymbolicTensor {
    (0..2).fold(x.clone(), |x, _| {
        let conv = Conv2D::new(filters, 3).padding(Padding::Same).use_bias(false);
        // A run of a few hundred steps needs moving averages that forget faster than Keras' 0.99.
        x.then(conv).then(BatchNormalization::new().momentum(0.9)).then(Activation::Relu)
    })
}

/// Down in two steps of half the size, and up again; each step up sees what was there on the way down too. Ronneberger,
/// Fischer and Brox, "U-Net", 2015.
fn u_net() -> wgrad::Result<Model> {
    let image = input([SIDE, SIDE, 1]);
    let fine = pair(&image, 8);
    let middle = pair(&fine.then(MaxPooling2D::new(2)), 16);
    let coarse = pair(&middle.then(MaxPooling2D::new(2)), 32);
    let up = |x: &SymbolicTensor, beside: &SymbolicTensor, filters| {
        let larger = x.then(Conv2DTranspose::new(filters, 2).strides(2));
        pair(&merge(Concatenate::new(-1), [&larger, beside]), filters)
    };
    let classes = up(&up(&coarse, &middle, 16), &fine, 8).then(Conv2D::new(CLASSES.len(), 1));
    Model::new([&image], [&classes])
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let train = shapes(args.samples, args.seed, 0)?;
    let test = shapes(args.samples.div_ceil(4), args.seed, 1)?;
    let model = u_net()?;
    println!("{}\n", model.summary());

    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let metrics = [Metric::mean_iou(), Metric::ConfusionMatrix { threshold: 0.5 }];
    // The rate falls to 0 along a cosine.
    let steps = args.epochs * args.samples.div_ceil(BATCH);
    let rate = CosineDecay::new(0.005, steps.max(1) as u64);
    let compile = Compile::new(Adam::new(rate), loss).metrics(metrics).seed(args.seed);
    let mut trainer = model.compile(&device, compile)?;
    let fit = Fit::new().epochs(args.epochs).batch_size(BATCH).validation_data(&test);
    let history = trainer.fit(&train, fit)?;

    let result = trainer.evaluate(&test)?;
    let matrix = result.confusion_matrix().context("the matrix was asked for")?;
    println!();
    for (name, iou) in CLASSES.iter().zip(matrix.iou_per_class()) {
        println!("intersection over union of {name:<10} {iou:.4}");
    }
    let mean = result.get("mean_io_u").context("the mean was asked for")?;
    draw(args, &mut trainer, &history, &test.take(test.len().min(8))?)?;
    println!(
        "result: mean_iou={mean:.4} test_loss={:.4} seconds={:.1}",
        result.loss,
        clock.seconds()
    );
    Ok(())
}

/// Images above their true masks and the predicted ones, and the curves.
fn draw(args: &Args, trainer: &mut Trainer, history: &History, few: &TensorDataset) -> Result<()> {
    let classes = wgrad::metrics::classes(&trainer.predict(few)?, 0.5)?;
    let colored = |classes: &[u32]| -> Vec<f32> {
        classes.iter().flat_map(|&class| COLORS[class as usize]).collect()
    };
    let images = few.x().as_f32()?.iter().flat_map(|&pixel| [pixel; 3]).collect();
    let rows = [images, colored(few.y().as_u32()?), colored(&classes)].concat();
    let title =
        "Images, true masks, predicted masks: circles orange, squares blue, triangles green";
    let [masks, curves] = [
        common::picture("segmentation", args.svg),
        common::picture("segmentation_curves", args.svg),
    ];
    ImageGrid::rgb(title, [SIDE, SIDE], &rows).columns(few.len()).save(&masks)?;
    let panel = |name: &str, label: &str| {
        Curves::new(label)
            .x("epoch")
            .y(label)
            .values("training", &history.get(name))
            .values("test", &history.get(&format!("val_{name}")))
    };
    Figure::new("A small U-Net")
        .panel(panel("loss", "cross-entropy"))
        .panel(panel("mean_io_u", "mean IoU"))
        .save(&curves)?;
    for path in [masks, curves] {
        println!("wrote {}", path.display());
    }
    Ok(())
}
