//! The data of kernels over rows.

use super::program::Program;
use super::{Graph, Value};
use crate::error::Result;
use crate::tensor::Shape;
use std::fmt;
use std::hash::{Hash, Hasher};

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

/// The gradient of a row kernel: its rows, [`RowRule::options`], operands, results, and the gradient of the first result;
/// it gives those of the first operands.
pub type RowGradient =
    fn(&mut Graph, &Rows, [bool; 2], &[Value], &[Value], Value) -> Result<Vec<Option<Value>>>;

/// What a row kernel is: its name and its gradient. The rule has the function itself, so a program has the gradients of
/// the kernels that it builds, and no others.
#[derive(Clone, Copy)]
pub struct RowRule {
    /// The name, which no two rules share.
    pub name: &'static str,
    /// Which operands are there, or what they mean.
    pub options: [bool; 2],
    /// `None` for what is a gradient itself.
    pub gradient: Option<RowGradient>,
}

impl RowRule {
    /// A rule with a gradient.
    #[must_use]
    pub const fn new(name: &'static str, options: [bool; 2], gradient: RowGradient) -> Self {
        Self { name, options, gradient: Some(gradient) }
    }

    /// The gradient of another rule.
    #[must_use]
    pub const fn gradient(name: &'static str) -> Self {
        Self { name, options: [false; 2], gradient: None }
    }
}

/// The name stands for the gradient.
impl PartialEq for RowRule {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.options) == (other.name, other.options)
    }
}

impl Eq for RowRule {}

impl fmt::Debug for RowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.name).field(&self.options).finish()
    }
}

impl Hash for RowRule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.options).hash(state);
    }
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
