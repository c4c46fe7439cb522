//! Means of as many windows as are asked for.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value, View, Window};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::windows::{Extents, batch_of_one, kind_of};
use crate::layers::{Context, Layer, Outputs};
use crate::tensor::{Shape, Tensor};

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

/// What each of `windows` windows takes of each of `extent` elements: `[windows, extent]`.
fn shares(windows: usize, extent: usize) -> Result<Tensor> {
    let mut shares = vec![0.0; windows * extent];
    for (i, row) in shares.chunks_exact_mut(extent).enumerate() {
        let (first, end) = (i * extent / windows, ((i + 1) * extent).div_ceil(windows));
        row[first..end].fill(1.0 / (end - first) as f32);
    }
    Tensor::f32([windows, extent], shares)
}

/// The means of `windows` windows along `axis`: a product with their shares.
fn along(graph: &mut Graph, x: Value, axis: usize, windows: usize) -> Result<Value> {
    let dims = graph.shape(x).dims().to_vec();
    let (extent, rest) = (dims[axis], dims[axis + 1..].iter().product());
    let lead = dims[..axis].iter().product();
    let shares = graph.constant_tensor(shares(windows, extent)?)?;
    // One matrix for all.
    let matrix = View::strided([lead, windows, extent], 0, &[0, extent as isize, 1]);
    let means = graph.contract_views((shares, matrix), (x, View::whole([lead, extent, rest])))?;
    graph.reshape(means, [&dims[..axis], &[windows], &dims[axis + 1..]].concat())
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
        if extents.iter().zip(sizes).all(|(extent, n)| extent % n == 0) {
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
