//! The losses of samples: sums over their parts, and what a loss from outside gives.

use super::CustomLoss;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::ops::ReduceKind;
use crate::tensor::DType;

/// The rows of a loss from outside, checked, divided by the batch.
pub(super) fn custom_rows(
    loss: &dyn CustomLoss,
    graph: &mut Graph,
    targets: Value,
    predictions: Value,
    batch: usize,
) -> Result<Value> {
    let rows = loss.rows(graph, targets, predictions).map_err(|e| e.in_layer(loss.name()))?;
    graph.check(loss.name(), &[rows])?;
    let ty = graph.ty(rows);
    if ty.dtype != DType::F32 {
        let detail = "CustomLoss::rows gives the loss of each sample as f32";
        return Err(Error::dtype(loss.name(), &[ty.dtype], detail));
    }
    if ty.shape.dims() != [batch] {
        let detail = format!("CustomLoss::rows gives a number for each sample, [{batch}]");
        return Err(Error::shape(loss.name(), &[&ty.shape], detail));
    }
    graph.scale(rows, 1.0 / batch as f32)
}

/// The sum over each sample, divided by `of`: `[batch, ...]` to `[batch]`. The division comes last: whole numbers stay
/// whole, and equal ones are not rounded one by one.
pub(crate) fn sum_samples(graph: &mut Graph, x: Value, of: usize) -> Result<Value> {
    let axes: Vec<usize> = (1..graph.shape(x).rank()).collect();
    match (axes.is_empty(), of) {
        (true, 1) => Ok(x),
        (true, _) => graph.scale(x, 1.0 / of as f32),
        (false, 1) => graph.sum(x, &axes, false),
        (false, _) => graph.reduce(ReduceKind::PartOfMean(of), x, &axes, false),
    }
}
