//! All that training changes, as plain data.

use super::compiled::Compiled;
use super::scaling::Scaling;
use super::weights::kept;
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};
#[cfg(not(target_arch = "wasm32"))]
use std::collections::HashMap;

/// All that training changes of a model, as data.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelState {
    /// Steps trained.
    pub steps: u64,
    /// The learning rate, if it was set by hand.
    pub learning_rate: Option<f32>,
    /// How the samples came that the model was trained on.
    pub scaling: Option<Scaling>,
    /// Names under which weights are kept.
    pub kept: Vec<String>,
    /// Parameters, optimizer state and kept weights, in the order of [`Compiled::state_tensors`].
    pub tensors: Vec<Tensor>,
}

/// A buffer that is laid out as an arena.
struct StateBuffer {
    name: String,
    arena: usize,
    /// The text before the names of its tensors.
    prefix: String,
    /// The value between them.
    padding: f32,
}

impl Compiled {
    /// The buffers that training changes, with weights kept under the names `names`.
    fn state_buffers(&self, names: &[String]) -> Vec<StateBuffer> {
        let mut buffers = Vec::new();
        for (arena, place) in self.layout.arenas.iter().enumerate() {
            let params = self.layout.arena_name(arena);
            for slot in self.slots().iter().filter(|_| place.trainable()) {
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

    /// The names of the buffers that training changes.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn state_names(&self, kept: &[String]) -> Vec<String> {
        self.state_buffers(kept).into_iter().map(|buffer| buffer.name).collect()
    }

    /// The tensors of a state by their names, in order; tensors that are missing begin anew.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn state_from(
        &self,
        kept: &[String],
        mut saved: HashMap<String, Tensor>,
    ) -> Result<Vec<Tensor>> {
        let mut tensors = Vec::new();
        for StateBuffer { arena, prefix, padding, .. } in self.state_buffers(kept) {
            for t in self.layout.tensors.iter().filter(|t| t.arena == arena) {
                let shape = &t.spec.shape;
                tensors.push(match saved.remove(&format!("{prefix}{}", t.name)) {
                    Some(tensor) => tensor,
                    None => Tensor::f32(shape.clone(), vec![padding; shape.len()])?,
                });
            }
        }
        Ok(tensors)
    }

    /// All that training changes, read from the device.
    pub(crate) async fn state(&self) -> Result<ModelState> {
        let kept = self.kept_names();
        let mut tensors = Vec::new();
        for StateBuffer { name, arena, .. } in self.state_buffers(&kept) {
            let values = self.read_arena(arena, &name).await?;
            for t in self.layout.tensors.iter().filter(|t| t.arena == arena) {
                let own = &values[t.offset..t.offset + t.spec.shape.len()];
                tensors.push(Tensor::f32(t.spec.shape.clone(), own)?);
            }
        }
        let (steps, learning_rate) = (self.steps, self.learning_rate);
        Ok(ModelState { steps, learning_rate, scaling: self.scaling.clone(), kept, tensors })
    }

    /// Takes up a state. Nothing changes if a tensor does not fit.
    pub(crate) fn set_state(&mut self, state: ModelState) -> Result<()> {
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
        self.learning_rate = state.learning_rate;
        self.scaling = state.scaling;
        Ok(())
    }
}
