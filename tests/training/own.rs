//! Losses and metrics of one's own on outputs with positions: masks and weights of positions reach them.

use super::positions::{N, T, UNITS, close, model, sequences};
use super::*;
use crate::support::says;
use wgrad::Result;
use wgrad::graph::{Graph, Value};
use wgrad::losses::CustomLoss;
use wgrad::metrics::CustomMetric;
use wgrad::tensor::Shape;
use wgrad::train::Evaluation;

/// Mean of (p - t)², as a loss of one's own, with or without positions.
#[derive(Debug)]
struct Squared {
    positions: bool,
}

impl Squared {
    fn each(g: &mut Graph, targets: Value, predictions: Value) -> Result<Value> {
        let error = g.sub(predictions, targets)?;
        g.unary("square", error, &[])
    }
}

impl CustomLoss for Squared {
    fn name(&self) -> &'static str {
        "squared"
    }

    fn rows(&self, g: &mut Graph, targets: Value, predictions: Value) -> Result<Value> {
        let each = Self::each(g, targets, predictions)?;
        g.mean(each, &[1, 2], false)
    }

    fn positions(
        &self,
        g: &mut Graph,
        targets: Value,
        predictions: Value,
    ) -> Result<Option<Value>> {
        let each = Self::each(g, targets, predictions)?;
        Ok(if self.positions { Some(g.mean(each, &[2], false)?) } else { None })
    }
}

/// Mean of |p - t| over what counts, as a metric of one's own: sums and counts of samples.
#[derive(Debug)]
struct Absolute {
    masked: bool,
}

impl CustomMetric for Absolute {
    fn name(&self) -> &'static str {
        "absolute"
    }

    fn columns(&self, g: &mut Graph, targets: Value, predictions: Value) -> Result<Vec<Value>> {
        let dims = g.shape(predictions).dims()[..2].to_vec();
        let one = g.constant(1.0);
        let all = g.broadcast_to(one, dims)?;
        Ok(self.masked_columns(g, targets, predictions, all)?.expect("columns"))
    }

    fn masked_columns(
        &self,
        g: &mut Graph,
        targets: Value,
        predictions: Value,
        mask: Value,
    ) -> Result<Option<Vec<Value>>> {
        let error = g.sub(predictions, targets)?;
        let size = g.unary("abs", error, &[])?;
        let size = g.mean(size, &[2], false)?;
        let kept = g.mul(size, mask)?;
        let columns = vec![g.sum(kept, &[1], false)?, g.sum(mask, &[1], false)?];
        Ok(self.masked.then_some(columns))
    }

    fn widths(&self, _output: &Shape) -> Vec<usize> {
        vec![1, 1]
    }

    fn accumulate(&self, state: &mut Vec<f64>, columns: &[&[f32]]) {
        state.resize(2, 0.0);
        for (sum, column) in state.iter_mut().zip(columns) {
            *sum += column.iter().map(|&v| f64::from(v)).sum::<f64>();
        }
    }

    fn result(&self, state: &[f64]) -> f64 {
        state[0] / state[1]
    }
}

/// With masks and weights of positions they give what the library's own give.
#[test]
fn losses_and_metrics_of_ones_own_heed_positions() -> Result<()> {
    let y = Tensor::f32([N, T, UNITS], random::uniform(5, N * T * UNITS, -1.0, 1.0))?;
    let w = Tensor::f32([N, T], random::uniform(6, N * T, 0.0, 2.0))?;
    let mut seen = Vec::new();
    for masked in [true, false] {
        for weighted in [true, false] {
            let data = TensorDataset::new(sequences(masked).0, y.clone())?;
            let data = if weighted { data.weighted(w.clone())? } else { data };
            let run = |loss: Loss, metric: Metric| -> Result<(Evaluation, Vec<(String, Tensor)>)> {
                let compile = Compile::new(Sgd::new(0.1), loss).metrics([metric]).seed(4);
                let network = model(masked, UNITS, Activation::Tanh).build()?;
                let mut trainer = network.compile(support::device(), compile)?;
                trainer.train_on_batch(&data)?;
                Ok((trainer.evaluate(&data)?, trainer.weights()?))
            };
            let (ours, our_weights) =
                run(Squared { positions: true }.into(), Absolute { masked: true }.into())?;
            let (theirs, their_weights) = run(Loss::MeanSquaredError, Metric::MeanAbsoluteError)?;
            close(ours.loss, theirs.loss, "loss");
            close(ours.metrics[0].1, theirs.metrics[0].1, "metric");
            for ((name, a), (_, b)) in our_weights.iter().zip(&their_weights) {
                for (&a, &b) in a.as_f32()?.iter().zip(b.as_f32()?) {
                    close(f64::from(a), f64::from(b), name);
                }
            }
            seen.push(ours.loss);
        }
    }
    seen.sort_by(f64::total_cmp);
    assert!(seen.windows(2).all(|pair| pair[1] > pair[0] * 1.001), "{seen:?}");
    Ok(())
}

#[test]
fn losses_and_metrics_without_positions_are_refused_with_what_to_do() -> Result<()> {
    let y = Tensor::f32([N, T, UNITS], vec![0.0; N * T * UNITS])?;
    let compile = |loss: Loss, metric: Metric| {
        let network = model(true, UNITS, Activation::Tanh).build()?;
        network.compile(support::device(), Compile::new(Sgd::new(0.1), loss).metrics([metric]))
    };
    let whole = Squared { positions: false };
    let error = compile(whole.into(), Absolute { masked: true }.into()).unwrap_err();
    says(&error, &["squared", "use weights per sample, or write CustomLoss::positions"]);
    let error = compile(Loss::MeanSquaredError, Absolute { masked: false }.into()).unwrap_err();
    says(&error, &["absolute", "a mask", "write CustomMetric::masked_columns"]);

    let network = model(false, UNITS, Activation::Tanh).build()?;
    let loss = Squared { positions: false };
    let mut trainer = network.compile(support::device(), Compile::new(Sgd::new(0.1), loss))?;
    let data = TensorDataset::new(sequences(false).0, y)?;
    trainer.train_on_batch(&data.clone().weighted(Tensor::f32([N], vec![0.5; N])?)?)?;
    let weighted = data.weighted(Tensor::f32([N, T], vec![0.5; N * T])?)?;
    let error = trainer.train_on_batch(&weighted).unwrap_err();
    says(&error, &["squared", "[7, 5, 4]", "use weights per sample"]);
    Ok(())
}
