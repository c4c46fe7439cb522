//! A training loop written by hand: forward, loss, gradients and update as one graph, run batch by batch; and the
//! same with an update on the host. `fit` gives the same weights: to the last bit, and to 1e-6.
//!
//! `cargo run --release --example custom_loop`

mod common;

use anyhow::{Result, ensure};
use clap::Parser;
use std::process::ExitCode;
use std::sync::Arc;
use wgrad::autodiff::gradients;
use wgrad::gpu::{Executor, StepBlock, Store};
use wgrad::graph::Graph;
use wgrad::layers::Model;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
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
    let initial: Vec<Tensor> = trainer.weights()?.into_iter().map(|(_, w)| w).collect();
    let fit = Fit::new().epochs(args.epochs).batch_size(BATCH).shuffle(false);
    trainer.fit(&data, fit)?;
    let fitted: Vec<Tensor> = trainer.weights()?.into_iter().map(|(_, w)| w).collect();

    let on_device = Loop::new(&device, &model, &initial, true)?.train(args.epochs, &data)?;
    let same = on_device == fitted;
    println!(
        "an update on the device: {}",
        if same { "the same bits as fit" } else { "other bits" }
    );
    let on_host = Loop::new(&device, &model, &initial, false)?.train(args.epochs, &data)?;
    let mut difference = 0.0f32;
    for (a, b) in on_host.iter().zip(&fitted) {
        for (a, b) in a.as_f32()?.iter().zip(b.as_f32()?) {
            difference = difference.max((a - b).abs());
        }
    }
    println!("an update on the host: largest difference {difference:.1e}");
    ensure!(same, "the device's update differs from fit's");
    ensure!(difference <= 1e-6, "the host's update differs by {difference:e}");
    println!(
        "result: same_bits={} host_difference={difference:.1e} seconds={:.2}",
        u8::from(same),
        clock.seconds()
    );
    Ok(())
}

/// One step as a graph, with its buffers.
struct Loop {
    store: Store,
    executor: Executor,
    /// The weights on the host, if it updates them.
    weights: Option<Vec<Tensor>>,
    names: Vec<String>,
    shapes: Vec<Shape>,
}

impl Loop {
    /// Forward, loss and gradients; on the device also w ← w - rate · gradient.
    fn new(device: &Device, model: &Model, initial: &[Tensor], on_device: bool) -> Result<Self> {
        let mut g = Graph::new();
        let x = g.input("x", [BATCH, 4], DType::F32);
        let y = g.input("y", [BATCH], DType::U32);
        let names: Vec<String> = (0..initial.len()).map(|i| format!("w{i}")).collect();
        let weights: Vec<_> =
            names.iter().zip(initial).map(|(n, w)| g.state(n, w.shape(), DType::F32)).collect();
        let predictions = model.apply(&mut g, &[x], &weights, None)?[0];
        let rows = LOSS.build(&mut g, y, predictions)?.rows;
        let loss = g.sum(rows, &[], false)?;
        g.output("loss", loss);
        let grads = gradients(&mut g, loss, &weights)?;
        for ((name, &w), &grad) in names.iter().zip(&weights).zip(&grads) {
            if on_device {
                let step = g.scale(grad, RATE)?;
                let new = g.sub(w, step)?;
                g.update(w, new)?;
            } else {
                g.output(&format!("gradient of {name}"), grad);
            }
        }
        let plan = Plan::compile(&g, &Passes::default(), device.caps())?;
        let mut store = Store::new(device);
        store.allocate("x", (BATCH * 4 * 4) as u64)?;
        store.allocate("y", (BATCH * 4) as u64)?;
        for (name, w) in names.iter().zip(initial) {
            store.upload(name, w)?;
        }
        let executor = Executor::new(device, Arc::new(plan), &store)?;
        let weights = (!on_device).then(|| initial.to_vec());
        let shapes = initial.iter().map(|w| w.shape().clone()).collect();
        Ok(Self { store, executor, weights, names, shapes })
    }

    /// Trains on the batches in order and gives the weights.
    fn train(mut self, epochs: usize, data: &TensorDataset) -> Result<Vec<Tensor>> {
        for epoch in 0..epochs {
            let mut total = 0.0;
            for start in (0..SAMPLES).step_by(BATCH) {
                let batch = data.rows(start, BATCH)?;
                self.store.upload("x", batch.x())?;
                self.store.upload("y", batch.y())?;
                self.executor.run(&[StepBlock::default()])?;
                total += self.read("loss")?.as_f32()?[0];
                self.update()?;
            }
            println!("epoch {}  loss {:.4}", epoch + 1, total / (SAMPLES / BATCH) as f32);
        }
        match self.weights {
            Some(weights) => Ok(weights),
            None => {
                let states = self.names.iter().zip(&self.shapes);
                states.map(|(name, shape)| self.state(name, shape)).collect()
            }
        }
    }

    /// The update, if the host does it: gradients come back, new weights go to the device.
    fn update(&mut self) -> Result<()> {
        let Some(mut weights) = self.weights.take() else { return Ok(()) };
        for (name, w) in self.names.iter().zip(&mut weights) {
            let grad = self.read(&format!("gradient of {name}"))?;
            let values = w.as_f32()?.iter().zip(grad.as_f32()?).map(|(w, g)| w - RATE * g);
            *w = Tensor::f32(w.shape().clone(), values.collect::<Vec<f32>>())?;
            self.store.upload(name, w)?;
        }
        self.weights = Some(weights);
        Ok(())
    }

    /// An output of the last step, read back.
    fn read(&self, name: &str) -> Result<Tensor> {
        Ok(wgrad::gpu::block_on(self.executor.read(name))?)
    }

    /// A state, read back.
    fn state(&self, name: &str, shape: &Shape) -> Result<Tensor> {
        let bytes = wgrad::gpu::block_on(self.store.read(name, shape.len() * 4))?;
        let words = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok(Tensor::f32(shape.clone(), words.collect::<Vec<f32>>())?)
    }
}
