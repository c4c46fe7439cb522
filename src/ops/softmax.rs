//! Softmax and log-softmax over the last axis.

use super::map::to_u32;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, Define, DeviceCaps, KernelCall, RowParams, Template, grid, template};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

pub(super) const SOFTMAX: Template = template!("reduce/softmax", RowParams);

/// Rows and columns of a shape, the last axis being the columns.
pub(super) fn rows_cols(op: &str, shape: &Shape) -> Result<(usize, usize)> {
    match shape.dims().last() {
        Some(&cols) if !shape.is_empty() => Ok((shape.len() / cols, cols)),
        _ => Err(Error::shape(op, &[shape], "the operand needs a non-empty last axis")),
    }
}

/// Definitions and grid of a launch.
type Launch = (Vec<(&'static str, Define)>, [u32; 3]);

/// Lanes and grid of a kernel that owns one row per workgroup and loops over it `loops` times.
pub(super) fn row_launch(
    op: &str,
    size: (usize, usize),
    loops: u32,
    caps: &DeviceCaps,
) -> Result<Launch> {
    row_launch_by(op, size, 1, loops, caps)
}

/// As [`row_launch`], for lanes that take `at_once` columns at a time.
pub(super) fn row_launch_by(
    op: &str,
    (rows, cols): (usize, usize),
    at_once: usize,
    loops: u32,
    caps: &DeviceCaps,
) -> Result<Launch> {
    let steps = cols.div_ceil(at_once);
    let lanes = caps.row_workgroup(steps, loops);
    let trips = (steps as u64).div_ceil(u64::from(lanes)) * u64::from(loops) + 64;
    if trips > u64::from(caps.max_loop_trips) {
        return Err(Error::Limit {
            what: format!("{op}: loop iterations over a row of {cols}"),
            needed: trips,
            allowed: u64::from(caps.max_loop_trips),
            detail: "use shorter rows".into(),
        });
    }
    to_u32(rows * cols)?;
    let defines = vec![("WG", lanes.into()), ("SUBGROUP", caps.one_subgroup(lanes).into())];
    Ok((defines, grid(op, rows as u64, caps)?))
}

/// e^(x - max) / Σ e^(x - max), or its logarithm, over the last axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Softmax {
    /// Whether the logarithm is meant.
    pub log: bool,
}

impl Op for Softmax {
    fn name(&self) -> String {
        if self.log { "log_softmax" } else { "softmax" }.into()
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs[0].dtype != DType::F32 {
            return Err(Error::dtype(self.name(), &[inputs[0].dtype], "the operand is f32"));
        }
        rows_cols(&self.name(), &inputs[0].shape)?;
        Ok(vec![inputs[0].clone()])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { outputs, upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None]) };
        let y = outputs[0];
        let last = [graph.shape(y).rank() - 1];
        let dx = if self.log {
            // dy - softmax(x) Σ dy
            let total = graph.sum(dy, &last, true)?;
            let p = graph.unary("exp", y, &[])?;
            let shared = graph.mul(p, total)?;
            graph.sub(dy, shared)?
        } else {
            // y (dy - Σ dy y)
            let weighted = graph.mul(dy, y)?;
            let total = graph.sum(weighted, &last, true)?;
            let centred = graph.sub(dy, total)?;
            graph.mul(y, centred)?
        };
        Ok(vec![Some(dx)])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let (rows, cols) = rows_cols(&self.name(), &cx.inputs[0].0.shape)?;
        let (mut defines, grid) = row_launch(&self.name(), (rows, cols), 3, cx.caps)?;
        defines.push(("LOG", self.log.into()));
        let params = RowParams { rows: rows as u32, cols: cols as u32, pad0: 0, pad1: 0 };
        Ok(KernelCall {
            text: None,
            template: SOFTMAX,
            defines,
            binds: vec![Bind::Input(0), Bind::Output(0)],
            params: params.with_words(&[]),
            step: false,
            grid,
            flops: 4 * (rows * cols) as u64,
        }
        .into())
    }
}

impl Graph {
    /// Softmax over the last axis.
    ///
    /// # Errors
    /// [`Error::Shape`] for a scalar or an empty tensor.
    pub fn softmax(&mut self, x: Value) -> Result<Value> {
        self.push(Arc::new(Softmax { log: false }), &[x])
    }

    /// The logarithm of the softmax over the last axis.
    ///
    /// # Errors
    /// As [`Graph::softmax`].
    pub fn log_softmax(&mut self, x: Value) -> Result<Value> {
        self.push(Arc::new(Softmax { log: true }), &[x])
    }
}
