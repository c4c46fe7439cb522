//! burn with its wgpu backend (WGSL), fusion and autotune, as its book trains a classifier.

use anyhow::{Context, Result, anyhow};
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d, Relu};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use peer_protocol::{BETA1, BETA2, EPSILON, Layer, Model, NORM_EPSILON, NORM_MOMENTUM, Peer};

/// A layer as burn has it.
#[derive(Module, Debug)]
enum Part {
    Linear(Linear),
    Convolution(Conv2d),
    Normalization(BatchNorm),
    Relu(Relu),
    MaxPooling(MaxPool2d),
    GlobalAveragePooling(AdaptiveAvgPool2d),
}

#[derive(Module, Debug)]
struct Network {
    parts: Vec<Part>,
}

/// What a layer takes and makes.
#[derive(Clone)]
enum Value {
    Rows(Tensor<2>),
    Images(Tensor<4>),
}

/// Values as a parameter.
fn param<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::from_data(TensorData::new(values.to_vec(), shape), device))
}

impl Part {
    /// A layer with the file's weights; none for one that only changes the shape, which a `Linear` does by itself here.
    fn new(layer: &Layer, device: &Device) -> Result<Option<Part>> {
        let row = |values: &Vec<f32>| param(values, [values.len()], device);
        Ok(Some(match layer {
            Layer::Dense(weights) => {
                let shape = [weights.shape[0], weights.shape[1]];
                let mut linear = LinearConfig::new(shape[0], shape[1]).init(device);
                linear.weight = param(&weights.values, shape, device);
                linear.bias = weights.biases.as_ref().map(row);
                Part::Linear(linear)
            }
            Layer::Convolution { weights, same } => {
                let [filters, channels, rows, columns] = weights.shape[..] else {
                    return Err(anyhow!("a kernel of shape {:?}", weights.shape));
                };
                let padding = if *same { PaddingConfig2d::Same } else { PaddingConfig2d::Valid };
                let config = Conv2dConfig::new([channels, filters], [rows, columns]);
                let config = config.with_padding(padding).with_bias(weights.biases.is_some());
                let mut convolution = config.init(device);
                let shape = [filters, channels, rows, columns];
                convolution.weight = param(&weights.values, shape, device);
                convolution.bias = weights.biases.as_ref().map(row);
                Part::Convolution(convolution)
            }
            Layer::BatchNormalization(weights) => {
                let config = BatchNormConfig::new(weights.values.len());
                // burn's momentum is the share of what is new.
                let config = config.with_epsilon(NORM_EPSILON).with_momentum(1.0 - NORM_MOMENTUM);
                let mut norm = config.init(device);
                norm.gamma = row(&weights.values);
                let biases = weights.biases.as_ref();
                norm.beta = row(biases.context("batch normalization without offsets")?);
                Part::Normalization(norm)
            }
            Layer::Relu => Part::Relu(Relu::new()),
            Layer::MaxPooling => {
                let config = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]);
                Part::MaxPooling(config.init())
            }
            Layer::GlobalAveragePooling => {
                Part::GlobalAveragePooling(AdaptiveAvgPool2dConfig::new([1, 1]).init())
            }
            Layer::Flatten => return Ok(None),
        }))
    }

    fn forward(&self, x: Value) -> Result<Value> {
        Ok(match (self, x) {
            (Part::Linear(linear), Value::Rows(x)) => Value::Rows(linear.forward(x)),
            (Part::Linear(linear), Value::Images(x)) => {
                Value::Rows(linear.forward(x.flatten::<2>(1, 3)))
            }
            (Part::Convolution(convolution), Value::Images(x)) => {
                Value::Images(convolution.forward(x))
            }
            (Part::Normalization(norm), Value::Images(x)) => Value::Images(norm.forward(x)),
            (Part::MaxPooling(pool), Value::Images(x)) => Value::Images(pool.forward(x)),
            (Part::GlobalAveragePooling(pool), Value::Images(x)) => Value::Images(pool.forward(x)),
            (Part::Relu(relu), Value::Images(x)) => Value::Images(relu.forward(x)),
            (Part::Relu(relu), Value::Rows(x)) => Value::Rows(relu.forward(x)),
            (part, Value::Rows(_)) => return Err(anyhow!("rows, not images, come to {part:?}")),
        })
    }
}

