//! The one-cycle policy.

use super::super::within;
use super::{positive, share};
use crate::error::{Error, Result};
use std::f64::consts::PI;

/// How the rate moves within a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Anneal {
    /// Half a cosine.
    #[default]
    Cosine,
    /// A straight line.
    Linear,
}

impl Anneal {
    fn between(self, from: f64, to: f64, done: f64) -> f64 {
        match self {
            Self::Cosine => to + (from - to) * 0.5 * (1.0 + (PI * done).cos()),
            Self::Linear => from + (to - from) * done,
        }
    }
}

/// One cycle (Smith and Topin 2017): from max / `div_factor` up to max in the first `pct_start` of the updates,
/// then down to the initial rate / `final_div_factor`. In three phases the way down has two halves: back to the
/// initial rate in as many updates as it rose, then on to the last. The formula and the defaults are those of
/// PyTorch's `OneCycleLR`, without its momentum cycle; past the last update the rate stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneCycle {
    /// The highest rate.
    pub max_learning_rate: f32,
    /// Updates of the whole cycle.
    pub total_steps: u64,
    /// Share of the updates in which the rate rises.
    pub pct_start: f32,
    /// How the rate moves within a phase.
    pub anneal: Anneal,
    /// The highest rate over the first.
    pub div_factor: f32,
    /// The first rate over the last.
    pub final_div_factor: f32,
    /// Whether the way down passes the initial rate at twice `pct_start`.
    pub three_phase: bool,
}

impl OneCycle {
    /// PyTorch's defaults: up for 0.3 of the updates from max / 25, then down to max / 250,000, by cosines.
    #[must_use]
    pub const fn new(max_learning_rate: f32, total_steps: u64) -> Self {
        Self {
            max_learning_rate,
            total_steps,
            pct_start: 0.3,
            anneal: Anneal::Cosine,
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
        }
    }

    /// Share of the updates in which the rate rises.
    #[must_use]
    pub const fn pct_start(mut self, share: f32) -> Self {
        self.pct_start = share;
        self
    }

    /// How the rate moves within a phase.
    #[must_use]
    pub const fn anneal(mut self, anneal: Anneal) -> Self {
        self.anneal = anneal;
        self
    }

    /// The highest rate over the first.
    #[must_use]
    pub const fn div_factor(mut self, factor: f32) -> Self {
        self.div_factor = factor;
        self
    }

    /// The first rate over the last.
    #[must_use]
    pub const fn final_div_factor(mut self, factor: f32) -> Self {
        self.final_div_factor = factor;
        self
    }

    /// Whether the way down passes the initial rate.
    #[must_use]
    pub const fn three_phase(mut self, three_phase: bool) -> Self {
        self.three_phase = three_phase;
        self
    }

    pub(super) fn at(&self, step: u64) -> f64 {
        let max = f64::from(self.max_learning_rate);
        let initial = max / f64::from(self.div_factor);
        let lowest = initial / f64::from(self.final_div_factor);
        let last = self.total_steps.saturating_sub(1) as f64;
        let step = (step as f64).min(last);
        // The last step of each phase, and the rates between which it moves.
        let rise = f64::from(self.pct_start) * self.total_steps as f64;
        let up = (rise - 1.0, initial, max);
        let phases: &[(f64, f64, f64)] = match self.three_phase {
            true => &[up, (2.0 * rise - 2.0, max, initial), (last, initial, lowest)],
            false => &[up, (last, max, lowest)],
        };
        let mut start = 0.0;
        for &(end, from, to) in phases {
            if step <= end {
                // A phase of one step is at its end.
                let done = if end > start { (step - start) / (end - start) } else { 1.0 };
                return self.anneal.between(from, to, done);
            }
            start = end;
        }
        lowest
    }

    pub(super) fn check(&self) -> Result<()> {
        const NAME: &str = "OneCycle";
        within(NAME, "max_learning_rate", self.max_learning_rate, 0.0, f32::INFINITY)?;
        positive(NAME, "total_steps", self.total_steps)?;
        share(NAME, "pct_start", self.pct_start)?;
        if self.three_phase && self.pct_start > 0.5 {
            let detail = "at most 0.5 in three phases: the way back takes as long";
            return Err(Error::parameter("OneCycle pct_start", self.pct_start, detail));
        }
        for (name, factor) in
            [("div_factor", self.div_factor), ("final_div_factor", self.final_div_factor)]
        {
            if !(factor.is_finite() && factor > 0.0) {
                let detail = "a finite number above 0";
                return Err(Error::parameter(format!("{NAME} {name}"), factor, detail));
            }
        }
        Ok(())
    }
}
