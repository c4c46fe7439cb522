//! Dropout of whole channels.

use super::config::{Fields, Settings, config_of};
use super::windows::check_images;
use super::{Context, Layer, Outputs};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::Shape;

/// Dropout of whole channels of images `[batch, extents.., channels]`: while training each channel of each image is zero
/// with probability `rate`, and all others are multiplied by 1 / (1 - rate); otherwise the identity. Tompson et al.,
/// "Efficient object localization using convolutional networks", 2015. Keras' `SpatialDropout1D`, `SpatialDropout2D` and
/// `SpatialDropout3D`: N is the number of spatial axes.
///
/// Neighbouring pixels are alike, so [`Dropout`](super::Dropout) takes little from an image. The mask is a function of
/// (seed, layer, step, image and channel), as there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpatialDropout<const N: usize> {
    rate: f32,
}

/// Dropout of whole channels of `[batch, steps, channels]`.
pub type SpatialDropout1D = SpatialDropout<1>;
/// Dropout of whole channels of `[batch, height, width, channels]`.
pub type SpatialDropout2D = SpatialDropout<2>;
/// Dropout of whole channels of `[batch, depth, height, width, channels]`.
pub type SpatialDropout3D = SpatialDropout<3>;

impl<const N: usize> SpatialDropout<N> {
    /// Drops each channel with probability `rate`, in [0, 1).
    #[must_use]
    pub const fn new(rate: f32) -> Self {
        Self { rate }
    }
}

impl<const N: usize> Settings for SpatialDropout<N> {
    fn blank() -> Self {
        Self::new(0.0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        // Keras has no such setting in 1-D.
        if N > 1 {
            fields.channels_last()?;
        }
        fields.required("rate", &mut self.rate)
    }
}

impl<const N: usize> Layer for SpatialDropout<N> {
    fn kind(&self) -> &'static str {
        ["SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"][N - 1]
    }

    fn keeps_range(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if !(0.0..1.0).contains(&self.rate) {
            return Err(Error::parameter("rate", self.rate, "a dropout rate lies in [0, 1)"));
        }
        check_images::<N>(self.kind(), &inputs[0])?;
        Ok(inputs[0].clone())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let x = cx.input();
        let Some(random) = cx.random().filter(|_| self.rate > 0.0) else { return Ok(x.into()) };
        let mut shape = graph.shape(x).dims().to_vec();
        shape[1..=N].fill(1);
        let drawn = random.uniform(graph, shape)?;
        let rate = graph.constant(self.rate);
        let kept = graph.binary("greater_equal", drawn, rate)?;
        let mask = graph.scale(kept, 1.0 / (1.0 - self.rate))?;
        Ok(graph.mul(x, mask)?.into())
    }
}
