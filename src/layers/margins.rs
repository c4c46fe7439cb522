//! Layers that add to the edges of images, or take from them.

use super::config::{Fields, Reading, Setting, Settings, config_of};
use super::windows::check_images;
use super::{Context, Layer, Outputs};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::Shape;
use serde_json::Value;
use std::ops::Range;

/// Elements at the beginning and at the end of each spatial axis.
///
/// ```
/// use wgrad::layers::Margins;
///
/// assert_eq!(Margins::<2>::from(1), Margins::from([[1, 1], [1, 1]]));
/// assert_eq!(Margins::<2>::from([1, 2]), Margins::from([[1, 1], [2, 2]]));
/// assert_eq!(Margins::<1>::from((1, 2)), Margins::from([[1, 2]]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Margins<const N: usize>(pub [[usize; 2]; N]);

impl<const N: usize> From<usize> for Margins<N> {
    fn from(all: usize) -> Self {
        Self([[all; 2]; N])
    }
}

impl<const N: usize> From<[usize; N]> for Margins<N> {
    fn from(each: [usize; N]) -> Self {
        Self(each.map(|both| [both; 2]))
    }
}

impl<const N: usize> From<[[usize; 2]; N]> for Margins<N> {
    fn from(each: [[usize; 2]; N]) -> Self {
        Self(each)
    }
}

impl From<(usize, usize)> for Margins<1> {
    fn from((before, after): (usize, usize)) -> Self {
        Self([[before, after]])
    }
}

impl From<((usize, usize), (usize, usize))> for Margins<2> {
    fn from((a, b): ((usize, usize), (usize, usize))) -> Self {
        Self([a.into(), b.into()])
    }
}

/// As Keras has them: of one axis `[before, after]`, of several a pair or a number for each, or one number for all.
impl<const N: usize> Setting for Margins<N> {
    fn write(&self) -> Result<Value> {
        let pair = |pair: &[usize; 2]| Value::from(pair.to_vec());
        Ok(if N == 1 { pair(&self.0[0]) } else { self.0.iter().map(pair).collect() })
    }

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String> {
        if value.is_number() {
            return Ok(usize::read(value, reading)?.into());
        }
        let wrong = || format!("is {value}; a number, or {N} pairs of numbers are expected");
        let list = value.as_array().ok_or_else(wrong)?;
        if N == 1 && list.len() == 2 {
            let pair = Vec::<usize>::read(value, reading)?;
            return Ok(Self([[pair[0], pair[1]]; N]));
        }
        let pair = |value: &Value| match *Vec::<usize>::read(value, reading)?.as_slice() {
            [both] => Ok([both; 2]),
            [before, after] => Ok([before, after]),
            _ => Err(wrong()),
        };
        let pairs = list.iter().map(pair).collect::<Result<Vec<_>, String>>()?;
        <[[usize; 2]; N]>::try_from(pairs).map(Self).map_err(|_| wrong())
    }
}

/// Zeros around images `[batch, extents.., channels]`. Keras' `ZeroPadding1D`, `ZeroPadding2D` and `ZeroPadding3D`: N is
/// the number of spatial axes.
///
/// ```
/// use wgrad::prelude::*;
///
/// let padded = Sequential::new([28, 28, 1]).add(ZeroPadding2D::new([[2, 2], [1, 3]])).build()?;
/// assert_eq!(padded.output_shapes(), [Shape::from([32, 32, 1])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZeroPadding<const N: usize> {
    padding: Margins<N>,
}

/// Zeros around sequences `[batch, steps, channels]`.
pub type ZeroPadding1D = ZeroPadding<1>;
/// Zeros around images `[batch, height, width, channels]`.
pub type ZeroPadding2D = ZeroPadding<2>;
/// Zeros around volumes `[batch, depth, height, width, channels]`.
pub type ZeroPadding3D = ZeroPadding<3>;

/// One zero at each edge.
impl<const N: usize> Default for ZeroPadding<N> {
    fn default() -> Self {
        Self::new(1)
    }
}

impl<const N: usize> ZeroPadding<N> {
    /// One number for all edges, one for both edges of each axis, or two for each axis.
    #[must_use]
    pub fn new(padding: impl Into<Margins<N>>) -> Self {
        Self { padding: padding.into() }
    }
}

