//! A part of a picture in pixels, and the marks on it.
//!
//! plotters places everything on whole units. A unit is a fraction of a pixel, so that a curve's points are not
//! rounded to pixels; both backends scale units back.

use super::font::{FAMILY, Font};
use super::line::Dash;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::element::{Circle, DashedPathElement, PathElement, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle,
};
use plotters_backend::DrawingBackend;

/// Units in a pixel.
pub(super) const UNITS: u32 = 8;

/// What drawing on the backend `B` returns.
pub(super) type Drawn<B, T = ()> =
    Result<T, DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// A point in pixels, from the upper left corner.
pub(super) type Point = (f64, f64);

/// Pixels as units.
pub(super) fn units(pixels: f64) -> i32 {
    (pixels * f64::from(UNITS)).round() as i32
}

/// A line of `width` pixels.
pub(super) fn pen(color: RGBColor, width: f64) -> ShapeStyle {
    color.stroke_width(units(width).max(1).unsigned_abs())
}

/// The style of text of `size` pixels per em.
pub(super) fn text_style(size: f64, color: RGBColor) -> TextStyle<'static> {
    // plotters counts a font's size as 1.24 em.
    let size = 1.24 * size * f64::from(UNITS);
    let font = FontDesc::new(FontFamily::Name(FAMILY), size, FontStyle::Normal);
    TextStyle { font, color: color.to_backend_color(), pos: Pos::default() }
}

/// A line of text.
pub(super) struct Label<'a> {
    pub text: &'a str,
    /// Pixels per em.
    pub size: f64,
    pub color: RGBColor,
    /// The length that it must not exceed, in pixels.
    pub space: f64,
    /// The point of the text that is placed.
    pub anchor: (HPos, VPos),
    /// Whether it reads upwards.
    pub upwards: bool,
}

impl<'a> Label<'a> {
    /// Text centred on its place.
    pub(super) fn new(text: &'a str, size: f64, space: f64) -> Self {
        let anchor = (HPos::Center, VPos::Center);
        Self { text, size, color: super::color::INK, space, anchor, upwards: false }
    }
}

/// A rectangular part of a picture.
pub(super) struct Page<'a, B: DrawingBackend> {
    pub area: DrawingArea<B, Shift>,
    pub font: &'a Font,
}

impl<B: DrawingBackend> Page<'_, B> {
    /// Width and height.
    pub(super) fn size(&self) -> (f64, f64) {
        let (width, height) = self.area.dim_in_pixel();
        (f64::from(width) / f64::from(UNITS), f64::from(height) / f64::from(UNITS))
    }

    /// The part from `at`, of this width and height.
    pub(super) fn part(&self, at: Point, (width, height): (f64, f64)) -> Self {
        let corner = (units(at.0), units(at.1));
        let area = self.area.clone().shrink(corner, (units(width), units(height)));
        Self { area, font: self.font }
    }

    /// Fills a rectangle.
    pub(super) fn rect(&self, at: Point, (width, height): (f64, f64), color: RGBColor) -> Drawn<B> {
        let from = (units(at.0), units(at.1));
        let to = (units(at.0 + width), units(at.1 + height));
        self.area.draw(&Rectangle::new([from, to], color.filled()))
    }

    /// A line of `width` pixels through the points.
    pub(super) fn line(&self, points: &[Point], width: f64, color: RGBColor) -> Drawn<B> {
        self.dashed_line(points, width, (color, Dash::Solid))
    }

    /// A line of this colour and pattern.
    pub(super) fn dashed_line(
        &self,
        points: &[Point],
        width: f64,
        (color, dash): (RGBColor, Dash),
    ) -> Drawn<B> {
        let points: Vec<_> = points.iter().map(|p| (units(p.0), units(p.1))).collect();
        match dash.lengths() {
            None => self.area.draw(&PathElement::new(points, pen(color, width))),
            Some((stroke, blank)) => {
                let (stroke, blank) = (units(stroke), units(blank));
                self.area.draw(&DashedPathElement::new(points, stroke, blank, pen(color, width)))
            }
        }
    }

    /// Fills a circle.
    pub(super) fn dot(&self, at: Point, radius: f64, color: RGBColor) -> Drawn<B> {
        self.area.draw(&Circle::new((units(at.0), units(at.1)), units(radius), color.filled()))
    }

    /// Writes a line of text at a place, made to fit its space.
    pub(super) fn text(&self, label: &Label<'_>, at: Point) -> Drawn<B> {
        let (text, size) = self.font.fit(label.text, label.size, label.space);
        if text.is_empty() {
            return Ok(());
        }
        let mut style = text_style(size, label.color);
        style.pos = Pos::new(label.anchor.0, label.anchor.1);
        if label.upwards {
            style = style.transform(FontTransform::Rotate270);
        }
        self.area.draw_text(&text, &style, (units(at.0), units(at.1)))
    }
}
