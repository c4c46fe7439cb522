//! The places of parameters and states in their arenas.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::kernels::DeviceCaps;
use crate::layers::{Address, Model, NamedLayer, Regularizer, WeightKind, WeightSpec, stream_of};
use crate::optim::pack_over;
use crate::tensor::Shape;
use std::collections::HashMap;

/// Elements to which tensors inside an arena are aligned: 256 bytes.
const ALIGN: usize = 64;

/// A parameter or a state, and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedTensor {
    /// `layer/weight`.
    pub name: String,
    /// The layer that owns it.
    pub layer: String,
    /// What the layer asks for.
    pub spec: WeightSpec,
    /// What changes it: a weight of a frozen layer is frozen.
    pub kind: WeightKind,
    /// Which arena.
    pub arena: usize,
    /// First element in the arena.
    pub offset: usize,
    /// The random stream of its initial values: the layer's own, and the weight's place in the layer.
    pub stream: u64,
    /// For the weights of a layer right after a `Flatten`: the image `[extents.., channels]` that becomes its samples.
    pub flattened: Option<Shape>,
}

impl PlacedTensor {
    /// Whether the optimizer changes it.
    #[must_use]
    pub fn trainable(&self) -> bool {
        self.kind == WeightKind::Trained
    }

    /// The penalty that its values add to the loss. A frozen tensor adds none, as in Keras: no step could lower it.
    #[must_use]
    pub fn penalty(&self) -> Regularizer {
        if self.trainable() { self.spec.regularizer } else { Regularizer::default() }
    }
}

/// A flat buffer of parameters or states of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arena {
    /// Elements, a multiple of 64.
    pub len: usize,
    /// What changes it: trained parameters, frozen ones and states are kept apart.
    pub kind: WeightKind,
}

impl Arena {
    /// Whether the optimizer updates it.
    #[must_use]
    pub fn trainable(&self) -> bool {
        self.kind == WeightKind::Trained
    }
}

/// Parameters and states in flat arenas, divided only if one arena would exceed what the device binds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArenaLayout {
    /// Every parameter and state, in the model's order.
    pub tensors: Vec<PlacedTensor>,
    /// The arenas.
    pub arenas: Vec<Arena>,
}

/// Bytes of an arena that the device can bind.
fn room(caps: &DeviceCaps) -> u64 {
    caps.max_binding_bytes.min(caps.max_buffer_bytes)
}

impl ArenaLayout {
    /// Places the parameters of `model` in arenas that a device can bind.
    ///
    /// # Errors
    /// As [`ArenaLayout::new`].
    pub fn of(caps: &DeviceCaps, model: &Model) -> Result<Self> {
        Self::new(model, room(caps))
    }

    /// Places the parameters and states of `model` in arenas of at most `max_bytes`.
    ///
    /// # Errors
    /// [`Error::Limit`] naming a tensor that exceeds `max_bytes` by itself.
    pub fn new(model: &Model, max_bytes: u64) -> Result<Self> {
        Self::placed(model, max_bytes, Vec::new(), &[])
    }

    /// As [`ArenaLayout::of`], with some tensors in `arenas` that are there already: `places` has the arena and the first
    /// element of each of these, in the model's order. Further arenas are for the others.
    ///
    /// # Errors
    /// As [`ArenaLayout::new`].
    pub(crate) fn beside(
        model: &Model,
        caps: &DeviceCaps,
        arenas: Vec<Arena>,
        places: &[Option<(usize, usize)>],
    ) -> Result<Self> {
        Self::placed(model, room(caps), arenas, places)
    }

