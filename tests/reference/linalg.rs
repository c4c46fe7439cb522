//! Products and movement: matrix product, bias, transpose, slice, concatenate, broadcast, gather.

use std::ops::Range;

/// The batched matrix product, `c[s, i, j] = sum over p of a[s, i, p] b[s, p, j]`.
///
/// For each of `batch` samples `a` is stored as `m` by `k`, or as `k` by `m` if `trans_a` says that the product uses
/// its transpose; `b` as `k` by `n`, or `n` by `k`. The result is `batch` matrices of `m` by `n`.
#[allow(clippy::too_many_arguments, reason = "the eight numbers that state a product")]
pub fn matmul(
    a: &[f64],
    b: &[f64],
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
    trans_a: bool,
    trans_b: bool,
) -> Vec<f64> {
    assert_eq!(a.len(), batch * m * k, "matmul: length of a");
    assert_eq!(b.len(), batch * k * n, "matmul: length of b");
    let mut c = vec![0.0; batch * m * n];
    for s in 0..batch {
        for i in 0..m {
            let row = &mut c[(s * m + i) * n..][..n];
            for p in 0..k {
                let left = a[s * m * k + if trans_a { p * m + i } else { i * k + p }];
                for (j, out) in row.iter_mut().enumerate() {
                    *out += left * b[s * k * n + if trans_b { j * k + p } else { p * n + j }];
                }
            }
        }
    }
    c
}

/// `y[i, j] = x[i, j] + bias[j]`, over rows as long as `bias`.
pub fn add_bias(x: &[f64], bias: &[f64]) -> Vec<f64> {
    assert_eq!(x.len() % bias.len(), 0, "add_bias: rows of {} in {}", bias.len(), x.len());
    x.iter().enumerate().map(|(i, x)| x + bias[i % bias.len()]).collect()
}

/// The axes of `x` in the order `perm`: axis `i` of the result is axis `perm[i]` of `x` (as NumPy's
/// `transpose`).
pub fn transpose(x: &[f64], shape: &[usize], perm: &[usize]) -> Vec<f64> {
    check_shape(x, shape);
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..shape.len()), "transpose: {perm:?} of {shape:?}");
    let to: Vec<usize> = perm.iter().map(|&axis| shape[axis]).collect();
    let mut y = Vec::with_capacity(x.len());
    for flat in 0..x.len() {
        let at = unravel(flat, &to);
        let mut from = vec![0; shape.len()];
        for (i, &axis) in perm.iter().enumerate() {
            from[axis] = at[i];
        }
        y.push(x[ravel(&from, shape)]);
    }
    y
}

/// The elements `range` of axis `axis`, and all along the others (as NumPy's basic indexing).
pub fn slice(x: &[f64], shape: &[usize], axis: usize, range: Range<usize>) -> Vec<f64> {
    check_shape(x, shape);
    let inside = |&flat: &usize| range.contains(&unravel(flat, shape)[axis]);
    (0..x.len()).filter(inside).map(|flat| x[flat]).collect()
}

/// Arrays side by side along `axis` (as NumPy's `concatenate`): `at[axis]`, less the extents before it, selects the
/// array and the place in it of element `at`.
pub fn concatenate(parts: &[&[f64]], shapes: &[&[usize]], axis: usize) -> Vec<f64> {
    let mut to = shapes[0].to_vec();
    to[axis] = shapes.iter().map(|s| s[axis]).sum();
    let element = |flat| {
        let mut at = unravel(flat, &to);
        let mut part = 0;
        while at[axis] >= shapes[part][axis] {
            at[axis] -= shapes[part][axis];
            part += 1;
        }
        parts[part][ravel(&at, shapes[part])]
    };
    parts.iter().zip(shapes).for_each(|(x, shape)| check_shape(x, shape));
    (0..to.iter().product()).map(element).collect()
}

/// Lines along `axis` that are weighted sums of runs of neighbours, each given by its first element and its length: the
/// product with a matrix whose rows have the weights there and zeros elsewhere. `weights` has those of all runs in turn.
pub fn bands(
    x: &[f64],
    shape: &[usize],
    axis: usize,
    runs: &[[usize; 2]],
    weights: &[f64],
) -> Vec<f64> {
    check_shape(x, shape);
    let mut to = shape.to_vec();
    to[axis] = runs.len();
    let element = |flat| {
        let mut at = unravel(flat, &to);
        let line = at[axis];
        let before: usize = runs[..line].iter().map(|run| run[1]).sum();
        let [first, count] = runs[line];
        let mut term = |t: usize| {
            at[axis] = first + t;
            weights[before + t] * x[ravel(&at, shape)]
        };
        (0..count).map(&mut term).sum()
    };
    (0..to.iter().product()).map(element).collect()
}

