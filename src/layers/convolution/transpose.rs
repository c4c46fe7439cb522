//! Transposed convolution.

use super::{Common, at_least_one, batch_of_one, channels_of, common_setters, kind_of};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, Window};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::rules::{KERNEL, Rules, rule_setters};
use crate::layers::windows::{Extents, Padding, check_each};
use crate::layers::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::tensor::{Initializer, Shape};

/// A transposed convolution along N axes, the linear map of the gradient of a convolution: Keras' `Conv1DTranspose`,
/// `Conv2DTranspose` and `Conv3DTranspose`.
///
/// Input `[batch, extents.., channels]`, output `[batch, larger extents.., filters]`. `kernel` is `[taps.., filters,
/// channels]`, `bias` `[filters]`. With k = (kernel_size - 1) · dilation_rate + 1, an extent n becomes
///
/// | padding | without `output_padding` | with it |
/// |---|---|---|
/// | `Valid` | (n - 1) · stride + max(k, stride) | (n - 1) · stride + k + output_padding |
/// | `Same` | n · stride | (n - 1) · stride + k mod 2 + output_padding |
/// | `Explicit([a, b])` | (n - 1) · stride + k - a - b | (n - 1) · stride + k - a - b + output_padding |
///
/// as in Keras; explicit padding is PyTorch's.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([7, 7, 64])
///     .add(Conv2DTranspose::new(32, 3).strides(2).padding(Padding::Same).activation(Activation::Relu))
///     .build()?;
/// assert_eq!(model.output_shapes(), [Shape::from([14, 14, 32])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ConvTranspose<const N: usize> {
    filters: usize,
    output_padding: Option<Extents<N>>,
    common: Common<N>,
    kernel: Rules,
}

/// A transposed convolution of sequences `[batch, steps, channels]`; see [`ConvTranspose`].
pub type Conv1DTranspose = ConvTranspose<1>;
/// A transposed convolution of images `[batch, height, width, channels]`; see [`ConvTranspose`].
pub type Conv2DTranspose = ConvTranspose<2>;
/// A transposed convolution of volumes `[batch, depth, height, width, channels]`; see [`ConvTranspose`].
pub type Conv3DTranspose = ConvTranspose<3>;

impl<const N: usize> ConvTranspose<N> {
    /// A layer of `filters` with windows of `kernel_size`, one number for all axes or one for each: strides 1, no
    /// padding, linear, Glorot-uniform kernel, zero bias.
    #[must_use]
    pub fn new(filters: usize, kernel_size: impl Into<Extents<N>>) -> Self {
        let kernel = Rules::new(Initializer::GlorotUniform);
        Self { filters, output_padding: None, common: Common::new(kernel_size.into()), kernel }
    }

    /// Elements more at the end of the output, fewer than the stride; with a stride, several extents have the same
    /// number of windows, and this chooses one.
    #[must_use]
    pub fn output_padding(mut self, output_padding: impl Into<Extents<N>>) -> Self {
        self.output_padding = Some(output_padding.into());
        self
    }

    /// Refuses strides beside dilation, as Keras does.
    fn one_of_strides_and_dilation(&self) -> Result<()> {
        let (strides, dilation) = (self.common.strides.0, self.common.dilation_rate.0);
        if strides.iter().any(|&s| s > 1) && dilation.iter().any(|&d| d > 1) {
            let detail = format!(
                "the layer has strides {strides:?} too, and as in Keras only one of them may be above 1; set the \
                 other to 1, or use UpSampling and a convolution"
            );
            return Err(Error::parameter("dilation_rate", format!("{dilation:?}"), detail));
        }
        Ok(())
    }

    /// The windows over the output, and the output's extents: as many windows as the input, `[batch, extents..,
    /// channels]`, has elements.
    fn slide(&self, input: &Shape) -> Result<(Vec<Window>, Vec<usize>)> {
        let (common, mut windows, mut extents) = (&self.common, Vec::new(), Vec::new());
        for (name, sizes) in [
            ("kernel_size", common.kernel_size),
            ("strides", common.strides),
            ("dilation_rate", common.dilation_rate),
        ] {
            check_each(name, sizes.0)?;
        }
        for d in 0..N {
            let (n, taps) = (input.dims()[d + 1], common.kernel_size.0[d]);
            let (stride, dilation) = (common.strides.0[d], common.dilation_rate.0[d]);
            let more = self.output_padding.map(|padding| padding.0[d]);
            if let Some(more) = more.filter(|&more| more >= stride) {
                let detail = format!("along axis {} it must be below the stride {stride}", d + 1);
                return Err(Error::parameter("output_padding", more, detail));
            }
            let found = extent(n, [taps, stride, dilation], self.sides(d)?, more);
            let Some((window, extent)) = found else {
                let detail = format!(
                    "axis {} of {n} elements gives no output with {taps} taps, stride {stride}, dilation {dilation} \
                     and padding {:?}; use less padding or other sizes",
                    d + 1,
                    common.padding
                );
                return Err(Error::shape(self.kind(), &[input], detail));
            };
            windows.push(window);
            extents.push(extent);
        }
        Ok((windows, extents))
    }

