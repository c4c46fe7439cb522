//! What a model is trained on: data on the device, or data on its way there.

#[cfg(not(target_arch = "wasm32"))]
use super::stream::Stream;
#[cfg(not(target_arch = "wasm32"))]
use crate::data::Dataset;
use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::session::{Compiled, Sweep};
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
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Resident(data) => data.len(),
            #[cfg(not(target_arch = "wasm32"))]
            Self::Streamed(data) => data.len(),
        }
    }
}

/// How training data is cut into steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// Samples of a batch; all of them if there are fewer.
    pub size: usize,
    /// The most steps of an epoch.
    pub steps_per_epoch: Option<usize>,
    /// Batches of a stream that are on the device at once.
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "nothing is streamed there"))]
    pub window_batches: Option<usize>,
    /// Epochs whose numbers the device may keep, because nobody looks between them.
    pub sweeps: usize,
}

/// Where the steps of an epoch find their samples.
#[derive(Debug)]
pub(crate) enum Feed {
    /// All on the device: an epoch's order is uploaded.
    Resident,
    /// In windows, each in order.
    #[cfg(not(target_arch = "wasm32"))]
    Streamed(Stream),
}

impl Compiled {
    /// Refuses training data that does not suit the model.
    pub(crate) fn check_training(&self, data: &TrainingData<'_>) -> Result<()> {
        match data {
            TrainingData::Resident(data) => self.check_data(data),
            #[cfg(not(target_arch = "wasm32"))]
            TrainingData::Streamed(data) => self.check_stream(&**data),
        }
    }

    /// The sweep over training data.
    pub(crate) fn training_sweep(&self, data: &TrainingData<'_>, cut: &Cut) -> Result<Sweep> {
        let &Cut { size, steps_per_epoch, sweeps, .. } = cut;
        let n = data.len();
        if size == 0 {
            return Err(Error::parameter("batch_size", size, "a batch has at least one sample"));
        }
        let size = size.min(n);
        match data {
            TrainingData::Resident(data) => {
                let scale = self.scale_of(data)?;
                let mut sweep = self.resident_sweep("train", data, scale, size, steps_per_epoch)?;
                if sweeps > 1 {
                    sweep.keep_sweeps(sweeps, self.columns());
                }
                Ok(sweep)
            }
            #[cfg(not(target_arch = "wasm32"))]
            TrainingData::Streamed(data) => {
                self.streamed_sweep(&**data, size, steps_per_epoch, cut.window_batches)
            }
        }
    }

    /// Brings data that stays on the device there.
    pub(crate) fn feed(&mut self, data: &TrainingData<'_>, sweep: &Sweep) -> Result<Feed> {
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
    pub(crate) fn begin_epoch(
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
    pub(crate) async fn bring(
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
