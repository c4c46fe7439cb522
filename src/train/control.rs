//! What a hook may do to the training that calls it.

use super::history::FitInfo;
use super::place::FitState;
use super::trainer::Trainer;
use crate::error::{Error, Result};
use std::pin::Pin;

/// What hooks ask of the loop.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// To end training.
    pub stop: bool,
    /// To show lines.
    pub lines: Vec<String>,
    /// To keep the place of training.
    pub keep: Vec<Keep>,
}

/// Keeps the place of training, beside what the trainer holds. The loop calls it after every callback has seen the end
/// of the batch or epoch.
pub(crate) struct Keep(Box<Keeping>);

type Keeping = dyn FnOnce(&Trainer, FitState) -> Kept<'_> + Send;

/// The end of keeping a place.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Kept<'t> = Pin<Box<dyn Future<Output = Result<()>> + Send + 't>>;
#[cfg(target_arch = "wasm32")]
pub(crate) type Kept<'t> = Pin<Box<dyn Future<Output = Result<()>> + 't>>;

impl std::fmt::Debug for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keep")
    }
}

impl Keep {
    pub(crate) fn call(self, trainer: &Trainer, place: FitState) -> Kept<'_> {
        (self.0)(trainer, place)
    }
}

/// A hook's access to training.
#[derive(Debug)]
pub struct Control<'a> {
    pub(crate) trainer: &'a mut Trainer,
    pub(crate) info: &'a FitInfo,
    pub(crate) requests: &'a mut Requests,
    pub(crate) place: usize,
}

impl Control<'_> {
    /// The model in training. A hook may look at it (`evaluate`, `predict`, `weights`) and set its weights. A call that
    /// would change the data or the place of the `fit` under way is an error: `fit`, `train_on_batch`, `profile`,
    /// `load_checkpoint` and `save_checkpoint` (use [`Control::save_checkpoint`] instead). If a hook puts another
    /// trainer in place of this one, training ends with an error.
    #[must_use]
    pub fn trainer(&mut self) -> &mut Trainer {
        self.trainer
    }

    /// Epochs, steps and samples of this `fit`.
    #[must_use]
    pub const fn info(&self) -> &FitInfo {
        self.info
    }

    /// The place of the callback among those of its name in this `fit`, from 0.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place
    }

    /// Ends training after this batch or epoch. The epoch's end is still reported.
    pub const fn stop_training(&mut self) {
        self.requests.stop = true;
    }

    /// Has the place of training kept when the batch or epoch under way has ended for every callback.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn keep_place(
        &mut self,
        keep: impl FnOnce(&Trainer, FitState) -> Kept<'_> + Send + 'static,
    ) {
        self.requests.keep.push(Keep(Box::new(keep)));
    }

    /// Shows a line with the progress of training, if progress is shown at all.
    pub fn print(&mut self, line: impl Into<String>) {
        self.requests.lines.push(line.into());
    }

    /// The lines that wait to be shown.
    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.requests.lines)
    }

    /// The learning rate of the next step.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        self.trainer.learning_rate()
    }

    /// Sets the learning rate of all coming steps, in place of the optimizer's schedule.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a rate that is negative or not finite.
    pub fn set_learning_rate(&mut self, rate: f32) -> Result<()> {
        self.trainer.set_learning_rate(rate)
    }

    /// Keeps a copy of all weights on the device under `name`, in place of one kept before.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the device fails.
    pub fn keep_weights(&mut self, name: &str) -> Result<()> {
        self.trainer.keep_weights(name)
    }

    /// Takes up the weights kept under `name` again.
    ///
    /// # Errors
    /// [`Error::Parameter`] if nothing was kept; [`Error::Gpu`] if the device fails.
    pub fn restore_weights(&mut self, name: &str) -> Result<()> {
        self.trainer.restore_weights(name)
    }

    /// Frees the weights kept under `name`, if there are any.
    pub fn forget_weights(&mut self, name: &str) {
        self.trainer.forget_weights(name);
    }
}

impl Error {
    /// The failure of a callback's hook.
    pub(crate) fn callback(
        callback: String,
        hook: &'static str,
        cause: &(dyn std::error::Error + Send + Sync),
    ) -> Self {
        // The message of the cause names its own causes, or they follow as its sources.
        let mut detail = cause.to_string();
        let mut next = cause.source();
        while let Some(inner) = next {
            let words = inner.to_string();
            if !detail.contains(&words) {
                detail = format!("{detail}: {words}");
            }
            next = inner.source();
        }
        Self::Callback { callback, hook, detail }
    }
}
