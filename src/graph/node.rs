//! Nodes, values and their types.

use super::{OpRef, View};
use crate::tensor::{DType, Shape};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Nodes made so far, in all graphs.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A node: its place in its graph, and a number that no other node has. So a graph knows its own values, and a clone
/// knows those from before it was cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    index: u32,
    serial: u32,
}

impl NodeId {
    /// The id of a node that is made at this position.
    pub(super) fn new(index: usize) -> Self {
        Self { index: index as u32, serial: MADE.fetch_add(1, Ordering::Relaxed) }
    }

    /// The position in [`super::Graph::nodes`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// One output of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    /// The node.
    pub node: NodeId,
    /// Which of its outputs.
    pub output: u16,
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.output {
            0 => write!(f, "%{}", self.node.index),
            i => write!(f, "%{}.{i}", self.node.index),
        }
    }
}

/// A static shape and an element type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// The extents.
    pub shape: Shape,
    /// The element type.
    pub dtype: DType,
}

impl TensorType {
    /// An f32 tensor of this shape.
    #[must_use]
    pub fn f32(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), dtype: DType::F32 }
    }

    /// Bytes of the elements.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.shape.len() as u64).saturating_mul(self.dtype.size() as u64)
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// An op applied to values.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// The op.
    pub op: OpRef,
    /// Its operands.
    pub inputs: Vec<Value>,
    /// How it reads each operand: `None` is as it is.
    pub views: Vec<Option<View>>,
    /// The types it yields.
    pub outputs: Vec<TensorType>,
    /// The layer that built it.
    pub layer: Option<Arc<str>>,
}

impl Node {
    /// The type that the op sees of operand `input`, whose own type is `ty`.
    #[must_use]
    pub fn seen(&self, input: usize, ty: &TensorType) -> TensorType {
        self.views[input].as_ref().map_or_else(|| ty.clone(), |view| seen(view, ty))
    }
}

/// What a view of a tensor of type `ty` shows.
pub(super) fn seen(view: &View, ty: &TensorType) -> TensorType {
    TensorType { shape: view.shape().clone(), dtype: ty.dtype }
}
