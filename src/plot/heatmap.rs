//! A heat map: a matrix of numbers as shades, with a name for each row and column.

use super::color::{self, INK, RULE};
use super::font::Font;
use super::legend::Key;
use super::page::{Drawn, Label, Page};
use crate::error::{Error, Result};
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::DrawingBackend;

/// Sizes of text, in pixels per em: names, and labels of axes.
const NAME: f64 = 12.5;
const LABEL: f64 = 13.5;
/// The least side of a cell, and the most room for a name.
const CELL: f64 = 18.0;
const LONGEST: f64 = 180.0;
/// The least side of the picture.
const LEAST: f64 = 150.0;
/// Blank between a name and its cells.
const GAP: f64 = 6.0;
/// The colour bar: its distance from the cells and its width.
pub(super) const BAR: (f64, f64) = (18.0, 14.0);

/// Numbers in rows and columns, a shade for each: the least of all is the lightest, the greatest the darkest. With the
/// weights of an attention, rows are queries and columns keys. Numbers that are not finite stay blank.
///
/// ```
/// # fn main() -> wgrad::Result<()> {
/// use wgrad::plot::Heatmap;
///
/// let weights = [0.9, 0.1, 0.0, 0.2, 0.1, 0.7];
/// let picture = Heatmap::new("attention", &["le", "chat"], &["the", "black", "cat"], &weights);
/// # let path = std::env::temp_dir().join(format!("wgrad-heatmap-{}.svg", std::process::id()));
/// picture.x("source").y("target").save(&path)?;
/// # std::fs::remove_file(path).ok();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Heatmap {
    pub(super) title: String,
    rows: Vec<String>,
    columns: Vec<String>,
    values: Vec<f32>,
    x: String,
    y: String,
}

/// The places of the parts, in pixels.
struct Layout {
    cell: f64,
    /// Names cut to fit.
    rows: Vec<String>,
    columns: Vec<String>,
    /// Room for names at the left and below, and for numbers at the colour bar.
    left: f64,
    below: f64,
    right: f64,
    /// Whether names below the columns read upwards.
    upwards: bool,
}

impl Heatmap {
    /// The matrix `values`, of shape `[rows, columns]`: row by row. An empty title takes no room.
    pub fn new<R: AsRef<str>, C: AsRef<str>>(
        title: impl Into<String>,
        rows: &[R],
        columns: &[C],
        values: &[f32],
    ) -> Self {
        Self {
            title: title.into(),
            rows: rows.iter().map(|n| n.as_ref().into()).collect(),
            columns: columns.iter().map(|n| n.as_ref().into()).collect(),
            values: values.to_vec(),
            x: String::new(),
            y: String::new(),
        }
    }

    /// What the columns are.
    #[must_use]
    pub fn x(mut self, label: impl Into<String>) -> Self {
        self.x = label.into();
        self
    }

    /// What the rows are.
    #[must_use]
    pub fn y(mut self, label: impl Into<String>) -> Self {
        self.y = label.into();
        self
    }

