//! Points in the plane by class, over the regions in which a classifier decides for each.

use super::axis::{Scale, Span};
use super::chart::{Chart, chart, check_size};
use super::color::{self, INK, PAPER};
use super::font::Font;
use super::grid::Grid;
use super::legend::{Key, Swatch};
use super::page::{Drawn, Page, pen, units};
use crate::error::{Error, Result};
use plotters::element::{Circle, PathElement, Rectangle};
use plotters::style::Color;
use plotters_backend::DrawingBackend;

/// Points in the plane, each class in its colour, optionally over a classifier's decision regions.
///
/// Points that are not finite are left out.
///
/// ```no_run
/// # fn main() -> wgrad::Result<()> {
/// use wgrad::plot::{Grid, Scatter};
///
/// let (points, labels) = ([0.0, 0.1, 2.0, 2.2, -0.3, 0.2], [0, 1, 0]);
/// let grid = Grid::around(&points, 100);
/// // What a model predicts for `grid.points()`, of shape [10_000, 2].
/// let probabilities: Vec<f32> = grid.points().chunks(2).map(|p| (p[0] / 3.0).abs()).collect();
/// Scatter::new("two clouds")
///     .x("x₁")
///     .y("x₂")
///     .classes(&["inner", "outer"], &points, &labels)
///     .regions(&grid, &probabilities)
///     .save("out/clouds.png")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Scatter {
    pub(super) title: String,
    x: String,
    y: String,
    classes: Vec<Class>,
    /// What is wrong with the labels that were given: the data's name, and why.
    fault: Option<(String, String)>,
    regions: Option<(Grid, Vec<f32>)>,
    /// From (x, y) to (x, y).
    segments: Vec<f32>,
    size: (u32, u32),
}

#[derive(Debug, Clone)]
struct Class {
    name: String,
    /// Pairs (x, y).
    points: Vec<f32>,
}

impl Class {
    /// The points that can be shown.
    fn shown(&self) -> impl Iterator<Item = (f64, f64)> + Clone {
        let pairs = self.points.as_chunks::<2>().0.iter();
        pairs.filter(|p| p.iter().all(|v| v.is_finite())).map(|p| (p[0].into(), p[1].into()))
    }
}

