//! Losses and metrics of the steps so far, added up from what the device recorded.

use super::compile::OutputSpec;
use super::history::Evaluation;
use super::step::{Batch, StepSpec};
use crate::tensor::Shape;

/// Sums over the samples of an epoch. Plain data, so that an epoch can be left and taken up in its middle.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Numbers {
    /// Samples so far.
    pub samples: u64,
    /// For each output the loss times the samples; then the penalty times the samples, where there is one.
    pub losses: Vec<f64>,
    /// The state of each metric of each output, in order.
    pub metrics: Vec<Vec<f64>>,
}

impl Numbers {
    /// Of no samples: what [`Numbers::evaluation`] names, without numbers.
    pub fn empty(spec: &StepSpec<'_>) -> Self {
        let metrics = spec.outputs.iter().map(|o| o.metrics.len()).sum();
        Self { metrics: vec![Vec::new(); metrics], ..Self::default() }
    }

    /// Adds the slots of some steps, the sizes of whose batches are `sizes`.
    pub fn add(&mut self, spec: &StepSpec<'_>, batch: &Batch, slots: &[f32], sizes: &[usize]) {
        let shapes: Vec<Shape> = spec.model.output_shapes();
        let room = batch.column_room();
        for (slot, &size) in slots.chunks_exact(spec.columns() * room).zip(sizes) {
            self.samples += size as u64;
            let mut columns = slot.chunks_exact(room).map(|column| &column[..size]);
            let mut losses = Vec::new();
            let mut metric = 0;
            for (output, shape) in spec.outputs.iter().zip(&shapes) {
                // A sample's loss is divided by the batch already.
                let rows = columns.next().unwrap_or_default();
                losses.push(rows.iter().copied().map(f64::from).sum::<f64>() * size as f64);
                for m in &output.metrics {
                    let own: Vec<&[f32]> = columns.by_ref().take(m.columns(shape)).collect();
                    self.metrics.resize(self.metrics.len().max(metric + 1), Vec::new());
                    m.accumulate(&mut self.metrics[metric], &own);
                    metric += 1;
                }
            }
            // The penalty is one number per batch.
            losses.extend(columns.next().map(|column| f64::from(column[0]) * size as f64));
            self.losses.resize(losses.len(), 0.0);
            self.losses.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
        }
    }

    /// Means over the samples so far. With several outputs each has its loss under its name, and its metrics
    /// with its name before theirs.
    pub fn evaluation(&self, outputs: &[OutputSpec]) -> Evaluation {
        let mean = |sum: &f64| sum / self.samples as f64;
        let mut metrics = Vec::new();
        let mut states = self.metrics.iter();
        let mut loss = 0.0;
        let several = outputs.len() > 1;
        for (output, sum) in outputs.iter().zip(&self.losses) {
            loss += f64::from(output.weight) * mean(sum);
            if several {
                metrics.push((format!("{}_loss", output.name), mean(sum)));
            }
        }
        loss += self.losses.get(outputs.len()).map_or(0.0, mean);
        for output in outputs {
            for (metric, state) in output.metrics.iter().zip(states.by_ref()) {
                let own = metric.results(state).into_iter();
                metrics.extend(own.map(|(name, value)| match several {
                    true => (format!("{}_{name}", output.name), value),
                    false => (name, value),
                }));
            }
        }
        Evaluation { loss, metrics }
    }
}
