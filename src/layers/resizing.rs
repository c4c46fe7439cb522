//! Images of another size, and pixels of another scale.

use super::config::{Fields, Settings, config_of};
use super::windows::check_images;
use super::{Context, Interpolation, Layer, Outputs};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::Shape;

/// Images `[batch, height, width, channels]` of another height and width. Keras' `Resizing`.
///
/// Each pixel is one or two neighbours along each axis, so gradients flow and an infinite pixel spoils its neighbours
/// alone. The default stretches the image; see
/// [`Resizing::crop_to_aspect_ratio`] and [`Resizing::pad_to_aspect_ratio`]. Without antialiasing, as Keras' default: a
/// much smaller image shows single pixels of the large one.
///
/// ```
/// use wgrad::prelude::*;
///
/// let resized = Sequential::new([28, 20, 1]).add(Resizing::new(32, 32)).build()?;
/// assert_eq!(resized.output_shapes(), [Shape::from([32, 32, 1])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resizing {
    height: usize,
    width: usize,
    interpolation: Interpolation,
    crop_to_aspect_ratio: bool,
    pad_to_aspect_ratio: bool,
    fill_value: f32,
}

impl Resizing {
    /// To `height` and `width`, bilinear.
    #[must_use]
    pub const fn new(height: usize, width: usize) -> Self {
        Self {
            height,
            width,
            interpolation: Interpolation::Bilinear,
            crop_to_aspect_ratio: false,
            pad_to_aspect_ratio: false,
            fill_value: 0.0,
        }
    }

    /// How the new pixels follow from the old ones.
    #[must_use]
    pub const fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.interpolation = interpolation;
        self
    }

    /// Whether the largest part in the middle that has the new ratio of height and width is resized, so that nothing is
    /// stretched.
    #[must_use]
    pub const fn crop_to_aspect_ratio(mut self, crop: bool) -> Self {
        self.crop_to_aspect_ratio = crop;
        self
    }

    /// Whether the image gets margins first, so that it has the new ratio of height and width.
    #[must_use]
    pub const fn pad_to_aspect_ratio(mut self, pad: bool) -> Self {
        self.pad_to_aspect_ratio = pad;
        self
    }

    /// The value of those margins, 0 by default.
    #[must_use]
    pub const fn fill_value(mut self, value: f32) -> Self {
        self.fill_value = value;
        self
    }

    /// The images with the new ratio of height and width, if that is asked for; by Keras' rules of rounding.
    fn to_ratio(self, graph: &mut Graph, x: Value) -> Result<Value> {
        let [batch, height, width, channels] = *graph.shape(x).dims() else { return Ok(x) };
        let fitting_height = width.saturating_mul(self.height) / self.width;
        let fitting_width = height.saturating_mul(self.width) / self.height;
        if self.crop_to_aspect_ratio {
            let middle = |extent: usize, fitting: usize| {
                let length = fitting.min(extent).max(1);
                let start = (extent - length) / 2;
                start..start + length
            };
            let (rows, columns) = (middle(height, fitting_height), middle(width, fitting_width));
            return graph.crop(x, &[0..batch, rows, columns, 0..channels]);
        }
        if self.pad_to_aspect_ratio {
            let rows = (fitting_height.max(height) - height) / 2;
            let columns = if rows > 0 { 0 } else { (fitting_width.max(width) - width) / 2 };
            let around = [[0; 2], [rows; 2], [columns; 2], [0; 2]];
            return graph.pad(x, &around, self.fill_value);
        }
        Ok(x)
    }
}

impl Settings for Resizing {
    fn blank() -> Self {
        Self::new(0, 0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.channels_last()?;
        fields.only("fill_mode", &["constant".into()])?;
        fields.required("height", &mut self.height)?;
        fields.required("width", &mut self.width)?;
        fields.field("interpolation", &mut self.interpolation)?;
        fields.field("crop_to_aspect_ratio", &mut self.crop_to_aspect_ratio)?;
        fields.field("pad_to_aspect_ratio", &mut self.pad_to_aspect_ratio)?;
        fields.field("fill_value", &mut self.fill_value)
    }
}

/// Refuses a size of zero.
fn check_size(height: usize, width: usize) -> Result<()> {
    for (name, extent) in [("height", height), ("width", width)] {
        if extent == 0 {
            return Err(Error::parameter(name, 0, "an image has one pixel or more"));
        }
    }
    Ok(())
}

impl Layer for Resizing {
    fn kind(&self) -> &'static str {
        "Resizing"
    }

