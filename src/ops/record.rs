//! Numbers of a step, in a separate row on the device.

use super::movement::no_kernel;
use crate::error::{Error, Result};
use crate::graph::{
    Class, Graph, LowerContext, Lowered, Movement, Op, TensorType, Value, VjpContext,
};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// Vectors side by side in row `row` of a state. Operands: metrics `[records, stride]`, row (a u32 step word),
/// then f32 tensors. The result is the metrics. No kernel: those of the tensors write straight into the row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// First element of each tensor in the row: ascending multiples of 64 (256 bytes).
    pub offsets: Vec<usize>,
}

impl Op for Record {
    fn name(&self) -> String {
        "record".into()
    }

    fn attrs(&self) -> String {
        format!("at {:?}", self.offsets)
    }

    fn class(&self) -> Class<'_> {
        Class::Movement(Movement::Record { offsets: self.offsets.clone() })
    }

    fn min_inputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (metrics, row, vectors) = (inputs[0], inputs[1], &inputs[2..]);
        let stride = metrics.shape.dims().last().copied().unwrap_or(0);
        let mut end = 0;
        let fits = metrics.shape.rank() == 2
            && row.shape.rank() == 0
            && stride.is_multiple_of(64)
            && vectors.len() == self.offsets.len()
            && vectors.iter().zip(&self.offsets).all(|(ty, &offset)| {
                let follows = offset >= end && offset.is_multiple_of(64);
                end = offset.saturating_add(ty.shape.len());
                follows && end <= stride
            });
        if !fits {
            let shapes: Vec<&Shape> = inputs.iter().map(|t| &t.shape).collect();
            let detail = format!("tensors at {:?} do not fit a row", self.offsets);
            return Err(Error::shape("record", &shapes, detail));
        }
        let vectors_f32 = vectors.iter().all(|t| t.dtype == DType::F32);
        if metrics.dtype != DType::F32 || row.dtype != DType::U32 || !vectors_f32 {
            let dtypes: Vec<DType> = inputs.iter().map(|t| t.dtype).collect();
            return Err(Error::dtype("record", &dtypes, "the row is u32, all else f32"));
        }
        Ok(vec![metrics.clone()])
    }

    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Err(Error::not_differentiable("record", "metrics are read, not trained on"))
    }

    fn lower(&self, _cx: &LowerContext<'_>) -> Result<Lowered> {
        Err(no_kernel("record"))
    }

    fn takes_uniform(&self, input: usize) -> bool {
        input == 1
    }
}

impl Graph {
    /// Puts each tensor into row `row` of `metrics`, from its offset; see [`Record`]. The row is written while the step
    /// runs: a graph that reads `metrics` otherwise, or gives it another value, is refused when it is compiled.
    ///
    /// # Errors
    /// [`Error::Shape`] if they do not fit.
    pub fn record(
        &mut self,
        metrics: Value,
        row: Value,
        tensors: &[Value],
        offsets: &[usize],
    ) -> Result<Value> {
        let card = Record { offsets: offsets.to_vec() };
        self.push(Arc::new(card), &[&[metrics, row], tensors].concat())
    }
}
