//! A one-dimensional network of dilated causal convolutions tells sines, square waves and chirps apart, in noise.
//!
//! `cargo run --release --example conv1d` draws some signals with their predictions and the losses in `out/`.

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use rand::RngExt;
use std::f32::consts::TAU;
use std::process::ExitCode;
use wgrad::plot::{Curves, Figure};
use wgrad::prelude::*;

/// Trains a network of causal convolutions on made-up signals.
#[derive(Parser)]
struct Args {
    /// Seed of the signals, the initial weights and the shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training signals.
    #[arg(long, default_value_t = 12)]
    epochs: usize,
    /// Signals to train on; half as many are for the test.
    #[arg(long, default_value_t = 4000)]
    samples: usize,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

const CLASSES: [&str; 3] = ["sine", "square", "chirp"];
/// Steps of a signal.
const STEPS: usize = 128;
/// The standard deviation of the noise; the signals go from -1 to 1.
const NOISE: f32 = 0.5;

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

/// `n` signals `[n, STEPS, 1]` and the class of each: of any phase, with 3 to 8 periods. A chirp begins with one of
/// these frequencies, and ends with two to three times as many.
fn signals(n: usize, seed: u64, stream: u64) -> wgrad::Result<TensorDataset> {
    let mut rng = common::generator(seed, stream);
    let mut signals =
        Initializer::Normal { mean: 0.0, stddev: NOISE }.fill(n * STEPS, 1, 1, seed, stream);
    let mut labels = Vec::with_capacity(n);
    for signal in signals.chunks_exact_mut(STEPS) {
        let class = rng.random_range(0..CLASSES.len());
        let (phase, periods) = (rng.random_range(0.0..TAU), rng.random_range(3.0..8.0));
        let growth = if class == 2 { rng.random_range(1.0..2.0) } else { 0.0 };
        for (step, value) in signal.iter_mut().enumerate() {
            let time = step as f32 / STEPS as f32;
            // The integral of a frequency that grows in proportion to time.
            let sine = (TAU * periods * time * (1.0 + growth * time / 2.0) + phase).sin();
            *value += if class == 1 { sine.signum() } else { sine };
        }
        labels.push(class as u32);
    }
    TensorDataset::new(Tensor::f32([n, STEPS, 1], signals)?, Tensor::u32([n], labels)?)
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let train = signals(args.samples, args.seed, 0)?;
    let test = signals(args.samples.div_ceil(2), args.seed, 1)?;

    // Each convolution looks twice as far back as the one before: the last sees 63 steps.
    let mut model = Sequential::new([STEPS, 1]);
    for dilation in [1, 2, 4, 8, 16] {
        let layer = Conv1D::new(16, 3).padding(Padding::Causal).dilation_rate(dilation);
        model = model.add(layer.activation(Activation::Relu));
    }
    let model = model.add(GlobalAveragePooling1D::new()).add(Dense::new(CLASSES.len()));
    println!("{}\n", model.summary()?);

    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(Adam::new(0.003), loss).metrics([Metric::Accuracy]);
    let mut trainer = model.compile(&device, compile.seed(args.seed))?;
    let fit = Fit::new().epochs(args.epochs).batch_size(64).validation_data(&test);
    let history = trainer.fit(&train, fit)?;
    let result = trainer.evaluate(&test)?;
    let accuracy = result.get("accuracy").context("accuracy was asked for")?;
    println!("\ntest accuracy {accuracy:.4}, loss {:.4}", result.loss);

    draw(args, &mut trainer, &history, &test)?;
    println!(
        "result: test_accuracy={accuracy:.4} test_loss={:.4} seconds={:.1}",
        result.loss,
        clock.seconds()
    );
    Ok(())
}

/// Two signals of each class with their predictions, and the losses.
fn draw(args: &Args, trainer: &mut Trainer, history: &History, test: &TensorDataset) -> Result<()> {
    let labels = test.y().as_u32()?;
    let first =
        |class| (0..).zip(labels).filter(move |(_, l)| **l == class).map(|(row, _)| row).take(2);
    let few = test.select(&(0..3).flat_map(first).collect::<Vec<u32>>())?;
    let classes = wgrad::metrics::classes(&trainer.predict(&few)?, 0.5)?;
    let values = few.x().as_f32()?.chunks_exact(STEPS);
    let mut signals = Figure::new("Signals, and what the network takes them for").columns(2);
    for ((values, &label), &class) in values.zip(few.y().as_u32()?).zip(&classes) {
        let [is, taken] = [label, class].map(|class| CLASSES[class as usize]);
        let panel = Curves::new("").values(format!("a {is}, taken for a {taken}"), values);
        signals = signals.panel(panel.include_y(-2.5, 2.5).panel_size(380, 160));
    }
    let losses = Curves::new("Losses")
        .x("epoch")
        .y("cross-entropy")
        .values("training", &history.get("loss"))
        .values("validation", &history.get("val_loss"));
    let paths = [common::picture("conv1d", args.svg), common::picture("conv1d_loss", args.svg)];
    signals.save(&paths[0])?;
    losses.save(&paths[1])?;
    for path in paths {
        println!("wrote {}", path.display());
    }
    Ok(())
}
