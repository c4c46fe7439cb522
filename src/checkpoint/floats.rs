//! Tensors of other libraries, of every floating-point type, as f32.

use super::file::{Contents, wrong};
use crate::error::Result;
use crate::tensor::Tensor;
use half::{bf16, f16};
use safetensors::Dtype;
use std::path::Path;

/// The tensor `name` of a file of weights, of any shape: F32 as it is, F16 and BF16 exactly, because f32 has all their
/// numbers, and F64 rounded to the nearest.
pub(super) fn weight(path: &Path, contents: &Contents<'_>, name: &str) -> Result<Tensor> {
    let (dtype, shape, bytes) = contents.raw(name)?;
    let halves = || bytes.as_chunks::<2>().0.iter();
    let values: Vec<f32> = match dtype {
        Dtype::F32 => bytemuck::pod_collect_to_vec(bytes),
        Dtype::F16 => halves().map(|&half| f16::from_le_bytes(half).to_f32()).collect(),
        Dtype::BF16 => halves().map(|&half| bf16::from_le_bytes(half).to_f32()).collect(),
        Dtype::F64 => {
            let wide: Vec<f64> = bytemuck::pod_collect_to_vec(bytes);
            let lost = |value: &f64| value.is_finite() && !(*value as f32).is_finite();
            if let Some(at) = wide.iter().position(lost) {
                let detail = format!("element {at} is {:e}, beyond the range of F32", wide[at]);
                return Err(wrong(path, name, detail));
            }
            wide.into_iter().map(|value| value as f32).collect()
        }
        _ => {
            let detail = format!("is {dtype:?}; F32, F16, BF16 or F64 is expected");
            return Err(wrong(path, name, detail));
        }
    };
    Tensor::f32(shape, values)
}
