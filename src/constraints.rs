//! What weights must keep to: applied to a weight after each update, by the rules of Keras.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::words::{config_by_default, equal_by_config, kept};

/// Keras' `epsilon`, which keeps a norm of 0 from dividing.
const EPSILON: f32 = 1e-7;

/// What a weight must keep to after each update, in the training step itself. Norms are √Σ w² over `axes`: `&[0]`, the
/// inputs of each unit of a [`Dense`](crate::layers::Dense) kernel, is Keras' default.
///
/// ```
/// use wgrad::prelude::*;
///
/// let layer = Dense::new(8).kernel_constraint(Constraint::max_norm(2.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Constraint {
    /// A norm above `max_value` becomes `max_value`. Srivastava et al. 2014.
    MaxNorm {
        /// The largest norm.
        max_value: f32,
        /// The axes that a norm is over.
        axes: &'static [usize],
    },
    /// Norms come into [`min_value`, `max_value`], by a share `rate` of the way in each update.
    MinMaxNorm {
        /// The smallest norm.
        min_value: f32,
        /// The largest norm.
        max_value: f32,
        /// The share of the way: 1 is all of it.
        rate: f32,
        /// The axes that a norm is over.
        axes: &'static [usize],
    },
    /// Elements below 0 become 0.
    NonNeg,
    /// Norms become 1.
    UnitNorm {
        /// The axes that a norm is over.
        axes: &'static [usize],
    },
    /// A rule from outside of the library; [`Constraint::custom`] makes one.
    Custom(&'static dyn CustomConstraint),
}

/// A constraint of your own; [`Constraint::custom`] makes a [`Constraint`] of it.
///
/// Checkpoints compare its [`config`](CustomConstraint::config).
///
/// ```
/// use wgrad::constraints::CustomConstraint;
/// use wgrad::graph::{Graph, Value};
/// use wgrad::prelude::*;
///
/// /// Each weight stays in [-limit, limit], as in a WGAN. Arjovsky et al. 2017.
/// #[derive(Debug)]
/// struct Clipped {
///     limit: f32,
/// }
///
/// impl CustomConstraint for Clipped {
///     fn name(&self) -> &'static str {
///         "clipped"
///     }
///
///     fn apply(&self, g: &mut Graph, weight: Value) -> wgrad::Result<Value> {
///         g.unary("clipped_linear", weight, &[-self.limit, self.limit])
///     }
/// }
///
/// let layer = Dense::new(8).kernel_constraint(Constraint::custom(Clipped { limit: 0.01 }));
/// ```
pub trait CustomConstraint: std::fmt::Debug + Send + Sync {
    /// Its name in errors, in snake case.
    fn name(&self) -> &'static str;

    config_by_default!();

    /// The weight that takes the place of an updated one, of the same shape.
    ///
    /// # Errors
    /// Those of the ops it builds.
    fn apply(&self, graph: &mut Graph, weight: Value) -> Result<Value>;

    /// Checks the settings when a model is built.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a setting outside its domain.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

equal_by_config!(CustomConstraint);

impl Constraint {
    /// At most this norm over the first axis.
    #[must_use]
    pub const fn max_norm(max_value: f32) -> Self {
        Self::MaxNorm { max_value, axes: &[0] }
    }

    /// Norms over the first axis between these, at once.
    #[must_use]
    pub const fn min_max_norm(min_value: f32, max_value: f32) -> Self {
        Self::MinMaxNorm { min_value, max_value, rate: 1.0, axes: &[0] }
    }

    /// Norms of 1 over the first axis.
    #[must_use]
    pub const fn unit_norm() -> Self {
        Self::UnitNorm { axes: &[0] }
    }

    /// A constraint of your own. Its settings stay in memory until the program ends, so that a constraint is a value to
    /// copy.
    #[must_use]
    pub fn custom(constraint: impl CustomConstraint + 'static) -> Self {
        Self::Custom(kept(constraint))
    }

