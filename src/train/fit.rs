//! `fit`, `evaluate` and `predict`.

use super::clock::{Instant, run_steps};
use super::history::{Epoch, Evaluation, History};
use super::step::Batch;
use super::trainer::Trainer;
use crate::data::{TensorDataset, permutation};
use crate::error::{Error, Result};
use crate::gpu::StepBlock;
use crate::graph::TensorType;
use crate::plan::Plan;
use crate::tensor::{DType, Tensor};

/// Steps whose parameters are prepared at once.
const STEPS_AT_ONCE: usize = 4096;

/// What is called after each epoch.
type EpochHook<'a> = Box<dyn FnMut(&Epoch) + 'a>;

/// How to train, in the words of Keras' `fit`.
pub struct Fit<'a> {
    epochs: usize,
    batch_size: usize,
    shuffle: bool,
    validation_data: Option<&'a TensorDataset>,
    on_epoch_end: Option<EpochHook<'a>>,
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Self { epochs: 1, batch_size: 32, shuffle: true, validation_data: None, on_epoch_end: None }
    }
}

impl std::fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (epochs, batch) = (self.epochs, self.batch_size);
        f.debug_struct("Fit")
            .field("epochs", &epochs)
            .field("batch_size", &batch)
            .finish_non_exhaustive()
    }
}

impl<'a> Fit<'a> {
    /// One epoch, batches of 32, shuffled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Passes over the data.
    #[must_use]
    pub const fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Samples per step. The last batch of an epoch may be shorter; it is trained too.
    #[must_use]
    pub const fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Whether each epoch sees the samples in a new order.
    #[must_use]
    pub const fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Data evaluated after each epoch.
    #[must_use]
    pub const fn validation_data(mut self, data: &'a TensorDataset) -> Self {
        self.validation_data = Some(data);
        self
    }

    /// Called after each epoch with its numbers.
    #[must_use]
    pub fn on_epoch_end(mut self, hook: impl FnMut(&Epoch) + 'a) -> Self {
        self.on_epoch_end = Some(Box::new(hook));
        self
    }
}

/// Samples to predict: a tensor `[n, ...]`, and the factor that its elements are multiplied by.
#[derive(Debug, Clone, Copy)]
pub struct Features<'a> {
    /// The samples.
    pub x: &'a Tensor,
    /// The factor.
    pub scale: f32,
}

impl<'a> From<&'a Tensor> for Features<'a> {
    fn from(x: &'a Tensor) -> Self {
        Self { x, scale: 1.0 }
    }
}

impl<'a> From<&'a TensorDataset> for Features<'a> {
    fn from(data: &'a TensorDataset) -> Self {
        Self { x: data.x(), scale: data.scale() }
    }
}

fn ty(tensor: &Tensor) -> TensorType {
    TensorType { shape: tensor.shape().clone(), dtype: tensor.dtype() }
}

impl Trainer {
    /// Trains on `data`. Data and parameters stay on the device; the host reads one buffer of numbers per
    /// epoch.
    ///
    /// # Errors
    /// Data that does not suit the model, a batch size of zero or above the sample count, or a device failure.
    pub async fn fit_async(&mut self, data: &TensorDataset, mut fit: Fit<'_>) -> Result<History> {
        let began = Instant::now();
        let n = data.len();
        self.check_data(data)?;
        if let Some(validation) = fit.validation_data {
            self.check_data(validation)?;
        }
        if fit.batch_size == 0 || fit.batch_size > n {
            let detail = format!("a batch has 1 to {n} samples, as many as there are");
            return Err(Error::parameter("batch_size", fit.batch_size, detail));
        }
        if fit.epochs == 0 {
            return Err(Error::parameter("epochs", 0, "at least one epoch"));
        }
        let batches = self.batches_of("train", data, fit.batch_size)?;
        let validation = match fit.validation_data {
            Some(v) => Some((self.batches_of("evaluate", v, self.evaluation_batch())?, v)),
            None => None,
        };
        // Everything that can be refused is refused by now, before the first byte is uploaded.
        self.make_resident(data, &batches)?;
        if let Some((batches, v)) = &validation {
            self.make_resident(v, batches)?;
        }
        let mut history = History::default();
        for epoch in 0..fit.epochs {
            let start = Instant::now();
            if fit.shuffle {
                let order = permutation(n, self.seed(), self.epochs)?;
                self.store.upload_bytes("train/order", bytemuck::cast_slice(&order))?;
            }
            let first = self.run_batches(&batches, true).await?;
            if let (0, Some(ended)) = (epoch, first) {
                history.first_step = Some(ended - began);
            }
            let trained = self.collect(&batches).await?;
            let duration = start.elapsed();
            self.epochs += 1;
            let mut logs = named("", &trained);
            if let Some((batches, _)) = &validation {
                self.run_batches(batches, false).await?;
                logs.extend(named("val_", &self.collect(batches).await?));
            }
            let samples_per_second = n as f64 / duration.as_secs_f64().max(1e-9);
            let report = Epoch { epoch, logs, duration, samples_per_second };
            if let Some(hook) = &mut fit.on_epoch_end {
                hook(&report);
            }
            history.epochs.push(report);
        }
        Ok(history)
    }

