//! Activations of mean 0 and variance 1 over each batch.

use super::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::{Initializer, Shape};

/// What Keras adds to a count that may be zero.
const LEAST: f32 = 1e-7;

/// gamma · (x - mean) / sqrt(variance + epsilon) + beta for each place along the last axis. Ioffe and Szegedy, "Batch
/// normalization", 2015. Keras' `BatchNormalization`.
///
/// Input and output `[batch, ..., c]`; `gamma` and `beta` are weights `[c]`, `moving_mean` and `moving_variance` states
/// `[c]`. While training, mean and variance are those of the batch, over all axes but the last, and each state becomes
/// `momentum` · state + (1 - `momentum`) · that of the batch. Evaluation, prediction and a frozen layer use the states.
/// With a mask only what counts is in the statistics.
///
/// The batch's variance is divided by n, in the states too, as in Keras 3. [`BatchNormalization::torch`] has PyTorch's
/// rule. The mean is corrected by the mean of what is left, and the variance is the mean of squared differences, so that
/// both are exact if the mean is large against the spread.
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
    }

    /// (x - mean) / sqrt(variance + epsilon), scaled and shifted.
    fn normal(
        &self,
        g: &mut Graph,
        cx: &Context,
        centred: Value,
        variance: Value,
    ) -> Result<Value> {
        let epsilon = g.constant(self.epsilon);
        let shifted = g.add(variance, epsilon)?;
        let deviation = g.unary("sqrt", shifted, &[])?;
        let mut y = g.div(centred, deviation)?;
        if self.scale {
            y = g.mul(y, cx.weight("gamma")?)?;
        }
        if self.center {
            y = g.add(y, cx.weight("beta")?)?;
        }
        Ok(y)
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

/// How the mean over the rows of `[n, c]` is taken.
#[derive(Clone, Copy)]
enum Weights {
    /// Each row counts, of so many.
    All(usize),
    /// Rows count by 1 or 0 `[n, 1]`; the second is their sum `[1, 1]`.
    Some(Value, Value),
}

impl Weights {
    /// The rows that count by the mask over the leading axes of `x`.
    fn of(g: &mut Graph, x: Value, mask: Option<Value>) -> Result<Self> {
        let dims = g.shape(x).dims().to_vec();
        let lead = &dims[..dims.len() - 1];
        let rows: usize = lead.iter().product();
        let Some(mask) = mask else { return Ok(Self::All(rows)) };
        if !lead.starts_with(g.shape(mask).dims()) {
            let detail = "a mask is over the axes before the last";
            return Err(Error::shape("batch_normalization", &[g.shape(mask), g.shape(x)], detail));
        }
        let mut aligned = g.shape(mask).dims().to_vec();
        aligned.resize(lead.len(), 1);
        let mask = g.reshape(mask, aligned)?;
        let mask = g.broadcast_to(mask, lead)?;
        let mask = g.reshape(mask, [rows, 1])?;
        let sum = g.sum(mask, &[0], true)?;
        Ok(Self::Some(mask, sum))
    }

    /// The mean over the rows, `[1, c]`.
    fn mean(self, g: &mut Graph, rows: Value) -> Result<Value> {
        match self {
            Self::All(_) => g.mean(rows, &[0], true),
            Self::Some(mask, count) => {
                let zero = g.constant(0.0);
                let own = g.select(mask, rows, zero)?;
                let sum = g.sum(own, &[0], true)?;
                let least = g.constant(LEAST);
                let count = g.add(count, least)?;
                g.div(sum, count)
            }
        }
    }

    /// A variance divided by n as one divided by n - 1.
    fn unbiased(self, g: &mut Graph, variance: Value) -> Result<Value> {
        match self {
            Self::All(rows) => {
                g.scale(variance, rows as f32 / rows.saturating_sub(1).max(1) as f32)
            }
            Self::Some(_, count) => {
                let one = g.constant(1.0);
                let less = g.sub(count, one)?;
                let less = g.binary("maximum", less, one)?;
                let share = g.div(count, less)?;
                g.mul(variance, share)
            }
        }
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
        for initializer in [
            &self.beta_initializer,
            &self.gamma_initializer,
            &self.moving_mean_initializer,
            &self.moving_variance_initializer,
        ] {
            initializer.check()?;
        }
        self.beta_regularizer.check()?;
        self.gamma_regularizer.check()?;
        Ok(inputs[0].clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape = [inputs[0].dims().last().copied().unwrap_or(1)];
        let mut specs = Vec::new();
        if self.scale {
            let (initializer, regularizer) = (self.gamma_initializer, self.gamma_regularizer);
            specs.push(WeightSpec::new("gamma", shape, initializer, regularizer));
        }
        if self.center {
            let (initializer, regularizer) = (self.beta_initializer, self.beta_regularizer);
            specs.push(WeightSpec::new("beta", shape, initializer, regularizer));
        }
        specs.push(WeightSpec::state("moving_mean", shape, self.moving_mean_initializer));
        specs.push(WeightSpec::state("moving_variance", shape, self.moving_variance_initializer));
        specs
    }

    fn apply(&self, g: &mut Graph, cx: &Context) -> Result<Outputs> {
        g.check(self.kind(), cx.inputs())?;
        let x = cx.input();
        let (mean, variance) = (cx.state("moving_mean")?, cx.state("moving_variance")?);
        if !(cx.training() && cx.trainable()) {
            let centred = g.sub(x, mean)?;
            return Ok(self.normal(g, cx, centred, variance)?.into());
        }
        let shape = g.shape(x).clone();
        let width = shape.dims()[shape.rank() - 1];
        let weights = Weights::of(g, x, cx.mask())?;
        let rows = g.reshape(x, [shape.len() / width, width])?;
        // A sum of large numbers loses the digits that tell them apart; the mean of what is left has them.
        let first = weights.mean(g, rows)?;
        let left = g.sub(rows, first)?;
        let rest = weights.mean(g, left)?;
        let centred = g.sub(left, rest)?;
        let squares = g.unary("square", centred, &[])?;
        let of_batch = weights.mean(g, squares)?;
        let y = self.normal(g, cx, centred, of_batch)?;
        let y = g.reshape(y, shape)?;
        let new_mean = g.add(first, rest)?;
        let new_mean = self.moved(g, mean, new_mean)?;
        let counted = if self.unbiased { weights.unbiased(g, of_batch)? } else { of_batch };
        let new_variance = self.moved(g, variance, counted)?;
        Ok(Outputs::from(y).state("moving_mean", new_mean).state("moving_variance", new_variance))
    }
}
