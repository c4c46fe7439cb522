//! A pass over data: its batches, and the steps that run them.

use super::clock::{Instant, run_steps, set_pace};
use super::numbers::Numbers;
use super::step::Batch;
use super::trainer::Trainer;
use super::words::Words;
use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::gpu::StepBlock;
use crate::graph::TensorType;
use crate::tensor::Tensor;
use std::ops::Range;
use std::time::Duration;

/// Steps whose parameters are prepared at once, and whose numbers the device keeps.
pub(super) const STEPS_AT_ONCE: usize = 4096;

/// Bytes that the device keeps for the numbers of epochs that run without a wait between them.
const KEPT_BYTES: usize = 16 << 20;

/// The steps of one pass: full batches, then a shorter one if the samples do not divide evenly. Steps are numbered from
/// 0; those of a second pass follow those of the first.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    /// A full batch.
    pub full: Batch,
    /// The last batch, if it is shorter.
    short: Option<Batch>,
    /// Steps of the pass.
    pub steps: usize,
    /// Steps whose samples are on the device at once: all, unless they are streamed.
    pub window: usize,
    /// Whether the steps train.
    pub train: bool,
}

impl Pass {
    /// Steps of one batch, whose samples the host uploads before each.
    pub const fn refilled(full: Batch, steps: usize) -> Self {
        Self { full, short: None, steps, window: 1, train: false }
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

    /// Keeps the numbers of up to `passes` passes on the device, if they take little.
    pub fn keep_passes(&mut self, passes: usize, columns: usize) {
        let slot = columns * self.full.column_room() * 4;
        let slots = (KEPT_BYTES / slot).min(STEPS_AT_ONCE).min(passes.saturating_mul(self.steps));
        self.full.slots = self.full.slots.max(slots);
        self.short = self.short.take().map(|b| Batch { slots: self.full.slots, ..b });
    }

    /// Samples of the pass.
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
pub(super) fn ty(tensor: &Tensor) -> TensorType {
    TensorType { shape: tensor.shape().clone(), dtype: tensor.dtype() }
}

impl Trainer {
    /// The pass over `samples` samples in batches of `full.size`, at most `limit` of them.
    pub(super) fn pass(
        &self,
        full: Batch,
        samples: usize,
        limit: Option<usize>,
        train: bool,
    ) -> Result<Pass> {
        let all = samples.div_ceil(full.size);
        let steps = limit.unwrap_or(all);
        if steps == 0 || steps > all {
            let detail = format!("{samples} samples in batches of {} are {all} steps", full.size);
            return Err(Error::parameter("steps_per_epoch", steps, detail));
        }
        let rest = if steps == all { samples % full.size } else { 0 };
        let full = Batch { slots: steps.min(STEPS_AT_ONCE), ..full };
        let short = (rest > 0).then(|| Batch { size: rest, ..full.clone() });
        Ok(Pass { full, short, steps, window: steps, train })
    }

    /// The pass over a dataset that is on the device as a whole.
    pub(super) fn resident_pass(
        &self,
        role: &'static str,
        data: &TensorDataset,
        scale: f32,
        size: usize,
        limit: Option<usize>,
    ) -> Result<Pass> {
        let size = size.min(data.len());
        let full = Batch {
            role,
            x: data.features().iter().map(ty).collect(),
            y: data.targets().iter().map(ty).collect(),
            weighted: data.weights().is_some(),
            scale,
            size,
            slots: 0,
            capacity: size,
        };
        self.pass(full, data.len(), limit, ["train", "train_on_batch"].contains(&role))
    }

    /// Uploads a dataset, its samples in order, and compiles its batches: nothing is allocated or compiled between the
    /// first step and the last.
    pub(super) fn make_resident(&mut self, data: &TensorDataset, pass: &Pass) -> Result<()> {
        let batch = &pass.full;
        for (i, x) in data.features().iter().enumerate() {
            self.store.upload(&batch.buffer("x", i), x)?;
        }
        for (i, y) in data.targets().iter().enumerate() {
            self.store.upload(&batch.buffer("y", i), y)?;
        }
        if let Some(weights) = data.weights() {
            self.store.upload(&batch.buffer("weights", 0), weights)?;
        }
        let in_order: Vec<u32> = (0..data.len() as u32).collect();
        self.upload_order(pass, &in_order)?;
        self.prepare(pass)
    }

    /// Makes what a pass needs beside its data.
    pub(super) fn prepare(&mut self, pass: &Pass) -> Result<()> {
        let batch = &pass.full;
        let len = batch.slots * self.columns() * batch.column_room();
        // The buffer may keep numbers of an earlier pass: a step's numbers are written before they are read.
        self.store.reserve(&batch.buffer("metrics", 0), len as u64 * 4)?;
        pass.batches().try_for_each(|batch| self.executor(batch, pass.train).map(|_| ()))
    }

    /// The order in which a pass takes its rows.
    pub(super) fn upload_order(&mut self, pass: &Pass, order: &[u32]) -> Result<()> {
        self.store.upload_bytes(&pass.full.buffer("order", 0), bytemuck::cast_slice(order))
    }

    /// Runs some steps of a pass, at most as many as it has slots. Gives the instant at which the first one ended, if
    /// that was waited for.
    pub(super) async fn run_pass(
        &mut self,
        pass: &Pass,
        steps: Range<usize>,
    ) -> Result<Option<Instant>> {
        let device = self.device.clone();
        let mut first = None;
        let mut next = steps.start;
        while next < steps.end {
            let batch = pass.batch(next);
            let place = next % pass.steps;
            let end = match pass.short {
                None => steps.end,
                Some(_) if place + 1 == pass.steps => next + 1,
                Some(_) => steps.end.min(next - place + pass.steps - 1),
            };
            let i = self.executor(batch, pass.train)?;
            let plan = self.executor_at(i).plan().clone();
            let mut words = Words::of(&plan);
            let mut blocks = std::mem::take(&mut self.blocks);
            blocks.clear();
            for step in next..end {
                blocks.push(self.step_block(&mut words, &plan, pass, step)?);
            }
            let ended = run_steps(&device, self.executor_at(i), &blocks).await;
            self.blocks = blocks;
            let ended = ended?;
            first = first.or(ended);
            next = end;
        }
        Ok(first)
    }

    /// The index of the executor of a step, and its words.
    pub(super) fn prepared_step(&mut self, pass: &Pass, step: usize) -> Result<(usize, StepBlock)> {
        let i = self.executor(pass.batch(step), pass.train)?;
        let plan = self.executor_at(i).plan().clone();
        Ok((i, self.step_block(&mut Words::of(&plan), &plan, pass, step)?))
    }

    /// Sets how steps are spread over submits, if `steps` of the pass took so long.
    pub(super) fn pace(&mut self, pass: &Pass, steps: usize, took: Duration) {
        let batches = [Some(&pass.full), pass.short.as_ref()];
        for ((batch, train), executor) in &mut self.executors {
            if *train == pass.train && batches.contains(&Some(&*batch)) {
                set_pace(executor, steps, took);
            }
        }
    }

    /// Waits for some steps of a pass and adds their numbers up.
    pub(super) async fn add_numbers(
        &self,
        pass: &Pass,
        steps: Range<usize>,
        numbers: &mut Numbers,
    ) -> Result<()> {
        let values = self.read_slots(pass, steps.clone()).await?;
        let sizes: Vec<usize> = steps.map(|step| pass.size(step)).collect();
        numbers.add(&self.spec(false), &pass.full, &values, &sizes);
        Ok(())
    }

    /// Waits for some whole passes and gives the numbers of each.
    pub(super) async fn numbers_of_passes(
        &self,
        pass: &Pass,
        passes: usize,
    ) -> Result<Vec<Numbers>> {
        let values = self.read_slots(pass, 0..passes * pass.steps).await?;
        let sizes: Vec<usize> = (0..pass.steps).map(|step| pass.size(step)).collect();
        let spec = self.spec(false);
        let of_one = |values: &[f32]| {
            let mut numbers = Numbers::default();
            numbers.add(&spec, &pass.full, values, &sizes);
            numbers
        };
        Ok(values.chunks_exact(values.len() / passes).map(of_one).collect())
    }

    /// Waits for some steps of a pass and reads their slots.
    async fn read_slots(&self, pass: &Pass, steps: Range<usize>) -> Result<Vec<f32>> {
        let slot = self.columns() * pass.full.column_room();
        let mut values = Vec::with_capacity(steps.len() * slot);
        let name = pass.full.buffer("metrics", 0);
        let mut next = steps.start;
        while next < steps.end {
            let place = next % pass.full.slots;
            let end = steps.end.min(next + pass.full.slots - place);
            let (offset, len) = (place * slot * 4, (end - next) * slot * 4);
            let bytes = self.store.read_at(&name, offset as u64, len).await?;
            values.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
            next = end;
        }
        Ok(values)
    }

    /// Runs a whole pass and adds its numbers up.
    pub(super) async fn run_whole(&mut self, pass: &Pass) -> Result<Numbers> {
        let mut numbers = Numbers::default();
        for start in (0..pass.steps).step_by(STEPS_AT_ONCE) {
            let steps = start..pass.steps.min(start + STEPS_AT_ONCE);
            let began = Instant::now();
            let first = self.run_pass(pass, steps.clone()).await?;
            self.add_numbers(pass, steps.clone(), &mut numbers).await?;
            if first.is_none() {
                self.pace(pass, steps.len(), began.elapsed());
            }
        }
        Ok(numbers)
    }
}