impl Network {
    fn forward(&self, x: Value) -> Result<Tensor<2>> {
        match self.parts.iter().try_fold(x, |x, part| part.forward(x))? {
            Value::Rows(logits) => Ok(logits),
            Value::Images(_) => Err(anyhow!("the network does not end in a dense layer")),
        }
    }
}

struct Burn {
    device: Device,
    /// The device that trains.
    training: Device,
    /// The shape of an image.
    input: Vec<usize>,
    /// Taken out while a step replaces it.
    model: Option<Network>,
    optimizer: ModuleOptimizer,
    rate: f64,
    loss: Option<Tensor<1>>,
}

/// A batch's images on a device.
fn images_on(images: &[f32], input: &[usize], device: &Device) -> Value {
    let count = images.len() / input.iter().product::<usize>();
    match *input {
        [channels, rows, columns] => {
            let data = TensorData::new(images.to_vec(), [count, channels, rows, columns]);
            Value::Images(Tensor::from_data(data, device))
        }
        _ => {
            let data = TensorData::new(images.to_vec(), [count, images.len() / count]);
            Value::Rows(Tensor::from_data(data, device))
        }
    }
}

impl Peer for Burn {
    const NAME: &'static str = "burn";
    type Batch = (Value, Tensor<1, Int>);

    fn new(model: &Model) -> Result<Self> {
        let device = Device::default();
        let training = device.clone().autodiff();
        let parts = model.layers.iter().filter_map(|layer| Part::new(layer, &training).transpose());
        let network = Network { parts: parts.collect::<Result<_>>()? };
        let adam = AdamConfig::new().with_beta_1(BETA1 as f32).with_beta_2(BETA2 as f32);
        let optimizer = adam.with_epsilon(EPSILON as f32).init();
        let (input, rate) = (model.input.clone(), model.rate);
        Ok(Burn { device, training, input, model: Some(network), optimizer, rate, loss: None })
    }

    fn device(&self) -> String {
        format!("{:?}", self.device)
    }

    fn upload(&mut self, images: &[f32], labels: &[u32]) -> Result<Self::Batch> {
        let images = images_on(images, &self.input, &self.training);
        let indexes: Vec<i32> = labels.iter().map(|l| *l as i32).collect();
        let labels = TensorData::new(indexes, [labels.len()]);
        Ok((images, Tensor::from_data(labels, &self.training)))
    }

    fn step(&mut self, (images, labels): &Self::Batch) -> Result<()> {
        let model = self.model.take().context("a step failed before")?;
        let logits = model.forward(images.clone())?;
        let loss = CrossEntropyLossConfig::new().init(&self.training);
        let loss = loss.forward(logits, labels.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        self.model = Some(self.optimizer.step(self.rate, model, gradients));
        self.loss = Some(loss);
        Ok(())
    }

    fn loss(&mut self) -> Result<f32> {
        let loss = self.loss.take().context("no step ran")?.into_scalar::<f32>();
        self.training.sync().map_err(|e| anyhow!("{e:?}"))?;
        Ok(loss)
    }

    fn logits(&mut self, images: &[f32]) -> Result<Vec<f32>> {
        let model = self.model.as_ref().context("a step failed before")?.valid();
        let logits = model.forward(images_on(images, &self.input, &self.device))?;
        logits.into_data().try_to_vec::<f32>().map_err(|e| anyhow!("{e:?}"))
    }
}

fn main() -> Result<()> {
    peer_protocol::main::<Burn>()
}
