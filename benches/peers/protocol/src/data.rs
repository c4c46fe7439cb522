//! The two inputs of a peer: the file of weights and batches, and MNIST.

use crate::model::{Block, Bottleneck, Layer, Model, Normalized, Weights, turned};
use anyhow::{Context, Result, bail, ensure};
use safetensors::{SafeTensors, tensor::Dtype};
use std::path::Path;

/// Pixels of an image of MNIST.
pub const INPUTS: usize = 784;
/// Classes.
pub const CLASSES: usize = 10;

/// What the file holds: a model, and batches to train it on.
pub struct Data {
    /// The model.
    pub model: Model,
    images: Vec<f32>,
    labels: Vec<u32>,
}

impl Data {
    /// Reads a safetensors file; its metadata names the layers, the batch and the rate.
    pub fn read(path: &Path) -> Result<Data> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let named = |name: &str| {
            let value = header.metadata().as_ref().and_then(|m| m.get(name));
            value.with_context(|| format!("the metadata names no {name}"))
        };
        let (batch, rate) = (named("batch")?.parse()?, named("rate")?.parse()?);
        let file = SafeTensors::deserialize(&bytes)?;
        let mut count = 0;
        let mut weights = || -> Result<Weights> {
            let (shape, values) = floats(&file, &format!("w{count}"))?;
            let bias = format!("b{count}");
            let bias = file.names().contains(&bias.as_str()).then(|| floats(&file, &bias));
            count += 1;
            Ok(Weights { shape, values, biases: bias.transpose()?.map(|(_, biases)| biases) })
        };
        let mut layers = Vec::new();
        for word in named("layers")?.split(' ') {
            // A number follows if the weights do not show it.
            let (word, number) = match word.split_once(':') {
                Some((word, number)) => (word, number.parse()?),
                None => (word, 1),
            };
            let mut normalized = || anyhow::Ok(Normalized { kernel: weights()?, norm: weights()? });
            layers.push(match word {
                "stem" => Layer::Stem(normalized()?),
                "bottleneck" | "projected_bottleneck" => {
                    let convolutions = [normalized()?, normalized()?, normalized()?];
                    let projected = word == "projected_bottleneck";
                    let projection = projected.then(normalized).transpose()?;
                    let stride = number;
                    Layer::Bottleneck(Box::new(Bottleneck { convolutions, projection, stride }))
                }
                "dense" => Layer::Dense(weights()?),
                "convolution" => Layer::Convolution { weights: weights()?, same: false },
                "same_convolution" => Layer::Convolution { weights: weights()?, same: true },
                "batch_normalization" => Layer::BatchNormalization(weights()?),
                "relu" => Layer::Relu,
                "max_pooling" => Layer::MaxPooling,
                "global_average_pooling" => Layer::GlobalAveragePooling,
                "flatten" => Layer::Flatten,
                "lstm" => Layer::Lstm(weights()?),
                "embedding" => Layer::Embedding(weights()?),
                "positions" => Layer::Positions(weights()?),
                "block" => Layer::Block(Box::new(Block {
                    heads: number,
                    norm: weights()?,
                    parts: weights()?,
                    output: weights()?,
                    second_norm: weights()?,
                    inner: weights()?,
                    outer: weights()?,
                })),
                "layer_normalization" => Layer::LayerNormalization(weights()?),
                "scores" => Layer::Scores,
                _ => bail!("the file names a layer `{word}`"),
            });
        }
        let (shape, images) = match file.tensor("x")?.dtype() {
            Dtype::I32 => {
                let (shape, ids) = integers(&file, "x")?;
                (shape, ids.into_iter().map(|id| id as f32).collect())
            }
            _ => floats(&file, "x")?,
        };
        let (_, labels) = integers(&file, "y")?;
        let model = Model { input: shape[1..].to_vec(), layers, batch, rate };
        Ok(Data { model, images, labels })
    }

    /// The same with channels before rows and columns.
    pub fn channels_first(mut self) -> Data {
        if let [rows, columns, channels] = self.model.input[..] {
            self.images = turned(&self.images, rows * columns, channels);
            self.model = self.model.channels_first();
        }
        self
    }

    /// How many batches there are, and so the step whose loss all peers must agree on.
    pub fn steps(&self) -> usize {
        self.images.len() / self.model.inputs() / self.model.batch
    }

    /// The images and labels of batch `i`.
    pub fn batch(&self, i: usize) -> (&[f32], &[u32]) {
        let rows = i * self.model.batch..(i + 1) * self.model.batch;
        let samples = self.steps() * self.model.batch;
        let (inputs, labels) = (self.model.inputs(), self.labels.len() / samples);
        let of = |each: usize| rows.start * each..rows.end * each;
        (&self.images[of(inputs)], &self.labels[of(labels)])
    }

    /// The images and labels of all batches.
    pub fn all(&self) -> (&[f32], &[u32]) {
        (&self.images, &self.labels)
    }
}

