//! Regression on made-up features: a small tanh network, descent, early stopping, R²; on raw targets and on
//! standardised ones.
//!
//! `cargo run --release --example regression` draws the losses in `out/regression.png`.

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use std::process::ExitCode;
use wgrad::data::{Regression, Split, StandardScaler, make_regression, train_test_split};
use wgrad::plot::{Curves, Figure};
use wgrad::prelude::*;

/// Trains a regression on `make_regression`.
#[derive(Parser)]
struct Args {
    /// Seed of the data, the split, the initial weights and the shuffling.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Passes over the training data at most.
    #[arg(long, default_value_t = 100)]
    epochs: usize,
    /// Epochs without a better validation loss after which training stops.
    #[arg(long, default_value_t = 20)]
    patience: usize,
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
    let options = Regression {
        n_samples: 10_000,
        n_features: 10,
        bias: 0.1,
        noise: 0.1,
        ..Regression::default()
    };
    let (raw, _) = make_regression(&Regression { seed: args.seed, ..options })?;
    let (_, y) = StandardScaler::fit_transform(raw.y())?;
    let standardised = TensorDataset::new(raw.x().clone(), y)?;

    let (raw, r2) = trained(args, &device, "raw targets", &raw)?;
    let (scaled, r2_standardised) = trained(args, &device, "standardised targets", &standardised)?;
    let path = common::picture("regression", args.svg);
    let panel = |title: &str, history: &History| {
        Curves::new(title)
            .x("epoch")
            .y("mean squared error")
            .log_y()
            .values("training", &history.get("loss"))
            .values("validation", &history.get("val_loss"))
    };
    Figure::new("make_regression: tanh 10, descent at 0.01")
        .panel(panel("raw targets", &raw))
        .panel(panel("standardised targets", &scaled))
        .save(&path)?;
    println!("wrote {}", path.display());
    println!(
        "result: r2={r2:.4} r2_standardised={r2_standardised:.4} seconds={:.2}",
        clock.seconds()
    );
    Ok(())
}

/// Trains on four fifths of `data`, stopping early, and gives R² on the rest.
fn trained(
    args: &Args,
    device: &Device,
    name: &str,
    data: &TensorDataset,
) -> Result<(History, f64)> {
    println!("\n{name}");
    let split = Split { test_size: 0.2, seed: args.seed, ..Split::default() };
    let (train, test) = train_test_split(data, &split)?;
    let model =
        Sequential::new([10]).add(Dense::new(10).activation(Activation::Tanh)).add(Dense::new(1));
    println!("{}\n", model.summary()?);
    let compile = Compile::new(Sgd::new(0.01), Loss::MeanSquaredError);
    let compile = compile.metrics([Metric::R2Score]).seed(args.seed);
    let mut trainer = model.compile(device, compile)?;
    let mut stopping =
        EarlyStopping::new("val_loss").patience(args.patience).restore_best_weights(true);
    let fit = Fit::new().epochs(args.epochs).batch_size(64).validation_split(0.1);
    let history = trainer.fit(&train, fit.callback(&mut stopping).verbose(Verbose::Silent))?;
    for epoch in history.epochs.iter().step_by(10) {
        println!("{epoch}");
    }
    if let Some(epoch) = stopping.stopped_epoch() {
        println!("stopped after epoch {}", epoch + 1);
    }
    let result = trainer.evaluate(&test)?;
    let r2 = result.get("r2_score").context("R² was asked for")?;
    println!("test: mean squared error {:.4}, R² {r2:.4}", result.loss);
    Ok((history, r2))
}
