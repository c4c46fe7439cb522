//! How many steps share a submit: as many as take about 50 ms, well under a driver's watchdog.

use crate::error::Result;
use crate::gpu::{Device, Executor, StepBlock};
use std::time::Duration;

#[cfg(not(target_arch = "wasm32"))]
pub(super) use std::time::Instant;
#[cfg(target_arch = "wasm32")]
pub(super) use stopped::Instant;

/// Time that one submit may take.
#[cfg(not(target_arch = "wasm32"))]
const SUBMIT: Duration = Duration::from_millis(50);

/// How many steps share a submit, where so many took so long.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn steps_per_submit(steps: usize, took: Duration) -> usize {
    (SUBMIT.as_secs_f64() * steps as f64 / took.as_secs_f64().max(1e-9)) as usize
}

/// Without a clock nobody knows how long steps take.
#[cfg(target_arch = "wasm32")]
pub(super) fn steps_per_submit(_steps: usize, _took: Duration) -> usize {
    1
}

/// Runs the blocks; the first two alone, the second one timed, where the executor's chunk is not set yet. One step
/// is a rough measure: whoever waits for many sets the chunk again.
/// Returns when the first block ended, where that was waited for.
pub(super) async fn run_steps(
    device: &Device,
    executor: &mut Executor,
    blocks: &[StepBlock],
) -> Result<Option<Instant>> {
    if executor.steps_per_submit().is_some() || blocks.is_empty() {
        executor.run(blocks)?;
        return Ok(None);
    }
    let (first, rest) = blocks.split_at(1);
    executor.run(first)?;
    device.wait_async().await?;
    let ended = Instant::now();
    let (second, rest) = rest.split_at(rest.len().min(1));
    if second.is_empty() {
        executor.set_steps_per_submit(1);
    } else {
        executor.run(second)?;
        device.wait_async().await?;
        executor.set_steps_per_submit(steps_per_submit(1, ended.elapsed()));
        executor.run(rest)?;
    }
    Ok(Some(ended))
}

/// `wasm32-unknown-unknown` has no clock. Every step passes for a long one, so that each submit holds one step.
#[cfg(target_arch = "wasm32")]
mod stopped {
    use std::time::Duration;

    /// An instant of a clock that stands still.
    #[derive(Debug, Clone, Copy)]
    pub struct Instant;

    impl Instant {
        pub fn now() -> Self {
            Self
        }

        pub fn elapsed(self) -> Duration {
            Duration::from_millis(50)
        }
    }

    impl std::ops::Sub for Instant {
        type Output = Duration;

        fn sub(self, _earlier: Self) -> Duration {
            Duration::ZERO
        }
    }
}
