//! No text of a picture covers another or leaves the picture, for any data.

use super::font::Font;
use super::page::UNITS;
use super::{ConfusionMatrix, Curves, Figure, Grid, ImageGrid, Scatter};
use crate::error::{Error, Result};

/// A text of an SVG with the box around it, in units.
#[derive(Debug, Clone)]
struct Written {
    text: String,
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

/// The value of an attribute in the rest of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!("{name}=\""))?.1.split('"').next()
}

/// The texts of an SVG. A box holds digits and small letters: descenders may touch what is below.
fn texts(svg: &str, font: &Font) -> Option<Vec<Written>> {
    let text = |rest: &str| {
        let (tag, rest) = rest.split_once(">\n")?;
        let (text, _) = rest.split_once("\n</text>")?;
        let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let number = |name: &str| attribute(tag, name)?.parse::<f64>().ok();
        let (x, y, size) = (number(" x")?, number(" y")?, number("font-size")?);
        let width = font.width(&plain, size);
        let before = match attribute(tag, "text-anchor")? {
            "start" => 0.0,
            "middle" => width / 2.0,
            _ => width,
        };
        let baseline = match attribute(tag, " dy")? {
            "0.76em" => 0.76,
            "0.5ex" => font.middle,
            _ => -font.middle,
        };
        let (from, to) = (-before, width - before);
        let (above, below) = ((baseline - 0.74) * size, baseline * size);
        let (left, top, right, bottom) = match attribute(tag, "transform") {
            None => (x + from, y + above, x + to, y + below),
            // Turned to the left: what ran to the right runs upwards.
            Some(_) => (x + above, y - to, x + below, y - from),
        };
        Some(Written { text: plain, left, top, right, bottom })
    };
    svg.split("<text").skip(1).map(text).collect()
}

/// What is wrong with the texts of an SVG of this size in pixels.
fn faults(written: &[Written], (width, height): (u32, u32)) -> Vec<String> {
    let (width, height) = (f64::from(width * UNITS), f64::from(height * UNITS));
    let mut faults = Vec::new();
    for (i, a) in written.iter().enumerate() {
        if a.left < 0.0 || a.top < 0.0 || a.right > width || a.bottom > height {
            faults.push(format!("`{}` is clipped: {a:?}", a.text));
        }
        for b in &written[i + 1..] {
            let apart =
                a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
            if !apart {
                faults.push(format!("`{}` and `{}` overlap", a.text, b.text));
            }
        }
    }
    faults
}

#[track_caller]
fn check(figure: impl Into<Figure>) -> Result<()> {
    let figure: Figure = figure.into();
    let font = Font::load()?;
    let written = texts(&figure.svg()?, &font).ok_or_else(|| Error::internal("svg", "a text"))?;
    assert!(written.len() > 1, "{written:?}");
    let faults = faults(&written, figure.size()?);
    assert!(faults.is_empty(), "{faults:#?}");
    Ok(())
}

/// Numbers of every magnitude and spread.
fn ranges() -> Vec<Vec<f64>> {
    let mut ranges = vec![vec![0.0], vec![1.0], vec![-3.5e-9, 2e-9], vec![1e9, 1e9 + 3.0]];
    for exponent in [-300, -12, -5, -3, -1, 0, 2, 4, 5, 6, 9, 40, 300] {
        for spread in [1.001, 1.7, 25.0, 31_000.0] {
            let low = 10_f64.powi(exponent);
            ranges.push(vec![low, low * spread, low * spread.sqrt()]);
            ranges.push(vec![-low, low * spread]);
        }
    }
    ranges
}

#[test]
fn curves_of_any_range_and_size() -> Result<()> {
    for values in ranges() {
        for (width, height) in [(640, 420), (300, 200), (240, 160)] {
            let curves = Curves::new("some title").x("seconds").y("loss").panel_size(width, height);
            check(curves.clone().series("a", &values, &values))?;
            check(curves.clone().values("loss", &values))?;
            if values.iter().any(|&v| v > 0.0) {
                check(curves.log_x().log_y().series("a", &values, &values))?;
            }
        }
    }
    Ok(())
}

#[test]
fn many_series_with_long_names() -> Result<()> {
    for count in 1..=12 {
        let mut curves =
            Curves::new("a title that is far too long for the panel below it, ".repeat(3))
                .x("an axis whose label is longer than the axis itself ".repeat(3))
                .y("and this one too, upwards ".repeat(4))
                .panel_size(320, 300);
        for i in 0..count {
            curves =
                curves.values(format!("series {i} {}", "long ".repeat(3 * i)), &[0.0, i as f64]);
        }
        check(curves.clone())?;
        check(Figure::new("Figure").panel(curves.clone()).panel(curves).columns(1))?;
    }
    Ok(())
}

#[test]
fn matrices_images_and_points() -> Result<()> {
    let words = ["Ankle boot", "b", "a class of a remarkably long name", "T-shirt/top <&>"];
    for classes in 1..=12 {
        let names: Vec<&str> = (0..classes).map(|i| words[i % words.len()]).collect();
        for most in [0_u64, 9, 987, 60_000, 123_456_789_012, u64::MAX] {
            for names in [&names[..], &["0"; 12][..classes]] {
                let counts: Vec<u64> =
                    (0..classes * classes).map(|i| most / (i as u64 + 1)).collect();
                check(ConfusionMatrix::new("a title", names, &counts))?;
            }
        }
        let (predicted, labels) = (vec![2; classes], vec![3; classes]);
        for side in [1, 8, 28, 64, 200] {
            let pixels = vec![7_u8; classes * side * side];
            let images = ImageGrid::bytes("some images", [side, side], &pixels);
            check(images.predictions(&predicted, &labels).class_names(&words))?;
        }
        let points: Vec<f32> = (0..2 * classes).map(|i| 1e5 * i as f32).collect();
        let labels: Vec<u32> = (0..classes as u32).collect();
        let grid = Grid::around(&points, 4);
        let probabilities = vec![1.0 / classes as f32; 16 * classes];
        let scatter = Scatter::new("points").x("x").y("y").classes(&names, &points, &labels);
        check(scatter.clone())?;
        if classes > 1 {
            check(scatter.regions(&grid, &probabilities))?;
        }
    }
    Ok(())
}

#[test]
fn faults_are_noticed() -> Result<()> {
    let font = Font::load()?;
    let text = |x: i32, y: i32, word: &str, turned: &str| {
        let place = format!("x=\"{x}\" y=\"{y}\" dy=\"0.5ex\" text-anchor=\"middle\"");
        format!("<text {place} font-size=\"80\"{turned}>\n{word}\n</text>\n")
    };
    let turn = " transform=\"rotate(270, 0, 0)\"";
    let count = |svg: String| {
        let written = texts(&svg, &font).unwrap_or_default();
        (written.len(), faults(&written, (100, 100)).len())
    };
    assert_eq!(count(text(400, 400, "one", "") + &text(400, 500, "two", "")), (2, 0));
    assert_eq!(count(text(400, 400, "one", "") + &text(420, 430, "two", "")), (2, 1));
    assert_eq!(count(text(30, 400, "wide word", "")), (1, 1));
    assert_eq!(count(text(60, 400, "wide word", turn)), (1, 0));
    assert_eq!(count(text(400, 790, "deep", "") + &text(400, 10, "high", "")), (2, 2));
    Ok(())
}
