//! Activations of mean 0 and variance 1 over each batch.

use super::axes::{axes_of, over_last};
use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::{Initializer, Shape};

/// gamma · (x - mean) / sqrt(variance + epsilon) + beta for each place along the last axis. Ioffe and Szegedy, "Batch
/// normalization", 2015. Keras' `BatchNormalization`.
///
/// Input and output `[batch, ..., c]`; `gamma` and `beta` are weights `[c]`, `moving_mean` and `moving_variance` states
/// `[c]`. While training, mean and variance are those of the batch, over all axes but the last, and each state becomes
/// `momentum` · state + (1 - `momentum`) · that of the batch. Evaluation, prediction and a frozen layer use the states.
/// With a mask only what counts is in the statistics.
///
/// The batch's variance is divided by n, in the states too, as in Keras 3. [`BatchNormalization::torch`] has PyTorch's
/// rule. Mean and variance are exact also if the mean is large against the spread; see [`Graph::batch_norm`]. At
/// prediction the layer is a part of the product before it, as of a `Dense`, and takes no time of its own.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([8])
///     .add(Dense::new(16).use_bias(false))
///     .add(BatchNormalization::new())
///     .add(Activation::Relu)
///     .add(Dense::new(1));
/// assert!(model.summary()?.contains("Non-trainable params: 32 "));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNormalization {
    axis: isize,
    momentum: f32,
    epsilon: f32,
    center: bool,
    scale: bool,
    unbiased: bool,
    beta_initializer: Initializer,
    gamma_initializer: Initializer,
    moving_mean_initializer: Initializer,
    moving_variance_initializer: Initializer,
    beta_regularizer: Regularizer,
    gamma_regularizer: Regularizer,
    beta_constraint: Option<Constraint>,
    gamma_constraint: Option<Constraint>,
}

impl Default for BatchNormalization {
    fn default() -> Self {
        Self::new()
    }
}

/// A method that sets one field.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $($(#[$doc])*
        #[must_use]
        pub const fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        })*
    };
}

impl BatchNormalization {
    /// Keras' defaults: momentum 0.99, epsilon 0.001, `gamma` ones and `beta` zeros.
    #[must_use]
    pub const fn new() -> Self {
        let none = Regularizer::NONE;
        Self {
            axis: -1,
            momentum: 0.99,
            epsilon: 1e-3,
            center: true,
            scale: true,
            unbiased: false,
            beta_initializer: Initializer::Zeros,
            gamma_initializer: Initializer::Constant(1.0),
            moving_mean_initializer: Initializer::Zeros,
            moving_variance_initializer: Initializer::Constant(1.0),
            beta_regularizer: none,
            gamma_regularizer: none,
            beta_constraint: None,
            gamma_constraint: None,
        }
    }

    /// The defaults of PyTorch's `BatchNorm`: momentum 0.9, which PyTorch calls 0.1, epsilon 1e-5, and a moving variance
    /// of batch variances divided by n - 1.
    #[must_use]
    pub const fn torch() -> Self {
        Self { momentum: 0.9, epsilon: 1e-5, unbiased: true, ..Self::new() }
    }

    setters! {
        /// The share of the old value in a new moving mean or variance, in [0, 1].
        momentum: f32,
        /// What is added to the variance, above 0.
        epsilon: f32,
        /// Whether `beta` is added.
        center: bool,
        /// Whether the result is multiplied by `gamma`.
        scale: bool,
        /// Whether the moving variance takes batch variances divided by n - 1 in place of n; a batch of one number is
        /// divided by 1. The output does not depend on it while training.
        unbiased: bool,
        /// The initial values of `beta`.
        beta_initializer: Initializer,
        /// The initial values of `gamma`.
        gamma_initializer: Initializer,
        /// The initial values of `moving_mean`.
        moving_mean_initializer: Initializer,
        /// The initial values of `moving_variance`.
        moving_variance_initializer: Initializer,
        /// A penalty on `beta`.
        beta_regularizer: Regularizer,
        /// A penalty on `gamma`.
        gamma_regularizer: Regularizer,
        /// The axis of `[batch, ...]` that keeps its mean and variance for each place: the channels. It counts from 1, or
        /// from -1 at the end, the last, which is the default and the only one without copies of the input.
        axis: isize,
    }

