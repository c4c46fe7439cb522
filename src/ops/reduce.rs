//! Sums, means, products and extremes over a run of neighbouring axes.

pub use crate::graph::{Reduce, ReduceKind, VjpContext};

use super::cumulative::Cumulative;
use super::layout::{gather_function, offset_function, strides_of, word};
use super::map::to_u32;
use super::program::Words;
use crate::error::{Error, Result};
use crate::graph::{Axis, Class, Graph, LowerContext, Lowered, Op, TensorType, Value, View};
use crate::kernels::{
    Bind, Define, DeviceCaps, KernelCall, ReduceParams, Template, grid, template,
};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

pub(super) const ROWS: Template = template!("reduce/rows", ReduceParams);
pub(super) const COLUMNS: Template = template!("reduce/columns", ReduceParams);

impl ReduceKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean | Self::PartOfMean(_) => "mean",
            Self::Max => "max",
            Self::Min => "min",
            Self::Product => "product",
        }
    }
}

impl Op for Reduce {
    fn name(&self) -> String {
        self.kind.name().into()
    }

    fn attrs(&self) -> String {
        let axes = format!("axes {}..{}", self.first, self.end);
        match self.kind {
            ReduceKind::PartOfMean(n) => format!("{axes}, part of {n}"),
            _ => axes,
        }
    }

    fn class(&self) -> Class<'_> {
        Class::Reduction(self)
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let ty = inputs[0];
        if ty.dtype != DType::F32 {
            return Err(Error::dtype(self.name(), &[ty.dtype], "only f32 is reduced"));
        }
        if self.first >= self.end || self.end > ty.shape.rank() || ty.shape.is_empty() {
            return Err(Error::shape(
                self.name(),
                &[&ty.shape],
                format!("axes {}..{} are not axes of a non-empty tensor", self.first, self.end),
            ));
        }
        let dims = ty.shape.dims();
        Ok(vec![TensorType::f32([&dims[..self.first], &dims[self.end..]].concat())])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, outputs, upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None]) };
        let x = inputs[0];
        let shape = graph.shape(x).clone();
        let mut kept = shape.dims().to_vec();
        kept[self.first..self.end].fill(1);
        let spread = |graph: &mut Graph, v: Value| graph.reshape(v, kept.clone());
        let dy = spread(graph, dy)?;
        let dx = match self.kind {
            ReduceKind::Sum => graph.broadcast_to(dy, shape)?,
            ReduceKind::Mean | ReduceKind::PartOfMean(_) => {
                let share = graph.constant(self.share(shape.dims()));
                let dy = graph.mul(dy, share)?;
                graph.broadcast_to(dy, shape)?
            }
            // Ties share the gradient equally; if the extreme is NaN, the NaN do.
            ReduceKind::Max | ReduceKind::Min => {
                let y = spread(graph, outputs[0])?;
                let hit = graph.binary("equal", x, y)?;
                let (nan_x, nan_y) =
                    (graph.unary("is_nan", x, &[])?, graph.unary("is_nan", y, &[])?);
                let hit = graph.select(nan_y, nan_x, hit)?;
                let hits =
                    graph.push(Arc::new(Self { kind: ReduceKind::Sum, ..self.clone() }), &[hit])?;
                let hits = spread(graph, hits)?;
                let share = graph.div(dy, hits)?;
                graph.mul(hit, share)?
            }
            // The product of the factors before and after each one: right if some of them are zero.
            ReduceKind::Product => {
                let dims = shape.dims();
                let run = dims[self.first..self.end].iter().product();
                let flat = [&dims[..self.first], &[run], &dims[self.end..]].concat();
                let x = graph.reshape(x, flat)?;
                let mut others = |reverse| {
                    let all =
                        Cumulative { axis: self.first, product: true, reverse, exclusive: true };
                    let all = graph.push(Arc::new(all), &[x])?;
                    graph.reshape(all, shape.clone())
                };
                let (before, after) = (others(false)?, others(true)?);
                let others = graph.mul(before, after)?;
                graph.mul(dy, others)?
            }
        };
        Ok(vec![Some(dx)])
    }

    fn sums_rows(&self, views: &[Option<View>]) -> bool {
        views[0].is_none() && self.kind == ReduceKind::Sum && self.first == 0
    }

    fn sum_of_runs(&self, graph: &mut Graph, operands: &[Value]) -> Result<Value> {
        let over_all = Self { end: self.end + 1, ..self.clone() };
        graph.push(Arc::new(over_all), operands)
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let dims = cx.inputs[0].0.shape.dims();
        let [outer, len, inner] = self.extents(dims);
        to_u32(outer * len * inner)?;
        let walk = match &cx.views[0] {
            Some(view) if !view.is_whole() => Some(self.walk(dims, view).ok_or_else(|| {
                Error::internal(self.name(), format!("does not read its operand as {view}"))
            })?),
            _ => None,
        };
        let walk = walk.as_ref();
        let scale = self.share(dims);
        let chunk = chunk_len(len, outer, inner, cx.caps);
        let chunks = len.div_ceil(chunk);
        if chunks == 1 {
            let call = self.call(
                cx.caps,
                [outer, len, inner],
                len,
                scale,
                (Bind::Input(0), walk),
                Bind::Output(0),
            )?;
            return Ok(call.into());
        }
        let (to, from) = (Bind::ScratchWrite(0), Bind::ScratchRead(0));
        let operand = (Bind::Input(0), walk);
        let first = self.call(cx.caps, [outer, len, inner], chunk, 1.0, operand, to)?;
        let (extents, from) = ([outer, chunks, inner], (from, None));
        let second = self.call(cx.caps, extents, chunks, scale, from, Bind::Output(0))?;
        Ok(Lowered {
            calls: vec![first, second],
            scratch: vec![(outer * chunks * inner * 4) as u64],
        })
    }

    fn takes_view(&self, inputs: &[&TensorType], _input: usize, view: &View) -> bool {
        self.end <= inputs[0].shape.rank() && self.walk(inputs[0].shape.dims(), view).is_some()
    }
}

