//! Runs a plan: many steps in one submit, or one step in several.

use super::executor::{Executor, StepBlock};
use crate::error::Result;
use crate::kernels::STEPS_PER_SUBMIT;
use crate::plan::{Launch, Launches};

/// Submits that may be under way before the host waits.
const IN_FLIGHT: usize = 2;

/// What an error interrupts.
const RUNNING: &str = "running a plan";

impl Executor {
    /// How many steps share a submit, if that was set.
    #[must_use]
    pub const fn steps_per_submit(&self) -> Option<usize> {
        self.steps_per_submit
    }

    /// Sets how many steps share a submit: 1 to 64. A submit should stay well under a driver's watchdog.
    pub fn set_steps_per_submit(&mut self, steps: usize) {
        self.steps_per_submit = Some(steps.clamp(1, STEPS_PER_SUBMIT));
    }

    /// Divides each step over this many submits, but over no more than it has dispatches: each submit has at least one.
    /// For steps that take so long by themselves that a driver's watchdog might take a single submit for a hang.
    /// Several steps share a submit only if they are not divided.
    pub fn set_submits_per_step(&mut self, submits: usize) {
        self.submit_ends.clear();
        if submits > 1 {
            let cost = self.plan.order().map(|launch| {
                // An estimate is enough: what a dispatch computes and moves, and the least that it takes.
                let dispatch = &self.plan.dispatches[launch.dispatch];
                dispatch.call.flops + dispatch.bytes_read + dispatch.bytes_written + 1
            });
            self.submit_ends = submit_ends(&cost.collect::<Vec<u64>>(), submits);
        }
    }

    /// Runs the plan once for each block. Several steps share an upload, a pass and a submit; the host waits
    /// only for the submit before the last, so that work neither piles up nor runs dry. If the future is dropped, no
    /// further step begins, and the step under way runs whole.
    ///
    /// On a device that checks, a plan with kernels from outside of the library is waited for.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu) for any failure reported by now; on a device that checks, for an index past the end
    /// of a tensor in a kernel from outside, by its name.
    pub async fn run_async(&mut self, blocks: &[StepBlock]) -> Result<()> {
        self.run_steps(blocks).await?;
        self.check_faults().await
    }

    /// What watched kernels tell of the runs so far.
    pub(super) async fn check_faults(&self) -> Result<()> {
        match &self.faults {
            Some(faults) => faults.check(&self.device, &self.plan).await,
            None => Ok(()),
        }
    }

    async fn run_steps(&mut self, blocks: &[StepBlock]) -> Result<()> {
        let plan = self.plan.clone();
        if !self.submit_ends.is_empty() {
            for block in blocks {
                let order = plan.order();
                Divided { executor: self, order, block: *block, part: 0 }.run().await?;
            }
            return Ok(());
        }
        for chunk in blocks.chunks(self.steps_per_submit.unwrap_or(STEPS_PER_SUBMIT)) {
            self.make_room().await?;
            let scopes = self.device.begin();
            self.upload(chunk);
            let steps = chunk.iter().enumerate();
            self.submit(steps.flat_map(|step| plan.order().map(move |launch| (step, launch))));
            self.runs += chunk.len() as u64;
            self.device.end(scopes, RUNNING)?;
        }
        Ok(())
    }

    /// The blocking form of [`Executor::run_async`].
    ///
    /// # Errors
    /// As [`Executor::run_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self, blocks: &[StepBlock]) -> Result<()> {
        super::block_on(self.run_async(blocks))
    }

    /// How many times the plan was submitted whole.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    /// Waits until another submit may be under way. Encoding takes the host's time, so other tasks run first.
    async fn make_room(&mut self) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        super::wait::give_way().await;
        while self.in_flight.len() >= IN_FLIGHT {
            // It stays in the queue until it has run: the future may be dropped before.
            if let Some(submitted) = self.in_flight.front() {
                self.device.ran(submitted, RUNNING).await?;
            }
            self.in_flight.pop_front();
        }
        Ok(())
    }

    /// Uploads the words of the steps that come next.
    pub(super) fn upload(&self, blocks: &[StepBlock]) {
        self.device.queue.write_buffer(&self.steps, 0, bytemuck::cast_slice(blocks));
    }

    /// Submits launches in one compute pass, each with the place and the words of its step.
    fn submit<'b>(&mut self, launches: impl Iterator<Item = ((usize, &'b StepBlock), Launch)>) {
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (step, launch) in launches {
            let (iterations, offsets) = (&launch.iterations, &mut self.offsets);
            self.launches[launch.dispatch].encode(&mut pass, step, iterations, offsets);
        }
        drop(pass);
        self.in_flight.push_back(self.device.submit(encoder.finish()));
    }
}

/// A step that is divided over several submits. If it is dropped in its middle, the rest is submitted without a wait:
/// half a step would leave some weights old and some new.
struct Divided<'e, 'p> {
    executor: &'e mut Executor,
    /// The launches that are left.
    order: Launches<'p>,
    block: StepBlock,
    /// Submits made.
    part: usize,
}

impl Divided<'_, '_> {
    async fn run(mut self) -> Result<()> {
        while self.part < self.executor.submit_ends.len() {
            self.executor.make_room().await?;
            self.submit()?;
        }
        Ok(())
    }

    /// Submits the next part.
    fn submit(&mut self) -> Result<()> {
        let Self { executor, order, block, part } = self;
        let start = part.checked_sub(1).map_or(0, |before| executor.submit_ends[before]);
        let end = executor.submit_ends[*part];
        let scopes = executor.device.begin();
        if *part == 0 {
            executor.upload(std::slice::from_ref(block));
        }
        executor.submit(order.take(end - start).map(|launch| ((0, &*block), launch)));
        *part += 1;
        executor.runs += u64::from(*part == executor.submit_ends.len());
        executor.device.end(scopes, RUNNING)
    }
}

impl Drop for Divided<'_, '_> {
    fn drop(&mut self) {
        while self.part > 0 && self.part < self.executor.submit_ends.len() {
            // Nobody is there to hear of a failure. A lost device tells the next call.
            drop(self.submit());
        }
    }
}

/// Cuts dispatches of these costs into at most `parts` runs of about the same cost: the end of each.
fn submit_ends(cost: &[u64], parts: usize) -> Vec<usize> {
    let total: u64 = cost.iter().sum();
    let mut ends = Vec::new();
    let mut done = 0;
    for (i, cost) in cost.iter().enumerate() {
        done += cost;
        let due = (ends.len() as u128 + 1) * u128::from(total);
        if u128::from(done) * parts as u128 >= due {
            ends.push(i + 1);
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_divided_by_its_cost() {
        assert_eq!(submit_ends(&[1, 1, 1, 1], 2), [2, 4]);
        assert_eq!(submit_ends(&[1, 1, 1, 1], usize::MAX), [1, 2, 3, 4]);
        assert_eq!(submit_ends(&[5], 3), [1]);
        assert!(submit_ends(&[], 3).is_empty());
        // One long dispatch is a part by itself, and short ones go with their neighbours.
        assert_eq!(submit_ends(&[1, 100, 1, 1], 2), [2, 4]);
        assert_eq!(submit_ends(&[100, 1, 1, 1, 100], 2), [3, 5]);
        for parts in 2..9 {
            let ends = submit_ends(&[3, 1, 4, 1, 5, 9, 2, 6], parts);
            assert!(ends.len() <= parts && ends.last() == Some(&8), "{parts}: {ends:?}");
            assert!(ends.windows(2).all(|w| w[0] < w[1]), "{parts}: {ends:?}");
        }
    }
}
