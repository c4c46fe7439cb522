//! A sweep over data: its batches, and the steps that run them.

use super::clock::{Instant, run_steps, set_pace};
use super::trainer::Trainer;
use super::words::Words;
use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::gpu::{Executor, StepBlock};
use crate::graph::TensorType;
use crate::tensor::Tensor;
use crate::step::{Batch, Numbers};
use std::ops::Range;
use std::time::Duration;

/// Steps whose parameters are prepared at once, and whose numbers the device keeps.
pub(super) const STEPS_AT_ONCE: usize = 4096;

/// Bytes that the device keeps for the numbers of epochs that run without a wait between them.
const KEPT_BYTES: usize = 16 << 20;

/// The steps of one sweep: full batches, then a shorter one if the samples do not divide evenly. Steps are numbered from
/// 0; those of a second sweep follow those of the first.
#[derive(Debug, Clone)]
pub(super) struct Sweep {
    /// A full batch.
    pub full: Batch,
    /// The last batch, if it is shorter.
    short: Option<Batch>,
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

/// Counts the steps of a sweep that trains when they were submitted, also if the future that submits them is dropped.
struct Counted<'t> {
    steps: &'t mut u64,
    executor: &'t mut Executor,
    /// Runs of the executor before.
    from: u64,
    sweep: &'t Sweep,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.sweep.train {
            *self.steps += self.executor.runs() - self.from;
        }
    }
}

/// A tensor's type.
pub(super) fn ty(tensor: &Tensor) -> TensorType {
    TensorType { shape: tensor.shape().clone(), dtype: tensor.dtype() }
}

impl Trainer {
    /// The sweep over `samples` samples in batches of `full.size`, at most `limit` of them.
    pub(super) fn sweep(
        &self,
        full: Batch,
        samples: usize,
        limit: Option<usize>,
        train: bool,
    ) -> Result<Sweep> {
        let all = samples.div_ceil(full.size);
        let steps = limit.unwrap_or(all);
        if steps == 0 || steps > all {
            let detail = format!("{samples} samples in batches of {} are {all} steps", full.size);
            return Err(Error::parameter("steps_per_epoch", steps, detail));
        }
        let rest = if steps == all { samples % full.size } else { 0 };
        let full = Batch { records: steps.min(STEPS_AT_ONCE), ..full };
        let short = (rest > 0).then(|| Batch { size: rest, ..full.clone() });
        Ok(Sweep { full, short, steps, window: steps, train })
    }

    /// The sweep over a dataset that is on the device as a whole.
    pub(super) fn resident_sweep(
        &self,
        role: &'static str,
        data: &TensorDataset,
        scale: f32,
        size: usize,
        limit: Option<usize>,
    ) -> Result<Sweep> {
        let size = size.min(data.len());
        let full = Batch {
            role,
            x: data.features().iter().map(ty).collect(),
            y: data.targets().iter().map(ty).collect(),
            weighted: data.weights().is_some(),
            scale,
            size,
            records: 0,
            capacity: size,
        };
        self.sweep(full, data.len(), limit, ["train", "train_on_batch"].contains(&role))
    }

    /// Uploads a dataset, its samples in order, and compiles its batches: nothing is allocated or compiled between the
    /// first step and the last.
    pub(super) fn make_resident(&mut self, data: &TensorDataset, sweep: &Sweep) -> Result<()> {
        let batch = &sweep.full;
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
        self.upload_order(sweep, &in_order)?;
        self.prepare(sweep)
    }

    /// Makes what a sweep needs beside its data.
    pub(super) fn prepare(&mut self, sweep: &Sweep) -> Result<()> {
        let batch = &sweep.full;
        let len = batch.records * self.columns() * batch.column_room();
        // The buffer may keep numbers of an earlier sweep: a step's numbers are written before they are read.
        self.store.reserve(&batch.buffer("metrics", 0), len as u64 * 4)?;
        sweep.batches().try_for_each(|batch| self.executor(batch, sweep.train).map(|_| ()))
    }

    /// The order in which a sweep takes its rows.
    pub(super) fn upload_order(&mut self, sweep: &Sweep, order: &[u32]) -> Result<()> {
        self.store.upload_bytes(&sweep.full.buffer("order", 0), bytemuck::cast_slice(order))
    }

