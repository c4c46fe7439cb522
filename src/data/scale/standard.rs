//! Columns of mean 0 and standard deviation 1.

use super::Columns;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::tensor::{Shape, Tensor};

/// Takes each column to mean 0 and standard deviation 1: `z = (x - mean) / scale`, with the
/// population's deviation (divided by `n`) as `scale`, or 1 where a column is constant.
///
/// # Examples
/// ```
/// use wgrad::{data::StandardScaler, tensor::Tensor};
///
/// let train = Tensor::f32([2, 2], [1.0, 5.0, 3.0, 5.0])?;
/// let (scaler, z) = StandardScaler::fit_transform(&train)?;
/// assert_eq!(z, Tensor::f32([2, 2], [-1.0, 0.0, 1.0, 0.0])?);
/// assert_eq!((scaler.mean(), scaler.scale()), (&[2.0, 5.0][..], &[1.0, 1.0][..]));
/// let test = scaler.transform(&Tensor::f32([1, 2], [2.0, 6.0])?)?;
/// assert_eq!(test, Tensor::f32([1, 2], [0.0, 1.0])?);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StandardScaler {
    sample: Shape,
    mean: Vec<f64>,
    var: Vec<f64>,
    scale: Vec<f64>,
}

impl StandardScaler {
    /// Learns mean and deviation of each column of `x` (`[n, ...]`, f32 or u8), summed in f64.
    ///
    /// # Errors
    /// [`Error::DType`] for u32; [`Error::Shape`] for a scalar; [`Error::Data`] for no rows or no
    /// columns, and for NaN or infinity, with its row and column.
    pub fn fit(x: &Tensor) -> Result<Self> {
        let columns = Columns::of("StandardScaler::fit", x)?;
        let n = columns.check_rows()? as f64;
        let mut mean = vec![0.0; columns.width];
        columns.each(|column, value| mean[column] += value);
        mean.iter_mut().for_each(|sum| *sum /= n);
        let mut var = vec![0.0; columns.width];
        columns.each(|column, value| var[column] += (value - mean[column]).powi(2));
        var.iter_mut().for_each(|sum| *sum /= n);
        // Rounding may leave a constant column a mean beside its value and a variance beside 0.
        for (column, (low, high)) in columns.ranges().into_iter().enumerate() {
            if low == high {
                (mean[column], var[column]) = (low, 0.0);
            }
        }
        let scale = var.iter().map(|&var| if var == 0.0 { 1.0 } else { var.sqrt() }).collect();
        Ok(Self { sample: columns.sample, mean, var, scale })
    }

    /// The scaled columns of `x`, `[m, ...]` with the columns that were fitted, as f32.
    ///
    /// # Errors
    /// [`Error::DType`] for u32; [`Error::Shape`] for other columns than those fitted.
    pub fn transform(&self, x: &Tensor) -> Result<Tensor> {
        let columns = Columns::as_fitted("StandardScaler::transform", x, &self.sample)?;
        columns.map(|column, value| (value - self.mean[column]) / self.scale[column])
    }

    /// Fits a scaler to `x` and scales `x` with it.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_transform(x: &Tensor) -> Result<(Self, Tensor)> {
        let scaler = Self::fit(x)?;
        let scaled = scaler.transform(x)?;
        Ok((scaler, scaled))
    }

    /// What [`transform`](Self::transform) would take to `z`: `z * scale + mean`.
    ///
    /// # Errors
    /// As [`transform`](Self::transform).
    pub fn inverse_transform(&self, z: &Tensor) -> Result<Tensor> {
        let columns = Columns::as_fitted("StandardScaler::inverse_transform", z, &self.sample)?;
        columns.map(|column, value| value * self.scale[column] + self.mean[column])
    }

    /// Each column's mean.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Each column's variance, divided by `n`.
    #[must_use]
    pub fn var(&self) -> &[f64] {
        &self.var
    }

    /// What each column is divided by: the square root of the variance, or 1 where that is 0.
    #[must_use]
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }
}
