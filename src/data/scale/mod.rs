//! Scaling of features column by column: scikit-learn's `StandardScaler` and `MinMaxScaler`.
//!
//! A column is one place of a sample: a tensor `[n, ...]` has as many as one sample has elements.
//! A scaler is fitted to the training rows and then applied to training and test rows alike. A model that
//! predicts in another process needs the same scaler: save it beside the model.
mod min_max;
mod standard;

pub use min_max::MinMaxScaler;
pub use standard::StandardScaler;

use crate::error::{Error, Result};
use crate::tensor::{Data, Shape, Tensor};

/// A tensor as rows of columns.
struct Columns<'a> {
    x: &'a Tensor,
    /// One row's shape.
    sample: Shape,
    /// Columns of a row.
    width: usize,
}

impl<'a> Columns<'a> {
    fn of(op: &str, x: &'a Tensor) -> Result<Self> {
        if matches!(x.data(), Data::U32(_)) {
            let detail = "features are f32 or u8; labels are not scaled";
            return Err(Error::dtype(op, &[x.dtype()], detail));
        }
        let [_, sample @ ..] = x.shape().dims() else {
            let detail = "the first axis must count rows: [n, ...]";
            return Err(Error::shape(op, &[x.shape()], detail));
        };
        let sample = Shape::from(sample);
        Ok(Self { x, width: sample.len(), sample })
    }

    fn as_fitted(op: &str, x: &'a Tensor, fitted: &Shape) -> Result<Self> {
        let columns = Self::of(op, x)?;
        if columns.sample != *fitted {
            let detail = format!("the scaler was fitted to rows of shape {fitted}: [n, ...]");
            return Err(Error::shape(op, &[x.shape()], detail));
        }
        Ok(columns)
    }

    /// How many rows there are, if there are rows and columns and every value is finite.
    fn check_rows(&self) -> Result<usize> {
        if self.x.shape().is_empty() {
            let detail = format!("shape {} leaves nothing to fit", self.x.shape());
            return Err(Error::data("x", detail));
        }
        if let Data::F32(values) = self.x.data()
            && let Some(at) = values.iter().position(|v| !v.is_finite())
        {
            let (row, column) = (at / self.width, at % self.width);
            let detail = format!("row {row}, column {column} is {}; clean the data", values[at]);
            return Err(Error::data("x", detail));
        }
        Ok(self.x.shape().dims()[0])
    }

    /// The least and the greatest value of each column.
    fn ranges(&self) -> Vec<(f64, f64)> {
        let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); self.width];
        self.each(|column, value| {
            let (low, high) = ranges[column];
            ranges[column] = (low.min(value), high.max(value));
        });
        ranges
    }

    /// Calls `f` with the column and the value of every element, in order.
    fn each(&self, mut f: impl FnMut(usize, f64)) {
        let width = self.width.max(1);
        match self.x.data() {
            Data::F32(v) => v.iter().enumerate().for_each(|(i, &v)| f(i % width, v.into())),
            Data::U8(v) => v.iter().enumerate().for_each(|(i, &v)| f(i % width, v.into())),
            Data::U32(v) => v.iter().enumerate().for_each(|(i, &v)| f(i % width, v.into())),
        }
    }

    /// A tensor of the same shape, each element from its column and value, rounded to f32.
    fn map(&self, f: impl Fn(usize, f64) -> f64) -> Result<Tensor> {
        let mut out = Vec::with_capacity(self.x.shape().len());
        self.each(|column, value| out.push(f(column, value) as f32));
        Tensor::f32(self.x.shape(), out)
    }
}

/// Refuses statistics that are not one finite number for each column of a sample.
fn check_columns(kind: &str, sample: &Shape, lists: &[(&str, &[f64])]) -> Result<()> {
    // The product may not fit a number if the shape comes from a file.
    let columns = sample.dims().iter().try_fold(1usize, |n, &dim| n.checked_mul(dim));
    for (name, list) in lists {
        if Some(list.len()) != columns || list.is_empty() {
            let detail = format!("samples {:?} need one each, 1 or more", sample.dims());
            return Err(Error::parameter(format!("{kind} {name}: numbers"), list.len(), detail));
        }
        if let Some(i) = list.iter().position(|v| !v.is_finite()) {
            let detail = "a finite number is expected";
            return Err(Error::parameter(format!("{kind} {name}[{i}]"), list[i], detail));
        }
    }
    Ok(())
}
