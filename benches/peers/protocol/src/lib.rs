//! One protocol for all peers: the same weights and batches from one file, the same steps in the same order, and one
//! line of JSON at the end.
//!
//! A peer implements [`Peer`] and calls [`main`]. `benches/peers/protocol.py` does the same for Python, step for step.

mod data;
mod model;

pub use data::{CLASSES, Data, INPUTS, Mnist};
pub use model::{Block, Bottleneck, Layer, Model, Normalized, Weights};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Instant;

/// Adam's decay of the first moment.
pub const BETA1: f64 = 0.9;
/// Adam's decay of the second moment.
pub const BETA2: f64 = 0.999;
/// What Adam adds to the root: so little that it does not matter whether a library adds it before the root's bias
/// correction or after; the usual 1e-8 makes a difference that the comparison of losses sees.
pub const EPSILON: f64 = 1e-12;

/// What batch normalization adds to a variance: Keras' default.
pub const NORM_EPSILON: f64 = 1e-3;
/// The share of the moving mean and variance that a step keeps: Keras' default.
pub const NORM_MOMENTUM: f64 = 0.99;

/// What layer normalization adds to a variance.
pub const LAYER_EPSILON: f64 = 1e-5;

/// The error of a library that does not have a layer: its row says so.
#[derive(Debug)]
pub struct Lacks(pub &'static str);

impl std::fmt::Display for Lacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no {}", self.0)
    }
}

impl std::error::Error for Lacks {}

/// One library's training of a network.
pub trait Peer: Sized {
    /// The name in the table.
    const NAME: &'static str;

    /// Whether the library has an image's channels before its rows and columns.
    const CHANNELS_FIRST: bool = true;

    /// Images, or ids as whole numbers, and labels in a place that a step can use.
    type Batch;

    /// The model with these weights, its loss and its optimizer; [`Lacks`] if the library does not have a layer.
    fn new(model: &Model) -> Result<Self>;

    /// What it computes on.
    fn device(&self) -> String;

    /// Brings a batch to the device.
    fn upload(&mut self, images: &[f32], labels: &[u32]) -> Result<Self::Batch>;

    /// Queues one step: forward, backward, Adam.
    fn step(&mut self, batch: &Self::Batch) -> Result<()>;

    /// The loss of the last step, as it was before that step's update; waits until every queued step is done.
    fn loss(&mut self) -> Result<f32>;

    /// Logits of a whole batch, a row for each label, by the network as it predicts.
    fn logits(&mut self, images: &[f32]) -> Result<Vec<f32>>;
}

/// The command line.
pub struct Args {
    /// The file of weights and batches.
    pub data: PathBuf,
    /// Timed passes over the batches.
    pub repeats: usize,
    /// The folder with the four plain IDX files, for a run that trains an epoch of MNIST.
    pub mnist: Option<PathBuf>,
}

impl Args {
    /// Reads `--data FILE --repeats N --mnist DIR|none`.
    pub fn parse() -> Result<Args> {
        let mut args = Args { data: PathBuf::new(), repeats: 3, mnist: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("`{word}` needs a value"))?;
            match word.as_str() {
                "--data" => args.data = value.into(),
                "--repeats" => args.repeats = value.parse().context("--repeats")?,
                "--mnist" => args.mnist = (value != "none").then(|| value.into()),
                _ => bail!("unknown argument `{word}`"),
            }
        }
        ensure!(!args.data.as_os_str().is_empty(), "--data is missing");
        Ok(args)
    }
}

