//! Rates that fall: by pieces, exponentially, as 1 / t, and as a power of a line.

use super::super::within;
use super::positive;
use crate::error::{Error, Result};

const ANY: f32 = f32::INFINITY;

/// `values[i]` for the first i with step ≤ `boundaries[i]`; past them all, the last value. Keras'
/// `PiecewiseConstantDecay`.
#[derive(Debug, Clone, PartialEq)]
pub struct PiecewiseConstantDecay {
    /// The last update of each piece but the last, ascending.
    pub boundaries: Vec<u64>,
    /// The rate of each piece: one more than there are boundaries.
    pub values: Vec<f32>,
}

impl PiecewiseConstantDecay {
    /// These rates up to these updates.
    #[must_use]
    pub fn new(boundaries: impl Into<Vec<u64>>, values: impl Into<Vec<f32>>) -> Self {
        Self { boundaries: boundaries.into(), values: values.into() }
    }

    pub(super) fn at(&self, step: u64) -> f64 {
        let piece = self.boundaries.partition_point(|&last| last < step);
        self.values.get(piece).copied().map_or(f64::NAN, f64::from)
    }

    pub(super) fn check(&self) -> Result<()> {
        const NAME: &str = "PiecewiseConstantDecay";
        let shown = format!("{:?}", self.boundaries);
        if self.boundaries.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Error::parameter(format!("{NAME} boundaries"), shown, "ascend strictly"));
        }
        if self.values.len() != self.boundaries.len() + 1 {
            let detail =
                format!("one value per boundary and one more, but there are {}", self.values.len());
            return Err(Error::parameter(format!("{NAME} boundaries"), shown, detail));
        }
        self.values.iter().try_for_each(|&value| within(NAME, "values", value, 0.0, ANY))
    }
}

/// initial · `decay_rate`^(step / `decay_steps`). Keras' `ExponentialDecay`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExponentialDecay {
    /// The rate of the first update.
    pub initial_learning_rate: f32,
    /// Updates that take one factor.
    pub decay_steps: u64,
    /// The factor.
    pub decay_rate: f32,
    /// Whether the exponent is rounded down, so that the rate falls in steps.
    pub staircase: bool,
}

impl ExponentialDecay {
    /// A smooth decay by `decay_rate` in every `decay_steps` updates.
    #[must_use]
    pub const fn new(initial_learning_rate: f32, decay_steps: u64, decay_rate: f32) -> Self {
        Self { initial_learning_rate, decay_steps, decay_rate, staircase: false }
    }

    /// Whether the rate falls in steps.
    #[must_use]
    pub const fn staircase(mut self, staircase: bool) -> Self {
        self.staircase = staircase;
        self
    }

    pub(super) fn at(&self, step: u64) -> f64 {
        let exponent = periods(step, self.decay_steps, self.staircase);
        f64::from(self.initial_learning_rate) * f64::from(self.decay_rate).powf(exponent)
    }

    pub(super) fn check(&self) -> Result<()> {
        const NAME: &str = "ExponentialDecay";
        within(NAME, "initial_learning_rate", self.initial_learning_rate, 0.0, ANY)?;
        positive(NAME, "decay_steps", self.decay_steps)?;
        within(NAME, "decay_rate", self.decay_rate, 0.0, ANY)
    }
}

/// initial / (1 + `decay_rate` · step / `decay_steps`). Keras' `InverseTimeDecay`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InverseTimeDecay {
    /// The rate of the first update.
    pub initial_learning_rate: f32,
    /// Updates in which the divisor grows by `decay_rate`.
    pub decay_steps: u64,
    /// What the divisor grows by.
    pub decay_rate: f32,
    /// Whether step / `decay_steps` is rounded down, so that the rate falls in steps.
    pub staircase: bool,
}

impl InverseTimeDecay {
    /// A smooth decay whose divisor grows by `decay_rate` in every `decay_steps` updates.
    #[must_use]
    pub const fn new(initial_learning_rate: f32, decay_steps: u64, decay_rate: f32) -> Self {
        Self { initial_learning_rate, decay_steps, decay_rate, staircase: false }
    }

    /// Whether the rate falls in steps.
    #[must_use]
    pub const fn staircase(mut self, staircase: bool) -> Self {
        self.staircase = staircase;
        self
    }

    pub(super) fn at(&self, step: u64) -> f64 {
        let growth = periods(step, self.decay_steps, self.staircase);
        f64::from(self.initial_learning_rate) / (1.0 + f64::from(self.decay_rate) * growth)
    }

    pub(super) fn check(&self) -> Result<()> {
        const NAME: &str = "InverseTimeDecay";
        within(NAME, "initial_learning_rate", self.initial_learning_rate, 0.0, ANY)?;
        positive(NAME, "decay_steps", self.decay_steps)?;
        within(NAME, "decay_rate", self.decay_rate, 0.0, ANY)
    }
}

/// step / steps, rounded down with `staircase`.
fn periods(step: u64, steps: u64, staircase: bool) -> f64 {
    let periods = step as f64 / steps as f64;
    if staircase { periods.floor() } else { periods }
}

/// (initial - end) · (1 - step / `decay_steps`)^power + end, and the end rate from then on. Keras'
/// `PolynomialDecay`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolynomialDecay {
    /// The rate of the first update.
    pub initial_learning_rate: f32,
    /// Updates from the first rate to the last.
    pub decay_steps: u64,
    /// The last rate; Keras' default is 0.0001.
    pub end_learning_rate: f32,
    /// The power: 1 is a straight line.
    pub power: f32,
    /// Whether the span grows by `decay_steps` each time that the end is reached: the rate then rises to a
    /// lower point than before.
    pub cycle: bool,
}

impl PolynomialDecay {
    /// A line from this rate to 0.0001.
    #[must_use]
    pub const fn new(initial_learning_rate: f32, decay_steps: u64) -> Self {
        let (end_learning_rate, power, cycle) = (0.0001, 1.0, false);
        Self { initial_learning_rate, decay_steps, end_learning_rate, power, cycle }
    }

    /// The last rate.
    #[must_use]
    pub const fn end_learning_rate(mut self, rate: f32) -> Self {
        self.end_learning_rate = rate;
        self
    }

    /// The power.
    #[must_use]
    pub const fn power(mut self, power: f32) -> Self {
        self.power = power;
        self
    }

    /// Whether the span grows each time that the end is reached.
    #[must_use]
    pub const fn cycle(mut self, cycle: bool) -> Self {
        self.cycle = cycle;
        self
    }

    pub(super) fn at(&self, step: u64) -> f64 {
        let (step, span) = (step as f64, self.decay_steps as f64);
        let done = match self.cycle {
            true => step / (span * (step / span).ceil().max(1.0)),
            false => step.min(span) / span,
        };
        let end = f64::from(self.end_learning_rate);
        let fall = f64::from(self.initial_learning_rate) - end;
        fall * (1.0 - done).powf(f64::from(self.power)) + end
    }

    pub(super) fn check(&self) -> Result<()> {
        const NAME: &str = "PolynomialDecay";
        within(NAME, "initial_learning_rate", self.initial_learning_rate, 0.0, ANY)?;
        positive(NAME, "decay_steps", self.decay_steps)?;
        within(NAME, "end_learning_rate", self.end_learning_rate, 0.0, ANY)?;
        within(NAME, "power", self.power, 0.0, ANY)
    }
}
