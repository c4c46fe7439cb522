//! Rows gathered by index.

use super::map::to_u32;
use super::program::step_word;
use super::segment_sum::SegmentSum;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, OpRef, TensorType, Value, VjpContext};
use crate::kernels::{
    Bind, Define, DeviceCaps, KernelCall, Source, Template, grid, param_blocks, template,
};
use crate::tensor::{DType, Exact, Shape};
use std::sync::Arc;

param_blocks! {
    /// Gathers of rows: index window and row count.
    GatherParams {
        /// Rows gathered.
        rows: u32,
        /// Length of the index buffer.
        indices: u32,
        /// Padding.
        pad0: u32,
        /// Padding.
        pad1: u32,
    }
}

pub(super) const GATHER: Template = template!("data/gather", GatherParams);

const WORKGROUP: u32 = 64;
const KINDS: [&str; 3] = ["KIND0", "KIND1", "KIND2"];

/// Rows `indices[start..start + rows]` of one to three tables, in one dispatch.
///
/// Operands: indices `[n]` u32, start (u32 scalar), then tables `[t, ...]`. A result per table: `[rows, ...]`,
/// f32 times the table's factor for f32 and u8 tables, u32 as it is.
///
/// `GRADIENT` says whether tables may have one. Samples are data: a program that gathers nothing else does not have the kernels
/// of the gradient.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gather<const GRADIENT: bool = true> {
    /// Rows gathered.
    pub rows: usize,
    /// A factor per table.
    pub factors: Vec<Exact>,
    /// The results that stay bytes, as a bit for each table: their readers decode them and know the factor.
    pub bytes: u8,
}

impl<const GRADIENT: bool> Gather<GRADIENT> {
    const fn keeps_bytes(&self, table: usize) -> bool {
        (self.bytes >> table) & 1 == 1
    }
}

/// Invocations along a row of `width` elements, rows beside each other in a workgroup, and the grid over `rows`
/// rows: x along a row, the rows folded over y and z. No division: software Vulkan divides integers lane by lane.
pub(super) fn row_grid(
    what: &str,
    rows: usize,
    width: usize,
    caps: &DeviceCaps,
) -> Result<(u32, u32, [u32; 3])> {
    // Lanes along a row if it has work for them, rows beside each other if it is narrow.
    let most = caps.max_invocations.min(256);
    let along = (width.min(most as usize) as u32).next_multiple_of(8).min(most);
    let beside = (WORKGROUP / along).max(1);
    let [y, z, _] = grid(what, rows.div_ceil(beside as usize) as u64, caps)?;
    let x = width.div_ceil(along as usize) as u64;
    if x > u64::from(caps.max_workgroups) {
        return Err(Error::Limit {
            what: format!("{what}: workgroups along a row"),
            needed: x,
            allowed: caps.max_workgroups.into(),
            detail: "use shorter rows".into(),
        });
    }
    Ok((along, beside, [x as u32, y, z]))
}

fn width(ty: &TensorType) -> usize {
    ty.shape.dims()[1..].iter().product()
}

impl<const GRADIENT: bool> Op for Gather<GRADIENT> {
    fn name(&self) -> String {
        "gather".into()
    }

    fn attrs(&self) -> String {
        let kept: Vec<usize> = (0..self.factors.len()).filter(|&t| self.keeps_bytes(t)).collect();
        let kept = if kept.is_empty() { String::new() } else { format!(", bytes of {kept:?}") };
        format!("{} rows, factors {:?}{kept}", self.rows, self.factors)
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let tables = inputs.get(2..).unwrap_or_default();
        let shapes: Vec<&Shape> = inputs.iter().map(|t| &t.shape).collect();
        let fail = |detail: &str| Err(Error::shape("gather", &shapes, detail));
        if tables.is_empty() || tables.len() > KINDS.len() || tables.len() != self.factors.len() {
            return fail("one to three tables are gathered at once");
        }
        if inputs[0].dtype != DType::U32 || inputs[1].dtype != DType::U32 {
            let dtypes = [inputs[0].dtype, inputs[1].dtype];
            return Err(Error::dtype("gather", &dtypes, "indices and start are u32"));
        }
        if inputs[0].shape.rank() != 1 || inputs[1].shape.rank() != 0 {
            return fail("indices have one axis and the start is a scalar");
        }
        if tables.iter().any(|t| t.shape.rank() == 0 || t.shape.is_empty()) {
            return fail("a table needs rows");
        }
        if self.rows == 0 || self.rows > inputs[0].shape.len() {
            return fail("more rows are gathered than there are indices, or none");
        }
        if tables.iter().enumerate().any(|(i, t)| self.keeps_bytes(i) && t.dtype != DType::U8) {
            return fail("only bytes stay bytes");
        }
        Ok(tables
            .iter()
            .enumerate()
            .map(|(i, t)| {
                let mut shape = t.shape.dims().to_vec();
                shape[0] = self.rows;
                let dtype = match t.dtype {
                    DType::U8 if !self.keeps_bytes(i) => DType::F32,
                    dtype => dtype,
                };
                TensorType { shape: Shape::from(shape), dtype }
            })
            .collect())
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        if !GRADIENT {
            return Err(Error::not_differentiable(
                "gather",
                "samples are data; use `Graph::gather`",
            ));
        }
        let VjpContext { inputs, upstream, .. } = *cx;
        let mut gradients = vec![None, None];
        for ((&dy, &table), &factor) in upstream.iter().zip(&inputs[2..]).zip(&self.factors) {
            let Some(mut dy) = dy else {
                gradients.push(None);
                continue;
            };
            if self.rows != graph.shape(inputs[0]).len() {
                return Err(Error::not_differentiable(
                    "gather",
                    "only a gather of all its indices has a gradient",
                ));
            }
            if factor.get() != 1.0 {
                let factor = graph.constant(factor.get());
                dy = graph.mul(dy, factor)?;
            }
            let shape = graph.shape(table).clone();
            gradients.push(Some(graph.push(Arc::new(SegmentSum { shape }), &[inputs[0], dy])?));
        }
        Ok(gradients)
    }

