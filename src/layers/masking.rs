//! Positions that do not count.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::Shape;

/// Masks the positions all of whose elements are `mask_value`: padding. Keras' `Masking`.
///
/// Input and output `[batch, time, ..., d]`; a masked position becomes zeros. The mask `[batch, time, ...]` travels with
/// the output through the layers that keep these axes, and layers that heed it find it in [`Context::masks`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Masking {
    mask_value: f32,
}

impl Default for Masking {
    fn default() -> Self {
        Self::new(0.0)
    }
}

impl Masking {
    /// Masks positions whose elements all equal `mask_value`.
    #[must_use]
    pub const fn new(mask_value: f32) -> Self {
        Self { mask_value }
    }
}

impl Settings for Masking {
    fn blank() -> Self {
        Self::new(0.0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("mask_value", &mut self.mask_value)
    }
}

impl Layer for Masking {
    fn kind(&self) -> &'static str {
        "Masking"
    }

    fn keeps_range(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self.mask_value.is_nan() {
            let detail = "no number equals NaN; mark padding with a number";
            return Err(Error::parameter("mask_value", self.mask_value, detail));
        }
        if inputs[0].rank() < 2 {
            let detail = "samples are sequences [time, ..., d]; reshape them";
            return Err(Error::shape("masking", &[&inputs[0]], detail));
        }
        Ok(inputs[0].clone())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let x = cx.input();
        let lead = graph.shape(x).dims().to_vec();
        let (one, zero) = (graph.constant(1.0), graph.constant(0.0));
        let padding = graph.constant(self.mask_value);
        let same = graph.binary("equal", x, padding)?;
        let other = graph.sub(one, same)?;
        let counts = graph.max(other, &[lead.len() - 1], true)?;
        let y = graph.select(counts, x, zero)?;
        let mask = graph.reshape(counts, &lead[..lead.len() - 1])?;
        Ok(Outputs::from(y).mask(Some(mask)))
    }
}
