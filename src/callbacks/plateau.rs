//! Lowers the learning rate when a number gets no better.

use super::monitor::{Mode, Monitor};
use super::{scheduler, state};
use crate::error::{Error, Result};
use crate::train::{Callback, Control, Epoch, HookResult};
use serde_json::{Value, json};

/// Multiplies the learning rate by a factor when a number of the logs has not become better for a while, by the rule of
/// Keras' `ReduceLROnPlateau`. Each epoch's logs get its learning rate as `learning_rate`.
#[derive(Debug, Clone, PartialEq)]
pub struct ReduceLrOnPlateau {
    monitor: Monitor,
    factor: f64,
    patience: usize,
    cooldown: usize,
    min_lr: f64,
    found: Found,
    resumed: bool,
}

/// What was found so far.
#[derive(Debug, Clone, PartialEq, Default)]
struct Found {
    best: Option<f64>,
    wait: usize,
    /// Epochs of the cooldown that are left.
    cooling: usize,
}

impl ReduceLrOnPlateau {
    /// Watches this log, `val_loss` for one, with Keras' settings: a tenth of the rate after 10 epochs without an
    /// improvement of more than 1e-4.
    #[must_use]
    pub fn new(monitor: &str) -> Self {
        Self {
            monitor: Monitor::new(monitor, 1e-4),
            factor: 0.1,
            patience: 10,
            cooldown: 0,
            min_lr: 0.0,
            found: Found::default(),
            resumed: false,
        }
    }

    /// What the rate is multiplied by, in (0, 1).
    #[must_use]
    pub const fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// How many epochs without improvement lower the rate; 0 acts as 1.
    #[must_use]
    pub const fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// How much better a number must be to count as better.
    #[must_use]
    pub const fn min_delta(mut self, difference: f64) -> Self {
        self.monitor.min_delta = difference;
        self
    }

    /// Which way the number gets better.
    #[must_use]
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.monitor.mode = mode;
        self
    }

    /// Epochs after a reduction during which nothing is counted.
    #[must_use]
    pub const fn cooldown(mut self, epochs: usize) -> Self {
        self.cooldown = epochs;
        self
    }

    /// The lowest rate: the rate never goes below it.
    #[must_use]
    pub const fn min_lr(mut self, rate: f64) -> Self {
        self.min_lr = rate;
        self
    }

    /// The best number so far.
    #[must_use]
    pub const fn best(&self) -> Option<f64> {
        self.found.best
    }

    /// Epochs since the last improvement or reduction.
    #[must_use]
    pub const fn wait(&self) -> usize {
        self.found.wait
    }

    /// Takes in the number of an epoch and the epoch's rate. Gives the lower rate, if it is time for one.
    fn judge(&mut self, value: f64, rate: f64) -> Option<f32> {
        let found = &mut self.found;
        if found.cooling > 0 {
            found.cooling -= 1;
            found.wait = 0;
        }
        if self.monitor.improves(value, found.best) {
            found.best = Some(value);
            found.wait = 0;
        } else if found.cooling == 0 {
            found.wait += 1;
            if found.wait >= self.patience && rate > f64::from(self.min_lr as f32) {
                found.cooling = self.cooldown;
                found.wait = 0;
                return Some((rate * self.factor).max(self.min_lr) as f32);
            }
        }
        None
    }
}

impl Callback for ReduceLrOnPlateau {
    fn name(&self) -> String {
        "ReduceLrOnPlateau".into()
    }

    fn check(&self) -> Result<()> {
        if !(self.factor > 0.0 && self.factor < 1.0) {
            let detail = "lies in (0, 1)";
            return Err(Error::parameter("ReduceLrOnPlateau factor", self.factor, detail));
        }
        if !(self.min_lr.is_finite() && self.min_lr >= 0.0) {
            let detail = "a finite number, 0 or more";
            return Err(Error::parameter("ReduceLrOnPlateau min_lr", self.min_lr, detail));
        }
        self.monitor.check("ReduceLrOnPlateau")
    }

    fn monitors(&self) -> Vec<String> {
        vec![self.monitor.name.clone()]
    }

    fn logs(&self) -> Vec<String> {
        vec![scheduler::LOG.into()]
    }

    fn on_train_begin(&mut self, _control: &mut Control<'_>) -> HookResult {
        if !std::mem::take(&mut self.resumed) {
            self.found = Found::default();
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        let rate = control.learning_rate();
        scheduler::log(epoch, rate);
        let value = self.monitor.value(epoch)?;
        if let Some(lower) = self.judge(value, rate) {
            control.set_learning_rate(lower)?;
        }
        Ok(())
    }

    fn state(&self) -> Value {
        let Found { best, wait, cooling } = &self.found;
        json!({ "best": state::optional(*best), "wait": wait, "cooling": cooling })
    }

    fn restore(&mut self, state: &Value) -> HookResult {
        self.found = Found {
            best: state::read_optional(state, "best")?,
            wait: state::read_count(state, "wait")?,
            cooling: state::read_count(state, "cooling")?,
        };
        self.resumed = true;
        Ok(())
    }
}
