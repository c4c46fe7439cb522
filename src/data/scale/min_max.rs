//! Columns of a given range.

#[cfg(doc)]
use super::StandardScaler;
use super::{Columns, check_columns};
use crate::data::saved::Saved;
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// What the JSON says that it is.
const KIND: &str = "MinMaxScaler";

/// Refuses what is no range.
fn check_range(low: f64, high: f64) -> Result<()> {
    if low.is_finite() && high.is_finite() && low < high {
        return Ok(());
    }
    let range = format!("[{low}, {high}]");
    Err(Error::parameter("feature_range", range, "needs low < high, both finite"))
}

/// Takes each column's range to `[low, high]`: `x * scale + min` with
/// `scale = (high - low) / (data_max - data_min)` and `min = low - data_min * scale`. A constant
/// column goes to `low`, and counts as one of range 1.
///
/// # Examples
/// ```
/// use wgrad::{data::MinMaxScaler, tensor::Tensor};
///
/// let x = Tensor::f32([3, 1], [10.0, 15.0, 30.0])?;
/// let (scaler, scaled) = MinMaxScaler::fit_transform(&x)?;
/// assert_eq!(scaled, Tensor::f32([3, 1], [0.0, 0.25, 1.0])?);
/// assert_eq!(scaler.inverse_transform(&scaled)?, x);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MinMaxScaler {
    sample: Shape,
    data_min: Vec<f64>,
    data_max: Vec<f64>,
    /// The range that the columns are taken to.
    range: (f64, f64),
    min: Vec<f64>,
    scale: Vec<f64>,
}

impl MinMaxScaler {
    /// Learns the range of each column of `x` (`[n, ...]`, f32 or u8), to be taken to `[0, 1]`.
    ///
    /// # Errors
    /// As [`StandardScaler::fit`].
    pub fn fit(x: &Tensor) -> Result<Self> {
        Self::fit_range(x, 0.0, 1.0)
    }

    /// As [`fit`](Self::fit), to be taken to `[low, high]`: scikit-learn's `feature_range`.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`Error::Parameter`] unless `low < high`, both finite.
    pub fn fit_range(x: &Tensor, low: f64, high: f64) -> Result<Self> {
        check_range(low, high)?;
        let columns = Columns::of("MinMaxScaler::fit", x)?;
        columns.check_rows()?;
        let (data_min, data_max): (Vec<f64>, Vec<f64>) = columns.ranges().into_iter().unzip();
        Ok(Self::of(columns.sample, data_min, data_max, (low, high)))
    }

    fn of(sample: Shape, data_min: Vec<f64>, data_max: Vec<f64>, range: (f64, f64)) -> Self {
        let (low, high) = range;
        let factor =
            |(&min, &max): (&f64, &f64)| (high - low) / if max == min { 1.0 } else { max - min };
        let scale: Vec<f64> = data_min.iter().zip(&data_max).map(factor).collect();
        let min = data_min.iter().zip(&scale).map(|(min, scale)| low - min * scale).collect();
        Self { sample, data_min, data_max, range, min, scale }
    }

    /// A scaler of these ranges for samples of this shape, one of each for a column, to be taken to `[low, high]`:
    /// those of scikit-learn's `data_min_` and `data_max_`, or of another [`MinMaxScaler`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of them, one that is not finite, a least value above the greatest, and
    /// unless `low < high`, both finite.
    pub fn from_ranges(
        sample: impl Into<Shape>,
        data_min: impl Into<Vec<f64>>,
        data_max: impl Into<Vec<f64>>,
        low: f64,
        high: f64,
    ) -> Result<Self> {
        let (sample, data_min, data_max) = (sample.into(), data_min.into(), data_max.into());
        check_range(low, high)?;
        check_columns(KIND, &sample, &[("data_min", &data_min), ("data_max", &data_max)])?;
        if let Some(i) = (0..data_min.len()).find(|&i| data_min[i] > data_max[i]) {
            let detail = format!("is above data_max[{i}] = {}", data_max[i]);
            return Err(Error::parameter(format!("{KIND} data_min[{i}]"), data_min[i], detail));
        }
        Ok(Self::of(sample, data_min, data_max, (low, high)))
    }

    /// The scaler as JSON, from which [`MinMaxScaler::from_json`] makes the same one to the last bit:
    /// `{"kind":"MinMaxScaler","sample":[2],"data_min":[...],"data_max":[...],"feature_range":[0.0,1.0]}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Self { sample, data_min, data_max, range: (low, high), .. } = self;
        serde_json::json!({
            "kind": KIND,
            "sample": sample.dims(),
            "data_min": data_min,
            "data_max": data_max,
            "feature_range": [low, high],
        })
        .to_string()
    }

    /// Makes the scaler again from what [`MinMaxScaler::to_json`] gave.
    ///
    /// # Errors
    /// [`Error::Data`] for another text; [`Error::Parameter`] as [`MinMaxScaler::from_ranges`].
    pub fn from_json(text: &str) -> Result<Self> {
        let saved = Saved::parse(KIND, text)?;
        let range = saved.numbers("feature_range")?;
        let &[low, high] = range.as_slice() else {
            return Err(Error::data(KIND, "`feature_range` has two numbers"));
        };
        let (data_min, data_max) = (saved.numbers("data_min")?, saved.numbers("data_max")?);
        Self::from_ranges(saved.sample()?, data_min, data_max, low, high)
    }

    /// The scaled columns of `x`, `[m, ...]` with the columns that were fitted, as f32. Values
    /// outside the fitted range leave `[low, high]`.
    ///
    /// # Errors
    /// [`Error::DType`] for u32; [`Error::Shape`] for other columns than those fitted.
    pub fn transform(&self, x: &Tensor) -> Result<Tensor> {
        let columns = Columns::as_fitted("MinMaxScaler::transform", x, &self.sample)?;
        columns.map(|column, value| value * self.scale[column] + self.min[column])
    }

    /// Fits a scaler to `x` and scales `x` with it, to `[0, 1]`.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_transform(x: &Tensor) -> Result<(Self, Tensor)> {
        let scaler = Self::fit(x)?;
        let scaled = scaler.transform(x)?;
        Ok((scaler, scaled))
    }

    /// What [`transform`](Self::transform) would take to `z`: `(z - min) / scale`.
    ///
    /// # Errors
    /// As [`transform`](Self::transform).
    pub fn inverse_transform(&self, z: &Tensor) -> Result<Tensor> {
        let columns = Columns::as_fitted("MinMaxScaler::inverse_transform", z, &self.sample)?;
        columns.map(|column, value| (value - self.min[column]) / self.scale[column])
    }

    /// Each column's least value.
    #[must_use]
    pub fn data_min(&self) -> &[f64] {
        &self.data_min
    }

    /// Each column's greatest value.
    #[must_use]
    pub fn data_max(&self) -> &[f64] {
        &self.data_max
    }

    /// What is added to each column after it is multiplied.
    #[must_use]
    pub fn min(&self) -> &[f64] {
        &self.min
    }

    /// What each column is multiplied by.
    #[must_use]
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }
}
