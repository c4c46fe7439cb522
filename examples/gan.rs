//! A generator learns to draw the two moons from noise, and a discriminator to tell its points from real ones. They
//! train in turn and share their weights on the device.
//!
//! `cargo run --release --example gan` draws real and generated points and both losses in `out/`.

mod common;

use anyhow::{Result, ensure};
use clap::Parser;
use std::process::ExitCode;
use wgrad::data::{Moons, make_moons, permutation};
use wgrad::plot::{Curves, Scatter};
use wgrad::prelude::*;

/// Trains a generator against a discriminator.
#[derive(Parser)]
struct Args {
    /// Seed of the points, the initial weights and the noise.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the real points.
    #[arg(long, default_value_t = 300)]
    epochs: usize,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

/// Real points.
const POINTS: usize = 1024;
const BATCH: usize = 128;
/// Numbers that the generator makes a point of.
const NOISE: usize = 4;
const LOSS: Loss = Loss::BinaryCrossentropy { from_logits: true };

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

/// From points or noise of `inputs` numbers to `outputs`.
fn network(inputs: usize, outputs: usize) -> wgrad::Result<Model> {
    Sequential::new([inputs])
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(outputs))
        .build()
}

/// The mean of points in the plane.
fn mean(points: &[f32]) -> [f32; 2] {
    let n = (points.len() / 2) as f32;
    [0, 1].map(|axis| points.iter().skip(axis).step_by(2).sum::<f32>() / n)
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    ensure!(args.epochs > 0, "epochs = 0: at least one epoch");
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let seed = args.seed;
    let moons = make_moons(&Moons { n_samples: POINTS, noise: 0.05, seed, ..Moons::default() })?;
    let real = moons.x().as_f32()?;

    let mut session = Session::new(&device, seed);
    let generator = session.add("generator", &network(NOISE, 2)?)?;
    let discriminator = session.add("discriminator", &network(2, 1)?)?;
    let adam = || Adam { beta_1: 0.5, ..Adam::new(1e-3) };
    let of_generator = session.optimizer(adam(), [generator])?;
    let of_discriminator = session.optimizer(adam(), [discriminator])?;

    // Real points count as 1, generated ones as 0. The generator stays as it is.
    let judge = session.step("judge", |s| {
        let (real, noise) = (s.input("real", [BATCH, 2], DType::F32), s.normal([BATCH, NOISE])?);
        let fake = s.apply(generator, &[noise], true)?[0];
        let of_real = s.apply(discriminator, &[real], true)?[0];
        let of_fake = s.apply(discriminator, &[fake], true)?[0];
        let (ones, zeros) = (s.filled([BATCH, 1], 1.0)?, s.filled([BATCH, 1], 0.0)?);
        let (of_real, of_fake) = (s.loss(&LOSS, ones, of_real)?, s.loss(&LOSS, zeros, of_fake)?);
        let loss = s.graph().add(of_real, of_fake)?;
        s.output("loss", loss);
        s.minimize(loss, of_discriminator)
    })?;
    // The generator's points should count as 1. The discriminator stays as it is.
    let forge = session.step("forge", |s| {
        let noise = s.normal([BATCH, NOISE])?;
        let fake = s.apply(generator, &[noise], true)?[0];
        let judged = s.apply(discriminator, &[fake], true)?[0];
        let ones = s.filled([BATCH, 1], 1.0)?;
        let loss = s.loss(&LOSS, ones, judged)?;
        s.output("loss", loss);
        s.minimize(loss, of_generator)
    })?;

    let (mut judging, mut forging) = (Vec::new(), Vec::new());
    for epoch in 0..args.epochs {
        for rows in permutation(POINTS, seed, epoch as u64)?.chunks_exact(BATCH) {
            session.run(judge, &[("real", moons.select(rows)?.x())])?;
            session.run(forge, &[])?;
        }
        // Reading waits for the device: once an epoch is enough.
        judging.push(f64::from(session.read(judge, "loss")?.as_f32()?[0]));
        forging.push(f64::from(session.read(forge, "loss")?.as_f32()?[0]));
        if (epoch + 1) % args.epochs.div_ceil(10) == 0 {
            let (judge, forge) = (judging[epoch], forging[epoch]);
            println!("epoch {:>4}  discriminator {judge:.4}  generator {forge:.4}", epoch + 1);
        }
    }

    let noise = Initializer::Normal { mean: 0.0, stddev: 1.0 };
    let noise = noise.fill(POINTS * NOISE, 1, 1, seed, 1);
    let noise = Tensor::f32([POINTS, NOISE], noise)?;
    let fake = session.predictor(generator)?.predict(&noise)?;
    let (points, curves) =
        (common::picture("gan", args.svg), common::picture("gan_loss", args.svg));
    Scatter::new("Real and generated points")
        .class("real", real)
        .class("generated", fake.as_f32()?)
        .save(&points)?;
    Curves::new("Two networks against each other")
        .x("epoch")
        .y("binary cross-entropy")
        .values("discriminator", &judging)
        .values("generator", &forging)
        .save(&curves)?;
    for path in [points, curves] {
        println!("wrote {}", path.display());
    }
    let (real, fake) = (mean(real), mean(fake.as_f32()?));
    println!(
        "result: real_x={:.3} real_y={:.3} fake_x={:.3} fake_y={:.3} seconds={:.2}",
        real[0],
        real[1],
        fake[0],
        fake[1],
        clock.seconds()
    );
    Ok(())
}
