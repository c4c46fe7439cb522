//! Rules that divide by a running size of the gradient. Epsilon is inside the root, as in Keras 3.

use super::{Optimizer, Schedule, Slot, blend, check_rate, rate, within};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::words::{number, settings};
use serde_json::{Value as Json, json};

/// RMSprop (Tieleman and Hinton 2012): v ← rho · v + (1 - rho) g²; p ← p - lr · g / √(v + epsilon). If centered, the
/// squared mean gradient is subtracted under the root. With momentum, m ← momentum · m + that update.
#[derive(Debug, Clone, PartialEq)]
pub struct RmsProp {
    /// The learning rate.
    pub learning_rate: Schedule,
    /// Share of the running mean kept, in [0, 1).
    pub rho: f32,
    /// Share of the last update kept, in [0, 1).
    pub momentum: f32,
    /// Added under the root.
    pub epsilon: f32,
    /// Whether the variance is estimated instead of the second moment.
    pub centered: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self {
            learning_rate: 0.001.into(),
            rho: 0.9,
            momentum: 0.0,
            epsilon: 1e-7,
            centered: false,
        }
    }
}

impl RmsProp {
    /// Keras' defaults at this rate.
    #[must_use]
    pub fn new(learning_rate: impl Into<Schedule>) -> Self {
        Self { learning_rate: learning_rate.into(), ..Self::default() }
    }
}

impl Optimizer for RmsProp {
    fn name(&self) -> &'static str {
        "RMSprop"
    }

    fn check(&self) -> Result<()> {
        check_rate("RMSprop", &self.learning_rate)?;
        within("RMSprop", "rho", self.rho, 0.0, 1.0)?;
        within("RMSprop", "momentum", self.momentum, 0.0, 1.0)?;
        within("RMSprop", "epsilon", self.epsilon, 0.0, f32::INFINITY)
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot { name: "velocity", initial: 0.0 }];
        if self.centered {
            slots.push(Slot { name: "average_gradient", initial: 0.0 });
        }
        if self.momentum > 0.0 {
            slots.push(Slot { name: "momentum", initial: 0.0 });
        }
        slots
    }

    fn update(
        &self,
        graph: &mut Graph,
        p: Value,
        g: Value,
        slots: &[Value],
    ) -> Result<(Value, Vec<Value>)> {
        let square = graph.unary("square", g, &[])?;
        let mut new = vec![blend(graph, slots[0], square, self.rho)?];
        let mut size = new[0];
        if self.centered {
            let average = blend(graph, slots[1], g, self.rho)?;
            let squared = graph.unary("square", average, &[])?;
            size = graph.sub(size, squared)?;
            new.push(average);
        }
        let epsilon = graph.constant(self.epsilon);
        let size = graph.add(size, epsilon)?;
        let root = graph.unary("sqrt", size, &[])?;
        let lr = rate(graph, "learning_rate")?;
        let step = graph.mul(g, lr)?;
        let mut change = graph.div(step, root)?;
        if self.momentum > 0.0 {
            let kept = graph.scale(slots[slots.len() - 1], self.momentum)?;
            change = graph.add(kept, change)?;
            new.push(change);
        }
        Ok((graph.sub(p, change)?, new))
    }

    fn learning_rate(&self) -> &Schedule {
        &self.learning_rate
    }

    fn step_values(&self, _done: u64, learning_rate: f64) -> Vec<(&'static str, f32)> {
        vec![("learning_rate", learning_rate as f32)]
    }

    fn config(&self) -> Json {
        settings(|| {
            json!({
                "learning_rate": self.learning_rate.config(),
                "rho": number(self.rho),
                "momentum": number(self.momentum),
                "epsilon": number(self.epsilon),
                "centered": self.centered,
            })
        })
    }
}

/// Adagrad (Duchi et al. 2011): a ← a + g²; p ← p - lr · g / √(a + epsilon).
#[derive(Debug, Clone, PartialEq)]
pub struct Adagrad {
    /// The learning rate.
    pub learning_rate: Schedule,
    /// The initial value of the sums of squares.
    pub initial_accumulator_value: f32,
    /// Added under the root.
    pub epsilon: f32,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self { learning_rate: 0.001.into(), initial_accumulator_value: 0.1, epsilon: 1e-7 }
    }
}

impl Adagrad {
    /// Keras' defaults at this rate.
    #[must_use]
    pub fn new(learning_rate: impl Into<Schedule>) -> Self {
        Self { learning_rate: learning_rate.into(), ..Self::default() }
    }
}

impl Optimizer for Adagrad {
    fn name(&self) -> &'static str {
        "Adagrad"
    }

    fn check(&self) -> Result<()> {
        let any = f32::INFINITY;
        check_rate("Adagrad", &self.learning_rate)?;
        within("Adagrad", "initial_accumulator_value", self.initial_accumulator_value, 0.0, any)?;
        within("Adagrad", "epsilon", self.epsilon, 0.0, any)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot { name: "accumulator", initial: self.initial_accumulator_value }]
    }

    fn update(
        &self,
        graph: &mut Graph,
        p: Value,
        g: Value,
        slots: &[Value],
    ) -> Result<(Value, Vec<Value>)> {
        let square = graph.unary("square", g, &[])?;
        let sum = graph.add(slots[0], square)?;
        let epsilon = graph.constant(self.epsilon);
        let size = graph.add(sum, epsilon)?;
        let root = graph.unary("sqrt", size, &[])?;
        let lr = rate(graph, "learning_rate")?;
        let step = graph.mul(g, lr)?;
        let change = graph.div(step, root)?;
        Ok((graph.sub(p, change)?, vec![sum]))
    }

    fn learning_rate(&self) -> &Schedule {
        &self.learning_rate
    }

    fn step_values(&self, _done: u64, learning_rate: f64) -> Vec<(&'static str, f32)> {
        vec![("learning_rate", learning_rate as f32)]
    }

    fn config(&self) -> Json {
        settings(|| {
            json!({
                "learning_rate": self.learning_rate.config(),
                "initial_accumulator_value": number(self.initial_accumulator_value),
                "epsilon": number(self.epsilon),
            })
        })
    }
}
