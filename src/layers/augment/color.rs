//! Contrast and brightness.

use super::Factor;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::windows::check_images;
use crate::layers::{Context, Layer, Outputs};
use crate::tensor::Shape;
use serde_json::json;

/// The values that an image may have: Keras' default, bytes.
const BYTES: [f32; 2] = [0.0, 255.0];

fn check_range([low, high]: [f32; 2]) -> Result<()> {
    match low.is_finite() && high.is_finite() && low < high {
        true => Ok(()),
        false => {
            let detail = "is two finite numbers, the lower first";
            Err(Error::parameter("value_range", format!("({low}, {high})"), detail))
        }
    }
}

/// The range of values as a setting.
macro_rules! value_range {
    ($($layer:ident),*) => {$(
        impl $layer {
            /// With values from `low` to `high`: 0 to 255 if it is not called. Pixels that are scaled by 1/255 are 0 to 1.
            #[must_use]
            pub const fn value_range(mut self, low: f32, high: f32) -> Self {
                self.value_range = [low, high];
                self
            }
        }
    )*};
}
value_range!(RandomContrast, RandomBrightness);

/// `y`, held in the range of values.
fn held(graph: &mut Graph, y: Value, range: [f32; 2]) -> Result<Outputs> {
    Ok(graph.unary("clipped_linear", y, &range)?.into())
}

/// A number per image of a batch, `[batch, 1]`, over its axes.
fn over(graph: &mut Graph, drawn: Value, batch: usize) -> Result<Value> {
    graph.reshape(drawn, [batch, 1, 1, 1])
}

/// Changes the contrast of each image while training; otherwise the identity. Images are `[height, width, channels]`.
///
/// y = (x - mean) · f + mean for each channel, held in the range of values: the mean is that of the channel, and f is in
/// [1 - lower, 1 + upper] for the factor `(lower, upper)`. One number is both. (Keras' documentation says so too; its
/// version 3.15 takes one number as `(0, upper)`.)
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomContrast {
    factor: Factor,
    value_range: [f32; 2],
}

impl RandomContrast {
    /// Contrast from 1 - lower to 1 + upper, both in [0, 1].
    #[must_use]
    pub fn new(factor: impl Into<Factor>) -> Self {
        let factor = match factor.into() {
            Factor::Both(f) => Factor::Range(f, f),
            range => range,
        };
        Self { factor, value_range: BYTES }
    }
}

impl Settings for RandomContrast {
    fn blank() -> Self {
        Self::new(0.0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.only("data_format", &[json!("channels_last")])?;
        fields.required("factor", &mut self.factor)?;
        *self = Self { value_range: self.value_range, ..Self::new(self.factor) };
        fields.field("value_range", &mut self.value_range)
    }
}

impl Layer for RandomContrast {
    fn kind(&self) -> &'static str {
        "RandomContrast"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_images::<2>(self.kind(), &inputs[0])?;
        self.factor.check("factor", |f| (0.0..=1.0).contains(&f), "in [0, 1]")?;
        check_range(self.value_range)?;
        Ok(inputs[0].clone())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let x = cx.input();
        let Some(random) = cx.random() else { return Ok(x.into()) };
        let (Factor::Range(lower, upper) | Factor::Both(lower @ upper)) = self.factor;
        let batch = graph.shape(x).dims()[0];
        let factor = Factor::Range(1.0 - lower, 1.0 + upper);
        let factor = factor.draw(graph, random, "factor", batch)?;
        let factor = over(graph, factor, batch)?;
        let mean = graph.mean(x, &[1, 2], true)?;
        let apart = graph.sub(x, mean)?;
        let apart = graph.mul(apart, factor)?;
        let y = graph.add(apart, mean)?;
        held(graph, y, self.value_range)
    }
}

/// Makes each image darker or brighter while training; otherwise the identity. Images are `[height, width, channels]`.
///
/// y = x + f · (high - low), held in the range of values from low to high: at the factor -1 the image is black, at 1 white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomBrightness {
    factor: Factor,
    value_range: [f32; 2],
}

impl RandomBrightness {
    /// Brightness by factors from this range, within [-1, 1].
    #[must_use]
    pub fn new(factor: impl Into<Factor>) -> Self {
        Self { factor: factor.into(), value_range: BYTES }
    }
}

impl Settings for RandomBrightness {
    fn blank() -> Self {
        Self::new(0.0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.only("data_format", &[json!("channels_last")])?;
        fields.required("factor", &mut self.factor)?;
        fields.field("value_range", &mut self.value_range)
    }
}

impl Layer for RandomBrightness {
    fn kind(&self) -> &'static str {
        "RandomBrightness"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_images::<2>(self.kind(), &inputs[0])?;
        self.factor.check("factor", |f| (-1.0..=1.0).contains(&f), "in [-1, 1]")?;
        check_range(self.value_range)?;
        Ok(inputs[0].clone())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let x = cx.input();
        let Some(random) = cx.random() else { return Ok(x.into()) };
        let batch = graph.shape(x).dims()[0];
        let factor = self.factor.draw(graph, random, "factor", batch)?;
        let factor = over(graph, factor, batch)?;
        let [low, high] = self.value_range;
        let shift = graph.scale(factor, high - low)?;
        let y = graph.add(x, shift)?;
        held(graph, y, self.value_range)
    }
}
