//! Sums over ranges of a vector, and ranges filled with a value each: one value for each whole tensor of an arena.

use super::map::to_u32;
use super::softmax::row_launch;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, KernelCall, RangeParams, Template, grid, template};
use crate::tensor::{DType, Exact, Shape};
use std::ops::Range;
use std::sync::Arc;

pub(super) const RANGES: Template = template!("reduce/ranges", RangeParams);
pub(super) const FILL: Template = template!("data/fill_ranges", RangeParams);

/// How many ranges' words one kernel reads: 4 KiB of uniform memory.
const AT_ONCE: usize = 256;
const WORKGROUP: u32 = 64;

/// Which way values go between a vector and its ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeMove {
    /// `[len]` to `[ranges]`: factorᵢ · Σ x over range i.
    Sum,
    /// `[ranges]` to `[len]`: factorᵢ · xᵢ everywhere in range i, zero outside.
    Fill,
}

/// Ranges of a vector of `len` elements, with a factor each. They ascend and do not overlap. Each way is the gradient
/// of the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ranges {
    /// The way.
    pub to: RangeMove,
    /// Elements of the vector.
    pub len: usize,
    /// The ranges with their factors.
    pub ranges: Vec<(Range<usize>, Exact)>,
}

impl Ranges {
    fn new(to: RangeMove, len: usize, ranges: &[(Range<usize>, f32)]) -> Self {
        let ranges = ranges.iter().map(|(range, factor)| (range.clone(), (*factor).into()));
        Self { to, len, ranges: ranges.collect() }
    }

    /// Extents of operand and result.
    fn extents(&self) -> [usize; 2] {
        match self.to {
            RangeMove::Sum => [self.len, self.ranges.len()],
            RangeMove::Fill => [self.ranges.len(), self.len],
        }
    }
}

impl Op for Ranges {
    fn name(&self) -> String {
        match self.to {
            RangeMove::Sum => "sum_ranges",
            RangeMove::Fill => "fill_ranges",
        }
        .into()
    }

    fn attrs(&self) -> String {
        format!("{} of {}", self.ranges.len(), self.len)
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let [from, to] = self.extents();
        let mut end = 0;
        let apart = self.ranges.iter().all(|(range, _)| {
            let follows = range.start >= end && range.end > range.start;
            end = range.end;
            follows
        });
        if !apart || end > self.len || self.ranges.is_empty() {
            let detail = format!("ranges ascend, are apart and end by {}", self.len);
            return Err(Error::shape(self.name(), &[&inputs[0].shape], detail));
        }
        if inputs[0].shape != Shape::from([from]) {
            let detail = format!("a vector of {from} elements is expected");
            return Err(Error::shape(self.name(), &[&inputs[0].shape], detail));
        }
        if inputs[0].dtype != DType::F32 {
            return Err(Error::dtype(self.name(), &[inputs[0].dtype], "the operand is f32"));
        }
        Ok(vec![TensorType::f32([to])])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None]) };
        let to = match self.to {
            RangeMove::Sum => RangeMove::Fill,
            RangeMove::Fill => RangeMove::Sum,
        };
        Ok(vec![Some(graph.push(Arc::new(Self { to, ..self.clone() }), &[dy])?)])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        to_u32(self.len)?;
        let mut calls = Vec::new();
        let mut begin = 0;
        for (i, ranges) in self.ranges.chunks(AT_ONCE).enumerate() {
            let first = i * AT_ONCE;
            let last = first + ranges.len() == self.ranges.len();
            let longest = ranges.iter().map(|(range, _)| range.len()).max().unwrap_or(1);
            let end = ranges.last().filter(|_| !last).map_or(self.len, |(range, _)| range.end);
            let word = |(range, factor): &(Range<usize>, Exact)| {
                [range.start as u32, range.end as u32, factor.to_bits(), 0]
            };
            let words: Vec<u32> = ranges.iter().flat_map(word).collect();
            let (template, mut defines, grid) = match self.to {
                RangeMove::Sum => {
                    let rows = (ranges.len(), longest);
                    let (defines, grid) = row_launch(&self.name(), rows, 1, cx.caps)?;
                    (RANGES, defines, grid)
                }
                RangeMove::Fill => {
                    let workgroups = (end - begin).div_ceil(WORKGROUP as usize) as u64;
                    let grid = grid(&self.name(), workgroups, cx.caps)?;
                    (FILL, vec![("WG", WORKGROUP.into())], grid)
                }
            };
            defines.push(("RANGES", (ranges.len() as u32).into()));
            let (first, count) = (first as u32, ranges.len() as u32);
            let params = RangeParams { first, count, begin: begin as u32, end: end as u32 };
            calls.push(KernelCall {
                text: None,
                template,
                defines,
                binds: vec![Bind::Input(0), Bind::Output(0)],
                params: params.with_words(&words),
                step: false,
                grid,
                flops: (end - begin) as u64,
            });
            begin = end;
        }
        Ok(Lowered { calls, scratch: Vec::new() })
    }
}

impl Graph {
    /// factorᵢ · Σ x over each range of `x`, a vector: `[ranges]`. The ranges ascend and do not overlap.
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` is no vector or a range does not fit; [`Error::DType`] if it is not f32.
    pub fn sum_ranges(&mut self, x: Value, ranges: &[(Range<usize>, f32)]) -> Result<Value> {
        self.check("sum_ranges", &[x])?;
        let len = self.shape(x).len();
        self.push(Arc::new(Ranges::new(RangeMove::Sum, len, ranges)), &[x])
    }

    /// A vector of `len` elements: factorᵢ · xᵢ everywhere in range i, zero outside. The ranges ascend and do not
    /// overlap.
    ///
    /// # Errors
    /// As [`Graph::sum_ranges`], if `x` does not have an element for each range.
    pub fn fill_ranges(
        &mut self,
        x: Value,
        len: usize,
        ranges: &[(Range<usize>, f32)],
    ) -> Result<Value> {
        self.push(Arc::new(Ranges::new(RangeMove::Fill, len, ranges)), &[x])
    }
}
