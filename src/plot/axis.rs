//! An axis: its range, its ticks and their labels.

use crate::error::{Error, Result};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Scale {
    #[default]
    Linear,
    /// As logarithms; only positive values are shown.
    Log,
}

impl Scale {
    /// Whether a value can be shown.
    pub(super) fn shows(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }

    pub(super) fn forth(self, value: f64) -> f64 {
        if self == Self::Log { value.log10() } else { value }
    }

    pub(super) fn back(self, value: f64) -> f64 {
        if self == Self::Log { 10_f64.powf(value) } else { value }
    }
}

/// An axis before its length in pixels is known.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub label: String,
    pub low: f64,
    pub high: f64,
    pub scale: Scale,
    /// Whether all values are whole, as epochs are.
    pub whole: bool,
}

impl Span {
    /// The range of the values that can be shown, with a margin of `margin` times its length at both ends.
    ///
    /// # Errors
    /// [`Error::Data`] naming `label` if no value can be shown, or their range exceeds f64.
    pub(super) fn of(
        label: &str,
        scale: Scale,
        margin: f64,
        values: impl Iterator<Item = f64> + Clone,
    ) -> Result<Self> {
        let shown = values.filter(|&v| scale.shows(v));
        let whole = scale == Scale::Linear && shown.clone().all(|v| v.fract() == 0.0);
        let (low, high) = shown
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return Err(Error::data(label, "no value can be shown"));
        }
        let (from, to) = (scale.forth(low), scale.forth(high));
        let pad = match (to - from, scale) {
            (length, _) if length > 0.0 => length * margin,
            (_, Scale::Linear) if !whole && from != 0.0 => from.abs() * 0.05,
            // A lone whole number, a lone zero, a lone power of ten.
            _ => 0.5,
        };
        let (low, high) = (scale.back(from - pad), scale.back(to + pad));
        if !(high - low).is_finite() || (scale == Scale::Log && low <= 0.0) {
            let detail = format!("values from {low:e} to {high:e} are too far apart for a picture");
            return Err(Error::data(label, detail));
        }
        Ok(Self { label: label.into(), low, high, scale, whole })
    }

    /// The axis with about `count` ticks, at most one more; only on whole numbers if `whole` is set.
    pub(super) fn axis(&self, count: usize, whole: bool) -> Axis {
        let Self { low, high, scale, .. } = *self;
        let ticks = match scale {
            Scale::Log => logarithmic(low, high, count),
            Scale::Linear => None,
        };
        let ticks = ticks.unwrap_or_else(|| linear(low, high, count, whole));
        Axis { low, high, scale, ticks }
    }
}

/// An axis with its ticks: the coordinate that plotters maps by.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
    /// Values with their labels, in ascending order.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// The place of a value: 0 at the low end, 1 at the high end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let [value, low, high] = [value, self.low, self.high].map(|v| self.scale.forth(v));
        (value - low) / (high - low)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (self.place(*value) * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // The fine grid that plotters asks for first stays empty.
        if hint.weight().allow_light_points() {
            return vec![];
        }
        self.ticks.iter().map(|t| t.0).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|t| t.0 == *value);
        tick.map(|t| t.1.clone()).unwrap_or_default()
    }
}

/// Multiples of 1, 2, 2.5 or 5 times a power of ten, only whole ones if `whole` is set.
fn linear(low: f64, high: f64, count: usize, whole: bool) -> Vec<(f64, String)> {
    let raw = (high - low) / count.max(1) as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let fits = |&s: &f64| s >= 0.999 * raw && (!whole || s.fract() == 0.0);
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(fits);
    let step = step.unwrap_or(1.0);
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    // If f64 cannot tell the multiples apart, the ends must do.
    if !(step.is_normal() && first.abs().max(last.abs()) < 1e15 && last - first < 1e3) {
        return vec![(low, format!("{low:e}")), (high, format!("{high:e}"))];
    }
    // Adding zero turns -0 into 0.
    let ticks = (0..=(last - first) as usize).map(|i| (first + i as f64) * step + 0.0);
    let largest = first.abs().max(last.abs()) * step;
    let exponent = |v: f64| (v.abs().log10() + 1e-9).floor();
    // The place of the step's last digit: 2.5 has one more than 2.
    let digits = step / 10_f64.powf(exponent(step));
    let place = exponent(step) - if (digits - digits.round()).abs() > 0.1 { 1.0 } else { 0.0 };
    let decimals = (-place).max(0.0) as usize;
    let label = |v: f64| match v {
        _ if largest < 1e6 && decimals <= 5 => format!("{v:.decimals$}"),
        0.0 => "0".into(),
        _ => format!("{v:.*e}", (exponent(v) - place).max(0.0) as usize),
    };
    ticks.map(|v| (v, label(v))).collect()
}

