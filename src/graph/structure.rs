//! The data of structural ops, which passes match on. What these ops do is in their cards in `ops`.

use super::program::Program;
use crate::tensor::{Exact, Shape};

/// An elementwise program whose results all have one shape; operands broadcast to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Map {
    /// What is computed.
    pub program: Program,
    /// The shape of every result.
    pub shape: Shape,
}

/// What a reduction computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// Σ x.
    Sum,
    /// Σ x / n.
    Mean,
    /// Σ x / the number given: what these elements add to a mean over that many.
    PartOfMean(usize),
    /// max x; NaN, if an element is.
    Max,
    /// min x; NaN, if an element is.
    Min,
    /// Π x.
    Product,
}

/// A reduction of axes `first..end`, which disappear.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// What is computed.
    pub kind: ReduceKind,
    /// The first axis reduced.
    pub first: usize,
    /// One past the last axis reduced.
    pub end: usize,
}

/// Extents. A is seen as `[batch, m, k]` and B as `[batch, k, n]`; how they are in memory is their views' business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContractionSpec {
    /// Independent products.
    pub batch: usize,
    /// Rows of each product.
    pub m: usize,
    /// Columns of each product.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
}

/// A contraction with an elementwise epilogue.
///
/// Operands: A, B, then the epilogue's further operands; the epilogue's input 0 is the sum.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Contraction {
    /// Extents.
    pub spec: ContractionSpec,
    /// What is stored, in terms of the sum and further operands.
    pub epilogue: Program,
    /// The result's shape: `[..., m, n]`.
    pub shape: Shape,
    /// Whether a last result `[n]` holds Σₖ B[k, n]: only for one batch.
    pub b_sums: bool,
    /// For A and for B: the factor on its elements, if they are bytes.
    pub bytes: [Option<Exact>; 2],
}
