//! Layers frozen and unfrozen between two `fit`s.

use super::compiled::Compiled;
use super::state::ModelState;
use crate::error::Result;
use crate::step::ArenaLayout;
use crate::tensor::Tensor;
use std::collections::HashMap;

impl Compiled {
    /// Sets whether training changes the weights of these layers. The trainer stays as it was if that fails.
    pub(crate) async fn set_trainable<S: AsRef<str>>(
        &mut self,
        layers: impl IntoIterator<Item = S>,
        trainable: bool,
    ) -> Result<()> {
        let mut model = self.model.clone();
        for layer in layers {
            model.set_trainable(layer.as_ref(), trainable)?;
        }
        let layout = ArenaLayout::of(self.device.caps(), &model)?;
        if layout == self.layout {
            // A layer without trained weights may still depend on whether it is frozen.
            self.model = model;
            self.release_plans();
            return Ok(());
        }
        let mut state = self.state().await?;
        let names = self.state_tensors(&state.kept).into_iter().map(|(name, _)| name);
        let saved: HashMap<String, Tensor> = names.zip(state.tensors.drain(..)).collect();
        // All old buffers are freed before those of the new layout are made; the host has their contents.
        self.release_state(&state.kept);
        let model = std::mem::replace(&mut self.model, model);
        let layout = std::mem::replace(&mut self.layout, layout);
        let fits = self.probe();
        if fits.is_err() {
            (self.model, self.layout) = (model, layout);
        }
        let tensors = self.state_from(&state.kept, saved)?;
        self.set_state(ModelState { tensors, ..state })?;
        fits
    }

    /// Frees what depends on which layers are frozen: plans and executors.
    fn release_plans(&mut self) {
        self.executors.clear();
        self.plans.clear();
        self.pool.clear();
        self.trained = None;
    }

    /// Frees what depends on the layout: plans, executors, and the buffers that training changes.
    fn release_state(&mut self, kept: &[String]) {
        self.release_plans();
        for name in self.state_names(kept) {
            self.store.remove(&name);
        }
    }
}
