//! Models that predict with the weights of others: whole models and parts of them.

use super::predictor::Predictor;
use crate::error::{Error, Result};
use crate::gpu::{CopiedPart, Device, Store};
use crate::layers::Model;
use crate::step::ArenaLayout;

/// A model whose weights are on a device.
pub(super) struct Stored<'a> {
    pub device: &'a Device,
    pub store: &'a Store,
    pub model: &'a Model,
    pub layout: &'a ArenaLayout,
    /// The buffer of each arena.
    pub buffers: &'a [String],
}

impl Stored<'_> {
    /// A predictor of `part`, whose layers are among those of this model, with a copy of their weights. `admit` refuses
    /// bytes that the device has no room for.
    pub fn predictor_of(
        &self,
        part: &Model,
        admit: impl FnOnce(u64) -> Result<()>,
    ) -> Result<Predictor> {
        let layout = ArenaLayout::of(self.device.caps(), part)?;
        let stored = self.layout.by_layer(self.model);
        let mut parts = Vec::new();
        for ((layer, spec), own) in part.weights().zip(&layout.tensors) {
            let known = stored.get(&(layer.address(), spec.name.as_str())).ok_or_else(|| {
                let detail = "the model that has the weights has no such layer: build both models with the same `LayerHandle`, \
                              or one of tensors of the other";
                Error::parameter("layer", &layer.name, detail)
            })?;
            if known.spec.shape != spec.shape {
                let detail =
                    format!("`{}` has the first shape in the model that has the weights", own.name);
                let shapes = [&known.spec.shape, &spec.shape];
                return Err(Error::shape("predictor_of", &shapes, detail));
            }
            parts.push(CopiedPart {
                from: (self.buffers[known.arena].clone(), known.offset as u64 * 4),
                to: (layout.arena_name(own.arena), own.offset as u64 * 4),
                bytes: spec.shape.len() as u64 * 4,
            });
        }
        admit(layout.bytes())?;
        let mut weights = Store::new(self.device);
        for (i, arena) in layout.arenas.iter().enumerate() {
            weights.allocate(&layout.arena_name(i), arena.len as u64 * 4)?;
        }
        self.store.copy_parts(&weights, &parts)?;
        Predictor::assemble(self.device, part, layout, weights, None)
    }
}
