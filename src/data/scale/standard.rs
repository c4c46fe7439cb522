//! Columns of mean 0 and standard deviation 1.

use super::{Columns, check_columns};
use crate::data::saved::Saved;
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// What the JSON says that it is.
const KIND: &str = "StandardScaler";

/// Takes each column to mean 0 and standard deviation 1: `z = (x - mean) / scale`, with the population's deviation
/// (divided by `n`) as `scale`, or 1 if a column is constant.
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
        Ok(Self::of(columns.sample, mean, var))
    }

    fn of(sample: Shape, mean: Vec<f64>, var: Vec<f64>) -> Self {
        let scale = var.iter().map(|&var| if var == 0.0 { 1.0 } else { var.sqrt() }).collect();
        Self { sample, mean, var, scale }
    }

    /// A scaler of these numbers for samples of this shape, one of each for a column: those of scikit-learn's
    /// `mean_` and `var_`, or of another [`StandardScaler`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of them, one that is not finite, and a variance below 0.
    pub fn from_statistics(
        sample: impl Into<Shape>,
        mean: impl Into<Vec<f64>>,
        var: impl Into<Vec<f64>>,
    ) -> Result<Self> {
        let (sample, mean, var) = (sample.into(), mean.into(), var.into());
        check_columns(KIND, &sample, &[("mean", &mean), ("var", &var)])?;
        if let Some(var) = var.iter().find(|var| **var < 0.0) {
            return Err(Error::parameter("StandardScaler var", var, "a variance is 0 or more"));
        }
        Ok(Self::of(sample, mean, var))
    }

    /// The scaler as JSON, from which [`StandardScaler::from_json`] makes the same one to the last bit:
    /// `{"kind":"StandardScaler","sample":[2],"mean":[...],"var":[...]}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (sample, mean, var) = (self.sample.dims(), &self.mean, &self.var);
        serde_json::json!({ "kind": KIND, "sample": sample, "mean": mean, "var": var }).to_string()
    }

    /// Makes the scaler again from what [`StandardScaler::to_json`] gave.
    ///
    /// # Errors
    /// [`Error::Data`] for another text; [`Error::Parameter`] as [`StandardScaler::from_statistics`].
    pub fn from_json(text: &str) -> Result<Self> {
        let saved = Saved::parse(KIND, text)?;
        Self::from_statistics(saved.sample()?, saved.numbers("mean")?, saved.numbers("var")?)
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

    /// What each column is divided by: the square root of the variance, or 1 if that is 0.
    #[must_use]
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }
}
