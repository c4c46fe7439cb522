//! The fully connected layer.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::{Initializer, Shape};

/// activation(x · kernel + bias) over the last axis.
///
/// Input `[batch, ..., in]`, output `[batch, ..., units]`; kernel `[in, units]`, bias `[units]`, as in Keras.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    units: usize,
    activation: Activation,
    use_bias: bool,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    kernel_regularizer: Regularizer,
    bias_regularizer: Regularizer,
    activity_regularizer: Regularizer,
    kernel_constraint: Option<Constraint>,
    bias_constraint: Option<Constraint>,
}

impl Dense {
    /// A layer of `units` outputs: linear, Glorot-uniform kernel, zero bias.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        let none = Regularizer::NONE;
        Self {
            units,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
            kernel_regularizer: none,
            bias_regularizer: none,
            activity_regularizer: none,
            kernel_constraint: None,
            bias_constraint: None,
        }
    }

    /// Applies `activation` to the sums.
    #[must_use]
    pub const fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Whether there is a bias.
    #[must_use]
    pub const fn use_bias(mut self, use_bias: bool) -> Self {
        self.use_bias = use_bias;
        self
    }

    /// The initial values of the kernel.
    #[must_use]
    pub const fn kernel_initializer(mut self, initializer: Initializer) -> Self {
        self.kernel_initializer = initializer;
        self
    }

    /// The initial values of the bias.
    #[must_use]
    pub const fn bias_initializer(mut self, initializer: Initializer) -> Self {
        self.bias_initializer = initializer;
        self
    }

    /// A penalty on the kernel.
    #[must_use]
    pub const fn kernel_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.kernel_regularizer = regularizer;
        self
    }

    /// A penalty on the bias.
    #[must_use]
    pub const fn bias_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.bias_regularizer = regularizer;
        self
    }

    /// A penalty on the output: over the batch, divided by its samples.
    #[must_use]
    pub const fn activity_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.activity_regularizer = regularizer;
        self
    }

    /// What the kernel keeps to after each update.
    #[must_use]
    pub const fn kernel_constraint(mut self, constraint: Constraint) -> Self {
        self.kernel_constraint = Some(constraint);
        self
    }

    /// What the bias keeps to after each update.
    #[must_use]
    pub const fn bias_constraint(mut self, constraint: Constraint) -> Self {
        self.bias_constraint = Some(constraint);
        self
    }
}

impl Settings for Dense {
    fn blank() -> Self {
        Self::new(0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("units", &mut self.units)?;
        fields.field("activation", &mut self.activation)?;
        fields.field("use_bias", &mut self.use_bias)?;
        fields.field("kernel_initializer", &mut self.kernel_initializer)?;
        fields.field("bias_initializer", &mut self.bias_initializer)?;
        fields.field("kernel_regularizer", &mut self.kernel_regularizer)?;
        fields.field("bias_regularizer", &mut self.bias_regularizer)?;
        fields.field("activity_regularizer", &mut self.activity_regularizer)?;
        fields.field("kernel_constraint", &mut self.kernel_constraint)?;
        fields.field("bias_constraint", &mut self.bias_constraint)
    }
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "Dense"
    }

    fn activation(&self) -> Option<Activation> {
        Some(self.activation)
    }

    fn activity_regularizer(&self) -> Regularizer {
        self.activity_regularizer
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let input = &inputs[0];
        if self.units == 0 {
            return Err(Error::parameter("units", 0, "a layer has at least one unit"));
        }
        if input.rank() == 0 || input.is_empty() {
            let detail = "the input needs a non-empty last axis";
            return Err(Error::shape("dense", &[input], detail));
        }
        self.activation.check()?;
        let mut dims = input.dims().to_vec();
        dims[input.rank() - 1] = self.units;
        Ok(Shape::from(dims))
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let fan_in = inputs[0].dims().last().copied().unwrap_or(1);
        let (initializer, regularizer) = (self.kernel_initializer, self.kernel_regularizer);
        let kernel = WeightSpec::new("kernel", [fan_in, self.units], initializer, regularizer);
        let mut specs = vec![kernel.constraint(self.kernel_constraint)];
        if self.use_bias {
            let (initializer, regularizer) = (self.bias_initializer, self.bias_regularizer);
            let bias = WeightSpec::new("bias", [self.units], initializer, regularizer);
            specs.push(bias.constraint(self.bias_constraint));
        }
        specs
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let mut y = graph.matmul(cx.input(), cx.weight("kernel")?)?;
        if self.use_bias {
            y = graph.add(y, cx.weight("bias")?)?;
        }
        Ok(self.activation.apply(graph, y)?.into())
    }
}
