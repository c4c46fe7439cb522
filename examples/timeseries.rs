//! Two networks forecast a noisy sum of sines: gated recurrent units, and a convolution over time.
//!
//! `cargo run --release --example timeseries` draws a forecast in `out/timeseries.png`.

mod common;

use anyhow::Result;
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;
use std::process::ExitCode;
use wgrad::plot::{Curves, Figure};
use wgrad::prelude::*;

/// Steps that a network sees.
const PAST: usize = 48;
/// Steps that it forecasts.
const AHEAD: usize = 24;

/// Trains two networks that forecast a time series.
#[derive(Parser)]
struct Args {
    /// Passes over the training windows.
    #[arg(long, default_value_t = 8)]
    epochs: usize,
    /// Steps of the series; the last fifth is for the test.
    #[arg(long, default_value_t = 4000)]
    steps: usize,
    /// Seed of the noise, the initial weights and the shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

/// Two sines of different periods, and noise.
fn series(steps: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let wave = |t: usize, period: f32| (TAU * t as f32 / period).sin();
    (0..steps)
        .map(|t| wave(t, 24.0) + 0.6 * wave(t, 37.0) + 0.15 * rng.random_range(-1.0f32..1.0))
        .collect()
}

/// Windows of the past, each with the steps that follow it.
fn windows(series: &[f32]) -> wgrad::Result<TensorDataset> {
    let future: Vec<f32> = series[PAST..].windows(AHEAD).flatten().copied().collect();
    let targets = Tensor::f32([future.len() / AHEAD, AHEAD], future)?;
    let series = Tensor::f32([series.len(), 1], series)?;
    timeseries_dataset_from_array(&series, &targets, &Timeseries::new(PAST))
}

/// The root of the mean squared difference.
fn error(forecast: &[f32], truth: &[f32]) -> f64 {
    let squares = forecast.iter().zip(truth).map(|(a, b)| f64::from(a - b).powi(2));
    (squares.sum::<f64>() / truth.len() as f64).sqrt()
}

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let least = 10 * (PAST + AHEAD);
    anyhow::ensure!(args.steps >= least, "steps = {}: at least {least}", args.steps);
    let series = series(args.steps, args.seed);
    let (early, late) = series.split_at(args.steps / 5 * 4);
    let (train, test) = (windows(early)?, windows(late)?);
    println!("{} windows to train, {} to test\n", train.len(), test.len());

    let recurrent = Sequential::new([PAST, 1]).add(Gru::new(32)).add(Dense::new(AHEAD));
    let convolution = Sequential::new([PAST, 1])
        .add(Conv1D::new(16, 7).strides(2).activation(Activation::Relu))
        .add(Conv1D::new(32, 5).strides(2).activation(Activation::Relu))
        .add(Flatten)
        .add(Dense::new(AHEAD));
    let truth = test.y().as_f32()?;
    let mut forecasts = Vec::new();
    for (name, model) in [("gated recurrent units", recurrent), ("convolution", convolution)] {
        println!("{name}\n{}\n", model.summary()?);
        let compile = Compile::new(Adam::new(0.003), Loss::MeanSquaredError).seed(args.seed);
        let mut trainer = model.compile(&device, compile.clip(Clip::GlobalNorm(1.0)))?;
        let fit = Fit::new().epochs(args.epochs).batch_size(64).validation_data(&test);
        trainer.fit(&train, fit)?;
        let forecast = trainer.predict(test.x())?.as_f32()?.to_vec();
        println!("error {:.4}\n", error(&forecast, truth));
        forecasts.push((name, forecast));
    }
    let last = test.x().as_f32()?.chunks(PAST).map(|past| past[PAST - 1]);
    let repeated: Vec<f32> = last.flat_map(|value| [value; AHEAD]).collect();

    let path = common::picture("timeseries", args.svg);
    picture(&path, &test, &forecasts, &repeated)?;
    println!("wrote {}", path.display());
    let errors = [&forecasts[0].1, &forecasts[1].1, &repeated].map(|f| error(f, truth));
    println!(
        "result: gru={:.4} convolution={:.4} last_value={:.4} seconds={:.1}",
        errors[0],
        errors[1],
        errors[2],
        clock.seconds()
    );
    Ok(())
}

/// A window in the middle of the test with its forecasts, and the error of each step ahead.
fn picture(
    path: &std::path::Path,
    test: &TensorDataset,
    forecasts: &[(&str, Vec<f32>)],
    repeated: &[f32],
) -> Result<()> {
    let (truth, shown) = (test.y().as_f32()?, test.len() / 2);
    let past = &test.x().as_f32()?[shown * PAST..][..PAST];
    let future = |all: &[f32]| all[shown * AHEAD..][..AHEAD].to_vec();
    let time = |from: usize, count: usize| -> Vec<f64> {
        (from..from + count).map(|t| t as f64 - (PAST - 1) as f64).collect()
    };
    let mut window = Curves::new("a forecast").x("steps from now").y("value");
    // First in both panels, so that a network has one colour.
    for (name, forecast) in forecasts {
        window = window.series(*name, &time(PAST, AHEAD), &future(forecast));
    }
    window = window.series("seen", &time(0, PAST), past);
    window = window.series("what came", &time(PAST, AHEAD), &future(truth));
    let mut errors = Curves::new("error").x("steps ahead").y("root of the mean square");
    errors = errors.include_y(0.0, 0.0);
    let all = forecasts.iter().map(|(name, forecast)| (*name, &forecast[..]));
    for (name, forecast) in all.chain([("the last value", repeated)]) {
        let at = |step: usize, all: &[f32]| -> Vec<f32> {
            all.iter().skip(step).step_by(AHEAD).copied().collect()
        };
        let steps = (0..AHEAD).map(|step| error(&at(step, forecast), &at(step, truth)));
        errors = errors.values(name, &steps.collect::<Vec<f64>>());
    }
    Figure::new("two sines and noise").panel(window).panel(errors).save(path)?;
    Ok(())
}
