//! Gradient descent.

use super::{Optimizer, Schedule, Slot, check_rate, rate, within};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::words::{number, settings};
use serde_json::{Value as Json, json};

/// Stochastic gradient descent: v ← momentum · v - lr · g; p ← p + v, or with Nesterov p ← p + momentum · v - lr · g.
/// The rate is the learning rate / (1 + decay · t) with t the updates done, as with Keras' legacy `decay`; this divides
/// the rate of a schedule too.
#[derive(Debug, Clone, PartialEq)]
pub struct Sgd {
    /// The learning rate, before `decay` divides it.
    pub learning_rate: Schedule,
    /// Share of the last update kept, in [0, 1).
    pub momentum: f32,
    /// Whether momentum moves the parameters before the gradient step. Sutskever et al. 2013.
    pub nesterov: bool,
    /// Inverse-time decay per update.
    pub decay: f32,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { learning_rate: 0.01.into(), momentum: 0.0, nesterov: false, decay: 0.0 }
    }
}

impl Sgd {
    /// Plain gradient descent at this rate.
    #[must_use]
    pub fn new(learning_rate: impl Into<Schedule>) -> Self {
        Self { learning_rate: learning_rate.into(), ..Self::default() }
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "SGD"
    }

    fn check(&self) -> Result<()> {
        check_rate("SGD", &self.learning_rate)?;
        within("SGD", "momentum", self.momentum, 0.0, 1.0)?;
        within("SGD", "decay", self.decay, 0.0, f32::INFINITY)
    }

    fn slots(&self) -> Vec<Slot> {
        let momentum = Slot { name: "momentum", initial: 0.0 };
        if self.momentum > 0.0 { vec![momentum] } else { vec![] }
    }

    fn update(
        &self,
        graph: &mut Graph,
        p: Value,
        g: Value,
        slots: &[Value],
    ) -> Result<(Value, Vec<Value>)> {
        let lr = rate(graph, "learning_rate")?;
        let step = graph.mul(g, lr)?;
        let Some(&v) = slots.first() else {
            return Ok((graph.sub(p, step)?, vec![]));
        };
        let kept = graph.scale(v, self.momentum)?;
        let v = graph.sub(kept, step)?;
        let change = if self.nesterov {
            let ahead = graph.scale(v, self.momentum)?;
            graph.sub(ahead, step)?
        } else {
            v
        };
        Ok((graph.add(p, change)?, vec![v]))
    }

    fn learning_rate(&self) -> &Schedule {
        &self.learning_rate
    }

    fn step_values(&self, done: u64, learning_rate: f64) -> Vec<(&'static str, f32)> {
        let rate = learning_rate / (1.0 + f64::from(self.decay) * done as f64);
        vec![("learning_rate", rate as f32)]
    }

    fn config(&self) -> Json {
        settings(|| {
            json!({
                "learning_rate": self.learning_rate.config(),
                "momentum": number(self.momentum),
                "nesterov": self.nesterov,
                "decay": number(self.decay),
            })
        })
    }
}
