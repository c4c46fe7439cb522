//! wgrad, as its README trains: `Sequential`, `compile`, `fit`.
//!
//! It has no call for a single step, so the protocol's steps are passes of `fit` over the same batches in the same
//! order: the first batch alone, the batches up to the last, the last alone, then passes over all.

use anyhow::{Context, Result, ensure};
use peer_protocol::{
    Args, BETA1, BETA2, Block, Bottleneck, Data, EPSILON, LAYER_EPSILON, Layer, NORM_EPSILON,
    NORM_MOMENTUM, Normalized, Weights,
};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use wgrad::prelude::*;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--adapter"] => return adapter(),
        ["--profile", file] => return profile(Path::new(file)),
        _ => {}
    }
    let args = Args::parse()?;
    let data = Data::read(&args.data)?;
    let (batch, steps) = (data.model.batch, data.steps());
    let samples = samples(&data)?;
    let mut line = json!({ "name": "wgrad" });

    let start = Instant::now();
    let device = Device::new()?;
    let mut trainer = trainer(&device, Sequential::new(data.model.input.clone()), &data)?;
    line["loss_first"] = json!(last_loss(&mut trainer, &samples, batch, 0..1)?);
    line["first_step_seconds"] = json!(start.elapsed().as_secs_f64());
    line["device"] = json!(device.info().to_string());

    last_loss(&mut trainer, &samples, batch, 1..steps - 1)?;
    line["loss"] = json!(last_loss(&mut trainer, &samples, batch, steps - 1..steps)?);

    line["step_seconds"] = json!(time(&mut trainer, &samples, &data, args.repeats)?);
    line["predict_seconds"] = json!(predict(&trainer, &samples, &data, args.repeats)?);
    if let Some(dir) = args.mnist {
        drop(trainer);
        epoch(&device, &data, &dir, &mut line)?;
    }
    println!("{line}");
    Ok(())
}

/// All batches of the file.
fn samples(data: &Data) -> Result<TensorDataset> {
    let (images, labels) = data.all();
    let shape = [&[data.steps() * data.model.batch], &data.model.input[..]].concat();
    Ok(match data.model.words() {
        Some(_) => {
            let ids = images.iter().map(|id| *id as u32).collect::<Vec<_>>();
            let labels = Tensor::u32(shape.clone(), labels.to_vec())?;
            TensorDataset::new(Tensor::u32(shape, ids)?, labels)?
        }
        None => {
            let labels = Tensor::u32([labels.len()], labels.to_vec())?;
            TensorDataset::new(Tensor::f32(shape, images.to_vec())?, labels)?
        }
    })
}

/// Prints what takes the time of a step of the model in a file.
fn profile(file: &Path) -> Result<()> {
    let data = Data::read(file)?;
    let mut trainer = trainer(&Device::new()?, Sequential::new(data.model.input.clone()), &data)?;
    trainer.fit(&samples(&data)?, fit(data.model.batch))?;
    println!("{}", trainer.profile(data.steps())?);
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
    let model = match data.model.layers.first() {
        Some(Layer::Embedding(_)) => language_model(data)?,
        Some(Layer::Stem(_)) => residual_model(data)?,
        _ => data.model.layers.iter().fold(model, added).build()?,
    };
    let adam = Adam {
        beta_1: BETA1 as f32,
        beta_2: BETA2 as f32,
        epsilon: EPSILON as f32,
        ..Adam::new(data.model.rate as f32)
    };
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let mut trainer = model.compile(device, Compile::new(adam, loss))?;
    let mut weights = Vec::new();
    for layer in &data.model.layers {
        weights.extend(tensors(layer)?);
    }
    trainer.set_weights(&weights)?;
    Ok(trainer)
}

/// A model with one more layer.
fn added(model: Sequential, layer: &Layer) -> Sequential {
    let last = |weights: &Weights| weights.shape.last().copied().unwrap_or_default();
    match layer {
        Layer::Dense(weights) => {
            model.add(Dense::new(last(weights)).use_bias(weights.biases.is_some()))
        }
        Layer::Convolution { weights, same } => {
            let padding = if *same { Padding::Same } else { Padding::Valid };
            let size = (weights.shape[0], weights.shape[1]);
            let layer = Conv2D::new(last(weights), size).padding(padding);
            model.add(layer.use_bias(weights.biases.is_some()))
        }
        Layer::BatchNormalization(_) => model.add(normalization()),
        Layer::Relu => model.add(Activation::Relu),
        Layer::MaxPooling => model.add(MaxPooling2D::new(2)),
        Layer::GlobalAveragePooling => model.add(GlobalAveragePooling2D::new()),
        Layer::Flatten => model.add(Flatten),
        Layer::Lstm(weights) => model.add(Lstm::new(last(weights) / 4)),
        // These are layers of models that are no sequences: a table is used twice, or an input is added.
        Layer::Embedding(_) | Layer::Positions(_) | Layer::Block(_) => model,
        Layer::LayerNormalization(_) | Layer::Scores => model,
        Layer::Stem(_) | Layer::Bottleneck(_) => model,
    }
}

