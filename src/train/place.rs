//! The place of training, as plain data.

use super::history::History;
use crate::step::Numbers;
use serde_json::Value;
use std::time::Duration;

/// What decides which samples each batch of an epoch has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Batches {
    /// Samples to choose from.
    pub samples: usize,
    /// Samples of a batch.
    pub size: usize,
    /// Batches of an epoch.
    pub steps: usize,
    /// Whether the order is drawn anew for each epoch.
    pub shuffle: bool,
}

impl std::fmt::Display for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { samples, size, steps, shuffle } = self;
        let order = if *shuffle { "shuffled" } else { "in order" };
        write!(f, "{steps} of {size} from {samples} samples {order}")
    }
}

/// The place of training, beside what the trainer holds: with it, training goes on as if it had never stopped.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct FitState {
    /// The epoch under way.
    pub epoch: usize,
    /// Its next batch.
    pub batch: usize,
    /// Its batches.
    pub batches: Batches,
    /// The numbers of its batches so far.
    pub numbers: Numbers,
    /// Time spent on its batches before this `fit` took it up.
    pub elapsed: Duration,
    /// Whether a callback has ended training after this epoch.
    pub stop: bool,
    /// The epochs before it.
    pub history: History,
    /// What each callback keeps, by its name.
    pub callbacks: Vec<(String, Value)>,
}
