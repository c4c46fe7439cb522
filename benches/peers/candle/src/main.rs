//! candle on the CPU, with its default features (the `gemm` crate's products).

use anyhow::{Context, Result};
use candle_core::{D, DType, Device, Module, ModuleT, Tensor, Var};
use candle_nn::{AdamW, BatchNorm, Conv2d, Conv2dConfig, Linear, Optimizer, ParamsAdamW, loss};
use peer_protocol::{BETA1, BETA2, EPSILON, Layer, Model, NORM_EPSILON, NORM_MOMENTUM, Peer};

/// A layer as candle has it.
enum Part {
    Linear(Linear),
    Convolution(Conv2d),
    Normalization(BatchNorm),
    Relu,
    MaxPooling,
    GlobalAveragePooling,
    Flatten,
}

struct Candle {
    device: Device,
    parts: Vec<Part>,
    /// The shape of an image.
    input: Vec<usize>,
    adam: AdamW,
    loss: Option<Tensor>,
}

impl Part {
    /// A layer with the file's weights, which are added to `vars`.
    fn new(layer: &Layer, device: &Device, vars: &mut Vec<Var>) -> Result<Part> {
        let mut var = |tensor: Tensor| -> Result<Tensor> {
            let var = Var::from_tensor(&tensor)?;
            let tensor = var.as_tensor().clone();
            vars.push(var);
            Ok(tensor)
        };
        let row = |values: &[f32]| Ok::<_, anyhow::Error>(Tensor::new(values, device)?);
        let biases = |biases: &Option<Vec<f32>>| biases.as_deref().map(row).transpose();
        Ok(match layer {
            Layer::Dense(weights) => {
                // candle keeps a layer's weights outputs by inputs.
                let matrix = Tensor::from_slice(&weights.values, weights.shape.clone(), device)?;
                let matrix = var(matrix.t()?.contiguous()?)?;
                Part::Linear(Linear::new(matrix, biases(&weights.biases)?.map(var).transpose()?))
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
        Ok(Tensor::from_slice(images, [&[count], &self.input[..]].concat(), &self.device)?)
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
        Ok(Candle { device, parts, input, adam, loss: None })
    }

    fn device(&self) -> String {
        format!("CPU, {} threads", candle_core::utils::get_num_threads())
    }

    fn upload(&mut self, images: &[f32], labels: &[u32]) -> Result<Self::Batch> {
        let images = self.images(images, labels.len())?;
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
