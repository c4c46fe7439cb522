//! The models of the comparison, defined once: every peer reads layers and sizes from the data file made of these.

use crate::reference::Reference;

/// Classes.
pub const CLASSES: usize = 10;
/// How far a peer's loss may be from the others' before its times do not count.
pub const TOLERANCE: f64 = 1e-3;
/// Rows and columns of a convolution's kernel.
const KERNEL: usize = 3;
/// Rows and columns of a pooling window, and how far it moves.
const POOL: usize = 2;

/// A layer of a network; images have their channels last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layer {
    /// So many units with biases, linear.
    Dense(usize),
    /// So many filters of 3x3 with biases, at every place at which they fit.
    Convolution(usize),
    /// So many filters of 3x3 without biases; zeros around the image keep its size.
    SameConvolution(usize),
    /// Each channel minus its mean over the batch, by its deviation, then scaled and moved.
    BatchNormalization,
    /// The greater of each number and zero.
    Relu,
    /// The greatest of each square of 2x2; a last row or column alone is left out.
    MaxPooling,
    /// The mean of each channel.
    GlobalAveragePooling,
    /// All numbers of an image in a row.
    Flatten,
}

impl Layer {
    /// The word for it in a data file.
    pub fn word(self) -> &'static str {
        match self {
            Layer::Dense(_) => "dense",
            Layer::Convolution(_) => "convolution",
            Layer::SameConvolution(_) => "same_convolution",
            Layer::BatchNormalization => "batch_normalization",
            Layer::Relu => "relu",
            Layer::MaxPooling => "max_pooling",
            Layer::GlobalAveragePooling => "global_average_pooling",
            Layer::Flatten => "flatten",
        }
    }

    /// The shape of what it makes of a sample of this shape.
    fn output(self, input: &[usize]) -> Vec<usize> {
        match (self, input) {
            (Layer::Dense(units), _) => vec![units],
            (Layer::Convolution(filters), [rows, columns, _]) => {
                vec![rows + 1 - KERNEL, columns + 1 - KERNEL, filters]
            }
            (Layer::SameConvolution(filters), [rows, columns, _]) => vec![*rows, *columns, filters],
            (Layer::MaxPooling, [rows, columns, channels]) => {
                vec![rows / POOL, columns / POOL, *channels]
            }
            (Layer::GlobalAveragePooling, [_, _, channels]) => vec![*channels],
            (Layer::Flatten, _) => vec![input.iter().product()],
            // A layer that needs an image and gets a row is a fault of the list of models, which a test finds.
            _ => input.to_vec(),
        }
    }

    /// The shape of its weights on samples of this shape, and whether it has a bias for each output.
    fn weights(self, input: &[usize]) -> Option<(Vec<usize>, bool)> {
        let channels = input.last().copied().unwrap_or_default();
        match self {
            Layer::Dense(units) => Some((vec![channels, units], true)),
            Layer::Convolution(filters) => Some((vec![KERNEL, KERNEL, channels, filters], true)),
            Layer::SameConvolution(filters) => {
                Some((vec![KERNEL, KERNEL, channels, filters], false))
            }
            Layer::BatchNormalization => Some((vec![channels], true)),
            _ => None,
        }
    }
}

/// A network and what it trains on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model {
    /// Its name on the command line and in the tables.
    pub name: &'static str,
    /// Pixels of an image, or its rows, columns and channels.
    pub input: &'static [usize],
    /// Its layers; their weights are numbered in this order.
    pub layers: &'static [Layer],
    /// Images per step.
    pub batch: usize,
    /// Batches of its data file: the step whose loss all peers must agree on.
    pub steps: usize,
    /// Adam's rate.
    pub rate: f64,
    /// The seed of weights and data. Its training does not depend on rounding at a ReLU's kink; `reference` shows it.
    pub seed: u64,
    /// The share of pixels that say nothing about the class, in percent: how slowly the loss falls, so that it is
    /// still a number to compare at the last step.
    pub noise: u64,
    /// Rows and columns after which a class's pattern begins again; none if it fills the image.
    pub tile: Option<usize>,
    /// Timed passes over the batches per run.
    pub repeats: usize,
    /// Whether a run also trains an epoch of MNIST.
    pub epoch: bool,
    /// Whether it is for GPUs only.
    pub large: bool,
    /// The loss of training in f64, if that takes too long to compute on each machine: as
    /// `benches/peers/reference_large.py` or `reference_images.py` printed it.
    pub recorded: Option<Reference>,
}

/// Layers 784-hidden-hidden-10.
const fn perceptron(hidden: usize) -> [Layer; 5] {
    use Layer::{Dense, Relu};
    [Dense(hidden), Relu, Dense(hidden), Relu, Dense(CLASSES)]
}

/// Layers of S.
const S: [Layer; 5] = perceptron(128);
/// Layers of M.
const M: [Layer; 5] = perceptron(512);
/// Layers of L.
const L: [Layer; 5] = perceptron(4096);

/// Layers of C: Keras' mnist_convnet without dropout, whose random numbers differ between libraries.
const C: [Layer; 8] = [
    Layer::Convolution(32),
    Layer::Relu,
    Layer::MaxPooling,
    Layer::Convolution(64),
    Layer::Relu,
    Layer::MaxPooling,
    Layer::Flatten,
    Layer::Dense(CLASSES),
];

