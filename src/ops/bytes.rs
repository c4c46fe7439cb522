//! Operands of bytes: what the kernels share that decode one in their loads.
//!
//! Such an op has one operand more at the end, the factor on each byte; see [`Op::decodes`](crate::graph::Op::decodes).

use crate::error::{Error, Result};
use crate::graph::{LowerContext, TensorType};
use crate::kernels::Source;
use crate::tensor::DType;

/// Whether the first of `own` operands is f32, or bytes with the factor after the others.
pub(super) fn numbers_or_bytes(inputs: &[&TensorType], own: usize) -> bool {
    match inputs[0].dtype {
        DType::F32 => true,
        DType::U8 => {
            matches!(inputs.get(own), Some(f) if f.dtype == DType::F32 && f.shape.len() == 1)
        }
        DType::U32 => false,
    }
}

/// The factor on the bytes of the first of `own` operands; `None` if it has numbers.
pub(super) fn factor(cx: &LowerContext<'_>, own: usize) -> Result<Option<f32>> {
    match (cx.inputs[0].0.dtype, cx.inputs.get(own)) {
        (DType::U8, Some((_, Source::Constant(factor)))) => Ok(Some(*factor)),
        (DType::U8, _) => Err(Error::internal("bytes", "the factor on bytes is a constant")),
        (DType::F32 | DType::U32, _) => Ok(None),
    }
}