impl Scatter {
    /// A picture without points; an empty title takes no room.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            x: String::new(),
            y: String::new(),
            classes: vec![],
            fault: None,
            regions: None,
            segments: vec![],
            size: (560, 460),
        }
    }

    /// The label of the horizontal axis.
    #[must_use]
    pub fn x(mut self, label: impl Into<String>) -> Self {
        self.x = label.into();
        self
    }

    /// The label of the vertical axis.
    #[must_use]
    pub fn y(mut self, label: impl Into<String>) -> Self {
        self.y = label.into();
        self
    }

    /// Adds a class with its points: pairs (x, y), of shape `[n, 2]`. A class may be empty.
    #[must_use]
    pub fn class(mut self, name: impl Into<String>, points: &[f32]) -> Self {
        self.classes.push(Class { name: name.into(), points: points.to_vec() });
        self
    }

    /// Adds a class for each name, and the points, of shape `[n, 2]`, to the classes that `labels`, of shape `[n]`,
    /// say: 0 for the first name.
    #[must_use]
    pub fn classes<S: AsRef<str>>(mut self, names: &[S], points: &[f32], labels: &[u32]) -> Self {
        if points.len() != 2 * labels.len() {
            let detail = format!("{} labels for {} coordinates", labels.len(), points.len());
            self.fault = Some(("labels".into(), detail));
        }
        let mut classes: Vec<Class> =
            names.iter().map(|n| Class { name: n.as_ref().into(), points: vec![] }).collect();
        for (i, (point, &label)) in points.chunks(2).zip(labels).enumerate() {
            match classes.get_mut(label as usize) {
                Some(class) => class.points.extend_from_slice(point),
                None => {
                    let count = names.len();
                    let detail = format!("label {label} at {i} is not below the {count} classes");
                    self.fault = Some(("labels".into(), detail));
                }
            }
        }
        self.classes.append(&mut classes);
        self
    }

    /// Shades each class's decision region and draws the boundaries between them. `probabilities` are a
    /// classifier's, one row per point of the grid: of shape `[n]` or `[n, 1]` the probability of the second of two
    /// classes, of shape `[n, classes]` that of each class. The stronger the shade, the more certain the decision.
    /// If a probability is not finite, the paper stays blank.
    #[must_use]
    pub fn regions(mut self, grid: &Grid, probabilities: &[f32]) -> Self {
        self.regions = Some((grid.clone(), probabilities.to_vec()));
        self
    }

    /// Thin lines under the points: two points each, from (x, y) to (x, y), of shape `[n, 4]`. The edges of a graph.
    #[must_use]
    pub fn segments(mut self, segments: &[f32]) -> Self {
        self.segments = segments.to_vec();
        self
    }

    /// Width and height in pixels, without title and legend: at least 240 by 160, and
    /// 560 by 460 unless this is called.
    #[must_use]
    pub fn panel_size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }

    /// Writes the picture: PNG or SVG, by the path's extension. Missing folders are made.
    ///
    /// # Errors
    /// Those of [`Figure::save`](super::Figure::save); [`Error::Data`] for labels outside the classes, counts that
    /// differ, or no point that can be shown; [`Error::Parameter`] for a grid of fewer than two by
    /// two points or without extent.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        super::Figure::from(self.clone()).save(path)
    }

    pub(super) fn size(&self, _font: &Font) -> (f64, f64) {
        (self.size.0.into(), self.size.1.into())
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        let key = |(i, c): (usize, &Class)| Key {
            name: c.name.clone(),
            color: color::series(i),
            swatch: Swatch::Dot,
        };
        self.classes.iter().enumerate().map(key).collect()
    }

    pub(super) fn check(&self) -> Result<()> {
        check_size(self.size)?;
        if let Some((name, detail)) = &self.fault {
            return Err(Error::data(name, detail));
        }
        for class in &self.classes {
            if class.points.len() % 2 != 0 {
                let detail = format!("{} coordinates are no pairs (x, y)", class.points.len());
                return Err(Error::data(&class.name, detail));
            }
        }
        let whole = self.segments.len().is_multiple_of(4);
        if !whole || self.segments.iter().any(|v| !v.is_finite()) {
            let detail = format!(
                "{} coordinates; a segment has four, from (x, y) to (x, y), which are finite",
                self.segments.len()
            );
            return Err(Error::data("segments", detail));
        }
        if self.classes.iter().all(|c| c.shown().next().is_none()) {
            return Err(Error::data(&self.title, "the picture has no point that can be shown"));
        }
        if let Some((grid, probabilities)) = &self.regions {
            let extent = |r: &std::ops::Range<f32>| {
                r.start.is_finite() && r.end.is_finite() && r.start < r.end
            };
            let Grid { x, y, columns, rows } = grid;
            if *columns < 2 || *rows < 2 || !extent(x) || !extent(y) {
                let value = format!("{columns} x {rows} points over {x:?} and {y:?}");
                let detail = "regions take two by two points or more, over ranges that ascend";
                return Err(Error::parameter("grid", value, detail));
            }
            let (found, points, classes) = (probabilities.len(), grid.len(), self.classes.len());
            if !(found == points && classes <= 2 || found == points * classes) {
                let detail = format!(
                    "{found} for {columns} x {rows} grid points and {classes} classes; give one per \
                     point for two classes, else one per point and class"
                );
                return Err(Error::data("probabilities", detail));
            }
        }
        self.spans().map(|_| ())
    }

    fn spans(&self) -> Result<(Span, Span)> {
        let ends = self.segments.as_chunks::<2>().0.iter().map(|p| (p[0].into(), p[1].into()));
        let shown = self.classes.iter().flat_map(Class::shown).chain(ends);
        let Some((grid, _)) = &self.regions else {
            let x = Span::of(&self.x, Scale::Linear, 0.05, shown.clone().map(|p| p.0))?;
            return Ok((x, Span::of(&self.y, Scale::Linear, 0.05, shown.map(|p| p.1))?));
        };
        // The regions reach the frame, unless points are outside.
        let corners = [(grid.x.start, grid.y.start), (grid.x.end, grid.y.end)];
        let shown = shown.chain(corners.map(|(x, y)| (x.into(), y.into())));
        let x = Span::of(&self.x, Scale::Linear, 0.0, shown.clone().map(|p| p.0))?;
        Ok((x, Span::of(&self.y, Scale::Linear, 0.0, shown.map(|p| p.1))?))
    }

    /// Draws what [`Scatter::check`] accepted.
    pub(super) fn draw<B: DrawingBackend>(&self, page: &Page<'_, B>) -> Drawn<B> {
        let Ok((x, y)) = self.spans() else { return Ok(()) };
        let mut chart = chart(page, &x, &y)?;
        if let Some((grid, probabilities)) = &self.regions {
            draw_regions(&mut chart, grid, probabilities)?;
        }
        let line = color::between(PAPER, INK, 0.35);
        for [ax, ay, bx, by] in self.segments.as_chunks::<4>().0 {
            let ends = vec![(f64::from(*ax), f64::from(*ay)), (f64::from(*bx), f64::from(*by))];
            chart.draw_series([PathElement::new(ends, pen(line, 0.8))])?;
        }
        for (i, class) in self.classes.iter().enumerate() {
            for point in class.shown() {
                // A thin ring of paper separates points that overlap.
                for (radius, color) in [(4.0, PAPER), (3.3, color::series(i))] {
                    chart.draw_series([Circle::new(point, units(radius), color.filled())])?;
                }
            }
        }
        Ok(())
    }
}