    /// What `beta` keeps to after each update.
    #[must_use]
    pub const fn beta_constraint(mut self, constraint: Constraint) -> Self {
        self.beta_constraint = Some(constraint);
        self
    }

    /// What `gamma` keeps to after each update.
    #[must_use]
    pub const fn gamma_constraint(mut self, constraint: Constraint) -> Self {
        self.gamma_constraint = Some(constraint);
        self
    }

    /// The axis of a sample that is meant, from 0.
    fn axis_of(&self, sample: &Shape) -> Result<usize> {
        Ok(axes_of("axis", &[self.axis], sample)?[0])
    }

    /// By the moving statistics, on `[batch, ..., c]`. All of it has the shape of `x`, so that it is one kernel, or a part
    /// of the product before it.
    fn evaluated(&self, g: &mut Graph, cx: &Context, x: Value) -> Result<Value> {
        let centred = g.sub(x, cx.state("moving_mean")?)?;
        let epsilon = g.constant(self.epsilon);
        let shape = g.shape(x).clone();
        let epsilon = g.broadcast_to(epsilon, shape)?;
        let raised = g.add(cx.state("moving_variance")?, epsilon)?;
        let deviation = g.unary("sqrt", raised, &[])?;
        let mut y = g.div(centred, deviation)?;
        if self.scale {
            y = g.mul(y, cx.weight("gamma")?)?;
        }
        if self.center {
            y = g.add(y, cx.weight("beta")?)?;
        }
        Ok(y)
    }

    /// By the statistics of the batch `[batch, ..., c]`, and new values of the states.
    fn trained(&self, g: &mut Graph, cx: &Context, x: Value) -> Result<Outputs> {
        let gamma = self.scale.then(|| cx.weight("gamma")).transpose()?;
        let beta = self.center.then(|| cx.weight("beta")).transpose()?;
        let mask = cx.mask().map(|mask| column(g, mask, x)).transpose()?;
        let [y, mean, mut variance] = g.batch_norm(x, gamma, beta, mask, self.epsilon)?;
        if self.unbiased {
            variance = unbiased(g, variance, x, mask)?;
        }
        let mean = self.moved(g, cx.state("moving_mean")?, mean)?;
        let variance = self.moved(g, cx.state("moving_variance")?, variance)?;
        Ok(Outputs::from(y).state("moving_mean", mean).state("moving_variance", variance))
    }

    /// `momentum` · old + (1 - `momentum`) · new.
    fn moved(&self, g: &mut Graph, old: Value, new: Value) -> Result<Value> {
        let shape = g.shape(old).clone();
        let new = g.reshape(new, shape)?;
        let old = g.scale(old, self.momentum)?;
        let new = g.scale(new, 1.0 - self.momentum)?;
        g.add(old, new)
    }
}

/// The mask over the leading axes of `x`, as a number for each row of `[..., c]`: `[..., 1]`.
fn column(g: &mut Graph, mask: Value, x: Value) -> Result<Value> {
    let dims = g.shape(x).dims().to_vec();
    let lead = &dims[..dims.len() - 1];
    if !lead.starts_with(g.shape(mask).dims()) {
        let detail = "a mask is over axes before the last, to which `axis` is moved; drop it, or choose another";
        return Err(Error::shape("batch_normalization", &[g.shape(mask), g.shape(x)], detail));
    }
    let mut aligned = g.shape(mask).dims().to_vec();
    aligned.resize(lead.len(), 1);
    let mask = g.reshape(mask, aligned)?;
    let mask = g.broadcast_to(mask, lead)?;
    g.reshape(mask, [lead, &[1]].concat())
}

