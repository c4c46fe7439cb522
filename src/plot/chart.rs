//! The frame of a chart: axes, ticks, grid and labels around a plotting area.

use super::axis::{Axis, Span};
use super::color::{INK, RULE};
use super::page::{Drawn, Label, Page, pen, text_style, units};
use crate::error::{Error, Result};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters_backend::DrawingBackend;

/// A chart that elements with coordinates in values can be drawn on.
pub(super) type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<Axis, Axis>>;

/// Sizes of text, in pixels per em.
const TICK: f64 = 12.0;
const LABEL: f64 = 13.5;
/// Length of a tick's mark; its label is twice as far from the axis.
const MARK: f64 = 4.0;
/// Blank between neighbouring labels.
const GAP: f64 = 12.0;

/// The least width and height, in pixels, in which the longest labels of ticks leave room for the plot.
const LEAST: (u32, u32) = (240, 160);

/// Whether a chart of this width and height can be drawn.
pub(super) fn check_size((width, height): (u32, u32)) -> Result<()> {
    if width < LEAST.0 || height < LEAST.1 {
        let detail = format!("a chart is at least {} by {} pixels", LEAST.0, LEAST.1);
        return Err(Error::parameter("panel_size", format!("{width} x {height}"), detail));
    }
    Ok(())
}

/// Draws axes and grid on the whole page.
pub(super) fn chart<'c, B: DrawingBackend>(
    page: &Page<'_, B>,
    x: &Span,
    y: &Span,
) -> Drawn<B, Chart<'c, B>> {
    let (width, height) = page.size();
    let label = |span: &Span| if span.label.is_empty() { 0.0 } else { 1.6 * LABEL };
    let widest = |axis: &Axis| {
        let labels: Vec<&str> = axis.ticks.iter().map(|t| t.1.as_str()).collect();
        page.font.widest(&labels, TICK)
    };
    let top = TICK;
    let bottom = 2.0 * MARK + 1.3 * TICK + label(x);
    let y_axis = y.axis(((height - top - bottom) / 32.0).clamp(2.0, 8.0) as usize, false);
    let left = label(y) + widest(&y_axis) + 2.0 * MARK + 4.0;
    // Half of the last label may be beyond the axis.
    let right = |axis: &Axis| 6.0 + widest(axis) / 2.0;
    let fits = |axis: &Axis| {
        let length = width - left - right(axis);
        let ends = axis.ticks.iter().map(|(v, label)| {
            let half = page.font.width(label, TICK) / 2.0 + GAP / 2.0;
            (axis.place(*v) * length - half, axis.place(*v) * length + half)
        });
        ends.clone().zip(ends.skip(1)).all(|(a, b)| a.1 <= b.0)
    };
    let mut tries = (1..=10).rev().map(|count| x.axis(count, x.whole));
    let x_axis = tries.find(fits).unwrap_or_else(|| {
        let mut axis = x.axis(1, x.whole);
        axis.ticks.truncate(1);
        axis
    });
    let (right, plot) = (right(&x_axis), (width - left - right(&x_axis), height - top - bottom));

    let mut chart = ChartBuilder::on(&page.area)
        .margin_top(units(top))
        .margin_right(units(right))
        .x_label_area_size(units(bottom))
        .y_label_area_size(units(left))
        .build_cartesian_2d(x_axis, y_axis)?;
    chart
        .configure_mesh()
        .bold_line_style(pen(RULE, 1.0))
        .axis_style(pen(INK, 1.0))
        .label_style(text_style(TICK, INK))
        .set_all_tick_mark_size(units(MARK))
        .draw()?;

    page.text(&Label::new(&x.label, LABEL, plot.0), (left + plot.0 / 2.0, height - 0.7 * LABEL))?;
    let upwards = Label { upwards: true, ..Label::new(&y.label, LABEL, plot.1) };
    page.text(&upwards, (0.7 * LABEL, top + plot.1 / 2.0))?;
    Ok(chart)
}
