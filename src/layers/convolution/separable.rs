//! Separable convolution.

use super::{
    Common, DEPTHWISE, POINTWISE, at_least_one, batch_of_one, channels_of, common_setters, kind_of,
    sample_of,
};
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::Graph;
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::rules::{Rules, rule_setters};
use crate::layers::windows::{Extents, Padding, slid};
use crate::layers::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::tensor::{Initializer, Shape};

/// A depthwise convolution, then a product over channels at each window (Chollet, "Xception", 2017): Keras'
/// `SeparableConv1D` and `SeparableConv2D`.
///
/// Input `[batch, extents.., channels]`, output `[batch, windows.., filters]`. `depthwise_kernel` is `[taps.., channels,
/// depth_multiplier]`, `pointwise_kernel` `[1.., channels · depth_multiplier, filters]`, `bias` `[filters]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SeparableConv<const N: usize> {
    filters: usize,
    depth_multiplier: usize,
    common: Common<N>,
    depthwise: Rules,
    pointwise: Rules,
}

/// A separable convolution of sequences `[batch, steps, channels]`; see [`SeparableConv`].
pub type SeparableConv1D = SeparableConv<1>;
/// A separable convolution of images `[batch, height, width, channels]`; see [`SeparableConv`].
pub type SeparableConv2D = SeparableConv<2>;

impl<const N: usize> SeparableConv<N> {
    /// A layer of `filters` with windows of `kernel_size`, one number for all axes or one for each: one depthwise filter
    /// for each channel, strides 1, no padding, linear, Glorot-uniform kernels, zero bias.
    #[must_use]
    pub fn new(filters: usize, kernel_size: impl Into<Extents<N>>) -> Self {
        let rules = Rules::new(Initializer::GlorotUniform);
        Self {
            filters,
            depth_multiplier: 1,
            common: Common::new(kernel_size.into()),
            depthwise: rules.clone(),
            pointwise: rules,
        }
    }

    /// How many depthwise filters each channel has.
    #[must_use]
    pub const fn depth_multiplier(mut self, depth_multiplier: usize) -> Self {
        self.depth_multiplier = depth_multiplier;
        self
    }
}

common_setters!(SeparableConv);
rule_setters!(
    [const N: usize] SeparableConv<N>,
    depthwise,
    "the depthwise kernel",
    depthwise_initializer,
    depthwise_regularizer,
    depthwise_constraint
);
rule_setters!(
    [const N: usize] SeparableConv<N>,
    pointwise,
    "the pointwise kernel",
    pointwise_initializer,
    pointwise_regularizer,
    pointwise_constraint
);

impl<const N: usize> Settings for SeparableConv<N> {
    fn blank() -> Self {
        Self::new(0, 1)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("filters", &mut self.filters)?;
        fields.field("depth_multiplier", &mut self.depth_multiplier)?;
        self.common.settings(fields)?;
        self.depthwise.settings(fields, DEPTHWISE)?;
        self.pointwise.settings(fields, POINTWISE)
    }
}

impl<const N: usize> Layer for SeparableConv<N> {
    fn kind(&self) -> &'static str {
        kind_of::<N>(["SeparableConv1D", "SeparableConv2D", "SeparableConv3D"])
    }

    fn activation(&self) -> Option<Activation> {
        Some(self.common.activation)
    }

    fn activity_regularizer(&self) -> Regularizer {
        self.common.activity_regularizer
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        at_least_one("filters", self.filters)?;
        at_least_one("depth_multiplier", self.depth_multiplier)?;
        self.common.activation.check()?;
        let input = batch_of_one::<N>(self.kind(), &inputs[0])?;
        let windows = self.common.windows(self.kind(), &input)?;
        Ok(sample_of(&slid(&input, &windows, self.filters)))
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let (channels, multiplier) = (channels_of(&inputs[0]), self.depth_multiplier);
        let depthwise = self.common.kernel([channels, multiplier]);
        let depthwise = self.depthwise.spec("depthwise_kernel", depthwise).depthwise();
        let channels = channels.saturating_mul(multiplier);
        let pointwise = [[1; N].as_slice(), &[channels, self.filters]].concat();
        let pointwise = self.pointwise.spec("pointwise_kernel", pointwise);
        [depthwise, pointwise].into_iter().chain(self.common.bias(self.filters)).collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    /// Windows are no steps of the input: a mask ends here, as in Keras.
    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let windows = self.common.windows(self.kind(), graph.shape(cx.input()))?;
        let kernel = cx.weight("depthwise_kernel")?;
        let y = graph.depthwise_convolution(cx.input(), kernel, &windows)?;
        let kernel = cx.weight("pointwise_kernel")?;
        let matrix = graph.shape(kernel).dims()[N..].to_vec();
        let kernel = graph.reshape(kernel, matrix)?;
        let y = graph.matmul(y, kernel)?;
        Ok(Outputs::from(self.common.finish(graph, cx, y)?).mask(None))
    }
}
