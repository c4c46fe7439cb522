//! Buffers for values: external ones by name, arenas for packs, and buffers that values share by liveness.

use super::schedule::Schedule;
use super::{BufferClass, BufferDecl, MAX_LOOPS, Region, StepOffset};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Leaf, Movement, Node, TensorType, Value};
use crate::tensor::SharedTensor;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Bytes to which buffers and the tensors inside them are aligned.
pub(super) const ALIGN: u64 = 256;

/// The buffers of a plan: those of the graph, and those of the bodies of its loops.
#[derive(Default)]
pub(super) struct Buffers {
    pub decls: Vec<BufferDecl>,
    /// Buffers of the caller's by class and name.
    external: HashMap<(BufferClass, Arc<str>), usize>,
    constants: HashMap<SharedTensor, usize>,
    /// Buffers that are not in use at present.
    free: Vec<usize>,
}

/// Where a value is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub buffer: usize,
    /// First byte, in the first iteration.
    pub offset: u64,
    /// How it moves from step to step.
    pub step: Option<StepOffset>,
    /// How it moves from iteration to iteration.
    pub strides: [i64; MAX_LOOPS],
}

impl Place {
    /// The beginning of a buffer.
    pub const fn of(buffer: usize) -> Self {
        Self { buffer, offset: 0, step: None, strides: [0; MAX_LOOPS] }
    }

    /// The first `bytes` from here.
    pub const fn region(self, bytes: u64) -> Region {
        let Self { buffer, offset, step, strides } = self;
        let bytes = padded(bytes, 16);
        Region { buffer, offset, bytes, step_offset: step, loop_strides: strides }
    }
}

/// The place of every value of a graph.
pub(super) struct Storage {
    pub buffers: Buffers,
    pub places: HashMap<Value, Place>,
    /// Values whose buffer is free again after their last use.
    owned: HashSet<Value>,
    /// The last position in the order at which each shared value is read.
    last_use: HashMap<Value, usize>,
}

