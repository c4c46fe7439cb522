//! The host reads and writes parameters.

use super::compiled::Compiled;
use super::part::Stored;
use super::predictor::Predictor;
use crate::error::{Error, Result};
use crate::layers::Model;
use crate::tensor::Tensor;

impl Compiled {
    /// Every parameter as a host tensor with its name, in the model's order: kernels `[in, out]` as in Keras.
    pub async fn weights_async(&self) -> Result<Vec<(String, Tensor)>> {
        let mut arenas: Vec<Vec<f32>> = Vec::new();
        for i in 0..self.layout.arenas.len() {
            arenas.push(self.read_arena(i, &self.layout.arena_name(i)).await?);
        }
        self.layout.split(&arenas)
    }

    /// The elements of a buffer that is laid out as an arena.
    pub(crate) async fn read_arena(&self, arena: usize, buffer: &str) -> Result<Vec<f32>> {
        let bytes = self.store.read(buffer, self.layout.arenas[arena].len * 4).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// A model of layers of this one, with a copy of their present weights, that only predicts, for any number of
    /// threads. It stays as it is while this trainer goes on.
    pub fn predictor_of(&self, part: &Model) -> Result<Predictor> {
        let buffers: Vec<String> =
            (0..self.layout.arenas.len()).map(|i| self.layout.arena_name(i)).collect();
        let (device, store, layout) = (&self.device, &self.store, &self.layout);
        let stored = Stored { device, store, model: &self.model, layout, buffers: &buffers };
        let admit = |bytes| self.admit_extra("a copy of the weights", bytes, &[]);
        let mut predictor = stored.predictor_of(part, admit)?;
        // The factor is that of samples; what comes out of a layer on the way has none.
        predictor.set_scaling(self.scaling.clone().filter(|_| part.begins_as(&self.model)));
        Ok(predictor.batch_size(self.evaluation_batch()))
    }

    /// Replaces every parameter, in the order of [`Compiled::weights_async`]. Nothing changes if one does not fit.
    pub fn set_weights(&mut self, tensors: &[Tensor]) -> Result<()> {
        let arenas = self.layout.fill(tensors)?;
        for (i, values) in arenas.into_iter().enumerate() {
            let len = values.len();
            self.store.upload(&self.layout.arena_name(i), &Tensor::f32([len], values)?)?;
        }
        Ok(())
    }

    /// Keeps a copy of all weights on the device under `name`, in place of one kept before.
    pub fn keep_weights(&mut self, name: &str) -> Result<()> {
        let arenas = self.layout.arenas.iter().enumerate();
        let missing =
            arenas.filter(|(i, _)| !self.store.contains(&kept(name, &self.layout.arena_name(*i))));
        let bytes = missing.map(|(_, arena)| arena.len as u64 * 4).sum();
        self.admit_extra("a copy of the weights", bytes, &[])?;
        for i in 0..self.layout.arenas.len() {
            let arena = self.layout.arena_name(i);
            self.store.copy(&arena, &kept(name, &arena))?;
        }
        Ok(())
    }

    /// Takes up the weights kept under `name` again.
    pub fn restore_weights(&mut self, name: &str) -> Result<()> {
        for i in 0..self.layout.arenas.len() {
            let arena = self.layout.arena_name(i);
            if !self.store.contains(&kept(name, &arena)) {
                return Err(Error::parameter("restore_weights", name, "nothing was kept under it"));
            }
            self.store.copy(&kept(name, &arena), &arena)?;
        }
        Ok(())
    }

    /// Whether weights are kept under `name`.
    pub fn keeps_weights(&self, name: &str) -> bool {
        let mut arenas = (0..self.layout.arenas.len()).map(|i| self.layout.arena_name(i));
        arenas.any(|arena| self.store.contains(&kept(name, &arena)))
    }

    /// Names under which weights are kept, sorted.
    pub fn kept_names(&self) -> Vec<String> {
        let Some(arena) = (!self.layout.arenas.is_empty()).then(|| self.layout.arena_name(0))
        else {
            return Vec::new();
        };
        let (first, last) = ("kept/", format!("/{arena}"));
        let own = |buffer: &str| Some(buffer.strip_prefix(first)?.strip_suffix(&last)?.to_owned());
        let mut names: Vec<String> = self.store.names().filter_map(own).collect();
        names.sort_unstable();
        names
    }

    /// Frees the weights kept under `name`, if there are any.
    pub fn forget_weights(&mut self, name: &str) {
        for i in 0..self.layout.arenas.len() {
            self.store.remove(&kept(name, &self.layout.arena_name(i)));
        }
    }
}

/// The name of the buffer that keeps an arena.
pub(crate) fn kept(name: &str, arena: &str) -> String {
    format!("kept/{name}/{arena}")
}
