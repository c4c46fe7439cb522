//! Layers frozen and unfrozen between two `fit`s.

use super::state::TrainerState;
use super::trainer::Trainer;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::step::ArenaLayout;
use std::collections::HashMap;

impl Trainer {
    /// From the next `fit` on, training leaves the weights of these layers as they are: Keras'
    /// `layer.trainable = False`, without a new `compile`. Weights, counters, kept weights and the optimizer state of
    /// layers that stay trained are kept; the optimizer state of these layers is dropped.
    ///
    /// A checkpoint says which layers are frozen. To load it, freeze the same ones first.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for a layer that the model does not have, and while a `fit` is under way;
    /// [`crate::Error::Gpu`] if the device fails. The trainer stays as it was.
    ///
    /// # Examples
    /// ```no_run
    /// # use wgrad::prelude::*;
    /// # fn tune(trainer: &mut Trainer, data: &TensorDataset) -> wgrad::Result<()> {
    /// trainer.freeze(["dense", "dense_1"])?;
    /// trainer.fit(data, Fit::new().epochs(5))?;
    /// trainer.unfreeze(["dense_1"])?;
    /// trainer.set_learning_rate(1e-5)?;
    /// trainer.fit(data, Fit::new().epochs(2))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn freeze<S: AsRef<str>>(&mut self, layers: impl IntoIterator<Item = S>) -> Result<()> {
        crate::gpu::block_on(self.set_trainable_async(layers, false))
    }

    /// From the next `fit` on, training changes the weights of these layers. Their optimizer state begins anew. The
    /// count of updates, which Adam's bias correction and schedules use, goes on, so a lower learning rate is advisable
    /// for the first steps.
    ///
    /// # Errors
    /// As [`Trainer::freeze`]; [`crate::Error::Limit`] if the optimizer state does not fit into the device's memory.
    pub fn unfreeze<S: AsRef<str>>(&mut self, layers: impl IntoIterator<Item = S>) -> Result<()> {
        crate::gpu::block_on(self.set_trainable_async(layers, true))
    }

    /// The async form of [`Trainer::freeze`] and [`Trainer::unfreeze`].
    ///
    /// # Errors
    /// As for these.
    pub async fn set_trainable_async<S: AsRef<str>>(
        &mut self,
        layers: impl IntoIterator<Item = S>,
        trainable: bool,
    ) -> Result<()> {
        let call = if trainable { "unfreeze" } else { "freeze" };
        self.refuse_in_fit(call, "freeze and unfreeze between two `fit`s")?;
        let mut model = self.model.clone();
        for layer in layers {
            model.set_trainable(layer.as_ref(), trainable)?;
        }
        let layout = ArenaLayout::of(self.device.caps(), &model)?;
        if layout == self.layout {
            // A layer without weights.
            self.model = model;
            return Ok(());
        }
        let mut state = self.state_async(self.fit_state().cloned()).await?;
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
        let resume = self.resume;
        let tensors = self.state_from(&state.kept, saved)?;
        self.set_state(TrainerState { tensors, ..state })?;
        self.resume = resume;
        fits
    }

    /// Frees what depends on the layout: plans, executors, and the buffers that training changes.
    fn release_state(&mut self, kept: &[String]) {
        self.executors.clear();
        self.plans.clear();
        self.pool.clear();
        self.trained = None;
        for name in self.state_names(kept) {
            self.store.remove(&name);
        }
    }
}
