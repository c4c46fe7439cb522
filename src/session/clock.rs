//! How steps are spread over submits. Each submit takes at most 50 ms, well under a driver's watchdog, and has at most
//! 64 steps.

use crate::error::Result;
use crate::gpu::{Device, Executor, StepBlock};
use std::time::Duration;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use std::time::Instant;
#[cfg(target_arch = "wasm32")]
pub(crate) use web_time::Instant;

/// The time that one submit may take.
const SUBMIT: Duration = Duration::from_millis(50);

/// The most steps that share a submit: the executor's bound, because its upload has room for so many.
const MOST: usize = crate::kernels::STEPS_PER_SUBMIT;

/// How many steps share a submit, if so many took so long.
fn steps_per_submit(steps: usize, took: Duration) -> usize {
    let fit = SUBMIT.as_nanos() * steps as u128 / took.as_nanos().max(1);
    fit.clamp(1, MOST as u128) as usize
}

/// Over how many submits one step is divided, if so many took so long.
fn submits_per_step(steps: usize, took: Duration) -> usize {
    took.as_nanos().div_ceil(SUBMIT.as_nanos() * steps.max(1) as u128).max(1) as usize
}

/// Spreads coming steps over submits as it suits, if so many took so long.
pub(crate) fn set_pace(executor: &mut Executor, steps: usize, took: Duration) {
    executor.set_steps_per_submit(steps_per_submit(steps, took));
    executor.set_submits_per_step(submits_per_step(steps, took));
}

/// Runs the blocks. If the executor's pace is not set yet, the first two run alone and are timed. One step is a rough
/// measure: a caller that waits for many steps sets the pace again. Nothing is known about the first step, so each of
/// its launches is a separate submit. Its time includes compilation, so the second step is divided more than necessary.
/// Returns when the first block ended, if that was waited for.
pub(crate) async fn run_steps(
    device: &Device,
    executor: &mut Executor,
    blocks: &[StepBlock],
) -> Result<Option<Instant>> {
    if executor.steps_per_submit().is_some() || blocks.is_empty() {
        executor.run_async(blocks).await?;
        return Ok(None);
    }
    let (first, rest) = blocks.split_at(1);
    let began = Instant::now();
    executor.set_submits_per_step(usize::MAX);
    executor.run_async(first).await?;
    device.wait_async().await?;
    let ended = Instant::now();
    set_pace(executor, 1, ended - began);
    let (second, rest) = rest.split_at(rest.len().min(1));
    if second.is_empty() {
        // A CPU adapter compiles in its first step, and has no watchdog: the next step is not divided.
        if device.caps().cpu {
            executor.set_submits_per_step(1);
        }
    } else {
        executor.run_async(second).await?;
        device.wait_async().await?;
        set_pace(executor, 1, ended.elapsed());
        executor.run_async(rest).await?;
    }
    Ok(Some(ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether this many steps of this length fit in a submit's time, and one more does not.
    fn fills(steps: usize, step: Duration) -> bool {
        step * steps as u32 <= SUBMIT && step * (steps as u32 + 1) > SUBMIT
    }

    #[test]
    fn a_submit_takes_at_most_50_ms() {
        for step in [800, 1500, 2000, 7123, 24_999, 25_001, 49_999].map(Duration::from_micros) {
            for steps in [1, 3, 1000] {
                let chosen = steps_per_submit(steps, step * steps as u32);
                assert!(fills(chosen, step), "{chosen} steps of {step:?}");
                assert!(!fills(chosen + 1, step) && !fills(chosen - 1, step));
                assert_eq!(submits_per_step(steps, step * steps as u32), 1);
            }
        }
    }

    #[test]
    fn a_submit_has_1_to_64_steps() {
        let of = |micros: u64| steps_per_submit(1, Duration::from_micros(micros));
        assert_eq!([0, 1, 780, 50_000, 50_001, 10_000_000].map(of), [64, 64, 64, 1, 1, 1]);
        assert!(of(800) < 64 && of(20_000) == 2);
    }

    #[test]
    fn a_longer_step_is_split() {
        let of = |millis: u64| submits_per_step(2, Duration::from_millis(2 * millis));
        assert_eq!([0, 1, 50, 51, 100, 101, 2000].map(of), [1, 1, 1, 2, 2, 3, 40]);
    }
}
