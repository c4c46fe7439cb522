//! Tensors side by side along an axis.

use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, KernelCall, MAX_STORAGE_BUFFERS, RowParams, Template, grid, template};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

pub(super) const CONCATENATE: Template = template!("data/concatenate", RowParams);

/// The most tensors that one kernel joins: all the buffers that it may bind but the result's.
const PARTS: usize = MAX_STORAGE_BUFFERS as usize - 1;

const WORKGROUP: u32 = 64;
/// Neighbours in a row that one invocation writes, on a CPU adapter: they share one division, which is done lane by
/// lane. Other invocations write the neighbours of a store on a GPU.
const COLUMNS: u32 = 8;

/// One to seven tensors side by side along an axis; the other extents are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Concatenate {
    /// The axis along which extents add up.
    pub axis: usize,
}

impl Concatenate {
    /// The type of any number of tensors joined.
    fn joined(&self, inputs: &[&TensorType]) -> Result<TensorType> {
        let shapes: Vec<&Shape> = inputs.iter().map(|t| &t.shape).collect();
        let fail = |detail: String| Err(Error::shape("concatenate", &shapes, detail));
        let Some(first) = shapes.first().filter(|s| self.axis < s.rank()) else {
            return fail(format!("tensors with an axis {} are expected", self.axis));
        };
        let mut dims = first.dims().to_vec();
        let same = |s: &&Shape| {
            s.rank() == dims.len()
                && (0..dims.len()).all(|a| a == self.axis || s.dims()[a] == dims[a])
        };
        if !shapes.iter().all(same) {
            return fail(format!("all extents but that of axis {} are equal", self.axis));
        }
        if inputs.iter().any(|t| t.dtype != DType::F32) {
            let dtypes: Vec<DType> = inputs.iter().map(|t| t.dtype).collect();
            return Err(Error::dtype("concatenate", &dtypes, "only f32 is joined"));
        }
        dims[self.axis] = shapes.iter().fold(0, |sum, s| s.dims()[self.axis].saturating_add(sum));
        Ok(TensorType::f32(dims))
    }
}

impl Op for Concatenate {
    fn name(&self) -> String {
        "concatenate".into()
    }

    fn attrs(&self) -> String {
        format!("axis {}", self.axis)
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() > PARTS {
            let detail = format!("{} tensors, one kernel joins {PARTS}", inputs.len());
            return Err(Error::internal("concatenate", detail));
        }
        Ok(vec![self.joined(inputs)?])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None; inputs.len()]) };
        let mut start = 0;
        let own = inputs.iter().map(|&input| {
            let first = start;
            start += graph.shape(input).dims()[self.axis];
            graph.slice(dy, self.axis, first..start).map(Some)
        });
        own.collect()
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        // A row holds the joined axis and those inside it.
        let width = |ty: &TensorType| ty.shape.dims()[self.axis..].iter().product::<usize>();
        let (len, cols) = (cx.outputs[0].shape.len(), width(&cx.outputs[0]));
        let (mut words, mut first) = (Vec::new(), 0);
        for (ty, _) in &cx.inputs {
            words.extend([first as u32, width(ty) as u32, 0, 0]);
            first += width(ty);
        }
        let parts = cx.inputs.len();
        let rows = len / cols;
        let columns = if cx.caps.cpu { COLUMNS } else { 1 };
        let workgroups = (rows * cols.div_ceil(columns as usize)).div_ceil(WORKGROUP as usize);
        let params = RowParams { rows: rows as u32, cols: cols as u32, pad0: 0, pad1: 0 };
        Ok(KernelCall {
            text: None,
            template: CONCATENATE,
            defines: vec![
                ("WG", WORKGROUP.into()),
                ("COLUMNS", columns.into()),
                ("PARTS", (parts as u32).into()),
            ],
            binds: (0..parts).map(Bind::Input).chain([Bind::Output(0)]).collect(),
            params: params.with_words(&words),
            step: false,
            grid: grid("concatenate", workgroups as u64, cx.caps)?,
            flops: 0,
        }
        .into())
    }
}

impl Graph {
    /// Tensors side by side along `axis`, in order. If one kernel cannot bind them all, they are joined in groups, and
    /// the groups again.
    ///
    /// # Errors
    /// [`Error::Shape`] for no tensors, or extents that differ along another axis; [`Error::DType`] if one is
    /// not f32.
    pub fn concatenate(&mut self, tensors: &[Value], axis: usize) -> Result<Value> {
        self.check("concatenate", tensors)?;
        let op = Concatenate { axis };
        // The message shows all tensors, not those of a group.
        op.joined(&tensors.iter().map(|&v| self.ty(v)).collect::<Vec<_>>())?;
        let mut parts = tensors.to_vec();
        while parts.len() > 1 {
            let groups = parts.chunks(PARTS).map(|group| match group {
                &[one] => Ok(one),
                _ => self.push(Arc::new(op.clone()), group),
            });
            parts = groups.collect::<Result<_>>()?;
        }
        Ok(parts[0])
    }
}
