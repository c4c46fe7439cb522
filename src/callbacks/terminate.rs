//! Ends training when the loss is no longer a number.

use crate::train::{BatchEnd, BatchInterval, Callback, Control, Epoch, HookResult};
use std::time::Duration;

/// Ends training when the loss is NaN or infinite, as Keras' `TerminateOnNaN`. It looks about once a second and at the
/// end of each epoch, at the mean over the epoch's samples so far: one bad batch is enough. Its result stays readable
/// afterwards: pass `&mut` of it to [`Fit::callback`](crate::train::Fit::callback).
#[derive(Debug, Clone, PartialEq)]
pub struct TerminateOnNan {
    interval: BatchInterval,
    found: Option<(usize, usize)>,
}

impl Default for TerminateOnNan {
    fn default() -> Self {
        Self { interval: BatchInterval::Time(Duration::from_secs(1)), found: None }
    }
}

impl TerminateOnNan {
    /// Looks about once a second and at the end of each epoch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How often it looks within an epoch.
    #[must_use]
    pub const fn interval(mut self, interval: BatchInterval) -> Self {
        self.interval = interval;
        self
    }

    /// The epoch and the batch, each from 0, at whose end the loss was seen to be no number; `None` if it was not. The
    /// first bad batch is this one, or one since the look before.
    #[must_use]
    pub const fn found(&self) -> Option<(usize, usize)> {
        self.found
    }

    /// Looks at a loss.
    fn look(&mut self, loss: Option<f64>, epoch: usize, batch: usize, control: &mut Control<'_>) {
        if let Some(loss) = loss.filter(|l| !l.is_finite() && self.found.is_none()) {
            self.found = Some((epoch, batch));
            let (epoch, batch) = (epoch + 1, batch + 1);
            control
                .print(format!("stopped: the loss is {loss} after batch {batch} of epoch {epoch}"));
            control.stop_training();
        }
    }
}

impl Callback for TerminateOnNan {
    fn name(&self) -> String {
        "TerminateOnNan".into()
    }

    fn batch_interval(&self) -> BatchInterval {
        self.interval
    }

    fn on_train_begin(&mut self, _control: &mut Control<'_>) -> HookResult {
        self.found = None;
        Ok(())
    }

    fn on_batch_end(&mut self, batch: &BatchEnd<'_>, control: &mut Control<'_>) -> HookResult {
        self.look(batch.get("loss"), batch.epoch, batch.batch, control);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        let last = control.info().steps - 1;
        self.look(epoch.get("loss"), epoch.epoch, last, control);
        Ok(())
    }
}
