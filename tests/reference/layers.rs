//! Layers with special formulas: rectifiers with slopes, and dropout for SELU.

use super::elementwise::{SELU_ALPHA, SELU_SCALE};

/// `x` if positive, else `slope x`, with a slope per element: PReLU if slopes are learned (He et al. 2015), RReLU if
/// they are drawn (Xu et al. 2015).
pub fn rectify(x: &[f64], slopes: &[f64]) -> Vec<f64> {
    assert_eq!(x.len(), slopes.len(), "rectify: a slope per element");
    x.iter().zip(slopes).map(|(&x, slope)| if x > 0.0 { x } else { slope * x }).collect()
}

/// Alpha dropout: `a (x or alpha') + b` with `alpha' = -lambda alpha` of SELU, which keeps mean 0 and variance
/// 1 of `x`: a mixture of `x` with probability q and alpha' otherwise has the mean `(1 - q) alpha'` and the variance
/// `q + q (1 - q) alpha'^2`. Source: Klambauer et al. 2017, section "New Dropout Technique".
pub fn alpha_dropout(x: &[f64], keep: &[bool], rate: f64) -> Vec<f64> {
    assert_eq!(x.len(), keep.len(), "alpha_dropout: length of the mask");
    let (q, floor) = (1.0 - rate, -SELU_SCALE * SELU_ALPHA);
    let a = 1.0 / (q + q * (1.0 - q) * floor * floor).sqrt();
    let b = -a * (1.0 - q) * floor;
    x.iter().zip(keep).map(|(&x, &keep)| a * if keep { x } else { floor } + b).collect()
}

/// Mean and variance (divided by n) of each column of rows of `width`, over the rows that count.
pub fn column_moments(x: &[f64], width: usize, counts: &[bool]) -> (Vec<f64>, Vec<f64>) {
    assert_eq!(x.len(), width * counts.len(), "column_moments: a flag per row");
    let n = counts.iter().filter(|&&c| c).count() as f64;
    let mean_of = |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
        let own = |c: usize| {
            x.chunks(width).zip(counts).filter(|&(_, &k)| k).map(move |(r, _)| f(c, r[c]))
        };
        (0..width).map(|c| own(c).sum::<f64>() / n).collect()
    };
    let mean = mean_of(&|_, v| v);
    let variance = mean_of(&|c, v| (v - mean[c]) * (v - mean[c]));
    (mean, variance)
}

/// `gamma (x - mean) / sqrt(variance + epsilon) + beta` for rows of as many columns as there are means. Source: Ioffe and
/// Szegedy 2015, algorithm 1.
pub fn standardise(
    x: &[f64],
    [mean, variance, gamma, beta]: [&[f64]; 4],
    epsilon: f64,
) -> Vec<f64> {
    let width = mean.len();
    let one = |(i, &x): (usize, &f64)| {
        let c = i % width;
        gamma[c] * (x - mean[c]) / (variance[c] + epsilon).sqrt() + beta[c]
    };
    x.iter().enumerate().map(one).collect()
}