    fn with_bytes(&self, output: usize, inputs: &[&TensorType]) -> Option<(OpRef, Exact)> {
        let bytes = inputs.get(2 + output).is_some_and(|table| table.dtype == DType::U8);
        let op = Self { bytes: self.bytes | (1 << output), ..self.clone() };
        (bytes && !self.keeps_bytes(output)).then(|| (Arc::new(op) as OpRef, self.factors[output]))
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let tables = &cx.inputs[2..];
        let widest = tables.iter().map(|(t, _)| width(t)).max().unwrap_or(1).div_ceil(4).max(1);
        let mut binds = vec![Bind::Input(0)];
        let mut words = Vec::new();
        let (start, step) = match cx.inputs[1].1 {
            Source::Step(i) => (step_word(i), true),
            Source::Constant(v) => (format!("{}u", v as u32), false),
            Source::Buffer => {
                return Err(Error::internal("gather", "the start is a step word or a constant"));
            }
        };
        let (along, beside, grid) = row_grid("gather", self.rows, widest, cx.caps)?;
        let mut defines: Vec<(&'static str, Define)> = vec![
            ("X", along.into()),
            ("Y", beside.into()),
            ("WIDE", cx.caps.wide_words.into()),
            ("STEP", step.into()),
            ("START", start.into()),
            ("TABLES", (tables.len() as u32).into()),
        ];
        for (t, ((ty, _), &factor)) in tables.iter().zip(&self.factors).enumerate() {
            binds.extend([Bind::Input(2 + t), Bind::Output(t)]);
            to_u32(ty.shape.len())?;
            words.extend([width(ty) as u32, ty.shape.dims()[0] as u32, factor.to_bits(), 0]);
            let kind: u32 = match (ty.dtype, width(ty).is_multiple_of(4)) {
                (DType::U8, true) if self.keeps_bytes(t) => 6,
                (DType::U8, false) if self.keeps_bytes(t) => 5,
                (DType::F32, false) => 0,
                (DType::U8, false) => 1,
                (DType::U32, _) => 2,
                (DType::U8, true) => 3,
                (DType::F32, true) => 4,
            };
            defines.push((KINDS[t], kind.into()));
        }
        defines.push(("WORDS", (tables.len() as u32).into()));
        let params = GatherParams {
            rows: to_u32(self.rows)?,
            indices: to_u32(cx.inputs[0].0.shape.len())?,
            pad0: 0,
            pad1: 0,
        };
        Ok(KernelCall {
            text: None,
            template: GATHER,
            defines,
            binds,
            params: params.with_words(&words),
            step,
            grid,
            flops: 0,
        }
        .into())
    }

    fn bytes_read(&self, inputs: &[&TensorType], input: usize) -> u64 {
        // As many rows of the indices and of each table as are gathered.
        let ty = inputs[input];
        let rows = ty.shape.dims().first().map_or(1, |&rows| rows as u64);
        ty.bytes() / rows.max(1) * rows.min(self.rows as u64)
    }

    fn takes_uniform(&self, input: usize) -> bool {
        input == 1
    }
}

impl Graph {
    /// Row `indices[i]` of `table` for every i: `[n, ...]` from a table `[t, ...]` and indices `[n]` u32. An
    /// index past the table reads its last row, and its gradient goes to that row.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] if the operands do not fit.
    pub fn gather(&mut self, table: Value, indices: Value) -> Result<Value> {
        self.check("gather", &[table, indices])?;
        let rows = self.shape(indices).len();
        let start = self.constant_u32(0);
        Ok(self.gather_batch(indices, start, rows, &[(table, 1.0)])?[0])
    }

    /// Rows `indices[start..start + rows]` of several tables at once; see [`Gather`].
    ///
    /// # Errors
    /// As [`Graph::gather`].
    pub fn gather_batch(
        &mut self,
        indices: Value,
        start: Value,
        rows: usize,
        tables: &[(Value, f32)],
    ) -> Result<Vec<Value>> {
        self.gathered::<true>(indices, start, rows, tables)
    }

    /// The same for samples, which have no gradient.
    pub(crate) fn gather_samples(
        &mut self,
        indices: Value,
        start: Value,
        rows: usize,
        tables: &[(Value, f32)],
    ) -> Result<Vec<Value>> {
        self.gathered::<false>(indices, start, rows, tables)
    }

    fn gathered<const GRADIENT: bool>(
        &mut self,
        indices: Value,
        start: Value,
        rows: usize,
        tables: &[(Value, f32)],
    ) -> Result<Vec<Value>> {
        let mut inputs = vec![indices, start];
        inputs.extend(tables.iter().map(|t| t.0));
        let factors = tables.iter().map(|t| t.1.into()).collect();
        self.push_all(Arc::new(Gather::<GRADIENT> { rows, factors, bytes: 0 }), &inputs)
    }
}
