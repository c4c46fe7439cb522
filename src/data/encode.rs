//! Class labels as rows of zeros with a one.

use crate::error::{Error, Result};
use crate::tensor::{Data, Tensor};

/// Class labels `[...]`, u32 or u8, as f32 rows `[..., classes]`: 1 at each label, 0 elsewhere. The targets
/// of `Loss::CategoricalCrossentropy`.
///
/// # Errors
/// [`Error::DType`] for labels that are f32; [`Error::Parameter`] for no classes, and for more
/// elements than memory can hold; [`Error::Data`] naming a label that is no class.
///
/// # Examples
/// ```
/// use wgrad::{data::one_hot, tensor::Tensor};
/// let rows = one_hot(&Tensor::u32([2], [2, 0])?, 3)?;
/// assert_eq!(rows, Tensor::f32([2, 3], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0])?);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn one_hot(labels: &Tensor, classes: usize) -> Result<Tensor> {
    let values: Vec<u32> = match labels.data() {
        Data::U32(values) => values.clone(),
        Data::U8(values) => values.iter().copied().map(u32::from).collect(),
        Data::F32(_) => {
            let detail = "class labels are u32 or u8";
            return Err(Error::dtype("one_hot", &[labels.dtype()], detail));
        }
    };
    if classes == 0 {
        return Err(Error::parameter("classes", classes, "must be at least 1"));
    }
    if let Some(at) = values.iter().position(|&label| label as usize >= classes) {
        let detail =
            format!("label {at} is {}, outside the {classes} classes 0..{classes}", values[at]);
        return Err(Error::data("labels", detail));
    }
    let mut rows = Vec::new();
    let len = values.len().saturating_mul(classes);
    if rows.try_reserve_exact(len).is_err() {
        let detail = format!("{} labels take more than memory can hold", values.len());
        return Err(Error::parameter("classes", classes, detail));
    }
    rows.resize(len, 0.0);
    for (row, &label) in rows.chunks_exact_mut(classes).zip(&values) {
        row[label as usize] = 1.0;
    }
    let mut dims = labels.shape().dims().to_vec();
    dims.push(classes);
    Tensor::f32(dims, rows)
}
