//! Full-batch, mini-batch and stochastic descent, each with and without momentum, on one problem.
//!
//! `cargo run --release --example gradient_descent` draws the losses against epochs and against seconds in
//! `out/gradient_descent.png`.

mod common;

use anyhow::Result;
use clap::Parser;
use std::process::ExitCode;
use wgrad::data::{Classification, make_classification};
use wgrad::plot::{Curves, Figure};
use wgrad::prelude::*;

/// Trains the same network in six ways.
#[derive(Parser)]
struct Args {
    /// Seed of the data, the initial weights and the shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the data.
    #[arg(long, default_value_t = 20)]
    epochs: usize,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

const SAMPLES: usize = 512;
const RATE: f32 = 0.05;

/// A way to descend: its name, its batch size, its momentum, its learning rate.
const WAYS: [(&str, usize, f32, f32); 6] = [
    ("full batch", SAMPLES, 0.0, RATE),
    ("full batch, momentum", SAMPLES, 0.9, RATE),
    ("mini-batch", 32, 0.0, RATE),
    ("mini-batch, momentum", 32, 0.9, RATE),
    ("stochastic", 1, 0.0, RATE),
    // At the others' rate single samples with momentum overshoot; a tenth of it keeps the effective rate.
    ("stochastic, momentum", 1, 0.9, RATE / 10.0),
];

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let options =
        Classification { n_samples: SAMPLES, n_features: 20, ..Classification::default() };
    let data = make_classification(&Classification { seed: args.seed, ..options })?;

    let mut by_epoch = Curves::new("against epochs").x("epoch").y("binary cross-entropy");
    let mut by_second =
        Curves::new("against seconds").x("seconds").y("binary cross-entropy").log_x();
    let mut finals = Vec::new();
    let name = format!("wgrad-gradient-descent-{}.safetensors", std::process::id());
    let start = std::env::temp_dir().join(name);
    println!(
        "{:<22} {:>6} {:>8} {:>12} {:>12} {:>10}",
        "descent", "rate", "steps", "first epoch", "last epoch", "seconds"
    );
    for (name, batch, momentum, rate) in WAYS {
        let model = Sequential::new([20])
            .add(Dense::new(16).activation(Activation::Tanh))
            .add(Dense::new(1).activation(Activation::Sigmoid));
        let sgd = Sgd { momentum, ..Sgd::new(rate) };
        let loss = Loss::BinaryCrossentropy { from_logits: false };
        let fit = || Fit::new().batch_size(batch).verbose(Verbose::Silent);
        let mut trainer = model.compile(&device, Compile::new(sgd, loss).seed(args.seed))?;
        // The first epochs compile and find their pace. They are run, and undone, before the clock starts.
        trainer.save_checkpoint(&start)?;
        trainer.fit(&data, fit().epochs(3))?;
        trainer.load_checkpoint(&start)?;
        let history = trainer.fit(&data, fit().epochs(args.epochs))?;
        let losses = history.get("loss");
        let mut elapsed = 0.0;
        let seconds = history.epochs.iter().map(|e| {
            elapsed += e.duration.as_secs_f64();
            elapsed
        });
        let seconds: Vec<f64> = seconds.collect();
        let (first, last) =
            (losses.first().copied().unwrap_or(0.0), losses.last().copied().unwrap_or(0.0));
        let steps = SAMPLES.div_ceil(batch) * args.epochs;
        println!("{name:<22} {rate:>6} {steps:>8} {first:>12.4} {last:>12.4} {elapsed:>10.3}");
        let label = if rate == RATE { name.to_owned() } else { format!("{name}, rate {rate}") };
        by_epoch = by_epoch.values(&label, &losses);
        by_second = by_second.series(label, &seconds, &losses);
        finals.push((name.replace(", ", "_").replace([' ', '-'], "_"), last));
    }
    std::fs::remove_file(&start)?;
    let path = common::picture("gradient_descent", args.svg);
    Figure::new(format!("Six ways down, at rate {RATE}"))
        .panel(by_epoch)
        .panel(by_second)
        .save(&path)?;
    println!("wrote {}", path.display());
    print!("result:");
    for (name, loss) in finals {
        print!(" {name}={loss:.4}");
    }
    println!(" seconds={:.2}", clock.seconds());
    Ok(())
}
