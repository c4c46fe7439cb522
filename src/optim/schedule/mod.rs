//! Learning rates that change from update to update, with Keras' names and formulas (`keras.optimizers.schedules`).

mod cosine;
mod data;
mod decay;
mod one_cycle;

pub use cosine::{CosineDecay, CosineDecayRestarts};
pub use decay::{ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay};
pub use one_cycle::{Anneal, OneCycle};

use crate::error::{Error, Result};

/// The learning rate as a function of the updates done. Optimizers take any of its kinds, or a number:
/// `Adam::new(0.001)`, `Adam::new(CosineDecay::new(0.001, 10_000))`.
///
/// The host computes the rate in f64, once per step, and the device gets it as a step parameter: a
/// schedule costs no kernel and no second plan.
///
/// ```
/// use wgrad::prelude::*;
///
/// let rate = Schedule::from(CosineDecay::new(0.0, 10_000).warmup(0.01, 500));
/// assert_eq!(rate.at(250), rate.at(500) / 2.0);
/// let optimizer = Adam::new(rate);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// The same rate always.
    Constant(f32),
    /// One rate up to each boundary.
    PiecewiseConstant(PiecewiseConstantDecay),
    /// Multiplied by a factor every so many updates; with `staircase` it is step decay.
    Exponential(ExponentialDecay),
    /// Divided by a linear function of the updates.
    InverseTime(InverseTimeDecay),
    /// A power of a line from one rate to another.
    Polynomial(PolynomialDecay),
    /// Half a cosine, after a linear warm-up.
    Cosine(CosineDecay),
    /// Half cosines one after another.
    CosineRestarts(CosineDecayRestarts),
    /// Up and down once.
    OneCycle(OneCycle),
}

impl Schedule {
    /// The rate of the update after `step` updates.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        match self {
            Self::Constant(rate) => f64::from(*rate),
            Self::PiecewiseConstant(s) => s.at(step),
            Self::Exponential(s) => s.at(step),
            Self::InverseTime(s) => s.at(step),
            Self::Polynomial(s) => s.at(step),
            Self::Cosine(s) => s.at(step),
            Self::CosineRestarts(s) => s.at(step),
            Self::OneCycle(s) => s.at(step),
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the setting and its domain.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Constant(rate) => super::bounded("learning_rate", *rate, 0.0, f32::INFINITY),
            Self::PiecewiseConstant(s) => s.check(),
            Self::Exponential(s) => s.check(),
            Self::InverseTime(s) => s.check(),
            Self::Polynomial(s) => s.check(),
            Self::Cosine(s) => s.check(),
            Self::CosineRestarts(s) => s.check(),
            Self::OneCycle(s) => s.check(),
        }
    }
}

impl From<f32> for Schedule {
    fn from(rate: f32) -> Self {
        Self::Constant(rate)
    }
}

macro_rules! from_kinds {
    ($($kind:ident => $variant:ident),*) => {
        $(impl From<$kind> for Schedule {
            fn from(schedule: $kind) -> Self {
                Self::$variant(schedule)
            }
        })*
    };
}

from_kinds!(
    PiecewiseConstantDecay => PiecewiseConstant,
    ExponentialDecay => Exponential,
    InverseTimeDecay => InverseTime,
    PolynomialDecay => Polynomial,
    CosineDecay => Cosine,
    CosineDecayRestarts => CosineRestarts,
    OneCycle => OneCycle
);

/// Checks that a span of updates is not empty.
fn positive(schedule: &str, name: &str, steps: u64) -> Result<()> {
    if steps > 0 {
        return Ok(());
    }
    Err(Error::parameter(format!("{schedule} {name}"), steps, "at least one step"))
}

/// Checks that a share is in [0, 1], both included.
fn share(schedule: &str, name: &str, value: f32) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::parameter(format!("{schedule} {name}"), value, "lies in [0, 1]"))
}
