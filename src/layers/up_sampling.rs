//! Images with more elements along each axis.

use super::config::{Fields, Settings, config_of};
use super::windows::check_images;
use super::{Context, Extents, Interpolation, Layer, Outputs};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::Shape;

/// Images `[batch, extents.., channels]` with `size` times as many elements along each spatial axis, 2 by default.
/// Keras' `UpSampling1D`, `UpSampling2D` and `UpSampling3D`: N is the number of spatial axes.
///
/// Each element is repeated: what reads the result reads the image itself through a view, if it can.
/// [`UpSampling2D::interpolation`] goes from one element to the next evenly.
///
/// ```
/// use wgrad::prelude::*;
///
/// let larger = Sequential::new([7, 7, 64]).add(UpSampling2D::new((2, 3))).build()?;
/// assert_eq!(larger.output_shapes(), [Shape::from([14, 21, 64])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpSampling<const N: usize> {
    size: Extents<N>,
    interpolation: Interpolation,
}

/// Each step of `[batch, steps, channels]`, several times.
pub type UpSampling1D = UpSampling<1>;
/// Images `[batch, height, width, channels]` with more rows and columns.
pub type UpSampling2D = UpSampling<2>;
/// Volumes `[batch, depth, height, width, channels]` with more elements along each axis.
pub type UpSampling3D = UpSampling<3>;

/// Twice as many elements along each axis.
impl<const N: usize> Default for UpSampling<N> {
    fn default() -> Self {
        Self::new(2)
    }
}

impl<const N: usize> UpSampling<N> {
    /// One factor for all axes, or one for each.
    #[must_use]
    pub fn new(size: impl Into<Extents<N>>) -> Self {
        Self { size: size.into(), interpolation: Interpolation::Nearest }
    }
}

impl UpSampling<2> {
    /// How the new elements follow from the old ones: [`Interpolation::Nearest`] by default.
    #[must_use]
    pub const fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.interpolation = interpolation;
        self
    }
}

impl<const N: usize> Settings for UpSampling<N> {
    fn blank() -> Self {
        Self::default()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        // Keras has no such setting in 1-D.
        if N > 1 {
            fields.channels_last()?;
        }
        match N {
            2 => fields.field("interpolation", &mut self.interpolation)?,
            _ => fields.only("interpolation", &["nearest".into()])?,
        }
        // Keras has one number in 1-D, and a list otherwise.
        match N {
            1 => fields.field("size", &mut self.size.0[0]),
            _ => fields.field("size", &mut self.size),
        }
    }
}

impl<const N: usize> Layer for UpSampling<N> {
    fn kind(&self) -> &'static str {
        ["UpSampling1D", "UpSampling2D", "UpSampling3D"][N - 1]
    }

    fn keeps_range(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_images::<N>(self.kind(), &inputs[0])?;
        if self.size.0.contains(&0) {
            let detail = "each is 1 or more";
            return Err(Error::parameter("size", format!("{:?}", self.size.0), detail));
        }
        let mut dims = inputs[0].dims().to_vec();
        dims.iter_mut().zip(self.size.0).for_each(|(d, size)| *d = d.saturating_mul(size));
        Ok(dims.into())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let dims = graph.shape(cx.input()).dims().to_vec();
        let mut to = dims.clone();
        to[1..=N].iter_mut().zip(self.size.0).for_each(|(d, size)| *d *= size);
        let mut y = cx.input();
        if self.interpolation == Interpolation::Nearest {
            // [batch, h, 1, w, 1, channels] is repeated along the axes of 1.
            let (mut apart, mut repeated) = (vec![dims[0]], vec![dims[0]]);
            for (&extent, size) in dims[1..=N].iter().zip(self.size.0) {
                apart.extend([extent, 1]);
                repeated.extend([extent, size]);
            }
            apart.push(dims[N + 1]);
            repeated.push(dims[N + 1]);
            y = graph.reshape(y, apart)?;
            y = graph.broadcast_to(y, repeated)?;
            y = graph.reshape(y, to)?;
        } else {
            for (axis, &extent) in to.iter().enumerate().take(N + 1).skip(1) {
                y = self.interpolation.resize(graph, y, axis, extent)?;
            }
        }
        Ok(Outputs::from(y).mask(None))
    }
}
