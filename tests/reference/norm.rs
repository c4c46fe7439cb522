//! Normalizations over rows of `cols` elements, by their formulas.

fn rows(x: &[f64], cols: usize) -> std::slice::ChunksExact<'_, f64> {
    assert!(cols > 0 && x.len().is_multiple_of(cols), "rows of {cols} in {} elements", x.len());
    x.chunks_exact(cols)
}

fn mean(row: &[f64]) -> f64 {
    row.iter().sum::<f64>() / row.len() as f64
}

fn spread(row: &[f64]) -> f64 {
    let mean = mean(row);
    row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / row.len() as f64
}

/// `1/n sum (x_j - mean)^2`, one number per row.
pub fn variance(x: &[f64], cols: usize) -> Vec<f64> {
    rows(x, cols).map(spread).collect()
}

/// Each element of a row times that of `gamma`, plus that of `beta`.
fn affine(x: Vec<f64>, gamma: Option<&[f64]>, beta: Option<&[f64]>, cols: usize) -> Vec<f64> {
    let at = |v: Option<&[f64]>, i: usize, none: f64| v.map_or(none, |v| v[i % cols]);
    let one = |(i, x): (usize, f64)| x * at(gamma, i, 1.0) + at(beta, i, 0.0);
    x.into_iter().enumerate().map(one).collect()
}

/// `gamma_j (x_j - mean) / sqrt(variance + epsilon) + beta_j`. Ba, Kiros and Hinton 2016, equation 3, with the epsilon
/// of Keras and PyTorch.
pub fn layer_norm(
    x: &[f64],
    cols: usize,
    gamma: Option<&[f64]>,
    beta: Option<&[f64]>,
    epsilon: f64,
) -> Vec<f64> {
    let one = |row: &[f64]| {
        let (mean, root) = (mean(row), (spread(row) + epsilon).sqrt());
        row.iter().map(|v| (v - mean) / root).collect::<Vec<_>>()
    };
    affine(rows(x, cols).flat_map(one).collect(), gamma, beta, cols)
}

/// `gamma_j x_j / sqrt(1/n sum x_i^2 + epsilon)`. Zhang and Sennrich 2019, equation 4, with the epsilon of Keras.
pub fn rms_norm(x: &[f64], cols: usize, gamma: Option<&[f64]>, epsilon: f64) -> Vec<f64> {
    let one = |row: &[f64]| {
        let squares = row.iter().map(|v| v * v).sum::<f64>() / cols as f64;
        row.iter().map(|v| v / (squares + epsilon).sqrt()).collect::<Vec<_>>()
    };
    affine(rows(x, cols).flat_map(one).collect(), gamma, None, cols)
}

/// The gradient of `sum upstream_j layer_norm_j(x)` without gamma and beta. With `u` the result, `g` the upstream gradient
/// and `r = sqrt(variance + epsilon)`: `(g_j - mean g - u_j mean(g u)) / r`, from `du_i/dx_j = (delta_ij - 1/n - u_i u_j
/// / n) / r`.
pub fn layer_norm_grad(x: &[f64], upstream: &[f64], cols: usize, epsilon: f64) -> Vec<f64> {
    let unit = layer_norm(x, cols, None, None, epsilon);
    let one = |((u, g), variance): ((&[f64], &[f64]), f64)| {
        let root = (variance + epsilon).sqrt();
        let along = mean(&u.iter().zip(g).map(|(u, g)| u * g).collect::<Vec<_>>());
        let level = mean(g);
        u.iter().zip(g).map(|(u, g)| (g - level - u * along) / root).collect::<Vec<_>>()
    };
    rows(&unit, cols).zip(rows(upstream, cols)).zip(variance(x, cols)).flat_map(one).collect()
}
