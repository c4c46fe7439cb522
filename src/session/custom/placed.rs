//! Models in their places. A layer object has its weights once, however many models of a session have it.

use crate::error::{Error, Result};
use crate::kernels::DeviceCaps;
use crate::layers::{Model, WeightKind};
use crate::step::{Arena, ArenaLayout, PlacedTensor};

/// A model in its place.
#[derive(Debug)]
pub(super) struct Placed {
    pub name: String,
    pub model: Model,
    pub layout: ArenaLayout,
    /// The buffer of each arena.
    pub buffers: Vec<String>,
    /// Arenas that another model has brought: the first ones.
    pub shared: usize,
}

impl Placed {
    /// A model beside `others`. Layers that one of them has keep their places.
    pub fn new(name: &str, model: &Model, caps: &DeviceCaps, others: &[Self]) -> Result<Self> {
        let (mut arenas, mut buffers, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let stored: Vec<_> = others.iter().map(|o| (o, o.layout.by_layer(&o.model))).collect();
        for (layer, spec) in model.weights() {
            let own = (layer.address(), spec.name.as_str());
            let known =
                stored.iter().find_map(|(other, tensors)| Some((other, *tensors.get(&own)?)));
            let Some((other, tensor)) = known else {
                places.push(None);
                continue;
            };
            if tensor.spec.shape != spec.shape {
                let shapes = [&tensor.spec.shape, &spec.shape];
                let detail = format!(
                    "`{name}` shares this layer with `{}`, in which its {} has the first shape; give both inputs of \
                     the same shape",
                    other.name, spec.name
                );
                return Err(Error::shape("session", &shapes, detail).in_layer(&layer.name));
            }
            let arena = place(&mut buffers, &other.buffers[tensor.arena]);
            if arena == arenas.len() {
                arenas.push(other.layout.arenas[tensor.arena]);
            }
            places.push(Some((arena, tensor.offset)));
        }
        let shared = arenas.len();
        let layout = ArenaLayout::beside(model, caps, arenas, &places)?;
        let own = shared..layout.arenas.len();
        buffers.extend(own.map(|arena| format!("{name}/{}", layout.arena_name(arena))));
        Ok(Self { name: name.into(), model: model.clone(), layout, buffers, shared })
    }

    /// Its weights that training changes.
    pub fn trained(&self) -> impl Iterator<Item = &PlacedTensor> {
        self.layout.tensors.iter().filter(|t| t.trainable())
    }

    /// The buffer and the first element of a weight.
    pub fn place(&self, tensor: &PlacedTensor) -> (&str, usize) {
        (&self.buffers[tensor.arena], tensor.offset)
    }
}

/// The weights that training changes of these models, each once, and the buffers of their arenas.
pub(super) fn trained(models: &[&Placed]) -> (ArenaLayout, Vec<String>) {
    let (mut layout, mut buffers) = (ArenaLayout::default(), Vec::new());
    for placed in models {
        for tensor in placed.trained() {
            let arena = place(&mut buffers, &placed.buffers[tensor.arena]);
            if arena == layout.arenas.len() {
                let Arena { len, .. } = placed.layout.arenas[tensor.arena];
                layout.arenas.push(Arena { len, kind: WeightKind::Trained });
            }
            layout.tensors.push(PlacedTensor { arena, ..tensor.clone() });
        }
    }
    layout.tensors.sort_by_key(|t| (t.arena, t.offset));
    layout.tensors.dedup_by_key(|t| (t.arena, t.offset));
    (layout, buffers)
}

/// The place of a buffer among `buffers`; a new one is put at the end.
fn place(buffers: &mut Vec<String>, buffer: &str) -> usize {
    let known = buffers.iter().position(|known| known == buffer);
    known.unwrap_or_else(|| {
        buffers.push(buffer.into());
        buffers.len() - 1
    })
}