    /// The name, as Keras spells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MaxNorm { .. } => "max_norm",
            Self::MinMaxNorm { .. } => "min_max_norm",
            Self::NonNeg => "non_neg",
            Self::UnitNorm { .. } => "unit_norm",
            Self::Custom(own) => own.name(),
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a bound that is negative or not finite, bounds in the wrong order, and a rate outside of
    /// [0, 1].
    pub fn check(&self) -> Result<()> {
        let name = |setting: &str| format!("{} {setting}", self.name());
        let bound = |setting: &str, value: f32| match value.is_finite() && value >= 0.0 {
            true => Ok(()),
            false => Err(Error::parameter(name(setting), value, "a finite number, 0 or more")),
        };
        match *self {
            Self::MaxNorm { max_value, .. } => bound("max_value", max_value),
            Self::MinMaxNorm { min_value, max_value, rate, .. } => {
                bound("min_value", min_value)?;
                bound("max_value", max_value)?;
                if min_value > max_value {
                    let detail = format!("at most max_value, {max_value}");
                    return Err(Error::parameter(name("min_value"), min_value, detail));
                }
                if !(0.0..=1.0).contains(&rate) {
                    return Err(Error::parameter(name("rate"), rate, "from 0 to 1"));
                }
                Ok(())
            }
            Self::NonNeg | Self::UnitNorm { .. } => Ok(()),
            Self::Custom(own) => own.check(),
        }
    }

    /// The weight that takes the place of `weight`, of the same shape.
    ///
    /// # Errors
    /// [`Error::Shape`] for an axis that the weight does not have, and for a rule from outside that changes the shape.
    pub fn apply(&self, graph: &mut Graph, weight: Value) -> Result<Value> {
        graph.check(self.name(), &[weight])?;
        match *self {
            Self::MaxNorm { max_value, axes } => {
                let norm = self.norm(graph, weight, axes)?;
                let limit = graph.constant(max_value);
                let wanted = graph.binary("minimum", norm, limit)?;
                scaled(graph, weight, wanted, norm)
            }
            Self::MinMaxNorm { min_value, max_value, rate, axes } => {
                let norm = self.norm(graph, weight, axes)?;
                let (low, high) = (graph.constant(min_value), graph.constant(max_value));
                let inside = graph.binary("maximum", norm, low)?;
                let inside = graph.binary("minimum", inside, high)?;
                let (inside, rest) = (graph.scale(inside, rate)?, graph.scale(norm, 1.0 - rate)?);
                let wanted = graph.add(inside, rest)?;
                scaled(graph, weight, wanted, norm)
            }
            Self::NonNeg => {
                let zero = graph.constant(0.0);
                graph.binary("maximum", weight, zero)
            }
            Self::UnitNorm { axes } => {
                let norm = self.norm(graph, weight, axes)?;
                let one = graph.constant(1.0);
                scaled(graph, weight, one, norm)
            }
            Self::Custom(own) => {
                let new = own.apply(graph, weight)?;
                graph.check(own.name(), &[new])?;
                if graph.ty(new) != graph.ty(weight) {
                    let shapes = [graph.shape(weight), graph.shape(new)];
                    let detail = "a constraint keeps the shape and f32";
                    return Err(Error::shape(own.name(), &shapes, detail));
                }
                Ok(new)
            }
        }
    }

    /// √Σ w² over `axes`, which stay with an extent of 1.
    fn norm(&self, graph: &mut Graph, weight: Value, axes: &[usize]) -> Result<Value> {
        let shape = graph.shape(weight);
        if let Some(axis) = axes.iter().find(|&&axis| axis >= shape.rank()) {
            let detail = format!("the weight has no axis {axis}; set `axes`");
            return Err(Error::shape(self.name(), &[shape], detail));
        }
        let squares = graph.unary("square", weight, &[])?;
        let sum = graph.sum(squares, axes, true)?;
        graph.unary("sqrt", sum, &[])
    }
}

/// weight · wanted / (ε + norm).
fn scaled(graph: &mut Graph, weight: Value, wanted: Value, norm: Value) -> Result<Value> {
    let epsilon = graph.constant(EPSILON);
    let norm = graph.add(norm, epsilon)?;
    let factor = graph.div(wanted, norm)?;
    graph.mul(weight, factor)
}
