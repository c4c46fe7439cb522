//! Losses. Each is the mean over the batch of a per-sample loss, as in Keras.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::ops::{CrossEntropyKind, ReduceKind};
use crate::tensor::{DType, Shape};

/// Distance that Keras keeps between probabilities and 0 or 1.
const EPSILON: f32 = 1e-7;

/// A loss function, in Keras' words.
///
/// ```
/// use wgrad::prelude::*;
///
/// // The model's last layer has no softmax: its outputs are logits. Targets are u32 labels.
/// let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
/// assert!(loss.takes_labels());
/// assert_eq!(loss.name(), "sparse_categorical_crossentropy");
/// let compile = Compile::new(Adam::default(), loss);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// Mean of (p - t)² over the outputs of a sample.
    MeanSquaredError,
    /// Mean of |p - t|.
    MeanAbsoluteError,
    /// Mean of e²/2 if |e| ≤ delta, else delta (|e| - delta/2). Huber 1964.
    Huber {
        /// The error at which the square ends.
        delta: f32,
    },
    /// Mean of -(t log p + (1 - t) log(1 - p)); on logits through log-sum-exp. Targets are from 0 to 1, or labels 0
    /// and 1 of any element type.
    BinaryCrossentropy {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool,
    },
    /// -Σ t log p over the last axis; targets are probabilities. On logits through log-sum-exp.
    CategoricalCrossentropy {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool,
    },
    /// -log p of the labelled class; targets are integers.
    SparseCategoricalCrossentropy {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool,
    },
    /// A loss from outside of the library; [`Loss::custom`] makes one.
    Custom(&'static dyn CustomLoss),
}

/// A loss of your own. `Compile::new` takes it as it takes a [`Loss`].
///
/// The gradient follows from the graph that [`rows`](CustomLoss::rows) builds. Checkpoints compare its `Debug` text, so
/// that must show its settings.
///
/// ```
/// use wgrad::graph::{Graph, Value};
/// use wgrad::losses::CustomLoss;
/// use wgrad::prelude::*;
///
/// /// Mean of |p - t|^1.5.
/// #[derive(Debug)]
/// struct Power;
///
/// impl CustomLoss for Power {
///     fn name(&self) -> &'static str {
///         "power"
///     }
///
///     fn rows(&self, g: &mut Graph, targets: Value, predictions: Value) -> wgrad::Result<Value> {
///         let error = g.sub(predictions, targets)?;
///         let size = g.unary("abs", error, &[])?;
///         let root = g.unary("sqrt", size, &[])?;
///         let each = g.mul(size, root)?;
///         let axes: Vec<usize> = (1..g.shape(each).rank()).collect();
///         g.mean(each, &axes, false)
///     }
/// }
///
/// let compile = Compile::new(Adam::default(), Power);
/// ```
pub trait CustomLoss: std::fmt::Debug + Send + Sync {
    /// Its name in errors, in snake case.
    fn name(&self) -> &'static str;

    /// The loss of each sample, `[batch]`, of predictions `[batch, ...]`. Targets have the shape of the predictions; if
    /// [`takes_labels`](CustomLoss::takes_labels), they are u32, without the last axis. The batch's loss is the mean.
    ///
    /// # Errors
    /// What the loss cannot be computed of.
    fn rows(&self, graph: &mut Graph, targets: Value, predictions: Value) -> Result<Value>;

    /// Checks the settings when a model is compiled.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a setting outside its domain.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Whether targets are integer labels of the last axis of predictions.
    fn takes_labels(&self) -> bool {
        false
    }

    /// Whether predictions are logits (`true`) or probabilities (`false`), so that an activation that does not suit is
    /// refused. `None`: they are neither.
    fn takes_logits(&self) -> Option<bool> {
        None
    }
}

impl PartialEq for dyn CustomLoss {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && format!("{self:?}") == format!("{other:?}")
    }
}

impl<L: CustomLoss + 'static> From<L> for Loss {
    fn from(loss: L) -> Self {
        Self::custom(loss)
    }
}

/// What a loss builds.
#[derive(Debug, Clone, Copy)]
pub struct LossValues {
    /// The loss of each sample divided by the batch size, `[batch]`: their sum is the batch's loss.
    pub rows: Value,
    /// 1 for each row of predictions whose class is the target's, if the loss kernel yields it.
    pub hits: Option<Value>,
}

