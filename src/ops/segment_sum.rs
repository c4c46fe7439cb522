//! Sums and maxima of rows by index.

use super::gather::row_grid;
use super::map::to_u32;
use super::sort::{Sorted, sort};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{
    Bind, Define, DeviceCaps, KernelCall, SegmentParams, Template, grid, template,
};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

pub(super) const BOUNDS: Template = template!("data/segment_bounds", SegmentParams);
pub(super) const BLOCKS: Template = template!("data/segment_blocks", SegmentParams);
pub(super) const SUM: Template = template!("data/segment_sum", SegmentParams);

const WORKGROUP: u32 = 64;
/// Rows of a block, and blocks of a block of the next level: `SPAN` of `lib/segments`.
const SPAN: usize = 32;
/// A table row adds up at most this many blocks of the highest level.
const MOST_OF_A_LEVEL: usize = 256;
/// From this width on, an invocation takes four columns: eight of them still have work.
const VECTOR_WIDTH: usize = 32;

/// Levels of blocks above `rows` rows.
fn levels(rows: usize) -> u32 {
    let mut levels = 0;
    let mut left = rows;
    while left > MOST_OF_A_LEVEL {
        left /= SPAN;
        levels += 1;
    }
    levels
}

/// `table[t] = Σ rows[i]` over the i with `indices[i] = t`, and zero if there is none: the gradient of a gather.
///
/// Operands: indices `[n]` u32, rows `[n, ...]` f32. An index past the table counts as its last row, which is what
/// a gather reads for it.
///
/// The indices are sorted with their positions, and each row of the table adds up its segment in ascending order of
/// position; segments of more than 64 are added in blocks of 32, blocks of 1,024, and so on. The order is the same on
/// every device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SegmentSum {
    /// The table's shape.
    pub shape: Shape,
}

impl Op for SegmentSum {
    fn name(&self) -> String {
        "segment_sum".into()
    }

    fn attrs(&self) -> String {
        self.shape.to_string()
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        infer("segment_sum", &self.shape, inputs)
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None, None]) };
        Ok(vec![None, Some(graph.gather(dy, inputs[0])?)])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        lower(&self.shape, false, cx)
    }
}

/// `table[t, c]` is the largest of `rows[i, c]` over the i with `indices[i] = t`, NaN if there is one, and zero if
/// there is no such i.
///
/// Operands, indices and order are those of [`SegmentSum`]. Rows that are equal to the maximum share its gradient
/// equally.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SegmentMax {
    /// The table's shape.
    pub shape: Shape,
}

impl Op for SegmentMax {
    fn name(&self) -> String {
        "segment_max".into()
    }

    fn attrs(&self) -> String {
        self.shape.to_string()
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        infer("segment_max", &self.shape, inputs)
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, outputs, upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None, None]) };
        let (indices, rows) = (inputs[0], inputs[1]);
        // As for the maximum over axes: ties share the gradient equally; if the maximum is NaN, the NaN do.
        let y = graph.gather(outputs[0], indices)?;
        let hit = graph.binary("equal", rows, y)?;
        let nan_row = graph.unary("is_nan", rows, &[])?;
        let nan_y = graph.unary("is_nan", y, &[])?;
        let hit = graph.select(nan_y, nan_row, hit)?;
        let hits = graph.segment_sum(indices, hit, self.shape.dims()[0])?;
        let share = graph.div(dy, hits)?;
        let share = graph.gather(share, indices)?;
        // A row that is not the maximum takes 0, even if the gradient is infinite.
        let zero = graph.constant(0.0);
        Ok(vec![None, Some(graph.select(hit, share, zero)?)])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        lower(&self.shape, true, cx)
    }
}

impl Graph {
    /// Row t of `[segments, ...]` is the sum of `rows[i]` over the i with `indices[i] = t`, and zero if there is none:
    /// from indices `[n]` u32 and rows `[n, ...]` f32. An index past the segments counts as the last one. The order of
    /// the sum is that of the rows, on every device.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] if the operands do not fit.
    pub fn segment_sum(&mut self, indices: Value, rows: Value, segments: usize) -> Result<Value> {
        let shape = self.segments("segment_sum", indices, rows, segments)?;
        self.push(Arc::new(SegmentSum { shape }), &[indices, rows])
    }

    /// The maximum in place of the sum of [`Graph::segment_sum`]: NaN if a row has one, and zero if there is no row.
    /// Rows that are equal to it share its gradient equally.
    ///
    /// # Errors
    /// As [`Graph::segment_sum`].
    pub fn segment_max(&mut self, indices: Value, rows: Value, segments: usize) -> Result<Value> {
        let shape = self.segments("segment_max", indices, rows, segments)?;
        self.push(Arc::new(SegmentMax { shape }), &[indices, rows])
    }

    /// The shape of the table.
    fn segments(&self, op: &str, indices: Value, rows: Value, segments: usize) -> Result<Shape> {
        self.check(op, &[indices, rows])?;
        if segments == 0 {
            return Err(Error::parameter("segments", 0, "there is at least one"));
        }
        let row = self.shape(rows).dims().get(1..).unwrap_or_default();
        Ok([&[segments], row].concat().into())
    }
}

