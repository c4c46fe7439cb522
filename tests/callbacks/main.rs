//! What callbacks see, decide and write, on a model of one weight whose logs the tests make up.

mod csv;
mod failures;
mod hooks;
mod known;
mod progress;
mod rates;
mod reentry;
mod resume;
mod stopping;
#[path = "../support/mod.rs"]
mod support;
mod tensorboard;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use support::{device, says};
use wgrad::prelude::*;
use wgrad::{Error, Result};

/// `n` points of a line.
fn line(n: usize) -> TensorDataset {
    let x: Vec<f32> = (0..n).map(|i| i as f32 / n as f32).collect();
    let y: Vec<f32> = x.iter().map(|x| 3.0 * x - 1.0).collect();
    TensorDataset::new(Tensor::f32([n, 1], x).unwrap(), Tensor::f32([n, 1], y).unwrap()).unwrap()
}

/// A straight line to be fitted, at the learning rate 0.125.
fn trainer() -> Trainer {
    trainer_on(device())
}

/// As [`trainer`], on a separate device for the test.
fn trainer_on(device: &Device) -> Trainer {
    let compile = Compile::new(Sgd::new(0.125), Loss::MeanSquaredError);
    let compile = compile.metrics([Metric::MeanAbsoluteError]);
    Sequential::new([1]).add(Dense::new(1)).compile(device, compile).unwrap()
}

/// Silent training for so many epochs on batches of 2.
fn fit<'a>(epochs: usize) -> Fit<'a> {
    Fit::new().epochs(epochs).batch_size(2).verbose(Verbose::Silent)
}

/// A callback that puts made-up numbers in place of what was measured, one per epoch.
fn made_up<'a>(name: &'a str, numbers: &'a [f64]) -> Lambda<'a> {
    Lambda::new().logs(name).on_epoch_end(move |epoch, _| {
        epoch.logs.retain(|(n, _)| n != name);
        epoch.logs.push((name.into(), numbers[epoch.epoch]));
        Ok(())
    })
}

/// The bits of all weights.
fn bits(trainer: &Trainer) -> Vec<u32> {
    let weights = trainer.weights().unwrap();
    let bits = |(_, t): &(String, Tensor)| -> Vec<u32> {
        t.as_f32().unwrap().iter().map(|w| w.to_bits()).collect()
    };
    weights.iter().flat_map(bits).collect()
}

/// An empty folder of this name.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("callbacks").join(name);
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A writer whose text the test reads.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
