//! Rectifiers whose slope left of zero is learned or random.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::{Initializer, Shape};

/// max(x, 0) - alpha · max(-x, 0), with a learned `alpha`. He, Zhang, Ren and Sun, "Delving deep into
/// rectifiers", 2015.
///
/// Input and output `[batch, ...]`; `alpha` has the shape of a sample, with extent 1 along the shared axes, and
/// starts at zero. Keras' `PReLU`; as there the derivative at 0 is 0.
#[derive(Debug, Clone, PartialEq)]
pub struct PRelu {
    alpha_initializer: Initializer,
    alpha_regularizer: Regularizer,
    alpha_constraint: Option<Constraint>,
    shared_axes: Vec<usize>,
}

impl Default for PRelu {
    fn default() -> Self {
        Self::new()
    }
}

impl PRelu {
    /// A separate slope for every element of a sample, zero at first.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            alpha_initializer: Initializer::Zeros,
            alpha_regularizer: Regularizer::NONE,
            alpha_constraint: None,
            shared_axes: Vec::new(),
        }
    }

    /// The initial values of the slopes.
    #[must_use]
    pub const fn alpha_initializer(mut self, initializer: Initializer) -> Self {
        self.alpha_initializer = initializer;
        self
    }

    /// A penalty on the slopes.
    #[must_use]
    pub const fn alpha_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.alpha_regularizer = regularizer;
        self
    }

    /// What the slopes keep to after each update.
    #[must_use]
    pub const fn alpha_constraint(mut self, constraint: Constraint) -> Self {
        self.alpha_constraint = Some(constraint);
        self
    }

    /// The axes of `[batch, ...]` along which one slope serves all elements, from 1: axis 0 is the batch.
    #[must_use]
    pub fn shared_axes(mut self, axes: impl Into<Vec<usize>>) -> Self {
        self.shared_axes = axes.into();
        self
    }

    /// The shape of `alpha` for samples of this shape.
    fn alpha_shape(&self, sample: &Shape) -> Shape {
        let extent = |(axis, &dim)| if self.shared_axes.contains(&(axis + 1)) { 1 } else { dim };
        sample.dims().iter().enumerate().map(extent).collect::<Vec<_>>().into()
    }
}

impl Settings for PRelu {
    fn blank() -> Self {
        Self::new()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("alpha_initializer", &mut self.alpha_initializer)?;
        fields.field("alpha_regularizer", &mut self.alpha_regularizer)?;
        fields.field("alpha_constraint", &mut self.alpha_constraint)?;
        fields.field("shared_axes", &mut self.shared_axes)
    }
}

impl Layer for PRelu {
    fn kind(&self) -> &'static str {
        "PReLU"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let rank = inputs[0].rank();
        if self.shared_axes.iter().any(|axis| !(1..=rank).contains(axis)) {
            let shown = format!("{:?}", self.shared_axes);
            let detail = format!("the axes of {} are counted from 1; 0 is the batch", inputs[0]);
            return Err(Error::parameter("shared_axes", shown, detail));
        }
        Ok(inputs[0].clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape = self.alpha_shape(&inputs[0]);
        let alpha = WeightSpec::new("alpha", shape, self.alpha_initializer, self.alpha_regularizer);
        vec![alpha.constraint(self.alpha_constraint)]
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let right = graph.unary("relu", cx.input(), &[])?;
        let mirrored = graph.neg(cx.input())?;
        let left = graph.unary("relu", mirrored, &[])?;
        let left = graph.mul(cx.weight("alpha")?, left)?;
        Ok(graph.sub(right, left)?.into())
    }
}

/// x if it is positive, else slope · x. While training, the slope is drawn for each element, uniform in
/// [lower, upper); otherwise it is (lower + upper) / 2. Xu, Wang, Chen and Li, "Empirical evaluation of rectified
/// activations in convolutional network", 2015.
///
/// PyTorch's `RReLU`, with its bounds 1/8 and 1/3 by default. The slopes are a function of (seed, layer, step,
/// element) and are the same in the backward pass; the derivative at 0 is the slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RRelu {
    lower: f32,
    upper: f32,
}

impl Default for RRelu {
    fn default() -> Self {
        Self::new(1.0 / 8.0, 1.0 / 3.0)
    }
}

impl RRelu {
    /// Slopes in [`lower`, `upper`).
    #[must_use]
    pub const fn new(lower: f32, upper: f32) -> Self {
        Self { lower, upper }
    }
}

impl Settings for RRelu {
    fn blank() -> Self {
        Self::default()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("lower", &mut self.lower)?;
        fields.field("upper", &mut self.upper)
    }
}

impl Layer for RRelu {
    fn kind(&self) -> &'static str {
        "RReLU"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let range = self.upper - self.lower;
        if !(range.is_finite() && range >= 0.0) {
            let detail = format!("slopes are finite and lower is not above upper = {}", self.upper);
            return Err(Error::parameter("lower", self.lower, detail));
        }
        Ok(inputs[0].clone())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let x = cx.input();
        let Some(random) = cx.random() else {
            let slope = 0.5 * (self.lower + self.upper);
            return Ok(graph.unary("leaky_relu", x, &[slope])?.into());
        };
        let shape = graph.shape(x).clone();
        let drawn = random.uniform(graph, shape)?;
        let slope = graph.scale(drawn, self.upper - self.lower)?;
        let lower = graph.constant(self.lower);
        let slope = graph.add(slope, lower)?;
        let left = graph.mul(x, slope)?;
        Ok(graph.select(x, x, left)?.into())
    }
}