/// How a view is walked: to the first element of each sum, and along it.
struct Walk<'v> {
    view: &'v View,
    /// The axes that stay, and those of the terms.
    kept: Vec<Axis>,
    terms: Vec<Axis>,
}

impl Walk<'_> {
    /// Elements from one term to the next, if that is the same along the sum.
    fn step(&self) -> Option<isize> {
        match self.terms.as_slice() {
            _ if !self.view.guards().is_empty() => None,
            [] => Some(0),
            [axis] => Some(axis.stride),
            _ => None,
        }
    }

    /// What the kernels put in: where a sum begins, and its elements. Terms that are not evenly apart, and those that may be
    /// outside, are found from their number.
    fn defines(&self, rows: bool, words: &mut Words) -> Vec<(&'static str, Define)> {
        let define = |line: String, term: String, value: &str, first: &str| {
            let pairs =
                [("LINES", line), ("TERM", term), ("VALUE", value.into()), ("FIRST", first.into())];
            pairs.map(|(name, text)| (name, text.into())).to_vec()
        };
        let offset = self.view.offset();
        if let Some(step) = self.step() {
            let step = words.push(word(step));
            let lines = offset_function("line_at", offset, &strides_of(&self.kept), words);
            let [value, first] = match rows {
                true => {
                    ["values[line + j * term]", "values[select(0u, line + first * term, live)]"]
                }
                false => ["values[at]"; 2],
            };
            return define(lines, step, value, first);
        }
        let runs = [("line", self.kept.as_slice()), ("term", &self.terms)];
        let walk = (offset, self.view.guards());
        let read = |at| format!("values[{at}]");
        let value_at = gather_function(("value_at", "f32"), walk, &runs, words, read);
        let lines = format!("{value_at}\nfn line_at(line: u32) -> u32 {{ return line; }}");
        let [value, first] = match rows {
            true => ["value_at(line, j)", "value_at(select(0u, line, live), first)"],
            false => ["value_at(at, j)", "value_at(at, first)"],
        };
        define(lines, "0u".into(), value, first)
    }
}