fn normalization() -> BatchNormalization {
    BatchNormalization::new().momentum(NORM_MOMENTUM as f32).epsilon(NORM_EPSILON as f32)
}

/// A convolution without biases and its normalization, with zeros that keep the image's size but for the stride.
fn normalized(x: &SymbolicTensor, of: &Normalized, stride: usize) -> Result<SymbolicTensor> {
    let [size, _, _, filters] = of.kernel.shape[..] else {
        anyhow::bail!("a kernel of shape {:?}", of.kernel.shape);
    };
    let around = Padding::Explicit(vec![[size / 2; 2]; 2]);
    let layer = Conv2D::new(filters, size).strides(stride).padding(around).use_bias(false);
    Ok(x.then(layer).then(normalization()))
}

/// ResNet.
fn residual_model(data: &Data) -> Result<Model> {
    let images = input(data.model.input.clone());
    let mut x = images.clone();
    for layer in &data.model.layers {
        x = match layer {
            Layer::Stem(stem) => {
                let y = normalized(&x, stem, 2)?.then(Activation::Relu);
                let around = Padding::Explicit(vec![[1; 2]; 2]);
                y.then(MaxPooling2D::new(3).strides(2).padding(around))
            }
            Layer::Bottleneck(block) => {
                let Bottleneck { convolutions: [first, second, third], projection, stride } =
                    block.as_ref();
                // Weights are in the order in which layers are made.
                let y = normalized(&x, first, 1)?.then(Activation::Relu);
                let y = normalized(&y, second, *stride)?.then(Activation::Relu);
                let y = normalized(&y, third, 1)?;
                let around = projection.as_ref().map(|p| normalized(&x, p, *stride)).transpose()?;
                merge(Add, [&y, &around.unwrap_or(x)]).then(Activation::Relu)
            }
            Layer::GlobalAveragePooling => x.then(GlobalAveragePooling2D::new()),
            Layer::Dense(weights) => x.then(Dense::new(weights.shape[1])),
            _ => anyhow::bail!("a residual model has no such layer"),
        };
    }
    Ok(Model::new([&images], [&x])?)
}

/// A model of ids, whose scores are products with its embedding.
fn language_model(data: &Data) -> Result<Model> {
    let ids = input(data.model.input.clone());
    let Some(Layer::Embedding(table)) = data.model.layers.first() else {
        anyhow::bail!("a model of ids begins with its embedding");
    };
    let table = LayerHandle::new(ReversibleEmbedding::new(table.shape[0], table.shape[1]));
    let mut x = ids.then(&table);
    for layer in &data.model.layers[1..] {
        x = match layer {
            Layer::Positions(weights) => {
                merge(Add, [&x, &x.then(PositionEmbedding::new(weights.shape[0]))])
            }
            Layer::Block(block) => {
                let decoder = TransformerDecoder::new(block.inner.shape[1], block.heads);
                let decoder = decoder.normalize_first(true).activation(Activation::Gelu);
                x.then(decoder.layer_norm_epsilon(LAYER_EPSILON as f32))
            }
            Layer::LayerNormalization(_) => {
                x.then(LayerNormalization::new().epsilon(LAYER_EPSILON as f32))
            }
            Layer::Scores => x.then(&table),
            _ => anyhow::bail!("a model of ids has no such layer"),
        };
    }
    Ok(Model::new([&ids], [&x])?)
}

/// The weights of a block: those of attention by head, then its norm, and the other norm with the dense layers.
fn block_tensors(block: &Block) -> Result<Vec<Tensor>> {
    let width = block.output.shape[0];
    let heads = [block.heads, width / block.heads];
    let mut all = Vec::new();
    for part in 0..3 {
        let Weights { values, biases, .. } = block.parts.columns(part * width..(part + 1) * width);
        all.push(Tensor::f32([&[width], &heads[..]].concat(), values)?);
        all.push(Tensor::f32(heads, biases.unwrap_or_default())?);
    }
    all.push(Tensor::f32([&heads[..], &[width]].concat(), block.output.values.clone())?);
    all.push(Tensor::f32([width], block.output.biases())?);
    for weights in [&block.norm, &block.second_norm, &block.inner, &block.outer] {
        all.extend(plain(weights)?);
    }
    Ok(all)
}

