//! An optimizer and a callback.

use wgrad::callbacks::HookResult;
use wgrad::graph::{Graph, Value};
use wgrad::optim::Slot;
use wgrad::prelude::*;
use wgrad::{Error, Result};

/// u ← sign(b · m + (1 - b) · g); p ← p - rate · u; m ← b · m + (1 - b) · g. After Chen et al. 2023, with one b.
#[derive(Debug)]
pub struct Lion {
    /// The size of a step.
    pub learning_rate: Schedule,
    /// The share of the old momentum.
    pub beta: f32,
}

impl Optimizer for Lion {
    fn name(&self) -> &'static str {
        "Lion"
    }

    fn check(&self) -> Result<()> {
        self.learning_rate.check()?;
        match (0.0..1.0).contains(&self.beta) {
            true => Ok(()),
            false => Err(Error::parameter("Lion beta", self.beta, "is in [0, 1)")),
        }
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot { name: "momentum", initial: 0.0 }]
    }

    fn update(
        &self,
        g: &mut Graph,
        p: Value,
        gradient: Value,
        slots: &[Value],
    ) -> Result<(Value, Vec<Value>)> {
        let rate = g.step_param("learning_rate", DType::F32)?;
        let old = g.scale(slots[0], self.beta)?;
        let new = g.scale(gradient, 1.0 - self.beta)?;
        let momentum = g.add(old, new)?;
        let sign = g.unary("sign", momentum, &[])?;
        let step = g.mul(sign, rate)?;
        Ok((g.sub(p, step)?, vec![momentum]))
    }

    fn learning_rate(&self) -> &Schedule {
        &self.learning_rate
    }

    fn step_values(&self, _updates: u64, learning_rate: f64) -> Vec<(&'static str, f32)> {
        vec![("learning_rate", learning_rate as f32)]
    }
}

/// Ends training once a number of the log is below a bound.
pub struct StopBelow {
    /// The number's name.
    pub log: &'static str,
    /// The bound.
    pub bound: f64,
}

impl Callback for StopBelow {
    fn name(&self) -> String {
        "StopBelow".into()
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        if epoch.logs.iter().any(|(name, value)| name == self.log && *value < self.bound) {
            control.stop_training();
        }
        Ok(())
    }
}
