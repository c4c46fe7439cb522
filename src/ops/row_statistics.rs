//! The variance, as a row kernel, with its gradient.

use super::normalize::{centred, mean_of};
use super::row_builder::{Code, RowBuilder};
use crate::error::{Error, Result};
use crate::graph::Rows;
use crate::graph::{Graph, Value};
use crate::graph::{RowReduction, RowRule};
use crate::tensor::Shape;

/// `x` with `axes` as its last ones, the first of these, and the shape of a result without them, or with extent 1 if
/// `keep` is set.
pub(super) fn last(
    graph: &mut Graph,
    op: &str,
    x: Value,
    axes: &[usize],
    keep: bool,
) -> Result<(Value, usize, Shape)> {
    graph.check(op, &[x])?;
    let shape = graph.shape(x).clone();
    let mut axes = if axes.is_empty() { (0..shape.rank()).collect() } else { axes.to_vec() };
    axes.sort_unstable();
    let twice = axes.windows(2).any(|w| w[0] == w[1]);
    if twice || axes.is_empty() || axes.last().is_some_and(|&a| a >= shape.rank()) {
        let detail = format!("axes {axes:?} are not distinct axes of the tensor");
        return Err(Error::shape(op, &[&shape], detail));
    }
    let others: Vec<usize> = (0..shape.rank()).filter(|a| !axes.contains(a)).collect();
    let first = others.len();
    let dims = shape.dims().iter().enumerate();
    let kept: Vec<usize> = match keep {
        true => dims.map(|(a, &d)| if axes.contains(&a) { 1 } else { d }).collect(),
        false => others.iter().map(|&a| shape.dims()[a]).collect(),
    };
    let order = [others, axes].concat();
    let moved = if order.is_sorted() { x } else { graph.transpose(x, &order)? };
    Ok((moved, first, kept.into()))
}

impl Graph {
    /// The variance over `axes`, which disappear, or stay with extent 1 if `keep` is set: the mean of squared differences
    /// to the mean, divided by n. No axes: all of them. Keras' `ops.var`.
    ///
    /// In two passes over the elements, and exact also if the mean is large against the spread (Chan, Golub and LeVeque,
    /// "Algorithms for computing the sample variance", 1983). One kernel if the axes are the last ones; others are
    /// brought to the end by a copy.
    ///
    /// # Errors
    /// As [`Graph::log_sum_exp`].
    pub fn variance(&mut self, x: Value, axes: &[usize], keep: bool) -> Result<Value> {
        let (moved, first, kept) = last(self, "variance", x, axes, keep)?;
        let mut kernel = RowBuilder::new(self.shape(moved), first);
        let x = kernel.element(moved);
        let share = kernel.share(self);
        let mean = mean_of(&mut kernel, x, share)?;
        let variance = kernel.reduce(
            RowReduction::Sum,
            |code| {
                let centred = centred(code, x, mean)?;
                code.call("square", &[centred], &[])
            },
            |code, sum| code.mul(sum, share),
        )?;
        let kept_values: [&[_]; 2] = [&[variance], &mean];
        let rule = RowRule::new("variance", [false; 2], variance_vjp);
        let y = kernel.push(self, rule, |_| Ok(vec![]), &kept_values)?[0];
        self.reshape(y, kept)
    }
}

/// dx = dy · 2/n · (x - mean).
fn variance_vjp(
    graph: &mut Graph,
    rows: &Rows,
    _: [bool; 2],
    inputs: &[Value],
    outputs: &[Value],
    dy: Value,
) -> Result<Vec<Option<Value>>> {
    let mut kernel = RowBuilder::new(&rows.shape, rows.first);
    let x = kernel.element(inputs[0]);
    let [dy] = kernel.values(dy);
    let mean = kernel.values(outputs[1]);
    let share = kernel.constant(graph, 2.0 / rows.cols() as f32);
    let elements = |code: &mut Code| {
        let centred = centred(code, x, mean)?;
        let each = code.mul(centred, share)?;
        Ok(vec![code.mul(each, dy)?])
    };
    let rule = RowRule::gradient("variance_gradient");
    Ok(kernel.push(graph, rule, elements, &[])?.into_iter().map(Some).collect())
}
