//! Overfitting and three cures: a large network on a small noisy set, as it is, with an L1 penalty, with an L2
//! penalty, and with dropout.
//!
//! `cargo run --release --example overfitting` draws the four pairs of curves in `out/overfitting.png`.

mod common;

use anyhow::Result;
use clap::Parser;
use std::process::ExitCode;
use wgrad::data::{Moons, make_moons};
use wgrad::plot::{Curves, Figure};
use wgrad::prelude::*;

/// Trains the same network four times.
#[derive(Parser)]
struct Args {
    /// Seed of the data, the initial weights and dropout.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training data.
    #[arg(long, default_value_t = 300)]
    epochs: usize,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

/// A way to train: its name, the penalty on kernels, the dropout rate.
type Cure = (&'static str, Regularizer, f32);

const NONE: Regularizer = Regularizer::NONE;

const CURES: [Cure; 4] = [
    ("none", NONE, 0.0),
    ("l1", Regularizer::l1(0.001), 0.0),
    ("l2", Regularizer::l2(0.005), 0.0),
    ("dropout", NONE, 0.5),
];

/// The end of the vertical axis.
const HIGHEST: f64 = 1.25;

/// The name of a cure in a title.
fn label(name: &str) -> String {
    if name == "dropout" { name.into() } else { name.to_uppercase() }
}

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let moons = |n_samples, seed| -> Result<TensorDataset> {
        let made = make_moons(&Moons { n_samples, noise: 0.3, seed, ..Moons::default() })?;
        let y = made.y().as_u32()?.iter().map(|&l| l as f32).collect::<Vec<_>>();
        Ok(TensorDataset::new(made.x().clone(), Tensor::f32([y.len(), 1], y)?)?)
    };
    // Few to learn from, many to judge by.
    let (train, validation) = (moons(60, 2 * args.seed)?, moons(1000, 2 * args.seed + 1)?);

    let mut figure = Figure::new("256-256 ReLU on 60 noisy points").columns(2);
    let mut gaps = Vec::new();
    println!("{:<8} {:>10} {:>12} {:>8}", "cure", "training", "validation", "gap");
    for (name, penalty, rate) in CURES {
        let hidden = || {
            let layer = Dense::new(256).activation(Activation::Relu);
            layer.kernel_regularizer(penalty)
        };
        let model = Sequential::new([2])
            .add(hidden())
            .add(Dropout::new(rate))
            .add(hidden())
            .add(Dropout::new(rate))
            .add(Dense::new(1).activation(Activation::Sigmoid));
        let loss = Loss::BinaryCrossentropy { from_logits: false };
        let mut trainer =
            model.compile(&device, Compile::new(Adam::new(0.003), loss).seed(args.seed))?;
        let fit = Fit::new().epochs(args.epochs).full_batch().validation_data(&validation);
        let history = trainer.fit(&train, fit.verbose(Verbose::Silent))?;
        // Without dropout on both sides, and with the penalty on both: the gap is that of the data.
        let (seen, unseen) = (trainer.evaluate(&train)?.loss, trainer.evaluate(&validation)?.loss);
        println!("{name:<8} {seen:>10.4} {unseen:>12.4} {:>8.4}", unseen - seen);
        gaps.push(unseen - seen);
        let title =
            if name == "none" { "no cure".to_owned() } else { format!("with {}", label(name)) };
        // One axis for all four, to compare them. It leaves out what the penalties add in the first epochs.
        let panel = Curves::new(title).x("epoch").y("loss").limit_y(0.0, HIGHEST);
        let panel = panel.values("training", &history.get("loss"));
        figure = figure.panel(panel.values("validation", &history.get("val_loss")));
    }
    let path = common::picture("overfitting", args.svg);
    figure.save(&path)?;
    println!("wrote {}", path.display());
    print!("result:");
    for ((name, ..), gap) in CURES.iter().zip(&gaps) {
        print!(" gap_{name}={gap:.4}");
    }
    println!(" seconds={:.2}", clock.seconds());
    Ok(())
}
