//! Metrics: what training reports beside the loss, under Keras' names and by scikit-learn's definitions.
//!
//! The device computes numbers of each sample, the columns of a metric, in the graph of the step; the host adds
//! them up over an epoch in f64 and divides last, so that counts are exact. Sample weights and class
//! weights change losses, not metrics, as with Keras' `metrics`. The functions of this module ([`accuracy_score`],
//! [`r2_score`], ...) compute the same numbers from tensors in host memory, through the same sums:
//!
//! ```
//! use wgrad::metrics::{ClassAverage, accuracy_score, classes, confusion_matrix, f1_score};
//! use wgrad::tensor::Tensor;
//!
//! let labels = [0, 2, 1, 2];
//! let scores = [0.8, 0.1, 0.1, 0.2, 0.2, 0.6, 0.5, 0.4, 0.1, 0.0, 0.1, 0.9];
//! let predicted = classes(&Tensor::f32([4, 3], scores)?, 0.5)?;
//! assert_eq!(predicted, [0, 2, 0, 2]);
//! assert_eq!(accuracy_score(&labels, &predicted)?, 0.75);
//! assert_eq!(f1_score(&labels, &predicted, ClassAverage::Micro)?, 0.75);
//! assert_eq!(confusion_matrix(&labels, &predicted, 3)?.get(1, 0), Some(1));
//! # Ok::<(), wgrad::Error>(())
//! ```

mod build;
mod columns;
mod confusion;
mod data;
mod metric;
mod regression;
mod scores;
mod tally;

pub use confusion::{ClassAverage, ConfusionMatrix};
pub use metric::{CustomMetric, Metric};
pub use regression::{mean_absolute_error, mean_squared_error, r2_score, root_mean_squared_error};
pub use scores::{
    NO_CLASS, accuracy_score, classes, confusion_matrix, f1_score, precision_score, recall_score,
    roc_auc_score, top_k_accuracy_score,
};

use crate::tensor::Shape;
use confusion::Score;
pub(crate) use scores::predicted_class;
use tally::Tally;

impl Metric {
    /// What the host keeps of outputs of this sample shape.
    fn tally(&self, output: &Shape) -> Tally {
        match self {
            Self::Precision { .. }
            | Self::Recall { .. }
            | Self::F1 { .. }
            | Self::MeanIoU { .. }
            | Self::ConfusionMatrix { .. } => {
                Tally::Cells { classes: class_count(output), positions: positions(output) }
            }
            Self::Auc => Tally::Pairs { positions: positions(output) },
            Self::R2Score => {
                let positions = positions(output);
                Tally::Moments { outputs: output.len() / positions, positions }
            }
            // One number per row of predictions.
            Self::Accuracy
            | Self::CategoricalAccuracy
            | Self::SparseCategoricalAccuracy
            | Self::TopKCategoricalAccuracy { .. }
            | Self::SparseTopKCategoricalAccuracy { .. } => Tally::Mean { each: positions(output) },
            Self::BinaryAccuracy { .. }
            | Self::MeanSquaredError
            | Self::RootMeanSquaredError
            | Self::MeanAbsoluteError
            // Handled before.
            | Self::Custom(_) => Tally::Mean { each: output.len() },
        }
    }

    /// How many numbers of a sample each column has, for outputs of this sample shape.
    #[must_use]
    pub fn columns(&self, output: &Shape) -> Vec<usize> {
        match self {
            Self::Custom(metric) => metric.widths(output),
            _ => self.tally(output).columns(),
        }
    }

    /// Adds the columns of further samples of outputs of this sample shape to the metric's state, which begins
    /// empty: a slice per column, each with its numbers sample by sample.
    pub fn accumulate(&self, output: &Shape, state: &mut Vec<f64>, columns: &[&[f32]]) {
        self.accumulate_masked(output, state, columns, None);
    }

    /// As [`Metric::accumulate`], for outputs with a mask: 1 or 0 for each position of each sample.
    pub fn accumulate_masked(
        &self,
        output: &Shape,
        state: &mut Vec<f64>,
        columns: &[&[f32]],
        mask: Option<&[f32]>,
    ) {
        match self {
            Self::Custom(metric) => metric.accumulate(state, columns),
            _ => self.tally(output).accumulate(state, columns, mask),
        }
    }

    /// Whether this state is of no position: no sample was added, or a mask leaves all positions out. A metric of your own
    /// has its own state, of which nothing is known.
    pub(crate) fn is_of_nothing(&self, output: &Shape, state: &[f64]) -> bool {
        !matches!(self, Self::Custom(_)) && self.tally(output).is_of_nothing(state)
    }

    /// The metric's numbers by name, from its state for outputs of this sample shape. Each is NaN for a state of no position.
    #[must_use]
    pub fn results(&self, output: &Shape, state: &[f64]) -> Vec<(String, f64)> {
        let own = |value| vec![(self.name().to_owned(), value)];
        let scores = |score, average: Option<ClassAverage>| {
            let matrix = ConfusionMatrix::from_state(class_count(output), state);
            match average {
                Some(average) => vec![(
                    format!("{}{}", self.name(), average.suffix()),
                    matrix.average(score, average),
                )],
                None => {
                    let each = matrix.per_class(score).into_iter().enumerate();
                    each.map(|(class, v)| (format!("{}_{class}", self.name()), v)).collect()
                }
            }
        };
        match *self {
            Self::Precision { average, .. } => scores(Score::Precision, average),
            Self::Recall { average, .. } => scores(Score::Recall, average),
            Self::F1 { average, .. } => scores(Score::F1, average),
            Self::MeanIoU { .. } => {
                own(ConfusionMatrix::from_state(class_count(output), state).mean_iou())
            }
            Self::ConfusionMatrix { .. } => Vec::new(),
            Self::Custom(_) if state.is_empty() => own(f64::NAN),
            Self::Custom(metric) => own(metric.result(state)),
            Self::Auc => own(tally::auc(state)),
            Self::R2Score => own(tally::r2(state)),
            Self::RootMeanSquaredError => own(tally::mean(state).sqrt()),
            _ => own(tally::mean(state)),
        }
    }

    /// The confusion matrix of outputs of this sample shape, if this metric is one.
    #[must_use]
    pub fn confusion_matrix(&self, output: &Shape, state: &[f64]) -> Option<ConfusionMatrix> {
        matches!(self, Self::ConfusionMatrix { .. })
            .then(|| ConfusionMatrix::from_state(class_count(output), state))
    }
}

/// How many classes outputs of this sample shape tell apart: one output per position has two, on either side of its
/// threshold.
fn class_count(output: &Shape) -> usize {
    match output.dims().last() {
        Some(&classes) if classes > 1 => classes,
        _ => 2,
    }
}

/// How many positions a sample has: one for each row along the last axis of its outputs.
fn positions(output: &Shape) -> usize {
    output.dims().split_last().map_or(1, |(_, lead)| lead.iter().product())
}
