//! Activation functions, by the names that Keras gives them.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::words::{config_by_default, equal_by_config, kept};

/// An activation function. As a layer it applies to its input; [`crate::layers::Dense`] takes one too.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// x.
    #[default]
    Linear,
    /// max(x, 0).
    Relu,
    /// x if it is positive, else `negative_slope` · x.
    LeakyRelu {
        /// Slope left of zero. Keras: 0.2 in `activations.leaky_relu`, 0.3 in the layer.
        negative_slope: f32,
    },
    /// x if it is positive, else `alpha` (eˣ - 1). Clevert et al. 2015.
    Elu {
        /// Limit far left is -alpha.
        alpha: f32,
    },
    /// Scaled ELU: 1.0507 · (x, or 1.6733 (eˣ - 1)). Klambauer et al. 2017.
    Selu,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// min(max(x/6 + 1/2, 0), 1), as in Keras 3.
    HardSigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// log(1 + eˣ).
    Softplus,
    /// x / (1 + |x|).
    Softsign,
    /// x Φ(x) with the normal distribution function Φ. Hendrycks and Gimpel 2016.
    Gelu,
    /// GELU by its tanh approximation.
    GeluTanh,
    /// x · sigmoid(x), also called swish.
    Silu,
    /// 1 if x is positive, else 0. Its derivative is 0.
    Step,
    /// 1 if x is positive, else 0, with a gradient that passes straight through. With it the gradient of the
    /// squared error is the perceptron rule: w changes by rate · (target - output) · x. Rosenblatt 1958.
    Perceptron,
    /// x limited to [low, high]: the piecewise-linear unit.
    ClippedLinear {
        /// Lower limit.
        low: f32,
        /// Upper limit.
        high: f32,
    },
    /// eˣ / Σ eˣ over the last axis, the maximum subtracted first.
    Softmax,
    /// The logarithm of the softmax.
    LogSoftmax,
    /// A function from outside of the library; [`Activation::custom`] makes one.
    Custom(&'static dyn CustomActivation),
}

/// An activation function of your own; [`Activation::custom`] makes an [`Activation`] of it.
///
/// The gradient follows from the graph. Checkpoints compare its [`config`](CustomActivation::config).
///
/// ```
/// use wgrad::activations::CustomActivation;
/// use wgrad::graph::{Graph, Value};
/// use wgrad::prelude::*;
///
/// /// x · tanh(softplus(x)). Misra 2019.
/// #[derive(Debug)]
/// struct Mish;
///
/// impl CustomActivation for Mish {
///     fn name(&self) -> &'static str {
///         "mish"
///     }
///
///     fn apply(&self, g: &mut Graph, x: Value) -> wgrad::Result<Value> {
///         let soft = g.unary("softplus", x, &[])?;
///         let gate = g.unary("tanh", soft, &[])?;
///         g.mul(x, gate)
///     }
/// }
///
/// let layer = Dense::new(8).activation(Activation::custom(Mish));
/// ```
pub trait CustomActivation: std::fmt::Debug + Send + Sync {
    /// Its name in errors, in snake case.
    fn name(&self) -> &'static str;

    config_by_default!();

    /// Applies the function to `x`, of any shape; the result has the same shape.
    ///
    /// # Errors
    /// Those of the ops it builds.
    fn apply(&self, graph: &mut Graph, x: Value) -> Result<Value>;

    /// Checks the settings when a model is built.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a setting outside its domain.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The bounds of the function's values, by which a loss that does not suit is refused.
    fn range(&self) -> (f32, f32) {
        (f32::NEG_INFINITY, f32::INFINITY)
    }
}

equal_by_config!(CustomActivation);

impl Activation {
    /// A function of your own. Its settings stay in memory until the program ends, so that an activation is a value to
    /// copy.
    #[must_use]
    pub fn custom(activation: impl CustomActivation + 'static) -> Self {
        Self::Custom(kept(activation))
    }

