//! Where parameters lie in their arenas.

use crate::error::{Error, Result};
use crate::layers::{Model, WeightSpec, stream_of};

/// Elements to which tensors inside an arena are aligned: 256 bytes.
const ALIGN: usize = 64;

/// A parameter and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedTensor {
    /// `layer/weight`.
    pub name: String,
    /// The layer that owns it.
    pub layer: String,
    /// What the layer asked for.
    pub spec: WeightSpec,
    /// Which arena.
    pub arena: usize,
    /// First element in the arena.
    pub offset: usize,
    /// The random stream of its initial values: the layer's own, and the weight's place in the layer.
    pub stream: u64,
}

/// Parameters in flat arenas, split only where one would exceed what the device binds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArenaLayout {
    /// Every parameter, in the model's order.
    pub tensors: Vec<PlacedTensor>,
    /// Elements of each arena, multiples of 64.
    pub arenas: Vec<usize>,
}

impl ArenaLayout {
    /// Places the parameters of `model` in arenas of at most `max_bytes`.
    ///
    /// # Errors
    /// [`Error::Limit`] naming a tensor that exceeds `max_bytes` by itself.
    pub fn new(model: &Model, max_bytes: u64) -> Result<Self> {
        let mut layout = Self::default();
        for (layer, spec) in model.weights() {
            let layer = &layer.name;
            let name = format!("{layer}/{}", spec.name);
            let bytes = (spec.shape.len() as u64).saturating_mul(4);
            if bytes > max_bytes / 256 * 256 {
                return Err(Error::Limit {
                    what: format!("layer `{layer}`: {} {}: bytes", spec.name, spec.shape),
                    needed: bytes,
                    allowed: max_bytes,
                    detail: "use fewer units, or an adapter with larger bindings".into(),
                });
            }
            let len = spec.shape.len().next_multiple_of(ALIGN);
            let full =
                layout.arenas.last().is_none_or(|&used| ((used + len) * 4) as u64 > max_bytes);
            if full {
                layout.arenas.push(0);
            }
            let arena = layout.arenas.len() - 1;
            let offset = layout.arenas[arena];
            layout.arenas[arena] += len;
            let own = layout.tensors.iter().filter(|t| t.layer == *layer).count() as u64;
            let stream = stream_of(layer).wrapping_add(own);
            layout.tensors.push(PlacedTensor {
                name,
                layer: layer.clone(),
                spec: spec.clone(),
                arena,
                offset,
                stream,
            });
        }
        Ok(layout)
    }

    /// Parameters in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.iter().map(|t| t.spec.shape.len()).sum()
    }

    /// Whether the model has no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The initial values of an arena, zero between tensors.
    #[must_use]
    pub fn initial(&self, arena: usize, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.arenas[arena]];
        for t in self.tensors.iter().filter(|t| t.arena == arena) {
            let len = t.spec.shape.len();
            let (fan_in, fan_out) = (t.spec.fan_in, t.spec.fan_out);
            let drawn = t.spec.initializer.fill(len, fan_in, fan_out, seed, t.stream);
            values[t.offset..t.offset + len].copy_from_slice(&drawn);
        }
        values
    }
}
