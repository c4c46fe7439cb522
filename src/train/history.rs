//! What training reports.

use std::time::Duration;

/// What a `fit` does, as callbacks see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FitInfo {
    /// The epoch that training begins with, from 0: a later one if it goes on from a checkpoint.
    pub initial_epoch: usize,
    /// The number of epochs after which training ends.
    pub epochs: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Samples of an epoch.
    pub samples: usize,
    /// Whether each epoch is validated.
    pub validation: bool,
}

/// The numbers at the end of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BatchEnd<'a> {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The batch in its epoch, from 0.
    pub batch: usize,
    /// Name and value over the epoch's samples so far: `loss` and the metrics.
    pub logs: &'a [(String, f64)],
}

impl BatchEnd<'_> {
    /// The number of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.logs.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }
}

/// One epoch's numbers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Epoch {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Name and value over all samples: `loss`, the metrics, and each with `val_` before it.
    pub logs: Vec<(String, f64)>,
    /// Time spent training, validation excluded.
    pub duration: Duration,
    /// Samples trained per second.
    pub samples_per_second: f64,
}

impl Epoch {
    /// The number of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.logs.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "epoch {:>2}  {:.2}s", self.epoch + 1, self.duration.as_secs_f64())?;
        for (name, value) in &self.logs {
            write!(f, "  {name} {}", short(*value))?;
        }
        write!(f, "  {:.0} samples/s", self.samples_per_second)
    }
}

/// A number in a few digits: four decimals, or an exponent if four decimals would show nothing.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size > 0.0 && size < 1e-3 || size >= 1e6 => format!("{value:.3e}"),
        _ => format!("{value:.4}"),
    }
}

/// The numbers of a whole `fit`.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct History {
    /// Its epochs, in order.
    pub epochs: Vec<Epoch>,
    /// From the call of `fit` to the end of the first step on the device, compilation and upload included.
    /// `None` if the plan had run before: then nobody waits for the first step.
    pub first_step: Option<Duration>,
}

impl History {
    /// The series of one number over the epochs that have it; empty if none has the name.
    #[must_use]
    pub fn get(&self, name: &str) -> Vec<f64> {
        self.epochs.iter().filter_map(|e| e.get(name)).collect()
    }
}
