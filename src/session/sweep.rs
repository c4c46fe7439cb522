//! A sweep over data: its batches, as plain data.

use crate::error::{Error, Result};
use crate::graph::TensorType;
use crate::step::Batch;
use crate::tensor::Tensor;

/// The roles of batches: each has separate buffers, which every call fills anew.
pub(crate) const ROLES: [&str; 6] =
    ["train", "validate", "evaluate", "predict", "train_on_batch", "test_on_batch"];

/// Steps whose parameters are prepared at once, and whose numbers the device keeps.
pub(crate) const STEPS_AT_ONCE: usize = 4096;

/// Bytes that the device keeps for the numbers of epochs that run without a wait between them.
const KEPT_BYTES: usize = 16 << 20;

/// The steps of one sweep: full batches, then a shorter one if the samples do not divide evenly. Steps are numbered from
/// 0; those of a second sweep follow those of the first.
#[derive(Debug, Clone)]
pub(crate) struct Sweep {
    /// A full batch.
    pub full: Batch,
    /// The last batch, if it is shorter.
    pub short: Option<Batch>,
    /// Steps of the sweep.
    pub steps: usize,
    /// Steps whose samples are on the device at once: all, unless they are streamed.
    pub window: usize,
    /// Whether the steps train.
    pub train: bool,
}

impl Sweep {
    /// Steps of one batch, whose samples the host uploads before each.
    pub const fn refilled(full: Batch, steps: usize) -> Self {
        Self { full, short: None, steps, window: 1, train: false }
    }

    /// The sweep over `samples` samples in batches of `full.size`, at most `limit` of them.
    pub fn over(full: Batch, samples: usize, limit: Option<usize>, train: bool) -> Result<Self> {
        let all = samples.div_ceil(full.size);
        let steps = limit.unwrap_or(all);
        if steps == 0 || steps > all {
            let detail = format!("{samples} samples in batches of {} are {all} steps", full.size);
            return Err(Error::parameter("steps_per_epoch", steps, detail));
        }
        let rest = if steps == all { samples % full.size } else { 0 };
        let full = Batch { records: steps.min(STEPS_AT_ONCE), ..full };
        let short = (rest > 0).then(|| Batch { size: rest, ..full.clone() });
        Ok(Self { full, short, steps, window: steps, train })
    }

    /// Samples of a step.
    pub fn size(&self, step: usize) -> usize {
        self.batch(step).size
    }

    /// The batches that its steps run.
    pub fn batches(&self) -> impl Iterator<Item = &Batch> {
        let full = (self.size(0) == self.full.size).then_some(&self.full);
        full.into_iter().chain(&self.short)
    }

    /// Keeps the numbers of up to `sweeps` sweeps on the device, if they take little.
    pub fn keep_sweeps(&mut self, sweeps: usize, columns: usize) {
        let record = columns * self.full.column_room() * 4;
        let records =
            (KEPT_BYTES / record).min(STEPS_AT_ONCE).min(sweeps.saturating_mul(self.steps));
        self.full.records = self.full.records.max(records);
        self.short = self.short.take().map(|b| Batch { records: self.full.records, ..b });
    }

    /// Samples of the sweep.
    pub fn samples(&self) -> usize {
        (self.steps - 1) * self.full.size + self.size(self.steps - 1)
    }

    /// The batch of a step.
    pub fn batch(&self, step: usize) -> &Batch {
        let last = step % self.steps + 1 == self.steps;
        self.short.as_ref().filter(|_| last).unwrap_or(&self.full)
    }
}

/// A tensor's type.
pub(crate) fn ty(tensor: &Tensor) -> TensorType {
    TensorType { shape: tensor.shape().clone(), dtype: tensor.dtype() }
}
