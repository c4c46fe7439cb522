//! A backend of plotters that paints with anti-aliased paths: what an SVG viewer would show, as pixels.

use super::font::Font;
use super::page::UNITS;
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
};
use std::convert::Infallible;
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform,
};

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// Draws on `pixels`; coordinates are in units of 1 / [`UNITS`] pixel.
pub(super) struct Raster<'a> {
    pub(super) pixels: &'a mut Pixmap,
    pub(super) font: &'a Font,
}

impl Raster<'_> {
    fn fill(&mut self, path: Option<Path>, color: BackendColor, transform: Transform) {
        if let Some(path) = path {
            self.pixels.fill_path(&path, &paint(color), FillRule::Winding, transform, None);
        }
    }

    fn stroke<S: BackendStyle>(&mut self, path: Option<Path>, style: &S) {
        let Some(path) = path else { return };
        let stroke = Stroke {
            width: style.stroke_width() as f32,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        self.pixels.stroke_path(&path, &paint(style.color()), &stroke, scale(), None);
    }
}

/// Units to pixels.
fn scale() -> Transform {
    let pixel = 1.0 / UNITS as f32;
    Transform::from_scale(pixel, pixel)
}

fn paint(color: BackendColor) -> Paint<'static> {
    let (r, g, b) = color.rgb;
    let mut opaque = Color::from_rgba8(r, g, b, 255);
    opaque.apply_opacity(color.alpha as f32);
    let mut paint = Paint::default();
    paint.set_color(opaque);
    paint
}

/// A path through the points; `None` for fewer than two.
fn polyline(points: impl IntoIterator<Item = BackendCoord>) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (i, (x, y)) in points.into_iter().enumerate() {
        match i {
            0 => path.move_to(x as f32, y as f32),
            _ => path.line_to(x as f32, y as f32),
        }
    }
    path.finish()
}

impl DrawingBackend for Raster<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.pixels.width() * UNITS, self.pixels.height() * UNITS)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &color, true)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        self.stroke(polyline([from, to]), style);
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let rect = Rect::from_ltrb(left as f32, top as f32, right as f32, bottom as f32);
        let path = rect.map(PathBuilder::from_rect);
        if fill {
            self.fill(path, style.color(), scale())
        } else {
            self.stroke(path, style)
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        self.stroke(polyline(path), style);
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let path = PathBuilder::from_circle(x as f32, y as f32, radius as f32);
        if fill {
            self.fill(path, style.color(), scale())
        } else {
            self.stroke(path, style)
        }
        Ok(())
    }

    /// Places text as the SVG backend asks a viewer to.
    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        let (path, length) = self.font.outline(text);
        let left = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -length / 2.0,
            HPos::Right => -length,
        };
        let middle = self.font.middle as f32;
        let baseline = match style.anchor().v_pos {
            VPos::Top => 0.76,
            VPos::Center => middle,
            VPos::Bottom => -middle,
        };
        let angle = match style.transform() {
            FontTransform::Rotate90 => 90.0,
            FontTransform::Rotate180 => 180.0,
            FontTransform::Rotate270 => 270.0,
            _ => 0.0,
        };
        // plotters counts a font's size as 1.24 em.
        let em = (style.size() / 1.24) as f32;
        let transform = scale()
            .pre_translate(x as f32, y as f32)
            .pre_concat(Transform::from_rotate(angle))
            .pre_scale(em, em)
            .pre_translate(left, baseline);
        self.fill(path, style.color(), transform);
        Ok(())
    }
}