impl Loss {
    /// A loss of your own. Its settings stay in memory until the program ends, so that a loss is a value to copy.
    #[must_use]
    pub fn custom(loss: impl CustomLoss + 'static) -> Self {
        Self::Custom(Box::leak(Box::new(loss)))
    }

    /// The name, as Keras spells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MeanSquaredError => "mean_squared_error",
            Self::MeanAbsoluteError => "mean_absolute_error",
            Self::Huber { .. } => "huber",
            Self::BinaryCrossentropy { .. } => "binary_crossentropy",
            Self::CategoricalCrossentropy { .. } => "categorical_crossentropy",
            Self::SparseCategoricalCrossentropy { .. } => "sparse_categorical_crossentropy",
            Self::Custom(loss) => loss.name(),
        }
    }

    /// Whether targets are integer labels.
    #[must_use]
    pub fn takes_labels(&self) -> bool {
        match self {
            Self::Custom(loss) => loss.takes_labels(),
            _ => matches!(self, Self::SparseCategoricalCrossentropy { .. }),
        }
    }

    /// Whether predictions are logits; `None` for a loss without that setting.
    #[must_use]
    pub fn from_logits(&self) -> Option<bool> {
        match *self {
            Self::Custom(loss) => loss.takes_logits(),
            Self::BinaryCrossentropy { from_logits }
            | Self::CategoricalCrossentropy { from_logits }
            | Self::SparseCategoricalCrossentropy { from_logits } => Some(from_logits),
            _ => None,
        }
    }

    /// Whether the last axis of predictions is the classes of one choice.
    #[must_use]
    pub const fn is_categorical(&self) -> bool {
        matches!(
            self,
            Self::CategoricalCrossentropy { .. } | Self::SparseCategoricalCrossentropy { .. }
        )
    }

    /// The predictions' threshold between the classes of a binary problem.
    #[must_use]
    pub const fn threshold(&self) -> f32 {
        if matches!(self, Self::BinaryCrossentropy { from_logits: true }) { 0.0 } else { 0.5 }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a delta that is not a finite number above 0.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Huber { delta } if !(delta.is_finite() && delta > 0.0) => {
                let detail = "a finite number above 0";
                Err(Error::parameter("huber delta", delta, detail))
            }
            Self::Custom(loss) => loss.check(),
            _ => Ok(()),
        }
    }

    /// Whether targets are probabilities.
    #[must_use]
    pub const fn takes_probabilities(&self) -> bool {
        matches!(self, Self::BinaryCrossentropy { .. } | Self::CategoricalCrossentropy { .. })
    }

    /// Builds the loss of predictions `[batch, ...]` and targets of the same shape (`[batch]` u32 for the
    /// sparse form; `[batch]` f32 for predictions `[batch, 1]`, and u32 labels 0 and 1 for the binary form).
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] if they do not fit; [`Error::Parameter`] for a bad delta.
    pub fn build(
        &self,
        graph: &mut Graph,
        targets: Value,
        predictions: Value,
    ) -> Result<LossValues> {
        graph.check(self.name(), &[targets, predictions])?;
        self.check()?;
        let targets = self.fit_targets(graph, targets, predictions)?;
        let shape = graph.shape(predictions).clone();
        let batch = shape.dims()[0];
        let elements = shape.len();
        let per_element = 1.0 / elements as f32;
        let plain = |rows| LossValues { rows, hits: None };
        match *self {
            Self::Custom(loss) => custom_rows(loss, graph, targets, predictions, batch).map(plain),
            Self::MeanSquaredError => {
                let e = graph.sub(predictions, targets)?;
                let e = graph.unary("square", e, &[])?;
                sum_samples(graph, e, elements).map(plain)
            }
            Self::MeanAbsoluteError => {
                let e = graph.sub(predictions, targets)?;
                let e = graph.unary("abs", e, &[])?;
                sum_samples(graph, e, elements).map(plain)
            }
            Self::Huber { delta } => {
                // c (|e| - c/2) with c = min(|e|, delta).
                let e = graph.sub(predictions, targets)?;
                let e = graph.unary("abs", e, &[])?;
                let delta = graph.constant(delta);
                let c = graph.binary("minimum", e, delta)?;
                let half = graph.scale(c, 0.5)?;
                let rest = graph.sub(e, half)?;
                let loss = graph.mul(c, rest)?;
                sum_samples(graph, loss, elements).map(plain)
            }
            Self::BinaryCrossentropy { from_logits: true } => {
                // The kernel works on [batch, outputs].
                let flat = Shape::from([batch, shape.len() / batch]);
                let logits = graph.reshape(predictions, flat.clone())?;
                let targets = graph.reshape(targets, flat)?;
                let kind = CrossEntropyKind::Binary;
                Ok(plain(graph.cross_entropy(kind, logits, targets, per_element)?.0))
            }
            Self::BinaryCrossentropy { from_logits: false } => {
                let p = graph.unary("clipped_linear", predictions, &[EPSILON, 1.0 - EPSILON])?;
                let one = graph.constant(1.0);
                let (q, u) = (graph.sub(one, p)?, graph.sub(one, targets)?);
                let (log_p, log_q) = (graph.unary("log", p, &[])?, graph.unary("log", q, &[])?);
                let (yes, no) = (graph.mul(targets, log_p)?, graph.mul(u, log_q)?);
                let sum = graph.add(yes, no)?;
                let loss = graph.unary("neg", sum, &[])?;
                sum_samples(graph, loss, elements).map(plain)
            }
            Self::CategoricalCrossentropy { from_logits: true }
            | Self::SparseCategoricalCrossentropy { from_logits: true } => {
                let kind = match self {
                    Self::CategoricalCrossentropy { .. } => CrossEntropyKind::Categorical,
                    _ => CrossEntropyKind::Sparse,
                };
                // Positions before the last axis are averaged, as samples are.
                let cols = shape.dims()[shape.rank() - 1];
                let scale = cols as f32 * per_element;
                let (rows, hits) = graph.cross_entropy(kind, predictions, targets, scale)?;
                let rows = sum_samples(graph, rows, 1)?;
                Ok(LossValues { rows, hits })
            }
            Self::CategoricalCrossentropy { from_logits: false }
            | Self::SparseCategoricalCrossentropy { from_logits: false } => {
                let targets = match self {
                    Self::SparseCategoricalCrossentropy { .. } => {
                        graph.one_hot(targets, shape.dims()[shape.rank() - 1])?
                    }
                    _ => targets,
                };
                let last = [shape.rank() - 1];
                let total = graph.sum(predictions, &last, true)?;
                let p = graph.div(predictions, total)?;
                let p = graph.unary("clipped_linear", p, &[EPSILON, 1.0 - EPSILON])?;
                let log_p = graph.unary("log", p, &[])?;
                let terms = graph.mul(targets, log_p)?;
                let loss = graph.unary("neg", terms, &[])?;
                sum_samples(graph, loss, elements / shape.dims()[shape.rank() - 1]).map(plain)
            }
        }
    }

    /// How many classes integer labels name for predictions of this sample shape; `None` for a loss that takes no
    /// labels.
    pub(crate) fn label_classes(&self, sample: &Shape) -> Option<usize> {
        match self {
            Self::BinaryCrossentropy { .. } => Some(2),
            Self::SparseCategoricalCrossentropy { .. } => {
                Some(sample.dims().last().copied().unwrap_or(0))
            }
            Self::Custom(loss) if loss.takes_labels() => {
                Some(sample.dims().last().copied().unwrap_or(0))
            }
            _ => None,
        }
    }

    /// The shape that targets of shape `t` take for predictions of shape `p`, both with the batch axis.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] with what to change.
    pub(crate) fn target_shape(&self, t: &Shape, dtype: DType, p: &Shape) -> Result<Shape> {
        let name = self.name();
        let sparse = self.takes_labels();
        if p.rank() == 0 || (self.is_categorical() || sparse) && p.rank() < 2 {
            let detail = "predictions need a batch axis, and a class axis for a categorical loss";
            return Err(Error::shape(name, &[p], detail));
        }
        let wanted = if sparse { Shape::from(&p.dims()[..p.rank() - 1]) } else { p.clone() };
        // A trailing axis of 1 may be missing on either side.
        let fits = |t: &Shape, wanted: &Shape| {
            let long = |s: &Shape| s.dims().iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
            t.dims().first() == wanted.dims().first() && long(t) == long(wanted)
        };
        let integers = dtype == DType::U32;
        let detail = match self {
            Self::Custom(_) if sparse && !integers => {
                "this loss takes class labels, u32: convert the targets"
            }
            Self::Custom(_) if sparse => "",
            Self::SparseCategoricalCrossentropy { .. } if !integers && fits(t, p) => {
                "the targets have a number per class: Loss::CategoricalCrossentropy takes one-hot targets. Or give \
                 this loss class labels, [n] u32"
            }
            Self::SparseCategoricalCrossentropy { .. } if !integers => {
                "class labels are u32, [n]: convert the targets. Quantities are learned with a loss such as \
                 Loss::MeanSquaredError"
            }
            Self::SparseCategoricalCrossentropy { .. } | Self::BinaryCrossentropy { .. } => "",
            Self::CategoricalCrossentropy { .. } if integers => {
                "Loss::SparseCategoricalCrossentropy takes integer labels. Or make one-hot targets of them, with \
                 wgrad::data::one_hot"
            }
            _ if integers => {
                "a regression takes f32: convert the targets. Class labels are learned with \
                 Loss::SparseCategoricalCrossentropy and a unit per class, or of two classes with \
                 Loss::BinaryCrossentropy and one unit"
            }
            _ => "",
        };
        if !detail.is_empty() {
            return Err(Error::dtype(name, &[dtype], detail));
        }
        if fits(t, &wanted) {
            return Ok(wanted);
        }
        let mut detail = format!("targets of shape {wanted} are expected");
        if p.rank() > 2 && t.len() < wanted.len() {
            let kept = Shape::from(&p.dims()[1..p.rank() - 1]);
            detail += &format!(
                ". The predictions keep the axes {kept} of the model's input: is a Flatten layer missing before the \
                 first Dense layer?"
            );
        } else if integers && !sparse {
            detail += ". u32 labels are one per sample: give the model one unit, or targets of 0 and 1 as f32 or u8";
        }
        Err(Error::shape(name, &[t, p], detail))
    }

    /// Targets in the shape and of the element type that the loss computes with.
    pub(crate) fn fit_targets(
        &self,
        graph: &mut Graph,
        targets: Value,
        predictions: Value,
    ) -> Result<Value> {
        let (t, p) = (graph.ty(targets).clone(), graph.shape(predictions).clone());
        let wanted = self.target_shape(&t.shape, t.dtype, &p)?;
        if t.dtype == DType::U32 && !self.takes_labels() {
            // With a single class, label 0 has a one and label 1 a zero.
            let labels = graph.reshape(targets, [wanted.len()])?;
            let zeros = graph.one_hot(labels, 1)?;
            let one = graph.constant(1.0);
            let ones = graph.sub(one, zeros)?;
            return graph.reshape(ones, wanted);
        }
        if t.shape == wanted { Ok(targets) } else { graph.reshape(targets, wanted) }
    }
}