/// Powers of ten: every n-th if there are many, also 2 and 5 times each if there are few. `None` if even
/// these are fewer than two: the range is then so short that linear ticks read well.
fn logarithmic(low: f64, high: f64, count: usize) -> Option<Vec<(f64, String)>> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let inside = |&(digit, power): &(i32, i32)| {
        (low..=high).contains(&(f64::from(digit) * 10_f64.powi(power)))
    };
    let powers: Vec<(i32, i32)> = (first..=last).map(|p| (1, p)).filter(inside).collect();
    let every = powers.len().div_ceil(count.max(2)).max(1);
    let mut ticks: Vec<_> = powers.into_iter().step_by(every).collect();
    if ticks.len() < 3 && every == 1 {
        let fine = (first..=last).flat_map(|p| [1, 2, 5].map(|d| (d, p))).filter(inside);
        let fine: Vec<_> = fine.collect();
        if fine.len() <= count.max(2) + 1 {
            ticks = fine;
        }
    }
    let label = |(digit, power): (i32, i32)| match power {
        -4..0 => {
            format!("{:.*}", power.unsigned_abs() as usize, f64::from(digit) * 10_f64.powi(power))
        }
        0..6 => format!("{}", i64::from(digit) * 10_i64.pow(power.unsigned_abs())),
        _ => format!("{digit}e{power}"),
    };
    let ticks = ticks.into_iter().map(|t| (f64::from(t.0) * 10_f64.powi(t.1), label(t)));
    Some(ticks.collect::<Vec<_>>()).filter(|t| t.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::{Scale, Span};
    use crate::error::Result;

    fn labels(scale: Scale, values: &[f64], count: usize) -> Result<Vec<String>> {
        let span = Span::of("y", scale, 0.05, values.iter().copied())?;
        let axis = span.axis(count, span.whole);
        assert!(axis.ticks.iter().all(|t| (0.0..=1.0).contains(&axis.place(t.0))), "{axis:?}");
        assert!(axis.ticks.is_sorted_by(|a, b| a.0 < b.0), "{axis:?}");
        Ok(axis.ticks.into_iter().map(|t| t.1).collect())
    }

    #[test]
    fn ticks_are_round_numbers() -> Result<()> {
        use Scale::{Linear, Log};
        for (scale, values, count, expected) in [
            (Linear, &[0.0, 1.0][..], 2, &["0", "1"][..]),
            (Linear, &[0.02, 0.98], 6, &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (Linear, &[0.1, 0.9], 4, &["0.25", "0.50", "0.75"]),
            (Linear, &[1.0, 5.0], 10, &["1", "2", "3", "4", "5"]),
            (Linear, &[1.0], 5, &["1"]),
            (Linear, &[0.0], 5, &["0"]),
            (Linear, &[1e-7, 3e-7], 3, &["1e-7", "2e-7", "3e-7"]),
            (Linear, &[0.0, 3e7], 4, &["0", "1e7", "2e7", "3e7"]),
            (Linear, &[1e9, 1e9 + 2.0], 3, &["1.000000000e9", "1.000000001e9", "1.000000002e9"]),
            (Log, &[1e-6, 1.0], 4, &["1e-6", "0.0001", "0.01", "1"]),
            (Log, &[0.2, 30.0], 9, &["0.2", "0.5", "1", "2", "5", "10", "20"]),
            (Log, &[0.31, 0.34], 5, &["0.31", "0.32", "0.33", "0.34"]),
            (Log, &[-1.0, 0.0, 1.0, f64::NAN, 100.0], 3, &["1", "10", "100"]),
        ] {
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(labels(scale, values, count)?, expected, "{scale:?} {values:?}");
        }
        Ok(())
    }

    #[test]
    fn extremes_have_ticks_or_an_error() -> Result<()> {
        for values in [[5e-324, 1e-323], [1e16, 1e16 + 2.0], [1e300, 1.5e300], [-1e-300, 1e-300]] {
            for scale in [Scale::Linear, Scale::Log] {
                assert!(labels(scale, &values, 5)?.len() > 1, "{values:?}");
            }
        }
        for values in [&[f64::MIN, f64::MAX][..], &[f64::NAN, f64::INFINITY], &[]] {
            let error = labels(Scale::Linear, values, 5).err().map(|e| e.to_string());
            assert!(error.is_some_and(|e| e.contains("`y`")), "{values:?}");
        }
        assert!(labels(Scale::Log, &[0.0, -1.0], 5).is_err());
        Ok(())
    }
}
