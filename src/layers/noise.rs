//! Layers that disturb their input while training.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::Shape;

/// The value far left of SELU, -1.0507 · 1.6733: what dropped elements become.
const ALPHA_PRIME: f64 = -1.758_099_340_847_376_6;

/// Dropout for networks of SELU: while training each element becomes SELU's leftmost value with probability
/// `rate`, and all are then scaled and shifted to keep a mean of 0 and a variance of 1; otherwise the
/// identity. Klambauer et al., "Self-normalizing neural networks", 2017.
///
/// With α' = -1.7581 and `kept` 0 or 1 it gives a · (kept · x + (1 - kept) · α') + b, where a = ((1 - rate)(1 + rate ·
/// α'²))^(-1/2) and b = -a · rate · α'. The mask is a function of (seed, layer, step, element), like that of
/// [`super::Dropout`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlphaDropout {
    rate: f32,
}

impl AlphaDropout {
    /// Drops each element with probability `rate`, in [0, 1).
    #[must_use]
    pub const fn new(rate: f32) -> Self {
        Self { rate }
    }
}

impl Settings for AlphaDropout {
    fn blank() -> Self {
        Self::new(0.0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("rate", &mut self.rate)
    }
}

impl Layer for AlphaDropout {
    fn kind(&self) -> &'static str {
        "AlphaDropout"
    }

    fn keeps_range(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if !(0.0..1.0).contains(&self.rate) {
            return Err(Error::parameter("rate", self.rate, "a dropout rate lies in [0, 1)"));
        }
        Ok(inputs[0].clone())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let x = cx.input();
        let Some(random) = cx.random().filter(|_| self.rate > 0.0) else { return Ok(x.into()) };
        let q = f64::from(self.rate);
        let a = ((1.0 - q) * (1.0 + q * ALPHA_PRIME * ALPHA_PRIME)).powf(-0.5);
        let shape = graph.shape(x).clone();
        let drawn = random.uniform(graph, shape)?;
        let rate = graph.constant(self.rate);
        let kept = graph.binary("greater_equal", drawn, rate)?;
        let floor = graph.constant(ALPHA_PRIME as f32);
        let y = graph.select(kept, x, floor)?;
        let y = graph.scale(y, a as f32)?;
        let b = graph.constant((-a * q * ALPHA_PRIME) as f32);
        Ok(graph.add(y, b)?.into())
    }
}

/// x + noise while training, the noise normal around 0; otherwise the identity.
///
/// The noise is a function of (seed, layer, step, element); gradients pass through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaussianNoise {
    stddev: f32,
}

impl GaussianNoise {
    /// Noise of the standard deviation `stddev`, 0 or more.
    #[must_use]
    pub const fn new(stddev: f32) -> Self {
        Self { stddev }
    }
}

impl Settings for GaussianNoise {
    fn blank() -> Self {
        Self::new(0.0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("stddev", &mut self.stddev)
    }
}

impl Layer for GaussianNoise {
    fn kind(&self) -> &'static str {
        "GaussianNoise"
    }

    fn keeps_range(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if !(self.stddev.is_finite() && self.stddev >= 0.0) {
            let detail = "a standard deviation is a finite number, 0 or more";
            return Err(Error::parameter("stddev", self.stddev, detail));
        }
        Ok(inputs[0].clone())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let x = cx.input();
        let Some(random) = cx.random().filter(|_| self.stddev > 0.0) else { return Ok(x.into()) };
        let shape = graph.shape(x).clone();
        let drawn = random.normal(graph, shape)?;
        let noise = graph.scale(drawn, self.stddev)?;
        Ok(graph.add(x, noise)?.into())
    }
}
