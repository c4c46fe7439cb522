//! Losses, each as one number per sample, with Keras 3's definitions and order of arguments.
//!
//! A sample is a row of `cols` features. MSE, MAE, Huber and binary cross-entropy are the mean over a sample's
//! features, categorical cross-entropy the sum over its classes. [`batch_mean`] takes the mean over the batch.
//!
//! On probabilities Keras clips to `[1e-7, 1 - 1e-7]`. The oracle does so in `f64`; a program in `f32`
//! rounds the upper bound to `1 - 2^-23`, and its `-log(1 - p)` of a wrong certain answer is then
//! `23 log 2 = 15.942` in place of `16.118`. Outside the bounds the gradient is 0.

use super::softmax::{log_softmax, softmax};
use super::special::{log_one_plus_exp, logistic};

/// How far probabilities are kept from 0 and 1 (Keras' `epsilon()`).
pub const EPSILON: f64 = 1e-7;

/// The mean over samples, `sum l_i / n`.
pub fn batch_mean(per_sample: &[f64]) -> f64 {
    per_sample.iter().sum::<f64>() / per_sample.len() as f64
}

/// The mean over each row of `f(target, prediction)`.
fn row_means(y: &[f64], p: &[f64], cols: usize, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    check(y, p, cols);
    let row = |(y, p): (&[f64], &[f64])| {
        y.iter().zip(p).map(|(&y, &p)| f(y, p)).sum::<f64>() / cols as f64
    };
    y.chunks_exact(cols).zip(p.chunks_exact(cols)).map(row).collect()
}

fn check(y: &[f64], p: &[f64], cols: usize) {
    assert_eq!(y.len(), p.len(), "targets and predictions differ in length");
    assert!(cols > 0 && y.len().is_multiple_of(cols), "rows of {cols} in {} elements", y.len());
}

/// Mean squared error, `mean of (y - p)^2`.
pub fn mse(y: &[f64], p: &[f64], cols: usize) -> Vec<f64> {
    row_means(y, p, cols, |y, p| (y - p).powi(2))
}

/// Mean absolute error, `mean of |y - p|`.
pub fn mae(y: &[f64], p: &[f64], cols: usize) -> Vec<f64> {
    row_means(y, p, cols, |y, p| (y - p).abs())
}

/// Huber loss, the mean of `e^2 / 2` if `|e| <= delta`, else of `delta |e| - delta^2 / 2`, for `e = y - p` (Huber
/// 1964).
pub fn huber(y: &[f64], p: &[f64], cols: usize, delta: f64) -> Vec<f64> {
    row_means(y, p, cols, |y, p| {
        let e = (y - p).abs();
        if e <= delta { 0.5 * e * e } else { delta * e - 0.5 * delta * delta }
    })
}

/// Binary cross-entropy on probabilities, `mean of -(y log p + (1 - y) log(1 - p))`, with `p` clipped.
pub fn binary_crossentropy(y: &[f64], p: &[f64], cols: usize) -> Vec<f64> {
    row_means(y, p, cols, |y, p| {
        let p = p.clamp(EPSILON, 1.0 - EPSILON);
        -(y * p.ln() + (1.0 - y) * (1.0 - p).ln())
    })
}

/// Binary cross-entropy on logits: that of `p = sigmoid(z)` unclipped, which is
/// `y log(1 + e^-z) + (1 - y) log(1 + e^z)`.
pub fn binary_crossentropy_logits(y: &[f64], z: &[f64], cols: usize) -> Vec<f64> {
    row_means(y, z, cols, |y, z| y * log_one_plus_exp(-z) + (1.0 - y) * log_one_plus_exp(z))
}

/// Categorical cross-entropy on probabilities, `-sum over c of y_c log q_c`. `q` is `p` divided by its sum and then
/// clipped, in this order, as in Keras 3.
pub fn categorical_crossentropy(y: &[f64], p: &[f64], cols: usize) -> Vec<f64> {
    check(y, p, cols);
    let row = |(y, p): (&[f64], &[f64])| {
        let total: f64 = p.iter().sum();
        let log = |p: f64| (p / total).clamp(EPSILON, 1.0 - EPSILON).ln();
        -y.iter().zip(p).map(|(y, &p)| y * log(p)).sum::<f64>()
    };
    y.chunks_exact(cols).zip(p.chunks_exact(cols)).map(row).collect()
}

/// Categorical cross-entropy on logits, `-sum over c of y_c log_softmax(z)_c`.
pub fn categorical_crossentropy_logits(y: &[f64], z: &[f64], cols: usize) -> Vec<f64> {
    check(y, z, cols);
    let log_p = log_softmax(z, cols);
    let row = |(y, l): (&[f64], &[f64])| -y.iter().zip(l).map(|(y, l)| y * l).sum::<f64>();
    y.chunks_exact(cols).zip(log_p.chunks_exact(cols)).map(row).collect()
}

/// [`categorical_crossentropy`] with one class index per sample, `-log q_label`.
///
/// Keras 3 divides by the sum first on its jax and torch backends and clips first on TensorFlow;
/// this is the former, which the dense form has on all of them.
pub fn sparse_categorical_crossentropy(labels: &[usize], p: &[f64], cols: usize) -> Vec<f64> {
    categorical_crossentropy(&one_hot(labels, cols), p, cols)
}

/// [`categorical_crossentropy_logits`] with one class index per sample, `-log_softmax(z)_label`.
pub fn sparse_categorical_crossentropy_logits(
    labels: &[usize],
    z: &[f64],
    cols: usize,
) -> Vec<f64> {
    categorical_crossentropy_logits(&one_hot(labels, cols), z, cols)
}

/// A row of `cols` per label, 1 at the label and 0 elsewhere.
pub fn one_hot(labels: &[usize], cols: usize) -> Vec<f64> {
    let mut y = vec![0.0; labels.len() * cols];
    for (row, &label) in labels.iter().enumerate() {
        assert!(label < cols, "label {label} of {cols} classes");
        y[row * cols + label] = 1.0;
    }
    y
}

/// The gradient of the batch mean of [`categorical_crossentropy_logits`] by the logits:
/// `(softmax(z)_c sum over k of y_k - y_c) / n`. The sum over `k` is 1 for a distribution.
pub fn categorical_crossentropy_logits_grad(y: &[f64], z: &[f64], cols: usize) -> Vec<f64> {
    check(y, z, cols);
    let n = (y.len() / cols) as f64;
    let s = softmax(z, cols);
    let row = |(y, s): (&[f64], &[f64])| {
        let total: f64 = y.iter().sum();
        y.iter().zip(s).map(|(y, s)| (s * total - y) / n).collect::<Vec<_>>()
    };
    y.chunks_exact(cols).zip(s.chunks_exact(cols)).flat_map(row).collect()
}

/// The gradient of the batch mean of [`binary_crossentropy_logits`] by the logits:
/// `(sigmoid(z) - y) / (n cols)`.
pub fn binary_crossentropy_logits_grad(y: &[f64], z: &[f64], cols: usize) -> Vec<f64> {
    check(y, z, cols);
    let count = z.len() as f64;
    y.iter().zip(z).map(|(y, &z)| (logistic(z) - y) / count).collect()
}
