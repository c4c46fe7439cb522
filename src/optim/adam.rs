//! Adam and AdamW. Epsilon is outside the root, and the bias corrections are part of the rate, as in
//! Keras 3.

use super::{Optimizer, Schedule, Slot, blend, check_rate, rate, within};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::words::{number, settings};
use serde_json::{Value as Json, json};

/// Adam (Kingma and Ba 2014): m ← β₁ m + (1 - β₁) g; v ← β₂ v + (1 - β₂) g²;
/// p ← p - α m / (√v + epsilon) with α = lr √(1 - β₂ᵗ) / (1 - β₁ᵗ).
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// The learning rate.
    pub learning_rate: Schedule,
    /// Share of the mean gradient kept, in [0, 1).
    pub beta_1: f32,
    /// Share of the mean square kept, in [0, 1).
    pub beta_2: f32,
    /// Added to the root.
    pub epsilon: f32,
}

impl Default for Adam {
    fn default() -> Self {
        Self { learning_rate: 0.001.into(), beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

impl Adam {
    /// Keras' defaults at this rate.
    #[must_use]
    pub fn new(learning_rate: impl Into<Schedule>) -> Self {
        Self { learning_rate: learning_rate.into(), ..Self::default() }
    }

    /// α of update `done + 1`.
    fn alpha(&self, done: u64, learning_rate: f64) -> f64 {
        let t = (done + 1) as f64;
        let (b1, b2) = (f64::from(self.beta_1), f64::from(self.beta_2));
        learning_rate * (1.0 - b2.powf(t)).sqrt() / (1.0 - b1.powf(t))
    }
}

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "Adam"
    }

    fn check(&self) -> Result<()> {
        check_rate("Adam", &self.learning_rate)?;
        within("Adam", "beta_1", self.beta_1, 0.0, 1.0)?;
        within("Adam", "beta_2", self.beta_2, 0.0, 1.0)?;
        within("Adam", "epsilon", self.epsilon, 0.0, f32::INFINITY)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot { name: "momentum", initial: 0.0 }, Slot { name: "velocity", initial: 0.0 }]
    }

    fn update(
        &self,
        graph: &mut Graph,
        p: Value,
        g: Value,
        slots: &[Value],
    ) -> Result<(Value, Vec<Value>)> {
        let m = blend(graph, slots[0], g, self.beta_1)?;
        let square = graph.unary("square", g, &[])?;
        let v = blend(graph, slots[1], square, self.beta_2)?;
        let root = graph.unary("sqrt", v, &[])?;
        let epsilon = graph.constant(self.epsilon);
        let size = graph.add(root, epsilon)?;
        let alpha = rate(graph, "alpha")?;
        let step = graph.mul(m, alpha)?;
        let change = graph.div(step, size)?;
        Ok((graph.sub(p, change)?, vec![m, v]))
    }

    fn learning_rate(&self) -> &Schedule {
        &self.learning_rate
    }

    fn step_values(&self, done: u64, learning_rate: f64) -> Vec<(&'static str, f32)> {
        vec![("alpha", self.alpha(done, learning_rate) as f32)]
    }

    fn config(&self) -> Json {
        settings(|| {
            json!({
                "learning_rate": self.learning_rate.config(),
                "beta_1": number(self.beta_1),
                "beta_2": number(self.beta_2),
                "epsilon": number(self.epsilon),
            })
        })
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2017): p ← p - lr · `weight_decay` · p before each
/// update of [`Adam`].
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    /// The update after the decay.
    pub adam: Adam,
    /// Share of each parameter that a step at rate 1 takes away.
    pub weight_decay: f32,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { adam: Adam::default(), weight_decay: 0.004 }
    }
}

impl AdamW {
    /// Keras' defaults at this rate and decay.
    #[must_use]
    pub fn new(learning_rate: impl Into<Schedule>, weight_decay: f32) -> Self {
        Self { adam: Adam::new(learning_rate), weight_decay }
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &'static str {
        "AdamW"
    }

    fn check(&self) -> Result<()> {
        self.adam.check()?;
        within("AdamW", "weight_decay", self.weight_decay, 0.0, f32::INFINITY)
    }

    fn slots(&self) -> Vec<Slot> {
        self.adam.slots()
    }

    fn update(
        &self,
        graph: &mut Graph,
        p: Value,
        g: Value,
        slots: &[Value],
    ) -> Result<(Value, Vec<Value>)> {
        let kept = rate(graph, "kept_weight")?;
        let p = graph.mul(p, kept)?;
        self.adam.update(graph, p, g, slots)
    }

    fn learning_rate(&self) -> &Schedule {
        &self.adam.learning_rate
    }

    fn step_values(&self, done: u64, learning_rate: f64) -> Vec<(&'static str, f32)> {
        let taken = learning_rate * f64::from(self.weight_decay);
        let mut values = self.adam.step_values(done, learning_rate);
        values.push(("kept_weight", (1.0 - taken) as f32));
        values
    }

    fn config(&self) -> Json {
        settings(|| {
            let mut config = self.adam.config();
            config["weight_decay"] = number(self.weight_decay);
            config
        })
    }
}
