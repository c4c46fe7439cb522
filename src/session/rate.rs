//! The learning rate while training.

use super::compiled::Compiled;
use crate::error::{Error, Result};

impl Compiled {
    /// The learning rate of the next step: the one set by hand, or its schedule's.
    pub fn learning_rate(&self) -> f64 {
        let updates = self.gradients().updates(self.steps);
        let of_schedule = || self.optimizer().learning_rate().at(updates);
        self.learning_rate.map_or_else(of_schedule, f64::from)
    }

    /// The step parameters of the update that the step after `trained` steps makes or adds to.
    pub(crate) fn update_values(&self, trained: u64) -> Vec<(&'static str, f32)> {
        self.gradients().step_values(self.optimizer(), trained, self.learning_rate)
    }

    /// Sets the learning rate of all coming steps.
    pub fn set_learning_rate(&mut self, rate: f32) -> Result<()> {
        if !(rate.is_finite() && rate >= 0.0) {
            return Err(Error::parameter("learning_rate", rate, "a finite number, 0 or more"));
        }
        self.learning_rate = Some(rate);
        Ok(())
    }
}
