//! How windows slide over images: kernel size, strides, dilation and padding, as one `Window` for each axis.

use super::config::{Reading, Setting};
use crate::error::{Error, Result};
use crate::graph::Window;
use crate::tensor::Shape;
use serde_json::{Value, json};

/// A number for each spatial axis: one number serves all axes.
///
/// ```
/// use wgrad::layers::Extents;
///
/// assert_eq!(Extents::<2>::from(3), Extents::from([3, 3]));
/// assert_eq!(Extents::from((3, 5)), Extents::from([3, 5]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extents<const N: usize>(pub [usize; N]);

impl<const N: usize> From<usize> for Extents<N> {
    fn from(all: usize) -> Self {
        Self([all; N])
    }
}

impl<const N: usize> From<[usize; N]> for Extents<N> {
    fn from(each: [usize; N]) -> Self {
        Self(each)
    }
}

impl From<(usize, usize)> for Extents<2> {
    fn from((a, b): (usize, usize)) -> Self {
        Self([a, b])
    }
}

impl From<(usize, usize, usize)> for Extents<3> {
    fn from((a, b, c): (usize, usize, usize)) -> Self {
        Self([a, b, c])
    }
}

/// A list as long as there are axes, or one number for all, as Keras has them.
impl<const N: usize> Setting for Extents<N> {
    fn write(&self) -> Result<Value> {
        self.0.to_vec().write()
    }

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String> {
        let list = Vec::<usize>::read(value, reading)?;
        match list.as_slice() {
            [all] => Ok(Self([*all; N])),
            each => <[usize; N]>::try_from(each)
                .map(Self)
                .map_err(|_| format!("has {} numbers; one or {N} are expected", each.len())),
        }
    }
}

/// What lies around the input of a convolution or pooling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Padding {
    /// Nothing: every window is inside.
    #[default]
    Valid,
    /// As many zeros as give `ceil(extent / stride)` windows. If their number is odd, the end gets one more, as in Keras.
    Same,
    /// Zeros before the first element alone, so that a window ends at its own element. For one axis.
    Causal,
    /// Zeros before and after each axis, as PyTorch's `padding`, which is equal on both sides.
    Explicit(Vec<[usize; 2]>),
}

impl Setting for Padding {
    fn write(&self) -> Result<Value> {
        Ok(match self {
            Self::Valid => "valid".into(),
            Self::Same => "same".into(),
            Self::Causal => "causal".into(),
            Self::Explicit(sides) => json!(sides),
        })
    }

    fn read(value: &Value, _: &Reading<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some("valid") => Ok(Self::Valid),
            Some("same") => Ok(Self::Same),
            Some("causal") => Ok(Self::Causal),
            Some(word) => Err(format!("is \"{word}\"; valid, same or causal is expected")),
            None => serde_json::from_value(value.clone()).map(Self::Explicit).map_err(|_| {
                format!("is {value}; a word or two numbers for each axis are expected")
            }),
        }
    }
}

impl Padding {
    /// Zeros before and after `extent` elements along axis `axis`.
    fn sides(
        &self,
        axis: usize,
        extent: usize,
        taps: usize,
        stride: usize,
        dilation: usize,
    ) -> [usize; 2] {
        let reach = taps.saturating_sub(1).saturating_mul(dilation);
        match self {
            Self::Valid => [0, 0],
            Self::Same => {
                let last = (extent.div_ceil(stride) - 1).saturating_mul(stride);
                let total = last.saturating_add(reach).saturating_add(1).saturating_sub(extent);
                [total / 2, total - total / 2]
            }
            Self::Causal => [reach, 0],
            Self::Explicit(sides) => sides[axis],
        }
    }
}

/// Sizes of windows along each of N axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes<const N: usize> {
    /// The elements of a window; `kernel_size` or `pool_size` in messages.
    pub taps: [usize; N],
    pub strides: [usize; N],
    pub dilation: [usize; N],
}

