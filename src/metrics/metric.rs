//! The metrics that a model can be compiled with.

use super::ClassAverage;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::tensor::Shape;
use crate::words::{config_by_default, equal_by_config, kept};

/// A metric of one output.
///
/// A `threshold` separates the two classes of a single output: predictions above it are the positive class, 1, as are
/// targets above 0.5. It is a probability: if the loss is
/// [`BinaryCrossentropy`](crate::losses::Loss::BinaryCrossentropy) on logits, the logit of the threshold replaces it (0
/// for 0.5). Outputs with several classes have the class whose prediction is largest, the first of equal ones; the
/// threshold does not matter to them.
///
/// A sample with a NaN among its predictions has no predicted class. Every metric counts it as wrong: it is no hit, it
/// is not among the top k, and in the confusion matrix it is in no column
/// ([`unclassified`](super::ConfusionMatrix::unclassified)), so that it lowers recall and no class's precision.
/// [`Metric::Auc`] and the metrics of errors are NaN then.
///
/// ```no_run
/// use wgrad::prelude::*;
/// # fn train(model: &Model, device: &Device, data: &TensorDataset) -> wgrad::Result<()> {
/// let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
/// let metrics = [Metric::Accuracy, Metric::f1(ClassAverage::Macro)];
/// let mut trainer = model.compile(device, Compile::new(Adam::default(), loss).metrics(metrics))?;
/// let history = trainer.fit(data, Fit::new().epochs(3))?;
/// println!("{:?} {:?}", history.get("accuracy"), history.get("f1_score_macro"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Metric {
    /// The share of right predictions, in the form that suits the shapes, whatever the loss, as Keras 3 resolves
    /// `"accuracy"`: [`Metric::SparseCategoricalAccuracy`] for integer labels; [`Metric::BinaryAccuracy`] if the last
    /// axis of predictions has one element, at 0.5 or, on logits, at 0; else [`Metric::CategoricalAccuracy`].
    /// [`Metric::BinaryAccuracy`] counts several independent labels per sample (multi-hot targets).
    Accuracy,
    /// The share of outputs that are on their target's side: (p > threshold) = t. Several outputs of a sample are
    /// independent labels.
    BinaryAccuracy {
        /// Positive predictions are above this: 0.5 in Keras.
        threshold: f32,
    },
    /// The share of samples whose largest prediction is at the largest target of `[..., classes]`.
    CategoricalAccuracy,
    /// The share of samples whose largest prediction is at the integer target.
    SparseCategoricalAccuracy,
    /// The share of samples with fewer than k predictions above that of the right class, the target's largest.
    /// Predictions equal to it are not above it, as in TensorFlow's `in_top_k`.
    TopKCategoricalAccuracy {
        /// How many predictions count: 1 to the number of classes; 5 in Keras.
        k: usize,
    },
    /// As [`Metric::TopKCategoricalAccuracy`], for integer targets.
    SparseTopKCategoricalAccuracy {
        /// How many predictions count: 1 to the number of classes; 5 in Keras.
        k: usize,
    },
    /// The share of the predictions of a class that is right; 0 without any. One number by `average`, or one per class
    /// (`precision_0`, ...) with `None`.
    Precision {
        /// How the classes' numbers become one.
        average: Option<ClassAverage>,
        /// Separates the classes of a single output.
        threshold: f32,
    },
    /// The share of the samples of a class that is found; 0 without any. Forms as for precision.
    Recall {
        /// How the classes' numbers become one.
        average: Option<ClassAverage>,
        /// Separates the classes of a single output.
        threshold: f32,
    },
    /// The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); 0 if that is 0/0. Forms as for precision.
    F1 {
        /// How the classes' numbers become one.
        average: Option<ClassAverage>,
        /// Separates the classes of a single output.
        threshold: f32,
    },
    /// The mean over classes of the intersection over union, TP / (TP + FP + FN). A class that is neither among targets
    /// nor predictions is in no mean, as in Keras. The class of a position is its largest prediction.
    MeanIoU {
        /// Separates the classes of a single output.
        threshold: f32,
    },
    /// How often each class was predicted for each class. No log has it:
    /// [`Evaluation::confusion_matrix`](crate::train::Evaluation::confusion_matrix) gives it.
    ConfusionMatrix {
        /// Separates the classes of a single output.
        threshold: f32,
    },
    /// The area under the ROC curve of a single output: the probability that a positive sample (target above 0.5) has a
    /// higher prediction than a negative one, ties counting half. Exact, and the same for logits and probabilities. NaN
    /// without both classes, or if a prediction is NaN. The host keeps a pair of numbers per sample of the epoch and
    /// sorts them whenever it is asked.
    Auc,
    /// Mean of (p - t)².
    MeanSquaredError,
    /// Root of the mean of (p - t)² over all samples and outputs, as in Keras. (scikit-learn averages the roots
    /// of several outputs.)
    RootMeanSquaredError,
    /// Mean of |p - t|.
    MeanAbsoluteError,
    /// The coefficient of determination, 1 - Σ(t - p)² / Σ(t - mean t)², averaged over outputs. An output whose target
    /// is constant has 1 if it is met exactly, else 0. NaN for fewer than two samples. The host reads target and
    /// prediction of each output.
    R2Score,
    /// A metric from outside of the library; [`Metric::custom`] makes one.
    Custom(&'static dyn CustomMetric),
}

