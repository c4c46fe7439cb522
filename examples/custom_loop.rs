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
    // Trains on the batches in order, with updates on the device or on the host, and gives the weights.
    let train = |on_device: bool| -> Result<Vec<(String, Tensor)>> {
        let mut session = Session::new(&device, args.seed);
        let model = session.add("model", &model)?;
        let sgd = session.optimizer(Sgd::new(RATE), [model])?;
        let step = session.step("train", |s| {
            let (x, y) = (s.input("x", [BATCH, 4], DType::F32), s.input("y", [BATCH], DType::U32));
            let predictions = s.apply(model, &[x], true)?[0];
            let loss = s.loss(&LOSS, y, predictions)?;
            s.output("loss", loss);
            match on_device {
                true => s.minimize(loss, sgd),
                false => s.gradients(loss, model).map(|all| s.outputs("gradient", &all)),
            }
        })?;
        for epoch in 0..args.epochs {
            let mut total = 0.0;
            for start in (0..SAMPLES).step_by(BATCH) {
                let batch = data.rows(start, BATCH)?;
                let outputs = session.call(step, &[("x", batch.x()), ("y", batch.y())])?;
                total += outputs[0].as_f32()?[0];
                if !on_device {
                    let descend = |w: f32, g: f32| w - RATE * g;
                    session.map_weights(model, |i, w| w.zip_with(&outputs[1 + i], descend))?;
                }
            }
            println!("epoch {}  loss {:.4}", epoch + 1, total / (SAMPLES / BATCH) as f32);
        }
        Ok(session.weights(model)?)
    };
    ensure!(train(true)? == fitted, "other bits than those of fit");
    let mut difference = 0.0f32;
    for ((_, a), (_, b)) in train(false)?.iter().zip(&fitted) {
        let apart = a.zip_with(b, |a, b| (a - b).abs())?;
        difference = apart.as_f32()?.iter().copied().fold(difference, f32::max);
    }
    ensure!(difference <= 1e-6, "the host's update differs by {difference:e}");
    let seconds = clock.seconds();
    println!("result: same_bits=1 host_difference={difference:.1e} seconds={seconds:.2}");
    Ok(())
}
