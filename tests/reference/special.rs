//! Special functions that `std` lacks.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// The error function, `erf(x) = 2/sqrt(pi) * integral from 0 to x of exp(-t^2) dt`.
///
/// Source: Abramowitz and Stegun 7.1.6, `erf(x) = 2/sqrt(pi) exp(-x^2) sum 2^n x^(2n+1)/(2n+1)!!`,
/// whose terms all have one sign, so that nothing cancels; past 2, `1 - erfc(x)`.
pub fn erf(x: f64) -> f64 {
    if x.abs() > 2.0 {
        return x.signum() * (1.0 - erfc_tail(x.abs()));
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > sum.abs() * 1e-18 {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / PI.sqrt() * exp_minus_square(x) * sum
}

/// The complementary error function, `erfc(x) = 1 - erf(x)`, with full relative precision in its right tail, which the
/// subtraction would lose.
pub fn erfc(x: f64) -> f64 {
    if x > 1.0 { erfc_tail(x) } else { 1.0 - erf(x) }
}

/// `erfc` for `x >= 1` by its continued fraction, evaluated from the far end.
///
/// Source: Abramowitz and Stegun 7.1.14,
/// `sqrt(pi) exp(x^2) erfc(x) = 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + 2/(x + ...)))))`.
fn erfc_tail(x: f64) -> f64 {
    let mut fraction = x;
    for k in (1..=300).rev() {
        fraction = x + f64::from(k) / 2.0 / fraction;
    }
    exp_minus_square(x) / PI.sqrt() / fraction
}

/// `exp(-x^2)` without the rounding of `x^2`: `x` is split into a part with 24 bits, whose square is
/// exact, and a small rest.
fn exp_minus_square(x: f64) -> f64 {
    let high = f64::from(x as f32);
    if !high.is_finite() {
        return 0.0;
    }
    (-high * high).exp() * ((high - x) * (high + x)).exp()
}

/// The standard normal distribution function, `Phi(x) = erfc(-x / sqrt 2) / 2`.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2)
}

/// The standard normal density, `phi(x) = exp(-x^2 / 2) / sqrt(2 pi)`.
pub fn normal_pdf(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// The logistic function, `1 / (1 + exp(-x))`, in the form whose exponential can't overflow.
pub fn logistic(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// `log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))`.
pub fn log_one_plus_exp(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
