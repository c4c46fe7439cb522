//! All that training changes, as plain data.

use super::run::FitState;
use super::trainer::Trainer;
use super::weights::kept;
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// All that training changes. A trainer of the same model and settings that takes it up goes on as if training had
/// never stopped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrainerState {
    /// Steps trained.
    pub steps: u64,
    /// Epochs trained: the shuffle's counter.
    pub epochs: u64,
    /// The learning rate, where it was set by hand.
    pub learning_rate: Option<f32>,
    /// Names under which weights are kept.
    pub kept: Vec<String>,
    /// Parameters, optimizer state and kept weights, in the order of [`Trainer::state_tensors`].
    pub tensors: Vec<Tensor>,
    /// Where a `fit` stands.
    pub fit: Option<FitState>,
}

/// A buffer that is laid out as an arena.
struct StateBuffer {
    name: String,
    arena: usize,
    /// What stands before the names of its tensors.
    prefix: String,
    /// What lies between them.
    padding: f32,
}

impl Trainer {
    /// The buffers that training changes, with weights kept under the names `names`.
    fn state_buffers(&self, names: &[String]) -> Vec<StateBuffer> {
        let mut buffers = Vec::new();
        for (arena, place) in self.layout.arenas.iter().enumerate() {
            let params = self.layout.arena_name(arena);
            for slot in self.slots().iter().filter(|_| place.trainable) {
                let prefix = format!("optimizer/{}/", slot.name);
                let name = self.layout.slot_name(slot.name, arena);
                buffers.push(StateBuffer { name, arena, prefix, padding: slot.initial });
            }
            for name in names {
                let prefix = format!("kept/{name}/");
                let name = kept(name, &params);
                buffers.push(StateBuffer { name, arena, prefix, padding: 0.0 });
            }
            buffers.push(StateBuffer { name: params, arena, prefix: String::new(), padding: 0.0 });
        }
        buffers
    }

    /// Name and shape of every tensor that training changes, with weights kept under the names `names`:
    /// `dense/kernel`, `optimizer/velocity/dense/kernel`, `kept/NAME/dense/kernel`.
    pub(crate) fn state_tensors(&self, names: &[String]) -> Vec<(String, Shape)> {
        let mut tensors = Vec::new();
        for StateBuffer { arena, prefix, .. } in self.state_buffers(names) {
            for t in self.layout.tensors.iter().filter(|t| t.arena == arena) {
                tensors.push((format!("{prefix}{}", t.name), t.spec.shape.clone()));
            }
        }
        tensors
    }

    /// All that training changes, read from the device, and `fit` with it.
    pub(crate) async fn state_async(&self, fit: Option<FitState>) -> Result<TrainerState> {
        let kept = self.kept_names();
        let mut tensors = Vec::new();
        for StateBuffer { name, arena, .. } in self.state_buffers(&kept) {
            let values = self.read_arena(arena, &name).await?;
            for t in self.layout.tensors.iter().filter(|t| t.arena == arena) {
                let own = &values[t.offset..t.offset + t.spec.shape.len()];
                tensors.push(Tensor::f32(t.spec.shape.clone(), own)?);
            }
        }
        let (steps, epochs, learning_rate) = (self.steps, self.epochs, self.learning_rate);
        Ok(TrainerState { steps, epochs, learning_rate, kept, tensors, fit })
    }

    /// Where the last `fit` ended, or a loaded checkpoint stands.
    pub(crate) const fn fit_state(&self) -> Option<&FitState> {
        self.fit_state.as_ref()
    }

    /// Takes a state up; the next `fit` goes on where it stands. Nothing changes where a tensor does not fit.
    pub(crate) fn set_state(&mut self, state: TrainerState) -> Result<()> {
        let mut tensors = state.tensors.iter();
        let mut uploads = Vec::new();
        for StateBuffer { name, arena, padding, .. } in self.state_buffers(&state.kept) {
            let mut values = vec![padding; self.layout.arenas[arena].len];
            for t in self.layout.tensors.iter().filter(|t| t.arena == arena) {
                let own = tensors.next().filter(|own| own.shape() == &t.spec.shape);
                let own = own.ok_or_else(|| Error::internal("state", t.name.clone()))?.as_f32()?;
                values[t.offset..t.offset + own.len()].copy_from_slice(own);
            }
            uploads.push((name, Tensor::f32([values.len()], values)?));
        }
        for (name, values) in uploads {
            self.store.upload(&name, &values)?;
        }
        for name in self.kept_names().iter().filter(|name| !state.kept.contains(name)) {
            for arena in 0..self.layout.arenas.len() {
                self.store.remove(&kept(name, &self.layout.arena_name(arena)));
            }
        }
        self.steps = state.steps;
        self.epochs = state.epochs;
        self.learning_rate = state.learning_rate;
        self.resume = state.fit.is_some();
        self.fit_state = state.fit;
        Ok(())
    }
}
