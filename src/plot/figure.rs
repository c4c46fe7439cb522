//! A figure: panels in rows, under one title, as PNG or SVG.

use super::font::Font;
use super::legend::{self, Key};
use super::page::{Drawn, Label, Page, UNITS};
use super::raster::Raster;
use super::{ConfusionMatrix, Curves, Heatmap, ImageGrid, Scatter, color};
use crate::error::{Error, Result};
use plotters::backend::SVGBackend;
use plotters::drawing::{DrawingAreaErrorKind, IntoDrawingArea};
use plotters_backend::DrawingBackend;
use std::borrow::Cow;

/// Sizes of the figure's and of a panel's title, in pixels per em.
const TITLE: f64 = 19.0;
const PANEL_TITLE: f64 = 15.0;
/// The height of a line of text, in ems.
const LINE: f64 = 1.7;
/// Blank around the figure, and between panels.
const MARGIN: f64 = 12.0;
const GUTTER: f64 = 18.0;
/// The width that a panel grows to for its title.
const WIDEST_TITLE: f64 = 480.0;
/// The greatest width and height, in pixels.
const GREATEST: f64 = 16_384.0;

/// A picture, as one panel of a [`Figure`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Panel {
    /// Lines.
    Curves(Curves),
    /// Points in the plane.
    Scatter(Scatter),
    /// Counts of true against predicted classes.
    ConfusionMatrix(ConfusionMatrix),
    /// A matrix of numbers.
    Heatmap(Heatmap),
    /// Small images with captions.
    ImageGrid(ImageGrid),
}

/// Expands to the same call on each kind of panel.
macro_rules! each {
    ($panel:expr, $p:ident => $call:expr) => {
        match $panel {
            Panel::Curves($p) => $call,
            Panel::Scatter($p) => $call,
            Panel::ConfusionMatrix($p) => $call,
            Panel::Heatmap($p) => $call,
            Panel::ImageGrid($p) => $call,
        }
    };
}

/// One or more pictures side by side, each in a panel of the same size.
///
/// Panels whose legends are equal share one, under the figure's title.
///
/// ```no_run
/// # fn main() -> wgrad::Result<()> {
/// use wgrad::plot::{Curves, Figure};
///
/// let pair = |name: &str, train: &[f32], validation: &[f32]| {
///     Curves::new(name).x("epoch").y("loss").values("loss", train).values("val_loss", validation)
/// };
/// Figure::new("Overfitting")
///     .panel(pair("no regularizer", &[0.6, 0.1], &[0.7, 0.9]))
///     .panel(pair("L2 0.01", &[0.7, 0.3], &[0.7, 0.5]))
///     .share_y()
///     .save("out/overfitting.svg")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Figure {
    title: String,
    panels: Vec<Panel>,
    columns: Option<usize>,
    share_y: bool,
}

impl<P: Into<Panel>> From<P> for Figure {
    /// The picture alone.
    fn from(picture: P) -> Self {
        Self::new("").panel(picture)
    }
}

/// The places of all parts, in pixels.
struct Layout {
    columns: usize,
    /// Keys of the legend that all panels share, empty for none.
    shared: Vec<Key>,
    /// Height of the figure's title, and of that and the shared legend.
    title: f64,
    head: f64,
    /// Height of each panel's title.
    panel_title: f64,
    /// Width and height of each panel, head and body.
    cell: (f64, f64),
    width: u32,
    height: u32,
}

