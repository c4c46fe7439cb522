//! Losses from outside of the library.

use super::Loss;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::words::{config_by_default, equal_by_config};

/// A loss of your own. `Compile::new` takes it as it takes a [`Loss`].
///
/// The gradient follows from the graph that [`rows`](CustomLoss::rows) builds. Checkpoints compare its
/// [`config`](CustomLoss::config).
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

    config_by_default!();

    /// The loss of each sample, `[batch]`, of predictions `[batch, ...]`. Targets have the shape of the predictions; if
    /// [`takes_labels`](CustomLoss::takes_labels), they are u32, without the last axis. The batch's loss is the mean.
    ///
    /// # Errors
    /// What the loss cannot be computed of.
    fn rows(&self, graph: &mut Graph, targets: Value, predictions: Value) -> Result<Value>;

    /// The loss of each position, over leading axes of the predictions: `[batch, time]`. Masks and weights of positions
    /// multiply it, and its mean is the loss. `None`, the default: the loss has no positions, and such masks and weights
    /// are refused. It takes the place of [`rows`](CustomLoss::rows) only if there are any.
    ///
    /// # Errors
    /// As [`CustomLoss::rows`].
    fn positions(
        &self,
        _graph: &mut Graph,
        _targets: Value,
        _predictions: Value,
    ) -> Result<Option<Value>> {
        Ok(None)
    }

    /// Checks the settings when a model is compiled.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for a setting outside its domain.
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

equal_by_config!(CustomLoss);

impl<L: CustomLoss + 'static> From<L> for Loss {
    fn from(loss: L) -> Self {
        Self::custom(loss)
    }
}
