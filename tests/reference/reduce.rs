//! Sums, means and maxima over any axes.

use super::linalg::{ravel, unravel};

/// `shape` without `axes`; with `keep`, those axes stay with size 1.
pub fn reduced_shape(shape: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    assert!(axes.iter().all(|&axis| axis < shape.len()), "axes {axes:?} of {shape:?}");
    let sizes = shape.iter().enumerate();
    if keep {
        sizes.map(|(i, &n)| if axes.contains(&i) { 1 } else { n }).collect()
    } else {
        sizes.filter(|(i, _)| !axes.contains(i)).map(|(_, &n)| n).collect()
    }
}

/// The sum over `axes`; over no axes, `x` itself.
pub fn sum(x: &[f64], shape: &[usize], axes: &[usize]) -> Vec<f64> {
    fold(x, shape, axes, 0.0, |a, b| a + b)
}

/// The arithmetic mean over `axes`.
pub fn mean(x: &[f64], shape: &[usize], axes: &[usize]) -> Vec<f64> {
    let mut out = sum(x, shape, axes);
    let count = x.len() as f64 / out.len() as f64;
    out.iter_mut().for_each(|v| *v /= count);
    out
}

/// The largest element over `axes`.
pub fn max(x: &[f64], shape: &[usize], axes: &[usize]) -> Vec<f64> {
    let larger = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
    fold(x, shape, axes, f64::NEG_INFINITY, larger)
}

/// The smallest element over `axes`.
pub fn min(x: &[f64], shape: &[usize], axes: &[usize]) -> Vec<f64> {
    let smaller = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) };
    fold(x, shape, axes, f64::INFINITY, smaller)
}

/// The product over `axes`.
pub fn product(x: &[f64], shape: &[usize], axes: &[usize]) -> Vec<f64> {
    fold(x, shape, axes, 1.0, |a, b| a * b)
}

/// The sum or the product of the elements up to each one along `axis`; from the end if `reverse`, without the element
/// itself if `exclusive`.
pub fn cumulative(
    x: &[f64],
    shape: &[usize],
    axis: usize,
    product: bool,
    [reverse, exclusive]: [bool; 2],
) -> Vec<f64> {
    let within = |i: usize, j: usize| match (reverse, exclusive) {
        (false, false) => j <= i,
        (false, true) => j < i,
        (true, false) => j >= i,
        (true, true) => j > i,
    };
    let element = |flat: usize| {
        let mut at = unravel(flat, shape);
        let i = at[axis];
        let others = (0..shape[axis]).filter(|&j| within(i, j)).map(|j| {
            at[axis] = j;
            x[ravel(&at, shape)]
        });
        if product { others.product() } else { others.sum() }
    };
    (0..x.len()).map(element).collect()
}

fn fold(
    x: &[f64],
    shape: &[usize],
    axes: &[usize],
    start: f64,
    f: impl Fn(f64, f64) -> f64,
) -> Vec<f64> {
    assert_eq!(x.len(), shape.iter().product::<usize>(), "{} elements as {shape:?}", x.len());
    let to = reduced_shape(shape, axes, true);
    let mut out = vec![start; to.iter().product()];
    for (flat, &value) in x.iter().enumerate() {
        let mut at = unravel(flat, shape);
        axes.iter().for_each(|&axis| at[axis] = 0);
        let slot = &mut out[ravel(&at, &to)];
        *slot = f(*slot, value);
    }
    out
}

/// factor · Σ x over each range.
pub fn sum_ranges(x: &[f64], ranges: &[(std::ops::Range<usize>, f64)]) -> Vec<f64> {
    ranges.iter().map(|(range, factor)| factor * x[range.clone()].iter().sum::<f64>()).collect()
}

/// `len` elements: factor · x\[i\] in range i, zero elsewhere.
pub fn fill_ranges(x: &[f64], len: usize, ranges: &[(std::ops::Range<usize>, f64)]) -> Vec<f64> {
    let mut filled = vec![0.0; len];
    for (x, (range, factor)) in x.iter().zip(ranges) {
        filled[range.clone()].fill(factor * x);
    }
    filled
}
