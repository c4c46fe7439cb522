//! A part of a tensor along an axis.

use super::layout::Layout;
use super::map::lower_map;
use super::program::Program;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Movement, Op, TensorType, Value};
use crate::tensor::{DType, Shape};
use std::ops::Range;
use std::sync::Arc;

/// The elements `range` along an axis, and all along the others: a strided read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The axis that is cut.
    pub axis: usize,
    /// What is left of it: at least one element.
    pub range: Range<usize>,
    /// The operand's shape.
    pub from: Shape,
}

impl Slice {
    fn shape(&self) -> Shape {
        let mut dims = self.from.dims().to_vec();
        dims[self.axis] = self.range.len();
        dims.into()
    }

    fn offset(&self) -> usize {
        self.range.start * self.from.strides()[self.axis]
    }
}

impl Op for Slice {
    fn name(&self) -> String {
        "slice".into()
    }

    fn attrs(&self) -> String {
        format!("{:?} of axis {}", self.range, self.axis)
    }

    fn class(&self) -> Class<'_> {
        let (offset, strides) = (self.offset(), self.from.strides());
        Class::Movement(Movement::Strided { offset, strides })
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let from = &inputs[0].shape;
        let whole = from.dims().get(self.axis).copied().unwrap_or(0);
        if *from != self.from || self.range.is_empty() || self.range.end > whole {
            let detail = format!("elements {:?} of axis {} do not exist", self.range, self.axis);
            return Err(Error::shape("slice", &[from], detail));
        }
        if inputs[0].dtype != DType::F32 {
            return Err(Error::dtype("slice", &[inputs[0].dtype], "only f32 is sliced"));
        }
        Ok(vec![TensorType::f32(self.shape())])
    }

    fn vjp(
        &self,
        graph: &mut Graph,
        _inputs: &[Value],
        _outputs: &[Value],
        upstream: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>> {
        let Some(dy) = upstream[0] else { return Ok(vec![None]) };
        // Elements of the operand that were not read get zeros.
        let whole = self.from.dims()[self.axis];
        let mut zeros = |extent: usize| -> Result<Option<Value>> {
            let mut dims = self.from.dims().to_vec();
            dims[self.axis] = extent;
            let zero = graph.constant(0.0);
            (extent > 0).then(|| graph.broadcast_to(zero, dims)).transpose()
        };
        let (before, after) = (zeros(self.range.start)?, zeros(whole - self.range.end)?);
        let parts: Vec<Value> = before.into_iter().chain([dy]).chain(after).collect();
        Ok(vec![Some(graph.concatenate(&parts, self.axis)?)])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let shape = self.shape();
        let layout = Layout::strided(&self.from.strides(), self.offset(), &shape);
        lower_map(&Program::identity(), &shape, &[layout], cx)
    }
}

impl Graph {
    /// The elements `range` of `x` along `axis`, which keeps its place.
    ///
    /// # Errors
    /// [`Error::Shape`] for an axis that `x` does not have, and a range that is empty or ends past it;
    /// [`Error::DType`] if `x` is not f32.
    pub fn slice(&mut self, x: Value, axis: usize, range: Range<usize>) -> Result<Value> {
        self.check("slice", &[x])?;
        let from = self.shape(x).clone();
        if from.dims().get(axis) == Some(&range.end) && range.start == 0 {
            return Ok(x);
        }
        self.push(Arc::new(Slice { axis, range, from }), &[x])
    }
}
