//! Data sets made from random numbers: scikit-learn's `make_*`, with its options and semantics.
//!
//! Each takes a struct of options whose `Default` is scikit-learn's, and gives the same numbers for the same options on
//! every platform (moons and circles: within the last bit of its sine). The numbers differ from scikit-learn's: the
//! distributions are the same, the generator is not.
//!
//! ```
//! use wgrad::data::{Moons, make_moons};
//!
//! let data = make_moons(&Moons { n_samples: 200, noise: 0.1, seed: 7, ..Moons::default() })?;
//! assert_eq!((data.len(), data.sample_shape()), (200, [2].into()));
//! # Ok::<(), wgrad::Error>(())
//! ```

mod blobs;
mod circles;
mod classification;
mod regression;

pub use blobs::{Blobs, Centers, make_blobs};
pub use circles::{Circles, Moons, make_circles, make_moons};
pub use classification::{Classification, make_classification};
pub use regression::{Regression, make_regression};

use rand_chacha::ChaCha8Rng;

use super::TensorDataset;
use super::shuffle::shuffled;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::tensor::init::{Normal, unit};

/// `len` numbers, uniform in `[low, high)`.
fn uniform(rng: &mut ChaCha8Rng, len: usize, low: f64, high: f64) -> Vec<f64> {
    (0..len).map(|_| low + (high - low) * unit(rng)).collect()
}

/// `len` standard normal numbers.
fn normal(rng: &mut ChaCha8Rng, len: usize) -> Vec<f64> {
    let mut normal = Normal::new(rng);
    (0..len).map(|_| normal.draw()).collect()
}

/// `a` times `b`, row-major: `[rows, inner] * [inner, columns]`, `inner` at least 1.
fn product(a: &[f64], b: &[f64], inner: usize, columns: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(a.len() / inner * columns);
    for row in a.chunks_exact(inner) {
        out.extend(
            (0..columns)
                .map(|c| row.iter().enumerate().map(|(i, a)| a * b[i * columns + c]).sum::<f64>()),
        );
    }
    out
}

/// `n` rows of `width` columns; an order of the rows shuffles them.
fn arrange<T: Copy>(values: &[T], width: usize, order: Option<&[u32]>) -> Vec<T> {
    match order {
        None => values.to_vec(),
        Some(order) => order
            .iter()
            .flat_map(|&row| &values[row as usize * width..][..width])
            .copied()
            .collect(),
    }
}

/// Rows `[n, width]` with their class labels, in a new order if `shuffle` has a generator.
fn labelled(
    x: &[f64],
    width: usize,
    labels: &[u32],
    shuffle: Option<&mut ChaCha8Rng>,
) -> Result<TensorDataset> {
    let n = labels.len();
    let order = shuffle.map(|rng| shuffled(n, rng)).transpose()?;
    let order = order.as_deref();
    let x: Vec<f32> = arrange(x, width, order).into_iter().map(|v| v as f32).collect();
    TensorDataset::new(Tensor::f32([n, width], x)?, Tensor::u32([n], arrange(labels, 1, order))?)
}

/// Refuses a count of 0.
fn at_least_one(name: &str, value: usize) -> Result<()> {
    if value == 0 {
        return Err(Error::parameter(name, value, "must be at least 1"));
    }
    Ok(())
}

/// Refuses what is NaN, infinite or negative.
fn not_negative(name: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::parameter(name, value, "must be a finite number, 0 or more"))
}

/// Refuses what is NaN or infinite.
fn finite(name: &str, value: f64) -> Result<()> {
    if value.is_finite() {
        return Ok(());
    }
    Err(Error::parameter(name, value, "must be a finite number"))
}

/// Refuses tables that memory cannot hold, before any number is drawn.
fn fits(rows: usize, columns: usize) -> Result<()> {
    let len = rows.checked_mul(columns).filter(|&len| len <= u32::MAX as usize);
    if len.is_none() {
        let size = format!("{rows} x {columns}");
        return Err(Error::parameter("n_samples x n_features", size, "at most 2^32 - 1 numbers"));
    }
    Ok(())
}