/// Runs a peer through the protocol and prints its line.
pub fn main<P: Peer>() -> Result<()> {
    let args = Args::parse()?;
    let data = Data::read(&args.data)?;
    let data = if P::CHANNELS_FIRST { data.channels_first() } else { data };
    let mut line = json!({ "name": P::NAME });

    let start = Instant::now();
    let mut peer = match P::new(&data.model) {
        Err(error) if error.is::<Lacks>() => {
            println!("{}", json!({ "lacks": error.downcast::<Lacks>()?.0 }));
            return Ok(());
        }
        peer => peer?,
    };
    let mut batches = vec![upload(&mut peer, &data, 0)?];
    peer.step(&batches[0])?;
    line["loss_first"] = json!(peer.loss()?);
    line["first_step_seconds"] = json!(start.elapsed().as_secs_f64());
    line["device"] = json!(peer.device());

    for i in 1..data.steps() {
        batches.push(upload(&mut peer, &data, i)?);
        peer.step(&batches[i])?;
    }
    line["loss"] = json!(peer.loss()?);

    line["step_seconds"] = json!(time(&mut peer, &batches, args.repeats)?);
    line["predict_seconds"] = json!(predict(&mut peer, &data, args.repeats)?);
    if let Some(dir) = args.mnist {
        // The epoch starts from the file's weights, with nothing of the first model around.
        drop((peer, batches));
        merge(&mut line, epoch::<P>(&data, &Mnist::read(&dir)?)?);
    }
    println!("{line}");
    Ok(())
}

/// Brings batch `i` of the file to the device.
fn upload<P: Peer>(peer: &mut P, data: &Data, i: usize) -> Result<P::Batch> {
    let (images, labels) = data.batch(i);
    peer.upload(images, labels)
}

/// Seconds per step of each pass over the batches: many steps, then one wait. A pass that does not count goes
/// before, because a library may still choose kernels there.
fn time<P: Peer>(peer: &mut P, batches: &[P::Batch], repeats: usize) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    for repeat in 0..=repeats {
        let start = Instant::now();
        for batch in batches {
            peer.step(batch)?;
        }
        peer.loss()?;
        if repeat > 0 {
            seconds.push(start.elapsed().as_secs_f64() / batches.len() as f64);
        }
    }
    Ok(seconds)
}

/// Seconds per batch of each pass of prediction, from images on the host to logits on the host. As in `time` a pass that
/// does not count goes before; if none counts there is none.
fn predict<P: Peer>(peer: &mut P, data: &Data, repeats: usize) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    for repeat in (0..=repeats).filter(|_| repeats > 0) {
        let start = Instant::now();
        for i in 0..data.steps() {
            peer.logits(data.batch(i).0)?;
        }
        if repeat > 0 {
            seconds.push(start.elapsed().as_secs_f64() / data.steps() as f64);
        }
    }
    Ok(seconds)
}

/// One epoch of MNIST in the files' order, uploads and scaling included, and the accuracy after it.
fn epoch<P: Peer>(data: &Data, mnist: &Mnist) -> Result<Value> {
    let mut peer = P::new(&data.model)?;
    let start = Instant::now();
    for (images, labels) in mnist.train.batches(data.model.batch) {
        let batch = peer.upload(&images, &labels)?;
        peer.step(&batch)?;
    }
    let loss = peer.loss()?;
    let seconds = start.elapsed().as_secs_f64();

    let test = &mnist.test;
    let mut hits = 0;
    for (images, labels) in test.padded(data.model.batch) {
        let logits = peer.logits(&images)?;
        hits +=
            labels.iter().zip(logits.chunks(CLASSES)).filter(|(l, row)| **l == best(row)).count();
    }
    Ok(json!({
        "mnist_epoch_seconds": seconds,
        "mnist_last_loss": loss,
        "mnist_accuracy": hits as f64 / test.labels.len() as f64,
    }))
}

/// The index of the largest number, the first of several.
#[must_use]
pub fn best(row: &[f32]) -> u32 {
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        if *v > row[best] {
            best = i;
        }
    }
    best as u32
}

/// Adds the fields of one object to another.
fn merge(line: &mut Value, further: Value) {
    if let (Some(line), Value::Object(further)) = (line.as_object_mut(), further) {
        line.extend(further);
    }
}
