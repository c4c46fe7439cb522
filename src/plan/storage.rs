//! Buffers for values: external ones by name, arenas for packs, and buffers that values share by liveness.

use super::schedule::{Schedule, external};
use super::{BufferClass, BufferDecl, Region, StepOffset};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Leaf, Movement, TensorType, Value};
use crate::tensor::SharedTensor;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes to which buffers and the tensors inside them are aligned.
pub(super) const ALIGN: u64 = 256;

/// The place of every value.
pub(super) struct Storage {
    pub buffers: Vec<BufferDecl>,
    /// Buffers of the caller's by class and name.
    external: HashMap<(BufferClass, Arc<str>), usize>,
    constants: HashMap<SharedTensor, usize>,
    places: HashMap<Value, (usize, u64)>,
    /// Values whose place moves from step to step.
    step_offsets: HashMap<Value, StepOffset>,
    /// Buffers that are not in use at present.
    free: Vec<usize>,
    /// The last position in the order at which each shared value is read.
    last_use: HashMap<Value, usize>,
}

impl Storage {
    /// Places everything whose storage does not depend on the order: external buffers and arenas.
    pub(super) fn new(graph: &Graph, schedule: &Schedule) -> Result<Self> {
        let mut this = Self {
            buffers: Vec::new(),
            external: HashMap::new(),
            constants: HashMap::new(),
            places: HashMap::new(),
            step_offsets: HashMap::new(),
            free: Vec::new(),
            last_use: HashMap::new(),
        };
        for (i, node) in graph.nodes().iter().enumerate() {
            let value = Value { node: graph.id(i), output: 0 };
            let class = node.op.class();
            if external(&class) {
                this.external(&class, value, &node.outputs[0])?;
            } else if let Class::Movement(Movement::Pack { offsets }) = class {
                let arena = this.declare("arena", BufferClass::Arena, node.outputs[0].bytes());
                this.places.insert(value, (arena, 0));
                for (&v, offset) in node.inputs.iter().zip(offsets) {
                    let root = graph.storage_root(v);
                    this.places.insert(root, (arena, offset as u64 * 4));
                }
            } else if let Class::Movement(Movement::Record { offsets }) = class {
                this.record(graph, value, &node.inputs, &offsets)?;
            }
        }
        for (&new, state) in &schedule.placed {
            let place = this.places[state];
            this.places.insert(new, place);
        }
        this.measure_lives(graph, schedule);
        Ok(this)
    }

    /// Places tensors in a row of a state that a step word names.
    fn record(
        &mut self,
        graph: &Graph,
        value: Value,
        inputs: &[Value],
        offsets: &[usize],
    ) -> Result<()> {
        let broken = |what: &str| Err(Error::internal("record", what));
        let Some(&(buffer, 0)) = self.places.get(&inputs[0]) else {
            return broken("the metrics are no state");
        };
        let Class::Leaf(&Leaf::Step(word)) = graph.node(inputs[1]).op.class() else {
            return broken("the row is no step word");
        };
        let stride = graph.shape(inputs[0]).dims()[1] as u64 * 4;
        self.places.insert(value, (buffer, 0));
        for (&v, &offset) in inputs[2..].iter().zip(offsets) {
            let root = graph.storage_root(v);
            self.places.insert(root, (buffer, offset as u64 * 4));
            self.step_offsets.insert(root, StepOffset { word, stride });
        }
        Ok(())
    }

    fn external(&mut self, class: &Class<'_>, value: Value, ty: &TensorType) -> Result<()> {
        let (name, class) = match class {
            Class::Leaf(Leaf::Tensor(tensor)) => {
                self.constant(tensor, value, ty);
                return Ok(());
            }
            Class::Leaf(Leaf::State(name)) => (name, BufferClass::State),
            Class::Leaf(Leaf::Input(name)) => (name, BufferClass::Input),
            _ => return Err(Error::internal("storage", "not an external buffer")),
        };
        let bytes = padded(ty.bytes(), ALIGN);
        let known = self.external.get(&(class, name.clone())).copied();
        let buffer = match known {
            Some(b) if self.buffers[b].bytes != bytes => {
                return Err(Error::internal(
                    "storage",
                    format!("`{name}` is used with {} and {bytes} bytes", self.buffers[b].bytes),
                ));
            }
            Some(b) => b,
            None => {
                let buffer = self.declare(name, class, bytes);
                self.external.insert((class, name.clone()), buffer);
                buffer
            }
        };
        self.places.insert(value, (buffer, 0));
        Ok(())
    }

