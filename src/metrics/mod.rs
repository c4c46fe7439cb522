//! Metrics. The device computes numbers of each sample, the columns of a metric; the host adds them up over an
//! epoch in f64.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::losses::{Loss, LossValues, sum_samples};
use crate::tensor::{DType, Shape};

/// A metric, averaged over samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metric {
    /// The share of right predictions: of the largest class where there are several outputs, of each output
    /// against the loss's threshold for binary problems.
    Accuracy,
    /// Mean of (p - t)².
    MeanSquaredError,
    /// Mean of |p - t|.
    MeanAbsoluteError,
}

impl Metric {
    /// The name in logs, as Keras spells it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MeanSquaredError => "mean_squared_error",
            Self::MeanAbsoluteError => "mean_absolute_error",
        }
    }

    /// How many numbers a sample has, for outputs of this sample shape.
    #[must_use]
    pub const fn columns(&self, _output: &Shape) -> usize {
        1
    }

    /// Adds the columns of further samples (a slice per column, all of one length) to the metric's state, which
    /// begins empty.
    pub fn accumulate(&self, state: &mut Vec<f64>, columns: &[&[f32]]) {
        state.resize(2, 0.0);
        state[0] += columns[0].iter().copied().map(f64::from).sum::<f64>();
        state[1] += columns[0].len() as f64;
    }

    /// The metric's numbers by name, from its state.
    #[must_use]
    pub fn results(&self, state: &[f64]) -> Vec<(String, f64)> {
        let mean = if let [sum, count] = state { sum / count } else { f64::NAN };
        vec![(self.name().into(), mean)]
    }

    /// Builds the columns: `[batch]` each.
    ///
    /// # Errors
    /// Targets that do not suit the metric.
    pub fn build(
        &self,
        graph: &mut Graph,
        loss: &Loss,
        values: &LossValues,
        targets: Value,
        predictions: Value,
    ) -> Result<Vec<Value>> {
        Ok(vec![self.mean(graph, loss, values, targets, predictions)?])
    }

    /// The metric of each sample.
    fn mean(
        &self,
        graph: &mut Graph,
        loss: &Loss,
        values: &LossValues,
        targets: Value,
        predictions: Value,
    ) -> Result<Value> {
        let shape = graph.shape(predictions).clone();
        let batch = shape.dims()[0];
        let share = batch as f32;
        match self {
            Self::Accuracy => {
                let outputs = shape.len() / batch;
                let categorical = graph.ty(targets).dtype == DType::U32
                    || matches!(loss, Loss::CategoricalCrossentropy { .. });
                let hits = match values.hits {
                    Some(hits) => hits,
                    None if categorical => graph.hits(predictions, targets)?,
                    None => {
                        let targets = graph.reshape(targets, shape.clone())?;
                        let threshold = graph.constant(loss.threshold());
                        let yes = graph.binary("greater", predictions, threshold)?;
                        let equal = graph.binary("equal", yes, targets)?;
                        let equal = graph.scale(equal, 1.0 / outputs as f32)?;
                        return sum_samples(graph, equal, 1.0);
                    }
                };
                let positions = graph.shape(hits).len() as f32;
                let hits =
                    if positions == share { hits } else { graph.scale(hits, share / positions)? };
                sum_samples(graph, hits, 1.0)
            }
            Self::MeanSquaredError | Self::MeanAbsoluteError => {
                if graph.ty(targets).dtype != DType::F32 {
                    let dtype = graph.ty(targets).dtype;
                    return Err(Error::dtype(self.name(), &[dtype], "targets are f32"));
                }
                let targets = graph.reshape(targets, shape.clone())?;
                let e = graph.sub(predictions, targets)?;
                let function = if *self == Self::MeanSquaredError { "square" } else { "abs" };
                let e = graph.unary(function, e, &[])?;
                sum_samples(graph, e, share / shape.len() as f32)
            }
        }
    }
}
