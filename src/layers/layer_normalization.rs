//! Normalization of each sample: to mean 0 and variance 1, or to a root mean square of 1.

use super::axes::{axes_of, extents, over_last};
use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::{Initializer, Shape};

/// gamma · (x - mean) / sqrt(variance + epsilon) + beta, with mean and variance over the axes of each sample. Ba, Kiros
/// and Hinton, "Layer normalization", 2016.
///
/// Input and output `[batch, ...]`; `gamma` and `beta` have the extents of the axes, the last one unless
/// [`LayerNormalization::axes`] says otherwise. It does the same in training and evaluation. Keras' `LayerNormalization`
/// with its defaults; PyTorch's `LayerNorm` has epsilon 1e-5.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([28, 28])
///     .add(LayerNormalization::new().epsilon(1e-5))
///     .add(Dense::new(10));
/// assert!(model.summary()?.contains("layer_normalization (LayerNormalization)"));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNormalization {
    axes: Vec<isize>,
    epsilon: f32,
    center: bool,
    scale: bool,
    beta_initializer: Initializer,
    gamma_initializer: Initializer,
    beta_regularizer: Regularizer,
    gamma_regularizer: Regularizer,
    beta_constraint: Option<Constraint>,
    gamma_constraint: Option<Constraint>,
}

impl Default for LayerNormalization {
    fn default() -> Self {
        Self::new()
    }
}

impl LayerNormalization {
    /// Over the last axis, with epsilon 1e-3, a gamma of ones and a beta of zeros.
    #[must_use]
    pub fn new() -> Self {
        let none = Regularizer::default();
        Self {
            axes: vec![-1],
            epsilon: 1e-3,
            center: true,
            scale: true,
            beta_initializer: Initializer::Zeros,
            gamma_initializer: Initializer::Constant(1.0),
            beta_regularizer: none,
            gamma_regularizer: none,
            beta_constraint: None,
            gamma_constraint: None,
        }
    }

    /// The axes of `[batch, ...]` that mean and variance are taken over, from 1, or from -1 at the end; axis 0 is the
    /// batch. All are read where they are, unless a row has more than 4,096 places apart: that is copied.
    /// Keras' `axis`.
    #[must_use]
    pub fn axes(mut self, axes: impl Into<Vec<isize>>) -> Self {
        self.axes = axes.into();
        self
    }

    /// What is added to the variance.
    #[must_use]
    pub const fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Whether there is a `beta`.
    #[must_use]
    pub const fn center(mut self, center: bool) -> Self {
        self.center = center;
        self
    }

    /// Whether there is a `gamma`.
    #[must_use]
    pub const fn scale(mut self, scale: bool) -> Self {
        self.scale = scale;
        self
    }

    /// The initial values of `beta`.
    #[must_use]
    pub const fn beta_initializer(mut self, initializer: Initializer) -> Self {
        self.beta_initializer = initializer;
        self
    }

    /// The initial values of `gamma`.
    #[must_use]
    pub const fn gamma_initializer(mut self, initializer: Initializer) -> Self {
        self.gamma_initializer = initializer;
        self
    }

    /// A penalty on `beta`.
    #[must_use]
    pub const fn beta_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.beta_regularizer = regularizer;
        self
    }

    /// A penalty on `gamma`.
    #[must_use]
    pub const fn gamma_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.gamma_regularizer = regularizer;
        self
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
}

/// Refuses axes that samples do not have, none at all, and an epsilon that is no small number.
pub(super) fn check(axes: &[isize], epsilon: f32, sample: &Shape) -> Result<()> {
    if !(epsilon.is_finite() && epsilon >= 0.0) {
        return Err(Error::parameter("epsilon", epsilon, "a finite number, 0 or more"));
    }
    if axes.is_empty() {
        return Err(Error::parameter("axes", "[]", "name one axis or more; -1 is the last"));
    }
    axes_of("axes", axes, sample).map(|_| ())
}

