//! Numbers of a step, written to a slot of their own on the device.

use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value};
use crate::kernels::{Bind, KernelCall, RecordParams, Source};
use crate::tensor::{DType, Shape};
use std::any::Any;
use std::sync::Arc;

/// `metrics[slot, c]` = Σ of vector c. Operands: metrics `[slots, columns]`, slot (u32 scalar), then `columns`
/// f32 vectors. The result is the metrics, updated in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record;

impl Op for Record {
    fn name(&self) -> String {
        "record".into()
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let columns = inputs.len().saturating_sub(2);
        let fits = columns > 0
            && inputs[0].shape.rank() == 2
            && inputs[0].shape.dims()[1] == columns
            && inputs[1].shape.rank() == 0;
        if !fits {
            let shapes: Vec<&Shape> = inputs.iter().map(|t| &t.shape).collect();
            return Err(Error::shape("record", &shapes, "a column per vector is expected"));
        }
        let vectors_f32 = inputs[2..].iter().all(|t| t.dtype == DType::F32);
        if inputs[0].dtype != DType::F32 || inputs[1].dtype != DType::U32 || !vectors_f32 {
            let dtypes: Vec<DType> = inputs.iter().map(|t| t.dtype).collect();
            return Err(Error::dtype("record", &dtypes, "the slot is u32, all else f32"));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn vjp(
        &self,
        _graph: &mut Graph,
        _inputs: &[Value],
        _outputs: &[Value],
        _upstream: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>> {
        Err(Error::NotDifferentiable {
            op: "record".into(),
            layer: String::new(),
            detail: "metrics are read, not trained on".into(),
        })
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        if cx.in_place[0] != Some(0) {
            return Err(Error::internal("record", "the metrics buffer is updated in place"));
        }
        let Source::Step(slot) = cx.inputs[1].1 else {
            return Err(Error::internal("record", "the slot is a step word"));
        };
        let vectors = &cx.inputs[2..];
        let longest = vectors.iter().map(|(t, _)| t.shape.len()).max().unwrap_or(1);
        let lanes = cx.caps.row_workgroup(longest, vectors.len() as u32);
        let trips: u64 = vectors
            .iter()
            .map(|(t, _)| (t.shape.len() as u64).div_ceil(u64::from(lanes)) + 16)
            .sum();
        if trips > u64::from(cx.caps.max_loop_trips) {
            return Err(Error::Limit {
                what: "record: loop iterations".into(),
                needed: trips,
                allowed: u64::from(cx.caps.max_loop_trips),
                detail: "sum the vectors first".into(),
            });
        }
        let params = RecordParams {
            slots: cx.inputs[0].0.shape.dims()[0] as u32,
            columns: vectors.len() as u32,
            pad0: 0,
            pad1: 0,
        };
        let words: Vec<u32> = vectors.iter().map(|(t, _)| t.shape.len() as u32).collect();
        let mut binds = vec![Bind::Output(0)];
        binds.extend((0..vectors.len()).map(|c| Bind::Input(2 + c)));
        Ok(KernelCall {
            template: "data/record",
            defines: vec![
                ("WG", lanes.into()),
                ("SUBGROUP", cx.caps.one_subgroup(lanes).into()),
                ("STEP", true.into()),
                ("SLOT", format!("step_block.words[{}][{}]", slot / 4, slot % 4).into()),
                ("COLUMNS", (vectors.len() as u32).into()),
                ("WORDS", (vectors.len().div_ceil(4) as u32).into()),
            ],
            binds,
            params: params.with_words(&words),
            step: true,
            grid: [1, 1, 1],
            flops: words.iter().map(|&w| u64::from(w)).sum(),
        }
        .into())
    }

    fn takes_uniform(&self, input: usize) -> bool {
        input == 1
    }

    fn may_overwrite(&self, _inputs: &[&TensorType], input: usize, output: usize) -> bool {
        input == 0 && output == 0
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Graph {
    /// Writes the sum of each vector to row `slot` of `metrics`; see [`Record`].
    ///
    /// # Errors
    /// [`Error::Shape`] where there is not one column per vector.
    pub fn record(&mut self, metrics: Value, slot: Value, vectors: &[Value]) -> Result<Value> {
        self.push(Arc::new(Record), &[&[metrics, slot], vectors].concat())
    }
}