/// A variance divided by n as one divided by n - 1.
fn unbiased(g: &mut Graph, variance: Value, x: Value, mask: Option<Value>) -> Result<Value> {
    let Some(mask) = mask else {
        let rows = g.shape(x).len() / g.shape(variance).len();
        return g.scale(variance, rows as f32 / rows.saturating_sub(1).max(1) as f32);
    };
    let count = g.sum(mask, &[], false)?;
    let one = g.constant(1.0);
    let less = g.sub(count, one)?;
    let less = g.binary("maximum", less, one)?;
    let share = g.div(count, less)?;
    g.mul(variance, share)
}

impl Settings for BatchNormalization {
    fn blank() -> Self {
        Self::new()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        let mut axis = [self.axis];
        fields.field("axis", &mut axis)?;
        self.axis = axis[0];
        // Keras writes these two, and uses them with `renorm` alone, which is refused.
        fields.unused("renorm_clipping");
        fields.unused("renorm_momentum");
        fields.field("momentum", &mut self.momentum)?;
        fields.field("epsilon", &mut self.epsilon)?;
        fields.field("center", &mut self.center)?;
        fields.field("scale", &mut self.scale)?;
        fields.field("unbiased", &mut self.unbiased)?;
        fields.field("beta_initializer", &mut self.beta_initializer)?;
        fields.field("gamma_initializer", &mut self.gamma_initializer)?;
        fields.field("moving_mean_initializer", &mut self.moving_mean_initializer)?;
        fields.field("moving_variance_initializer", &mut self.moving_variance_initializer)?;
        fields.field("beta_regularizer", &mut self.beta_regularizer)?;
        fields.field("gamma_regularizer", &mut self.gamma_regularizer)?;
        fields.field("beta_constraint", &mut self.beta_constraint)?;
        fields.field("gamma_constraint", &mut self.gamma_constraint)
    }
}

impl Layer for BatchNormalization {
    fn kind(&self) -> &'static str {
        "BatchNormalization"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Error::parameter("momentum", self.momentum, "a share lies in [0, 1]"));
        }
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return Err(Error::parameter("epsilon", self.epsilon, "a finite number above 0"));
        }
        if inputs[0].rank() == 0 {
            let detail = "samples need an axis of features; reshape them to [1]";
            return Err(Error::shape("batch_normalization", &[&inputs[0]], detail));
        }
        self.axis_of(&inputs[0])?;
        Ok(inputs[0].clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let axis = self.axis_of(&inputs[0]);
        let shape = [axis.map_or(1, |axis| inputs[0].dims()[axis])];
        let mut specs = Vec::new();
        if self.scale {
            let (initializer, regularizer) = (self.gamma_initializer, self.gamma_regularizer);
            let gamma = WeightSpec::new("gamma", shape, initializer, regularizer);
            specs.push(gamma.constraint(self.gamma_constraint));
        }
        if self.center {
            let (initializer, regularizer) = (self.beta_initializer, self.beta_regularizer);
            let beta = WeightSpec::new("beta", shape, initializer, regularizer);
            specs.push(beta.constraint(self.beta_constraint));
        }
        specs.push(WeightSpec::state("moving_mean", shape, self.moving_mean_initializer));
        specs.push(WeightSpec::state("moving_variance", shape, self.moving_variance_initializer));
        specs
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, g: &mut Graph, cx: &Context) -> Result<Outputs> {
        g.check(self.kind(), cx.inputs())?;
        let sample = Shape::from(&g.shape(cx.input()).dims()[1..]);
        let axis = self.axis_of(&sample)?;
        let mut state = Vec::new();
        let y = over_last(g, cx.input(), &[axis], |g, x| {
            if !(cx.training() && cx.trainable()) {
                return self.evaluated(g, cx, x);
            }
            let outputs = self.trained(g, cx, x)?;
            state = outputs.state;
            Ok(outputs.values[0])
        })?;
        Ok(Outputs { state, ..Outputs::from(y) })
    }
}