/// Elements that one workgroup (rows) or invocation (columns) reduces. Few long reductions are cut into
/// chunks, so that enough of them run at once and none exceeds the loop limit.
fn chunk_len(len: usize, outer: usize, inner: usize, caps: &DeviceCaps) -> usize {
    let parallel = if caps.cpu { 64 } else { 16_384 };
    let longest = (caps.max_loop_trips as usize / 2).max(1);
    let outputs = outer * inner;
    let wanted = (parallel / outputs.max(1)).clamp(1, 256);
    // One invocation loops over a column, and a workgroup loops over a row.
    let shortest = match (inner, caps.cpu) {
        (1, _) => 4096,
        (_, true) => 256,
        (_, false) => 32,
    };
    len.div_ceil(wanted).max(shortest).min(longest).min(len)
}

impl Reduce {
    /// Elements before, along and after the axes that are reduced.
    fn extents(&self, dims: &[usize]) -> [usize; 3] {
        [&dims[..self.first], &dims[self.first..self.end], &dims[self.end..]]
            .map(|d| d.iter().product())
    }

    /// How a view of a tensor of these extents is walked; `None` if an axis of the view is of both kinds.
    fn walk<'v>(&self, dims: &[usize], view: &'v View) -> Option<Walk<'v>> {
        let [outer, len, inner] = self.extents(dims);
        let groups = view.groups(&[outer, len, inner])?;
        let [before, terms, after] = <[_; 3]>::try_from(groups).ok()?;
        Some(Walk { view, kept: [before, after].concat(), terms })
    }

    /// What the reduction is multiplied by, last.
    fn share(&self, dims: &[usize]) -> f32 {
        match self.kind {
            ReduceKind::Sum | ReduceKind::Max | ReduceKind::Min | ReduceKind::Product => 1.0,
            ReduceKind::Mean => 1.0 / dims[self.first..self.end].iter().product::<usize>() as f32,
            ReduceKind::PartOfMean(n) => 1.0 / n as f32,
        }
    }

    fn call(
        &self,
        caps: &DeviceCaps,
        [outer, len, inner]: [usize; 3],
        chunk: usize,
        scale: f32,
        (from, walk): (Bind, Option<&Walk<'_>>),
        to: Bind,
    ) -> Result<KernelCall> {
        let chunks = len.div_ceil(chunk);
        let kind: u32 = match self.kind {
            ReduceKind::Sum | ReduceKind::Mean | ReduceKind::PartOfMean(_) => 0,
            ReduceKind::Max => 1,
            ReduceKind::Min => 2,
            ReduceKind::Product => 3,
        };
        let params = ReduceParams {
            outer: outer as u32,
            len: len as u32,
            inner: inner as u32,
            chunk: chunk as u32,
            chunks: chunks as u32,
            scale,
            pad0: 0,
            pad1: 0,
        };
        let (template, lanes, workgroups) = if inner == 1 {
            (ROWS, caps.row_workgroup(chunk, 1), (outer * chunks) as u64)
        } else {
            (COLUMNS, 64, (outer * chunks * inner).div_ceil(64) as u64)
        };
        let mut words = Words::default();
        let mut defines: Vec<(&'static str, Define)> = vec![
            ("WG", lanes.into()),
            ("SUBGROUP", caps.one_subgroup(lanes).into()),
            ("KIND", kind.into()),
            ("VIEW", walk.is_some().into()),
        ];
        if let Some(walk) = walk {
            defines.extend(walk.defines(inner == 1, &mut words));
            defines.push(("WORDS", words.vec4s().into()));
        }
        let words = walk.map_or(vec![], |_| words.padded());
        Ok(KernelCall {
            text: None,
            template,
            defines,
            binds: vec![from, to],
            params: params.with_words(&words),
            step: false,
            grid: grid(&self.name(), workgroups, caps)?,
            flops: (outer * len * inner) as u64,
        })
    }
}

/// The launch that adds `parts` tensors of `len` elements, one after the other in memory, in ascending order.
pub(super) fn sum_of_parts(
    caps: &DeviceCaps,
    (parts, len): (usize, usize),
    from: Bind,
    to: Bind,
) -> Result<KernelCall> {
    let sum = Reduce { kind: ReduceKind::Sum, first: 0, end: 1 };
    sum.call(caps, [1, parts, len], parts, 1.0, (from, None), to)
}

