//! The layer that multiplies the samples of two tensors as matrices.

use super::config::{Fields, Settings, config_of};
use super::merge::exactly_two;
use super::{Context, Layer, Outputs};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::Shape;

/// The least norm to divide by, as in Keras.
const LEAST: f32 = 1e-7;

/// Sums of products of two tensors along an axis of each. Keras' `Dot`.
///
/// The result has the other axes of the first sample, then those of the second, or `[1]` if there are none: samples
/// `[a, k]` and `[b, k]` along axes 2 and 2 give `[a, b]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dot {
    axes: [isize; 2],
    normalize: bool,
}

impl Dot {
    /// Along these axes of `[batch, ...]`, one of each tensor: from 1, as 0 is the batch, or from -1 at the end.
    #[must_use]
    pub const fn new(axes: [isize; 2]) -> Self {
        Self { axes, normalize: false }
    }

    /// Whether both are first divided by their Euclidean norm along the axis, or by 1e-7 if that is smaller: the result
    /// is then the cosine of the angle between them.
    #[must_use]
    pub const fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    /// The axes of the samples, from 0.
    fn sample_axes(&self, inputs: &[Shape]) -> Result<[usize; 2]> {
        let mut found = [0; 2];
        for ((found, axis), input) in found.iter_mut().zip(self.axes).zip(inputs) {
            let (rank, count) = (input.rank(), axis.unsigned_abs());
            let own = if axis < 0 { rank.checked_sub(count) } else { count.checked_sub(1) };
            *found = own.filter(|&own| own < rank).ok_or_else(|| {
                let detail = format!(
                    "samples {input} have the axes 1 to {rank}, or -1 to -{rank}; 0 is the batch"
                );
                Error::parameter("axes", format!("{:?}", self.axes), detail)
            })?;
        }
        Ok(found)
    }
}

/// The extents of a sample without those of an axis.
fn others(sample: &Shape, axis: usize) -> Vec<usize> {
    [&sample.dims()[..axis], &sample.dims()[axis + 1..]].concat()
}

impl Settings for Dot {
    fn blank() -> Self {
        Self::new([-1, -1])
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("axes", &mut self.axes)?;
        fields.field("normalize", &mut self.normalize)
    }
}

impl Layer for Dot {
    fn kind(&self) -> &'static str {
        "Dot"
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        exactly_two(self.kind(), count)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let axes = self.sample_axes(inputs)?;
        let [a, b] = [0, 1].map(|i| inputs[i].dims()[axes[i]]);
        if a != b {
            let detail = format!(
                "axis {} has {a} and axis {} has {b}; both are summed over and have one extent",
                axes[0] + 1,
                axes[1] + 1
            );
            return Err(Error::shape("dot", &[&inputs[0], &inputs[1]], detail));
        }
        let rest = [others(&inputs[0], axes[0]), others(&inputs[1], axes[1])].concat();
        Ok(if rest.is_empty() { [1].into() } else { rest.into() })
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let batch = graph.shape(cx.input()).dims()[0];
        let samples = [0, 1].map(|i| Shape::from(&graph.shape(cx.inputs()[i]).dims()[1..]));
        let axes = self.sample_axes(&samples)?;
        let shape = self.output_shape(&samples)?;
        let mut matrices = Vec::new();
        for ((&x, sample), axis) in cx.inputs().iter().zip(&samples).zip(axes) {
            let x = if self.normalize { unit(graph, x, axis + 1)? } else { x };
            // Rows of the other axes: [batch, rows, k].
            let mut order: Vec<usize> = (0..=sample.rank()).filter(|&a| a != axis + 1).collect();
            order.push(axis + 1);
            let x = match axis + 1 == sample.rank() {
                true => x,
                false => graph.transpose(x, &order)?,
            };
            let length = sample.dims()[axis];
            matrices.push(graph.reshape(x, [batch, sample.len() / length, length])?);
        }
        let y = graph.matmul_form(matrices[0], matrices[1], false, true)?;
        let y = graph.reshape(y, [&[batch], shape.dims()].concat())?;
        Ok(Outputs::from(y).mask(None))
    }
}

/// `x` divided by its norm along an axis.
fn unit(graph: &mut Graph, x: Value, axis: usize) -> Result<Value> {
    let squares = graph.unary("square", x, &[])?;
    let sum = graph.sum(squares, &[axis], true)?;
    // The root of a bounded sum: its slope at zero is finite.
    let least = graph.constant(LEAST * LEAST);
    let sum = graph.binary("maximum", sum, least)?;
    let norm = graph.unary("sqrt", sum, &[])?;
    graph.div(x, norm)
}