impl Storage {
    /// Places everything whose storage does not depend on the order: external buffers and arenas.
    pub(super) fn new(graph: &Graph, schedule: &Schedule, buffers: Buffers) -> Result<Self> {
        let mut this = Self {
            buffers,
            places: HashMap::new(),
            owned: HashSet::new(),
            last_use: HashMap::new(),
        };
        for (i, node) in graph.nodes().iter().enumerate() {
            let value = Value { node: graph.id(i), output: 0 };
            match node.op.class() {
                Class::Leaf(leaf) => this.leaf(leaf, value, &node.outputs[0])?,
                Class::Movement(Movement::Pack { offsets }) => {
                    let bytes = node.outputs[0].bytes();
                    let arena = this.buffers.declare("arena", BufferClass::Arena, bytes);
                    this.places.insert(value, Place::of(arena));
                    for (&v, offset) in node.inputs.iter().zip(offsets) {
                        let place = Place { offset: offset as u64 * 4, ..Place::of(arena) };
                        this.places.insert(graph.storage_root(v), place);
                    }
                }
                Class::Movement(Movement::Record { offsets }) => {
                    this.record(graph, value, &node.inputs, &offsets)?;
                }
                Class::Movement(
                    Movement::Alias { .. } | Movement::Strided { .. } | Movement::Padded { .. },
                )
                | Class::Elementwise(_)
                | Class::Reduction(_)
                | Class::Contraction(_)
                | Class::Rows(_)
                | Class::Scan(_)
                | Class::Composite
                | Class::Opaque => {}
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
        let Some(&Place { buffer, offset: 0, .. }) = self.places.get(&inputs[0]) else {
            return broken("the metrics are no state");
        };
        let Class::Leaf(&Leaf::Step(word)) = graph.node(inputs[1]).op.class() else {
            return broken("the row is no step word");
        };
        let stride = graph.shape(inputs[0]).dims()[1] as u64 * 4;
        self.places.insert(value, Place::of(buffer));
        for (&v, &offset) in inputs[2..].iter().zip(offsets) {
            let root = graph.storage_root(v);
            let step = Some(StepOffset { word, stride });
            self.places
                .insert(root, Place { offset: offset as u64 * 4, step, ..Place::of(buffer) });
        }
        Ok(())
    }

    fn leaf(&mut self, leaf: &Leaf, value: Value, ty: &TensorType) -> Result<()> {
        let (name, class) = match leaf {
            Leaf::Tensor(tensor) => {
                self.constant(tensor, value, ty);
                return Ok(());
            }
            Leaf::State(name) => (name, BufferClass::State),
            Leaf::Input(name) => (name, BufferClass::Input),
            // A loop places what its body is given.
            Leaf::Constant(_) | Leaf::Step(_) | Leaf::Param(_) => return Ok(()),
        };
        let bytes = padded(ty.bytes(), ALIGN);
        let key = (class, name.clone());
        let buffer = match self.buffers.external.get(&key).copied() {
            Some(b) if self.buffers.decls[b].bytes != bytes => {
                let known = self.buffers.decls[b].bytes;
                let detail = format!("`{name}` is used with {known} and {bytes} bytes");
                return Err(Error::internal("storage", detail));
            }
            Some(b) => b,
            None => {
                let buffer = self.buffers.declare(name, class, bytes);
                self.buffers.external.insert(key, buffer);
                buffer
            }
        };
        self.places.insert(value, Place::of(buffer));
        Ok(())
    }

    fn constant(&mut self, tensor: &SharedTensor, value: Value, ty: &TensorType) {
        let buffers = &mut self.buffers;
        let buffer = buffers.constants.get(tensor).copied().unwrap_or_else(|| {
            let buffer = buffers.declare(&tensor.name(), BufferClass::Constant, ty.bytes());
            buffers.decls[buffer].content = Some(tensor.clone());
            buffers.constants.insert(tensor.clone(), buffer);
            buffer
        });
        self.places.insert(value, Place::of(buffer));
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
            let buffer = self.buffers.take(bytes);
            self.own(value, buffer);
        }
    }

    /// Puts the value into a buffer that was taken for it.
    pub(super) fn own(&mut self, value: Value, buffer: usize) {
        self.places.insert(value, Place::of(buffer));
        self.owned.insert(value);
    }

    /// The buffer of a value that only the node at `at` reads, as one operand: the node may then change it.
    pub(super) fn give_up(
        &mut self,
        graph: &Graph,
        node: &Node,
        value: Value,
        at: usize,
    ) -> Option<usize> {
        let roots = node.inputs.iter().map(|&v| graph.storage_root(v));
        let once = roots.filter(|&root| root == value).count() == 1;
        let dies = self.last_use.get(&value) == Some(&at);
        let own = self.owned.contains(&value) && once && dies;
        let buffer = self.places.get(&value).filter(|_| own)?.buffer;
        self.owned.remove(&value);
        Some(buffer)
    }

    /// The operand whose buffer `output` of the node at `at` takes over, if it may overwrite one that nothing reads
    /// later.
    pub(super) fn take_over(
        &mut self,
        graph: &Graph,
        node: &Node,
        output: Value,
        at: usize,
    ) -> Option<usize> {
        if self.places.contains_key(&output) || !self.is_read(output) {
            return None;
        }
        let types: Vec<_> = node.inputs.iter().map(|&v| graph.ty(v)).collect();
        let (input, buffer) = (0..types.len()).find_map(|j| {
            let root = graph.storage_root(node.inputs[j]);
            let whole = graph.ty(root).bytes() == types[j].bytes() && node.views[j].is_none();
            let fits = whole && node.op.may_overwrite(&types, j, output.output as usize);
            let buffer = if fits { self.give_up(graph, node, root, at) } else { None };
            Some((j, buffer?))
        })?;
        self.own(output, buffer);
        Some(input)
    }

    /// Whether anything reads a node's result.
    pub(super) fn is_read(&self, value: Value) -> bool {
        self.last_use.contains_key(&value)
    }

    /// Gives back the buffers of values that are read at `at` for the last time, or never.
    pub(super) fn expire(&mut self, graph: &Graph, values: &[Value], at: usize) {
        for &v in values {
            let root = graph.storage_root(v);
            let dead = self.last_use.get(&root).is_none_or(|&last| last <= at);
            if dead && self.owned.remove(&root) {
                self.buffers.release(self.places[&root].buffer);
            }
        }
    }

    /// The place of a value's elements.
    pub(super) fn place(&self, graph: &Graph, value: Value) -> Result<Place> {
        let mut offset = 0;
        let mut v = value;
        while let Class::Movement(Movement::Alias { offset: first }) = graph.node(v).op.class() {
            offset += (first * graph.ty(v).dtype.size()) as u64;
            v = graph.node(v).inputs[0];
        }
        let &place = self
            .places
            .get(&v)
            .ok_or_else(|| Error::internal("storage", format!("{value} has no buffer")))?;
        Ok(Place { offset: place.offset + offset, ..place })
    }

    /// The region of a value's elements.
    pub(super) fn region(&self, graph: &Graph, value: Value) -> Result<Region> {
        Ok(self.place(graph, value)?.region(graph.ty(value).bytes()))
    }
}

impl Buffers {
    fn declare(&mut self, name: &str, class: BufferClass, bytes: u64) -> usize {
        let bytes = padded(bytes, ALIGN);
        self.decls.push(BufferDecl { name: name.to_owned(), class, bytes, content: None });
        self.decls.len() - 1
    }

    /// The smallest free buffer that holds `bytes`; else the largest free one, grown; else a new one.
    pub(super) fn take(&mut self, bytes: u64) -> usize {
        let bytes = padded(bytes, ALIGN);
        let size = |s: &usize| self.decls[*s].bytes;
        let fitting = self.free.iter().copied().filter(|s| size(s) >= bytes).min_by_key(size);
        let chosen = fitting.or_else(|| self.free.iter().copied().max_by_key(size));
        match chosen {
            Some(buffer) => {
                self.free.retain(|&s| s != buffer);
                self.decls[buffer].bytes = self.decls[buffer].bytes.max(bytes);
                buffer
            }
            None => {
                let shared =
                    self.decls.iter().filter(|b| b.class == BufferClass::Activation).count();
                self.declare(&format!("shared{shared}"), BufferClass::Activation, bytes)
            }
        }
    }

    /// Gives back a buffer.
    pub(super) fn release(&mut self, buffer: usize) {
        if self.decls[buffer].class == BufferClass::Activation && !self.free.contains(&buffer) {
            self.free.push(buffer);
        }
    }
}

/// `bytes` as a positive multiple of `align`, or the largest one: a limit is checked after this.
const fn padded(bytes: u64, align: u64) -> u64 {
    let bytes = if bytes < 4 { 4 } else { bytes };
    match bytes.checked_next_multiple_of(align) {
        Some(padded) => padded,
        None => u64::MAX / align * align,
    }
}