    fn placed(
        model: &Model,
        max_bytes: u64,
        arenas: Vec<Arena>,
        places: &[Option<(usize, usize)>],
    ) -> Result<Self> {
        let given = arenas.len();
        let mut layout = Self { arenas, ..Self::default() };
        let all = model.layers().iter().enumerate().flat_map(|(place, layer)| {
            let weights = layer.weights().into_iter().enumerate();
            weights.map(move |(own, spec)| (place, layer, own as u64, spec))
        });
        for (i, (place, named, own, spec)) in all.enumerate() {
            let NamedLayer { name: layer, trainable, .. } = named;
            let kind = match spec.kind {
                WeightKind::Trained if !*trainable => WeightKind::Frozen,
                kind => kind,
            };
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
            let fits =
                |arena: &Arena| arena.kind == kind && ((arena.len + len) * 4) as u64 <= max_bytes;
            // Only the last arena of each kind is filled, so places follow the model's order.
            let last = layout.arenas[given..].iter().rposition(|a| a.kind == kind);
            let last = last.map(|a| given + a).filter(|&a| fits(&layout.arenas[a]));
            let (arena, offset) = places.get(i).copied().flatten().unwrap_or_else(|| {
                let arena = last.unwrap_or_else(|| {
                    layout.arenas.push(Arena { len: 0, kind });
                    layout.arenas.len() - 1
                });
                let offset = layout.arenas[arena].len;
                layout.arenas[arena].len += len;
                (arena, offset)
            });
            let stream = stream_of(layer).wrapping_add(own);
            let flattened = model.flattened_before(place);
            layout.tensors.push(PlacedTensor {
                name,
                layer: layer.clone(),
                spec,
                kind,
                arena,
                offset,
                stream,
                flattened,
            });
        }
        Ok(layout)
    }

    /// The tensors of `model`, whose layout this is, by their layer objects and their names in these.
    pub(crate) fn by_layer(&self, model: &Model) -> HashMap<(Address, &str), &PlacedTensor> {
        let weights = model.weights().map(|(layer, _)| layer.address()).zip(&self.tensors);
        weights.map(|(layer, t)| ((layer, t.spec.name.as_str()), t)).collect()
    }

    /// Bytes of all arenas.
    pub(crate) fn bytes(&self) -> u64 {
        self.arenas.iter().map(|arena| arena.len as u64 * 4).sum()
    }

    /// The name of an arena's buffer: `params/0`, `frozen/1`, `state/2`.
    #[must_use]
    pub fn arena_name(&self, arena: usize) -> String {
        let kind = match self.arenas[arena].kind {
            WeightKind::Trained => "params",
            WeightKind::Frozen => "frozen",
            WeightKind::State => "state",
        };
        format!("{kind}/{arena}")
    }

    /// The name of the buffer with an optimizer's slot for an arena: `velocity/0`.
    #[must_use]
    pub fn slot_name(&self, slot: &str, arena: usize) -> String {
        format!("{slot}/{arena}")
    }

    /// The number of all parameters and elements of states.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.iter().map(|t| t.spec.shape.len()).sum()
    }

    /// Whether the model has no parameters and no states.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Gives the arenas of states the values `new` by name. A tensor that has none keeps its value. `arenas` are the
    /// present values, in the layout's order.
    ///
    /// # Errors
    /// Those of the ops it builds.
    pub(crate) fn update_states(
        &self,
        g: &mut Graph,
        arenas: &[Value],
        new: &[(String, Value)],
    ) -> Result<()> {
        let new: HashMap<&str, Value> = new.iter().map(|(name, v)| (name.as_str(), *v)).collect();
        for (i, &arena) in arenas.iter().enumerate() {
            let own = self.tensors.iter().filter(|t| t.arena == i && t.kind == WeightKind::State);
            let newest = own.filter_map(|t| Some((t.offset, *new.get(t.name.as_str())?)));
            let newest: Vec<(usize, Value)> = newest.collect();
            if !newest.is_empty() {
                let packed = pack_over(g, arena, &newest)?;
                g.update(arena, packed)?;
            }
        }
        Ok(())
    }

    /// The initial values of an arena, zero between tensors.
    #[must_use]
    pub fn initial(&self, arena: usize, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.arenas[arena].len];
        for t in self.tensors.iter().filter(|t| t.arena == arena) {
            let len = t.spec.shape.len();
            let (fan_in, fan_out) = (t.spec.fan_in, t.spec.fan_out);
            let own = &mut values[t.offset..t.offset + len];
            match t.spec.values.as_ref().filter(|given| given.len() == len) {
                Some(given) => own.copy_from_slice(given),
                None => {
                    let drawn = t.spec.initializer.fill(len, fan_in, fan_out, seed, t.stream);
                    own.copy_from_slice(&drawn);
                }
            }
        }
        values
    }
}