    /// Runs some steps of a sweep, at most as many as it has records. Gives the instant at which the first one ended, if
    /// that was waited for.
    pub(super) async fn run_sweep(
        &mut self,
        sweep: &Sweep,
        steps: Range<usize>,
    ) -> Result<Option<Instant>> {
        let device = self.device.clone();
        let mut first = None;
        let mut next = steps.start;
        while next < steps.end {
            let batch = sweep.batch(next);
            let place = next % sweep.steps;
            let end = match sweep.short {
                None => steps.end,
                Some(_) if place + 1 == sweep.steps => next + 1,
                Some(_) => steps.end.min(next - place + sweep.steps - 1),
            };
            let i = self.executor(batch, sweep.train)?;
            let plan = self.executor_at(i).plan().clone();
            let mut words = Words::of(&plan);
            let mut blocks = std::mem::take(&mut self.blocks);
            blocks.clear();
            for (step, trained) in (next..end).zip(self.steps..) {
                blocks.push(self.step_block(&mut words, &plan, sweep, step, trained)?);
            }
            let executor = &mut self.executors[i].1;
            let from = executor.runs();
            let mut counted = Counted { steps: &mut self.steps, executor, from, sweep };
            let ended = run_steps(&device, counted.executor, &blocks).await;
            drop(counted);
            self.blocks = blocks;
            let ended = ended?;
            first = first.or(ended);
            next = end;
        }
        Ok(first)
    }

    /// The index of the executor of a step, and its words.
    pub(super) fn prepared_step(
        &mut self,
        sweep: &Sweep,
        step: usize,
    ) -> Result<(usize, StepBlock)> {
        let i = self.executor(sweep.batch(step), sweep.train)?;
        let plan = self.executor_at(i).plan().clone();
        Ok((i, self.step_block(&mut Words::of(&plan), &plan, sweep, step, self.steps)?))
    }

    /// Sets how steps are spread over submits, if `steps` of the sweep took so long.
    pub(super) fn pace(&mut self, sweep: &Sweep, steps: usize, took: Duration) {
        let batches = [Some(&sweep.full), sweep.short.as_ref()];
        for ((batch, train), executor) in &mut self.executors {
            if *train == sweep.train && batches.contains(&Some(&*batch)) {
                set_pace(executor, steps, took);
            }
        }
    }

    /// Waits for some steps of a sweep and adds their numbers up.
    pub(super) async fn add_numbers(
        &self,
        sweep: &Sweep,
        steps: Range<usize>,
        numbers: &mut Numbers,
    ) -> Result<()> {
        let values = self.read_records(sweep, steps.clone()).await?;
        let sizes: Vec<usize> = steps.map(|step| sweep.size(step)).collect();
        numbers.add(&self.spec(false), &sweep.full, &values, &sizes);
        Ok(())
    }

    /// Waits for some whole sweeps and gives the numbers of each.
    pub(super) async fn numbers_of_sweeps(
        &self,
        sweep: &Sweep,
        sweeps: usize,
    ) -> Result<Vec<Numbers>> {
        let values = self.read_records(sweep, 0..sweeps * sweep.steps).await?;
        let sizes: Vec<usize> = (0..sweep.steps).map(|step| sweep.size(step)).collect();
        let spec = self.spec(false);
        let of_one = |values: &[f32]| {
            let mut numbers = Numbers::default();
            numbers.add(&spec, &sweep.full, values, &sizes);
            numbers
        };
        Ok(values.chunks_exact(values.len() / sweeps).map(of_one).collect())
    }

    /// Waits for some steps of a sweep and reads their records.
    async fn read_records(&self, sweep: &Sweep, steps: Range<usize>) -> Result<Vec<f32>> {
        let record = self.columns() * sweep.full.column_room();
        let mut values = Vec::with_capacity(steps.len() * record);
        let name = sweep.full.buffer("metrics", 0);
        let mut next = steps.start;
        while next < steps.end {
            let place = next % sweep.full.records;
            let end = steps.end.min(next + sweep.full.records - place);
            let (offset, len) = (place * record * 4, (end - next) * record * 4);
            let bytes = self.store.read_at(&name, offset as u64, len).await?;
            values.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
            next = end;
        }
        Ok(values)
    }

    /// Runs a whole sweep and adds its numbers up.
    pub(super) async fn run_whole(&mut self, sweep: &Sweep) -> Result<Numbers> {
        let mut numbers = Numbers::default();
        for start in (0..sweep.steps).step_by(STEPS_AT_ONCE) {
            let steps = start..sweep.steps.min(start + STEPS_AT_ONCE);
            let began = Instant::now();
            let first = self.run_sweep(sweep, steps.clone()).await?;
            self.add_numbers(sweep, steps.clone(), &mut numbers).await?;
            if first.is_none() {
                self.pace(sweep, steps.len(), began.elapsed());
            }
        }
        Ok(numbers)
    }
}
