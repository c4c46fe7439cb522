//! A legend: keys in rows above what they explain, so that they cover nothing.

use super::font::Font;
use super::line::Dash;
use super::page::{Drawn, Label, Page};
use plotters::style::RGBColor;
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::DrawingBackend;

const SIZE: f64 = 12.5;
const ROW: f64 = 19.0;
const SWATCH: f64 = 22.0;
/// Blank between a swatch and its name, and between keys.
const GAPS: (f64, f64) = (6.0, 18.0);

/// What a key shows next to the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swatch {
    Line(Dash),
    Dot,
}

/// A name and how it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub name: String,
    pub color: RGBColor,
    pub swatch: Swatch,
}

/// The width of each column of keys: in one row as wide as the keys are, else all alike.
fn columns(font: &Font, keys: &[Key], space: f64) -> Vec<f64> {
    let width = |k: &Key| SWATCH + GAPS.0 + font.width(&k.name, SIZE).min(space - SWATCH - GAPS.0);
    let widths: Vec<f64> = keys.iter().map(width).collect();
    if widths.iter().sum::<f64>() + GAPS.1 * widths.len() as f64 <= space + GAPS.1 {
        return widths;
    }
    let widest = widths.iter().copied().fold(0.0, f64::max);
    let count = ((space + GAPS.1) / (widest + GAPS.1)).max(1.0) as usize;
    // There are no more columns than the rows need: three and one become two and two.
    let rows = keys.len().div_ceil(count);
    vec![widest; keys.len().div_ceil(rows)]
}

/// The height of a legend in a page of this width.
pub(super) fn height(font: &Font, keys: &[Key], space: f64) -> f64 {
    match columns(font, keys, space).len() {
        0 => 0.0,
        columns => keys.len().div_ceil(columns) as f64 * ROW,
    }
}

/// Draws the legend from the page's upper edge, centred.
pub(super) fn draw<B: DrawingBackend>(page: &Page<'_, B>, keys: &[Key]) -> Drawn<B> {
    let (space, _) = page.size();
    let widths = columns(page.font, keys, space);
    let total: f64 = widths.iter().map(|w| w + GAPS.1).sum::<f64>() - GAPS.1;
    for (i, row) in keys.chunks(widths.len().max(1)).enumerate() {
        let (mut x, y) = ((space - total) / 2.0, (i as f64 + 0.5) * ROW);
        for (key, width) in row.iter().zip(&widths) {
            match key.swatch {
                Swatch::Line(dash) => {
                    page.dashed_line(&[(x, y), (x + SWATCH, y)], 2.5, (key.color, dash))?;
                }
                Swatch::Dot => page.dot((x + SWATCH - 6.0, y), 4.5, key.color)?,
            }
            let name = Label {
                anchor: (HPos::Left, VPos::Center),
                ..Label::new(&key.name, SIZE, width - SWATCH - GAPS.0)
            };
            page.text(&name, (x + SWATCH + GAPS.0, y))?;
            x += width + GAPS.1;
        }
    }
    Ok(())
}
