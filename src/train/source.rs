//! What a model is trained on: data on the device, or data on its way there.

use super::fit::Fit;
#[cfg(not(target_arch = "wasm32"))]
use super::stream::Stream;
use super::sweep::Sweep;
use super::trainer::Trainer;
#[cfg(not(target_arch = "wasm32"))]
use crate::data::Dataset;
use crate::data::TensorDataset;
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Arc;

/// Training data: a [`TensorDataset`], which stays on the device as a whole, or any
/// [`Dataset`](crate::data::Dataset) behind an `Arc`, which a thread reads ahead.
#[derive(Clone)]
#[non_exhaustive]
pub enum TrainingData<'a> {
    /// On the device as a whole.
    Resident(&'a TensorDataset),
    /// Streamed.
    #[cfg(not(target_arch = "wasm32"))]
    Streamed(Arc<dyn Dataset>),
}

impl std::fmt::Debug for TrainingData<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Resident(_) => "Resident",
            #[cfg(not(target_arch = "wasm32"))]
            Self::Streamed(_) => "Streamed",
        })
    }
}

impl<'a> From<&'a TensorDataset> for TrainingData<'a> {
    fn from(data: &'a TensorDataset) -> Self {
        Self::Resident(data)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl<D: Dataset + 'static> From<Arc<D>> for TrainingData<'_> {
    fn from(data: Arc<D>) -> Self {
        Self::Streamed(data)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl From<Arc<dyn Dataset>> for TrainingData<'_> {
    fn from(data: Arc<dyn Dataset>) -> Self {
        Self::Streamed(data)
    }
}

impl TrainingData<'_> {
    /// How many samples there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Resident(data) => data.len(),
            #[cfg(not(target_arch = "wasm32"))]
            Self::Streamed(data) => data.len(),
        }
    }
}

/// Where the steps of an epoch find their samples.
#[derive(Debug)]
pub(super) enum Feed {
    /// All on the device: an epoch's order is uploaded.
    Resident,
    /// In windows, each in order.
    #[cfg(not(target_arch = "wasm32"))]
    Streamed(Stream),
}

impl Trainer {
    /// Refuses training data that does not suit the model.
    pub(super) fn check_training(&self, data: &TrainingData<'_>) -> Result<()> {
        match data {
            TrainingData::Resident(data) => self.check_data(data),
            #[cfg(not(target_arch = "wasm32"))]
            TrainingData::Streamed(data) => self.check_stream(&**data),
        }
    }

    /// The sweep over training data in batches of `size`, or of all samples if there are fewer. If nobody looks between
    /// epochs, the device keeps the numbers of several.
    pub(super) fn training_sweep(
        &self,
        data: &TrainingData<'_>,
        fit: &Fit<'_>,
        size: usize,
        unwatched: bool,
    ) -> Result<Sweep> {
        let n = data.len();
        if size == 0 {
            return Err(Error::parameter("batch_size", size, "a batch has at least one sample"));
        }
        let size = size.min(n);
        match data {
            TrainingData::Resident(data) => {
                let (scale, limit) = (self.scale_of(data)?, fit.steps_per_epoch);
                let mut sweep = self.resident_sweep("train", data, scale, size, limit)?;
                if unwatched {
                    sweep.keep_sweeps(fit.epochs, self.columns());
                }
                Ok(sweep)
            }
            #[cfg(not(target_arch = "wasm32"))]
            TrainingData::Streamed(data) => {
                self.streamed_sweep(&**data, size, fit.steps_per_epoch, fit.window_batches)
            }
        }
    }

    /// Brings data that stays on the device there.
    pub(super) fn feed(&mut self, data: &TrainingData<'_>, sweep: &Sweep) -> Result<Feed> {
        match data {
            TrainingData::Resident(data) => {
                self.make_resident(data, sweep)?;
                Ok(Feed::Resident)
            }
            #[cfg(not(target_arch = "wasm32"))]
            TrainingData::Streamed(data) => {
                self.make_room(sweep)?;
                Ok(Feed::Streamed(Stream::new(data.clone())))
            }
        }
    }

    /// Begins an epoch at step `from`, with its samples in this order.
    #[cfg_attr(
        target_arch = "wasm32",
        expect(unused_variables, reason = "nothing is streamed there")
    )]
    pub(super) fn begin_epoch(
        &mut self,
        feed: &mut Feed,
        sweep: &Sweep,
        order: Option<&[u32]>,
        from: usize,
    ) -> Result<()> {
        match (feed, order) {
            (Feed::Resident, Some(order)) => self.upload_order(sweep, order),
            // The samples are in order already.
            (Feed::Resident, None) => Ok(()),
            #[cfg(not(target_arch = "wasm32"))]
            (Feed::Streamed(stream), Some(order)) => stream.begin(sweep, order, from),
            #[cfg(not(target_arch = "wasm32"))]
            (Feed::Streamed(stream), None) => {
                let in_order: Vec<u32> = (0..sweep.samples() as u32).collect();
                stream.begin(sweep, &in_order, from)
            }
        }
    }

    /// Makes sure that the samples of a step are on the device.
    #[cfg_attr(
        target_arch = "wasm32",
        expect(unused_variables, reason = "nothing is streamed there")
    )]
    pub(super) async fn bring(
        &mut self,
        feed: &mut Feed,
        sweep: &Sweep,
        step: usize,
    ) -> Result<()> {
        match feed {
            Feed::Resident => Ok(()),
            #[cfg(not(target_arch = "wasm32"))]
            Feed::Streamed(stream) => self.bring_window(stream, sweep, step).await,
        }
    }
}
