//! Crops.

use super::{SAME, batch_sides, check_sampled, copied, matrices};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs};
use crate::ops::{Affine, FillMode, Interpolation};
use crate::tensor::{Shape, Tensor};
use serde_json::json;

/// Cuts a part of `height` times `width` pixels out of each image at a random place while training. Images are
/// `[height, width, channels]`.
///
/// In evaluation, and from an image that is smaller than the part, it is the largest window in the middle that has the
/// proportions of the part, resized (bilinear) if its size differs. As in Keras' documentation, but for the place, which
/// differs from image to image of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomCrop {
    height: usize,
    width: usize,
}

impl RandomCrop {
    /// A part of this size.
    #[must_use]
    pub const fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }

    /// The largest window in the middle with the proportions of the part.
    fn middle(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let sides = batch_sides(graph, x);
        let part = [self.height, self.width];
        let fitting = |side: usize, other: usize, own: usize, of: usize| {
            (other as u128 * own as u128 / of as u128).clamp(1, side as u128) as usize
        };
        let window = [
            fitting(sides[0], sides[1], part[0], part[1]),
            fitting(sides[1], sides[0], part[1], part[0]),
        ];
        let mut cut = x;
        for axis in 0..2 {
            let start = (sides[axis] - window[axis]) / 2;
            if window[axis] < sides[axis] {
                cut = graph.slice(cut, axis + 1, start..start + window[axis])?;
            }
        }
        if window == part {
            return Ok(cut);
        }
        // Pixel i of the part covers the window from i to i + 1 times their ratio.
        let [y, x] = [0, 1].map(|axis| window[axis] as f32 / part[axis] as f32);
        let batch = graph.shape(cut).dims()[0];
        let resize = [x, 0.0, 0.5 * x - 0.5, 0.0, y, 0.5 * y - 0.5];
        let all = Tensor::f32([batch, 6], resize.repeat(batch))?;
        let all = graph.constant_tensor(all)?;
        let (fill, interpolation) = (FillMode::Nearest, Interpolation::Bilinear);
        let [height, width] = part;
        graph.affine(cut, all, Affine { height, width, fill, value: 0.0.into(), interpolation })
    }
}

impl Settings for RandomCrop {
    fn blank() -> Self {
        Self::new(1, 1)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.only("data_format", &[json!("channels_last")])?;
        fields.required("height", &mut self.height)?;
        fields.required("width", &mut self.width)
    }
}

impl Layer for RandomCrop {
    fn kind(&self) -> &'static str {
        "RandomCrop"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_sampled(self.kind(), &inputs[0])?;
        for (name, side) in [("height", self.height), ("width", self.width)] {
            if !(1..=Affine::LARGEST).contains(&side) {
                let detail = format!("must be at least 1, and at most {}", Affine::LARGEST);
                return Err(Error::parameter(name, side, detail));
            }
        }
        Ok([self.height, self.width, inputs[0].dims()[2]].into())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let x = cx.input();
        let sides = batch_sides(graph, x);
        let part = [self.height, self.width];
        let fits = sides[0] >= part[0] && sides[1] >= part[1];
        let Some(random) = cx.random().filter(|_| fits) else {
            return Ok(self.middle(graph, x)?.into());
        };
        let batch = graph.shape(x).dims()[0];
        let mut terms = Vec::new();
        let axes =
            [("height", [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]), ("width", [0.0, 0.0, 1.0, 0.0, 0.0, 0.0])];
        for (axis, (name, pattern)) in axes.into_iter().enumerate() {
            // The product of a number below 1 may round up to the count of places; the pixels beyond do not exist.
            let last = sides[axis] - part[axis];
            let drawn = random.of(name).uniform(graph, [batch, 1])?;
            let place = graph.scale(drawn, (last + 1) as f32)?;
            let place = graph.unary("floor", place, &[])?;
            let last = graph.constant(last as f32);
            terms.push((graph.binary("minimum", place, last)?, pattern));
        }
        let matrices = matrices(graph, batch, SAME, &terms)?;
        Ok(graph.affine(x, matrices, copied(part, 0.0.into()))?.into())
    }
}