/// Layers of V.
const V: [Layer; 16] = [
    Layer::SameConvolution(32),
    Layer::BatchNormalization,
    Layer::Relu,
    Layer::SameConvolution(32),
    Layer::BatchNormalization,
    Layer::Relu,
    Layer::MaxPooling,
    Layer::SameConvolution(64),
    Layer::BatchNormalization,
    Layer::Relu,
    Layer::SameConvolution(64),
    Layer::BatchNormalization,
    Layer::Relu,
    Layer::MaxPooling,
    Layer::GlobalAveragePooling,
    Layer::Dense(CLASSES),
];

/// A model of dense layers, on which the others are based.
const PLAIN: Model = Model {
    name: "",
    input: &[784],
    layers: &[],
    batch: 64,
    steps: 50,
    rate: 1e-3,
    seed: 0,
    noise: 80,
    tile: None,
    repeats: 4,
    epoch: false,
    large: false,
    recorded: None,
};

/// All models in the tables' order.
pub const MODELS: [Model; 5] = [
    Model { name: "S", layers: &S, seed: 6, noise: 75, repeats: 10, epoch: true, ..PLAIN },
    Model { name: "M", layers: &M, batch: 128, ..PLAIN },
    Model {
        name: "L",
        layers: &L,
        batch: 1024,
        // With ten times as much a network as wide as this one jumps: what a rounding moves then grows to 3e-3.
        rate: 1e-4,
        large: true,
        // Runs 0, 1 and 6, ten minutes each on one busy core.
        recorded: Some(Reference {
            loss_first: 2.299_197_518_050_598_4,
            loss: 0.073_053_353_724_751_52,
            moved: 1.240_377_392_02e-6,
        }),
        ..PLAIN
    },
    Model {
        name: "C",
        input: &[28, 28, 1],
        layers: &C,
        batch: 128,
        steps: 20,
        // With less a loss near that of equal chances would be all there is to compare.
        rate: 2e-3,
        seed: 3,
        noise: 0,
        repeats: 2,
        recorded: Some(Reference {
            loss_first: 2.311_998_936_512_127_4,
            loss: 1.062_524_529_573_232_7,
            moved: 1.513_938_591_313_213e-5,
        }),
        ..PLAIN
    },
    Model {
        name: "V",
        input: &[32, 32, 3],
        layers: &V,
        steps: 20,
        // A mean over the whole image tells textures apart, not pixels.
        tile: Some(4),
        noise: 20,
        repeats: 2,
        // Runs 0 to 3.
        recorded: Some(Reference {
            loss_first: 4.014_445_361_618_327,
            loss: 0.114_182_837_857_880_73,
            moved: 6.698_181_635_823_9e-5,
        }),
        ..PLAIN
    },
];

impl Model {
    /// The numbers of an image.
    pub fn inputs(&self) -> usize {
        self.input.iter().product()
    }

    /// The network's sizes, as one writes them.
    pub fn shape(&self) -> String {
        let by = |shape: &[usize], mark: &str| {
            shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(mark)
        };
        let dense = !self.has_convolutions();
        let words = self.layers.iter().filter_map(|layer| match layer {
            Layer::Dense(units) if dense => Some(units.to_string()),
            Layer::Dense(units) => Some(format!("dense {units}")),
            Layer::Convolution(filters) => Some(format!("conv {filters}")),
            Layer::SameConvolution(filters) => Some(format!("same conv {filters}")),
            Layer::BatchNormalization => Some("batch norm".into()),
            Layer::MaxPooling => Some("max pool".into()),
            Layer::GlobalAveragePooling => Some("mean".into()),
            Layer::Relu | Layer::Flatten => None,
        });
        let words: Vec<String> = std::iter::once(by(self.input, "x")).chain(words).collect();
        format!("{}, batch {}", words.join(if dense { "-" } else { ", " }), self.batch)
    }

    /// Whether a network has more than dense layers.
    pub fn has_convolutions(&self) -> bool {
        self.input.len() > 1
    }

    /// The shape of each layer's weights and whether it has biases, for the layers that have weights.
    pub fn weights(&self) -> Vec<(Vec<usize>, bool)> {
        let mut sample = self.input.to_vec();
        let mut all = Vec::new();
        for layer in self.layers {
            all.extend(layer.weights(&sample));
            sample = layer.output(&sample);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_ends_in_a_logit_for_each_class() {
        for model in MODELS {
            let end = model.layers.iter().fold(model.input.to_vec(), |sample, layer| {
                let output = layer.output(&sample);
                let image = !matches!(layer, Layer::Dense(_) | Layer::Relu | Layer::Flatten);
                assert!(!image || sample.len() == 3, "{} {layer:?} on {sample:?}", model.name);
                output
            });
            assert_eq!(end, [CLASSES], "{}", model.name);
        }
    }

    #[test]
    fn weights_are_those_of_the_layers_on_their_inputs() {
        let shapes = |i: usize| MODELS[i].weights();
        assert_eq!(shapes(0)[1], (vec![128, 128], true));
        let convnet =
            [(vec![3, 3, 1, 32], true), (vec![3, 3, 32, 64], true), (vec![1600, 10], true)];
        assert_eq!(shapes(3), convnet);
        assert_eq!(shapes(4).len(), 9);
        assert_eq!(shapes(4)[7], (vec![64], true));
        assert_eq!(shapes(4)[6], (vec![3, 3, 64, 64], false));
    }

    #[test]
    fn sizes_are_written_as_one_says_them() {
        assert_eq!(MODELS[0].shape(), "784-128-128-10, batch 64");
        let convnet = "28x28x1, conv 32, max pool, conv 64, max pool, dense 10, batch 128";
        assert_eq!(MODELS[3].shape(), convnet);
    }
}
