//! Penalties on weights.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::DType;
use crate::words::{config_by_default, equal_by_config, kept};

/// A penalty Σ l1 |w| + l2 w² that the values of a tensor add to the loss, or one of your own.
#[derive(Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Regularizer {
    /// Factor of Σ |w|.
    pub l1: f32,
    /// Factor of Σ w².
    pub l2: f32,
    /// A penalty from outside of the library, in addition; [`Regularizer::custom`] makes one.
    pub custom: Option<&'static dyn CustomRegularizer>,
}

// Checkpoints compare this text: without a penalty from outside it is that of the two factors.
impl std::fmt::Debug for Regularizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("Regularizer");
        fields.field("l1", &self.l1).field("l2", &self.l2);
        if let Some(own) = &self.custom {
            fields.field("custom", own);
        }
        fields.finish()
    }
}

/// A penalty of your own; [`Regularizer::custom`] makes a [`Regularizer`] of it.
///
/// The gradient follows from the graph. Checkpoints compare its [`config`](CustomRegularizer::config).
///
/// ```
/// use wgrad::graph::{Graph, Value};
/// use wgrad::layers::CustomRegularizer;
/// use wgrad::prelude::*;
///
/// /// factor · (Σ w)².
/// #[derive(Debug)]
/// struct Balanced {
///     factor: f32,
/// }
///
/// impl CustomRegularizer for Balanced {
///     fn name(&self) -> &'static str {
///         "balanced"
///     }
///
///     fn penalty(&self, g: &mut Graph, weight: Value) -> wgrad::Result<Value> {
///         let sum = g.sum(weight, &[], false)?;
///         let square = g.unary("square", sum, &[])?;
///         g.scale(square, self.factor)
///     }
/// }
///
/// let balanced = Regularizer::custom(Balanced { factor: 0.1 });
/// let layer = Dense::new(8).kernel_regularizer(balanced);
/// ```
pub trait CustomRegularizer: std::fmt::Debug + Send + Sync {
    /// Its name in errors, in snake case.
    fn name(&self) -> &'static str;

    config_by_default!();

    /// What the weight adds to the loss, a scalar.
    ///
    /// # Errors
    /// Those of the ops it builds.
    fn penalty(&self, graph: &mut Graph, weight: Value) -> Result<Value>;

    /// Checks the settings when a model is built.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a setting outside its domain.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

equal_by_config!(CustomRegularizer);

impl Regularizer {
    /// No penalty.
    pub const NONE: Self = Self { l1: 0.0, l2: 0.0, custom: None };

    /// Σ l1 |w|.
    #[must_use]
    pub const fn l1(l1: f32) -> Self {
        Self::l1_l2(l1, 0.0)
    }

    /// Σ l2 w².
    #[must_use]
    pub const fn l2(l2: f32) -> Self {
        Self::l1_l2(0.0, l2)
    }

    /// Σ l1 |w| + l2 w².
    #[must_use]
    pub const fn l1_l2(l1: f32, l2: f32) -> Self {
        Self { l1, l2, custom: None }
    }

    /// A penalty of your own. Its settings stay in memory until the program ends, so that a regularizer is a value to
    /// copy.
    #[must_use]
    pub fn custom(regularizer: impl CustomRegularizer + 'static) -> Self {
        Self { custom: Some(kept(regularizer)), ..Self::NONE }
    }

    pub(super) fn check(&self) -> Result<()> {
        for (name, value) in [("l1", self.l1), ("l2", self.l2)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::parameter(
                    name,
                    value,
                    "a penalty is a finite number, 0 or more",
                ));
            }
        }
        self.custom.map_or(Ok(()), |own| own.check())
    }

    /// The functions whose sums over a tensor are penalised, with their factors.
    #[must_use]
    pub const fn terms(&self) -> [(&'static str, f32); 2] {
        [("abs", self.l1), ("square", self.l2)]
    }

    /// The penalty of a layer's output `[batch, ...]` for one sample, by Keras' rule: over the whole batch, divided by its
    /// samples. `None` if there is none.
    ///
    /// # Errors
    /// Those of the ops it builds.
    pub(super) fn activity(&self, graph: &mut Graph, output: Value) -> Result<Option<Value>> {
        let samples = graph.shape(output).dims().first().copied().unwrap_or(1);
        match self.penalty(graph, output)? {
            Some(penalty) => graph.scale(penalty, 1.0 / samples as f32).map(Some),
            None => Ok(None),
        }
    }

    /// The penalty of `w` as a scalar, or `None` if there is none.
    ///
    /// # Errors
    /// Those of the ops it builds.
    pub fn penalty(&self, graph: &mut Graph, w: Value) -> Result<Option<Value>> {
        let mut total = None;
        for (function, factor) in self.terms() {
            if factor == 0.0 {
                continue;
            }
            let each = graph.unary(function, w, &[])?;
            let each = graph.scale(each, factor)?;
            let sum = graph.sum(each, &[], false)?;
            total = Some(match total {
                Some(t) => graph.add(t, sum)?,
                None => sum,
            });
        }
        match (total, self.custom_penalty(graph, w)?) {
            (Some(total), Some(own)) => graph.add(total, own).map(Some),
            (total, own) => Ok(total.or(own)),
        }
    }

    /// The penalty from outside as a scalar, checked.
    pub(crate) fn custom_penalty(&self, graph: &mut Graph, w: Value) -> Result<Option<Value>> {
        let Some(own) = self.custom else { return Ok(None) };
        let penalty = own.penalty(graph, w)?;
        graph.check(own.name(), &[penalty])?;
        let ty = graph.ty(penalty).clone();
        if ty.dtype != DType::F32 {
            return Err(Error::dtype(own.name(), &[ty.dtype], "a penalty is f32"));
        }
        if ty.shape.rank() != 0 {
            let detail = "a penalty is a scalar: sum it over all axes";
            return Err(Error::shape(own.name(), &[&ty.shape], detail));
        }
        Ok(Some(penalty))
    }
}