impl<const N: usize> Settings for ZeroPadding<N> {
    fn blank() -> Self {
        Self::default()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.channels_last()?;
        fields.field("padding", &mut self.padding)
    }
}

impl<const N: usize> Layer for ZeroPadding<N> {
    fn kind(&self) -> &'static str {
        ["ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"][N - 1]
    }

    fn keeps_range(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_images::<N>(self.kind(), &inputs[0])?;
        let mut dims = inputs[0].dims().to_vec();
        for (extent, [before, after]) in dims.iter_mut().zip(self.padding.0) {
            *extent = extent.saturating_add(before).saturating_add(after);
        }
        Ok(dims.into())
    }

    fn config(&self) -> Result<Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let around = [&[[0, 0]], self.padding.0.as_slice(), &[[0, 0]]].concat();
        Ok(Outputs::from(graph.pad(cx.input(), &around, 0.0)?).mask(None))
    }
}

/// Images `[batch, extents.., channels]` without their edges. Keras' `Cropping1D`, `Cropping2D` and `Cropping3D`: N is
/// the number of spatial axes.
///
/// What reads the result reads the images themselves, if it can: then nothing is copied.
///
/// ```
/// use wgrad::prelude::*;
///
/// let inside = Sequential::new([28, 28, 3]).add(Cropping2D::new(4)).build()?;
/// assert_eq!(inside.output_shapes(), [Shape::from([20, 20, 3])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cropping<const N: usize> {
    cropping: Margins<N>,
}

/// Sequences `[batch, steps, channels]` without their ends.
pub type Cropping1D = Cropping<1>;
/// Images `[batch, height, width, channels]` without their edges.
pub type Cropping2D = Cropping<2>;
/// Volumes `[batch, depth, height, width, channels]` without their faces.
pub type Cropping3D = Cropping<3>;

/// Keras' default: one element at each edge in 1-D and 3-D, none in 2-D.
impl<const N: usize> Default for Cropping<N> {
    fn default() -> Self {
        Self::new(usize::from(N != 2))
    }
}

impl<const N: usize> Cropping<N> {
    /// One number for all edges, one for both edges of each axis, or two for each axis.
    #[must_use]
    pub fn new(cropping: impl Into<Margins<N>>) -> Self {
        Self { cropping: cropping.into() }
    }

    /// What is left of each spatial axis.
    fn ranges(&self, kind: &str, sample: &Shape) -> Result<Vec<Range<usize>>> {
        check_images::<N>(kind, sample)?;
        let mut ranges = Vec::new();
        for (axis, (&extent, [before, after])) in
            sample.dims().iter().zip(self.cropping.0).enumerate()
        {
            let end = extent.checked_sub(after).filter(|end| *end > before).ok_or_else(|| {
                let detail = format!(
                    "{before} and {after} elements are all that axis {} of {extent} has; crop less, or give larger inputs",
                    axis + 1
                );
                Error::shape(kind, &[sample], detail)
            })?;
            ranges.push(before..end);
        }
        Ok(ranges)
    }
}

impl<const N: usize> Settings for Cropping<N> {
    fn blank() -> Self {
        Self::default()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        // Keras has no such setting in 1-D.
        if N > 1 {
            fields.channels_last()?;
        }
        fields.field("cropping", &mut self.cropping)
    }
}

impl<const N: usize> Layer for Cropping<N> {
    fn kind(&self) -> &'static str {
        ["Cropping1D", "Cropping2D", "Cropping3D"][N - 1]
    }

    fn keeps_range(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let ranges = self.ranges(self.kind(), &inputs[0])?;
        let channels = inputs[0].dims()[N];
        Ok(ranges.iter().map(Range::len).chain([channels]).collect::<Vec<_>>().into())
    }

    fn config(&self) -> Result<Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let dims = graph.shape(cx.input()).dims().to_vec();
        let mut ranges = self.ranges(self.kind(), &dims[1..].into())?;
        ranges.insert(0, 0..dims[0]);
        ranges.push(0..dims[N + 1]);
        Ok(Outputs::from(graph.crop(cx.input(), &ranges)?).mask(None))
    }
}
