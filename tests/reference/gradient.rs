//! Derivatives by finite differences, which know nothing of how a function is computed.

/// A step that suits functions and inputs around 1: with central differences the error of the formula
/// (about `h^2`) and that of rounding (about `2^-53 / h`) are then both near `1e-10`.
pub const STEP: f64 = 1e-5;

/// The gradient of the scalar function `f` at `x`, by central differences:
/// `df/dx_i = (f(x + h e_i) - f(x - h e_i)) / 2h`, with an error of `h^2 f''' / 6`.
///
/// Keep `x` further than `h` from any joint of `f`.
pub fn numeric_gradient(mut f: impl FnMut(&[f64]) -> f64, x: &[f64], h: f64) -> Vec<f64> {
    numeric_vjp(|x| vec![f(x)], x, &[1.0], h)
}

/// The gradient of `sum over j of upstream_j f_j(x)` by [`numeric_gradient`]: what a backward pass
/// returns for `upstream`.
///
/// The differences are taken per output before they are weighted, so that a large output does not
/// drown a small one. The divisor is the distance that the two points have after rounding.
pub fn numeric_vjp(
    mut f: impl FnMut(&[f64]) -> Vec<f64>,
    x: &[f64],
    upstream: &[f64],
    h: f64,
) -> Vec<f64> {
    assert!(h > 0.0, "a step of {h}");
    let mut at = x.to_vec();
    let mut grad = Vec::with_capacity(x.len());
    for i in 0..x.len() {
        let (above, below) = (x[i] + h, x[i] - h);
        at[i] = above;
        let upper = f(&at);
        at[i] = below;
        let lower = f(&at);
        at[i] = x[i];
        assert_eq!(upper.len(), upstream.len(), "numeric_vjp: length of upstream");
        let change = upper.iter().zip(&lower).zip(upstream).map(|((u, l), g)| (u - l) * g);
        grad.push(change.sum::<f64>() / (above - below));
    }
    grad
}
