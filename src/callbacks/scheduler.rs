//! Sets the learning rate of each epoch.

use crate::train::{Callback, Control, Epoch, HookResult};

/// The name of the rate in logs, as Keras spells it.
pub(super) const LOG: &str = "learning_rate";

/// Adds the epoch's learning rate to its logs, unless an earlier callback did.
pub(super) fn log(epoch: &mut Epoch, rate: f64) {
    if epoch.get(LOG).is_none() {
        epoch.logs.push((LOG.into(), rate));
    }
}

type Schedule<'a> = Box<dyn FnMut(usize, f64) -> f64 + Send + 'a>;

/// Sets the learning rate before each epoch: a closure computes it from the epoch's number, from 0, and the present
/// rate, as in Keras' `LearningRateScheduler`. The epoch's logs get the rate as `learning_rate`. Rates are f32 on the
/// device: the closure gets its last rate back as an f32 keeps it.
pub struct LearningRateScheduler<'a> {
    schedule: Schedule<'a>,
}

impl std::fmt::Debug for LearningRateScheduler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LearningRateScheduler").finish_non_exhaustive()
    }
}

impl<'a> LearningRateScheduler<'a> {
    /// Calls `schedule(epoch, rate)` before each epoch. A rate that is negative or not finite ends training with an
    /// error.
    #[must_use]
    pub fn new(schedule: impl FnMut(usize, f64) -> f64 + Send + 'a) -> Self {
        Self { schedule: Box::new(schedule) }
    }
}

impl Callback for LearningRateScheduler<'_> {
    fn name(&self) -> String {
        "LearningRateScheduler".into()
    }

    fn logs(&self) -> Vec<String> {
        vec![LOG.into()]
    }

    fn on_epoch_begin(&mut self, epoch: usize, control: &mut Control<'_>) -> HookResult {
        let rate = (self.schedule)(epoch, control.learning_rate());
        control.set_learning_rate(rate as f32)?;
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        log(epoch, control.learning_rate());
        Ok(())
    }
}
