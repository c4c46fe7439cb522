//! The models of the comparison, defined once: every peer reads layers and sizes from the data file made of these.

pub use crate::layers::Layer;
use crate::layers::Weight;
use crate::reference::Reference;

/// Classes.
pub const CLASSES: usize = 10;
/// How far a peer's loss may be from the others' before its times do not count.
pub const TOLERANCE: f64 = 1e-3;

/// A network and what it trains on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model {
    /// Its name on the command line and in the tables.
    pub name: &'static str,
    /// What it is called in short; empty if its sizes say it.
    pub title: &'static str,
    /// Pixels of an image, or its rows, columns and channels; steps of time and features; or ids of a text.
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
    /// `benches/peers/reference_large.py` or `reference_layers.py` printed it. A network of other layers than dense ones
    /// that has none is too large for f64; its peers are compared with the first of them.
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

/// Layers of R: an LSTM reads the rows of an image.
const R: [Layer; 2] = [Layer::Lstm(128), Layer::Dense(CLASSES)];

/// Layers of T: nanoGPT's small setting without dropout, its scores tied to the embedding.
const T: [Layer; 8] = [
    Layer::Embedding(65, 128),
    Layer::Positions,
    Layer::Block(4),
    Layer::Block(4),
    Layer::Block(4),
    Layer::Block(4),
    Layer::LayerNormalization,
    Layer::Scores,
];

/// Layers of N4 and N64: ResNet-50.
const RESNET: [Layer; 19] = {
    use Layer::{Bottleneck, Dense, GlobalAveragePooling, ProjectedBottleneck, Stem};
    [
        Stem(64),
        ProjectedBottleneck(64, 1),
        Bottleneck(64),
        Bottleneck(64),
        ProjectedBottleneck(128, 2),
        Bottleneck(128),
        Bottleneck(128),
        Bottleneck(128),
        ProjectedBottleneck(256, 2),
        Bottleneck(256),
        Bottleneck(256),
        Bottleneck(256),
        Bottleneck(256),
        Bottleneck(256),
        ProjectedBottleneck(512, 2),
        Bottleneck(512),
        Bottleneck(512),
        GlobalAveragePooling,
        Dense(CLASSES),
    ]
};

/// Layers of Q: a long recurrence.
const Q: [Layer; 2] = [Layer::Lstm(512), Layer::Dense(CLASSES)];

/// Layers of G: GPT-2 of 124 million weights.
const G: [Layer; 16] = {
    let mut all = [Layer::Block(12); 16];
    all[0] = Layer::Embedding(50_257, 768);
    all[1] = Layer::Positions;
    all[14] = Layer::LayerNormalization;
    all[15] = Layer::Scores;
    all
};

