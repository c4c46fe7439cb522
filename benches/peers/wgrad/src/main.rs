//! wgrad, as its README trains: `Sequential`, `compile`, `fit`.
//!
//! It has no call for a single step, so the protocol's steps are passes of `fit` over the same batches in the same
//! order: the first batch alone, the batches up to the last, the last alone, then passes over all.

use anyhow::{Context, Result};
use peer_protocol::{Args, BATCHES, BETA1, BETA2, Data, EPSILON, INPUTS};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use wgrad::prelude::*;

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("--adapter") {
        return adapter();
    }
    let args = Args::parse()?;
    let data = Data::read(&args.data)?;
    let (images, labels) = data.all();
    let samples = TensorDataset::new(
        Tensor::f32([labels.len(), INPUTS], images.to_vec())?,
        Tensor::u32([labels.len()], labels.to_vec())?,
    )?;
    let mut line = json!({ "name": "wgrad" });

    let start = Instant::now();
    let device = Device::new()?;
    let mut trainer = trainer(&device, Sequential::new([INPUTS]), &data)?;
    line["loss_first"] = json!(last_loss(&mut trainer, &samples, data.batch, 0..1)?);
    line["first_step_seconds"] = json!(start.elapsed().as_secs_f64());
    line["device"] = json!(device.info().to_string());

    last_loss(&mut trainer, &samples, data.batch, 1..BATCHES - 1)?;
    line["loss"] = json!(last_loss(&mut trainer, &samples, data.batch, BATCHES - 1..BATCHES)?);

    line["step_seconds"] = json!(time(&mut trainer, &samples, data.batch, args.repeats)?);
    if let Some(dir) = args.mnist {
        drop(trainer);
        epoch(&device, &data, &dir, &mut line)?;
    }
    println!("{line}");
    Ok(())
}

/// Prints the adapter that is opened, and trains nothing.
fn adapter() -> Result<()> {
    let device = Device::new()?;
    let info = device.info();
    let line = json!({
        "name": info.name,
        "kind": info.kind,
        "backend": info.backend,
        "driver": info.driver,
    });
    println!("{line}");
    Ok(())
}

/// The network with the file's weights, its loss and Adam.
fn trainer(device: &Device, model: Sequential, data: &Data) -> Result<Trainer> {
    let [hidden, hidden2, output] = &data.layers;
    let model = model
        .add(Dense::new(hidden.outputs).activation(Activation::Relu))
        .add(Dense::new(hidden2.outputs).activation(Activation::Relu))
        .add(Dense::new(output.outputs));
    let adam = Adam {
        beta_1: BETA1 as f32,
        beta_2: BETA2 as f32,
        epsilon: EPSILON as f32,
        ..Adam::new(data.rate as f32)
    };
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let mut trainer = model.compile(device, Compile::new(adam, loss))?;
    let mut weights = Vec::new();
    for layer in &data.layers {
        weights.push(Tensor::f32([layer.inputs, layer.outputs], layer.weights.clone())?);
        weights.push(Tensor::f32([layer.outputs], layer.biases.clone())?);
    }
    trainer.set_weights(&weights)?;
    Ok(trainer)
}

/// Trains once over some of the batches in order and gives the mean of their losses: that of one batch alone.
fn last_loss(
    trainer: &mut Trainer,
    samples: &TensorDataset,
    batch: usize,
    batches: std::ops::Range<usize>,
) -> Result<f64> {
    let part = samples.rows(batches.start * batch, batches.len() * batch)?;
    let history = trainer.fit(&part, fit(batch))?;
    history.epochs.first().and_then(|e| e.get("loss")).context("fit reports no loss")
}

/// One pass over batches of this size in order.
fn fit<'a>(batch: usize) -> Fit<'a> {
    Fit::new().batch_size(batch).shuffle(false).verbose(Verbose::Silent)
}

/// Seconds per step of each pass, from the end of the one before to the end of this one: the hook at an epoch's end
/// makes the host wait for the device. The first pass does not count.
fn time(
    trainer: &mut Trainer,
    samples: &TensorDataset,
    batch: usize,
    repeats: usize,
) -> Result<Vec<f64>> {
    let mut ends = Vec::new();
    let hook = |_: &Epoch| ends.push(Instant::now());
    trainer.fit(samples, fit(batch).epochs(repeats + 1).on_epoch_end(hook))?;
    let seconds = ends.windows(2).map(|w| (w[1] - w[0]).as_secs_f64() / BATCHES as f64);
    Ok(seconds.collect())
}

/// One epoch of MNIST from the file's weights, and the accuracy after it.
fn epoch(device: &Device, data: &Data, dir: &Path, line: &mut Value) -> Result<()> {
    let (train, test) = load_mnist(dir)?;
    let train = train.take(train.len() / data.batch * data.batch)?;
    let mut trainer = trainer(device, Sequential::new([28, 28]).add(Flatten), data)?;
    let start = Instant::now();
    trainer.fit(&train, fit(data.batch))?;
    line["mnist_epoch_seconds"] = json!(start.elapsed().as_secs_f64());

    let logits = trainer.predict(&test)?;
    let targets = test.y().as_u32()?;
    let rows = logits.as_f32()?.chunks(logits.as_f32()?.len() / targets.len());
    let hits = rows.zip(targets).filter(|(row, y)| peer_protocol::best(row) == **y).count();
    line["mnist_accuracy"] = json!(hits as f64 / targets.len() as f64);
    Ok(())
}