/// The shape and the numbers of an f32 tensor.
fn floats(file: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let tensor = file.tensor(name)?;
    ensure!(tensor.dtype() == Dtype::F32, "{name} holds {:?}", tensor.dtype());
    let numbers = tensor.data().chunks_exact(4);
    let numbers = numbers.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok((tensor.shape().to_vec(), numbers))
}

/// The shape and the numbers of an i32 tensor, none of which is below zero.
fn integers(file: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<u32>)> {
    let tensor = file.tensor(name)?;
    ensure!(tensor.dtype() == Dtype::I32, "{name} holds {:?}", tensor.dtype());
    let numbers = tensor.data().chunks_exact(4);
    let numbers = numbers.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok((tensor.shape().to_vec(), numbers))
}

/// Images as bytes, and labels.
pub struct Images {
    pixels: Vec<u8>,
    /// A label per image.
    pub labels: Vec<u32>,
}

/// The training and the test images.
pub struct Mnist {
    /// 60,000 images.
    pub train: Images,
    /// 10,000 images.
    pub test: Images,
}

impl Mnist {
    /// Reads the four plain IDX files of a folder.
    pub fn read(dir: &Path) -> Result<Mnist> {
        Ok(Mnist { train: Images::read(dir, "train")?, test: Images::read(dir, "t10k")? })
    }
}

impl Images {
    fn read(dir: &Path, set: &str) -> Result<Images> {
        let read = |name: String, header: usize| -> Result<Vec<u8>> {
            let path = dir.join(name);
            let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
            ensure!(bytes.len() > header, "{} is cut short", path.display());
            Ok(bytes[header..].to_vec())
        };
        let pixels = read(format!("{set}-images-idx3-ubyte"), 16)?;
        let labels = read(format!("{set}-labels-idx1-ubyte"), 8)?;
        ensure!(pixels.len() == labels.len() * INPUTS, "{set}: images and labels differ in number");
        Ok(Images { pixels, labels: labels.into_iter().map(u32::from).collect() })
    }

    /// Whole batches in order, scaled to [0, 1]; images that fill no batch are left out, because a library whose
    /// shapes are static would need a second model for them.
    pub fn batches(&self, size: usize) -> impl Iterator<Item = (Vec<f32>, Vec<u32>)> + '_ {
        let pixels = self.pixels.chunks_exact(size * INPUTS).map(scaled);
        pixels.zip(self.labels.chunks_exact(size).map(<[u32]>::to_vec))
    }

    /// All images in batches, the last filled up with zeros; the labels are those of the images that are there.
    pub fn padded(&self, size: usize) -> impl Iterator<Item = (Vec<f32>, &[u32])> + '_ {
        let pixels = self.pixels.chunks(size * INPUTS).map(move |pixels| {
            let mut images = scaled(pixels);
            images.resize(size * INPUTS, 0.0);
            images
        });
        pixels.zip(self.labels.chunks(size))
    }
}

fn scaled(pixels: &[u8]) -> Vec<f32> {
    pixels.iter().map(|p| f32::from(*p) / 255.0).collect()
}