/// Weights, and the biases if there are some.
fn plain(weights: &Weights) -> Result<Vec<Tensor>> {
    let mut all = vec![Tensor::f32(weights.shape.clone(), weights.values.clone())?];
    if let Some(biases) = &weights.biases {
        all.push(Tensor::f32([biases.len()], biases.clone())?);
    }
    Ok(all)
}

/// The weights of a normalization, and its moving mean and variance before training.
fn moving(weights: &Weights) -> Result<Vec<Tensor>> {
    let (count, mut all) = (weights.values.len(), plain(weights)?);
    all.push(Tensor::f32([count], vec![0.0; count])?);
    all.push(Tensor::f32([count], vec![1.0; count])?);
    Ok(all)
}

/// A kernel and the weights of its normalization.
fn normalized_tensors(of: &Normalized) -> Result<Vec<Tensor>> {
    Ok([plain(&of.kernel)?, moving(&of.norm)?].concat())
}

/// A layer's weights in the order in which a trainer keeps them.
fn tensors(layer: &Layer) -> Result<Vec<Tensor>> {
    match layer {
        Layer::Dense(weights) | Layer::Convolution { weights, .. } => plain(weights),
        Layer::Embedding(weights) | Layer::Positions(weights) => plain(weights),
        Layer::LayerNormalization(weights) => plain(weights),
        Layer::BatchNormalization(weights) => moving(weights),
        Layer::Stem(stem) => normalized_tensors(stem),
        Layer::Bottleneck(block) => {
            let parts = block.convolutions.iter().chain(&block.projection);
            Ok(parts.map(normalized_tensors).collect::<Result<Vec<_>>>()?.concat())
        }
        Layer::Lstm(weights) => {
            let (rows, units) = (weights.shape[0], weights.shape[1] / 4);
            ensure!(rows > units, "weights of {rows} rows for {units} units");
            let kernels = [weights.rows(0..rows - units), weights.rows(rows - units..rows)];
            let mut all = Vec::new();
            for kernel in &kernels {
                all.extend(plain(kernel)?);
            }
            all.push(Tensor::f32([4 * units], weights.biases())?);
            Ok(all)
        }
        Layer::Block(block) => block_tensors(block),
        Layer::Relu | Layer::MaxPooling | Layer::GlobalAveragePooling => Ok(Vec::new()),
        Layer::Flatten | Layer::Scores => Ok(Vec::new()),
    }
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
    data: &Data,
    repeats: usize,
) -> Result<Vec<f64>> {
    let mut ends = Vec::new();
    let hook = |_: &Epoch| ends.push(Instant::now());
    trainer.fit(samples, fit(data.model.batch).epochs(repeats + 1).on_epoch_end(hook))?;
    let seconds = ends.windows(2).map(|w| (w[1] - w[0]).as_secs_f64() / data.steps() as f64);
    Ok(seconds.collect())
}

/// Seconds per batch of each pass of prediction, images and logits on the host. The first does not count.
fn predict(
    trainer: &Trainer,
    samples: &TensorDataset,
    data: &Data,
    repeats: usize,
) -> Result<Vec<f64>> {
    if repeats == 0 {
        return Ok(Vec::new());
    }
    let predictor = trainer.predictor()?.batch_size(data.model.batch);
    let mut seconds = Vec::new();
    for _ in 0..=repeats {
        let start = Instant::now();
        predictor.predict(samples)?;
        seconds.push(start.elapsed().as_secs_f64() / data.steps() as f64);
    }
    Ok(seconds.split_off(1))
}

/// One epoch of MNIST from the file's weights, and the accuracy after it.
fn epoch(device: &Device, data: &Data, dir: &Path, line: &mut Value) -> Result<()> {
    let (train, test) = load_mnist(dir)?;
    let train = train.take(train.len() / data.model.batch * data.model.batch)?;
    let mut trainer = trainer(device, Sequential::new([28, 28]).add(Flatten), data)?;
    let start = Instant::now();
    trainer.fit(&train, fit(data.model.batch))?;
    line["mnist_epoch_seconds"] = json!(start.elapsed().as_secs_f64());

    let logits = trainer.predict(&test)?;
    let targets = test.y().as_u32()?;
    let rows = logits.as_f32()?.chunks(logits.as_f32()?.len() / targets.len());
    let hits = rows.zip(targets).filter(|(row, y)| peer_protocol::best(row) == **y).count();
    line["mnist_accuracy"] = json!(hits as f64 / targets.len() as f64);
    Ok(())
}