    /// Writes the picture: PNG or SVG, by the path's extension. Missing folders are made.
    ///
    /// # Errors
    /// Those of [`Figure::save`](super::Figure::save); [`Error::Data`] if there is no row or no column, or not a number
    /// for each pair of them.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        super::Figure::from(self.clone()).save(path)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        vec![]
    }

    pub(super) fn check(&self) -> Result<()> {
        let (rows, columns, found) = (self.rows.len(), self.columns.len(), self.values.len());
        if rows == 0 || columns == 0 || found != rows * columns {
            let detail = format!(
                "{found} numbers for {rows} rows and {columns} columns; give one per pair of a row and a column"
            );
            return Err(Error::data("heat map", detail));
        }
        Ok(())
    }

    /// The least and the greatest finite number.
    fn range(&self) -> [f64; 2] {
        let finite = self.values.iter().copied().filter(|v| v.is_finite()).map(f64::from);
        let around = |[low, high]: [f64; 2], v: f64| [low.min(v), high.max(v)];
        match finite.fold([f64::INFINITY, f64::NEG_INFINITY], around) {
            [low, high] if low <= high => [low, high],
            _ => [0.0, 0.0],
        }
    }

    /// The numbers at the ends of the colour bar, the greatest first.
    fn ends(&self) -> [String; 2] {
        let [low, high] = self.range();
        [high, low].map(|v| format!("{v:.2}"))
    }

    fn layout(&self, font: &Font) -> Layout {
        let cut = |names: &[String]| -> Vec<String> {
            names.iter().map(|n| font.cut(n, NAME, LONGEST)).collect()
        };
        let (rows, columns) = (cut(&self.rows), cut(&self.columns));
        let widest = font.widest(&columns, NAME);
        // Short names are horizontal; longer ones would run into each other.
        let upwards = widest > 64.0;
        let cell = if upwards { CELL } else { CELL.max(widest + GAP) };
        let below = if upwards { widest + GAP } else { 1.6 * NAME };
        let left = font.widest(&rows, NAME) + 2.0 * GAP;
        let right = BAR.0 + BAR.1 + GAP + font.widest(&self.ends(), NAME);
        Layout { cell, rows, columns, left, below, right, upwards }
    }

    pub(super) fn size(&self, font: &Font) -> (f64, f64) {
        let Layout { cell, left, below, right, .. } = self.layout(font);
        let (across, down) = (self.columns.len() as f64 * cell, self.rows.len() as f64 * cell);
        let width = 1.6 * LABEL + left + across + right;
        (width.max(LEAST), (NAME + down + below + 1.6 * LABEL).max(LEAST))
    }

    /// Draws what [`Heatmap::check`] accepted.
    pub(super) fn draw<B: DrawingBackend>(&self, page: &Page<'_, B>) -> Drawn<B> {
        let Layout { cell, rows, columns, left, below, right, upwards } = self.layout(page.font);
        let (across, down) = (columns.len() as f64 * cell, rows.len() as f64 * cell);
        let used = 1.6 * LABEL + left + across + right;
        let (x, y) = ((page.size().0 - used) / 2.0 + 1.6 * LABEL + left, NAME / 2.0);
        let [low, high] = self.range();
        for (row, values) in self.values.chunks(columns.len()).enumerate() {
            for (column, &value) in values.iter().enumerate().filter(|(_, v)| v.is_finite()) {
                let share = if high > low { (f64::from(value) - low) / (high - low) } else { 0.0 };
                let at = (x + column as f64 * cell, y + row as f64 * cell);
                page.rect(at, (cell, cell), color::shade(share))?;
            }
        }
        for (i, name) in rows.iter().enumerate() {
            let label =
                Label { anchor: (HPos::Right, VPos::Center), ..Label::new(name, NAME, LONGEST) };
            page.text(&label, (x - GAP, y + (i as f64 + 0.5) * cell))?;
        }
        for (i, name) in columns.iter().enumerate() {
            let middle = x + (i as f64 + 0.5) * cell;
            let label = Label::new(name, NAME, LONGEST);
            if upwards {
                let anchor = (HPos::Right, VPos::Center);
                page.text(&Label { upwards, anchor, ..label }, (middle, y + down + GAP))?;
            } else {
                page.text(&label, (middle, y + down + NAME))?;
            }
        }
        let corners = [(x, y), (x + across, y), (x + across, y + down), (x, y + down), (x, y)];
        page.line(&corners, 1.0, RULE)?;
        let edge = (x - left - 0.8 * LABEL, y + down + below + 0.8 * LABEL);
        page.text(&Label::new(&self.x, LABEL, across.max(LEAST)), (x + across / 2.0, edge.1))?;
        let label = Label { upwards: true, ..Label::new(&self.y, LABEL, down.max(LEAST)) };
        page.text(&label, (edge.0, y + down / 2.0))?;
        draw_bar(page, (x + across + BAR.0, y), down, &self.ends())
    }
}

/// The scale of shades, with the numbers at its upper and its lower end.
pub(super) fn draw_bar<B: DrawingBackend>(
    page: &Page<'_, B>,
    at: (f64, f64),
    height: f64,
    ends: &[String; 2],
) -> Drawn<B> {
    let steps = 64;
    let step = height / f64::from(steps);
    for i in 0..steps {
        let y = at.1 + f64::from(i) * step;
        let color = color::shade(1.0 - f64::from(i) / f64::from(steps - 1));
        // The step goes down to the end, under the next steps, so that no seam shows.
        page.rect((at.0, y), (BAR.1, at.1 + height - y), color)?;
    }
    let (left, right, bottom) = (at.0, at.0 + BAR.1, at.1 + height);
    let frame = [(left, at.1), (right, at.1), (right, bottom), (left, bottom), (left, at.1)];
    page.line(&frame, 1.0, INK)?;
    for (text, y) in ends.iter().zip([at.1, bottom]) {
        let label = Label { anchor: (HPos::Left, VPos::Center), ..Label::new(text, NAME, 200.0) };
        page.text(&label, (right + GAP, y))?;
    }
    Ok(())
}
