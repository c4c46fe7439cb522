//! Means of as many windows as are asked for.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value, Window};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::windows::{Extents, batch_of_one, kind_of};
use crate::layers::{Context, Layer, Outputs};
use crate::ops::{Band, Bands};
use crate::tensor::Shape;

/// Elements of a window up to which one kernel takes all axes at once; larger ones go axis by axis, whose long sums are
/// divided. Two numbers for each element of an axis at most are looped over: below the loop limit of software Vulkan.
const ELEMENTS: usize = 16_384;

/// Means of `output_size` windows along each axis, for each channel, whatever the input's size. Keras'
/// `AdaptiveAveragePooling`.
///
/// Input `[batch, extents.., channels]` with N extents, output `[batch, output_size.., channels]`. Window i of n over m
/// elements is from floor(i m / n) to ceil((i + 1) m / n): the rule of PyTorch.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([13, 17, 8]).add(AdaptiveAveragePooling2D::new([4, 5])).build()?;
/// assert_eq!(model.output_shapes(), [Shape::from([4, 5, 8])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveAveragePooling<const N: usize> {
    output_size: Extents<N>,
}

/// [`AdaptiveAveragePooling`] of sequences `[batch, steps, channels]`.
pub type AdaptiveAveragePooling1D = AdaptiveAveragePooling<1>;
/// [`AdaptiveAveragePooling`] of images `[batch, height, width, channels]`.
pub type AdaptiveAveragePooling2D = AdaptiveAveragePooling<2>;
/// [`AdaptiveAveragePooling`] of volumes `[batch, depth, height, width, channels]`.
pub type AdaptiveAveragePooling3D = AdaptiveAveragePooling<3>;

impl<const N: usize> AdaptiveAveragePooling<N> {
    /// As many windows along each axis, one number for all axes or one for each.
    #[must_use]
    pub fn new(output_size: impl Into<Extents<N>>) -> Self {
        Self { output_size: output_size.into() }
    }
}

/// The means of `windows` windows along `axis`.
fn along(graph: &mut Graph, x: Value, axis: usize, windows: usize) -> Result<Value> {
    let from = graph.shape(x).dims()[axis];
    let band = |i: usize| {
        let (first, end) = (i * from / windows, ((i + 1) * from).div_ceil(windows));
        Band::new(first, &vec![1.0 / (end - first) as f32; end - first])
    };
    let bands: Vec<Band> = (0..windows).map(band).collect();
    graph.bands(x, axis, &Bands { from, bands: bands.into() })
}

impl<const N: usize> Settings for AdaptiveAveragePooling<N> {
    fn blank() -> Self {
        Self::new(1)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("output_size", &mut self.output_size)?;
        fields.channels_last()
    }
}

impl<const N: usize> Layer for AdaptiveAveragePooling<N> {
    fn kind(&self) -> &'static str {
        kind_of::<N>([
            "AdaptiveAveragePooling1D",
            "AdaptiveAveragePooling2D",
            "AdaptiveAveragePooling3D",
        ])
    }

    fn keeps_range(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let sizes = self.output_size.0;
        if sizes.contains(&0) {
            let detail = "each is 1 or more: as many windows along each axis";
            return Err(Error::parameter("output_size", format!("{sizes:?}"), detail));
        }
        batch_of_one::<N>(self.kind(), &inputs[0])?;
        Ok([&sizes[..], &inputs[0].dims()[N..]].concat().into())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let mut x = cx.input();
        let extents = graph.shape(x).dims()[1..=N].to_vec();
        let sizes = self.output_size.0;
        // Windows side by side, all alike.
        let elements: usize = extents.iter().zip(sizes).map(|(extent, n)| extent / n).product();
        let alike = extents.iter().zip(sizes).all(|(extent, n)| extent % n == 0);
        if alike && elements <= ELEMENTS {
            let window = |(extent, n)| Window { stride: extent / n, ..Window::of(extent / n) };
            let windows: Vec<Window> = extents.into_iter().zip(sizes).map(window).collect();
            return Ok(Outputs::from(graph.average_pool(x, &windows, false)?).mask(None));
        }
        for (axis, (extent, windows)) in extents.into_iter().zip(sizes).enumerate() {
            if extent != windows {
                x = along(graph, x, axis + 1, windows)?;
            }
        }
        Ok(Outputs::from(x).mask(None))
    }
}
