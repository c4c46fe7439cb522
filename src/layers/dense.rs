//! The fully connected layer.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs, WeightSpec};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::{Initializer, Shape};

/// A penalty Σ l1 |w| + l2 w² that the values of a tensor add to the loss.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Regularizer {
    /// Factor of Σ |w|.
    pub l1: f32,
    /// Factor of Σ w².
    pub l2: f32,
}

impl Regularizer {
    /// Σ l1 |w|.
    #[must_use]
    pub const fn l1(l1: f32) -> Self {
        Self { l1, l2: 0.0 }
    }

    /// Σ l2 w².
    #[must_use]
    pub const fn l2(l2: f32) -> Self {
        Self { l1: 0.0, l2 }
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
        Ok(())
    }

    /// The functions whose sums over a tensor are penalised, with their factors.
    #[must_use]
    pub const fn terms(&self) -> [(&'static str, f32); 2] {
        [("abs", self.l1), ("square", self.l2)]
    }

    /// The penalty of `w` as a scalar, or `None` if both factors are zero.
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
        Ok(total)
    }
}

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
}

impl Dense {
    /// A layer of `units` outputs: linear, Glorot-uniform kernel, zero bias.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        let none = Regularizer { l1: 0.0, l2: 0.0 };
        Self {
            units,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
            kernel_regularizer: none,
            bias_regularizer: none,
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
        fields.field("bias_regularizer", &mut self.bias_regularizer)
    }
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "Dense"
    }

    fn activation(&self) -> Option<Activation> {
        Some(self.activation)
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
        self.kernel_initializer.check()?;
        self.bias_initializer.check()?;
        self.kernel_regularizer.check()?;
        self.bias_regularizer.check()?;
        let mut dims = input.dims().to_vec();
        dims[input.rank() - 1] = self.units;
        Ok(Shape::from(dims))
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let fan_in = inputs[0].dims().last().copied().unwrap_or(1);
        let (initializer, regularizer) = (self.kernel_initializer, self.kernel_regularizer);
        let mut specs =
            vec![WeightSpec::new("kernel", [fan_in, self.units], initializer, regularizer)];
        if self.use_bias {
            let (initializer, regularizer) = (self.bias_initializer, self.bias_regularizer);
            specs.push(WeightSpec::new("bias", [self.units], initializer, regularizer));
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
