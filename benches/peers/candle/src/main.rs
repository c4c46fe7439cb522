//! candle on the CPU, with its default features (the `gemm` crate's products).

use anyhow::{Context, Result};
use candle_core::{D, DType, Device, Module, ModuleT, Tensor, Var};
use candle_nn::{
    AdamW, BatchNorm, Conv2d, Conv2dConfig, Linear, Optimizer, ParamsAdamW, loss, ops,
};
use peer_protocol::{
    BETA1, BETA2, EPSILON, LAYER_EPSILON, Lacks, Layer, Model, NORM_EPSILON, NORM_MOMENTUM, Peer,
    Weights,
};

/// A layer as candle has it.
enum Part {
    Linear(Linear),
    Convolution(Conv2d),
    Normalization(BatchNorm),
    Relu,
    MaxPooling,
    GlobalAveragePooling,
    Flatten,
    Lstm(Lstm),
    Embedding(Tensor),
    Positions(Tensor),
    Block(Box<Block>),
    LayerNormalization(Norm),
    /// Products with the rows of this table.
    Scores(Tensor),
}

/// Long short-term memory as candle's own `LSTM` computes it, with one bias in place of two and one product for all inputs.
struct Lstm {
    kernel: Tensor,
    recurrent: Tensor,
    biases: Tensor,
}

/// Scale and offset. The library's `LayerNorm` has no gradient, so this calls its slower function.
struct Norm(Tensor, Tensor);

/// A block of GPT, as candle's models write it.
struct Block {
    heads: usize,
    norm: Norm,
    parts: Linear,
    output: Linear,
    second_norm: Norm,
    inner: Linear,
    outer: Linear,
}

impl Lstm {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (batch, time, inputs) = x.dims3()?;
        let units = self.recurrent.dim(0)?;
        let flat = x.reshape((batch * time, inputs))?.matmul(&self.kernel)?;
        let all = flat.broadcast_add(&self.biases)?.reshape((batch, time, 4 * units))?;
        let mut h = Tensor::zeros((batch, units), DType::F32, x.device())?;
        let mut c = h.clone();
        for t in 0..time {
            let gates = (all.narrow(1, t, 1)?.squeeze(1)? + h.matmul(&self.recurrent)?)?;
            let gate = |k: usize| gates.narrow(1, k * units, units);
            let (input, forget) = (ops::sigmoid(&gate(0)?)?, ops::sigmoid(&gate(1)?)?);
            c = ((forget * &c)? + (input * gate(2)?.tanh()?)?)?;
            h = (ops::sigmoid(&gate(3)?)? * c.tanh()?)?;
        }
        Ok(h)
    }
}

impl Norm {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        ops::layer_norm_slow(x, &self.0, &self.1, LAYER_EPSILON as f32)
    }
}

impl Block {
    fn attention(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (batch, time, width) = x.dims3()?;
        let parts = self.parts.forward(x)?;
        let part = |k: usize| {
            let part = parts.narrow(2, k * width, width)?.reshape((
                batch,
                time,
                self.heads,
                width / self.heads,
            ))?;
            part.transpose(1, 2)?.contiguous()
        };
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let scale = 1.0 / ((width / self.heads) as f64).sqrt();
        let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? * scale)?;
        let after = |i: usize| (0..time).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 });
        let mask: Vec<f32> = (0..time).flat_map(after).collect();
        let mask = Tensor::from_vec(mask, (time, time), x.device())?;
        let shares = ops::softmax(&scores.broadcast_add(&mask)?, D::Minus1)?;
        let y = shares.matmul(&v)?.transpose(1, 2)?.contiguous()?.reshape((batch, time, width))?;
        self.output.forward(&y)
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let x = (x + self.attention(&self.norm.forward(x)?)?)?;
        let inner = self.inner.forward(&self.second_norm.forward(&x)?)?.gelu_erf()?;
        &x + self.outer.forward(&inner)?
    }
}

struct Candle {
    device: Device,
    parts: Vec<Part>,
    /// The shape of an image.
    input: Vec<usize>,
    /// Whether inputs are ids.
    ids: bool,
    adam: AdamW,
    loss: Option<Tensor>,
}

