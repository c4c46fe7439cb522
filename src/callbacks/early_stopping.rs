//! Ends training when a number gets no better.

use super::monitor::{Mode, Monitor};
use super::state;
use crate::error::Result;
use crate::train::{Callback, Control, Epoch, HookResult};
use serde_json::{Value, json};

/// Ends training when a number of the logs has not become better for a while, by the rule of Keras' `EarlyStopping`. It
/// may then take up the weights of the best epoch. Its results stay readable afterwards: pass `&mut` of it to
/// [`Fit::callback`](crate::train::Fit::callback).
///
/// ```no_run
/// use wgrad::prelude::*;
/// # fn train(trainer: &mut Trainer, data: &TensorDataset) -> wgrad::Result<()> {
/// let mut stopping = EarlyStopping::new("val_loss").patience(5).restore_best_weights(true);
/// let fit = Fit::new().epochs(200).validation_split(0.2);
/// trainer.fit(data, fit.callback(&mut stopping))?;
/// println!("stopped at {:?}", stopping.stopped_epoch());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
    baseline: Option<f64>,
    start_from_epoch: usize,
    restore_best_weights: bool,
    found: Found,
    resumed: bool,
}

/// What was found so far.
#[derive(Debug, Clone, PartialEq, Default)]
struct Found {
    best: Option<f64>,
    best_epoch: Option<usize>,
    wait: usize,
    stopped_epoch: Option<usize>,
}

/// What an epoch's number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Best,
    Wait,
    Stop,
}

impl EarlyStopping {
    /// Watches this log, `val_loss` for one; any improvement counts, and the first epoch without one ends training.
    #[must_use]
    pub fn new(monitor: &str) -> Self {
        Self {
            monitor: Monitor::new(monitor, 0.0),
            patience: 0,
            baseline: None,
            start_from_epoch: 0,
            restore_best_weights: false,
            found: Found::default(),
            resumed: false,
        }
    }

    /// How many epochs without improvement end training; 0 acts as 1, which ends it at the first.
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

    /// A number that training must beat: epochs that do not beat it are counted even if they improve.
    #[must_use]
    pub const fn baseline(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// The first epoch, from 0, that is looked at.
    #[must_use]
    pub const fn start_from_epoch(mut self, epoch: usize) -> Self {
        self.start_from_epoch = epoch;
        self
    }

    /// Whether the end of training, early or not, takes up the weights of the best epoch. They are kept on the device,
    /// and freed at the end.
    #[must_use]
    pub const fn restore_best_weights(mut self, restore: bool) -> Self {
        self.restore_best_weights = restore;
        self
    }

    /// The best number so far.
    #[must_use]
    pub const fn best(&self) -> Option<f64> {
        self.found.best
    }

    /// The epoch of the best number, from 0.
    #[must_use]
    pub const fn best_epoch(&self) -> Option<usize> {
        self.found.best_epoch
    }

    /// Epochs since the last improvement.
    #[must_use]
    pub const fn wait(&self) -> usize {
        self.found.wait
    }

    /// The epoch, from 0, after which it ended training; `None` if it did not.
    #[must_use]
    pub const fn stopped_epoch(&self) -> Option<usize> {
        self.found.stopped_epoch
    }

    /// Takes in the number of an epoch.
    fn judge(&mut self, epoch: usize, value: f64) -> Verdict {
        let found = &mut self.found;
        found.wait += 1;
        if self.monitor.improves(value, found.best) {
            (found.best, found.best_epoch) = (Some(value), Some(epoch));
            if self.baseline.is_none_or(|baseline| self.monitor.improves(value, Some(baseline))) {
                found.wait = 0;
            }
            Verdict::Best
        } else if found.wait >= self.patience {
            found.stopped_epoch = Some(epoch);
            Verdict::Stop
        } else {
            Verdict::Wait
        }
    }

    /// Ends training and says why.
    fn stop(&self, control: &mut Control<'_>) {
        if let Found { best: Some(best), best_epoch: Some(epoch), .. } = self.found {
            let name = &self.monitor.name;
            let epoch = epoch + 1;
            control.print(format!("stopped early: the best {name} was {best:.4} in epoch {epoch}"));
        }
        control.stop_training();
    }

    /// Where the best weights are kept.
    fn kept(&self, control: &Control<'_>) -> String {
        format!("EarlyStopping/{}/{}", control.place(), self.monitor.name)
    }
}

impl Callback for EarlyStopping {
    fn name(&self) -> String {
        "EarlyStopping".into()
    }

    fn check(&self) -> Result<()> {
        self.monitor.check("EarlyStopping")
    }

    fn monitors(&self) -> Vec<String> {
        vec![self.monitor.name.clone()]
    }

    fn on_train_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        if !std::mem::take(&mut self.resumed) {
            self.found = Found::default();
        }
        let kept = self.kept(control);
        if self.restore_best_weights
            && self.found.best.is_some()
            && !control.trainer().keeps_weights(&kept)
        {
            // The end of the previous training took up the best weights.
            control.keep_weights(&kept)?;
        }
        // If it ended training before a checkpoint, training stays ended.
        if self.found.stopped_epoch.is_some() {
            self.stop(control);
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        if epoch.epoch < self.start_from_epoch {
            return Ok(());
        }
        let value = self.monitor.value(epoch)?;
        match self.judge(epoch.epoch, value) {
            Verdict::Best if self.restore_best_weights => {
                let kept = self.kept(control);
                control.keep_weights(&kept)?;
            }
            Verdict::Best | Verdict::Wait => {}
            Verdict::Stop => self.stop(control),
        }
        Ok(())
    }

    fn on_train_end(&mut self, control: &mut Control<'_>) -> HookResult {
        if self.restore_best_weights && self.found.best.is_some() {
            let kept = self.kept(control);
            control.restore_weights(&kept)?;
            control.forget_weights(&kept);
        }
        Ok(())
    }

    fn state(&self) -> Value {
        let Found { best, best_epoch, wait, stopped_epoch } = &self.found;
        json!({
            "best": state::optional(*best),
            "best_epoch": best_epoch,
            "wait": wait,
            "stopped_epoch": stopped_epoch,
        })
    }

    fn restore(&mut self, state: &Value) -> HookResult {
        self.found = Found {
            best: state::read_optional(state, "best")?,
            best_epoch: state::read_optional_count(state, "best_epoch")?,
            wait: state::read_count(state, "wait")?,
            stopped_epoch: state::read_optional_count(state, "stopped_epoch")?,
        };
        self.resumed = true;
        Ok(())
    }
}