impl Graph {
    /// A reduction over `axes`, which disappear, or stay with extent 1 if `keep` is set. No axes: all of them.
    ///
    /// # Errors
    /// [`Error::Shape`] if an axis does not exist or appears twice.
    pub fn reduce(
        &mut self,
        kind: ReduceKind,
        x: Value,
        axes: &[usize],
        keep: bool,
    ) -> Result<Value> {
        self.check(kind.name(), &[x])?;
        let shape = self.shape(x).clone();
        let mut axes = if axes.is_empty() { (0..shape.rank()).collect() } else { axes.to_vec() };
        axes.sort_unstable();
        if axes.windows(2).any(|w| w[0] == w[1]) || axes.last().is_some_and(|&a| a >= shape.rank())
        {
            return Err(Error::shape(
                kind.name(),
                &[&shape],
                format!("axes {axes:?} are not distinct axes of the tensor"),
            ));
        }
        let mut y = x;
        // Runs of neighbouring axes, innermost first: the outer axes keep their numbers.
        let mut end = axes.len();
        while end > 0 {
            let mut start = end - 1;
            while start > 0 && axes[start - 1] + 1 == axes[start] {
                start -= 1;
            }
            let kind = match kind {
                // Only the last run of axes divides.
                ReduceKind::PartOfMean(_) if start > 0 => ReduceKind::Sum,
                _ => kind,
            };
            let card = Reduce { kind, first: axes[start], end: axes[end - 1] + 1 };
            y = self.push(Arc::new(card), &[y])?;
            end = start;
        }
        if keep {
            let mut dims = shape.dims().to_vec();
            axes.iter().for_each(|&a| dims[a] = 1);
            y = self.reshape(y, dims)?;
        }
        Ok(y)
    }

    /// Σ over `axes`; see [`Graph::reduce`].
    ///
    /// # Errors
    /// As [`Graph::reduce`].
    pub fn sum(&mut self, x: Value, axes: &[usize], keep: bool) -> Result<Value> {
        self.reduce(ReduceKind::Sum, x, axes, keep)
    }

    /// The mean over `axes`; see [`Graph::reduce`].
    ///
    /// # Errors
    /// As [`Graph::reduce`].
    pub fn mean(&mut self, x: Value, axes: &[usize], keep: bool) -> Result<Value> {
        self.reduce(ReduceKind::Mean, x, axes, keep)
    }

    /// The maximum over `axes`; see [`Graph::reduce`].
    ///
    /// # Errors
    /// As [`Graph::reduce`].
    pub fn max(&mut self, x: Value, axes: &[usize], keep: bool) -> Result<Value> {
        self.reduce(ReduceKind::Max, x, axes, keep)
    }

    /// The minimum over `axes`; see [`Graph::reduce`].
    ///
    /// # Errors
    /// As [`Graph::reduce`].
    pub fn min(&mut self, x: Value, axes: &[usize], keep: bool) -> Result<Value> {
        self.reduce(ReduceKind::Min, x, axes, keep)
    }

    /// The product over `axes`; see [`Graph::reduce`].
    ///
    /// # Errors
    /// As [`Graph::reduce`].
    pub fn product(&mut self, x: Value, axes: &[usize], keep: bool) -> Result<Value> {
        self.reduce(ReduceKind::Product, x, axes, keep)
    }

    /// Sums away the axes along which `shape` was broadcast to `x`: the gradient of broadcasting.
    ///
    /// # Errors
    /// [`Error::Shape`] if `shape` does not broadcast to the shape of `x`.
    pub fn sum_to(&mut self, x: Value, shape: &Shape) -> Result<Value> {
        self.check("sum_to", &[x])?;
        let from = self.shape(x).clone();
        if from == *shape {
            return Ok(x);
        }
        if shape.len() == from.len() {
            return self.reshape(x, shape.clone());
        }
        let strides = shape
            .broadcast_strides(&from)
            .ok_or_else(|| Error::shape("sum_to", &[&from, shape], "the extents differ"))?;
        let repeated = |a: usize| strides[a] == 0 && from.dims()[a] > 1;
        let axes: Vec<usize> = (0..from.rank()).filter(|&a| repeated(a)).collect();
        let sum = self.sum(x, &axes, false)?;
        self.reshape(sum, shape.clone())
    }
}
