//! Colours: of ink, of series and classes, and scales of shades.

use plotters::style::{Color, HSLColor, RGBColor};

/// The paper.
pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(38, 38, 38);
/// Grid lines and frames.
pub(super) const RULE: RGBColor = RGBColor(222, 222, 222);
/// What a reader must notice: a wrong prediction.
pub(super) const ALARM: RGBColor = RGBColor(200, 30, 30);

/// Colours that differ in hue and in lightness, so that neighbours differ in print and for the colour-blind too.
const SERIES: [RGBColor; 10] = [
    RGBColor(31, 100, 180),
    RGBColor(230, 120, 15),
    RGBColor(30, 140, 70),
    RGBColor(200, 40, 50),
    RGBColor(130, 90, 185),
    RGBColor(90, 185, 230),
    RGBColor(125, 80, 60),
    RGBColor(225, 115, 190),
    RGBColor(115, 115, 115),
    RGBColor(165, 175, 30),
];

/// The colour of the series or class at this position. Past ten, hues a golden angle apart.
pub(super) fn series(index: usize) -> RGBColor {
    SERIES.get(index).copied().unwrap_or_else(|| {
        let hue = (index as f64 * 0.618_033_988_75).fract();
        let (r, g, b) = HSLColor(hue, 0.65, 0.42).rgb();
        RGBColor(r, g, b)
    })
}

/// From `a` if `t` is 0 to `b` if it is 1.
pub(super) fn between(a: RGBColor, b: RGBColor, t: f64) -> RGBColor {
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * t).round() as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// A shade for a share of the whole: white for 0, light blue, dark blue for 1.
pub(super) fn shade(share: f64) -> RGBColor {
    let (light, dark) = (RGBColor(120, 175, 222), RGBColor(8, 48, 107));
    if share < 0.5 {
        between(PAPER, light, 2.0 * share)
    } else {
        between(light, dark, 2.0 * share - 1.0)
    }
}

/// Ink or paper, the one that is easier to read on `ground`.
pub(super) fn legible_on(ground: RGBColor) -> RGBColor {
    // Luma weights of ITU-R BT.601.
    let RGBColor(r, g, b) = ground;
    let luma = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
    if luma < 140.0 { PAPER } else { INK }
}

#[cfg(test)]
mod tests {
    use super::{INK, PAPER, between, legible_on, series, shade};

    #[test]
    fn series_differ_and_text_is_legible() {
        let colors: Vec<_> = (0..20).map(series).collect();
        for (i, a) in colors.iter().enumerate() {
            assert!(colors[i + 1..].iter().all(|b| a != b), "{i}: {a:?}");
        }
        assert_eq!((shade(0.0), legible_on(shade(0.0))), (PAPER, INK));
        assert_eq!(legible_on(shade(1.0)), PAPER);
        assert_eq!((between(INK, PAPER, 0.0), between(INK, PAPER, 1.0)), (INK, PAPER));
    }
}
