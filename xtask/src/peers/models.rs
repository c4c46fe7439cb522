//! The models of the comparison, defined once: every peer reads its sizes from the data file made of these.

/// Pixels of an image.
pub const INPUTS: usize = 784;
/// Classes.
pub const CLASSES: usize = 10;
/// Batches of a data file: the step whose loss all peers must agree on.
pub const BATCHES: usize = 50;
/// How far a peer's loss may lie from the others' before its times do not count.
pub const TOLERANCE: f64 = 1e-3;

/// A network 784-hidden-hidden-10 and what it trains on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model {
    /// Its name on the command line and in the tables.
    pub name: &'static str,
    /// Units of both hidden layers.
    pub hidden: usize,
    /// Images per step.
    pub batch: usize,
    /// The seed of weights and data, one whose training no ReLU's kink parts; `reference` shows it.
    pub seed: u64,
    /// The share of pixels that say nothing about the class, in percent: how slowly the loss falls, so that it is
    /// still a number to compare at the last step.
    pub noise: u64,
    /// Timed passes over the batches per run.
    pub repeats: usize,
    /// Whether a run also trains an epoch of MNIST.
    pub epoch: bool,
    /// Whether it is for GPUs only, and without a reference in f64, which would take hours.
    pub large: bool,
}

/// All models, smallest first.
pub const MODELS: [Model; 3] = [
    Model {
        name: "S",
        hidden: 128,
        batch: 64,
        seed: 6,
        noise: 75,
        repeats: 10,
        epoch: true,
        large: false,
    },
    Model {
        name: "M",
        hidden: 512,
        batch: 128,
        seed: 0,
        noise: 80,
        repeats: 4,
        epoch: false,
        large: false,
    },
    Model {
        name: "L",
        hidden: 4096,
        batch: 1024,
        seed: 0,
        noise: 90,
        repeats: 4,
        epoch: false,
        large: true,
    },
];

impl Model {
    /// The network's sizes, as one writes them.
    pub fn shape(&self) -> String {
        format!("{INPUTS}-{0}-{0}-{CLASSES}, batch {1}", self.hidden, self.batch)
    }

    /// Inputs and outputs of each layer.
    pub fn layers(&self) -> [(usize, usize); 3] {
        [(INPUTS, self.hidden), (self.hidden, self.hidden), (self.hidden, CLASSES)]
    }
}