    /// The blocking form of [`Trainer::fit_async`].
    ///
    /// # Errors
    /// As [`Trainer::fit_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn fit(&mut self, data: &TensorDataset, fit: Fit<'_>) -> Result<History> {
        crate::gpu::block_on(self.fit_async(data, fit))
    }

    /// Loss and metrics over `data`, without training.
    ///
    /// # Errors
    /// Data that does not suit the model, or a device failure.
    pub async fn evaluate_async(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        self.check_data(data)?;
        let batches = self.batches_of("evaluate", data, self.evaluation_batch())?;
        self.make_resident(data, &batches)?;
        self.run_batches(&batches, false).await?;
        self.collect(&batches).await
    }

    /// The blocking form of [`Trainer::evaluate_async`].
    ///
    /// # Errors
    /// As [`Trainer::evaluate_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn evaluate(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        crate::gpu::block_on(self.evaluate_async(data))
    }

    /// The model's output for each sample: `[n, ...]`. Samples pass through the device in batches.
    ///
    /// # Errors
    /// [`Error::Shape`] where the samples do not suit the model; [`Error::Gpu`] for a device failure.
    pub async fn predict_async<'a>(&mut self, samples: impl Into<Features<'a>>) -> Result<Tensor> {
        let Features { x, scale } = samples.into();
        self.check_features(x)?;
        if !scale.is_finite() {
            return Err(Error::parameter("scale", scale, "a finite number"));
        }
        let n = x.shape().dims()[0];
        // Few sizes, so that few plans are compiled however many samples there are.
        let size = n.min(self.evaluation_batch()).next_power_of_two();
        let mut shape = x.shape().dims().to_vec();
        shape[0] = size;
        let x_ty = TensorType { shape: shape.into(), dtype: x.dtype() };
        let batch = Batch { role: "predict", x: x_ty, y: None, scale, size, slots: 0, capacity: 0 };
        let in_order: Vec<u32> = (0..size as u32).collect();
        self.store.upload_bytes("predict/order", bytemuck::cast_slice(&in_order))?;
        let row_bytes = x.data().bytes().len() / n;
        let mut values = Vec::new();
        for start in (0..n).step_by(size) {
            let count = size.min(n - start);
            let mut rows = x.data().bytes()[start * row_bytes..][..count * row_bytes].to_vec();
            // A short last batch is filled up with zeros, whose predictions nobody reads.
            rows.resize(size * row_bytes, 0);
            self.store.upload_bytes("predict/x", &rows)?;
            let i = self.executor(&batch, false)?;
            let executor = self.executor_at(i);
            executor.run(&[StepBlock::default()])?;
            let predicted = executor.read("predictions").await?;
            let width = predicted.shape().len() / size;
            values.extend_from_slice(&predicted.as_f32()?[..count * width]);
        }
        let mut shape = vec![n];
        shape.extend(self.model().output_shapes()[0].dims());
        Tensor::f32(shape, values)
    }

    /// The blocking form of [`Trainer::predict_async`].
    ///
    /// # Errors
    /// As [`Trainer::predict_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn predict<'a>(&mut self, samples: impl Into<Features<'a>>) -> Result<Tensor> {
        crate::gpu::block_on(self.predict_async(samples))
    }

    fn check_features(&self, x: &Tensor) -> Result<()> {
        let dims = x.shape().dims();
        let sample = &self.model().inputs()[0].shape;
        if dims.is_empty() || dims[1..] != *sample.dims() {
            let detail = format!("the model takes samples of shape {sample}: [n, ...] is expected");
            return Err(Error::shape("input", &[x.shape()], detail));
        }
        if dims[0] == 0 {
            return Err(Error::data("x", "there are no samples"));
        }
        if x.dtype() == DType::U32 {
            let detail = "samples are f32 or u8; convert them to f32";
            return Err(Error::dtype("input", &[x.dtype()], detail));
        }
        Ok(())
    }

    fn check_data(&self, data: &TensorDataset) -> Result<()> {
        self.check_features(data.x())?;
        let output = self.model().output_shapes().remove(0);
        if self.loss().takes_labels() {
            data.check_labels(output.dims().last().copied().unwrap_or(0))?;
        }
        if self.loss().takes_probabilities() && data.y().dtype() == DType::F32 {
            let outside = |p: &f32| !(0.0..=1.0).contains(p);
            if let Some(i) = data.y().as_f32()?.iter().position(outside) {
                let detail = format!(
                    "element {i} is {}; targets of {} are probabilities from 0 to 1",
                    data.y().as_f32()?[i],
                    self.loss().name()
                );
                return Err(Error::data("y", detail));
            }
        }
        Ok(())
    }

    /// The batches that cover a dataset, planned: full ones, then a shorter one.
    fn batches_of(
        &mut self,
        role: &'static str,
        data: &TensorDataset,
        size: usize,
    ) -> Result<Vec<(Batch, usize)>> {
        let n = data.len();
        let size = size.min(n);
        let (x, y) = (ty(data.x()), ty(data.y()));
        let slots = n.div_ceil(size);
        let capacity = size;
        let full = Batch { role, x, y: Some(y), scale: data.scale(), size, slots, capacity };
        let mut batches = vec![(full.clone(), n / size)];
        if !n.is_multiple_of(size) {
            batches.push((Batch { size: n % size, ..full }, 1));
        }
        for (batch, _) in &batches {
            self.planned(batch, role == "train")?;
        }
        Ok(batches)
    }

    /// Uploads a dataset, its samples in order, and compiles its batches: nothing is allocated or compiled
    /// between the first step and the last.
    fn make_resident(&mut self, data: &TensorDataset, batches: &[(Batch, usize)]) -> Result<()> {
        let first = &batches[0].0;
        let (role, len) = (first.role, first.slots * self.columns() * first.column_room());
        let in_order: Vec<u32> = (0..data.len() as u32).collect();
        self.store.upload(&format!("{role}/x"), data.x())?;
        self.store.upload(&format!("{role}/y"), data.y())?;
        self.store.upload_bytes(&format!("{role}/order"), bytemuck::cast_slice(&in_order))?;
        self.store.allocate(&format!("{role}/metrics"), len as u64 * 4)?;
        for (batch, _) in batches {
            self.executor(batch, role == "train")?;
        }
        Ok(())
    }

    /// Runs each batch's plan as often as it says, numbering places and slots on.
    async fn run_batches(
        &mut self,
        batches: &[(Batch, usize)],
        train: bool,
    ) -> Result<Option<Instant>> {
        let device = self.device.clone();
        let mut first = None;
        let (mut start, mut slot) = (0u32, 0u32);
        for (batch, count) in batches {
            let i = self.executor(batch, train)?;
            let plan = self.executor_at(i).plan().clone();
            let mut left = *count;
            while left > 0 {
                let now = left.min(STEPS_AT_ONCE);
                let mut blocks = Vec::with_capacity(now);
                for _ in 0..now {
                    blocks.push(self.step_block(&plan, start, slot, train));
                    start += batch.size as u32;
                    slot += 1;
                }
                let ended = run_steps(&device, self.executor_at(i), &blocks).await?;
                first = first.or(ended);
                left -= now;
            }
        }
        Ok(first)
    }

    /// The words of the next step.
    fn step_block(&mut self, plan: &Plan, start: u32, slot: u32, train: bool) -> StepBlock {
        let mut block = StepBlock::default();
        block.set_u32(plan, "start", start);
        block.set_u32(plan, "slot", slot);
        if train {
            block.set_u32(plan, "seed", fold_seed(self.seed()));
            // The counter may wrap after 2^32 steps: masks repeat, nothing breaks.
            block.set_u32(plan, "step", self.steps as u32);
            for (name, value) in self.update_values() {
                block.set_f32(plan, name, value);
            }
            self.steps += 1;
        }
        block
    }
}

/// A 64-bit seed in the generator's 32-bit key word.
fn fold_seed(seed: u64) -> u32 {
    (seed ^ (seed >> 32)) as u32
}

fn named(prefix: &str, evaluation: &Evaluation) -> Vec<(String, f64)> {
    let metrics = evaluation.metrics.iter().copied();
    std::iter::once(("loss", evaluation.loss))
        .chain(metrics)
        .map(|(name, value)| (format!("{prefix}{name}"), value))
        .collect()
}