impl Figure {
    /// A figure without panels; an empty title takes no room.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), panels: vec![], columns: None, share_y: false }
    }

    /// Adds a panel to the right of the last, or below it if the row is full.
    #[must_use]
    pub fn panel(mut self, picture: impl Into<Panel>) -> Self {
        self.panels.push(picture.into());
        self
    }

    /// Gives all panels of curves the same vertical range, which contains the range of each, to compare them. If one
    /// panel has [limits](Curves::limit_y), all have them.
    #[must_use]
    pub const fn share_y(mut self) -> Self {
        self.share_y = true;
        self
    }

    /// The figure with what its panels share in each of them. Panels may be added after [`Figure::share_y`], so this
    /// waits until the figure is drawn.
    fn shared(&self) -> Cow<'_, Self> {
        let curves = self.panels.iter().filter_map(|panel| match panel {
            Panel::Curves(curves) => Some(curves),
            _ => None,
        });
        let limited = curves.clone().any(|curves| curves.limit_y.is_some());
        let union = curves.filter_map(Curves::y_range).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let Some((low, high)) = union.filter(|_| self.share_y) else { return Cow::Borrowed(self) };
        let mut figure = self.clone();
        for panel in &mut figure.panels {
            if let Panel::Curves(curves) = panel {
                curves.include_y.extend([low, high]);
                curves.limit_y = limited.then_some((low, high));
            }
        }
        Cow::Owned(figure)
    }

    /// Panels in a row. Without this call, as many as make the figure about square.
    #[must_use]
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = Some(columns);
        self
    }

    /// Writes the figure: PNG or SVG, by the path's extension. Missing folders are made.
    ///
    /// # Errors
    /// [`Error::File`] for another extension; [`Error::Io`] if the file cannot be written; those of
    /// [`Figure::png`]. Nothing is written then.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        let path = path.as_ref();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let bytes = match extension.as_str() {
            "png" => self.png()?,
            "svg" => self.svg()?.into_bytes(),
            _ => {
                return Err(Error::File {
                    path: path.display().to_string(),
                    field: "extension".into(),
                    detail: format!("`{extension}` is no format of pictures; use `png` or `svg`"),
                });
            }
        };
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder.map_err(|cause| crate::files::io(path, cause))?;
        crate::files::write(path, &bytes)
    }

    /// Width and height in pixels.
    ///
    /// # Errors
    /// As [`Figure::png`].
    pub fn size(&self) -> Result<(u32, u32)> {
        let layout = self.shared().layout(&Font::load()?)?;
        Ok((layout.width, layout.height))
    }

    /// The figure as a PNG file.
    ///
    /// # Errors
    /// [`Error::Data`] for a figure without panels, or naming what a panel cannot show; [`Error::Parameter`] for
    /// a panel that is too small, a figure that is too large, or no columns.
    pub fn png(&self) -> Result<Vec<u8>> {
        let (font, figure) = (Font::load()?, self.shared());
        let layout = figure.layout(&font)?;
        let mut pixels = tiny_skia::Pixmap::new(layout.width, layout.height)
            .ok_or_else(|| Error::internal("picture", "no memory for its pixels"))?;
        figure.draw(Raster { pixels: &mut pixels, font: &font }, &font, &layout)?;
        pixels.encode_png().map_err(|e| Error::internal("picture", e.to_string()))
    }

    /// The figure as the text of an SVG file.
    ///
    /// # Errors
    /// As [`Figure::png`].
    pub fn svg(&self) -> Result<String> {
        let (font, figure) = (Font::load()?, self.shared());
        let layout = figure.layout(&font)?;
        let (width, height) = (layout.width, layout.height);
        let mut text = String::new();
        let units = (width * UNITS, height * UNITS);
        figure.draw(SVGBackend::with_string(&mut text, units), &font, &layout)?;
        // The backend takes units for pixels: only its `viewBox` is in units.
        let backend = format!("<svg width=\"{}\" height=\"{}\"", units.0, units.1);
        let round = "stroke-linejoin=\"round\" stroke-linecap=\"round\"";
        let own = format!("<svg width=\"{width}\" height=\"{height}\" {round}");
        Ok(text.replacen(&backend, &own, 1))
    }

    fn layout(&self, font: &Font) -> Result<Layout> {
        let count = self.panels.len();
        if count == 0 {
            return Err(Error::data(&self.title, "the figure has no panel; add one"));
        }
        let columns = self.columns.unwrap_or_else(|| (count as f64).sqrt().ceil() as usize);
        if columns == 0 {
            return Err(Error::parameter("columns", 0, "a row holds at least one panel"));
        }
        let columns = columns.min(count);
        let mut body = (0.0_f64, 0.0_f64);
        for panel in &self.panels {
            each!(panel, p => p.check())?;
            let (width, height) = each!(panel, p => p.size(font));
            // Small pictures are widened for their title.
            let title = font.width(each!(panel, p => &p.title), PANEL_TITLE).min(WIDEST_TITLE);
            let width = width.max(title);
            // Whole pixels, because images begin on them.
            body = (body.0.max(width.ceil()), body.1.max(height.ceil()));
        }
        let rows = count.div_ceil(columns);
        let (across, down) = (columns as f64, rows as f64);
        let inner = across * body.0 + (across - 1.0) * GUTTER;

        let keys: Vec<Vec<Key>> = self.panels.iter().map(|p| each!(p, p => p.keys())).collect();
        let same = count > 1 && keys.iter().all(|k| *k == keys[0]);
        let shared = if same { keys[0].clone() } else { vec![] };
        let line = |size: f64, empty: bool| if empty { 0.0 } else { (size * LINE).ceil() };
        let title = line(TITLE, self.title.is_empty());
        let head = title + legend::height(font, &shared, inner);
        let head = if shared.is_empty() { head } else { head + GUTTER / 2.0 };
        let untitled = self.panels.iter().all(|p| each!(p, p => p.title.is_empty()));
        let panel_title = line(PANEL_TITLE, untitled);
        let legends = keys.iter().filter(|_| !same).map(|k| legend::height(font, k, body.0));
        let cell = (body.0, panel_title + legends.fold(0.0, f64::max) + body.1);

        let width = inner + 2.0 * MARGIN;
        let height = head + down * cell.1 + (down - 1.0) * GUTTER + 2.0 * MARGIN;
        if width.max(height) > GREATEST {
            let detail = format!("pictures are at most {GREATEST} pixels wide and high; show less");
            return Err(Error::parameter("size", format!("{width:.0} x {height:.0}"), detail));
        }
        let (width, height) = (width.ceil() as u32, height.ceil() as u32);
        Ok(Layout { columns, shared, title, head, panel_title, cell, width, height })
    }

    fn draw<B: DrawingBackend>(&self, backend: B, font: &Font, layout: &Layout) -> Result<()> {
        self.paint(backend, font, layout).map_err(|e: DrawingAreaErrorKind<B::ErrorType>| {
            Error::internal("picture", format!("drawing failed: {e}"))
        })
    }

    fn paint<B: DrawingBackend>(&self, backend: B, font: &Font, layout: &Layout) -> Drawn<B> {
        let paper = Page { area: backend.into_drawing_area(), font };
        paper.area.fill(&color::PAPER)?;
        let (width, height) = paper.size();
        let page = paper.part((MARGIN, MARGIN), (width - 2.0 * MARGIN, height - 2.0 * MARGIN));
        let (width, height) = page.size();
        let heading = |page: &Page<'_, B>, text: &str, size: f64| {
            let width = page.size().0;
            page.text(&Label::new(text, size, width), (width / 2.0, 0.6 * size))
        };
        heading(&page, &self.title, TITLE)?;
        legend::draw(&page.part((0.0, layout.title), (width, height)), &layout.shared)?;
        for (i, panel) in self.panels.iter().enumerate() {
            let (column, row) = ((i % layout.columns) as f64, (i / layout.columns) as f64);
            let (across, down) = layout.cell;
            let corner = (column * (across + GUTTER), layout.head + row * (down + GUTTER));
            let cell = page.part(corner, layout.cell);
            heading(&cell, each!(panel, p => &p.title), PANEL_TITLE)?;
            let keys = if layout.shared.is_empty() { each!(panel, p => p.keys()) } else { vec![] };
            let below = cell.part((0.0, layout.panel_title), (across, down - layout.panel_title));
            legend::draw(&below, &keys)?;
            // A panel with a shorter legend has more room than the one with the tallest.
            let top = layout.panel_title + legend::height(font, &keys, across);
            each!(panel, p => p.draw(&cell.part((0.0, top), (across, down - top))))?;
        }
        page.area.present()
    }
}