    /// The name, the same as in the table of elementwise functions if it is there.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Relu => "relu",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Elu { .. } => "elu",
            Self::Selu => "selu",
            Self::Sigmoid => "sigmoid",
            Self::HardSigmoid => "hard_sigmoid",
            Self::Tanh => "tanh",
            Self::Softplus => "softplus",
            Self::Softsign => "softsign",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Silu => "silu",
            Self::Step => "step",
            Self::Perceptron => "perceptron",
            Self::ClippedLinear { .. } => "clipped_linear",
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log_softmax",
            Self::Custom(own) => own.name(),
        }
    }

    /// The bounds of the function's values: 0 and 1 of [`Activation::Sigmoid`], infinities of
    /// [`Activation::Linear`]. The lower ones of the GELUs and of [`Activation::Silu`] are rounded outwards.
    #[must_use]
    pub fn range(&self) -> (f32, f32) {
        let all = f32::INFINITY;
        match *self {
            Self::Linear | Self::LeakyRelu { .. } => (-all, all),
            Self::Relu | Self::Softplus => (0.0, all),
            Self::Elu { alpha } => (-alpha, all),
            Self::Selu => (-1.758_099_4, all),
            Self::Tanh | Self::Softsign => (-1.0, 1.0),
            Self::Gelu => (-0.17, all),
            Self::GeluTanh => (-0.171, all),
            Self::Silu => (-0.279, all),
            Self::Sigmoid | Self::HardSigmoid | Self::Step | Self::Perceptron | Self::Softmax => {
                (0.0, 1.0)
            }
            Self::ClippedLinear { low, high } => (low, high),
            Self::LogSoftmax => (-all, 0.0),
            Self::Custom(own) => own.range(),
        }
    }

    fn params(&self) -> Vec<f32> {
        match *self {
            Self::LeakyRelu { negative_slope } => vec![negative_slope],
            Self::Elu { alpha } => vec![alpha],
            Self::ClippedLinear { low, high } => vec![low, high],
            _ => vec![],
        }
    }

    /// Applies the function to `x`, of any shape; the result has the same shape.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a parameter that is not finite, or limits in the wrong order.
    pub fn apply(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        graph.check(self.name(), &[x])?;
        self.check()?;
        match self {
            Self::Linear => Ok(x),
            Self::Softmax => graph.softmax(x),
            Self::LogSoftmax => graph.log_softmax(x),
            Self::Custom(own) => custom(*own, graph, x),
            _ => graph.unary(self.name(), x, &self.params()),
        }
    }

    /// The elementwise function that it is, with its parameters, if it is one with a gradient.
    pub(crate) fn function(&self) -> Option<(&'static str, Vec<f32>)> {
        match self {
            Self::Softmax | Self::LogSoftmax | Self::Step | Self::Custom(_) => None,
            _ => Some((self.name(), self.params())),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let params = self.params();
        if let Some(bad) = params.iter().find(|p| !p.is_finite()) {
            return Err(Error::parameter(self.name(), bad, "parameters are finite numbers"));
        }
        match *self {
            Self::ClippedLinear { low, high } if low >= high => Err(Error::parameter(
                self.name(),
                format!("[{low}, {high}]"),
                "low lies below high",
            )),
            Self::Custom(own) => own.check(),
            _ => Ok(()),
        }
    }
}

/// A function from outside, whose result is checked.
fn custom(own: &dyn CustomActivation, graph: &mut Graph, x: Value) -> Result<Value> {
    let y = own.apply(graph, x)?;
    graph.check(own.name(), &[y])?;
    if graph.ty(y) != graph.ty(x) {
        let (y, x) = (graph.ty(y), graph.ty(x));
        let detail = "an activation keeps the shape and f32";
        return Err(match y.dtype == x.dtype {
            true => Error::shape(own.name(), &[&x.shape, &y.shape], detail),
            false => Error::dtype(own.name(), &[x.dtype, y.dtype], detail),
        });
    }
    Ok(y)
}