impl Part {
    /// A layer with the file's weights, which are added to `vars`; the first of these is the table of a model of ids.
    fn new(layer: &Layer, device: &Device, vars: &mut Vec<Var>) -> Result<Part> {
        if matches!(layer, Layer::Scores) {
            let table = vars.first().context("a model without an embedding")?;
            return Ok(Part::Scores(table.as_tensor().clone()));
        }
        let mut var = |tensor: Tensor| -> Result<Tensor> {
            let var = Var::from_tensor(&tensor)?;
            let tensor = var.as_tensor().clone();
            vars.push(var);
            Ok(tensor)
        };
        let row = |values: &[f32]| Ok::<_, anyhow::Error>(Tensor::new(values, device)?);
        let biases = |biases: &Option<Vec<f32>>| biases.as_deref().map(row).transpose();
        let whole =
            |weights: &Weights| Tensor::from_slice(&weights.values, weights.shape.clone(), device);
        // candle keeps a layer's weights outputs by inputs.
        let linear = |weights: &Weights, var: &mut dyn FnMut(Tensor) -> Result<Tensor>| {
            let matrix = var(whole(weights)?.t()?.contiguous()?)?;
            Ok::<_, anyhow::Error>(Linear::new(
                matrix,
                biases(&weights.biases)?.map(var).transpose()?,
            ))
        };
        let norm = |weights: &Weights, var: &mut dyn FnMut(Tensor) -> Result<Tensor>| {
            Ok::<_, anyhow::Error>(Norm(var(row(&weights.values)?)?, var(row(weights.biases())?)?))
        };
        Ok(match layer {
            Layer::Dense(weights) => Part::Linear(linear(weights, &mut var)?),
            Layer::Lstm(weights) => {
                let (rows, units) = (weights.shape[0], weights.shape[1] / 4);
                let inputs = rows - units;
                Part::Lstm(Lstm {
                    kernel: var(whole(&weights.rows(0..inputs))?)?,
                    recurrent: var(whole(&weights.rows(inputs..rows))?)?,
                    biases: var(row(weights.biases())?)?,
                })
            }
            Layer::Embedding(table) => Part::Embedding(var(whole(table)?)?),
            Layer::Positions(table) => Part::Positions(var(whole(table)?)?),
            Layer::LayerNormalization(weights) => {
                Part::LayerNormalization(norm(weights, &mut var)?)
            }
            Layer::Block(block) => Part::Block(Box::new(Block {
                heads: block.heads,
                norm: norm(&block.norm, &mut var)?,
                parts: linear(&block.parts, &mut var)?,
                output: linear(&block.output, &mut var)?,
                second_norm: norm(&block.second_norm, &mut var)?,
                inner: linear(&block.inner, &mut var)?,
                outer: linear(&block.outer, &mut var)?,
            })),
            Layer::Scores => anyhow::bail!("scores are made before"),
            // The networks for GPUs are not for candle on a processor.
            Layer::Stem(_) | Layer::Bottleneck(_) => {
                return Err(Lacks("residual network here").into());
            }
            Layer::Convolution { weights, same } => {
                let kernel = Tensor::from_slice(&weights.values, weights.shape.clone(), device)?;
                let kernel = var(kernel)?;
                let biases = biases(&weights.biases)?.map(var).transpose()?;
                let padding = if *same { weights.shape[2] / 2 } else { 0 };
                let config = Conv2dConfig { padding, ..Default::default() };
                Part::Convolution(Conv2d::new(kernel, biases, config))
            }
            Layer::BatchNormalization(weights) => {
                let (scale, offset) = (var(row(&weights.values)?)?, biases(&weights.biases)?);
                let offset = var(offset.context("batch normalization without offsets")?)?;
                let zeros = scale.zeros_like()?.detach();
                let ones = scale.ones_like()?.detach();
                let size = scale.dim(0)?;
                // candle's momentum is the share of what is new.
                let momentum = 1.0 - NORM_MOMENTUM;
                let norm = BatchNorm::new_with_momentum(
                    size,
                    zeros,
                    ones,
                    scale,
                    offset,
                    NORM_EPSILON,
                    momentum,
                );
                Part::Normalization(norm?)
            }
            Layer::Relu => Part::Relu,
            Layer::MaxPooling => Part::MaxPooling,
            Layer::GlobalAveragePooling => Part::GlobalAveragePooling,
            Layer::Flatten => Part::Flatten,
        })
    }

