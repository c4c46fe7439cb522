//! What tells a layer the places of a sequence.

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::tensor::{Initializer, Shape, Tensor};

/// Refuses samples that are no sequences of vectors.
pub(super) fn check_sequence(op: &str, sample: &Shape) -> Result<[usize; 2]> {
    match sample.dims() {
        &[time, width] if time > 0 && width > 0 => Ok([time, width]),
        _ => {
            let detail = "samples are sequences [time, features] with a step or more; reshape them, or embed ids first";
            Err(Error::shape(op, &[sample], detail))
        }
    }
}

/// A learned vector for each place. KerasHub's `PositionEmbedding`: what it gives is to be added to the input (Devlin et
/// al., "BERT", 2019).
///
/// Input `[batch, time, d]`, of which the shape alone counts; output `[batch, time, d]`, the same for each sample.
/// `position_embeddings` is `[sequence_length, d]`.
///
/// ```
/// use wgrad::prelude::*;
///
/// let ids = input([16]);
/// let words = ids.then(Embedding::new(50, 32));
/// let x = merge(Add, [&words, &words.then(PositionEmbedding::new(16))]);
/// assert_eq!(Model::new([&ids], [&x])?.output_shapes(), [Shape::from([16, 32])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PositionEmbedding {
    sequence_length: usize,
    initializer: Initializer,
}

impl PositionEmbedding {
    /// Vectors for `sequence_length` places: the longest input.
    #[must_use]
    pub const fn new(sequence_length: usize) -> Self {
        Self { sequence_length, initializer: Initializer::GlorotUniform }
    }

    /// The initial values of the vectors.
    #[must_use]
    pub const fn initializer(mut self, initializer: Initializer) -> Self {
        self.initializer = initializer;
        self
    }
}

impl Settings for PositionEmbedding {
    fn blank() -> Self {
        Self::new(0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("sequence_length", &mut self.sequence_length)?;
        fields.field("initializer", &mut self.initializer)
    }
}

impl Layer for PositionEmbedding {
    fn kind(&self) -> &'static str {
        "PositionEmbedding"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let [time, _] = check_sequence("position_embedding", &inputs[0])?;
        if time > self.sequence_length {
            let detail = format!("a sample has {time} steps, more than there are places");
            return Err(Error::parameter("sequence_length", self.sequence_length, detail));
        }
        Ok(inputs[0].clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape = [self.sequence_length, inputs[0].dims().last().copied().unwrap_or(1)];
        vec![WeightSpec::new("position_embeddings", shape, self.initializer, Regularizer::NONE)]
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let shape = graph.shape(cx.input()).clone();
        let table = cx.weight("position_embeddings")?;
        let rows = match shape.dims()[1] == self.sequence_length {
            true => table,
            false => graph.slice(table, 0, 0..shape.dims()[1])?,
        };
        Ok(graph.broadcast_to(rows, shape)?.into())
    }
}

/// Sines and cosines of a place, with wavelengths from 2π to 2π · `max_wavelength`. KerasHub's `SinePositionEncoding`
/// (Vaswani et al. 2017, section 3.5): feature i of place t is sin(t / max_wavelength^(i / d)) for an even i, and
/// cos(t / max_wavelength^((i - 1) / d)) for an odd one.
///
/// Input `[batch, time, d]`, of which the shape alone counts; output `[batch, time, d]`, to be added to the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SinePositionEncoding {
    max_wavelength: f32,
}

impl SinePositionEncoding {
    /// Wavelengths up to 2π · 10,000.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_wavelength: 10_000.0 }
    }

    /// The longest wavelength, divided by 2π.
    #[must_use]
    pub const fn max_wavelength(mut self, max_wavelength: f32) -> Self {
        self.max_wavelength = max_wavelength;
        self
    }
}

impl Default for SinePositionEncoding {
    fn default() -> Self {
        Self::new()
    }
}

/// Refuses a wavelength that is none.
pub(super) fn check_wavelength(max_wavelength: f32) -> Result<()> {
    match max_wavelength > 0.0 && max_wavelength.is_finite() {
        true => Ok(()),
        false => Err(Error::parameter("max_wavelength", max_wavelength, "a wavelength is above 0")),
    }
}

impl Settings for SinePositionEncoding {
    fn blank() -> Self {
        Self::new()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("max_wavelength", &mut self.max_wavelength)
    }
}

impl Layer for SinePositionEncoding {
    fn kind(&self) -> &'static str {
        "SinePositionEncoding"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_wavelength(self.max_wavelength)?;
        check_sequence("sine_position_encoding", &inputs[0])?;
        Ok(inputs[0].clone())
    }

    fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let Ok([time, width]) = check_sequence("sine_position_encoding", &inputs[0]) else {
            return Vec::new();
        };
        let of = |t: usize, i: usize| {
            let power = (i - i % 2) as f64 / width as f64;
            let angle = t as f64 / f64::from(self.max_wavelength).powf(power);
            (if i.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
        };
        let at = |t| (0..width).map(move |i| of(t, i));
        let table: Vec<f32> = (0..time).flat_map(at).collect();
        Tensor::f32([time, width], table).map(|t| ("positions".into(), t)).into_iter().collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let shape = graph.shape(cx.input()).clone();
        Ok(graph.broadcast_to(cx.constant("positions")?, shape)?.into())
    }
}
