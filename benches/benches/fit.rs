//! What `fit` costs over a bare loop of the same steps: 784-128-10, Adam, batch 32, 60,000 samples of bytes, an
//! epoch at a time. The two take turns, so that other work of the machine affects both.
//!
//! The bare loop has every step's words prepared, reads the samples in order, has no metric and waits once an epoch.
//! `fit` shuffles, prepares the words, has the accuracy, and draws its bar into memory. `--quick` takes fewer turns.

use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wgrad::gpu::{Device, Executor, StepBlock, Store};
use wgrad::graph::TensorType;
use wgrad::prelude::*;
use wgrad::train::Batch;

const SAMPLES: usize = 60_000;
const SIZE: usize = 32;

fn main() -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let turns = if std::env::args().any(|a| a == "--quick") { 3 } else { 15 };
    let data = samples()?;
    let mut bare = Bare::new(&device, &data)?;
    let mut trainer = compile(&device, &[Metric::Accuracy])?;
    // Neither compilation nor upload is measured.
    bare.epoch()?;
    trainer.fit(&data, Fit::new().batch_size(SIZE).verbose(Verbose::Silent))?;
    let (mut bares, mut fits) = (Vec::new(), Vec::new());
    for turn in 0..turns {
        let (a, b) = (bare.epoch()?, fit_epoch(&mut trainer, &data)?);
        println!("turn {turn:>2}: bare loop {a:>7.3?}  fit {b:>7.3?}  ratio {:.3}", ratio(a, b));
        bares.push(a);
        fits.push(b);
    }
    let mut ratios: Vec<f64> = bares.iter().zip(&fits).map(|(a, b)| ratio(*a, *b)).collect();
    ratios.sort_by(f64::total_cmp);
    let best = |times: &[Duration]| times.iter().min().copied().context("there are turns");
    let (a, b) = (best(&bares)?, best(&fits)?);
    println!(
        "result: bare_seconds={:.4} fit_seconds={:.4} ratio_of_best={:.4} median_ratio={:.4}",
        a.as_secs_f64(),
        b.as_secs_f64(),
        ratio(a, b),
        ratios[ratios.len() / 2]
    );
    Ok(())
}

fn ratio(a: Duration, b: Duration) -> f64 {
    b.as_secs_f64() / a.as_secs_f64()
}

/// Bytes and labels that look random.
fn samples() -> Result<TensorDataset> {
    let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
    let x = Tensor::u8([SAMPLES, 784], (0..SAMPLES * 784).map(byte).collect::<Vec<u8>>())?;
    let y: Vec<u32> = (0..SAMPLES as u32).map(|i| i.wrapping_mul(7) % 10).collect();
    Ok(TensorDataset::new(x, Tensor::u32([SAMPLES], y)?)?.scaled(1.0 / 255.0)?)
}

fn compile(device: &Device, metrics: &[Metric]) -> Result<Trainer> {
    let model = Sequential::new([784])
        .add(Dense::new(128).activation(Activation::Relu))
        .add(Dense::new(10));
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    Ok(model.compile(device, Compile::new(Adam::default(), loss).metrics(metrics))?)
}

/// A plan, its buffers and the words of an epoch's steps.
struct Bare {
    device: Device,
    executor: Executor,
    blocks: Vec<StepBlock>,
}

impl Bare {
    fn new(device: &Device, data: &TensorDataset) -> Result<Self> {
        let trainer = compile(device, &[])?;
        let ty = |t: &Tensor| TensorType { shape: t.shape().clone(), dtype: t.dtype() };
        let steps = SAMPLES / SIZE;
        let batch = Batch::new("train", ty(data.x()), ty(data.y()), SIZE, steps);
        let batch = Batch { scale: data.scale(), ..batch };
        let plan = Arc::new(trainer.plan(&batch, true)?);
        let mut store = Store::new(device);
        for decl in &plan.buffers {
            store.allocate(&decl.name, decl.bytes)?;
        }
        store.upload(&batch.buffer("x", 0), data.x())?;
        store.upload(&batch.buffer("y", 0), data.y())?;
        let order: Vec<u32> = (0..SAMPLES as u32).collect();
        store.upload(&batch.buffer("order", 0), &Tensor::u32([SAMPLES], order)?)?;
        for (i, arena) in trainer.layout().arenas.iter().enumerate() {
            let values = wgrad_benches::uniform(i as u64, arena.len);
            store.upload(&trainer.layout().arena_name(i), &Tensor::f32([arena.len], values)?)?;
        }
        let block = |step: usize| {
            let mut block = StepBlock::default();
            block.set_u32(&plan, "start", (step * SIZE) as u32)?;
            block.set_u32(&plan, "record", step as u32)?;
            block.set_f32(&plan, "alpha", 0.001)?;
            Ok(block)
        };
        let blocks = (0..steps).map(block).collect::<Result<_>>()?;
        let mut executor = Executor::new(device, plan, &store)?;
        executor.set_steps_per_submit(64);
        Ok(Self { device: device.clone(), executor, blocks })
    }

    fn epoch(&mut self) -> Result<Duration> {
        let began = Instant::now();
        self.executor.run(&self.blocks)?;
        self.device.wait()?;
        Ok(began.elapsed())
    }
}

/// The time of an epoch under `fit` with everything in it: from the end of the epoch before, whose first steps wait
/// for the upload, to the end of this one.
fn fit_epoch(trainer: &mut Trainer, data: &TensorDataset) -> Result<Duration> {
    let (mut before, mut took) = (None, None);
    let clock = Lambda::new().on_epoch_end(|_, _| {
        took = before.map(|at: Instant| at.elapsed());
        before = Some(Instant::now());
        Ok(())
    });
    let fit = Fit::new().epochs(2).batch_size(SIZE).verbose(Verbose::Silent);
    trainer.fit(data, fit.callback(ProgressBar::to(Vec::new(), 80)).callback(clock))?;
    took.context("two epochs ran")
}
