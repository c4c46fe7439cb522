//! Two Gaussian clouds, told apart by a small sigmoid network.
//!
//! `cargo run --release --example gaussians` draws the data, the decision boundary and the loss in `out/`.

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use std::process::ExitCode;
use wgrad::data::{Blobs, Centers, StandardScaler, make_blobs};
use wgrad::plot::{Curves, Grid, Scatter};
use wgrad::prelude::*;

/// Trains a classifier of points in the plane.
#[derive(Parser)]
struct Args {
    /// Seed of the points and the initial weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Full-batch steps.
    #[arg(long, default_value_t = 2000)]
    epochs: usize,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

/// Points of both classes together.
const POINTS: usize = 1000;

/// Cells of the decision regions along each axis.
const CELLS: usize = 160;

const CLASSES: [&str; 2] = ["class 0", "class 1"];

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let blobs = make_blobs(&Blobs {
        n_samples: POINTS,
        centers: Centers::At(vec![vec![-2.0, -2.0], vec![2.0, 2.0]]),
        cluster_std: vec![1.0],
        seed: args.seed,
        ..Blobs::default()
    })?;
    let labels = blobs.y().as_u32()?.to_vec();
    let (_, x) = StandardScaler::fit_transform(blobs.x())?;
    let points = x.as_f32()?.to_vec();
    let y = labels.iter().map(|&l| l as f32).collect::<Vec<_>>();
    let data = TensorDataset::new(x, Tensor::f32([POINTS, 1], y)?)?;

    let model = Sequential::new([2])
        .add(Dense::new(8).activation(Activation::Sigmoid))
        .add(Dense::new(4).activation(Activation::Sigmoid))
        .add(Dense::new(1).activation(Activation::Sigmoid));
    println!("{}\n", model.summary()?);
    let loss = Loss::BinaryCrossentropy { from_logits: false };
    let compile = Compile::new(Sgd::new(0.5), loss).metrics([Metric::Accuracy]).seed(args.seed);
    let mut trainer = model.compile(&device, compile)?;
    let fit = Fit::new().epochs(args.epochs).full_batch().shuffle(false).verbose(Verbose::Silent);
    let history = trainer.fit(&data, fit)?;
    for epoch in history.epochs.iter().step_by(args.epochs.div_ceil(10).max(1)) {
        println!("{epoch}");
    }

    let scatter = |title: &str| {
        let empty = Scatter::new(title).x("x, standardised").y("y, standardised");
        empty.classes(&CLASSES, &points, &labels)
    };
    let drawn = common::picture("gaussians", args.svg);
    scatter("Two Gaussian clouds").save(&drawn)?;

    let predicted = trainer.predict(&data)?;
    let classes: Vec<u32> = predicted.as_f32()?.iter().map(|p| u32::from(*p > 0.5)).collect();
    let grid = Grid::around(&points, CELLS);
    let cells = grid.points();
    let regions = trainer.predict(&Tensor::f32([cells.len() / 2, 2], cells)?)?;
    let predictions = common::picture("gaussians_predictions", args.svg);
    Scatter::new("Predictions and decision boundary")
        .x("x, standardised")
        .y("y, standardised")
        .classes(&CLASSES.map(|c| format!("predicted {c}")), &points, &classes)
        .regions(&grid, regions.as_f32()?)
        .save(&predictions)?;

    let curve = common::picture("gaussians_loss", args.svg);
    Curves::new("Two Gaussian clouds: 2-8-4-1 sigmoid, full batch")
        .x("epoch")
        .y("binary cross-entropy")
        .values("loss", &history.get("loss"))
        .save(&curve)?;
    for path in [drawn, predictions, curve] {
        println!("wrote {}", path.display());
    }
    let result = trainer.evaluate(&data)?;
    let accuracy = result.get("accuracy").context("accuracy was asked for")?;
    println!(
        "result: accuracy={accuracy:.4} loss={:.4} seconds={:.2}",
        result.loss,
        clock.seconds()
    );
    Ok(())
}
