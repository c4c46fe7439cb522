//! The structural classes that passes and the planner match on.

use super::scan::{Param, Scan};
use crate::tensor::Exact;
use std::sync::Arc;

/// A node without operands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Leaf {
    /// A buffer that the caller provides.
    Input(Arc<str>),
    /// A buffer that outlives a run.
    State(Arc<str>),
    /// A scalar known when the graph is built.
    Constant(Exact),
    /// A word of the step block.
    Step(usize),
    /// In the body of a scan: what an iteration is given.
    Param(Param),
}

/// A node that moves elements without computing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Movement {
    /// The same elements in the same order, from element `offset` of the operand: no copy.
    Alias {
        /// First element.
        offset: usize,
    },
    /// The operand read through strides: a copy, unless a consumer folds it into its loads.
    Strided {
        /// First element.
        offset: usize,
        /// Stride in elements of each output axis.
        strides: Vec<usize>,
    },
    /// The operands side by side in one buffer, each from its element offset: their kernels write directly
    /// into it.
    Pack {
        /// First element of each operand.
        offsets: Vec<usize>,
    },
    /// Operands: a state, a step word that names one of its rows, and tensors. The kernels of the tensors
    /// write them side by side into that row.
    Record {
        /// First element of each operand in the row.
        offsets: Vec<usize>,
    },
}

/// What a pass may know about an op.
#[derive(Debug, Clone, PartialEq)]
pub enum Class<'a> {
    /// No operands.
    Leaf(&'a Leaf),
    /// Output element i depends on element i of each (broadcast) operand alone.
    Elementwise,
    /// Axes summed, averaged or maximised away.
    Reduction,
    /// Sums of products over a shared axis, with an elementwise epilogue on each result.
    Contraction,
    /// Elements moved, none computed.
    Movement(Movement),
    /// A loop, whose body is a graph.
    Scan(&'a Scan),
    /// A kernel that passes leave alone.
    Opaque,
}

impl Class<'_> {
    /// Whether the op launches kernels: leaves, aliases, packs and records do no work.
    #[must_use]
    pub const fn launches(&self) -> bool {
        !matches!(
            self,
            Self::Leaf(_)
                | Self::Movement(
                    Movement::Alias { .. } | Movement::Pack { .. } | Movement::Record { .. }
                )
        )
    }

    /// Whether the value is a constant or a step word, which kernels read without a buffer.
    #[must_use]
    pub const fn is_uniform(&self) -> bool {
        matches!(self, Self::Leaf(Leaf::Constant(_) | Leaf::Step(_)))
    }
}
