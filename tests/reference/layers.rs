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
