//! Masks and weights of positions.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::{DType, Shape};

/// What multiplies the losses of positions. Both are over leading axes of the predictions: `[batch]`, `[batch, time]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weighing {
    /// A factor for each sample or position, f32.
    pub weights: Option<Value>,
    /// 1 for each position that counts and 0 for the others, f32.
    pub mask: Option<Value>,
}

/// A mask or weights as a tensor over leading axes of predictions of this shape, at most `axes` of them. Trailing axes of
/// extent 1 are dropped, so that `[n, t, 1]` is `[n, t]`.
pub(super) fn over_positions(
    graph: &mut Graph,
    what: &str,
    value: Value,
    predictions: &Shape,
    axes: usize,
) -> Result<Value> {
    let ty = graph.ty(value).clone();
    if ty.dtype != DType::F32 {
        return Err(Error::dtype(what, &[ty.dtype], "it is f32"));
    }
    let fitted = position_shape(&ty.shape, predictions, axes).ok_or_else(|| {
        let wanted = Shape::from(&predictions.dims()[..axes.max(1)]);
        let detail = format!(
            "the {what} of predictions (the second shape) is over their leading axes: {wanted} for a number per \
             position, [{}] for one per sample",
            wanted.dims()[0]
        );
        Error::shape(what, &[&ty.shape, predictions], detail)
    })?;
    if fitted == ty.shape { Ok(value) } else { graph.reshape(value, fitted) }
}

/// The leading axes of `predictions` that numbers of this shape are over, at most `axes`; `None` if they are over others.
pub(crate) fn position_shape(shape: &Shape, predictions: &Shape, axes: usize) -> Option<Shape> {
    let mut dims = shape.dims();
    loop {
        let fits = (1..=axes.max(1)).contains(&dims.len());
        if fits && predictions.dims().starts_with(dims) {
            return Some(dims.into());
        }
        dims = match dims {
            [rest @ .., 1] => rest,
            _ => return None,
        };
    }
}

/// Numbers over leading axes of `x`, with axes of 1 for the others.
pub(crate) fn aligned(graph: &mut Graph, numbers: Value, x: Value) -> Result<Value> {
    let rank = graph.shape(x).rank();
    let mut dims = graph.shape(numbers).dims().to_vec();
    if dims.len() == rank {
        return Ok(numbers);
    }
    dims.resize(rank, 1);
    graph.reshape(numbers, dims)
}
