//! Depthwise convolution.

use super::{
    Common, DEPTHWISE, at_least_one, batch_of_one, channels_of, common_setters, kind_of, sample_of,
};
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::Graph;
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::rules::{Rules, rule_setters};
use crate::layers::windows::{Extents, Padding, slid};
use crate::layers::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::tensor::{Initializer, Shape};

/// A convolution in which each channel has separate filters: Keras' `DepthwiseConv1D` and `DepthwiseConv2D`.
///
/// Input `[batch, extents.., channels]`, output `[batch, windows.., channels · depth_multiplier]`; filter m of channel c
/// is number c · depth_multiplier + m. `kernel` is `[taps.., channels, depth_multiplier]`, `bias` has a number for each
/// filter.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthwiseConv<const N: usize> {
    depth_multiplier: usize,
    common: Common<N>,
    depthwise: Rules,
}

/// A depthwise convolution of sequences `[batch, steps, channels]`; see [`DepthwiseConv`].
pub type DepthwiseConv1D = DepthwiseConv<1>;
/// A depthwise convolution of images `[batch, height, width, channels]`; see [`DepthwiseConv`].
pub type DepthwiseConv2D = DepthwiseConv<2>;

impl<const N: usize> DepthwiseConv<N> {
    /// A layer with windows of `kernel_size`, one number for all axes or one for each: one filter for each channel,
    /// strides 1, no padding, linear, Glorot-uniform kernel, zero bias.
    #[must_use]
    pub fn new(kernel_size: impl Into<Extents<N>>) -> Self {
        let depthwise = Rules::new(Initializer::GlorotUniform);
        Self { depth_multiplier: 1, common: Common::new(kernel_size.into()), depthwise }
    }

    /// How many filters each channel has.
    #[must_use]
    pub const fn depth_multiplier(mut self, depth_multiplier: usize) -> Self {
        self.depth_multiplier = depth_multiplier;
        self
    }

    fn filters(&self, input: &Shape) -> usize {
        channels_of(input).saturating_mul(self.depth_multiplier)
    }
}

common_setters!(DepthwiseConv);
rule_setters!(
    [const N: usize] DepthwiseConv<N>,
    depthwise,
    "the kernel",
    depthwise_initializer,
    depthwise_regularizer,
    depthwise_constraint
);

impl<const N: usize> Settings for DepthwiseConv<N> {
    fn blank() -> Self {
        Self::new(1)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("depth_multiplier", &mut self.depth_multiplier)?;
        self.common.settings(fields)?;
        self.depthwise.settings(fields, DEPTHWISE)
    }
}

impl<const N: usize> Layer for DepthwiseConv<N> {
    fn kind(&self) -> &'static str {
        kind_of::<N>(["DepthwiseConv1D", "DepthwiseConv2D", "DepthwiseConv3D"])
    }

    fn activation(&self) -> Option<Activation> {
        Some(self.common.activation)
    }

    fn activity_regularizer(&self) -> Regularizer {
        self.common.activity_regularizer
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        at_least_one("depth_multiplier", self.depth_multiplier)?;
        self.common.activation.check()?;
        let input = batch_of_one::<N>(self.kind(), &inputs[0])?;
        let windows = self.common.windows(self.kind(), &input)?;
        Ok(sample_of(&slid(&input, &windows, self.filters(&input))))
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape = self.common.kernel([channels_of(&inputs[0]), self.depth_multiplier]);
        let kernel = self.depthwise.spec("kernel", shape).depthwise();
        [kernel].into_iter().chain(self.common.bias(self.filters(&inputs[0]))).collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    /// Windows are no steps of the input: a mask ends here, as in Keras.
    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let windows = self.common.windows(self.kind(), graph.shape(cx.input()))?;
        let y = graph.depthwise_convolution(cx.input(), cx.weight("kernel")?, &windows)?;
        Ok(Outputs::from(self.common.finish(graph, cx, y)?).mask(None))
    }
}
