//! The row kernel: reductions over each row, each with an elementwise program before and after it, and elementwise
//! results that use what was reduced. One launch computes a whole normalization or a masked softmax.

use super::program::Program;
use super::row_lower::lower_row_kernel;
use super::row_reads::{Read, Rows};
use super::{normalize, row_softmax, row_statistics};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value};

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

impl Op for RowKernel {
    fn name(&self) -> String {
        match self.rule {
            RowRule::LayerNorm { .. } => "layer_norm",
            RowRule::RmsNorm { .. } => "rms_norm",
            RowRule::MaskedSoftmax { .. } => "masked_softmax",
            RowRule::LogSumExp => "log_sum_exp",
            RowRule::Variance => "variance",
            RowRule::Gradient(name) => name,
        }
        .into()
    }

    fn attrs(&self) -> String {
        let phase = |p: &Phase| format!("{:?} of {} as {}", p.reduction, p.before, p.after);
        let phases = self.phases.iter().map(phase).collect::<Vec<_>>().join("; ");
        format!("rows of {}; {phases}; {}", self.rows.cols(), self.elements)
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.rows.check(&self.name(), &self.reads, inputs)?;
        let full = TensorType::f32(&self.rows.shape);
        let mut types = vec![full; self.elements.outputs.len()];
        let value =
            |values: &Vec<usize>| TensorType::f32([self.rows.outer(), &[values.len()]].concat());
        types.extend(self.kept.iter().map(value));
        Ok(types)
    }

    fn vjp(
        &self,
        graph: &mut Graph,
        inputs: &[Value],
        outputs: &[Value],
        upstream: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>> {
        let mut partials = vec![None; inputs.len()];
        let Some(dy) = upstream[0] else { return Ok(partials) };
        let found = match self.rule {
            RowRule::LayerNorm { gamma, beta } => {
                normalize::layer_norm_vjp(graph, &self.rows, [gamma, beta], inputs, outputs, dy)?
            }
            RowRule::RmsNorm { gamma } => {
                normalize::rms_norm_vjp(graph, &self.rows, gamma, inputs, outputs, dy)?
            }
            RowRule::MaskedSoftmax { additive } => {
                row_softmax::masked_softmax_vjp(graph, &self.rows, additive, inputs, outputs, dy)?
            }
            RowRule::LogSumExp => {
                row_softmax::log_sum_exp_vjp(graph, &self.rows, inputs, outputs, dy)?
            }
            RowRule::Variance => {
                row_statistics::variance_vjp(graph, &self.rows, inputs, outputs, dy)?
            }
            RowRule::Gradient(name) => {
                return Err(Error::NotDifferentiable {
                    op: name.into(),
                    layer: String::new(),
                    detail: "the gradient of a row kernel has no gradient; build it from \
                             elementwise functions and sums"
                        .into(),
                });
            }
        };
        for (partial, found) in partials.iter_mut().zip(found) {
            *partial = found;
        }
        Ok(partials)
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        lower_row_kernel(self, cx)
    }

    fn takes_uniform(&self, input: usize) -> bool {
        self.reads.contains(&Read::Element(input))
    }
}
