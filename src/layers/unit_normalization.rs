//! Vectors of length one.

use super::axes::{axes_of, over_last};
use super::config::{Fields, Settings, config_of};
use super::layer_normalization::check;
use super::{Context, Layer, Outputs};
use crate::error::Result;
use crate::graph::Graph;
use crate::tensor::Shape;

/// The least length by which a vector is divided, Keras' `epsilon`.
const LEAST: f64 = 1e-12;

/// x / sqrt(Σ x²), with the sum over the axes of each sample: vectors of length 1. Keras' `UnitNormalization`.
///
/// Input and output `[batch, ...]`; the axis is the last one unless [`UnitNormalization::axes`] says otherwise. Zeros stay
/// zeros: 1e-24 is added to the sum, where Keras takes a length of at least 1e-12.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([3]).add(UnitNormalization::new()).build()?;
/// assert_eq!(model.output_shapes(), [Shape::from([3])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitNormalization {
    axes: Vec<isize>,
}

impl Default for UnitNormalization {
    fn default() -> Self {
        Self::new()
    }
}

impl UnitNormalization {
    /// Over the last axis.
    #[must_use]
    pub fn new() -> Self {
        Self { axes: vec![-1] }
    }

    /// The axes of `[batch, ...]` that the sum is taken over, from 1, or from -1 at the end; axis 0 is the batch. Keras'
    /// `axis`.
    #[must_use]
    pub fn axes(mut self, axes: impl Into<Vec<isize>>) -> Self {
        self.axes = axes.into();
        self
    }
}

impl Settings for UnitNormalization {
    fn blank() -> Self {
        Self::new()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("axis", &mut self.axes)
    }
}

impl Layer for UnitNormalization {
    fn kind(&self) -> &'static str {
        "UnitNormalization"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check(&self.axes, 0.0, &inputs[0])?;
        Ok(inputs[0].clone())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let sample = Shape::from(&graph.shape(cx.input()).dims()[1..]);
        let axes = axes_of("axes", &self.axes, &sample)?;
        // The root mean square is the length over √n.
        let n = axes.iter().map(|&axis| sample.dims()[axis]).product::<usize>() as f64;
        let y = over_last(graph, cx.input(), &axes, |graph, x| {
            let y = graph.rms_norm(x, None, axes.len(), (LEAST * LEAST / n) as f32)?;
            graph.scale(y, (1.0 / n.sqrt()) as f32)
        })?;
        Ok(y.into())
    }
}
