//! A training loop written by hand: forward, loss, gradients and update as one step, run batch by batch; and the same
//! with an update on the host. `fit` gives the same weights: to the last bit, and to 1e-6.
//!
//! `cargo run --release --example custom_loop`

mod common;

use anyhow::{Result, ensure};
use clap::Parser;
use std::process::ExitCode;
use wgrad::prelude::*;

/// Trains by hand and compares with `fit`.
#[derive(Parser)]
struct Args {
    /// Seed of the data and the initial weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the data.
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    /// Write SVG instead of PNG (there is no picture here).
    #[arg(long)]
    svg: bool,
}

const SAMPLES: usize = 256;
const BATCH: usize = 32;
const RATE: f32 = 0.1;
const LOSS: Loss = Loss::SparseCategoricalCrossentropy { from_logits: true };

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let options = wgrad::data::Blobs { n_samples: SAMPLES, n_features: 4, ..Default::default() };
    let data = wgrad::data::make_blobs(&wgrad::data::Blobs { seed: args.seed, ..options })?;
    let model = Sequential::new([4])
        .add(Dense::new(16).activation(Activation::Tanh))
        .add(Dense::new(3))
        .build()?;

    let mut trainer = model.compile(&device, Compile::new(Sgd::new(RATE), LOSS).seed(args.seed))?;
    trainer.fit(&data, Fit::new().epochs(args.epochs).batch_size(BATCH).shuffle(false))?;
    let fitted = trainer.weights()?;
    ensure!(train(&device, &model, &data, args, true)? == fitted, "other bits than those of fit");
    let mut difference = 0.0f32;
    for ((_, a), (_, b)) in train(&device, &model, &data, args, false)?.iter().zip(&fitted) {
        let pairs = a.as_f32()?.iter().zip(b.as_f32()?);
        difference = pairs.map(|(a, b)| (a - b).abs()).fold(difference, f32::max);
    }
    ensure!(difference <= 1e-6, "the host's update differs by {difference:e}");
    let seconds = clock.seconds();
    println!("result: same_bits=1 host_difference={difference:.1e} seconds={seconds:.2}");
    Ok(())
}

/// Trains on the batches in order, with updates on the device or on the host, and gives the weights.
fn train(
    device: &Device,
    model: &Model,
    data: &TensorDataset,
    args: &Args,
    on_device: bool,
) -> Result<Vec<(String, Tensor)>> {
    let mut session = Session::new(device, args.seed);
    let model = session.add("model", model)?;
    let sgd = session.optimizer(Sgd::new(RATE), [model])?;
    let step = session.step("train", |s| {
        let (x, y) = (s.input("x", [BATCH, 4], DType::F32), s.input("y", [BATCH], DType::U32));
        let predictions = s.apply(model, &[x], true)?[0];
        let loss = s.loss(&LOSS, y, predictions)?;
        s.output("loss", loss);
        if on_device {
            return s.minimize(loss, sgd);
        }
        for (i, gradient) in s.gradients(loss, model)?.into_iter().enumerate() {
            s.output(&format!("gradient {i}"), gradient);
        }
        Ok(())
    })?;
    for epoch in 0..args.epochs {
        let mut total = 0.0;
        for start in (0..SAMPLES).step_by(BATCH) {
            let batch = data.rows(start, BATCH)?;
            session.run(step, &[("x", batch.x()), ("y", batch.y())])?;
            total += session.read(step, "loss")?.as_f32()?[0];
            if on_device {
                continue;
            }
            let mut new = Vec::new();
            for (i, (_, w)) in session.weights(model)?.into_iter().enumerate() {
                let gradient = session.read(step, &format!("gradient {i}"))?;
                let values = w.as_f32()?.iter().zip(gradient.as_f32()?).map(|(w, g)| w - RATE * g);
                new.push(Tensor::f32(w.shape().clone(), values.collect::<Vec<f32>>())?);
            }
            session.set_weights(model, &new)?;
        }
        println!("epoch {}  loss {:.4}", epoch + 1, total / (SAMPLES / BATCH) as f32);
    }
    Ok(session.weights(model)?)
}