impl<const N: usize> Sizes<N> {
    /// The windows over an input `[batch, extents.., channels]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the input has another rank or is smaller than a window; [`Error::Parameter`] for a zero, named
    /// by `size` if it is one of the taps, and for padding that does not suit the axes.
    pub fn windows(
        &self,
        layer: &str,
        size: &str,
        padding: &Padding,
        input: &Shape,
    ) -> Result<Vec<Window>> {
        spatial::<N>(layer, input)?;
        let extents = &input.dims()[1..=N];
        for (name, sizes) in
            [(size, self.taps), ("strides", self.strides), ("dilation_rate", self.dilation)]
        {
            check_each(name, sizes)?;
        }
        match padding {
            Padding::Causal if N != 1 => {
                let detail = format!("it needs one spatial axis, and {layer} has {N}; use Same");
                return Err(Error::parameter("padding", "causal", detail));
            }
            Padding::Explicit(sides) if sides.len() != N => {
                let detail = format!("{layer} has {N} spatial axes; give two numbers for each");
                return Err(Error::parameter("padding", format!("{sides:?}"), detail));
            }
            _ => {}
        }
        let mut windows = Vec::new();
        for (d, &extent) in extents.iter().enumerate() {
            let (taps, stride, dilation) = (self.taps[d], self.strides[d], self.dilation[d]);
            let [before, after] = padding.sides(d, extent, taps, stride, dilation);
            let window = Window { taps, stride, dilation, before, after };
            if window.count(extent).is_none() {
                let reach = (taps - 1).saturating_mul(dilation).saturating_add(1);
                let padded = extent.saturating_add(before).saturating_add(after);
                if padded > Window::LARGEST {
                    let detail = format!(
                        "axis {} of {extent} elements has {padded} with its padding, and kernels count to {}; use a \
                         smaller {size}, dilation or padding",
                        d + 1,
                        Window::LARGEST
                    );
                    return Err(Error::shape(layer, &[input], detail));
                }
                let detail = format!(
                    "a window covers {reach} elements (size {taps}, dilation {dilation}) along axis {}, \
                     which has {extent}, {padded} with its padding; use a smaller {size}, padding Same, or larger inputs",
                    d + 1
                );
                return Err(Error::shape(layer, &[input], detail));
            }
            windows.push(window);
        }
        Ok(windows)
    }
}

/// Refuses a size of zero, and one that kernels cannot count to.
///
/// # Errors
/// [`Error::Parameter`] of `name`.
pub(super) fn check_each<const N: usize>(name: &str, sizes: [usize; N]) -> Result<()> {
    if sizes.iter().all(|size| (1..=Window::LARGEST).contains(size)) {
        return Ok(());
    }
    let detail = format!("each is 1 or more, and {} at most", Window::LARGEST);
    Err(Error::parameter(name, format!("{sizes:?}"), detail))
}

/// Checks that `input` is `[batch, N extents, channels]` without an empty axis.
///
/// # Errors
/// [`Error::Shape`] that says what is missing.
pub(super) fn spatial<const N: usize>(layer: &str, input: &Shape) -> Result<()> {
    let said = |axes: &str| format!("the input is [batch, {axes}, channels], and no axis is empty");
    images::<N>(layer, input, input.rank().checked_sub(1), said)
}

/// As [`spatial`], of a sample: `[N extents, channels]`.
///
/// # Errors
/// As [`spatial`].
pub(super) fn check_images<const N: usize>(layer: &str, sample: &Shape) -> Result<()> {
    let said = |axes: &str| format!("samples are [{axes}, channels]");
    images::<N>(layer, sample, Some(sample.rank()), said)
}

