//! Pooling by windows that slide.

use crate::error::{Error, Result};
use crate::graph::{Graph, Op, TensorType, Window};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::windows::{Extents, Padding, Sizes, batch_of_one, kind_of};
use crate::layers::{Context, Layer, Outputs};
use crate::ops::{Pool, PoolKind};
use crate::tensor::Shape;

/// How windows slide: what both layers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sliding<const N: usize> {
    pool_size: Extents<N>,
    strides: Option<Extents<N>>,
    padding: Padding,
}

impl<const N: usize> Sliding<N> {
    fn new(pool_size: Extents<N>) -> Self {
        Self { pool_size, strides: None, padding: Padding::Valid }
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("pool_size", &mut self.pool_size)?;
        fields.field("strides", &mut self.strides)?;
        fields.field("padding", &mut self.padding)?;
        fields.channels_last()
    }

    fn windows(&self, kind: &str, input: &Shape) -> Result<Vec<Window>> {
        if self.padding == Padding::Causal {
            let detail =
                "pooling has none; use Explicit with the numbers before and after each axis";
            return Err(Error::parameter("padding", "causal", detail));
        }
        let (taps, strides) = (self.pool_size.0, self.strides.unwrap_or(self.pool_size).0);
        let sizes = Sizes { taps, strides, dilation: [1; N] };
        sizes.windows(kind, "pool_size", &self.padding, input)
    }

    /// The shape of one sample of the output.
    fn output(&self, kind: &str, of: PoolKind, sample: &Shape) -> Result<Shape> {
        let batch = batch_of_one::<N>(kind, sample)?;
        let pool = Pool { kind: of, windows: self.windows(kind, &batch)? };
        Ok(pool.infer(&[&TensorType::f32(batch)])?[0].shape.dims()[1..].into())
    }
}

/// What both layers have.
macro_rules! windowed {
    ($layer:ident, $names:expr, $kind:expr, $build:expr, $more:expr) => {
        impl<const N: usize> $layer<N> {
            /// Elements from one window to the next, one number for all axes or one for each: `pool_size` unless it is
            /// given.
            #[must_use]
            pub fn strides(mut self, strides: impl Into<Extents<N>>) -> Self {
                self.sliding.strides = Some(strides.into());
                self
            }

            /// What is around the input: [`Padding::Valid`] by default.
            #[must_use]
            pub fn padding(mut self, padding: Padding) -> Self {
                self.sliding.padding = padding;
                self
            }
        }

        impl<const N: usize> Settings for $layer<N> {
            fn blank() -> Self {
                Self::new(2)
            }

            fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
                self.sliding.settings(fields)?;
                let more: fn(&mut Self, &mut Fields<'_>) -> Result<()> = $more;
                more(self, fields)
            }
        }

        impl<const N: usize> Layer for $layer<N> {
            fn kind(&self) -> &'static str {
                kind_of::<N>($names)
            }

            fn keeps_range(&self) -> bool {
                true
            }

            fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
                let kind: fn(&Self) -> PoolKind = $kind;
                self.sliding.output(self.kind(), kind(self), &inputs[0])
            }

            fn config(&self) -> Result<serde_json::Value> {
                config_of(self)
            }

            fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
                graph.check(self.kind(), cx.inputs())?;
                let windows = self.sliding.windows(self.kind(), graph.shape(cx.input()))?;
                let build: fn(&Self, &mut Graph, _, &[Window]) -> Result<_> = $build;
                Ok(Outputs::from(build(self, graph, cx.input(), &windows)?).mask(None))
            }
        }
    };
}

/// The largest element of each window, for each channel. Keras' `MaxPooling`.
///
/// Input `[batch, extents.., channels]` with N extents, output `[batch, windows.., channels]`. Padding never wins; the first
/// of equal elements takes the gradient; a window with NaN gives NaN.
///
/// ```
/// use wgrad::prelude::*;
///
/// // 28 by 28 becomes 14 by 14.
/// let model = Sequential::new([28, 28, 3]).add(MaxPooling2D::new(2)).build()?;
/// assert_eq!(model.output_shapes(), [Shape::from([14, 14, 3])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxPooling<const N: usize> {
    sliding: Sliding<N>,
}

/// [`MaxPooling`] of sequences `[batch, steps, channels]`.
pub type MaxPooling1D = MaxPooling<1>;
/// [`MaxPooling`] of images `[batch, height, width, channels]`.
pub type MaxPooling2D = MaxPooling<2>;
/// [`MaxPooling`] of volumes `[batch, depth, height, width, channels]`.
pub type MaxPooling3D = MaxPooling<3>;

impl<const N: usize> MaxPooling<N> {
    /// Windows of `pool_size`, one number for all axes or one for each, side by side, without padding.
    #[must_use]
    pub fn new(pool_size: impl Into<Extents<N>>) -> Self {
        Self { sliding: Sliding::new(pool_size.into()) }
    }
}

/// Windows of 2 along each axis.
impl<const N: usize> Default for MaxPooling<N> {
    fn default() -> Self {
        Self::new(2)
    }
}

windowed!(
    MaxPooling,
    ["MaxPooling1D", "MaxPooling2D", "MaxPooling3D"],
    |_| PoolKind::Max,
    |_, graph, x, windows| graph.max_pool(x, windows),
    |_, _| Ok(())
);

/// The mean of each window, for each channel. Keras' `AveragePooling`.
///
/// Input `[batch, extents.., channels]` with N extents, output `[batch, windows.., channels]`. Padding does not count,
/// unless [`AveragePooling::count_include_pad`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AveragePooling<const N: usize> {
    sliding: Sliding<N>,
    count_include_pad: bool,
}

/// [`AveragePooling`] of sequences `[batch, steps, channels]`.
pub type AveragePooling1D = AveragePooling<1>;
/// [`AveragePooling`] of images `[batch, height, width, channels]`.
pub type AveragePooling2D = AveragePooling<2>;
/// [`AveragePooling`] of volumes `[batch, depth, height, width, channels]`.
pub type AveragePooling3D = AveragePooling<3>;

impl<const N: usize> AveragePooling<N> {
    /// Windows of `pool_size`, one number for all axes or one for each, side by side, without padding.
    #[must_use]
    pub fn new(pool_size: impl Into<Extents<N>>) -> Self {
        Self { sliding: Sliding::new(pool_size.into()), count_include_pad: false }
    }

    /// Whether padding counts as zeros, as in PyTorch unless it is told otherwise. In Keras it does not, as here.
    #[must_use]
    pub const fn count_include_pad(mut self, count_include_pad: bool) -> Self {
        self.count_include_pad = count_include_pad;
        self
    }
}

windowed!(
    AveragePooling,
    ["AveragePooling1D", "AveragePooling2D", "AveragePooling3D"],
    |layer| PoolKind::Average { count_padding: layer.count_include_pad },
    |layer, graph, x, windows| graph.average_pool(x, windows, layer.count_include_pad),
    |layer, fields| fields.field("count_include_pad", &mut layer.count_include_pad)
);