fn draw_regions<B: DrawingBackend>(
    chart: &mut Chart<'_, B>,
    grid: &Grid,
    probabilities: &[f32],
) -> Drawn<B> {
    let Grid { columns, rows, .. } = *grid;
    let given = probabilities.len() / grid.len();
    let classes = given.max(2);
    let probability = |point: usize, class: usize| match (given, class) {
        (1, 0) => 1.0 - f64::from(probabilities[point]),
        (1, _) => f64::from(probabilities[point]),
        _ => f64::from(probabilities[point * classes + class]),
    };
    // How far a class is ahead of the best of the others.
    let ahead = |point: usize, class: usize| {
        let others = (0..classes).filter(|&c| c != class).map(|c| probability(point, c));
        probability(point, class) - others.fold(f64::NEG_INFINITY, f64::max)
    };
    // The winner, and its certainty in few steps, so that neighbours are often equal and share a rectangle.
    let cell = |point: usize| {
        if !(0..classes).all(|c| probability(point, c).is_finite()) {
            return None;
        }
        // The first of equal ones, as in metrics: `max_by` gives the last.
        let from_last = (0..classes).rev();
        let winner =
            from_last.max_by(|&a, &b| probability(point, a).total_cmp(&probability(point, b)));
        winner.map(|w| (w, (ahead(point, w).clamp(0.0, 1.0) * 8.0).round() as u32))
    };
    for row in 0..rows {
        let cells: Vec<_> = (0..columns).map(|column| cell(row * columns + column)).collect();
        let mut column = 0;
        for run in cells.chunk_by(|a, b| a == b) {
            let end = column + run.len();
            if let Some((winner, certainty)) = run[0] {
                let shade = 0.12 + 0.3 * f64::from(certainty) / 8.0;
                let color = color::between(PAPER, color::series(winner), shade);
                // It covers up to half a cell around its points, and a little under what is drawn next, so that no seam
                // shows.
                let edge = |index: usize, count: usize, more: f64| {
                    (index as f64 - 0.5 + more).clamp(0.0, (count - 1) as f64)
                };
                let corners = [
                    grid.place(edge(column, columns, 0.0), edge(row, rows, 0.0)),
                    grid.place(edge(end, columns, 0.25), edge(row + 1, rows, 0.25)),
                ];
                chart.draw_series([Rectangle::new(corners, color.filled())])?;
            }
            column = end;
        }
    }
    // Each boundary separates two classes, so the last class needs no lines.
    for class in 0..classes - 1 {
        let values: Vec<f64> = (0..grid.len()).map(|point| ahead(point, class)).collect();
        let segments = grid.zeros(&values);
        chart.draw_series(
            segments.into_iter().map(|s| PathElement::new(s.to_vec(), pen(INK, 1.2))),
        )?;
    }
    Ok(())
}