/// The table's type, if the operands of `op` fit.
fn infer(op: &str, table: &Shape, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
    let (indices, rows) = (inputs[0], inputs[1]);
    if indices.dtype != DType::U32 || rows.dtype != DType::F32 {
        let dtypes = [indices.dtype, rows.dtype];
        return Err(Error::dtype(op, &dtypes, "indices are u32 and rows f32"));
    }
    let fits = indices.shape.rank() == 1
        && rows.shape.rank() == table.rank()
        && rows.shape.rank() > 0
        && rows.shape.dims()[0] == indices.shape.len()
        && rows.shape.dims()[1..] == table.dims()[1..];
    if !fits {
        let shapes = [&indices.shape, &rows.shape, table];
        return Err(Error::shape(op, &shapes, "one index per row is expected"));
    }
    Ok(vec![TensorType::f32(table)])
}

/// Sorts the indices, and joins the rows of each segment.
fn lower(shape: &Shape, max: bool, cx: &LowerContext<'_>) -> Result<Lowered> {
    let (rows, table) = (cx.inputs[0].0.shape.len(), shape.dims()[0]);
    let width: usize = shape.dims()[1..].iter().product();
    to_u32(shape.len())?;
    to_u32(cx.inputs[1].0.shape.len())?;
    let Sorted { mut calls, mut scratch, at: sorted } = sort(rows, table, cx.caps)?;
    let four = width.is_multiple_of(4) && width >= VECTOR_WIDTH;
    let kernels = Kernels {
        caps: cx.caps,
        params: SegmentParams {
            rows: rows as u32,
            width: (if four { width / 4 } else { width }) as u32,
            table: table as u32,
            level: 0,
        },
        four,
        max,
    };
    let sorted = Bind::ScratchRead(sorted);
    let starts = scratch.len();
    scratch.push((table as u64 + 1) * 4);
    calls.push(kernels.bounds(vec![sorted, Bind::ScratchWrite(starts)])?);
    let levels = levels(rows);
    let blocks = scratch.len();
    for level in 1..=levels {
        let leaf = (level == 1).then_some(Bind::Input(1));
        let binds = [Some(sorted), leaf, Some(Bind::ScratchWrite(blocks))];
        calls.push(kernels.blocks(level, binds.into_iter().flatten().collect())?);
    }
    if levels > 0 {
        let count: usize = (1..=levels).map(|l| rows / SPAN.pow(l)).sum();
        scratch.push((count * width) as u64 * 4);
    }
    let mut binds = vec![sorted, Bind::ScratchRead(starts), Bind::Input(1), Bind::Output(0)];
    binds.extend((levels > 0).then_some(Bind::ScratchRead(blocks)));
    calls.push(kernels.sum(levels, (rows * width) as u64, binds)?);
    Ok(Lowered { calls, scratch })
}

type Defines = Vec<(&'static str, Define)>;

/// What the launches of one segment sum share.
struct Kernels<'a> {
    caps: &'a DeviceCaps,
    params: SegmentParams,
    /// Whether an invocation takes four columns.
    four: bool,
    /// Whether the rows of a segment give their maximum in place of their sum.
    max: bool,
}

impl Kernels<'_> {
    /// The start of the segment of each table row.
    fn bounds(&self, binds: Vec<Bind>) -> Result<KernelCall> {
        let workgroups = (self.params.table + 1).div_ceil(WORKGROUP);
        let grid = grid("segment_sum", workgroups.into(), self.caps)?;
        let defines = vec![("WG", WORKGROUP.into())];
        Ok(self.call(BOUNDS, defines, binds, grid))
    }

    /// The sums of the blocks of a level.
    fn blocks(&self, level: u32, binds: Vec<Bind>) -> Result<KernelCall> {
        let blocks = self.params.rows as usize / SPAN.pow(level);
        let (mut defines, grid) = self.rows(blocks)?;
        defines.push(("LEAF", (level == 1).into()));
        let params = SegmentParams { level, ..self.params };
        let call = self.call(BLOCKS, defines, binds, grid);
        Ok(KernelCall { params: params.with_words(&[]), ..call })
    }

    /// The sum of each segment.
    fn sum(&self, levels: u32, flops: u64, binds: Vec<Bind>) -> Result<KernelCall> {
        let (mut defines, grid) = self.rows(self.params.table as usize)?;
        defines.push(("LEVELS", levels.into()));
        Ok(KernelCall { flops, ..self.call(SUM, defines, binds, grid) })
    }

    /// Definitions and grid of a launch over `rows` rows of the table's width.
    fn rows(&self, rows: usize) -> Result<(Defines, [u32; 3])> {
        let width = self.params.width as usize;
        let (along, beside, grid) = row_grid("segment_sum", rows, width, self.caps)?;
        let wide = self.four && self.caps.wide_words;
        let defines = vec![
            ("X", along.into()),
            ("Y", beside.into()),
            ("VEC", self.four.into()),
            ("WIDE", wide.into()),
            ("MAX", self.max.into()),
        ];
        Ok((defines, grid))
    }

    fn call(
        &self,
        template: Template,
        defines: Defines,
        binds: Vec<Bind>,
        grid: [u32; 3],
    ) -> KernelCall {
        let params = self.params.with_words(&[]);
        KernelCall { text: None, template, defines, binds, params, step: false, grid, flops: 0 }
    }
}
