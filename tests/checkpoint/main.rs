//! Checkpoints: training that continues with the same bits, files that are damaged, foreign or half written, and
//! weights from and for other libraries.

mod callbacks;
mod convolutions;
mod damage;
mod disk;
mod flatten;
mod format;
mod freeze;
mod kill;
mod model;
mod others;
mod partial;
mod recurrent;
mod replaced;
mod resume;
#[cfg(feature = "csv")]
mod served;
mod states;
#[path = "../support/mod.rs"]
mod support;
mod torch_attention;
mod torch_images;
mod transformer;
mod versions;
mod weights;

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use support::{Folder, device, says};
use wgrad::layers::Model;
use wgrad::prelude::*;
use wgrad::train::BatchEnd;

/// Cross-entropy of integer labels on logits.
const SPARSE: Loss = Loss::SparseCategoricalCrossentropy { from_logits: true };

/// The `i`-th of a sequence of 64-bit numbers that look random (SplitMix64, Steele et al. 2014).
fn scramble(i: u64) -> u64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `n` points of six numbers in [-1, 1), each of the class given by the sum of its first numbers.
fn points(n: usize) -> TensorDataset {
    let x: Vec<f32> =
        (0..n * 6).map(|i| (scramble(i as u64) >> 40) as f32 / 8_388_608.0 - 1.0).collect();
    let class = |row: &[f32]| 1 + u32::from(row[0] + row[1] > 0.5) - u32::from(row[0] < row[2]);
    let labels: Vec<u32> = x.chunks_exact(6).map(class).collect();
    TensorDataset::new(Tensor::f32([n, 6], x).unwrap(), Tensor::u32([n], labels).unwrap()).unwrap()
}

/// Six inputs, dropout between two layers, three logits.
fn network() -> Model {
    let layers = Sequential::new([6])
        .add(Dense::new(16).activation(Activation::Relu))
        .add(Dropout::new(0.25))
        .add(Dense::new(3));
    layers.build().unwrap()
}

/// The rate of [`settings`].
const RATE: f32 = 0.05;

fn settings() -> Compile {
    Compile::new(Adam::new(RATE), SPARSE).metrics([Metric::Accuracy]).seed(7)
}

fn trainer() -> Trainer {
    network().compile(device(), settings()).unwrap()
}

/// A trainer of the same code that has since trained otherwise: other weights, other optimizer state, other counters.
fn strayed() -> Trainer {
    let mut trainer = trainer();
    trainer.fit(&points(64), Fit::new().epochs(2).verbose(Verbose::Silent)).unwrap();
    trainer.keep_weights("stray").unwrap();
    trainer.set_learning_rate(0.5).unwrap();
    trainer
}

/// SHA-256 of all weights.
fn digest(trainer: &Trainer) -> String {
    let mut hash = Sha256::new();
    for (_, tensor) in trainer.weights().unwrap() {
        hash.update(tensor.data().bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The position of bytes.
fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}

/// All that a trainer holds, as the bytes of a checkpoint.
fn state(trainer: &Trainer, folder: &Folder) -> Vec<u8> {
    let path = folder.file("state.safetensors");
    trainer.save_checkpoint(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

/// The logs of all epochs, floats by their bits.
fn bits(history: &History) -> Vec<(usize, Vec<(String, u64)>)> {
    let logs =
        |e: &Epoch| e.logs.iter().map(|(name, value)| (name.clone(), value.to_bits())).collect();
    history.epochs.iter().map(|e| (e.epoch, logs(e))).collect()
}

/// Keeps the best weights, halves the rate when the loss is hardly better, and adds up what batches report.
#[derive(Default)]
struct Watch {
    best: Option<f64>,
    wait: u64,
    sum: f64,
}

impl Callback for Watch {
    fn name(&self) -> String {
        "Watch".into()
    }

    fn batch_interval(&self) -> BatchInterval {
        BatchInterval::Batches(3)
    }

    fn on_batch_end(&mut self, batch: &BatchEnd<'_>, _control: &mut Control<'_>) -> HookResult {
        self.sum += batch.get("loss").unwrap();
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        let loss = epoch.get("val_loss").unwrap();
        if self.best.is_none_or(|best| loss < best - 0.05) {
            self.best = Some(loss);
            control.keep_weights("best")?;
        } else {
            self.wait += 1;
            let rate = control.learning_rate() as f32;
            control.set_learning_rate(rate / 2.0)?;
        }
        epoch.logs.extend([("wait".into(), self.wait as f64), ("sum".into(), self.sum)]);
        Ok(())
    }

    fn state(&self) -> serde_json::Value {
        serde_json::json!({ "best": self.best, "wait": self.wait, "sum": self.sum })
    }

    fn restore(&mut self, state: &serde_json::Value) -> HookResult {
        self.best = state["best"].as_f64();
        self.wait = state["wait"].as_u64().ok_or("no wait")?;
        self.sum = state["sum"].as_f64().ok_or("no sum")?;
        Ok(())
    }
}

/// Saves a checkpoint at one place, and fails at a later one.
struct Crash<'a> {
    path: &'a Path,
    /// The epoch, and the batch at whose end it happens; without a batch, at the epoch's end.
    save: (usize, Option<usize>),
    fail: (usize, Option<usize>),
}

impl Crash<'_> {
    fn at(&self, place: (usize, Option<usize>), control: &mut Control<'_>) -> HookResult {
        if place == self.save {
            control.save_checkpoint(self.path);
        }
        if place == self.fail { Err("crash".into()) } else { Ok(()) }
    }
}

impl Callback for Crash<'_> {
    fn name(&self) -> String {
        "Crash".into()
    }

    fn batch_interval(&self) -> BatchInterval {
        BatchInterval::Batches(1)
    }

    fn on_batch_end(&mut self, batch: &BatchEnd<'_>, control: &mut Control<'_>) -> HookResult {
        self.at((batch.epoch, Some(batch.batch)), control)
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        self.at((epoch.epoch, None), control)
    }
}
