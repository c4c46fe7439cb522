//! A confusion matrix: counts of true against predicted classes.

use super::color::{self, RULE};
use super::font::Font;
use super::heatmap::{BAR, draw_bar};
use super::legend::Key;
use super::page::{Drawn, Label, Page};
use crate::error::{Error, Result};
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::DrawingBackend;

/// Sizes of text, in pixels per em: counts, class names, axis labels.
const COUNT: f64 = 13.0;
const NAME: f64 = 12.5;
const LABEL: f64 = 13.5;
/// The least side of a cell, and the most room for a class name.
const CELL: f64 = 40.0;
const LONGEST: f64 = 180.0;
/// The least side of the picture.
const LEAST: f64 = 150.0;
/// Blank between a name and its cells.
const GAP: f64 = 6.0;

/// A confusion matrix: how many samples of each true class (a row) were predicted as each class (a column), the
/// convention of scikit-learn. Each cell shows its count; a larger count is darker.
///
/// ```no_run
/// # fn main() -> wgrad::Result<()> {
/// use wgrad::plot::ConfusionMatrix;
///
/// let counts = [50_u32, 3, 7, 40];
/// ConfusionMatrix::new("test set", &["cat", "dog"], counts).save("out/confusion.png")?;
/// # Ok(())
/// # }
/// ```
///
/// A [`metrics::ConfusionMatrix`](crate::metrics::ConfusionMatrix) can give the counts:
///
/// ```
/// # fn main() -> wgrad::Result<()> {
/// use wgrad::metrics::confusion_matrix;
/// use wgrad::plot::ConfusionMatrix;
///
/// let matrix = confusion_matrix(&[0, 1, 1, 0], &[0, 1, 0, 0], 2)?;
/// let picture = ConfusionMatrix::new("test set", &["cat", "dog"], &matrix);
/// # let path = std::env::temp_dir().join(format!("wgrad-confusion-{}.svg", std::process::id()));
/// picture.save(&path)?;
/// # std::fs::remove_file(path).ok();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ConfusionMatrix {
    pub(super) title: String,
    names: Vec<String>,
    counts: Vec<u64>,
}

/// The places of the parts, in pixels.
struct Layout {
    cell: f64,
    /// The names, cut to fit, and their size per em.
    names: Vec<String>,
    name: f64,
    /// Room for names at the left and below, and for numbers at the colour bar.
    left: f64,
    below: f64,
    right: f64,
    /// Whether names below the columns read upwards.
    upwards: bool,
}

impl ConfusionMatrix {
    /// The matrix `counts`, of shape `[classes, classes]`: row by row, a row per true class. An empty title takes
    /// no room.
    pub fn new<S: AsRef<str>, C: Copy + Into<u64>>(
        title: impl Into<String>,
        names: &[S],
        counts: impl AsRef<[C]>,
    ) -> Self {
        Self {
            title: title.into(),
            names: names.iter().map(|n| n.as_ref().into()).collect(),
            counts: counts.as_ref().iter().map(|&c| c.into()).collect(),
        }
    }

    /// Writes the picture: PNG or SVG, by the path's extension. Missing folders are made.
    ///
    /// # Errors
    /// Those of [`Figure::save`](super::Figure::save); [`Error::Data`] if there is no class, or not a count per
    /// pair of classes.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        super::Figure::from(self.clone()).save(path)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        vec![]
    }

    pub(super) fn check(&self) -> Result<()> {
        let (classes, found) = (self.names.len(), self.counts.len());
        if classes == 0 || found != classes * classes {
            let detail =
                format!("{found} counts for {classes} classes; give one per pair of classes");
            return Err(Error::data("confusion matrix", detail));
        }
        Ok(())
    }

    fn most(&self) -> u64 {
        self.counts.iter().copied().max().unwrap_or(0)
    }

    fn layout(&self, font: &Font) -> Layout {
        // All names in one size, smaller if some are long.
        let name = NAME * (LONGEST / font.widest(&self.names, NAME)).clamp(0.75, 1.0);
        let cut: Vec<String> = self.names.iter().map(|n| font.cut(n, name, LONGEST)).collect();
        let names = font.widest(&cut, name);
        let counts: Vec<String> = self.counts.iter().map(ToString::to_string).collect();
        let cell = (font.widest(&counts, COUNT) + 10.0).max(CELL);
        // Short names are horizontal; longer ones would run into each other.
        let upwards = names > (cell - GAP).max(64.0);
        let cell = if upwards { cell } else { cell.max(names + GAP) };
        let below = if upwards { names + GAP } else { 1.6 * NAME };
        let right = BAR.0 + BAR.1 + GAP + font.width(&self.most().to_string(), NAME);
        Layout { cell, names: cut, name, left: names + 2.0 * GAP, below, right, upwards }
    }

    pub(super) fn size(&self, font: &Font) -> (f64, f64) {
        let Layout { cell, left, below, right, .. } = self.layout(font);
        let side = self.names.len() as f64 * cell;
        let width = 1.6 * LABEL + left + side + right;
        (width.max(LEAST), (NAME + side + below + 1.6 * LABEL).max(LEAST))
    }

    /// Draws what [`ConfusionMatrix::check`] accepted.
    pub(super) fn draw<B: DrawingBackend>(&self, page: &Page<'_, B>) -> Drawn<B> {
        let Layout { cell, names, name: size, left, below, right, upwards } =
            self.layout(page.font);
        let side = self.names.len() as f64 * cell;
        let used = 1.6 * LABEL + left + side + right;
        let (x, y) = ((page.size().0 - used) / 2.0 + 1.6 * LABEL + left, NAME / 2.0);
        let most = self.most().max(1) as f64;

        for (row, counts) in self.counts.chunks(self.names.len()).enumerate() {
            for (column, &count) in counts.iter().enumerate() {
                let at = (x + column as f64 * cell, y + row as f64 * cell);
                let ground = color::shade(count as f64 / most);
                page.rect(at, (cell, cell), ground)?;
                let text = count.to_string();
                let label = Label {
                    color: color::legible_on(ground),
                    ..Label::new(&text, COUNT, cell - 4.0)
                };
                page.text(&label, (at.0 + cell / 2.0, at.1 + cell / 2.0))?;
            }
        }
        for i in 0..=self.names.len() {
            let at = i as f64 * cell;
            page.line(&[(x, y + at), (x + side, y + at)], 1.0, RULE)?;
            page.line(&[(x + at, y), (x + at, y + side)], 1.0, RULE)?;
        }
        for (i, name) in names.iter().enumerate() {
            let middle = (i as f64 + 0.5) * cell;
            let beside =
                Label { anchor: (HPos::Right, VPos::Center), ..Label::new(name, size, LONGEST) };
            page.text(&beside, (x - GAP, y + middle))?;
            if upwards {
                let label = Label { upwards, ..beside };
                page.text(&label, (x + middle, y + side + GAP))?;
            } else {
                page.text(&Label::new(name, size, cell), (x + middle, y + side + NAME))?;
            }
        }
        let edge = (x - left - 0.8 * LABEL, y + side + below + 0.8 * LABEL);
        page.text(&Label::new("predicted", LABEL, LEAST), (x + side / 2.0, edge.1))?;
        let label = Label { upwards: true, ..Label::new("true", LABEL, LEAST) };
        page.text(&label, (edge.0, y + side / 2.0))?;
        let ends = [self.most(), 0].map(|count| count.to_string());
        draw_bar(page, (x + side + BAR.0, y), side, &ends)
    }
}
