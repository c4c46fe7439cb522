//! The structural classes that passes and the planner match on.

use super::row_kernel::RowKernel;
use super::scan::{Param, Scan};
use super::structure::{Contraction, Map, Reduce};
use crate::tensor::{Exact, SharedTensor};
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
    /// A tensor known when the graph is built. It is uploaded once, and all plans of a store share it.
    Tensor(SharedTensor),
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
    /// The operand with zeros around it: a copy, unless every consumer reads it through guards.
    Padded {
        /// Elements before and after each axis.
        around: Vec<[usize; 2]>,
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

/// What a pass may know about an op. A match of passes and planner that decides between classes names every one, so that a new
/// one is decided for: `tests/structure.rs` refuses an arm `_` there. A question about one class alone is a method here.
#[derive(Debug, Clone, PartialEq)]
pub enum Class<'a> {
    /// No operands.
    Leaf(&'a Leaf),
    /// Output element i depends on element i of each (broadcast) operand alone.
    Elementwise(&'a Map),
    /// Axes summed, multiplied, averaged or maximised away.
    Reduction(&'a Reduce),
    /// Sums of products over a shared axis, with an elementwise epilogue on each result.
    Contraction(&'a Contraction),
    /// Reductions over each row, and results that use what was reduced.
    Rows(&'a RowKernel),
    /// Elements moved, none computed.
    Movement(Movement),
    /// A loop, whose body is a graph.
    Scan(&'a Scan),
    /// An op with a gradient but no kernel: other nodes take its place before any pass runs ([`super::Op::expand`]).
    Composite,
    /// A kernel that passes leave alone.
    Opaque,
}

impl<'a> Class<'a> {
    /// The program, if the op is elementwise.
    #[must_use]
    pub const fn map(&self) -> Option<&'a Map> {
        match self {
            Self::Elementwise(map) => Some(map),
            _ => None,
        }
    }

    /// The product, if the op is one.
    #[must_use]
    pub const fn contraction(&self) -> Option<&'a Contraction> {
        match self {
            Self::Contraction(contraction) => Some(contraction),
            _ => None,
        }
    }

    /// The reduction, if the op is one.
    #[must_use]
    pub const fn reduction(&self) -> Option<&'a Reduce> {
        match self {
            Self::Reduction(reduce) => Some(reduce),
            _ => None,
        }
    }

    /// The kernel over rows, if the op is one.
    #[must_use]
    pub const fn row_kernel(&self) -> Option<&'a RowKernel> {
        match self {
            Self::Rows(kernel) => Some(kernel),
            _ => None,
        }
    }

    /// Whether the op launches kernels: leaves, aliases, packs and records do no work.
    #[must_use]
    pub const fn launches(&self) -> bool {
        match self {
            Self::Leaf(_)
            | Self::Movement(
                Movement::Alias { .. } | Movement::Pack { .. } | Movement::Record { .. },
            ) => false,
            Self::Movement(Movement::Strided { .. } | Movement::Padded { .. })
            | Self::Elementwise(_)
            | Self::Reduction(_)
            | Self::Contraction(_)
            | Self::Rows(_)
            | Self::Scan(_)
            | Self::Composite
            | Self::Opaque => true,
        }
    }

    /// The first operand that the op puts into its buffer: of a pack all operands from it on, of a record the tensors.
    #[must_use]
    pub const fn first_held(&self) -> Option<usize> {
        match self {
            Self::Movement(Movement::Pack { .. }) => Some(0),
            Self::Movement(Movement::Record { .. }) => Some(2),
            Self::Movement(
                Movement::Alias { .. } | Movement::Strided { .. } | Movement::Padded { .. },
            )
            | Self::Leaf(_)
            | Self::Elementwise(_)
            | Self::Reduction(_)
            | Self::Contraction(_)
            | Self::Rows(_)
            | Self::Scan(_)
            | Self::Composite
            | Self::Opaque => None,
        }
    }

    /// Whether the value is a constant or a step word, which kernels read without a buffer.
    #[must_use]
    pub const fn is_uniform(&self) -> bool {
        matches!(self, Self::Leaf(Leaf::Constant(_) | Leaf::Step(_)))
    }
}
