//! The steps of a sweep, on the device.

use super::clock::{Instant, run_steps, set_pace};
use super::compiled::Compiled;
use super::sweep::{STEPS_AT_ONCE, Sweep};
use super::words::Words;
use crate::error::Result;
use crate::gpu::{Executor, StepBlock};
use crate::step::Numbers;
use std::ops::Range;
use std::time::Duration;

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

impl Compiled {
    /// Makes what a sweep needs beside its data.
    pub(crate) fn prepare(&mut self, sweep: &Sweep) -> Result<()> {
        let batch = &sweep.full;
        let len = batch.records * self.columns() * batch.column_room();
        // The buffer may keep numbers of an earlier sweep: a step's numbers are written before they are read.
        self.store.reserve(&batch.buffer("metrics", 0), len as u64 * 4)?;
        sweep.batches().try_for_each(|batch| self.executor(batch, sweep.train).map(|_| ()))
    }

    /// The order in which a sweep takes its rows.
    pub(crate) fn upload_order(&mut self, sweep: &Sweep, order: &[u32]) -> Result<()> {
        self.store.upload_bytes(&sweep.full.buffer("order", 0), bytemuck::cast_slice(order))
    }

    /// Runs some steps of a sweep, at most as many as it has records. Gives the instant at which the first one ended, if
    /// that was waited for.
    pub(crate) async fn run_sweep(
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
            let counted = Counted { steps: &mut self.steps, executor, from, sweep };
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
    pub(crate) fn prepared_step(
        &mut self,
        sweep: &Sweep,
        step: usize,
    ) -> Result<(usize, StepBlock)> {
        let i = self.executor(sweep.batch(step), sweep.train)?;
        let plan = self.executor_at(i).plan().clone();
        Ok((i, self.step_block(&mut Words::of(&plan), &plan, sweep, step, self.steps)?))
    }

    /// Sets how steps are spread over submits, if `steps` of the sweep took so long.
    pub(crate) fn pace(&mut self, sweep: &Sweep, steps: usize, took: Duration) {
        let batches = [Some(&sweep.full), sweep.short.as_ref()];
        for ((batch, train), executor) in &mut self.executors {
            if *train == sweep.train && batches.contains(&Some(&*batch)) {
                set_pace(executor, steps, took);
            }
        }
    }

    /// Waits for some steps of a sweep and adds their numbers up.
    pub(crate) async fn add_numbers(
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
    pub(crate) async fn numbers_of_sweeps(
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
    pub(crate) async fn run_whole(&mut self, sweep: &Sweep) -> Result<Numbers> {
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
