//! What a checkpoint says in JSON.

use super::scaling::{Exact, Samples};
use crate::error::Result;
use crate::step::{LARGEST_COUNT, Numbers};
use crate::train::{Batches, Epoch, FitState, History};
use serde::de::{Error as _, IntoDeserializer, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The JSON of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Metadata {
    /// The checksum. It is the first field, so that its place in the file is known.
    pub crc32: String,
    pub format_version: u64,
    pub library_version: String,
    pub config: Value,
    /// The model as data, if all of its layers have a form as data. Resuming does not compare it.
    #[serde(default)]
    pub model: Option<Value>,
    #[serde(deserialize_with = "count")]
    pub steps: u64,
    #[serde(deserialize_with = "count")]
    pub epochs: u64,
    pub learning_rate: Option<f32>,
    /// How the samples came that the model was trained on.
    #[serde(default)]
    pub samples: Option<Samples>,
    pub kept: Vec<String>,
    pub fit: Option<Fit>,
}

/// The place of training; see [`FitState`]. The sums of its numbers are tensors.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Fit {
    #[serde(deserialize_with = "count")]
    epoch: usize,
    #[serde(deserialize_with = "count")]
    batch: usize,
    #[serde(deserialize_with = "counts")]
    batches: [usize; 3],
    shuffle: bool,
    /// Samples of the epoch so far.
    #[serde(deserialize_with = "count")]
    samples: u64,
    /// The number of metrics that have sums.
    #[serde(deserialize_with = "count")]
    metrics: usize,
    elapsed: Duration,
    stop: bool,
    first_step: Option<Duration>,
    history: Vec<Row>,
    callbacks: Vec<(String, Value)>,
}

/// An epoch of the history.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    #[serde(deserialize_with = "count")]
    epoch: usize,
    duration: Duration,
    samples_per_second: Exact,
    logs: Vec<(String, Exact)>,
}

/// A count that cannot make arithmetic overflow.
fn count<'de, D: Deserializer<'de>, N: TryFrom<u64>>(deserializer: D) -> Result<N, D::Error> {
    let count = u64::deserialize(deserializer)?;
    let small = N::try_from(count).ok().filter(|_| count <= LARGEST_COUNT);
    small.ok_or_else(|| D::Error::invalid_value(Unexpected::Unsigned(count), &"a smaller count"))
}

/// Counts as [`count`] reads them.
fn counts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[usize; 3], D::Error> {
    let counts = <[u64; 3]>::deserialize(deserializer)?.map(|n| count(n.into_deserializer()));
    let [steps, size, samples] = counts;
    Ok([steps?, size?, samples?])
}

impl Fit {
    /// Without the sums of the numbers.
    pub fn new(state: &FitState) -> Self {
        let row = |e: &Epoch| Row {
            epoch: e.epoch,
            duration: e.duration,
            samples_per_second: Exact(e.samples_per_second),
            logs: e.logs.iter().map(|(name, value)| (name.clone(), Exact(*value))).collect(),
        };
        let Batches { samples, size, steps, shuffle } = state.batches;
        Self {
            epoch: state.epoch,
            batch: state.batch,
            batches: [steps, size, samples],
            shuffle,
            samples: state.numbers.samples,
            metrics: state.numbers.metrics.len(),
            elapsed: state.elapsed,
            stop: state.stop,
            first_step: state.history.first_step,
            history: state.history.epochs.iter().map(row).collect(),
            callbacks: state.callbacks.clone(),
        }
    }

    /// Whether the next batch is one of the epoch, or its end.
    pub const fn is_within(&self) -> bool {
        self.batch <= self.batches[0]
    }

    /// Whether the file has sums, and of how many metrics.
    pub fn sums(&self) -> Option<usize> {
        (self.samples > 0).then_some(self.metrics)
    }

    /// The state, with the sums of its numbers.
    pub fn state(self, losses: Vec<f64>, metrics: Vec<Vec<f64>>) -> FitState {
        let epoch = |row: Row| Epoch {
            epoch: row.epoch,
            logs: row.logs.into_iter().map(|(name, Exact(value))| (name, value)).collect(),
            duration: row.duration,
            samples_per_second: row.samples_per_second.0,
        };
        let [steps, size, samples] = self.batches;
        FitState {
            epoch: self.epoch,
            batch: self.batch,
            batches: Batches { samples, size, steps, shuffle: self.shuffle },
            numbers: Numbers { samples: self.samples, losses, metrics },
            elapsed: self.elapsed,
            stop: self.stop,
            history: History {
                epochs: self.history.into_iter().map(epoch).collect(),
                first_step: self.first_step,
            },
            callbacks: self.callbacks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_to_the_last_bit() {
        let numbers = [0.1, -0.0, 1.0 / 3.0, f64::MAX, 5e-324, f64::INFINITY, -f64::NAN, 7.0];
        for number in numbers {
            let text = serde_json::to_string(&Exact(number)).unwrap();
            let Exact(back) = serde_json::from_str(&text).unwrap();
            assert_eq!(back.to_bits(), number.to_bits(), "{text}");
        }
        for bad in ["null", "\"\"", "\"inf\"", "[1]", "true"] {
            assert!(serde_json::from_str::<Exact>(bad).is_err(), "{bad}");
        }
    }
}
