//! Nodes, values and their types.

use super::OpRef;
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// A node's place in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    pub(super) fn new(index: usize) -> Self {
        Self(index as u32)
    }

    /// The position in [`super::Graph::nodes`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
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
            0 => write!(f, "%{}", self.node.0),
            i => write!(f, "%{}.{i}", self.node.0),
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
    /// The op.
    pub op: OpRef,
    /// Its operands.
    pub inputs: Vec<Value>,
    /// The types it yields.
    pub outputs: Vec<TensorType>,
    /// The layer that built it.
    pub layer: Option<Arc<str>>,
}
