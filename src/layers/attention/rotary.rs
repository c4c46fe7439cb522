//! Places as rotations.

use super::position::check_wavelength;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs};
use crate::tensor::{Shape, Tensor};

/// Turns features i and i + d/2 of step t by t / (scaling_factor · max_wavelength^(2i / d)). KerasHub's `RotaryEmbedding`
/// (Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021): inner products of queries and keys
/// that are so turned depend on the distance of their steps.
///
/// Input and output `[batch, time, ..., d]` with an even d, as `[batch, time, heads, d]`. Layers with heads turn their
/// projected queries and keys by the option `rotary`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RotaryEmbedding {
    max_wavelength: f32,
    scaling_factor: f32,
}

impl RotaryEmbedding {
    /// Wavelengths up to 2π · 10,000.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_wavelength: 10_000.0, scaling_factor: 1.0 }
    }

    /// The longest wavelength, divided by 2π.
    #[must_use]
    pub const fn max_wavelength(mut self, max_wavelength: f32) -> Self {
        self.max_wavelength = max_wavelength;
        self
    }

    /// By how much places lie closer together, for sequences that are longer than those of training.
    #[must_use]
    pub const fn scaling_factor(mut self, factor: f32) -> Self {
        self.scaling_factor = factor;
        self
    }
}

/// The name of the rotation as a part of a layer of heads.
pub(super) const ROTARY: &str = "rotary_embedding";

impl RotaryEmbedding {
    /// Refuses settings outside of their domain.
    pub(super) fn check(&self) -> Result<()> {
        check_wavelength(self.max_wavelength)?;
        if !(self.scaling_factor > 0.0 && self.scaling_factor.is_finite()) {
            let detail = "a factor is above 0";
            return Err(Error::parameter("scaling_factor", self.scaling_factor, detail));
        }
        Ok(())
    }

    /// The constants `cos` and `sin` of the angles for samples `[time, ..., d]`: `[time, 1 .., d / 2]`.
    pub(super) fn tables(&self, sample: &[usize]) -> Vec<(String, Tensor)> {
        let [time, between @ .., width] = sample else { return Vec::new() };
        let half = width / 2;
        let shape = [&[*time][..], &vec![1; between.len()], &[half]].concat();
        let angle = |t: usize, i: usize| {
            let power = 2.0 * i as f64 / *width as f64;
            let wave = f64::from(self.max_wavelength).powf(power);
            t as f64 / (wave * f64::from(self.scaling_factor))
        };
        let table = |of: fn(f64) -> f64| {
            let all = (0..*time).flat_map(|t| (0..half).map(move |i| of(angle(t, i)) as f32));
            Tensor::f32(shape.clone(), all.collect::<Vec<f32>>())
        };
        let named = [("cos", table(f64::cos)), ("sin", table(f64::sin))];
        named.into_iter().filter_map(|(name, t)| Some((name.to_owned(), t.ok()?))).collect()
    }
}

/// The features of `x` turned by angles whose cosines and sines broadcast to its halves.
pub(super) fn turn(graph: &mut Graph, x: Value, [cos, sin]: [Value; 2]) -> Result<Value> {
    let axis = graph.shape(x).rank() - 1;
    let width = graph.shape(x).dims()[axis];
    let a = graph.slice(x, axis, 0..width / 2)?;
    let b = graph.slice(x, axis, width / 2..width)?;
    let products = [(a, cos), (b, sin), (b, cos), (a, sin)].map(|(x, y)| graph.mul(x, y));
    let [ac, bs, bc, as_] = products;
    let first = graph.sub(ac?, bs?)?;
    let second = graph.add(bc?, as_?)?;
    graph.concatenate(&[first, second], axis)
}

impl Default for RotaryEmbedding {
    fn default() -> Self {
        Self::new()
    }
}

impl Settings for RotaryEmbedding {
    fn blank() -> Self {
        Self::new()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("max_wavelength", &mut self.max_wavelength)?;
        fields.field("scaling_factor", &mut self.scaling_factor)?;
        fields.only("rope_type", &["linear".into()])?;
        // Of other types of rotation.
        for name in ["beta_fast", "beta_slow", "original_max_position_embeddings", "truncate"] {
            fields.unused(name);
        }
        fields.only("sequence_axis", &[1.into()])?;
        fields.only("feature_axis", &[(-1).into()])
    }
}

impl Layer for RotaryEmbedding {
    fn kind(&self) -> &'static str {
        "RotaryEmbedding"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.check()?;
        let width = inputs[0].dims().last().copied().unwrap_or(1);
        if inputs[0].rank() < 2 || inputs[0].is_empty() || !width.is_multiple_of(2) {
            let detail = "samples are [time, ..., features] with a step or more, and an even number of features";
            return Err(Error::shape("rotary_embedding", &[&inputs[0]], detail));
        }
        Ok(inputs[0].clone())
    }

    fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        self.tables(inputs[0].dims())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let angles = [cx.constant("cos")?, cx.constant("sin")?];
        Ok(turn(graph, cx.input(), angles)?.into())
    }
}
