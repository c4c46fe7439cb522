//! All that training changes, as plain data.

use super::place::FitState;
use super::trainer::Trainer;
use crate::error::Result;
use crate::session::{ModelState, Scaling};
use crate::tensor::{Shape, Tensor};

/// All that training changes, as data. If a trainer of the same model and settings takes it up, it goes on as if
/// training had never stopped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrainerState {
    /// Steps trained.
    pub steps: u64,
    /// Epochs trained: the shuffle's counter.
    pub epochs: u64,
    /// The learning rate, if it was set by hand.
    pub learning_rate: Option<f32>,
    /// How the samples came that the model was trained on.
    pub scaling: Option<Scaling>,
    /// Names under which weights are kept.
    pub kept: Vec<String>,
    /// Parameters, optimizer state and kept weights, in the order of [`Trainer::state_tensors`].
    pub tensors: Vec<Tensor>,
    /// The place of a `fit`.
    pub fit: Option<FitState>,
}

impl Trainer {
    /// Name and shape of every tensor that training changes, with weights kept under the names `names`:
    /// `dense/kernel`, `optimizer/velocity/dense/kernel`, `kept/NAME/dense/kernel`.
    pub(crate) fn state_tensors(&self, names: &[String]) -> Vec<(String, Shape)> {
        self.core.state_tensors(names)
    }

    /// All that training changes, read from the device, together with `fit`.
    pub(crate) async fn state_async(&self, fit: Option<FitState>) -> Result<TrainerState> {
        let ModelState { steps, learning_rate, scaling, kept, tensors } = self.core.state().await?;
        let epochs = self.epochs;
        Ok(TrainerState { steps, epochs, learning_rate, scaling, kept, tensors, fit })
    }

    /// Where the last `fit` ended, or the place of a loaded checkpoint.
    pub(crate) const fn fit_state(&self) -> Option<&FitState> {
        self.fit_state.as_ref()
    }

    /// Takes up a state; the next `fit` goes on from its place. Nothing changes if a tensor does not fit.
    pub(crate) fn set_state(&mut self, state: TrainerState) -> Result<()> {
        let TrainerState { steps, epochs, learning_rate, scaling, kept, tensors, fit } = state;
        self.core.set_state(ModelState { steps, learning_rate, scaling, kept, tensors })?;
        self.epochs = epochs;
        self.resume = fit.is_some();
        self.fit_state = fit;
        Ok(())
    }
}
