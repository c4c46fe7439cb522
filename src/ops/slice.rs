//! A part of a tensor along its axes.

use super::layout::Layout;
use super::map::lower_map;
use super::program::Program;
use crate::error::{Error, Result};
use crate::graph::{
    Class, Graph, LowerContext, Lowered, Movement, Op, TensorType, Value, VjpContext,
};
use crate::tensor::{DType, Shape};
use std::ops::Range;
use std::sync::Arc;

/// The elements of a range along each axis: a strided read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slice {
    /// What is left of each axis: at least one element.
    pub ranges: Vec<Range<usize>>,
    /// The operand's shape.
    pub from: Shape,
}

impl Slice {
    fn shape(&self) -> Shape {
        self.ranges.iter().map(Range::len).collect::<Vec<_>>().into()
    }

    fn offset(&self) -> usize {
        self.ranges.iter().zip(self.from.strides()).map(|(range, s)| range.start * s).sum()
    }
}

impl Op for Slice {
    fn name(&self) -> String {
        "slice".into()
    }

    fn attrs(&self) -> String {
        let cut = self.ranges.iter().zip(self.from.dims()).enumerate();
        let cut = cut.filter(|(_, (range, extent))| range.len() < **extent);
        let cut = cut.map(|(axis, (range, _))| format!("{range:?} of axis {axis}"));
        cut.collect::<Vec<_>>().join(", ")
    }

    fn class(&self) -> Class<'_> {
        let (offset, strides) = (self.offset(), self.from.strides());
        Class::Movement(Movement::Strided { offset, strides })
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let from = &inputs[0].shape;
        if *from != self.from || self.ranges.len() != from.rank() {
            let detail = format!("{} ranges are not one for each axis", self.ranges.len());
            return Err(Error::shape("slice", &[from], detail));
        }
        let whole = from.dims().iter().enumerate().zip(&self.ranges);
        for ((axis, &extent), range) in whole {
            if range.is_empty() || range.end > extent {
                let detail = format!("elements {range:?} of axis {axis} do not exist");
                return Err(Error::shape("slice", &[from], detail));
            }
        }
        if inputs[0].dtype != DType::F32 {
            return Err(Error::dtype("slice", &[inputs[0].dtype], "only f32 is sliced"));
        }
        Ok(vec![TensorType::f32(self.shape())])
    }

    /// Elements of the operand that were not read get zeros.
    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None]) };
        let around = |(range, whole): (&Range<usize>, &usize)| [range.start, whole - range.end];
        let around: Vec<_> = self.ranges.iter().zip(self.from.dims()).map(around).collect();
        Ok(vec![Some(graph.pad(dy, &around, 0.0)?)])
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
        let shape = self.shape(x);
        let mut ranges: Vec<Range<usize>> = shape.dims().iter().map(|&extent| 0..extent).collect();
        let Some(own) = ranges.get_mut(axis) else {
            let detail = format!("elements {range:?} of axis {axis} do not exist");
            return Err(Error::shape("slice", &[shape], detail));
        };
        *own = range;
        self.crop(x, &ranges)
    }

    /// The elements of a range along each axis of `x`. Its gradient is one kernel: [`Graph::pad`] with zeros.
    ///
    /// # Errors
    /// As [`Graph::slice`]; [`Error::Shape`] if there is not one range for each axis.
    pub fn crop(&mut self, x: Value, ranges: &[Range<usize>]) -> Result<Value> {
        self.check("slice", &[x])?;
        let from = self.shape(x).clone();
        if from.dims().iter().map(|&extent| 0..extent).eq(ranges.iter().cloned()) {
            return Ok(x);
        }
        self.push(Arc::new(Slice { ranges: ranges.to_vec(), from }), &[x])
    }
}
