//! Losses and a metric.

use wgrad::graph::{Graph, Value};
use wgrad::losses::CustomLoss;
use wgrad::metrics::CustomMetric;
use wgrad::{Error, Result};

/// The axes of a sample: all but the first.
fn of_sample(g: &Graph, x: Value) -> Vec<usize> {
    (1..g.shape(x).rank()).collect()
}

/// Mean of ln cosh(p - t) as |e| + softplus(-2 |e|) - ln 2.
#[derive(Debug)]
pub struct LogCosh;

impl CustomLoss for LogCosh {
    fn name(&self) -> &'static str {
        "log_cosh"
    }

    fn rows(&self, g: &mut Graph, targets: Value, predictions: Value) -> Result<Value> {
        let error = g.sub(predictions, targets)?;
        let size = g.unary("abs", error, &[])?;
        let twice = g.scale(size, -2.0)?;
        let soft = g.unary("softplus", twice, &[])?;
        let sum = g.add(size, soft)?;
        let ln_2 = g.constant(std::f32::consts::LN_2);
        let each = g.sub(sum, ln_2)?;
        let axes = of_sample(g, each);
        g.mean(each, &axes, false)
    }
}

/// `Σ max(0, margin - p[label] + p[other])²` over the other classes, of logits and labels.
#[derive(Debug)]
pub struct Margin {
    /// How far the right class should be ahead.
    pub margin: f32,
}

impl CustomLoss for Margin {
    fn name(&self) -> &'static str {
        "margin"
    }

    fn check(&self) -> Result<()> {
        match self.margin > 0.0 {
            true => Ok(()),
            false => Err(Error::parameter("margin", self.margin, "is above 0")),
        }
    }

    fn takes_labels(&self) -> bool {
        true
    }

    fn takes_logits(&self) -> Option<bool> {
        Some(true)
    }

    fn rows(&self, g: &mut Graph, targets: Value, predictions: Value) -> Result<Value> {
        let classes = *g.shape(predictions).dims().last().unwrap_or(&1);
        let right = g.one_hot(targets, classes)?;
        let own = g.mul(predictions, right)?;
        let own = g.sum(own, &[1], true)?;
        let behind = g.sub(predictions, own)?;
        let margin = g.constant(self.margin);
        let short = g.add(behind, margin)?;
        let short = g.unary("relu", short, &[])?;
        let squares = g.unary("square", short, &[])?;
        let one = g.constant(1.0);
        let others = g.sub(one, right)?;
        let each = g.mul(squares, others)?;
        g.sum(each, &[1], false)
    }
}

/// The largest |p - t| of all samples.
#[derive(Debug)]
pub struct MaxError;

impl CustomMetric for MaxError {
    fn name(&self) -> &'static str {
        "max_error"
    }

    fn columns(&self, g: &mut Graph, targets: Value, predictions: Value) -> Result<Vec<Value>> {
        let error = g.sub(predictions, targets)?;
        let size = g.unary("abs", error, &[])?;
        let axes = of_sample(g, size);
        Ok(vec![g.max(size, &axes, false)?])
    }

    fn accumulate(&self, state: &mut Vec<f64>, columns: &[&[f32]]) {
        let all = columns[0].iter().map(|&v| f64::from(v)).chain(state.iter().copied());
        *state = vec![all.fold(0.0, f64::max)];
    }

    fn result(&self, state: &[f64]) -> f64 {
        state[0]
    }
}
