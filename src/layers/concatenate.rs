//! The layer that puts tensors side by side.

use super::config::{Fields, Settings, config_of};
use super::merge::{any_mask, at_least_two};
use super::{Context, Layer, Outputs};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::Shape;

/// Tensors side by side along an axis of `[batch, ...]`; their other extents are equal. Keras' `Concatenate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concatenate {
    axis: isize,
}

impl Default for Concatenate {
    fn default() -> Self {
        Self::new(-1)
    }
}

impl Concatenate {
    /// Along this axis of `[batch, ...]`, from 1, as 0 is the batch; or counted from the end: -1 is the last.
    #[must_use]
    pub const fn new(axis: isize) -> Self {
        Self { axis }
    }

    /// The axis of samples of this rank (the batch axis not counted), if it has one.
    fn sample_axis(&self, rank: usize) -> Result<usize> {
        let count = self.axis.unsigned_abs();
        let axis = if self.axis < 0 { rank.checked_sub(count) } else { count.checked_sub(1) };
        axis.filter(|&axis| axis < rank).ok_or_else(|| {
            let detail = match rank {
                0 => {
                    "samples without axes have none to be joined along; reshape them to [1]".into()
                }
                _ => {
                    format!("samples of {rank} axes are joined along 1 to {rank}, or -{rank} to -1")
                }
            };
            Error::parameter("axis", self.axis, detail)
        })
    }
}

impl Concatenate {
    /// Masks side by side if they have the axis, with ones for a tensor without a mask; otherwise what counts in any.
    fn mask(&self, graph: &mut Graph, cx: &Context, axis: usize) -> Result<Option<Value>> {
        let rank = cx.masks().iter().flatten().map(|&mask| graph.shape(mask).rank()).min();
        let Some(rank) = rank else { return Ok(None) };
        if axis >= rank {
            return any_mask(graph, cx);
        }
        let mut masks = Vec::new();
        for (&input, mask) in cx.inputs().iter().zip(cx.masks()) {
            let lead = graph.shape(input).dims()[..rank].to_vec();
            masks.push(match mask.filter(|&mask| *graph.shape(mask).dims() == lead[..]) {
                Some(mask) => mask,
                None => {
                    let one = graph.constant(1.0);
                    graph.broadcast_to(one, lead)?
                }
            });
        }
        graph.concatenate(&masks, axis).map(Some)
    }
}

impl Settings for Concatenate {
    fn blank() -> Self {
        Self::new(-1)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("axis", &mut self.axis)
    }
}

impl Layer for Concatenate {
    fn kind(&self) -> &'static str {
        "Concatenate"
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        at_least_two(self.kind(), count)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let axis = self.sample_axis(inputs[0].rank())?;
        let mut dims = inputs[0].dims().to_vec();
        let same = |s: &Shape| {
            s.rank() == dims.len()
                && (0..dims.len()).all(|i| i == axis || s.dims()[i] == inputs[0].dims()[i])
        };
        if !inputs.iter().all(same) {
            let detail = format!("all extents but that of axis {} are equal", axis + 1);
            return Err(Error::shape(self.kind(), &inputs.iter().collect::<Vec<_>>(), detail));
        }
        dims[axis] = inputs.iter().map(|s| s.dims()[axis]).fold(0, usize::saturating_add);
        Ok(dims.into())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        // The first axis in the graph is the batch.
        let axis = 1 + self.sample_axis(graph.shape(cx.input()).rank() - 1)?;
        let y = graph.concatenate(cx.inputs(), axis)?;
        let mask = self.mask(graph, cx, axis)?;
        Ok(Outputs::from(y).mask(mask))
    }
}
