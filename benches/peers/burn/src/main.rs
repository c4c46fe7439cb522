//! burn with its wgpu backend (WGSL), fusion and autotune, as its book trains a classifier.

use anyhow::{Context, Result, anyhow};
use burn::module::{Module, Param};
use burn::nn::attention::{
    MhaInput, MultiHeadAttention, MultiHeadAttentionConfig, generate_autoregressive_mask,
};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, GateController, LayerNorm,
    LayerNormConfig, Linear, LinearConfig, Lstm, LstmConfig, PaddingConfig2d, Relu,
};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use peer_protocol::{
    BETA1, BETA2, EPSILON, LAYER_EPSILON, Layer, Model, NORM_EPSILON, NORM_MOMENTUM, Peer, Weights,
};

/// A layer as burn has it.
#[derive(Module, Debug)]
enum Part {
    Linear(Linear),
    Convolution(Conv2d),
    Normalization(BatchNorm),
    Relu(Relu),
    MaxPooling(MaxPool2d),
    GlobalAveragePooling(AdaptiveAvgPool2d),
    Lstm(Lstm),
    Embedding(Embedding),
    Positions(Positions),
    Block(Block),
    LayerNormalization(LayerNorm),
}

/// A vector for each place, which is added.
#[derive(Module, Debug)]
struct Positions {
    table: Param<Tensor<2>>,
}

/// A block of GPT of burn's modules.
#[derive(Module, Debug)]
struct Block {
    norm: LayerNorm,
    attention: MultiHeadAttention,
    second_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
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
    Sequences(Tensor<3>),
    Ids(Tensor<2, Int>),
}

/// Values as a parameter.
fn param<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::from_data(TensorData::new(values.to_vec(), shape), device))
}

/// A dense layer with these weights.
fn linear(weights: &Weights, device: &Device) -> Linear {
    let shape = [weights.shape[0], weights.shape[1]];
    let mut linear = LinearConfig::new(shape[0], shape[1]).init(device);
    linear.weight = param(&weights.values, shape, device);
    linear.bias = weights.biases.as_ref().map(|biases| param(biases, [biases.len()], device));
    linear
}

fn layer_norm(weights: &Weights, device: &Device) -> LayerNorm {
    let count = weights.values.len();
    let mut norm = LayerNormConfig::new(count).with_epsilon(LAYER_EPSILON).init(device);
    norm.gamma = param(&weights.values, [count], device);
    norm.beta = Some(param(weights.biases(), [count], device));
    norm
}

/// The gate's columns of an LSTM's weights. burn has a second bias, which is left out: two would learn twice as fast.
fn gate(weights: &Weights, k: usize, device: &Device) -> GateController {
    let units = weights.shape[1] / 4;
    let inputs = weights.shape[0] - units;
    let gate = weights.columns(k * units..(k + 1) * units);
    let mut input = gate.rows(0..inputs);
    input.biases = gate.biases.clone();
    let hidden = gate.rows(inputs..inputs + units);
    GateController {
        input_transform: linear(&input, device),
        hidden_transform: linear(&hidden, device),
    }
}

fn lstm(weights: &Weights, device: &Device) -> Lstm {
    let units = weights.shape[1] / 4;
    let mut lstm = LstmConfig::new(weights.shape[0] - units, units, true).init(device);
    lstm.input_gate = gate(weights, 0, device);
    lstm.forget_gate = Some(gate(weights, 1, device));
    lstm.cell_gate = gate(weights, 2, device);
    lstm.output_gate = gate(weights, 3, device);
    lstm
}

