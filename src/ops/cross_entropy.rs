//! Cross-entropy losses on logits, each with its gradient in the same kernel.
//!
//! Probabilities are never stored, and the gradient is written over the logits if nothing else reads them: a step
//! over a large vocabulary holds one array of `[rows, vocabulary]`.

use super::softmax::{row_launch, rows_cols};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, KernelCall, LossParams, Template, template};
use crate::tensor::{DType, Exact, Shape};
use std::sync::Arc;

pub(super) const SIGMOID: Template = template!("loss/sigmoid_cross_entropy", LossParams);
pub(super) const SOFTMAX: Template = template!("loss/softmax_cross_entropy", LossParams);

/// Which cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrossEntropyKind {
    /// Softmax over the last axis, integer labels `[rows]`.
    Sparse,
    /// Softmax over the last axis, probabilities `[rows, cols]` as targets.
    Categorical,
    /// A sigmoid per element, targets in [0, 1] of the logits' shape.
    Binary,
}

/// Operands: logits `[..., cols]` and labels. Results: the loss of each row times `scale`, the gradient of
/// their sum with respect to the logits, and (softmax forms) the hits of each row, as
/// [`ClassComparison::Hit`](super::ClassComparison::Hit) counts them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CrossEntropy {
    /// Which cross-entropy.
    pub kind: CrossEntropyKind,
    /// Factor on loss and gradient: 1 over the batch for the mean.
    pub scale: Exact,
}

impl Op for CrossEntropy {
    fn name(&self) -> String {
        match self.kind {
            CrossEntropyKind::Sparse => "sparse_softmax_cross_entropy",
            CrossEntropyKind::Categorical => "softmax_cross_entropy",
            CrossEntropyKind::Binary => "sigmoid_cross_entropy",
        }
        .into()
    }

    fn attrs(&self) -> String {
        format!("scale {:?}", self.scale)
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (logits, labels) = (inputs[0], inputs[1]);
        rows_cols(&self.name(), &logits.shape)?;
        let dims = logits.shape.dims();
        let rows = Shape::from(&dims[..dims.len() - 1]);
        let (dtype, shape) = match self.kind {
            CrossEntropyKind::Sparse => (DType::U32, &rows),
            _ => (DType::F32, &logits.shape),
        };
        if logits.dtype != DType::F32 || labels.dtype != dtype {
            let detail = format!("logits are f32 and labels {dtype}");
            return Err(Error::dtype(self.name(), &[logits.dtype, labels.dtype], detail));
        }
        if labels.shape != *shape {
            let detail = format!("labels of shape {shape} are expected");
            return Err(Error::shape(self.name(), &[&logits.shape, &labels.shape], detail));
        }
        let mut types = vec![TensorType::f32(rows.clone()), logits.clone()];
        if self.kind != CrossEntropyKind::Binary {
            types.push(TensorType::f32(rows));
        }
        Ok(types)
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, outputs, upstream, .. } = *cx;
        if upstream[1].is_some() {
            return Err(Error::not_differentiable(
                self.name(),
                "its gradient has no gradient; build the loss from log_softmax",
            ));
        }
        let Some(dy) = upstream[0] else { return Ok(vec![None, None]) };
        // The second result is d(sum of losses)/d(logits); each row scales with its own upstream gradient.
        let mut kept = graph.shape(dy).dims().to_vec();
        kept.push(1);
        let dy = graph.reshape(dy, kept)?;
        let dx = graph.mul(outputs[1], dy)?;
        // The weight of a target is what it is multiplied by; nothing needs this unless targets are computed.
        let weight = match self.kind {
            CrossEntropyKind::Sparse => return Ok(vec![Some(dx), None]),
            CrossEntropyKind::Categorical => graph.log_softmax(inputs[0])?,
            CrossEntropyKind::Binary => inputs[0],
        };
        let weight = graph.scale(weight, -self.scale.get())?;
        Ok(vec![Some(dx), Some(graph.mul(weight, dy)?)])
    }

    fn may_overwrite(&self, _inputs: &[&TensorType], input: usize, output: usize) -> bool {
        (input, output) == (0, 1)
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let (rows, cols) = rows_cols(&self.name(), &cx.inputs[0].0.shape)?;
        let binary = self.kind == CrossEntropyKind::Binary;
        let loops = if binary { 1 } else { 3 };
        let (mut defines, grid) = row_launch(&self.name(), (rows, cols), loops, cx.caps)?;
        // The gradient takes the logits' place if nothing else reads them, and evaluation has none at all.
        let (gradient, in_place) = (cx.read[1], cx.in_place[1].is_some());
        defines.push(("SPARSE", (self.kind == CrossEntropyKind::Sparse).into()));
        defines.push(("GRADIENT", gradient.into()));
        defines.push(("IN_PLACE", in_place.into()));
        let mut binds = vec![Bind::Input(1), Bind::Output(0)];
        if !binary {
            binds.push(Bind::Output(2));
        }
        if !in_place {
            binds.push(Bind::Input(0));
        }
        if gradient {
            binds.push(Bind::Output(1));
        }
        let params =
            LossParams { rows: rows as u32, cols: cols as u32, scale: self.scale.get(), pad0: 0 };
        Ok(KernelCall {
            text: None,
            template: if binary { SIGMOID } else { SOFTMAX },
            defines,
            binds,
            params: params.with_words(&[]),
            step: false,
            grid,
            flops: 8 * (rows * cols) as u64,
        }
        .into())
    }
}

impl Graph {
    /// Cross-entropy on logits: (loss per row times `scale`, hits per row if the form has them).
    ///
    /// # Errors
    /// Labels whose shape or element type does not suit the form.
    pub fn cross_entropy(
        &mut self,
        kind: CrossEntropyKind,
        logits: Value,
        labels: Value,
        scale: f32,
    ) -> Result<(Value, Option<Value>)> {
        let values =
            self.push_all(Arc::new(CrossEntropy { kind, scale: scale.into() }), &[logits, labels])?;
        Ok((values[0], values.get(2).copied()))
    }
}
