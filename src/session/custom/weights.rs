//! Weights of a session's models: the host reads and writes them, and models give them on.

use super::super::part::Stored;
use super::super::predictor::Predictor;
use super::{ModelId, Session};
use crate::error::{Error, Result};
use crate::gpu::CopiedPart;
use crate::layers::Model;
use crate::tensor::Tensor;

impl Session {
    /// Every weight of a model as a host tensor with its name, in the model's order.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a model of another session; [`Error::Gpu`] if the device fails.
    pub async fn weights_async(&self, model: ModelId) -> Result<Vec<(String, Tensor)>> {
        let placed = &self.models[self.model_index(model)?];
        let mut arenas: Vec<Vec<f32>> = Vec::new();
        for (i, arena) in placed.layout.arenas.iter().enumerate() {
            let bytes = self.store.read(&placed.buffers[i], arena.len * 4).await?;
            arenas.push(bytemuck::pod_collect_to_vec(&bytes));
        }
        placed.layout.split(&arenas)
    }

    /// The blocking form of [`Session::weights_async`].
    ///
    /// # Errors
    /// As [`Session::weights_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn weights(&self, model: ModelId) -> Result<Vec<(String, Tensor)>> {
        crate::gpu::block_on(self.weights_async(model))
    }

    /// Replaces every weight of a model, in the order of [`Session::weights`]. Nothing changes if one does not fit.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] naming the first tensor that does not fit; [`Error::Parameter`] for a model
    /// of another session.
    pub fn set_weights(&mut self, model: ModelId, tensors: &[Tensor]) -> Result<()> {
        let placed = &self.models[self.model_index(model)?];
        placed.layout.check(tensors)?;
        for (own, tensor) in placed.layout.tensors.iter().zip(tensors) {
            let at = own.offset as u64 * 4;
            self.store.write_at(&placed.buffers[own.arena], at, tensor.data().bytes())?;
        }
        Ok(())
    }

    /// Gives each weight of a model a new value that the host computes from its number, in the order of
    /// [`Session::weights`], and its present value. Nothing changes if one fails or does not fit.
    ///
    /// # Errors
    /// Those of `new`; as [`Session::set_weights`].
    pub async fn map_weights_async(
        &mut self,
        model: ModelId,
        new: impl Fn(usize, &Tensor) -> Result<Tensor> + Send,
    ) -> Result<()> {
        let weights = self.weights_async(model).await?;
        let new = weights.iter().enumerate().map(|(i, (_, weight))| new(i, weight));
        self.set_weights(model, &new.collect::<Result<Vec<_>>>()?)
    }

    /// The blocking form of [`Session::map_weights_async`].
    ///
    /// # Errors
    /// As [`Session::map_weights_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn map_weights(
        &mut self,
        model: ModelId,
        new: impl Fn(usize, &Tensor) -> Result<Tensor> + Send,
    ) -> Result<()> {
        crate::gpu::block_on(self.map_weights_async(model, new))
    }

    /// Gives the model `to` the weights of the model `from`, on the device: a target network.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the first weight of another shape; [`Error::Parameter`] for another number of weights,
    /// for models that share a layer, and for a model of another session.
    pub fn copy_weights(&mut self, from: ModelId, to: ModelId) -> Result<()> {
        let (from, to) = (self.model_index(from)?, self.model_index(to)?);
        let (from, to) = (&self.models[from], &self.models[to]);
        let (ours, theirs) = (&from.layout.tensors, &to.layout.tensors);
        if ours.len() != theirs.len() {
            let detail = format!("`{}` has {}", to.name, theirs.len());
            return Err(Error::parameter("weights", ours.len(), detail));
        }
        let mut parts = Vec::new();
        for (a, b) in ours.iter().zip(theirs) {
            if a.spec.shape != b.spec.shape {
                let shapes = [&a.spec.shape, &b.spec.shape];
                let detail = format!("`{}` and `{}` have the same shape", a.name, b.name);
                return Err(Error::shape("copy_weights", &shapes, detail));
            }
            let (bytes, place) = (a.spec.shape.len() as u64 * 4, from.place(a));
            if theirs.iter().any(|b| to.place(b) == place) {
                let detail = format!(
                    "`{}` and `{}` share this layer, so they have one set of weights: build one of them of new \
                     layers for weights of its own",
                    from.name, to.name
                );
                return Err(Error::parameter("copy_weights", &a.layer, detail));
            }
            let [from, to] =
                [place, to.place(b)].map(|(buffer, at)| (buffer.to_owned(), at as u64 * 4));
            parts.push(CopiedPart { from, to, bytes });
        }
        self.store.copy_parts(&self.store, &parts)
    }

    /// A model with a copy of its present weights that only predicts.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a model of another session; [`Error::Limit`] and [`Error::Gpu`] if the device has no
    /// room.
    pub fn predictor(&self, model: ModelId) -> Result<Predictor> {
        let placed = &self.models[self.model_index(model)?];
        self.predictor_of(model, &placed.model)
    }

    /// As [`Session::predictor`], for a part of the model: a model of the same layer objects, which need not be in the
    /// session.
    ///
    /// # Errors
    /// As [`Session::predictor`]; [`Error::Parameter`] naming a layer with weights that the model does not have.
    pub fn predictor_of(&self, model: ModelId, part: &Model) -> Result<Predictor> {
        let placed = &self.models[self.model_index(model)?];
        let (device, store) = (&self.device, &self.store);
        let (model, layout, buffers) = (&placed.model, &placed.layout, &placed.buffers);
        let stored = Stored { device, store, model, layout, buffers };
        stored.predictor_of(part, |bytes| self.admit("a copy of the weights", bytes))
    }
}
