//! The models of the comparison, defined once: every peer reads its sizes from the data file made of these.

use crate::reference::Reference;

/// Pixels of an image.
pub const INPUTS: usize = 784;
/// Classes.
pub const CLASSES: usize = 10;
/// Batches of a data file: the step whose loss all peers must agree on.
pub const BATCHES: usize = 50;
/// How far a peer's loss may be from the others' before its times do not count.
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
    /// Adam's rate.
    pub rate: f64,
    /// The seed of weights and data. Its training does not depend on rounding at a ReLU's kink; `reference` shows it.
    pub seed: u64,
    /// The share of pixels that say nothing about the class, in percent: how slowly the loss falls, so that it is
    /// still a number to compare at the last step.
    pub noise: u64,
    /// Timed passes over the batches per run.
    pub repeats: usize,
    /// Whether a run also trains an epoch of MNIST.
    pub epoch: bool,
    /// Whether it is for GPUs only.
    pub large: bool,
    /// The loss of training in f64, if that takes too long to compute on each machine: as
    /// `benches/peers/reference_large.py` printed it.
    pub recorded: Option<Reference>,
}

/// All models, smallest first.
pub const MODELS: [Model; 3] = [
    Model {
        name: "S",
        hidden: 128,
        batch: 64,
        rate: 1e-3,
        seed: 6,
        noise: 75,
        repeats: 10,
        epoch: true,
        large: false,
        recorded: None,
    },
    Model {
        name: "M",
        hidden: 512,
        batch: 128,
        rate: 1e-3,
        seed: 0,
        noise: 80,
        repeats: 4,
        epoch: false,
        large: false,
        recorded: None,
    },
    Model {
        name: "L",
        hidden: 4096,
        batch: 1024,
        // With ten times as much a network as wide as this one jumps: what a rounding moves then grows to 3e-3.
        rate: 1e-4,
        seed: 0,
        noise: 80,
        repeats: 4,
        epoch: false,
        large: true,
        // Runs 0, 1 and 6, ten minutes each on one busy core.
        recorded: Some(Reference {
            loss_first: 2.299_197_518_050_598_4,
            loss: 0.073_053_353_724_751_52,
            moved: 1.240_377_392_02e-6,
        }),
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
