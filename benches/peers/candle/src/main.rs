//! candle on the CPU, with its default features (the `gemm` crate's products).

use anyhow::{Context, Result};
use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::{AdamW, Linear, Optimizer, ParamsAdamW, loss};
use peer_protocol::{BETA1, BETA2, EPSILON, INPUTS, Layer, Peer};

struct Candle {
    device: Device,
    layers: Vec<Linear>,
    adam: AdamW,
    loss: Option<Tensor>,
}

impl Candle {
    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let [hidden1, hidden2, output] = &self.layers[..] else { unreachable!("three layers") };
        let x = hidden1.forward(images)?.relu()?;
        let x = hidden2.forward(&x)?.relu()?;
        Ok(output.forward(&x)?)
    }
}

impl Peer for Candle {
    const NAME: &'static str = "candle";
    type Batch = (Tensor, Tensor);

    fn new(layers: &[Layer; 3], _: usize, rate: f64) -> Result<Self> {
        let device = Device::Cpu;
        let (mut vars, mut linears) = (Vec::new(), Vec::new());
        for layer in layers {
            // candle keeps a layer's weights outputs by inputs.
            let shape = (layer.inputs, layer.outputs);
            let weights = Tensor::from_slice(&layer.weights, shape, &device)?.t()?.contiguous()?;
            let weights = Var::from_tensor(&weights)?;
            let biases = Var::from_slice(&layer.biases, layer.outputs, &device)?;
            linears
                .push(Linear::new(weights.as_tensor().clone(), Some(biases.as_tensor().clone())));
            vars.extend([weights, biases]);
        }
        let params =
            ParamsAdamW { lr: rate, beta1: BETA1, beta2: BETA2, eps: EPSILON, weight_decay: 0.0 };
        Ok(Candle { device, layers: linears, adam: AdamW::new(vars, params)?, loss: None })
    }

    fn device(&self) -> String {
        format!("CPU, {} threads", candle_core::utils::get_num_threads())
    }

    fn upload(&mut self, images: &[f32], labels: &[u32]) -> Result<Self::Batch> {
        let images = Tensor::from_slice(images, (labels.len(), INPUTS), &self.device)?;
        Ok((images, Tensor::from_slice(labels, labels.len(), &self.device)?))
    }

    fn step(&mut self, (images, labels): &Self::Batch) -> Result<()> {
        let loss = loss::cross_entropy(&self.forward(images)?, labels)?;
        self.adam.backward_step(&loss)?;
        self.loss = Some(loss);
        Ok(())
    }

    fn loss(&mut self) -> Result<f32> {
        Ok(self.loss.as_ref().context("no step ran")?.to_dtype(DType::F32)?.to_scalar()?)
    }

    fn logits(&mut self, images: &[f32]) -> Result<Vec<f32>> {
        let images = Tensor::from_slice(images, (images.len() / INPUTS, INPUTS), &self.device)?;
        Ok(self.forward(&images)?.flatten_all()?.to_vec1()?)
    }
}

fn main() -> Result<()> {
    peer_protocol::main::<Candle>()
}