    fn keeps_range(&self) -> bool {
        !self.pad_to_aspect_ratio || self.fill_value == 0.0
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_size(self.height, self.width)?;
        check_images::<2>(self.kind(), &inputs[0])?;
        if self.crop_to_aspect_ratio && self.pad_to_aspect_ratio {
            let detail = "crop_to_aspect_ratio is set too; choose one of them";
            return Err(Error::parameter("pad_to_aspect_ratio", true, detail));
        }
        if !self.fill_value.is_finite() {
            return Err(Error::parameter("fill_value", self.fill_value, "a finite number"));
        }
        Ok([self.height, self.width, inputs[0].dims()[2]].into())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let mut y = self.to_ratio(graph, cx.input())?;
        y = self.interpolation.resize(graph, y, 1, self.height)?;
        y = self.interpolation.resize(graph, y, 2, self.width)?;
        Ok(Outputs::from(y).mask(None))
    }
}

/// The middle of images `[batch, height, width, channels]`. Keras' `CenterCrop`.
///
/// An image that is smaller along an axis is resized, as by [`Resizing::crop_to_aspect_ratio`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CenterCrop {
    height: usize,
    width: usize,
}

impl CenterCrop {
    /// `height` rows and `width` columns.
    #[must_use]
    pub const fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }
}

impl Settings for CenterCrop {
    fn blank() -> Self {
        Self::new(0, 0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.channels_last()?;
        fields.required("height", &mut self.height)?;
        fields.required("width", &mut self.width)
    }
}

impl Layer for CenterCrop {
    fn kind(&self) -> &'static str {
        "CenterCrop"
    }

    fn keeps_range(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_size(self.height, self.width)?;
        check_images::<2>(self.kind(), &inputs[0])?;
        Ok([self.height, self.width, inputs[0].dims()[2]].into())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let dims = graph.shape(cx.input()).dims().to_vec();
        let start = |axis: usize, extent: usize| dims[axis].checked_sub(extent).map(|d| d / 2);
        let (Some(row), Some(column)) = (start(1, self.height), start(2, self.width)) else {
            let resized = Resizing::new(self.height, self.width).crop_to_aspect_ratio(true);
            return resized.apply(graph, cx);
        };
        let (rows, columns) = (row..row + self.height, column..column + self.width);
        let y = graph.crop(cx.input(), &[0..dims[0], rows, columns, 0..dims[3]])?;
        Ok(Outputs::from(y).mask(None))
    }
}

/// x · scale + offset. Keras' `Rescaling`: `Rescaling::new(1.0 / 255.0)` brings bytes into [0, 1].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rescaling {
    scale: f32,
    offset: f32,
}

impl Rescaling {
    /// x · `scale`.
    #[must_use]
    pub const fn new(scale: f32) -> Self {
        Self { scale, offset: 0.0 }
    }

    /// What is added to the product.
    #[must_use]
    pub const fn offset(mut self, offset: f32) -> Self {
        self.offset = offset;
        self
    }
}

impl Settings for Rescaling {
    fn blank() -> Self {
        Self::new(1.0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("scale", &mut self.scale)?;
        fields.field("offset", &mut self.offset)
    }
}

impl Layer for Rescaling {
    fn kind(&self) -> &'static str {
        "Rescaling"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        for (name, value) in [("scale", self.scale), ("offset", self.offset)] {
            if !value.is_finite() {
                return Err(Error::parameter(name, value, "a finite number"));
            }
        }
        Ok(inputs[0].clone())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let scaled = graph.scale(cx.input(), self.scale)?;
        let offset = graph.constant(self.offset);
        Ok(graph.add(scaled, offset)?.into())
    }
}