/// A metric of your own; [`Metric::custom`] makes a [`Metric`] of it.
///
/// The device computes columns, which are numbers of each sample. The host adds them up over an epoch: what it keeps is
/// a list of f64 that begins empty. Checkpoints compare its [`config`](CustomMetric::config).
///
/// ```
/// use wgrad::graph::{Graph, Value};
/// use wgrad::metrics::CustomMetric;
/// use wgrad::prelude::*;
///
/// /// The largest |p - t| of all samples.
/// #[derive(Debug)]
/// struct MaxError;
///
/// impl CustomMetric for MaxError {
///     fn name(&self) -> &'static str {
///         "max_error"
///     }
///
///     fn columns(&self, g: &mut Graph, targets: Value, predictions: Value) -> wgrad::Result<Vec<Value>> {
///         let error = g.sub(predictions, targets)?;
///         let size = g.unary("abs", error, &[])?;
///         let axes: Vec<usize> = (1..g.shape(size).rank()).collect();
///         Ok(vec![g.max(size, &axes, false)?])
///     }
///
///     fn accumulate(&self, state: &mut Vec<f64>, columns: &[&[f32]]) {
///         let all = columns[0].iter().map(|&v| f64::from(v)).chain(state.iter().copied());
///         *state = vec![all.fold(0.0, f64::max)];
///     }
///
///     fn result(&self, state: &[f64]) -> f64 {
///         state[0]
///     }
/// }
///
/// let compile = Compile::new(Adam::default(), Loss::MeanSquaredError)
///     .metrics([Metric::MeanAbsoluteError, Metric::custom(MaxError)]);
/// ```
pub trait CustomMetric: std::fmt::Debug + Send + Sync {
    /// Its name in logs and errors, in snake case.
    fn name(&self) -> &'static str;

    config_by_default!();

    /// The columns, `[batch]` or `[batch, width]` each, of predictions `[batch, ...]` and of targets in the shape that
    /// the loss takes.
    ///
    /// # Errors
    /// What the metric cannot be computed of.
    fn columns(&self, graph: &mut Graph, targets: Value, predictions: Value) -> Result<Vec<Value>>;

    /// As [`columns`](CustomMetric::columns) for an output with a mask, which is 1 or 0 over leading axes of the predictions:
    /// `[batch, time]`. `None`, the default: the metric is refused for such an output.
    ///
    /// # Errors
    /// As [`columns`](CustomMetric::columns).
    fn masked_columns(
        &self,
        _graph: &mut Graph,
        _targets: Value,
        _predictions: Value,
        _mask: Value,
    ) -> Result<Option<Vec<Value>>> {
        Ok(None)
    }

    /// The width of each column for outputs of this sample shape: one number unless the metric says otherwise.
    fn widths(&self, _output: &Shape) -> Vec<usize> {
        vec![1]
    }

    /// Adds the columns of further samples to the state, which begins empty: a slice per column, each with its numbers
    /// sample by sample. By default the sum of the first column, and the count of its numbers.
    fn accumulate(&self, state: &mut Vec<f64>, columns: &[&[f32]]) {
        super::tally::add_mean(state, columns[0], 1);
    }

    /// The number that logs show, from a state of at least one sample. By default the mean.
    fn result(&self, state: &[f64]) -> f64 {
        super::tally::mean(state)
    }
}

equal_by_config!(CustomMetric);

impl<M: CustomMetric + 'static> From<M> for Metric {
    fn from(metric: M) -> Self {
        Self::custom(metric)
    }
}

impl Metric {
    /// A metric of your own. Its settings stay in memory until the program ends, so that a metric is a value to copy.
    #[must_use]
    pub fn custom(metric: impl CustomMetric + 'static) -> Self {
        Self::Custom(kept(metric))
    }

    /// Precision at the threshold 0.5: with a [`ClassAverage`], or `None` for a number per class.
    #[must_use]
    pub fn precision(average: impl Into<Option<ClassAverage>>) -> Self {
        Self::Precision { average: average.into(), threshold: 0.5 }
    }

    /// Recall at the threshold 0.5; see [`Metric::precision`].
    #[must_use]
    pub fn recall(average: impl Into<Option<ClassAverage>>) -> Self {
        Self::Recall { average: average.into(), threshold: 0.5 }
    }

    /// F1 at the threshold 0.5; see [`Metric::precision`].
    #[must_use]
    pub fn f1(average: impl Into<Option<ClassAverage>>) -> Self {
        Self::F1 { average: average.into(), threshold: 0.5 }
    }

    /// The mean intersection over union, at the threshold 0.5 if there is a single output.
    #[must_use]
    pub const fn mean_iou() -> Self {
        Self::MeanIoU { threshold: 0.5 }
    }

    /// The name in logs, as Keras spells it. An average other than the binary one follows it:
    /// `precision_macro`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BinaryAccuracy { .. } => "binary_accuracy",
            Self::CategoricalAccuracy => "categorical_accuracy",
            Self::SparseCategoricalAccuracy => "sparse_categorical_accuracy",
            Self::TopKCategoricalAccuracy { .. } => "top_k_categorical_accuracy",
            Self::SparseTopKCategoricalAccuracy { .. } => "sparse_top_k_categorical_accuracy",
            Self::Precision { .. } => "precision",
            Self::Recall { .. } => "recall",
            Self::F1 { .. } => "f1_score",
            Self::MeanIoU { .. } => "mean_io_u",
            Self::ConfusionMatrix { .. } => "confusion_matrix",
            Self::Auc => "auc",
            Self::MeanSquaredError => "mean_squared_error",
            Self::RootMeanSquaredError => "root_mean_squared_error",
            Self::MeanAbsoluteError => "mean_absolute_error",
            Self::R2Score => "r2_score",
            Self::Custom(metric) => metric.name(),
        }
    }
}
