//! The contract between the loop and what it calls.

use super::control::Control;
use super::history::{BatchEnd, Epoch};
use super::trainer::Trainer;
use crate::error;
use serde_json::Value;
use std::time::Duration;

/// What a hook returns. An error ends training: `fit` returns it with the callback's name.
pub type HookResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// How often a callback's batch hooks run. A callback that asks for numbers makes the host wait for the device, so ask
/// rarely: with `Never` a whole epoch runs without a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BatchInterval {
    /// Not at all.
    #[default]
    Never,
    /// After every so many batches.
    Batches(usize),
    /// After about this time.
    Time(Duration),
}

/// A user of the training loop. A hook does nothing unless it is defined.
///
/// Batch hooks run at the callback's own [`BatchInterval`]: when one runs, all batches since the last call have run.
///
/// A callback is `Send`, so that a future of `fit` may move from thread to thread. What its closures share with the rest
/// of the program is in an `Arc<Mutex<_>>` or a `&Mutex<_>`, not in an `Rc<RefCell<_>>`.
///
/// ```
/// use wgrad::callbacks::HookResult;
/// use wgrad::prelude::*;
///
/// /// Ends training when the loss is small enough.
/// struct Enough(f64);
///
/// impl Callback for Enough {
///     fn name(&self) -> String {
///         "Enough".into()
///     }
///
///     fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
///         if epoch.get("loss").is_some_and(|loss| loss < self.0) {
///             control.stop_training();
///         }
///         Ok(())
///     }
/// }
///
/// let fit = Fit::new().epochs(1000).callback(Enough(0.01));
/// ```
#[expect(unused_variables, reason = "the hooks' defaults do nothing")]
pub trait Callback: Send {
    /// The name in messages and checkpoints.
    fn name(&self) -> String;

    /// Checks the settings, and that the callback can write its files. If this fails, `fit` refuses to begin. All
    /// callbacks are checked before the first hook of any runs, so do not change here what a file holds.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) naming the setting and its domain;
    /// [`Error::Io`](crate::Error::Io) naming the file.
    fn check(&self) -> error::Result<()> {
        Ok(())
    }

    /// Names of logs that must be there at the end of each epoch; `fit` refuses to begin without one.
    fn monitors(&self) -> Vec<String> {
        Vec::new()
    }

    /// Names of logs that the callback adds at the end of each epoch: those after it may monitor them.
    fn logs(&self) -> Vec<String> {
        Vec::new()
    }

    /// How often the batch hooks run.
    fn batch_interval(&self) -> BatchInterval {
        BatchInterval::Never
    }

    /// Before training begins: the callback may give the trainer the state of an earlier training, as
    /// [`Trainer::load_checkpoint`] does, and says whether it did. The first one that does counts, and takes the place of
    /// a checkpoint that was loaded by hand.
    ///
    /// # Errors
    /// Those of loading.
    fn resume(&mut self, trainer: &mut Trainer) -> error::Result<bool> {
        Ok(false)
    }

    /// Before the first epoch, and after [`Callback::restore`] if training goes on from a checkpoint.
    fn on_train_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        Ok(())
    }

    /// After the last epoch.
    fn on_train_end(&mut self, control: &mut Control<'_>) -> HookResult {
        Ok(())
    }

    /// Before an epoch, numbered from 0.
    fn on_epoch_begin(&mut self, epoch: usize, control: &mut Control<'_>) -> HookResult {
        Ok(())
    }

    /// After an epoch and its validation. Numbers that are added to its logs go to the history.
    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        Ok(())
    }

    /// Before a batch, numbered from 0 in its epoch.
    fn on_batch_begin(&mut self, batch: usize, control: &mut Control<'_>) -> HookResult {
        Ok(())
    }

    /// After a batch.
    fn on_batch_end(&mut self, batch: &BatchEnd<'_>, control: &mut Control<'_>) -> HookResult {
        Ok(())
    }

    /// Before the validation of an epoch.
    fn on_test_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        Ok(())
    }

    /// After the validation of an epoch.
    fn on_test_end(&mut self, control: &mut Control<'_>) -> HookResult {
        Ok(())
    }

    /// What a checkpoint keeps of the callback, so that training goes on as if it had never stopped. JSON has no
    /// infinity and no NaN; its other numbers come back to the last bit.
    fn state(&self) -> Value {
        Value::Null
    }

    /// Takes up a state that [`Callback::state`] gave, before [`Callback::on_train_begin`].
    fn restore(&mut self, state: &Value) -> HookResult {
        Ok(())
    }
}

/// A callback that its owner looks at after training.
impl<C: Callback + ?Sized> Callback for &mut C {
    fn name(&self) -> String {
        (**self).name()
    }
    fn check(&self) -> error::Result<()> {
        (**self).check()
    }
    fn monitors(&self) -> Vec<String> {
        (**self).monitors()
    }
    fn logs(&self) -> Vec<String> {
        (**self).logs()
    }
    fn batch_interval(&self) -> BatchInterval {
        (**self).batch_interval()
    }
    fn resume(&mut self, trainer: &mut Trainer) -> error::Result<bool> {
        (**self).resume(trainer)
    }
    fn on_train_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        (**self).on_train_begin(control)
    }
    fn on_train_end(&mut self, control: &mut Control<'_>) -> HookResult {
        (**self).on_train_end(control)
    }
    fn on_epoch_begin(&mut self, epoch: usize, control: &mut Control<'_>) -> HookResult {
        (**self).on_epoch_begin(epoch, control)
    }
    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        (**self).on_epoch_end(epoch, control)
    }
    fn on_batch_begin(&mut self, batch: usize, control: &mut Control<'_>) -> HookResult {
        (**self).on_batch_begin(batch, control)
    }
    fn on_batch_end(&mut self, batch: &BatchEnd<'_>, control: &mut Control<'_>) -> HookResult {
        (**self).on_batch_end(batch, control)
    }
    fn on_test_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        (**self).on_test_begin(control)
    }
    fn on_test_end(&mut self, control: &mut Control<'_>) -> HookResult {
        (**self).on_test_end(control)
    }
    fn state(&self) -> Value {
        (**self).state()
    }
    fn restore(&mut self, state: &Value) -> HookResult {
        (**self).restore(state)
    }
}