/// A model of dense layers, on which the others are based.
const PLAIN: Model = Model {
    name: "",
    title: "",
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
pub const MODELS: [Model; 11] = [
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
        title: "Keras' mnist_convnet, batch 128",
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
        title: "four 3x3 convolutions with batch norm, batch 64",
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
    Model {
        name: "R",
        title: "LSTM of 128 over 28 rows, batch 128",
        input: &[28, 28],
        layers: &R,
        batch: 128,
        steps: 20,
        // With less it would not yet be far from equal chances.
        rate: 4e-3,
        noise: 0,
        repeats: 2,
        // Runs 0 to 4.
        recorded: Some(Reference {
            loss_first: 2.299_569_283_898_079,
            loss: 1.027_633_537_887_828_2,
            moved: 1.177_283_933_007_089_4e-6,
        }),
        ..PLAIN
    },
    Model {
        name: "T",
        title: "nanoGPT's small setting, batch 12",
        input: &[64],
        layers: &T,
        batch: 12,
        steps: 20,
        noise: 20,
        repeats: 2,
        // Runs 0 and 1.
        recorded: Some(Reference {
            loss_first: 4.647_578_598_985_511,
            loss: 2.079_918_903_062_151_4,
            moved: 2.374_926_609_149_952e-6,
        }),
        ..PLAIN
    },
    Model { name: "N4", title: "ResNet-50, batch 4", batch: 4, ..RESNET_50 },
    Model { name: "N64", title: "ResNet-50, batch 64", ..RESNET_50 },
    Model {
        name: "Q",
        title: "LSTM of 512 over 256 steps, batch 64",
        input: &[256, 512],
        layers: &Q,
        noise: 20,
        ..HUGE
    },
    Model {
        name: "G",
        title: "GPT-2 of 124M weights, 4 times 1,024 ids",
        input: &[1024],
        layers: &G,
        batch: 4,
        noise: 20,
        ..HUGE
    },
];

/// What models for GPUs have in common that f64 does not train. Steps are few and short, so that roundings do not grow.
const HUGE: Model = Model { steps: 3, rate: 1e-5, repeats: 2, large: true, ..PLAIN };

/// ResNet-50 on images of 224x224.
const RESNET_50: Model =
    Model { input: &[224, 224, 3], layers: &RESNET, tile: Some(4), noise: 20, ..HUGE };

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
        let dense = self.is_dense();
        let words = self.layers.iter().filter_map(|layer| match layer {
            Layer::Dense(units) if dense => Some(units.to_string()),
            Layer::Dense(units) => Some(format!("dense {units}")),
            Layer::Convolution(filters) => Some(format!("conv {filters}")),
            Layer::SameConvolution(filters) => Some(format!("same conv {filters}")),
            Layer::BatchNormalization => Some("batch norm".into()),
            Layer::MaxPooling => Some("max pool".into()),
            Layer::GlobalAveragePooling => Some("mean".into()),
            Layer::Lstm(units) => Some(format!("lstm {units}")),
            Layer::Embedding(words, width) => Some(format!("{words} ids as {width}")),
            Layer::Block(_) => Some("block".into()),
            Layer::Stem(filters) => Some(format!("stem {filters}")),
            Layer::Bottleneck(filters) | Layer::ProjectedBottleneck(filters, _) => {
                Some(format!("bottleneck {filters}"))
            }
            Layer::Relu
            | Layer::Flatten
            | Layer::Positions
            | Layer::LayerNormalization
            | Layer::Scores => None,
        });
        let mut all = vec![(by(self.input, "x"), 1)];
        for word in words {
            match all.last_mut() {
                Some((last, count)) if *last == word && !dense => *count += 1,
                _ => all.push((word, 1)),
            }
        }
        let times = |(word, count): (String, usize)| match count {
            1 => word,
            2 => format!("{word}, {word}"),
            _ => format!("{count} times {word}"),
        };
        let words: Vec<String> = all.into_iter().map(times).collect();
        format!("{}, batch {}", words.join(if dense { "-" } else { ", " }), self.batch)
    }

    /// What it is called in a table.
    pub fn title(&self) -> String {
        if self.title.is_empty() { self.shape() } else { self.title.into() }
    }

    /// Whether training in f64 says what the loss is; if not, peers are compared with the first of them.
    pub fn has_reference(&self) -> bool {
        self.recorded.is_some() || self.is_dense()
    }

    /// Whether all layers are dense, with ReLU between.
    pub fn is_dense(&self) -> bool {
        self.layers.iter().all(|layer| matches!(layer, Layer::Dense(_) | Layer::Relu))
    }

    /// Of how many ids its inputs are, if it reads ids.
    pub fn words(&self) -> Option<usize> {
        match self.layers.first() {
            Some(Layer::Embedding(words, _)) => Some(*words),
            _ => None,
        }
    }

    /// How many classes a label tells apart: those of an image, or the ids.
    pub fn classes(&self) -> usize {
        self.words().unwrap_or(CLASSES)
    }

    /// The shape of what the layers up to each make of a sample.
    fn shapes(&self) -> impl Iterator<Item = (Layer, Vec<usize>)> {
        let mut sample = self.input.to_vec();
        self.layers.iter().map(move |&layer| {
            let output = layer.output(&sample, self.classes());
            (layer, std::mem::replace(&mut sample, output))
        })
    }

    /// The shape of each layer's weights and whether it has biases, for the layers that have weights.
    pub fn weights(&self) -> Vec<Weight> {
        self.shapes().flat_map(|(layer, sample)| layer.weights(&sample)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_ends_in_a_logit_for_each_class() {
        for model in MODELS {
            for (layer, sample) in model.shapes() {
                let axes = match layer {
                    Layer::Dense(_) | Layer::Relu | Layer::Flatten => continue,
                    Layer::Embedding(..) => 1,
                    Layer::Lstm(_) | Layer::Positions | Layer::Block(_) => 2,
                    Layer::LayerNormalization | Layer::Scores => 2,
                    _ => 3,
                };
                assert_eq!(sample.len(), axes, "{} {layer:?} on {sample:?}", model.name);
            }
            let (last, sample) = model.shapes().last().unwrap();
            let end = last.output(&sample, model.classes());
            assert_eq!(end.last(), Some(&model.classes()), "{}", model.name);
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
        assert_eq!(shapes(5), [(vec![156, 512], true), (vec![128, 10], true)]);
        assert_eq!(shapes(6).len(), 2 + 4 * 6 + 1);
        assert_eq!(shapes(6)[1], (vec![64, 128], false));
        assert_eq!(shapes(6)[3], (vec![128, 384], true));
        assert_eq!(shapes(6)[26], (vec![128], true));
        let count = |i: usize| -> usize {
            let numbers = |(shape, bias): &Weight| -> usize {
                let biases = if *bias { shape[shape.len() - 1] } else { 0 };
                shape.iter().product::<usize>() + biases
            };
            shapes(i).iter().map(numbers).sum()
        };
        // What torchvision says of ResNet-50 of 10 classes, and what is said of GPT-2.
        assert_eq!(count(7), 23_528_522);
        assert_eq!(count(10), 124_439_808);
    }

    #[test]
    fn sizes_are_written_as_one_says_them() {
        assert_eq!(MODELS[0].shape(), "784-128-128-10, batch 64");
        let convnet = "28x28x1, conv 32, max pool, conv 64, max pool, dense 10, batch 128";
        assert_eq!(MODELS[3].shape(), convnet);
        assert_eq!(MODELS[5].shape(), "28x28, lstm 128, dense 10, batch 128");
        assert_eq!(MODELS[6].shape(), "64, 65 ids as 128, 4 times block, batch 12");
    }
}
