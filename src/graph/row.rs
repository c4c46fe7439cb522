//! What a row of the table of elementwise functions says.

use super::{Graph, Value};
use crate::error::Result;
use crate::tensor::DType;

/// A function with its operands, as its gradient is built.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// The operands.
    pub inputs: &'a [Value],
    /// The result.
    pub output: Value,
    /// The gradient of the result.
    pub upstream: Value,
}

/// The gradient of each operand, before it is summed over the axes along which the operand was broadcast; `None` for
/// an operand without one.
pub type Partials = fn(&mut Graph, Applied<'_>) -> Result<Vec<Option<Value>>>;

/// How an elementwise function is differentiated.
#[derive(Debug, Clone, Copy)]
pub enum Derivative {
    /// WGSL of f'(x) in terms of the operand `x`.
    OfInput(&'static str),
    /// WGSL of f'(x) in terms of the result, written `x`: the operand need not be kept.
    OfOutput(&'static str),
    /// Of several operands: built from other rows.
    Built(Partials),
    /// f' = 1: the upstream gradient passes through.
    One,
    /// f' = 0 wherever it exists.
    Zero,
    /// The upstream gradient passes through although f' is something else: the function's own learning rule.
    StraightThrough,
    /// No gradient, and why.
    None(&'static str),
}

/// What a function makes of the index of the element that it computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IndexUse {
    /// Nothing: the result depends on the operands alone.
    None,
    /// The result depends on the element's place in the trailing axes. More leading axes repeat it.
    Position,
    /// The index is the counter of a generator of random numbers: another shape draws other numbers.
    Random,
}

/// An elementwise function.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Operands.
    pub arity: usize,
    /// The element type of the operands.
    pub operands: DType,
    /// Names and defaults of its parameters. Those of a function that uses the element index are raw bits.
    pub params: &'static [(&'static str, f32)],
    /// The WGSL expression.
    pub wgsl: &'static str,
    /// Its derivative.
    pub derivative: Derivative,
    /// What it makes of the element index.
    pub index: IndexUse,
    /// The range of the operands: tests sample here.
    pub domain: (f32, f32),
    /// Evaluation on constants, in f64.
    pub fold: Option<fn(&[f64]) -> f64>,
    /// The constant that leaves the other operand unchanged: (as left operand, as right operand).
    pub neutral: (Option<f32>, Option<f32>),
}

impl Row {
    /// Whether it draws random numbers: a function of step words, its stream and the element index.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.index == IndexUse::Random
    }

    /// Whether [`Graph::unary`], [`Graph::binary`] or [`Graph::select`] takes its name. Others have a call of the same
    /// name.
    #[must_use]
    pub fn is_by_name(&self) -> bool {
        self.index == IndexUse::None && self.operands == DType::F32
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Row {}

impl std::hash::Hash for Row {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// A function by its WGSL and its derivative; the macro of the table adds name, operands and parameters.
pub(crate) const fn computes(wgsl: &'static str, derivative: Derivative) -> Row {
    Row {
        name: "",
        arity: 0,
        operands: DType::F32,
        params: &[],
        wgsl,
        derivative,
        index: IndexUse::None,
        domain: (-4.0, 4.0),
        fold: None,
        neutral: (None, None),
    }
}

/// A question that is answered by 1 or 0.
pub(crate) const fn answers(wgsl: &'static str) -> Row {
    computes(wgsl, Derivative::Zero)
}

impl Row {
    /// Tests sample operands from here.
    pub(crate) const fn on(self, low: f32, high: f32) -> Self {
        Self { domain: (low, high), ..self }
    }

    pub(crate) const fn folds(self, fold: fn(&[f64]) -> f64) -> Self {
        Self { fold: Some(fold), ..self }
    }

    pub(crate) const fn neutral(self, left: Option<f32>, right: Option<f32>) -> Self {
        Self { neutral: (left, right), ..self }
    }

    /// What it makes of the element index, and its parameters in raw bits.
    pub(crate) const fn by_index(
        self,
        index: IndexUse,
        params: &'static [(&'static str, f32)],
    ) -> Self {
        Self { index, params, ..self }
    }

    pub(crate) const fn of_u32(self) -> Self {
        Self { operands: DType::U32, ..self }
    }

    pub(crate) const fn named(
        self,
        name: &'static str,
        arity: usize,
        params: &'static [(&'static str, f32)],
    ) -> Self {
        let params = if params.is_empty() { self.params } else { params };
        Self { name, arity, params, ..self }
    }
}