impl Settings for LayerNormalization {
    fn blank() -> Self {
        Self::new()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("axis", &mut self.axes)?;
        fields.field("epsilon", &mut self.epsilon)?;
        fields.field("center", &mut self.center)?;
        fields.field("scale", &mut self.scale)?;
        fields.field("beta_initializer", &mut self.beta_initializer)?;
        fields.field("gamma_initializer", &mut self.gamma_initializer)?;
        fields.field("beta_regularizer", &mut self.beta_regularizer)?;
        fields.field("gamma_regularizer", &mut self.gamma_regularizer)?;
        fields.field("beta_constraint", &mut self.beta_constraint)?;
        fields.field("gamma_constraint", &mut self.gamma_constraint)
    }
}

impl Layer for LayerNormalization {
    fn kind(&self) -> &'static str {
        "LayerNormalization"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check(&self.axes, self.epsilon, &inputs[0])?;
        Ok(inputs[0].clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape =
            extents(&inputs[0], &axes_of("axes", &self.axes, &inputs[0]).unwrap_or_default());
        let (gamma, beta) = (self.gamma_initializer, self.beta_initializer);
        let gamma = WeightSpec::new("gamma", shape.clone(), gamma, self.gamma_regularizer);
        let beta = WeightSpec::new("beta", shape, beta, self.beta_regularizer);
        let gamma = self.scale.then(|| gamma.constraint(self.gamma_constraint));
        let beta = self.center.then(|| beta.constraint(self.beta_constraint));
        gamma.into_iter().chain(beta).collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let sample = Shape::from(&graph.shape(cx.input()).dims()[1..]);
        let axes = axes_of("axes", &self.axes, &sample)?;
        let gamma = self.scale.then(|| cx.weight("gamma")).transpose()?;
        let beta = self.center.then(|| cx.weight("beta")).transpose()?;
        let y = over_last(graph, cx.input(), &axes, |graph, x| {
            graph.layer_norm(x, gamma, beta, axes.len(), self.epsilon)
        })?;
        Ok(y.into())
    }
}

/// scale · x / sqrt(mean of x² + epsilon), with the mean over the axes of each sample. Zhang and Sennrich, "Root mean
/// square layer normalization", 2019.
///
/// Input and output `[batch, ...]`; `scale` has the extents of the axes, the last one unless
/// [`RmsNormalization::axes`] says otherwise, and starts at one. Keras' `RMSNormalization`, with its epsilon 1e-6.
#[derive(Debug, Clone, PartialEq)]
pub struct RmsNormalization {
    axes: Vec<isize>,
    epsilon: f32,
}

impl Default for RmsNormalization {
    fn default() -> Self {
        Self::new()
    }
}

impl RmsNormalization {
    /// Over the last axis, with epsilon 1e-6.
    #[must_use]
    pub fn new() -> Self {
        Self { axes: vec![-1], epsilon: 1e-6 }
    }

    /// The axes of `[batch, ...]` that the mean is taken over; see [`LayerNormalization::axes`].
    #[must_use]
    pub fn axes(mut self, axes: impl Into<Vec<isize>>) -> Self {
        self.axes = axes.into();
        self
    }

    /// What is added to the mean of squares.
    #[must_use]
    pub const fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl Settings for RmsNormalization {
    fn blank() -> Self {
        Self::new()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("axis", &mut self.axes)?;
        fields.field("epsilon", &mut self.epsilon)
    }
}

impl Layer for RmsNormalization {
    fn kind(&self) -> &'static str {
        "RMSNormalization"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check(&self.axes, self.epsilon, &inputs[0])?;
        Ok(inputs[0].clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape =
            extents(&inputs[0], &axes_of("axes", &self.axes, &inputs[0]).unwrap_or_default());
        vec![WeightSpec::new("scale", shape, Initializer::Constant(1.0), Regularizer::default())]
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let sample = Shape::from(&graph.shape(cx.input()).dims()[1..]);
        let axes = axes_of("axes", &self.axes, &sample)?;
        let scale = cx.weight("scale")?;
        let y = over_last(graph, cx.input(), &axes, |graph, x| {
            graph.rms_norm(x, Some(scale), axes.len(), self.epsilon)
        })?;
        Ok(y.into())
    }
}
