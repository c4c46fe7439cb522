//! Matrices with orthogonal columns or rows.

use super::init::Normal;

/// `len` elements of a matrix with so many rows, whose columns, or rows if it is wider than high, are orthogonal and of
/// length `gain`: the Q of a QR decomposition of normal numbers with a positive diagonal of R, which is uniform among
/// such matrices (Mezzadri, "How to generate random matrices from the classical compact groups", 2007).
pub(super) fn fill(normal: &mut Normal<'_>, len: usize, rows: usize, gain: f64) -> Vec<f32> {
    let rows = rows.clamp(1, len.max(1));
    let columns = len.div_ceil(rows);
    let (long, short) = (rows.max(columns), rows.min(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(short);
    while vectors.len() < short {
        let mut v: Vec<f64> = (0..long).map(|_| normal.draw()).collect();
        // Twice: after one round what is left along the others is as large as rounding.
        for _ in 0..2 {
            for q in &vectors {
                let along = dot(q, &v);
                v.iter_mut().zip(q).for_each(|(v, q)| *v -= along * q);
            }
        }
        let length = dot(&v, &v).sqrt();
        // A vector among the others has no direction left; another is drawn.
        if length > 1e-6 {
            v.iter_mut().for_each(|v| *v /= length);
            vectors.push(v);
        }
    }
    let element = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        let q = if rows >= columns { vectors[column][row] } else { vectors[row][column] };
        (gain * q) as f32
    };
    (0..len).map(element).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use crate::tensor::Initializer;

    fn matrix(rows: usize, columns: usize, gain: f32, seed: u64) -> Vec<f64> {
        let drawn = Initializer::Orthogonal { gain }.fill(rows * columns, rows, columns, seed, 3);
        drawn.into_iter().map(f64::from).collect()
    }

    #[test]
    fn columns_or_rows_are_orthogonal() {
        for (rows, columns) in [(1, 1), (5, 5), (64, 64), (7, 3), (3, 7), (1, 9), (9, 1)] {
            let m = matrix(rows, columns, 1.5, 1);
            let tall = rows >= columns;
            let short = rows.min(columns);
            let along =
                |i: usize, k: usize| if tall { m[k * columns + i] } else { m[i * columns + k] };
            for (i, j) in (0..short).flat_map(|i| (0..short).map(move |j| (i, j))) {
                let product: f64 = (0..rows.max(columns)).map(|k| along(i, k) * along(j, k)).sum();
                let want = if i == j { 2.25 } else { 0.0 };
                assert!((product - want).abs() < 1e-6, "{rows}x{columns} {i} {j}: {product}");
            }
        }
    }

    #[test]
    fn signs_are_even_and_draws_repeat() {
        // With a sign that follows the algorithm the diagonal would have one sign.
        let positive = (0..400).filter(|&seed| matrix(3, 3, 1.0, seed)[8] > 0.0).count();
        assert!((150..250).contains(&positive), "{positive} of 400");
        assert_eq!(matrix(6, 6, 1.0, 5), matrix(6, 6, 1.0, 5));
        assert_ne!(matrix(6, 6, 1.0, 5), matrix(6, 6, 1.0, 6));
    }
}
