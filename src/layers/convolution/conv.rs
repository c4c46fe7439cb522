//! Convolution.

use super::{Common, at_least_one, batch_of_one, channels_of, common_setters, kind_of, sample_of};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::rules::{KERNEL, Rules, rule_setters};
use crate::layers::windows::{Extents, Padding, slid};
use crate::layers::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::tensor::{Initializer, Shape};

/// A convolution along N axes: Keras' `Conv1D`, `Conv2D` and `Conv3D`.
///
/// Input `[batch, extents.., channels]`, output `[batch, windows.., filters]`, activation(Σ over taps and channels of
/// x · kernel + bias). `kernel` is `[taps.., channels / groups, filters]`, `bias` `[filters]`. Channels are last, as
/// Keras' `channels_last`. A group of filters sees one group of channels. Strides and dilation may
/// both be above 1, as in PyTorch; Keras refuses that.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([28, 28, 1])
///     .add(Conv2D::new(32, 3).activation(Activation::Relu))
///     .add(Conv2D::new(64, (3, 5)).strides(2).padding(Padding::Same))
///     .build()?;
/// assert_eq!(model.output_shapes(), [Shape::from([13, 13, 64])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Conv<const N: usize> {
    filters: usize,
    groups: usize,
    common: Common<N>,
    kernel: Rules,
}

/// A convolution of sequences `[batch, steps, channels]`; see [`Conv`].
pub type Conv1D = Conv<1>;
/// A convolution of images `[batch, height, width, channels]`; see [`Conv`].
pub type Conv2D = Conv<2>;
/// A convolution of volumes `[batch, depth, height, width, channels]`; see [`Conv`].
pub type Conv3D = Conv<3>;

impl<const N: usize> Conv<N> {
    /// A layer of `filters` with windows of `kernel_size`, one number for all axes or one for each: strides 1, no
    /// padding, linear, Glorot-uniform kernel, zero bias.
    #[must_use]
    pub fn new(filters: usize, kernel_size: impl Into<Extents<N>>) -> Self {
        let kernel = Rules::new(Initializer::GlorotUniform);
        Self { filters, groups: 1, common: Common::new(kernel_size.into()), kernel }
    }

    /// In how many groups the channels and the filters are divided; both are multiples of it.
    #[must_use]
    pub const fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }
}

common_setters!(Conv);
rule_setters!(
    [const N: usize] Conv<N>, kernel, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint);

impl<const N: usize> Settings for Conv<N> {
    fn blank() -> Self {
        Self::new(0, 1)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("filters", &mut self.filters)?;
        fields.field("groups", &mut self.groups)?;
        self.common.settings(fields)?;
        self.kernel.settings(fields, KERNEL)
    }
}

impl<const N: usize> Layer for Conv<N> {
    fn kind(&self) -> &'static str {
        kind_of::<N>(["Conv1D", "Conv2D", "Conv3D"])
    }

    fn activation(&self) -> Option<Activation> {
        Some(self.common.activation)
    }

    fn activity_regularizer(&self) -> Regularizer {
        self.common.activity_regularizer
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        at_least_one("filters", self.filters)?;
        at_least_one("groups", self.groups)?;
        self.common.activation.check()?;
        let input = batch_of_one::<N>(self.kind(), &inputs[0])?;
        let channels = channels_of(&input);
        let whole = |count: usize| count.is_multiple_of(self.groups);
        if !whole(channels) || !whole(self.filters) {
            let detail = format!(
                "{channels} channels and {} filters are not both multiples of it; choose a divisor of both",
                self.filters
            );
            return Err(Error::parameter("groups", self.groups, detail));
        }
        let windows = self.common.windows(self.kind(), &input)?;
        Ok(sample_of(&slid(&input, &windows, self.filters)))
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let channels = channels_of(&inputs[0]) / self.groups;
        let kernel = self.kernel.spec("kernel", self.common.kernel([channels, self.filters]));
        [kernel].into_iter().chain(self.common.bias(self.filters)).collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    /// Windows are no steps of the input: a mask ends here, as in Keras.
    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let windows = self.common.windows(self.kind(), graph.shape(cx.input()))?;
        let y = graph.convolution(cx.input(), cx.weight("kernel")?, &windows, self.groups)?;
        Ok(Outputs::from(self.common.finish(graph, cx, y)?).mask(None))
    }
}
