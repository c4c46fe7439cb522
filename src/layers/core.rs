//! Layers without weights.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::Shape;

impl Settings for Activation {
    fn blank() -> Self {
        Self::Linear
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("activation", self)
    }
}

impl Layer for Activation {
    fn kind(&self) -> &'static str {
        "Activation"
    }

    fn keeps_elements(&self) -> bool {
        matches!(self, Self::Linear)
    }

    fn activation(&self) -> Option<Activation> {
        Some(*self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.check()?;
        if matches!(self, Self::Softmax | Self::LogSoftmax) && inputs[0].rank() == 0 {
            let detail = "softmax needs an axis besides the batch";
            return Err(Error::shape(self.name(), &[&inputs[0]], detail));
        }
        Ok(inputs[0].clone())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        Ok(Self::apply(self, graph, cx.input())?.into())
    }
}

/// Inverted dropout: while training each element is zero with probability `rate`, and all others are
/// multiplied by 1 / (1 - rate); otherwise the identity. Srivastava et al. 2014.
///
/// The mask is a function of (seed, layer, step, element) and is recomputed in the backward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    rate: f32,
}

impl Dropout {
    /// Drops each element with probability `rate`, in [0, 1).
    #[must_use]
    pub const fn new(rate: f32) -> Self {
        Self { rate }
    }
}

impl Settings for Dropout {
    fn blank() -> Self {
        Self::new(0.0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("rate", &mut self.rate)
    }
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "Dropout"
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
        let shape = graph.shape(x).clone();
        let drawn = random.uniform(graph, shape)?;
        let rate = graph.constant(self.rate);
        let kept = graph.binary("greater_equal", drawn, rate)?;
        let mask = graph.scale(kept, 1.0 / (1.0 - self.rate))?;
        Ok(graph.mul(x, mask)?.into())
    }
}

/// Joins all axes but the batch into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flatten;

impl Settings for Flatten {
    fn blank() -> Self {
        Self
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.only("data_format", &["channels_last".into()])
    }
}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "Flatten"
    }

    fn keeps_elements(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(Shape::from([inputs[0].len()]))
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let shape = graph.shape(cx.input());
        let batch = shape.dims()[0];
        let width = shape.len() / batch;
        // A mask has no place on the joined axis.
        Ok(Outputs::from(graph.reshape(cx.input(), [batch, width])?).mask(None))
    }
}