    /// The rule of padding along axis `d`.
    fn sides(&self, d: usize) -> Result<Sides> {
        match &self.common.padding {
            Padding::Valid => Ok(Sides::Valid),
            Padding::Same => Ok(Sides::Same),
            Padding::Causal => {
                let detail = "a transposed convolution has valid, same or explicit padding";
                Err(Error::parameter("padding", "causal", detail))
            }
            Padding::Explicit(sides) if sides.len() == N => Ok(Sides::Explicit(sides[d])),
            Padding::Explicit(sides) => {
                let detail = format!("there are {N} spatial axes; give two numbers for each");
                Err(Error::parameter("padding", format!("{sides:?}"), detail))
            }
        }
    }
}

/// Padding along one axis.
#[derive(Debug, Clone, Copy)]
enum Sides {
    Valid,
    Same,
    Explicit([usize; 2]),
}

/// The window over an output whose windows are `n` elements, and the output's extent; `None` if there is no such.
///
/// The extents are those of Keras' `compute_conv_transpose_output_shape`, and what is before the first element follows
/// from its padding for JAX, with which all of its backends agree.
fn extent(
    n: usize,
    [taps, stride, dilation]: [usize; 3],
    sides: Sides,
    more: Option<usize>,
) -> Option<(Window, usize)> {
    let reach = (taps - 1).checked_mul(dilation)?.checked_add(1)?;
    let full = (n.checked_sub(1)?).checked_mul(stride)?.checked_add(reach)?;
    let (before, extent) = match sides {
        Sides::Valid => {
            (0, full.checked_add(more.unwrap_or_else(|| stride.saturating_sub(reach)))?)
        }
        Sides::Same => {
            let padded = match more {
                None => stride.checked_add(reach)? - 2,
                Some(more) => reach.checked_add(reach % 2)?.checked_add(more)? - 2,
            };
            let left = padded.div_ceil(2).min(reach - 1);
            // full + padded + 2 - 2 · reach, of which full is at least one reach.
            let rest = (full - reach).checked_add(padded)?.checked_add(2)?;
            (reach - 1 - left, rest.checked_sub(reach)?)
        }
        Sides::Explicit([before, after]) => {
            let all = full.checked_add(more.unwrap_or(0))?;
            (before, all.checked_sub(before)?.checked_sub(after)?)
        }
    };
    let after = full.saturating_sub(extent.checked_add(before)?);
    let window = Window { taps, stride, dilation, before, after };
    (window.count(extent) == Some(n)).then_some((window, extent))
}

common_setters!(ConvTranspose);
rule_setters!(
    [const N: usize] ConvTranspose<N>,
    kernel,
    "the kernel",
    kernel_initializer,
    kernel_regularizer,
    kernel_constraint
);

impl<const N: usize> Settings for ConvTranspose<N> {
    fn blank() -> Self {
        Self::new(0, 1)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("filters", &mut self.filters)?;
        fields.field("output_padding", &mut self.output_padding)?;
        self.common.settings(fields)?;
        self.kernel.settings(fields, KERNEL)
    }
}

impl<const N: usize> Layer for ConvTranspose<N> {
    fn kind(&self) -> &'static str {
        kind_of::<N>(["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"])
    }

    fn activation(&self) -> Option<Activation> {
        Some(self.common.activation)
    }

    fn activity_regularizer(&self) -> Regularizer {
        self.common.activity_regularizer
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        at_least_one("filters", self.filters)?;
        self.common.activation.check()?;
        self.one_of_strides_and_dilation()?;
        let (_, mut dims) = self.slide(&batch_of_one::<N>(self.kind(), &inputs[0])?)?;
        dims.push(self.filters);
        Ok(dims.into())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape = self.common.kernel([self.filters, channels_of(&inputs[0])]);
        let kernel = self.kernel.spec("kernel", shape);
        [kernel].into_iter().chain(self.common.bias(self.filters)).collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    /// The output has other steps than the input: a mask ends here, as in Keras.
    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let (windows, extents) = self.slide(graph.shape(cx.input()))?;
        let kernel = cx.weight("kernel")?;
        let y = graph.convolution_transpose(cx.input(), kernel, &windows, 1, &extents)?;
        Ok(Outputs::from(self.common.finish(graph, cx, y)?).mask(None))
    }
}

#[cfg(test)]
mod tests {
    use super::{Sides, extent};

    /// Each row is what Keras 3.15.1 gives on its JAX backend: the output's extent.
    #[test]
    fn extents_are_those_of_keras() {
        for (n, [taps, stride, dilation], same, more, want) in [
            (5, [3, 2, 1], false, None, 11),
            (5, [3, 2, 1], true, None, 10),
            (5, [3, 2, 1], true, Some(1), 10),
            (5, [3, 2, 1], true, Some(0), 9),
            (5, [4, 2, 1], true, Some(1), 9),
            (4, [2, 3, 1], false, None, 12),
            (4, [2, 3, 1], false, Some(0), 11),
            (4, [3, 1, 2], false, None, 8),
            (4, [3, 1, 2], true, None, 4),
            (1, [1, 1, 1], true, None, 1),
            (3, [1, 3, 1], true, None, 9),
        ] {
            let sides = if same { Sides::Same } else { Sides::Valid };
            let (window, extent) = extent(n, [taps, stride, dilation], sides, more).expect("fits");
            assert_eq!(extent, want, "{n} {taps} {stride} {dilation} {same} {more:?}");
            assert_eq!(window.count(extent), Some(n));
        }
        assert!(extent(2, [3, 1, 1], Sides::Explicit([3, 3]), None).is_none());
    }
}
