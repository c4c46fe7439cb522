//! Softmax and its relatives over the last axis: `x` is rows of `cols`.
//!
//! All of them subtract the row's maximum `m` first, which changes nothing in exact arithmetic:
//! `exp(x_i) / sum exp(x_j) = exp(x_i - m) / sum exp(x_j - m)` (Goodfellow et al. 2016, 4.1).

fn rows(x: &[f64], cols: usize) -> std::slice::ChunksExact<'_, f64> {
    assert!(cols > 0 && x.len().is_multiple_of(cols), "rows of {cols} in {} elements", x.len());
    x.chunks_exact(cols)
}

fn maximum(row: &[f64]) -> f64 {
    row.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// `log sum over j of exp(x_j)`, one number per row.
pub fn logsumexp(x: &[f64], cols: usize) -> Vec<f64> {
    let one = |row: &[f64]| {
        let m = maximum(row);
        m + row.iter().map(|v| (v - m).exp()).sum::<f64>().ln()
    };
    rows(x, cols).map(one).collect()
}

/// `log_softmax_i = x_i - logsumexp(x)`, in the form `(x_i - m) - log sum exp(x_j - m)`.
pub fn log_softmax(x: &[f64], cols: usize) -> Vec<f64> {
    let one = |row: &[f64]| {
        let m = maximum(row);
        let log_sum = row.iter().map(|v| (v - m).exp()).sum::<f64>().ln();
        row.iter().map(|v| (v - m) - log_sum).collect::<Vec<_>>()
    };
    rows(x, cols).flat_map(one).collect()
}

/// `softmax_i = exp(x_i) / sum over j of exp(x_j)`.
pub fn softmax(x: &[f64], cols: usize) -> Vec<f64> {
    let one = |row: &[f64]| {
        let m = maximum(row);
        let e: Vec<f64> = row.iter().map(|v| (v - m).exp()).collect();
        let total: f64 = e.iter().sum();
        e.into_iter().map(|v| v / total).collect::<Vec<_>>()
    };
    rows(x, cols).flat_map(one).collect()
}

/// Softmax among the elements of a row that take part, 0 for the others; a row without any is 0. An element takes part
/// if its mask is above 0. With `additive` the mask is added, and an element takes part if the sum is above -1e30.
pub fn masked_softmax(x: &[f64], mask: &[f64], cols: usize, additive: bool) -> Vec<f64> {
    let one = |(row, mask): (&[f64], &[f64])| {
        let z = |i: usize| if additive { row[i] + mask[i] } else { row[i] };
        let takes_part = |i: usize| if additive { z(i) > -1e30 } else { mask[i] > 0.0 };
        let kept: Vec<usize> = (0..cols).filter(|&i| takes_part(i)).collect();
        let mut y = vec![0.0; cols];
        let weights = softmax(&kept.iter().map(|&i| z(i)).collect::<Vec<_>>(), kept.len().max(1));
        kept.iter().zip(weights).for_each(|(&i, weight)| y[i] = weight);
        y
    };
    rows(x, cols).zip(rows(mask, cols)).flat_map(one).collect()
}

/// The gradient of `sum upstream_i softmax_i(x)`: `s_j (g_j - sum over i of g_i s_i)`, from the
/// Jacobian `ds_i/dx_j = s_i (delta_ij - s_j)`.
pub fn softmax_grad(x: &[f64], upstream: &[f64], cols: usize) -> Vec<f64> {
    let s = softmax(x, cols);
    let one = |(s, g): (&[f64], &[f64])| {
        let dot: f64 = s.iter().zip(g).map(|(s, g)| s * g).sum();
        s.iter().zip(g).map(|(s, g)| s * (g - dot)).collect::<Vec<_>>()
    };
    rows(&s, cols).zip(rows(upstream, cols)).flat_map(one).collect()
}

/// The gradient of `sum upstream_i log_softmax_i(x)`: `g_j - s_j sum over i of g_i`.
pub fn log_softmax_grad(x: &[f64], upstream: &[f64], cols: usize) -> Vec<f64> {
    let s = softmax(x, cols);
    let one = |(s, g): (&[f64], &[f64])| {
        let total: f64 = g.iter().sum();
        s.iter().zip(g).map(|(s, g)| g - s * total).collect::<Vec<_>>()
    };
    rows(&s, cols).zip(rows(upstream, cols)).flat_map(one).collect()
}

/// The index of each row's largest element, the first of equals.
pub fn argmax(x: &[f64], cols: usize) -> Vec<usize> {
    let one = |row: &[f64]| {
        let m = maximum(row);
        row.iter().position(|&v| v == m).expect("a row without NaN has a maximum")
    };
    rows(x, cols).map(one).collect()
}
