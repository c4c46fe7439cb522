//! How the lines of a picture differ, and how they end at a limit of an axis.

use super::axis::Scale;
use super::color;
use super::page::Point;
use plotters::style::RGBColor;

/// The pattern of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dash {
    Solid,
    Dashed,
    Dotted,
}

impl Dash {
    /// The lengths of a stroke and of the blank after it, in pixels. Round ends make a stroke longer than it is.
    pub(super) const fn lengths(self) -> Option<(f64, f64)> {
        match self {
            Self::Solid => None,
            Self::Dashed => Some((7.0, 5.5)),
            Self::Dotted => Some((0.25, 4.5)),
        }
    }
}

/// The number of colours that can be told apart on thin lines.
const COLORS: usize = 8;

/// The colour and the pattern of the series at this position: a colour comes again in another pattern, as more colours
/// than these look alike. After 24 both repeat.
pub(super) fn style(index: usize) -> (RGBColor, Dash) {
    let patterns = [Dash::Solid, Dash::Dashed, Dash::Dotted];
    (color::series(index % COLORS), patterns[index / COLORS % patterns.len()])
}

/// The stretches of a line whose y are between `low` and `high`. A segment that crosses a limit ends at the
/// point of it that the straight line on the picture crosses.
pub(super) fn within(
    line: &[Point],
    (low, high): (f64, f64),
    (x, y): (Scale, Scale),
) -> Vec<Vec<Point>> {
    let inside = |p: Point| (low..=high).contains(&p.1);
    let [first, ..] = line else { return vec![] };
    let mut stretches: Vec<Vec<Point>> = if inside(*first) { vec![vec![*first]] } else { vec![] };
    for (&a, &b) in line.iter().zip(&line[1..]) {
        let crossing = |limit: f64| {
            let along = (y.forth(limit) - y.forth(a.1)) / (y.forth(b.1) - y.forth(a.1));
            (x.back(x.forth(a.0) + along * (x.forth(b.0) - x.forth(a.0))), limit)
        };
        let limit = |outside: Point| crossing(if outside.1 < low { low } else { high });
        match (inside(a), inside(b)) {
            (true, true) => stretches.last_mut().into_iter().for_each(|s| s.push(b)),
            (true, false) => stretches.last_mut().into_iter().for_each(|s| s.push(limit(b))),
            (false, true) => stretches.push(vec![limit(a), b]),
            // From below the range to above it, or back.
            (false, false) if (a.1 < low) != (b.1 < low) => {
                stretches.push(vec![limit(a), limit(b)]);
            }
            (false, false) => {}
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_of_many_lines_are_alike() {
        let styles: Vec<_> = (0..24).map(style).collect();
        for (i, a) in styles.iter().enumerate() {
            for (j, b) in styles.iter().enumerate().skip(i + 1) {
                let RGBColor(r, g, blue) = a.0;
                let far = [(r, b.0.0), (g, b.0.1), (blue, b.0.2)].map(|(p, q)| p.abs_diff(q));
                assert!(a.1 != b.1 || far.iter().any(|&d| d > 40), "{i} and {j}: {a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_line_ends_at_the_limits() {
        let linear = (Scale::Linear, Scale::Linear);
        let within = |line: &[Point]| super::within(line, (0.0, 2.0), linear);
        assert_eq!(within(&[(0.0, 1.0), (1.0, 2.0)]), [[(0.0, 1.0), (1.0, 2.0)]]);
        let out_and_in = within(&[(0.0, 1.0), (1.0, 3.0), (2.0, 3.0), (3.0, 1.0), (4.0, 1.0)]);
        let want = [vec![(0.0, 1.0), (0.5, 2.0)], vec![(2.5, 2.0), (3.0, 1.0), (4.0, 1.0)]];
        assert_eq!(out_and_in, want);
        assert_eq!(within(&[(0.0, -2.0), (1.0, 6.0)]), [[(0.25, 0.0), (0.5, 2.0)]]);
        assert!(within(&[(0.0, 3.0), (1.0, 4.0)]).is_empty() && within(&[]).is_empty());
        // On a logarithmic axis half of the way from 1 to 100 is 10.
        let log =
            super::within(&[(0.0, 1.0), (1.0, 100.0)], (0.1, 10.0), (Scale::Linear, Scale::Log));
        assert_eq!(log, [[(0.0, 1.0), (0.5, 10.0)]]);
    }
}