    fn constant(&mut self, tensor: &SharedTensor, value: Value, ty: &TensorType) {
        let buffer = self.constants.get(tensor).copied().unwrap_or_else(|| {
            let buffer = self.declare(&tensor.name(), BufferClass::Constant, ty.bytes());
            self.buffers[buffer].content = Some(tensor.clone());
            self.constants.insert(tensor.clone(), buffer);
            buffer
        });
        self.places.insert(value, (buffer, 0));
    }

    fn declare(&mut self, name: &str, class: BufferClass, bytes: u64) -> usize {
        let bytes = padded(bytes, ALIGN);
        self.buffers.push(BufferDecl { name: name.to_owned(), class, bytes, content: None });
        self.buffers.len() - 1
    }

    fn measure_lives(&mut self, graph: &Graph, schedule: &Schedule) {
        for (at, &i) in schedule.order.iter().enumerate() {
            for &v in &graph.nodes()[i].inputs {
                self.last_use.insert(graph.storage_root(v), at);
            }
        }
        let end = schedule.order.len();
        for root in graph.roots() {
            self.last_use.insert(graph.storage_root(root), end);
        }
    }

    /// Gives the value a buffer unless it has a place.
    pub(super) fn allocate(&mut self, value: Value, bytes: u64) {
        if !self.places.contains_key(&value) {
            let buffer = self.take_buffer(bytes);
            self.places.insert(value, (buffer, 0));
        }
    }

    /// The smallest free buffer that holds `bytes`; else the largest free one, grown; else a new one.
    pub(super) fn take_buffer(&mut self, bytes: u64) -> usize {
        let bytes = padded(bytes, ALIGN);
        let size = |s: &usize| self.buffers[*s].bytes;
        let fitting = self.free.iter().copied().filter(|s| size(s) >= bytes).min_by_key(size);
        let chosen = fitting.or_else(|| self.free.iter().copied().max_by_key(size));
        match chosen {
            Some(buffer) => {
                self.free.retain(|&s| s != buffer);
                self.buffers[buffer].bytes = self.buffers[buffer].bytes.max(bytes);
                buffer
            }
            None => {
                let shared =
                    self.buffers.iter().filter(|b| b.class == BufferClass::Activation).count();
                self.declare(&format!("shared{shared}"), BufferClass::Activation, bytes)
            }
        }
    }

    /// Gives back a buffer.
    pub(super) fn release(&mut self, buffer: usize) {
        if self.buffers[buffer].class == BufferClass::Activation && !self.free.contains(&buffer) {
            self.free.push(buffer);
        }
    }

    /// Gives back the buffers of values that are read at `at` for the last time, or never.
    pub(super) fn expire(&mut self, graph: &Graph, values: &[Value], at: usize) {
        for &v in values {
            let root = graph.storage_root(v);
            let dead = self.last_use.get(&root).is_none_or(|&last| last <= at);
            let place = self.places.get(&root).copied();
            if let (true, Some((buffer, _))) = (dead, place) {
                self.release(buffer);
            }
        }
    }

    /// The place of a value's elements.
    pub(super) fn region(&self, graph: &Graph, value: Value) -> Result<Region> {
        let mut offset = 0;
        let mut v = value;
        while let Class::Movement(Movement::Alias { offset: first }) = graph.node(v).op.class() {
            offset += (first * graph.ty(v).dtype.size()) as u64;
            v = graph.node(v).inputs[0];
        }
        let &(buffer, start) = self
            .places
            .get(&v)
            .ok_or_else(|| Error::internal("storage", format!("{value} has no buffer")))?;
        let bytes = padded(graph.ty(value).bytes(), 16);
        let step_offset = self.step_offsets.get(&v).copied();
        Ok(Region { buffer, offset: start + offset, bytes, step_offset })
    }
}

/// `bytes` as a positive multiple of `align`, or the largest one: a limit is checked after this.
fn padded(bytes: u64, align: u64) -> u64 {
    bytes.max(4).checked_next_multiple_of(align).unwrap_or(u64::MAX / align * align)
}
