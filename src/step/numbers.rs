//! Losses and metrics of the steps so far, added up from what the device recorded.

use super::compile::OutputSpec;
use super::evaluation::Evaluation;
use super::graph::{Batch, StepSpec};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The largest count that a file may hold: no sum of it with other counts overflows, and f64 has it exactly.
pub(crate) const LARGEST_COUNT: u64 = 1 << 53;

/// Sums over the samples of an epoch. They are plain data, so that an epoch can be left in its middle and taken up
/// again.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Numbers {
    /// Samples so far.
    pub samples: u64,
    /// For each output the loss times the samples; then the penalty times the samples, if there is one.
    pub losses: Vec<f64>,
    /// The state of each metric of each output, in order.
    pub metrics: Vec<Vec<f64>>,
}

impl Numbers {
    /// The numbers of no samples: what [`Numbers::evaluation`] names, without numbers.
    pub fn empty(spec: &StepSpec<'_>) -> Self {
        let metrics = spec.outputs.iter().map(|o| o.metrics.len()).sum();
        Self { metrics: vec![Vec::new(); metrics], ..Self::default() }
    }

    /// Adds the records of some steps, whose batches have the sizes `sizes`.
    pub fn add(&mut self, spec: &StepSpec<'_>, batch: &Batch, records: &[f32], sizes: &[usize]) {
        let room = batch.column_room();
        for (record, &size) in records.chunks_exact(spec.columns() * room).zip(sizes) {
            self.samples += size as u64;
            let mut rest = record;
            let mut column = |width: usize| {
                let (first, others) = rest.split_at(width * room);
                rest = others;
                &first[..width * size]
            };
            let mut losses = Vec::new();
            let mut metric = 0;
            for output in spec.outputs {
                // A sample's loss is already divided by the batch.
                let rows = column(1).iter().copied().map(f64::from);
                losses.push(rows.sum::<f64>() * size as f64);
                let mask = output.mask.map(&mut column);
                if mask.is_some_and(|mask| mask.iter().all(|&counts| counts == 0.0)) {
                    warn_once(format!(
                        "output `{}`: the mask leaves out every position of a batch of {size} samples, whose loss is 0; check \
                         that they are not all padding",
                        output.name
                    ));
                }
                for m in &output.metrics {
                    let widths = m.columns(&output.shape).into_iter();
                    let own: Vec<&[f32]> = widths.map(&mut column).collect();
                    self.metrics.resize(self.metrics.len().max(metric + 1), Vec::new());
                    m.accumulate_masked(&output.shape, &mut self.metrics[metric], &own, mask);
                    metric += 1;
                }
            }
            // The penalty is one number per batch.
            if spec.penalised() {
                losses.push(f64::from(column(1)[0]) * size as f64);
            }
            self.losses.resize(losses.len(), 0.0);
            self.losses.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
        }
    }

    /// Loss and metrics over the samples so far. If there are several outputs, each has its loss under its name, and
    /// its metrics with its name before theirs. If a name is taken, it gets a number: `binary_accuracy_1`. A metric is 0
    /// if the mask leaves out all positions of all samples.
    pub fn evaluation(&self, outputs: &[OutputSpec]) -> Evaluation {
        let mean = |sum: &f64| sum / self.samples as f64;
        let mut metrics: Vec<(String, f64)> = Vec::new();
        let mut confusion_matrices = Vec::new();
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
                let nothing = self.samples > 0 && metric.is_of_nothing(&output.shape, state);
                for (name, value) in metric.results(&output.shape, state) {
                    let base = if several { format!("{}_{name}", output.name) } else { name };
                    let taken = |name: &String| metrics.iter().any(|(known, _)| known == name);
                    let numbered = (1..).map(|i| format!("{base}_{i}"));
                    let name = std::iter::once(base.clone()).chain(numbered).find(|n| !taken(n));
                    let name = name.unwrap_or(base);
                    let value = if nothing { of_nothing(&name) } else { value };
                    metrics.push((name, value));
                }
                let matrix = metric.confusion_matrix(&output.shape, state);
                confusion_matrices.extend(matrix.map(|matrix| (output.name.clone(), matrix)));
            }
        }
        Evaluation { loss, metrics, confusion_matrices }
    }
}

/// What the metric `name` is if no position counts: 0, as in Keras, and a warning.
fn of_nothing(name: &str) -> f64 {
    warn_once(format!(
        "metric `{name}` is 0: the mask leaves out every position so far; check that the data is not all padding"
    ));
    0.0
}

/// A loop that shows its numbers asks often, and warns once.
fn warn_once(message: String) {
    static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(message.clone()) {
        log::warn!("{message}");
    }
}
