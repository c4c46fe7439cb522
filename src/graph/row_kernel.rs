//! The data of kernels over rows.

use super::program::Program;
use crate::tensor::Shape;

/// A shape as rows: axes `first..` are the columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rows {
    /// The whole shape.
    pub shape: Shape,
    /// The first axis that is part of a row.
    pub first: usize,
}

/// An input of the programs of a kernel over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Read {
    /// The elements of an operand, which broadcasts to the kernel's shape.
    Element(usize),
    /// A number for each row: place `place` of an operand `[rows..., places]`, as [`RowKernel::kept`] stores
    /// it.
    Value {
        /// The operand.
        operand: usize,
        /// Which of its numbers.
        place: usize,
    },
}

/// How the elements of a row become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowReduction {
    /// The first element.
    First,
    /// Σ.
    Sum,
    /// The largest element, and -[`f32::MAX`] if all are less. It may miss a NaN.
    Max,
}

/// A reduction over the row. Both programs have the inputs of the kernel's [`RowKernel::reads`], then the values of all
/// phases, of which they read those before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Phase {
    /// The reduction.
    pub reduction: RowReduction,
    /// What is reduced: a program on the elements of the row.
    pub before: Program,
    /// The phase's value: a program that reads the reduced number as the input of this phase, earlier values, and
    /// inputs that are the same along the row.
    pub after: Program,
}

/// What a row kernel is: its name and its gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowRule {
    /// Layer normalization; operands x, gamma and beta if they are there, constants.
    LayerNorm {
        /// Whether there is a gamma.
        gamma: bool,
        /// Whether there is a beta.
        beta: bool,
    },
    /// Division by the root mean square; operands x, gamma if it is there, constants.
    RmsNorm {
        /// Whether there is a gamma.
        gamma: bool,
    },
    /// Softmax over the elements that a mask lets through; operands x, mask, constants.
    MaskedSoftmax {
        /// Whether the mask is added to x.
        additive: bool,
    },
    /// The logarithm of the sum of exponentials.
    LogSumExp,
    /// The mean of squared differences to the mean.
    Variance,
    /// The gradient of another rule.
    Gradient(&'static str),
}

/// A kernel over the rows of `rows`, as data.
///
/// Results: the outputs of `elements`, each of the shape of `rows`, then for each entry of `kept` a tensor
/// `[rows..., values]` with the values of these phases.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowKernel {
    /// Name and gradient.
    pub rule: RowRule,
    /// The shape, and where its rows begin.
    pub rows: Rows,
    /// The inputs of the programs.
    pub reads: Vec<Read>,
    /// The reductions, in order.
    pub phases: Vec<Phase>,
    /// The results of the full shape.
    pub elements: Program,
    /// The phases whose values are results.
    pub kept: Vec<Vec<usize>>,
}