/// Refuses samples of another `rank` than N extents and channels, and an empty axis, in the words of `said`, which is
/// told the names of the extents.
fn images<const N: usize>(
    layer: &str,
    shape: &Shape,
    rank: Option<usize>,
    said: impl Fn(&str) -> String,
) -> Result<()> {
    const { assert!(1 <= N && N <= 3, "images have one, two or three spatial axes") };
    if rank == Some(N + 1) && !shape.is_empty() {
        return Ok(());
    }
    let axes = ["steps", "height, width", "depth, height, width"][N - 1];
    let advice = match rank == Some(N) {
        true => "; add the axis of channels by a Reshape, which is 1 for grey images",
        false => "",
    };
    Err(Error::shape(layer, &[shape], said(axes) + advice))
}

/// The shape of a batch of one sample of N extents and channels.
///
/// # Errors
/// As [`spatial`].
pub(super) fn batch_of_one<const N: usize>(layer: &str, sample: &Shape) -> Result<Shape> {
    let batch: Shape = [&[1], sample.dims()].concat().into();
    spatial::<N>(layer, &batch)?;
    Ok(batch)
}

/// The name of a layer along N axes, of its names along one, two and three.
pub(super) const fn kind_of<const N: usize>(names: [&'static str; 3]) -> &'static str {
    const { assert!(1 <= N && N <= 3, "windows slide along 1 to 3 axes") };
    names[N - 1]
}

/// The input's shape with the windows' counts in place of its extents, and `channels`.
pub(super) fn slid(input: &Shape, windows: &[Window], channels: usize) -> Shape {
    let counts = windows.iter().zip(&input.dims()[1..]);
    let counts = counts.map(|(window, &extent)| window.count(extent).unwrap_or(0));
    let dims: Vec<usize> = [input.dims()[0]].into_iter().chain(counts).chain([channels]).collect();
    dims.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(taps: usize, stride: usize, dilation: usize) -> Sizes<1> {
        Sizes { taps: [taps], strides: [stride], dilation: [dilation] }
    }

    #[test]
    fn same_padding_is_that_of_keras() {
        for (taps, stride, dilation, extent, sides) in [
            (3, 1, 1, 5, [1, 1]),
            (3, 2, 1, 5, [1, 1]),
            (3, 2, 1, 6, [0, 1]),
            (2, 1, 1, 6, [0, 1]),
            (3, 1, 3, 4, [3, 3]),
            (1, 3, 1, 7, [0, 0]),
            (2, 5, 1, 5, [0, 0]),
        ] {
            let windows = sizes(taps, stride, dilation)
                .windows("conv", "kernel_size", &Padding::Same, &[2, extent, 3].into())
                .expect("windows");
            assert_eq!([windows[0].before, windows[0].after], sides, "{taps} {stride} {extent}");
            assert_eq!(windows[0].count(extent), Some(extent.div_ceil(stride)));
        }
    }

    #[test]
    fn refusals_name_the_sizes() {
        let refused = |sizes: Sizes<1>, padding: &Padding, input: &[usize]| {
            let windows = sizes.windows("conv", "kernel_size", padding, &input.into());
            windows.expect_err("refused").to_string()
        };
        let small = refused(sizes(3, 1, 2), &Padding::Valid, &[2, 4, 3]);
        assert!(small.contains("covers 5") && small.contains("which has 4"), "{small}");
        assert!(refused(sizes(3, 0, 1), &Padding::Same, &[2, 4, 3]).contains("strides"));
        assert!(refused(sizes(3, 1, 1), &Padding::Same, &[2, 4]).contains("Reshape"));
        let three = Padding::Explicit(vec![[1, 1], [1, 1]]);
        assert!(refused(sizes(3, 1, 1), &three, &[2, 4, 3]).contains("1 spatial axes"));
        let two = Sizes::<2> { taps: [3; 2], strides: [1; 2], dilation: [1; 2] };
        let causal = two.windows("conv", "kernel_size", &Padding::Causal, &[2, 4, 4, 3].into());
        assert!(causal.is_err());
    }
}
