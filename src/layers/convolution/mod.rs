//! Convolutions: what their layers have in common.

mod conv;
mod depthwise;
mod separable;
mod transpose;

pub use conv::{Conv, Conv1D, Conv2D, Conv3D};
pub use depthwise::{DepthwiseConv, DepthwiseConv1D, DepthwiseConv2D};
pub use separable::{SeparableConv, SeparableConv1D, SeparableConv2D};
pub use transpose::{Conv1DTranspose, Conv2DTranspose, Conv3DTranspose, ConvTranspose};

use super::config::Fields;
use super::rules::{BIAS, Rules};
use super::windows::{Extents, Padding, Sizes, batch_of_one, kind_of};
use super::{Context, Regularizer, WeightSpec};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value, Window};
use crate::tensor::{Initializer, Shape};

const DEPTHWISE: [&str; 3] =
    ["depthwise_initializer", "depthwise_regularizer", "depthwise_constraint"];
const POINTWISE: [&str; 3] =
    ["pointwise_initializer", "pointwise_regularizer", "pointwise_constraint"];

/// What every convolution has: windows, bias, activation, and a penalty on the output.
#[derive(Debug, Clone, PartialEq)]
struct Common<const N: usize> {
    kernel_size: Extents<N>,
    strides: Extents<N>,
    padding: Padding,
    dilation_rate: Extents<N>,
    activation: Activation,
    use_bias: bool,
    bias: Rules,
    activity_regularizer: Regularizer,
}

impl<const N: usize> Common<N> {
    const fn new(kernel_size: Extents<N>) -> Self {
        Self {
            kernel_size,
            strides: Extents([1; N]),
            padding: Padding::Valid,
            dilation_rate: Extents([1; N]),
            activation: Activation::Linear,
            use_bias: true,
            bias: Rules::new(Initializer::Zeros),
            activity_regularizer: Regularizer::NONE,
        }
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("kernel_size", &mut self.kernel_size)?;
        fields.field("strides", &mut self.strides)?;
        fields.field("padding", &mut self.padding)?;
        fields.channels_last()?;
        fields.field("dilation_rate", &mut self.dilation_rate)?;
        fields.field("activation", &mut self.activation)?;
        fields.field("use_bias", &mut self.use_bias)?;
        self.bias.settings(fields, BIAS)?;
        fields.field("activity_regularizer", &mut self.activity_regularizer)
    }

    /// The windows over `input`, which is `[batch, extents.., channels]`.
    fn windows(&self, kind: &str, input: &Shape) -> Result<Vec<Window>> {
        let sizes = Sizes {
            taps: self.kernel_size.0,
            strides: self.strides.0,
            dilation: self.dilation_rate.0,
        };
        sizes.windows(kind, "kernel_size", &self.padding, input)
    }

    /// The shape of a kernel: the taps, then `last`.
    fn kernel(&self, last: [usize; 2]) -> Shape {
        [self.kernel_size.0.as_slice(), &last].concat().into()
    }

    /// The spec of the bias of so many filters, if there is one.
    fn bias(&self, filters: usize) -> Option<WeightSpec> {
        self.use_bias.then(|| self.bias.spec("bias", [filters]))
    }

    /// activation(y + bias).
    fn finish(&self, graph: &mut Graph, cx: &Context, mut y: Value) -> Result<Value> {
        if self.use_bias {
            y = graph.add(y, cx.weight("bias")?)?;
        }
        self.activation.apply(graph, y)
    }
}

/// A sample of a batch.
fn sample_of(batch: &Shape) -> Shape {
    batch.dims()[1..].into()
}

/// The number of channels of a sample.
fn channels_of(sample: &Shape) -> usize {
    sample.dims().last().copied().unwrap_or(1)
}

/// Refuses a count of zero.
fn at_least_one(name: &str, count: usize) -> Result<()> {
    match count {
        0 => Err(Error::parameter(name, 0, "it is 1 or more")),
        _ => Ok(()),
    }
}

/// The settings that every convolution has, as methods.
macro_rules! common_setters {
    ($layer:ident) => {
        impl<const N: usize> $layer<N> {
            /// Elements from one window to the next, one number for all axes or one for each.
            #[must_use]
            pub fn strides(mut self, strides: impl Into<Extents<N>>) -> Self {
                self.common.strides = strides.into();
                self
            }

            /// What lies around the input.
            #[must_use]
            pub fn padding(mut self, padding: Padding) -> Self {
                self.common.padding = padding;
                self
            }

            /// Elements from one tap of a window to the next, one number for all axes or one for each.
            #[must_use]
            pub fn dilation_rate(mut self, rate: impl Into<Extents<N>>) -> Self {
                self.common.dilation_rate = rate.into();
                self
            }

            /// Applies `activation` to the sums.
            #[must_use]
            pub fn activation(mut self, activation: Activation) -> Self {
                self.common.activation = activation;
                self
            }

            /// Whether there is a bias.
            #[must_use]
            pub fn use_bias(mut self, use_bias: bool) -> Self {
                self.common.use_bias = use_bias;
                self
            }

            /// A penalty on the output: over the batch, divided by its samples.
            #[must_use]
            pub const fn activity_regularizer(
                mut self,
                regularizer: $crate::layers::Regularizer,
            ) -> Self {
                self.common.activity_regularizer = regularizer;
                self
            }
        }

        $crate::layers::rules::rule_setters!(
            [const N: usize] $layer<N>,
            common.bias,
            "the bias",
            bias_initializer,
            bias_regularizer,
            bias_constraint
        );
    };
}

use common_setters;