/// The rows of a loss from outside, checked, divided by the batch.
fn custom_rows(
    loss: &dyn CustomLoss,
    graph: &mut Graph,
    targets: Value,
    predictions: Value,
    batch: usize,
) -> Result<Value> {
    let rows = loss.rows(graph, targets, predictions).map_err(|e| e.in_layer(loss.name()))?;
    graph.check(loss.name(), &[rows])?;
    let ty = graph.ty(rows);
    if ty.dtype != DType::F32 {
        let detail = "CustomLoss::rows gives the loss of each sample as f32";
        return Err(Error::dtype(loss.name(), &[ty.dtype], detail));
    }
    if ty.shape.dims() != [batch] {
        let detail = format!("CustomLoss::rows gives a number for each sample, [{batch}]");
        return Err(Error::shape(loss.name(), &[&ty.shape], detail));
    }
    graph.scale(rows, 1.0 / batch as f32)
}

/// The sum over each sample, divided by `of`: `[batch, ...]` to `[batch]`. The division comes last: whole numbers stay
/// whole, and equal ones are not rounded one by one.
pub(crate) fn sum_samples(graph: &mut Graph, x: Value, of: usize) -> Result<Value> {
    let axes: Vec<usize> = (1..graph.shape(x).rank()).collect();
    match (axes.is_empty(), of) {
        (true, 1) => Ok(x),
        (true, _) => graph.scale(x, 1.0 / of as f32),
        (false, 1) => graph.sum(x, &axes, false),
        (false, _) => graph.reduce(ReduceKind::PartOfMean(of), x, &axes, false),
    }
}
