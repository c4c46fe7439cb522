//! Metrics of quantities in host memory, under scikit-learn's names.

use super::tally::{self, Tally};
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor};

/// Targets and predictions, element by element, and how many outputs a sample has.
fn pair<'a>(
    name: &str,
    targets: &'a Tensor,
    predictions: &'a Tensor,
) -> Result<(&'a [f32], &'a [f32], usize)> {
    let dtypes = [targets.dtype(), predictions.dtype()];
    if dtypes != [DType::F32; 2] {
        return Err(Error::dtype(name, &dtypes, "targets and predictions are f32"));
    }
    let (t, p) = (targets.shape(), predictions.shape());
    let samples = p.dims().first().copied().unwrap_or(0);
    if t.is_empty() || t.len() != p.len() || t.dims().first() != Some(&samples) {
        let detail =
            "[n, ...] with as many elements on both sides is expected, and one sample at least";
        return Err(Error::shape(name, &[t, p], detail));
    }
    Ok((targets.as_f32()?, predictions.as_f32()?, t.len() / samples))
}

/// The mean of a function of the errors, in f64.
fn mean_of(
    name: &str,
    targets: &Tensor,
    predictions: &Tensor,
    function: fn(f64) -> f64,
) -> Result<f64> {
    let (t, p, _) = pair(name, targets, predictions)?;
    let sum: f64 = t.iter().zip(p).map(|(&t, &p)| function(f64::from(p) - f64::from(t))).sum();
    Ok(sum / t.len() as f64)
}

/// Mean of (p - t)² over all elements.
///
/// # Errors
/// [`Error::DType`] for tensors that are not f32; [`Error::Shape`] for no elements, or other numbers of samples
/// or elements. `[n]` and `[n, 1]` fit.
pub fn mean_squared_error(targets: &Tensor, predictions: &Tensor) -> Result<f64> {
    mean_of("mean_squared_error", targets, predictions, |e| e * e)
}

/// Root of the mean of (p - t)² over all elements; scikit-learn averages the roots of several outputs.
///
/// # Errors
/// As [`mean_squared_error`].
pub fn root_mean_squared_error(targets: &Tensor, predictions: &Tensor) -> Result<f64> {
    Ok(mean_of("root_mean_squared_error", targets, predictions, |e| e * e)?.sqrt())
}

/// Mean of |p - t| over all elements.
///
/// # Errors
/// As [`mean_squared_error`].
pub fn mean_absolute_error(targets: &Tensor, predictions: &Tensor) -> Result<f64> {
    mean_of("mean_absolute_error", targets, predictions, f64::abs)
}

/// The coefficient of determination, averaged over outputs; see [`Metric::R2Score`](super::Metric::R2Score).
/// NaN for a single sample.
///
/// # Errors
/// As [`mean_squared_error`].
pub fn r2_score(targets: &Tensor, predictions: &Tensor) -> Result<f64> {
    let (targets, predictions, outputs) = pair("r2_score", targets, predictions)?;
    let mut state = Vec::new();
    let tally = Tally::Moments { outputs, positions: 1 };
    tally.accumulate(&mut state, &[targets, predictions], None);
    Ok(tally::r2(&state))
}