impl Block {
    fn new(block: &peer_protocol::Block, device: &Device) -> Block {
        let width = block.output.shape[0];
        let config = MultiHeadAttentionConfig::new(width, block.heads).with_dropout(0.0);
        let mut attention = config.init(device);
        let part = |k: usize| linear(&block.parts.columns(k * width..(k + 1) * width), device);
        (attention.query, attention.key, attention.value) = (part(0), part(1), part(2));
        attention.output = linear(&block.output, device);
        Block {
            norm: layer_norm(&block.norm, device),
            attention,
            second_norm: layer_norm(&block.second_norm, device),
            inner: linear(&block.inner, device),
            outer: linear(&block.outer, device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, time, _] = x.dims();
        let mask = generate_autoregressive_mask(batch, time, &x.device());
        let read = MhaInput::self_attn(self.norm.forward(x.clone())).mask_attn(mask);
        let x = x + self.attention.forward(read).context;
        let inner = self.inner.forward(self.second_norm.forward(x.clone()));
        // Its gradient is that of the form with tanh, which moves T's loss by 2.4e-5.
        x + self.outer.forward(activation::gelu(inner))
    }
}

impl Part {
    /// A layer with the file's weights; none for one that only changes the shape, which a `Linear` does by itself here.
    fn new(layer: &Layer, device: &Device) -> Result<Option<Part>> {
        let row = |values: &Vec<f32>| param(values, [values.len()], device);
        Ok(Some(match layer {
            Layer::Dense(weights) => Part::Linear(linear(weights, device)),
            Layer::Lstm(weights) => Part::Lstm(lstm(weights, device)),
            Layer::Embedding(table) => {
                let shape = [table.shape[0], table.shape[1]];
                let mut embedding = EmbeddingConfig::new(shape[0], shape[1]).init(device);
                embedding.weight = param(&table.values, shape, device);
                Part::Embedding(embedding)
            }
            Layer::Positions(table) => {
                let shape = [table.shape[0], table.shape[1]];
                Part::Positions(Positions { table: param(&table.values, shape, device) })
            }
            Layer::Block(block) => Part::Block(Block::new(block, device)),
            Layer::LayerNormalization(weights) => {
                Part::LayerNormalization(layer_norm(weights, device))
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
            Layer::Stem(_) | Layer::Bottleneck(_) => {
                return Err(peer_protocol::Lacks("residual network here").into());
            }
            // The network gives the scores of ids itself.
            Layer::Flatten | Layer::Scores => return Ok(None),
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
            (Part::Lstm(lstm), Value::Sequences(x)) => Value::Rows(lstm.forward(x, None).1.hidden),
            (Part::Embedding(embedding), Value::Ids(ids)) => {
                Value::Sequences(embedding.forward(ids))
            }
            (Part::Positions(positions), Value::Sequences(x)) => {
                Value::Sequences(x + positions.table.val().unsqueeze::<3>())
            }
            (Part::Block(block), Value::Sequences(x)) => Value::Sequences(block.forward(x)),
            (Part::LayerNormalization(norm), Value::Sequences(x)) => {
                Value::Sequences(norm.forward(x))
            }
            (part, _) => return Err(anyhow!("what comes to {part:?} is not what it takes")),
        })
    }
}

impl Network {
    fn forward(&self, x: Value) -> Result<Tensor<2>> {
        let x = self.parts.iter().try_fold(x, |x, part| part.forward(x))?;
        match (x, self.parts.first()) {
            (Value::Rows(logits), _) => Ok(logits),
            // The scores of ids are products with the embedding.
            (Value::Sequences(x), Some(Part::Embedding(embedding))) => {
                Ok(x.flatten::<2>(0, 1).matmul(embedding.weight.val().transpose()))
            }
            _ => Err(anyhow!("the network does not end in a dense layer")),
        }
    }
}

struct Burn {
    device: Device,
    /// The device that trains.
    training: Device,
    /// The shape of an image.
    input: Vec<usize>,
    /// Whether inputs are ids.
    ids: bool,
    /// Taken out while a step replaces it.
    model: Option<Network>,
    optimizer: ModuleOptimizer,
    rate: f64,
    loss: Option<Tensor<1>>,
}

/// A batch's images, sequences or ids on a device.
fn images_on(images: &[f32], (input, ids): (&[usize], bool), device: &Device) -> Value {
    let count = images.len() / input.iter().product::<usize>();
    match *input {
        _ if ids => {
            let ids: Vec<i32> = images.iter().map(|id| *id as i32).collect();
            let data = TensorData::new(ids, [count, images.len() / count]);
            Value::Ids(Tensor::from_data(data, device))
        }
        [time, features] => {
            let data = TensorData::new(images.to_vec(), [count, time, features]);
            Value::Sequences(Tensor::from_data(data, device))
        }
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
        let (input, rate, ids) = (model.input.clone(), model.rate, model.words().is_some());
        Ok(Burn { device, training, input, ids, model: Some(network), optimizer, rate, loss: None })
    }

    fn device(&self) -> String {
        format!("{:?}", self.device)
    }

    fn upload(&mut self, images: &[f32], labels: &[u32]) -> Result<Self::Batch> {
        let images = images_on(images, (&self.input, self.ids), &self.training);
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
        let logits = model.forward(images_on(images, (&self.input, self.ids), &self.device))?;
        logits.into_data().try_to_vec::<f32>().map_err(|e| anyhow!("{e:?}"))
    }
}

fn main() -> Result<()> {
    peer_protocol::main::<Burn>()
}
