//! The embedded font: outlines, measuring, and making a line of text fit.
//!
//! Sizes are in pixels per em, as in CSS.

use crate::error::{Error, Result};
use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

static BYTES: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");

/// What an SVG asks for: the embedded font, then fonts about as wide.
pub(super) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

/// Text may shrink to this part of its size before it is cut.
const SMALLEST: f64 = 0.75;

/// Pixels by which text may exceed its space: rounding.
const SLACK: f64 = 0.01;

/// The embedded font.
#[derive(Clone)]
pub(super) struct Font {
    face: Face<'static>,
    /// Half the height of a small x, in ems: text centred on a point moves down by this.
    pub(super) middle: f64,
}

impl Font {
    pub(super) fn load() -> Result<Self> {
        let face = Face::parse(BYTES, 0).map_err(|e| Error::internal("font", e.to_string()))?;
        let em = f64::from(face.units_per_em());
        let x_height = face.x_height().map_or(0.5, |h| f64::from(h) / em);
        Ok(Self { face, middle: x_height / 2.0 })
    }

    /// Each character's glyph and its distance from the line's start in font units; and the line's length.
    fn layout(&self, text: &str) -> (Vec<(GlyphId, i32)>, i32) {
        let (mut glyphs, mut at) = (Vec::new(), 0);
        for c in text.chars() {
            // Glyph 0 is the box for a missing character.
            let glyph = self.face.glyph_index(c).unwrap_or(GlyphId(0));
            if let Some(&(left, _)) = glyphs.last() {
                at += self.kerning(left, glyph);
            }
            glyphs.push((glyph, at));
            at += i32::from(self.face.glyph_hor_advance(glyph).unwrap_or(0));
        }
        (glyphs, at)
    }

    fn kerning(&self, left: GlyphId, right: GlyphId) -> i32 {
        let tables = self.face.tables().kern.into_iter().flat_map(|kern| kern.subtables);
        let mut horizontal = tables.filter(|t| t.horizontal && !t.variable);
        horizontal.find_map(|t| t.glyphs_kerning(left, right)).map_or(0, i32::from)
    }

    /// The length of a line of text, in pixels.
    pub(super) fn width(&self, text: &str, size: f64) -> f64 {
        f64::from(self.layout(text).1) * size / f64::from(self.face.units_per_em())
    }

    /// The greatest length of several lines, in pixels.
    pub(super) fn widest<S: AsRef<str>>(&self, lines: &[S], size: f64) -> f64 {
        lines.iter().map(|l| self.width(l.as_ref(), size)).fold(0.0, f64::max)
    }

    /// The text and the size at which it is at most `space` pixels long: smaller first, then cut.
    pub(super) fn fit(&self, text: &str, size: f64, space: f64) -> (String, f64) {
        let width = self.width(text, size);
        // A text that was measured to fit keeps its size, however it rounds.
        let size = if width > space + SLACK { size * (space / width).max(SMALLEST) } else { size };
        (self.cut(text, size, space), size)
    }

    /// The text, cut with an ellipsis if it is longer than `space` pixels. Control characters, which XML
    /// forbids, become blanks.
    pub(super) fn cut(&self, text: &str, size: f64, space: f64) -> String {
        let text: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let cuts = (1..text.len()).rev().map(|kept| text[..kept].iter().chain(&['…']).collect());
        let mut tries = std::iter::once(text.iter().collect()).chain(cuts);
        tries.find(|t: &String| self.width(t, size) <= space + SLACK).unwrap_or_default()
    }

    /// The outline of a line of text in ems, y downwards, from its baseline's start; and its length. The path is
    /// `None` if there is nothing to draw.
    pub(super) fn outline(&self, text: &str) -> (Option<Path>, f32) {
        let (glyphs, length) = self.layout(text);
        let em = f32::from(self.face.units_per_em());
        let mut pen = Pen { path: PathBuilder::new(), x: 0.0, em };
        for (glyph, x) in glyphs {
            pen.x = x as f32;
            // `None` for a blank.
            let _ = self.face.outline_glyph(glyph, &mut pen);
        }
        (pen.path.finish(), length as f32 / em)
    }
}

/// Turns font units, y upwards, into ems, y downwards.
struct Pen {
    path: PathBuilder,
    x: f32,
    em: f32,
}

impl Pen {
    fn to(&self, x: f32, y: f32) -> (f32, f32) {
        ((x + self.x) / self.em, -y / self.em)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.to(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.to(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.to(x1, y1), self.to(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.to(x1, y1), self.to(x2, y2), self.to(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::Font;
    use crate::error::Result;

    #[test]
    fn lines_are_measured_and_fitted() -> Result<()> {
        let font = Font::load()?;
        assert_eq!(font.width("", 10.0), 0.0);
        let (one, two) = (font.width("m", 10.0), font.width("mm", 10.0));
        assert!(one > 5.0 && (two - 2.0 * one).abs() < 0.01, "{one} {two}");
        assert!(font.width("AV", 10.0) < font.width("A", 10.0) + font.width("V", 10.0));
        assert!(font.width("∂ψ⁻", 10.0) > 10.0);

        assert_eq!(font.fit("loss\n", 10.0, 100.0), ("loss ".into(), 10.0));
        let long = "a rather long name";
        let (text, size) = font.fit(long, 10.0, 0.9 * font.width(long, 10.0));
        assert_eq!((text.as_str(), (size * 10.0).round()), (long, 90.0));
        let (text, size) = font.fit(long, 10.0, 50.0);
        assert!(text.ends_with('…') && font.width(&text, size) <= 50.01, "{text} {size}");
        assert_eq!(font.fit(long, 10.0, 0.0).0, "");
        Ok(())
    }

    #[test]
    fn blanks_have_no_outline() -> Result<()> {
        let font = Font::load()?;
        assert!(font.outline(" ").0.is_none());
        let (path, length) = font.outline("x");
        let bounds = path.map(|p| p.bounds());
        assert!(bounds.is_some_and(|b| b.top() < -0.5 && b.right() < length && length < 1.0));
        // A character that the font lacks shows as a box.
        assert!(font.outline("\u{4e2d}").0.is_some());
        Ok(())
    }
}
