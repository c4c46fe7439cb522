//! What a model is trained on: data on the device, or data on its way there.

#[cfg(not(target_arch = "wasm32"))]
use super::stream::Stream;
use super::windows::Windows;
use crate::data::TensorDataset;
#[cfg(not(target_arch = "wasm32"))]
use crate::data::{Dataset, in_order};
use crate::error::{Error, Result};
use crate::session::{Compiled, Scaling, Sweep};
use crate::step::Numbers;
use std::borrow::Cow;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Arc;

/// Data for `fit`, `evaluate` and validation: a [`TensorDataset`], which stays on the device as a whole if the device can
/// bind it, or any [`Dataset`](crate::data::Dataset) behind an `Arc`, which a thread reads ahead.
#[derive(Clone)]
#[non_exhaustive]
pub enum TrainingData<'a> {
    /// On the device as a whole.
    Resident(Cow<'a, TensorDataset>),
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
        Self::Resident(Cow::Borrowed(data))
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
    pub window_batches: Option<usize>,
    /// Epochs whose numbers the device may keep, because nobody looks between them.
    pub sweeps: usize,
}

impl Cut {
    /// All samples in batches of `size`.
    pub const fn whole(size: usize) -> Self {
        Self { size, steps_per_epoch: None, window_batches: None, sweeps: 1 }
    }
}

/// Where the steps of an epoch find their samples.
#[derive(Debug)]
pub(crate) enum Feed<'d> {
    /// All on the device: an epoch's order is uploaded.
    Resident,
    /// In windows of data in memory, each in order.
    Windows(Windows<'d>),
    /// In windows that a thread reads, each in order.
    #[cfg(not(target_arch = "wasm32"))]
    Streamed(Stream),
}

impl Compiled {
    /// The data in the order of the model's inputs and outputs. Data that does not suit the model is refused.
    pub(crate) fn suited<'d>(&self, data: TrainingData<'d>) -> Result<TrainingData<'d>> {
        let inputs: Vec<&str> = self.model.inputs().iter().map(|i| &*i.name).collect();
        let outputs: Vec<&str> = self.outputs.iter().map(|o| &*o.name).collect();
        match data {
            TrainingData::Resident(data) => {
                let data = match data {
                    Cow::Borrowed(data) => data.in_order(&inputs, &outputs)?,
                    Cow::Owned(data) => Cow::Owned(data.in_order(&inputs, &outputs)?.into_owned()),
                };
                self.check_data(&data)?;
                Ok(TrainingData::Resident(data))
            }
            #[cfg(not(target_arch = "wasm32"))]
            TrainingData::Streamed(data) => {
                let data = in_order(data, &inputs, Some(&outputs))?;
                self.check_stream(&*data)?;
                Ok(TrainingData::Streamed(data))
            }
        }
    }

    /// The factor on the features of data, if the model was trained on samples of this scaling.
    pub(crate) fn scale_of(&self, known: Option<&Scaling>, data: &TrainingData<'_>) -> Result<f32> {
        match data {
            TrainingData::Resident(data) => Scaling::for_dataset(known, data),
            #[cfg(not(target_arch = "wasm32"))]
            TrainingData::Streamed(data) => Ok(data.spec().scale),
        }
    }

    /// The sweep over data by the plans of `role`.
    pub(crate) fn sweep_of(
        &self,
        role: &'static str,
        data: &TrainingData<'_>,
        scale: f32,
        cut: &Cut,
    ) -> Result<Sweep> {
        let &Cut { size, steps_per_epoch: limit, window_batches: window, sweeps } = cut;
        if size == 0 {
            return Err(Error::parameter("batch_size", size, "a batch has at least one sample"));
        }
        let size = size.min(data.len());
        match data {
            TrainingData::Resident(data) => {
                let mut sweep = self.resident_sweep(role, data, scale, size, limit, window)?;
                if sweeps > 1 && sweep.window == sweep.steps {
                    sweep.keep_sweeps(sweeps, self.columns());
                }
                Ok(sweep)
            }
            #[cfg(not(target_arch = "wasm32"))]
            TrainingData::Streamed(data) => self.streamed_sweep(role, &**data, size, limit, window),
        }
    }

    /// Brings data that stays on the device there, and makes room for data that does not.
    pub(crate) fn feed<'d>(
        &mut self,
        data: &'d TrainingData<'_>,
        sweep: &Sweep,
    ) -> Result<Feed<'d>> {
        match data {
            TrainingData::Resident(data) if sweep.window < sweep.steps => {
                let role = sweep.full.role;
                let (window, size) = (sweep.window, sweep.full.size);
                log::info!(
                    "{role}: the samples are longer than what the device can bind at once; {window} batches of {size} \
                     are there at a time"
                );
                self.make_room(sweep)?;
                Ok(Feed::Windows(Windows::new(data)))
            }
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

    /// Begins an epoch at step `from`, with its samples in this order, or in their own.
    pub(crate) fn begin_epoch(
        &mut self,
        feed: &mut Feed<'_>,
        sweep: &Sweep,
        order: Option<&[u32]>,
        from: usize,
    ) -> Result<()> {
        let in_order = || (0..sweep.samples() as u32).collect::<Vec<u32>>();
        let given = |order: Option<&[u32]>| order.map_or_else(in_order, <[u32]>::to_vec);
        #[cfg(target_arch = "wasm32")]
        let _ = from;
        match feed {
            // Without an order, the samples are in order already.
            Feed::Resident => order.map_or(Ok(()), |order| self.upload_order(sweep, order)),
            Feed::Windows(windows) => {
                windows.begin(given(order));
                Ok(())
            }
            #[cfg(not(target_arch = "wasm32"))]
            Feed::Streamed(stream) => stream.begin(sweep, &given(order), from),
        }
    }

    /// Makes sure that the samples of a step are on the device.
    pub(crate) async fn bring(
        &mut self,
        feed: &mut Feed<'_>,
        sweep: &Sweep,
        step: usize,
    ) -> Result<()> {
        match feed {
            Feed::Resident => Ok(()),
            Feed::Windows(windows) => self.bring_rows(windows, sweep, step),
            #[cfg(not(target_arch = "wasm32"))]
            Feed::Streamed(stream) => self.bring_window(stream, sweep, step).await,
        }
    }

    /// Runs a whole sweep over the samples in their own order, and gives its numbers.
    pub(crate) async fn run_fed(&mut self, feed: &mut Feed<'_>, sweep: &Sweep) -> Result<Numbers> {
        if matches!(feed, Feed::Resident) {
            return self.run_whole(sweep).await;
        }
        self.begin_epoch(feed, sweep, None, 0)?;
        let mut numbers = Numbers::default();
        let mut step = 0;
        while step < sweep.steps {
            let window_end = (step / sweep.window + 1) * sweep.window;
            let end = window_end.min(sweep.steps).min(step + sweep.full.records);
            self.bring(feed, sweep, step).await?;
            self.run_sweep(sweep, step..end).await?;
            self.add_numbers(sweep, step..end, &mut numbers).await?;
            step = end;
        }
        Ok(numbers)
    }
}
