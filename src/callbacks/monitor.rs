//! What is watched from epoch to epoch, and when it got better.

use crate::error::{Error, Result};
use crate::train::Epoch;

/// Which way a monitored number gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// By the number's name: losses and errors fall; accuracy, precision, recall, F1, IoU, AUC and R² rise. Other names
    /// are refused.
    #[default]
    Auto,
    /// Smaller is better.
    Min,
    /// Larger is better.
    Max,
}

/// Words in the names of numbers that get better as they fall.
const FALLING: &[&str] =
    &["loss", "error", "crossentropy", "mse", "mae", "rmse", "msle", "mape", "divergence"];
/// Words in the names of numbers that get better as they rise.
const RISING: &[&str] = &["accuracy", "acc", "precision", "recall", "f1", "io", "auc", "r2"];

/// A number of the epoch's logs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Monitor {
    pub name: String,
    pub mode: Mode,
    /// How much better a number must be to count as better.
    pub min_delta: f64,
}

impl Monitor {
    pub fn new(name: &str, min_delta: f64) -> Self {
        Self { name: name.into(), mode: Mode::Auto, min_delta }
    }

    /// Refuses a name without a direction and a difference outside its domain.
    pub fn check(&self, owner: &str) -> Result<()> {
        if !(self.min_delta.is_finite() && self.min_delta >= 0.0) {
            let detail = "a finite number, 0 or more";
            return Err(Error::parameter(format!("{owner} min_delta"), self.min_delta, detail));
        }
        if self.mode == Mode::Auto && direction(&self.name).is_none() {
            let detail = "its name does not tell whether it should fall or rise; \
                          set the mode to Mode::Min or Mode::Max";
            return Err(Error::parameter(format!("{owner} monitor"), &self.name, detail));
        }
        Ok(())
    }

    /// The epoch's number.
    pub fn value(&self, epoch: &Epoch) -> Result<f64> {
        epoch.get(&self.name).ok_or_else(|| {
            let detail = format!("epoch {} has no such log", epoch.epoch);
            Error::parameter("monitor", &self.name, detail)
        })
    }

    /// Whether `value` is better than `best` by more than `min_delta`. Any value is better than none, and any number
    /// is better than NaN.
    pub fn improves(&self, value: f64, best: Option<f64>) -> bool {
        let falls = match self.mode {
            Mode::Min => true,
            Mode::Max => false,
            Mode::Auto => direction(&self.name) != Some(Mode::Max),
        };
        match best {
            None => true,
            Some(best) if best.is_nan() => !value.is_nan(),
            Some(best) if falls => value + self.min_delta < best,
            Some(best) => value - self.min_delta > best,
        }
    }
}

/// Which way the number of this name gets better. The last known word decides: `accuracy_loss` is the loss of an
/// output `accuracy`.
fn direction(name: &str) -> Option<Mode> {
    name.rsplit('_').find_map(|word| match word {
        word if FALLING.contains(&word) => Some(Mode::Min),
        word if RISING.contains(&word) => Some(Mode::Max),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_directions() {
        for name in ["loss", "val_loss", "mean_squared_error", "val_rmse", "accuracy_loss"] {
            assert_eq!(direction(name), Some(Mode::Min), "{name}");
        }
        for name in
            ["accuracy", "val_mean_io_u", "f1_macro", "recall_3", "auc", "val_r2", "loss_auc"]
        {
            assert_eq!(direction(name), Some(Mode::Max), "{name}");
        }
        for name in ["learning_rate", "minutes", "", "losses"] {
            assert_eq!(direction(name), None, "{name}");
        }
    }

    #[test]
    fn a_difference_counts_past_min_delta() {
        let falls = Monitor::new("loss", 0.25);
        assert!(falls.improves(0.5, Some(1.0)));
        assert!(!falls.improves(0.75, Some(1.0)), "by exactly min_delta");
        assert!(!falls.improves(1.5, Some(1.0)));
        let rises = Monitor::new("accuracy", 0.25);
        assert!(rises.improves(1.5, Some(1.0)));
        assert!(!rises.improves(1.25, Some(1.0)), "by exactly min_delta");
        let other = Monitor { mode: Mode::Max, ..falls.clone() };
        assert!(other.improves(1.5, Some(1.0)), "a given mode goes before the name's");
        assert!(falls.improves(f64::NAN, None));
        assert!(falls.improves(1e9, Some(f64::NAN)));
        assert!(!falls.improves(f64::NAN, Some(f64::NAN)));
        assert!(!falls.improves(f64::NAN, Some(1.0)));
        assert!(!rises.improves(f64::NAN, Some(1.0)));
        assert!(falls.improves(1.0, Some(f64::INFINITY)));
    }
}
