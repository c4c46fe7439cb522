//! burn with its wgpu backend (WGSL), fusion and autotune, as its book trains a classifier.

use anyhow::{Context, Result, anyhow};
use burn::module::{Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use peer_protocol::{BETA1, BETA2, EPSILON, INPUTS, Layer, Peer};

#[derive(Module, Debug)]
struct Mlp {
    hidden1: Linear,
    hidden2: Linear,
    output: Linear,
}

impl Mlp {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = relu(self.hidden1.forward(x));
        let x = relu(self.hidden2.forward(x));
        self.output.forward(x)
    }
}

struct Burn {
    device: Device,
    name: String,
    /// Taken out while a step replaces it.
    model: Option<Mlp>,
    optimizer: ModuleOptimizer,
    rate: f64,
    loss: Option<Tensor<1>>,
}

fn linear(layer: &Layer, device: &Device) -> Linear {
    let mut linear = LinearConfig::new(layer.inputs, layer.outputs).init(device);
    let weights = TensorData::new(layer.weights.clone(), [layer.inputs, layer.outputs]);
    linear.weight = Param::from_tensor(Tensor::from_data(weights, device));
    let biases = TensorData::new(layer.biases.clone(), [layer.outputs]);
    linear.bias = Some(Param::from_tensor(Tensor::from_data(biases, device)));
    linear
}

impl Peer for Burn {
    const NAME: &'static str = "burn";
    type Batch = (Tensor<2>, Tensor<1, Int>);

    fn new(layers: &[Layer; 3], _: usize, rate: f64) -> Result<Self> {
        let device = Device::default();
        let name = format!("{device:?}");
        let device = device.autodiff();
        let model = Mlp {
            hidden1: linear(&layers[0], &device),
            hidden2: linear(&layers[1], &device),
            output: linear(&layers[2], &device),
        };
        let adam = AdamConfig::new().with_beta_1(BETA1 as f32).with_beta_2(BETA2 as f32);
        let optimizer = adam.with_epsilon(EPSILON as f32).init();
        Ok(Burn { device, name, model: Some(model), optimizer, rate, loss: None })
    }

    fn device(&self) -> String {
        self.name.clone()
    }

    fn upload(&mut self, images: &[f32], labels: &[u32]) -> Result<Self::Batch> {
        let images = TensorData::new(images.to_vec(), [labels.len(), INPUTS]);
        let indexes: Vec<i32> = labels.iter().map(|l| *l as i32).collect();
        let labels = TensorData::new(indexes, [labels.len()]);
        Ok((Tensor::from_data(images, &self.device), Tensor::from_data(labels, &self.device)))
    }

    fn step(&mut self, (images, labels): &Self::Batch) -> Result<()> {
        let model = self.model.take().context("a step failed before")?;
        let logits = model.forward(images.clone());
        let loss = CrossEntropyLossConfig::new().init(&self.device).forward(logits, labels.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        self.model = Some(self.optimizer.step(self.rate, model, gradients));
        self.loss = Some(loss);
        Ok(())
    }

    fn loss(&mut self) -> Result<f32> {
        let loss = self.loss.take().context("no step ran")?.into_scalar::<f32>();
        self.device.sync().map_err(|e| anyhow!("{e:?}"))?;
        Ok(loss)
    }

    fn logits(&mut self, images: &[f32]) -> Result<Vec<f32>> {
        let data = TensorData::new(images.to_vec(), [images.len() / INPUTS, INPUTS]);
        let model = self.model.as_ref().context("a step failed before")?;
        let logits = model.forward(Tensor::from_data(data, &self.device));
        logits.into_data().try_to_vec::<f32>().map_err(|e| anyhow!("{e:?}"))
    }
}

fn main() -> Result<()> {
    peer_protocol::main::<Burn>()
}
