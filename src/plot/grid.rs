//! A regular grid in the plane, and the lines along which a function on it is zero.

use std::ops::Range;

/// The points of a grid over a rectangle, its edges included. A classifier gives its probabilities at these points,
/// and the picture shows its decision regions.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    pub(super) x: Range<f32>,
    pub(super) y: Range<f32>,
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Grid {
    /// `columns` points across the range `x` and `rows` points along `y`: at least two of each.
    #[must_use]
    pub const fn new(x: Range<f32>, y: Range<f32>, columns: usize, rows: usize) -> Self {
        Self { x, y, columns, rows }
    }

    /// `side` by `side` points over the finite ones of `points` (pairs, of shape `[n, 2]`) and a margin of a
    /// twentieth of their range.
    #[must_use]
    pub fn around(points: &[f32], side: usize) -> Self {
        let range = |axis: usize| {
            let values = points.iter().skip(axis).step_by(2).filter(|v| v.is_finite());
            let (low, high) = values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| {
                (low.min(v), high.max(v))
            });
            if low > high {
                return 0.0..1.0;
            }
            let margin = if low < high { 0.05 * (high - low) } else { 0.5 };
            low - margin..high + margin
        };
        Self::new(range(0), range(1), side, side)
    }

    /// Points in all.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.columns * self.rows
    }

    /// Whether there is no point.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The points as pairs (x, y), of shape `[rows · columns, 2]`: row by row from the lowest y, and in a row from
    /// the lowest x.
    #[must_use]
    pub fn points(&self) -> Vec<f32> {
        let rows = (0..self.rows).map(|row| at(&self.y, row, self.rows));
        rows.flat_map(|y| {
            (0..self.columns).flat_map(move |column| [at(&self.x, column, self.columns), y])
        })
        .collect()
    }

    /// The place of a grid point; whole numbers are points, others are between them.
    pub(super) fn place(&self, column: f64, row: f64) -> (f64, f64) {
        let along = |range: &Range<f32>, index: f64, count: usize| {
            let (start, end) = (f64::from(range.start), f64::from(range.end));
            start + (end - start) * index / (count - 1) as f64
        };
        (along(&self.x, column, self.columns), along(&self.y, row, self.rows))
    }

    /// Segments along which `values`, one per point and linear between them, are zero. There is none near a
    /// value that is not finite.
    ///
    /// Each cell is two triangles, in which a linear function is zero along one segment at most; squares would
    /// leave saddles ambiguous.
    pub(super) fn zeros(&self, values: &[f64]) -> Vec<[(f64, f64); 2]> {
        let value = |(column, row): (usize, usize)| values[row * self.columns + column];
        let mut segments = Vec::new();
        for row in 0..self.rows - 1 {
            for column in 0..self.columns - 1 {
                let [a, b, c, d] =
                    [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, j)| (column + i, row + j));
                for triangle in [[a, b, d], [a, c, d]] {
                    if triangle.iter().any(|&p| !value(p).is_finite()) {
                        continue;
                    }
                    let edges = [(0, 1), (1, 2), (0, 2)].map(|(i, j)| (triangle[i], triangle[j]));
                    let crossed =
                        edges.iter().filter(|(p, q)| (value(*p) < 0.0) != (value(*q) < 0.0));
                    let ends: Vec<_> = crossed
                        .map(|&(p, q)| {
                            let t = value(p) / (value(p) - value(q));
                            let along = |p: usize, q: usize| p as f64 + t * (q as f64 - p as f64);
                            self.place(along(p.0, q.0), along(p.1, q.1))
                        })
                        .collect();
                    if let [from, to] = ends[..] {
                        segments.push([from, to]);
                    }
                }
            }
        }
        segments
    }
}

/// The point `index` of `count` from one end of the range to the other.
fn at(range: &Range<f32>, index: usize, count: usize) -> f32 {
    match index {
        0 => range.start,
        // Exactly the end, however f64 rounds.
        i if i + 1 == count => range.end,
        i => range.start + (range.end - range.start) * i as f32 / (count - 1) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::Grid;

    #[test]
    fn points_run_along_x_first() {
        let grid = Grid::new(0.0..1.0, -1.0..1.0, 3, 2);
        let expected = [0.0, -1.0, 0.5, -1.0, 1.0, -1.0, 0.0, 1.0, 0.5, 1.0, 1.0, 1.0];
        assert_eq!((grid.points(), grid.len()), (expected.to_vec(), 6));
        assert!(Grid::new(0.0..1.0, 0.0..1.0, 0, 3).points().is_empty());
        assert_eq!(Grid::new(0.0..1.0, 2.0..3.0, 1, 1).points(), [0.0, 2.0]);
    }

    #[test]
    fn a_grid_lies_around_points() {
        let grid = Grid::around(&[0.0, 5.0, 10.0, f32::NAN, 4.0, 5.0], 4);
        assert_eq!(grid, Grid::new(-0.5..10.5, 4.5..5.5, 4, 4));
        assert_eq!(Grid::around(&[], 4).x, 0.0..1.0);
    }

    #[test]
    fn zeros_of_a_circle_lie_on_it() {
        let grid = Grid::new(-1.0..1.0, -1.0..1.0, 81, 81);
        let points = grid.points();
        let values = |radius: f64| -> Vec<f64> {
            let square = |p: &[f32]| p.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
            points.chunks(2).map(|p| square(p).sqrt() - radius).collect()
        };
        let segments = grid.zeros(&values(0.7));
        let radius = |p: &(f64, f64)| p.0.hypot(p.1);
        assert!(segments.iter().flatten().all(|p| (radius(p) - 0.7).abs() < 1e-3));
        let length = |s: &[(f64, f64); 2]| (s[1].0 - s[0].0).hypot(s[1].1 - s[0].1);
        let around: f64 = segments.iter().map(length).sum();
        assert!((around / (2.0 * std::f64::consts::PI * 0.7) - 1.0).abs() < 1e-3, "{around}");

        assert!(grid.zeros(&values(5.0)).is_empty());
        assert!(grid.zeros(&vec![f64::NAN; grid.len()]).is_empty());
    }
}
