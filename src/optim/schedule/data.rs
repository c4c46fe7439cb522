//! Schedules as data.

use super::{Anneal, Schedule};
use crate::words::{number, object, settings};
use serde_json::{Value, json};

impl Schedule {
    /// The rate as JSON: a number, or a schedule in the words of `keras.optimizers.schedules`. Without the feature `config`
    /// it is `null`.
    ///
    /// ```
    /// use wgrad::optim::schedule::{CosineDecay, Schedule};
    ///
    /// assert_eq!(Schedule::from(0.1).config(), 0.1);
    /// assert_eq!(Schedule::from(CosineDecay::new(0.1, 50)).config()["config"]["decay_steps"], 50);
    /// ```
    #[must_use]
    pub fn config(&self) -> Value {
        let keras = |class, config| object("keras.optimizers.schedules", class, config);
        settings(|| match self {
            Self::Constant(rate) => number(*rate),
            Self::PiecewiseConstant(s) => {
                let values: Vec<Value> = s.values.iter().map(|&rate| number(rate)).collect();
                keras(
                    "PiecewiseConstantDecay",
                    json!({ "boundaries": s.boundaries, "values": values }),
                )
            }
            Self::Exponential(s) => keras(
                "ExponentialDecay",
                json!({
                    "initial_learning_rate": number(s.initial_learning_rate),
                    "decay_steps": s.decay_steps,
                    "decay_rate": number(s.decay_rate),
                    "staircase": s.staircase,
                }),
            ),
            Self::InverseTime(s) => keras(
                "InverseTimeDecay",
                json!({
                    "initial_learning_rate": number(s.initial_learning_rate),
                    "decay_steps": s.decay_steps,
                    "decay_rate": number(s.decay_rate),
                    "staircase": s.staircase,
                }),
            ),
            Self::Polynomial(s) => keras(
                "PolynomialDecay",
                json!({
                    "initial_learning_rate": number(s.initial_learning_rate),
                    "decay_steps": s.decay_steps,
                    "end_learning_rate": number(s.end_learning_rate),
                    "power": number(s.power),
                    "cycle": s.cycle,
                }),
            ),
            Self::Cosine(s) => keras(
                "CosineDecay",
                json!({
                    "initial_learning_rate": number(s.initial_learning_rate),
                    "decay_steps": s.decay_steps,
                    "alpha": number(s.alpha),
                    "warmup_target": s.warmup_target.map(number),
                    "warmup_steps": s.warmup_steps,
                }),
            ),
            Self::CosineRestarts(s) => keras(
                "CosineDecayRestarts",
                json!({
                    "initial_learning_rate": number(s.initial_learning_rate),
                    "first_decay_steps": s.first_decay_steps,
                    "t_mul": number(s.t_mul),
                    "m_mul": number(s.m_mul),
                    "alpha": number(s.alpha),
                }),
            ),
            // PyTorch's words.
            Self::OneCycle(s) => object(
                "wgrad",
                "OneCycleLR",
                json!({
                    "max_lr": number(s.max_learning_rate),
                    "total_steps": s.total_steps,
                    "pct_start": number(s.pct_start),
                    "anneal_strategy": match s.anneal {
                        Anneal::Cosine => "cos",
                        Anneal::Linear => "linear",
                    },
                    "div_factor": number(s.div_factor),
                    "final_div_factor": number(s.final_div_factor),
                    "three_phase": s.three_phase,
                }),
            ),
        })
    }
}
