//! Pooling over all of a sequence, an image or a volume.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::windows::{batch_of_one, kind_of};
use crate::layers::{Context, Layer, Outputs};
use crate::tensor::Shape;

/// A layer that reduces all extents of `[batch, extents.., channels]`.
macro_rules! global {
    ($(#[$doc:meta])* $layer:ident, $one:ident, $two:ident, $three:ident, $build:expr) => {
        $(#[$doc])*
        ///
        /// Input `[batch, extents.., channels]` with N extents, output `[batch, channels]`, or `[batch, 1, .., channels]`
        /// with `keepdims`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $layer<const N: usize> {
            keepdims: bool,
        }

        #[doc = concat!("[`", stringify!($layer), "`] of sequences `[batch, steps, channels]`.")]
        pub type $one = $layer<1>;
        #[doc = concat!("[`", stringify!($layer), "`] of images `[batch, height, width, channels]`.")]
        pub type $two = $layer<2>;
        #[doc = concat!("[`", stringify!($layer), "`] of volumes `[batch, depth, height, width, channels]`.")]
        pub type $three = $layer<3>;

        impl<const N: usize> $layer<N> {
            /// Without `keepdims`.
            #[must_use]
            pub const fn new() -> Self {
                Self { keepdims: false }
            }

            /// Whether the extents stay, as 1.
            #[must_use]
            pub const fn keepdims(mut self, keepdims: bool) -> Self {
                self.keepdims = keepdims;
                self
            }
        }

        impl<const N: usize> Settings for $layer<N> {
            fn blank() -> Self {
                Self::new()
            }

            fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
                fields.field("keepdims", &mut self.keepdims)?;
                fields.channels_last()
            }
        }

        impl<const N: usize> Layer for $layer<N> {
            fn kind(&self) -> &'static str {
                kind_of::<N>([stringify!($one), stringify!($two), stringify!($three)])
            }

            fn keeps_range(&self) -> bool {
                true
            }

            fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
                batch_of_one::<N>(self.kind(), &inputs[0])?;
                let channels = inputs[0].dims()[N];
                Ok(if self.keepdims { [&[1; N][..], &[channels]].concat() } else { vec![channels] }.into())
            }

            fn config(&self) -> Result<serde_json::Value> {
                config_of(self)
            }

            fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
                graph.check(self.kind(), cx.inputs())?;
                let axes: Vec<usize> = (1..=N).collect();
                let build: fn(&mut Graph, &Context, &[usize], bool) -> Result<Value> = $build;
                Ok(Outputs::from(build(graph, cx, &axes, self.keepdims)?).mask(None))
            }
        }
    };
}

global!(
    /// The largest element of each channel. Equal ones share the gradient, as in Keras on each of its backends; of a window
    /// of [`MaxPooling`](crate::layers::MaxPooling) the first has it. Keras' `GlobalMaxPooling`.
    GlobalMaxPooling,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    |graph, cx, axes, keep| graph.max(cx.input(), axes, keep)
);

global!(
    /// The mean of each channel. Keras' `GlobalAveragePooling`: that of sequences leaves out the steps that a mask leaves
    /// out. Of a sample of which no step counts it is 0, where Keras gives NaN.
    GlobalAveragePooling,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    |graph, cx, axes, keep| {
        let Some(mask) = cx.mask().filter(|_| axes.len() == 1) else {
            return graph.mean(cx.input(), axes, keep);
        };
        let dims = graph.shape(mask).dims().to_vec();
        let mask = graph.reshape(mask, [dims[0], dims[1], 1])?;
        let zero = graph.constant(0.0);
        let counts = graph.binary("greater", mask, zero)?;
        let x = graph.select(counts, cx.input(), zero)?;
        let (sum, steps) = (graph.sum(x, axes, keep)?, graph.sum(counts, axes, keep)?);
        let one = graph.constant(1.0);
        let steps = graph.binary("maximum", steps, one)?;
        graph.div(sum, steps)
    }
);
