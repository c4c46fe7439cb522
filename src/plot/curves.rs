//! Curves: histories of training, and functions.

use super::axis::{Scale, Span};
use super::chart::{chart, check_size};
use super::font::Font;
use super::legend::{Key, Swatch};
use super::line;
use super::page::{Drawn, Page, pen, units};
use crate::error::{Error, Result};
use plotters::element::{Circle, DashedPathElement, PathElement};
use plotters::style::Color;
use plotters_backend::DrawingBackend;

/// Named series against epochs, seconds or any other numbers, each a line.
///
/// Values that are not finite, and on a logarithmic axis those that are not positive, are gaps: the line is broken
/// there. A value between two gaps shows as a dot. From the ninth series on lines are dashed, from the seventeenth
/// on dotted.
///
/// ```no_run
/// # fn main() -> wgrad::Result<()> {
/// use wgrad::plot::Curves;
///
/// let (loss, val_loss) = ([0.9, 0.4, 0.2], [1.0, 0.6, 0.5]);
/// Curves::new("a small network")
///     .x("epoch")
///     .y("loss")
///     .values("loss", &loss)
///     .values("val_loss", &val_loss)
///     .save("out/loss.png")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Curves {
    pub(super) title: String,
    x: (String, Scale),
    y: (String, Scale),
    series: Vec<Series>,
    /// Values that the vertical axis reaches at least.
    pub(super) include_y: Vec<f64>,
    /// The ends of the vertical axis, independent of the values.
    pub(super) limit_y: Option<(f64, f64)>,
    size: (u32, u32),
}