    fn forward(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        match self {
            Part::Linear(linear) => linear.forward(x),
            Part::Convolution(convolution) => convolution.forward(x),
            Part::Normalization(norm) => norm.forward_t(x, train),
            Part::Relu => x.relu(),
            // Its gradient takes only images of whole windows: what no window sees is cut away before.
            Part::MaxPooling => {
                let (_, _, rows, columns) = x.dims4()?;
                let x = x.narrow(2, 0, rows / 2 * 2)?.narrow(3, 0, columns / 2 * 2)?;
                x.max_pool2d(2)
            }
            Part::GlobalAveragePooling => x.mean((D::Minus2, D::Minus1)),
            Part::Flatten => x.flatten_from(1),
            Part::Lstm(lstm) => lstm.forward(x),
            Part::Embedding(table) => {
                let (batch, time) = x.dims2()?;
                let rows = table.index_select(&x.flatten_all()?, 0)?;
                rows.reshape((batch, time, table.dim(1)?))
            }
            Part::Positions(table) => x.broadcast_add(table),
            Part::Block(block) => block.forward(x),
            Part::LayerNormalization(norm) => norm.forward(x),
            Part::Scores(table) => {
                let (batch, time, width) = x.dims3()?;
                x.reshape((batch * time, width))?.matmul(&table.t()?)
            }
        }
    }
}

impl Candle {
    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = images.clone();
        for part in &self.parts {
            x = part.forward(&x, train)?;
        }
        Ok(x)
    }

    /// A batch's images as a tensor.
    fn images(&self, images: &[f32], count: usize) -> Result<Tensor> {
        let shape = [&[count], &self.input[..]].concat();
        let images = Tensor::from_slice(images, shape, &self.device)?;
        Ok(if self.ids { images.to_dtype(DType::U32)? } else { images })
    }
}

impl Peer for Candle {
    const NAME: &'static str = "candle";
    type Batch = (Tensor, Tensor);

    fn new(model: &Model) -> Result<Self> {
        let device = Device::Cpu;
        let mut vars = Vec::new();
        let parts = model.layers.iter().map(|layer| Part::new(layer, &device, &mut vars));
        let parts = parts.collect::<Result<_>>()?;
        let params = ParamsAdamW {
            lr: model.rate,
            beta1: BETA1,
            beta2: BETA2,
            eps: EPSILON,
            weight_decay: 0.0,
        };
        let (input, adam) = (model.input.clone(), AdamW::new(vars, params)?);
        Ok(Candle { device, parts, input, ids: model.words().is_some(), adam, loss: None })
    }

    fn device(&self) -> String {
        format!("CPU, {} threads", candle_core::utils::get_num_threads())
    }

    fn upload(&mut self, images: &[f32], labels: &[u32]) -> Result<Self::Batch> {
        let images = self.images(images, images.len() / self.input.iter().product::<usize>())?;
        Ok((images, Tensor::from_slice(labels, labels.len(), &self.device)?))
    }

    fn step(&mut self, (images, labels): &Self::Batch) -> Result<()> {
        let loss = loss::cross_entropy(&self.forward(images, true)?, labels)?;
        self.adam.backward_step(&loss)?;
        self.loss = Some(loss);
        Ok(())
    }

    fn loss(&mut self) -> Result<f32> {
        Ok(self.loss.as_ref().context("no step ran")?.to_dtype(DType::F32)?.to_scalar()?)
    }

    fn logits(&mut self, images: &[f32]) -> Result<Vec<f32>> {
        let count = images.len() / self.input.iter().product::<usize>();
        let images = self.images(images, count)?;
        Ok(self.forward(&images, false)?.flatten_all()?.to_vec1()?)
    }
}

fn main() -> Result<()> {
    peer_protocol::main::<Candle>()
}
