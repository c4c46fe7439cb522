//! Half cosines (Loshchilov and Hutter 2016, SGDR), after a warm-up (Goyal et al. 2017) or with restarts.

use super::super::within;
use super::{positive, share};
use crate::error::{Error, Result};
use std::f64::consts::PI;

const ANY: f32 = f32::INFINITY;

/// (1 + cos π x) / 2: from 1 at x = 0 to 0 at x = 1.
fn half_cosine(x: f64) -> f64 {
    0.5 * (1.0 + (PI * x).cos())
}

/// from · ((1 - alpha) · (1 + cos(π · step / `decay_steps`)) / 2 + alpha), and from · alpha afterwards. With a warm-up,
/// `from` is its target and the cosine begins at its end; else `from` is the initial rate. Keras' `CosineDecay`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineDecay {
    /// The rate of the first update.
    pub initial_learning_rate: f32,
    /// Updates of the cosine, after the warm-up.
    pub decay_steps: u64,
    /// The last rate, as a share of the highest.
    pub alpha: f32,
    /// The rate to which the warm-up leads; `None` for no warm-up.
    pub warmup_target: Option<f32>,
    /// Updates of the warm-up, a straight line.
    pub warmup_steps: u64,
}

impl CosineDecay {
    /// A cosine from this rate to zero.
    #[must_use]
    pub const fn new(initial_learning_rate: f32, decay_steps: u64) -> Self {
        let (alpha, warmup_target, warmup_steps) = (0.0, None, 0);
        Self { initial_learning_rate, decay_steps, alpha, warmup_target, warmup_steps }
    }

    /// The last rate, as a share of the highest.
    #[must_use]
    pub const fn alpha(mut self, alpha: f32) -> Self {
        self.alpha = alpha;
        self
    }

    /// A straight line from the initial rate to `target` in `steps` updates, before the cosine.
    #[must_use]
    pub const fn warmup(mut self, target: f32, steps: u64) -> Self {
        (self.warmup_target, self.warmup_steps) = (Some(target), steps);
        self
    }

    pub(super) fn at(&self, step: u64) -> f64 {
        let initial = f64::from(self.initial_learning_rate);
        let (from, warmup) = match self.warmup_target {
            Some(target) => (f64::from(target), self.warmup_steps),
            None => (initial, 0),
        };
        if step < warmup {
            return initial + (from - initial) * step as f64 / warmup as f64;
        }
        let done = (step - warmup).min(self.decay_steps) as f64 / self.decay_steps as f64;
        let alpha = f64::from(self.alpha);
        from * ((1.0 - alpha) * half_cosine(done) + alpha)
    }

    pub(super) fn check(&self) -> Result<()> {
        const NAME: &str = "CosineDecay";
        within(NAME, "initial_learning_rate", self.initial_learning_rate, 0.0, ANY)?;
        positive(NAME, "decay_steps", self.decay_steps)?;
        share(NAME, "alpha", self.alpha)?;
        within(NAME, "warmup_target", self.warmup_target.unwrap_or(0.0), 0.0, ANY)
    }
}

/// initial · ((1 - alpha) · `m_mul`^i · (1 + cos π x) / 2 + alpha) in the i-th period, of which the share x is
/// done. Periods last `first_decay_steps` · `t_mul`^i. Keras' `CosineDecayRestarts`, which
/// finds i by logarithms in f32; here a period ends exactly at the sum of the lengths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineDecayRestarts {
    /// The rate of the first update.
    pub initial_learning_rate: f32,
    /// Updates of the first period.
    pub first_decay_steps: u64,
    /// How many times longer each period is than the one before: 1 or more.
    pub t_mul: f32,
    /// The height of each period as a multiple of the one before.
    pub m_mul: f32,
    /// The lowest rate, as a share of the initial one.
    pub alpha: f32,
}

impl CosineDecayRestarts {
    /// Periods that double, all from this rate to zero.
    #[must_use]
    pub const fn new(initial_learning_rate: f32, first_decay_steps: u64) -> Self {
        let (t_mul, m_mul, alpha) = (2.0, 1.0, 0.0);
        Self { initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha }
    }

    /// How many times longer each period is than the one before.
    #[must_use]
    pub const fn t_mul(mut self, t_mul: f32) -> Self {
        self.t_mul = t_mul;
        self
    }

    /// The height of each period as a multiple of the one before.
    #[must_use]
    pub const fn m_mul(mut self, m_mul: f32) -> Self {
        self.m_mul = m_mul;
        self
    }

    /// The lowest rate, as a share of the initial one.
    #[must_use]
    pub const fn alpha(mut self, alpha: f32) -> Self {
        self.alpha = alpha;
        self
    }

    /// The number of the period at `time` first periods, and which share of it is done.
    fn period(&self, time: f64) -> (f64, f64) {
        let t = f64::from(self.t_mul);
        if t == 1.0 {
            return (time.floor(), time.fract());
        }
        // The i-th period begins at 1 + t + ... + t^(i - 1).
        let start = |i: f64| (t.powf(i) - 1.0) / (t - 1.0);
        let mut i = ((1.0 + time * (t - 1.0)).ln() / t.ln()).floor();
        // The logarithm of a power may round to either side of a whole number.
        if start(i) > time {
            i -= 1.0;
        } else if start(i + 1.0) <= time {
            i += 1.0;
        }
        (i, (time - start(i)) / t.powf(i))
    }

    pub(super) fn at(&self, step: u64) -> f64 {
        let (i, done) = self.period(step as f64 / self.first_decay_steps as f64);
        let height = f64::from(self.m_mul).powf(i);
        let alpha = f64::from(self.alpha);
        let share = (1.0 - alpha) * height * half_cosine(done) + alpha;
        f64::from(self.initial_learning_rate) * share
    }

    pub(super) fn check(&self) -> Result<()> {
        const NAME: &str = "CosineDecayRestarts";
        within(NAME, "initial_learning_rate", self.initial_learning_rate, 0.0, ANY)?;
        positive(NAME, "first_decay_steps", self.first_decay_steps)?;
        if !(self.t_mul.is_finite() && self.t_mul >= 1.0) {
            let detail = "a finite number, 1 or more: periods do not shrink";
            return Err(Error::parameter(format!("{NAME} t_mul"), self.t_mul, detail));
        }
        within(NAME, "m_mul", self.m_mul, 0.0, ANY)?;
        share(NAME, "alpha", self.alpha)
    }
}