/// The common shape of two operands, or `None` if they have none.
///
/// The rule is NumPy's: shapes are aligned at their last axis, a missing axis counts as 1, and two sizes fit if they
/// are equal or one of them is 1.
pub fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], i: usize| match (i + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    (0..rank)
        .map(|i| match (size(a, i), size(b, i)) {
            (x, y) if x == y => Some(x),
            (1, x) | (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// `x` repeated to the shape `to`, by NumPy's rule.
pub fn broadcast_to(x: &[f64], shape: &[usize], to: &[usize]) -> Vec<f64> {
    check_shape(x, shape);
    let sources = broadcast_sources(shape, to);
    sources.into_iter().map(|source| x[source]).collect()
}

/// The gradient of [`broadcast_to`]: every element of `shape` gets the sum of its copies' gradients.
pub fn broadcast_grad(upstream: &[f64], shape: &[usize], to: &[usize]) -> Vec<f64> {
    check_shape(upstream, to);
    let mut grad = vec![0.0; shape.iter().product()];
    for (source, g) in broadcast_sources(shape, to).into_iter().zip(upstream) {
        grad[source] += g;
    }
    grad
}

/// For each element of `to`, the element of `shape` that it is a copy of.
fn broadcast_sources(shape: &[usize], to: &[usize]) -> Vec<usize> {
    let fits = broadcast_shape(shape, to).is_some_and(|common| common == to);
    assert!(fits, "broadcast: {shape:?} to {to:?}");
    let lead = to.len() - shape.len();
    let source = |flat| {
        let at = unravel(flat, to);
        let at: Vec<usize> =
            shape.iter().zip(&at[lead..]).map(|(&n, &i)| if n == 1 { 0 } else { i }).collect();
        ravel(&at, shape)
    };
    (0..to.iter().product()).map(source).collect()
}

/// `y[i, :] = table[indices[i], :]`, with rows of `cols`.
pub fn gather_rows(table: &[f64], cols: usize, indices: &[usize]) -> Vec<f64> {
    indices.iter().flat_map(|&row| table[row * cols..][..cols].iter().copied()).collect()
}

/// The gradient of [`gather_rows`] with respect to a table of `rows`: `grad[r, :]` is the sum of
/// `upstream[i, :]` over all `i` with `indices[i] = r`, in the order of `i`.
pub fn gather_rows_grad(upstream: &[f64], cols: usize, indices: &[usize], rows: usize) -> Vec<f64> {
    assert_eq!(upstream.len(), indices.len() * cols, "gather_rows_grad: length of upstream");
    let mut grad = vec![0.0; rows * cols];
    for (i, &row) in indices.iter().enumerate() {
        for j in 0..cols {
            grad[row * cols + j] += upstream[i * cols + j];
        }
    }
    grad
}

/// The position, one index per axis, of element `flat` of an array in row-major order.
pub fn unravel(flat: usize, shape: &[usize]) -> Vec<usize> {
    let (mut rest, mut at) = (flat, vec![0; shape.len()]);
    for axis in (0..shape.len()).rev() {
        at[axis] = rest % shape[axis];
        rest /= shape[axis];
    }
    at
}

/// The inverse of [`unravel`].
pub fn ravel(at: &[usize], shape: &[usize]) -> usize {
    at.iter().zip(shape).fold(0, |flat, (i, n)| flat * n + i)
}

fn check_shape(x: &[f64], shape: &[usize]) {
    assert_eq!(x.len(), shape.iter().product::<usize>(), "{} elements as {shape:?}", x.len());
}

/// The elements of `x` with `around[axis]` elements of the value `fill` before and after it along each axis.
pub fn pad(x: &[f64], shape: &[usize], around: &[[usize; 2]], fill: f64) -> Vec<f64> {
    let to: Vec<usize> = shape.iter().zip(around).map(|(d, m)| m[0] + d + m[1]).collect();
    let mut y = vec![fill; to.iter().product()];
    for (i, v) in x.iter().enumerate() {
        let place = unravel(i, shape);
        let at = place.iter().zip(around).zip(&to).fold(0, |at, ((p, m), d)| at * d + p + m[0]);
        y[at] = *v;
    }
    y
}
