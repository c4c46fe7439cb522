//! What is called while a model trains, with Keras' hooks.

mod control;
mod lambda;
mod progress;

pub use control::Control;
pub(crate) use control::Requests;
pub use lambda::Lambda;
pub(crate) use progress::shown;

use crate::train::{BatchEnd, Epoch};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// What a hook returns. An error ends training: `fit` gives it back with the callback's name.
pub type HookResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// How often a callback's batch hooks run. Whoever asks for numbers makes the host wait for the device, so ask
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

/// A user of the training loop. Every hook does nothing unless it is defined.
///
/// Batch hooks run at the callback's own [`BatchInterval`]: the batches between two calls have run by then.
#[expect(unused_variables, reason = "the hooks' defaults do nothing")]
pub trait Callback {
    /// The name in messages and checkpoints.
    fn name(&self) -> String;

    /// Names of logs that must be there at the end of each epoch; `fit` refuses to begin without one.
    fn monitors(&self) -> Vec<String> {
        Vec::new()
    }

    /// How often the batch hooks run.
    fn batch_interval(&self) -> BatchInterval {
        BatchInterval::Never
    }

    /// A checkpoint that training takes up before it begins, in place of one that was loaded by hand. Of several
    /// callbacks that name one the first is heard.
    fn resume_from(&self) -> Option<PathBuf> {
        None
    }

    /// Before the first epoch, and after [`Callback::restore`] where training goes on from a checkpoint.
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

    /// After an epoch and its validation. What is added to its logs goes to the history.
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
    fn monitors(&self) -> Vec<String> {
        (**self).monitors()
    }
    fn batch_interval(&self) -> BatchInterval {
        (**self).batch_interval()
    }
    fn resume_from(&self) -> Option<PathBuf> {
        (**self).resume_from()
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