#[derive(Debug, Clone)]
struct Series {
    name: String,
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Curves {
    /// A picture without series; an empty title takes no room.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            x: Default::default(),
            y: Default::default(),
            series: vec![],
            include_y: vec![],
            limit_y: None,
            size: (640, 420),
        }
    }

    /// The label of the horizontal axis.
    #[must_use]
    pub fn x(mut self, label: impl Into<String>) -> Self {
        self.x.0 = label.into();
        self
    }

    /// The label of the vertical axis.
    #[must_use]
    pub fn y(mut self, label: impl Into<String>) -> Self {
        self.y.0 = label.into();
        self
    }

    /// Makes the horizontal axis logarithmic.
    #[must_use]
    pub fn log_x(mut self) -> Self {
        self.x.1 = Scale::Log;
        self
    }

    /// Makes the vertical axis logarithmic.
    #[must_use]
    pub fn log_y(mut self) -> Self {
        self.y.1 = Scale::Log;
        self
    }

    /// Makes the vertical axis reach at least from `low` to `high`: 0 to 1 for an accuracy, or the same range for
    /// pictures to compare.
    #[must_use]
    pub fn include_y(mut self, low: f64, high: f64) -> Self {
        self.include_y.extend([low, high]);
        self
    }

    /// Makes the vertical axis reach from `low` to `high` and no further: a line that leaves this range ends at its
    /// limit. This way a few large values at the start do not squeeze the others together.
    #[must_use]
    pub const fn limit_y(mut self, low: f64, high: f64) -> Self {
        self.limit_y = Some((low, high));
        self
    }

    /// Adds a series: as many places `x` as values `y`, joined in the order given.
    #[must_use]
    pub fn series<X, Y>(mut self, name: impl Into<String>, x: &[X], y: &[Y]) -> Self
    where
        X: Copy + Into<f64>,
        Y: Copy + Into<f64>,
    {
        let x = x.iter().map(|&v| v.into()).collect();
        let y = y.iter().map(|&v| v.into()).collect();
        self.series.push(Series { name: name.into(), x, y });
        self
    }

    /// Adds a series whose values are at 1, 2, 3, ...: a number per epoch.
    #[must_use]
    pub fn values<Y: Copy + Into<f64>>(self, name: impl Into<String>, y: &[Y]) -> Self {
        let x: Vec<f64> = (1..=y.len()).map(|i| i as f64).collect();
        self.series(name, &x, y)
    }

    /// Width and height in pixels, without title and legend: at least 240 by 160, and
    /// 640 by 420 unless this is called.
    #[must_use]
    pub fn panel_size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }

    /// Writes the picture: PNG or SVG, by the path's extension. Missing folders are made.
    ///
    /// # Errors
    /// Those of [`Figure::save`](super::Figure::save); [`Error::Data`] naming the series if it is empty, has other
    /// counts of places and values, or nothing that can be shown.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        super::Figure::from(self.clone()).save(path)
    }

    pub(super) fn size(&self, _font: &Font) -> (f64, f64) {
        (self.size.0.into(), self.size.1.into())
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        let key = |(i, s): (usize, &Series)| {
            let (color, dash) = line::style(i);
            Key { name: s.name.clone(), color, swatch: Swatch::Line(dash) }
        };
        self.series.iter().enumerate().map(key).collect()
    }

    pub(super) fn check(&self) -> Result<()> {
        check_size(self.size)?;
        if let Some((low, high)) = self.limit_y
            && !(self.y.1.shows(low) && self.y.1.shows(high) && low < high)
        {
            let detail = "finite numbers, the lower first, both positive on a logarithmic axis";
            return Err(Error::parameter("limit_y", format!("{low} to {high}"), detail));
        }
        if self.series.is_empty() {
            return Err(Error::data(&self.title, "the picture has no series; add one"));
        }
        for series in &self.series {
            let Series { name, x, y } = series;
            if x.len() != y.len() {
                let detail = format!("{} places for {} values", x.len(), y.len());
                return Err(Error::data(name, detail));
            }
            if y.is_empty() {
                return Err(Error::data(name, "the series is empty"));
            }
            if self.runs(series).is_empty() {
                let detail =
                    "no value can be shown: none is finite, or positive on a logarithmic axis";
                return Err(Error::data(name, detail));
            }
        }
        self.spans().map(|_| ())
    }

    /// The stretches of a series between its gaps.
    fn runs(&self, series: &Series) -> Vec<Vec<(f64, f64)>> {
        let points: Vec<_> = series.x.iter().copied().zip(series.y.iter().copied()).collect();
        let gap = |&(x, y): &(f64, f64)| !(self.x.1.shows(x) && self.y.1.shows(y));
        points.split(gap).filter(|run| !run.is_empty()).map(<[_]>::to_vec).collect()
    }

    /// The parts of these stretches within the limits.
    fn shown(&self, series: &Series) -> Vec<Vec<(f64, f64)>> {
        let runs = self.runs(series);
        let Some(limits) = self.limit_y else { return runs };
        let scales = (self.x.1, self.y.1);
        runs.iter().flat_map(|run| line::within(run, limits, scales)).collect()
    }

    /// The least and the greatest value that the vertical axis reaches at least.
    pub(super) fn y_range(&self) -> Option<(f64, f64)> {
        if self.limit_y.is_some() {
            return self.limit_y;
        }
        let shown = self.series.iter().flat_map(|s| self.runs(s).concat()).map(|p| p.1);
        let included = self.include_y.iter().copied().filter(|&y| self.y.1.shows(y));
        let all = shown.chain(included).map(|y| (y, y));
        all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// The axes of all that is shown.
    fn spans(&self) -> Result<(Span, Span)> {
        let shown: Vec<_> = self.series.iter().flat_map(|s| self.runs(s).concat()).collect();
        let x = Span::of(&self.x.0, self.x.1, 0.02, shown.iter().map(|p| p.0))?;
        let y = match self.limit_y {
            Some((low, high)) => Span::of(&self.y.0, self.y.1, 0.0, [low, high].into_iter())?,
            None => {
                let y = shown.iter().map(|p| p.1).chain(self.include_y.iter().copied());
                Span::of(&self.y.0, self.y.1, 0.05, y)?
            }
        };
        Ok((x, y))
    }

    /// Draws what [`Curves::check`] accepted.
    pub(super) fn draw<B: DrawingBackend>(&self, page: &Page<'_, B>) -> Drawn<B> {
        let Ok((x, y)) = self.spans() else { return Ok(()) };
        let mut chart = chart(page, &x, &y)?;
        for (i, series) in self.series.iter().enumerate() {
            let (color, dash) = line::style(i);
            let pen = pen(color, 1.8);
            for run in self.shown(series) {
                if let [dot] = run[..] {
                    chart.draw_series([Circle::new(dot, units(3.0), color.filled())])?;
                } else if let Some((stroke, blank)) = dash.lengths() {
                    let (stroke, blank) = (units(stroke), units(blank));
                    chart.draw_series([DashedPathElement::new(run, stroke, blank, pen)])?;
                } else {
                    chart.draw_series([PathElement::new(run, pen)])?;
                }
            }
        }
        Ok(())
    }
}
