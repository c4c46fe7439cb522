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

/// The losses of positions of a loss from outside, checked: at least the first `kept` axes of the predictions.
pub(super) fn custom_positions(
    loss: &dyn CustomLoss,
    graph: &mut Graph,
    targets: Value,
    predictions: Value,
    kept: usize,
) -> Result<Value> {
    let name = loss.name();
    let shape = graph.shape(predictions).clone();
    let built = loss.positions(graph, targets, predictions).map_err(|e| e.in_layer(name))?;
    let Some(values) = built else {
        let detail = "the loss gives a number per sample: masks and weights of positions have nothing to multiply; \
                      use weights per sample, or write CustomLoss::positions";
        return Err(Error::shape(name, &[&shape], detail));
    };
    graph.check(name, &[values])?;
    let ty = graph.ty(values);
    if ty.dtype != DType::F32 {
        return Err(Error::dtype(name, &[ty.dtype], "CustomLoss::positions gives f32"));
    }
    if ty.shape.rank() < kept || !shape.dims().starts_with(ty.shape.dims()) {
        let detail = format!(
            "CustomLoss::positions gives a number for each position of the predictions (the second shape): {}",
            crate::tensor::Shape::from(&shape.dims()[..kept])
        );
        return Err(Error::shape(name, &[&ty.shape, &shape], detail));
    }
    Ok(values)
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
