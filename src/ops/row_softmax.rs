//! Softmax under a mask and the logarithm of a sum of exponentials, as row kernels, with their gradients.

use super::row_builder::{Code, RowBuilder};
use super::row_statistics::last;
use crate::error::{Error, Result};
use crate::graph::Rows;
use crate::graph::{Graph, Value};
use crate::graph::{RowReduction, RowRule};
use crate::ops::Reg;

/// What a mask of [`Graph::masked_softmax`] means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SoftmaxMask {
    /// An element takes part if its mask is above 0: masks of 0 and 1, and results of comparisons. Other elements may be
    /// NaN; they leave no trace.
    Keep,
    /// The mask is added: 0 changes nothing, a negative number lowers the weight. A sum of -1e30 or less, as that with
    /// -inf or [`f32::MIN`], has no weight at all.
    Additive,
}

/// An additive mask that leaves this or less takes the element out.
pub(super) const OUT: f32 = -1e30;

impl Graph {
    /// Softmax over the last axis of `x` among the elements that `mask` lets through; the others are 0. A row that is
    /// masked entirely is 0 everywhere. `mask` broadcasts to the shape of `x`, `[..., n]`. One kernel forward, one
    /// backward; an additive mask has a gradient.
    ///
    /// The form is that of [`Graph::softmax`] (Goodfellow et al. 2016, 4.1): the largest element that takes part is
    /// subtracted first. Masks as in Vaswani et al., "Attention is all you need", 2017, section 3.2.3.
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` is a scalar or the mask does not broadcast to it; [`Error::DType`] if one is not f32.
    pub fn masked_softmax(&mut self, x: Value, mask: Value, kind: SoftmaxMask) -> Result<Value> {
        self.check("masked_softmax", &[x, mask])?;
        let shapes = [x, mask].map(|v| self.shape(v));
        if shapes[1].broadcast_strides(shapes[0]).is_none() {
            let detail = "the mask has the extents of x, or 1, counted from the last axis";
            return Err(Error::shape("masked_softmax", &shapes, detail));
        }
        let first = super::row_builder::first_of_last("masked_softmax", shapes[0], 1)?;
        let mut kernel = RowBuilder::new(shapes[0], first);
        let [x, mask] = [x, mask].map(|v| kernel.element(v));
        let [zero, one] = [0.0, 1.0].map(|v| kernel.constant(self, v));
        let additive = kind == SoftmaxMask::Additive;
        let floor = kernel.constant(self, if additive { OUT } else { f32::MIN });
        let logit = |code: &mut Code| match additive {
            true => code.add(x, mask),
            false => code.call("select", &[mask, x, floor], &[]),
        };
        let top = kernel.reduce(RowReduction::Max, logit, |code, top| {
            code.call("maximum", &[top, floor], &[])
        })?;
        let power = |code: &mut Code| {
            let z = logit(code)?;
            let z = code.sub(z, top)?;
            code.call("exp", &[z], &[])
        };
        let taking_part = |code: &mut Code, v: Reg| match additive {
            true => Ok(v),
            false => code.call("select", &[mask, v, zero], &[]),
        };
        let factor = kernel.reduce(
            RowReduction::Sum,
            |code| {
                let e = power(code)?;
                taking_part(code, e)
            },
            // Nothing takes part: the factor is 0. A NaN stays one, by its bits.
            |code, sum| {
                let empty = code.call("equal", &[sum, zero], &[])?;
                let factor = code.call("div", &[one, sum], &[])?;
                let factor = code.call("select", &[empty, zero, factor], &[])?;
                let nan = code.call("is_nan", &[sum], &[])?;
                code.call("select", &[nan, sum, factor], &[])
            },
        )?;
        let elements = |code: &mut Code| {
            let e = power(code)?;
            let y = code.mul(e, factor)?;
            Ok(vec![taking_part(code, y)?])
        };
        let rule = RowRule::new("masked_softmax", [additive, false], masked_softmax_vjp);
        Ok(kernel.push(self, rule, elements, &[])?[0])
    }

    /// log Σ exp(x) over `axes`, which disappear, or stay with extent 1 if `keep` is set. No axes: all of them.
    ///
    /// The largest element is subtracted first, so that nothing overflows (Blanchard, Higham and Higham, "Accurately
    /// computing the log-sum-exp and softmax functions", 2021, equation 3.2). A row of -inf gives -inf. One kernel if
    /// the axes are the last ones; others are brought to the end by a copy.
    ///
    /// # Errors
    /// [`Error::Shape`] for axes that `x` does not have or that appear twice; [`Error::DType`] if it is not f32.
    pub fn log_sum_exp(&mut self, x: Value, axes: &[usize], keep: bool) -> Result<Value> {
        let (moved, first, kept) = last(self, "log_sum_exp", x, axes, keep)?;
        let mut kernel = RowBuilder::new(self.shape(moved), first);
        let x = kernel.element(moved);
        // An infinite maximum would give infinity minus infinity.
        let top = kernel.reduce(
            RowReduction::Max,
            |_| Ok(x),
            |code, top| code.call("clipped_linear", &[top], &[f32::MIN, f32::MAX]),
        )?;
        let result = kernel.reduce(
            RowReduction::Sum,
            |code| {
                let z = code.sub(x, top)?;
                code.call("exp", &[z], &[])
            },
            |code, sum| {
                let log = code.call("log", &[sum], &[])?;
                code.add(top, log)
            },
        )?;
        let rule = RowRule::new("log_sum_exp", [false; 2], log_sum_exp_vjp);
        let y = kernel.push(self, rule, |_| Ok(vec![]), &[&[result]])?[0];
        self.reshape(y, kept)
    }
}

/// dx = y · (dy - Σ dy y), and the same for a mask that is added: the Jacobian of softmax is diag(y) - y yᵀ.
fn masked_softmax_vjp(
    graph: &mut Graph,
    rows: &Rows,
    [additive, _]: [bool; 2],
    inputs: &[Value],
    outputs: &[Value],
    dy: Value,
) -> Result<Vec<Option<Value>>> {
    let mut kernel = RowBuilder::new(&rows.shape, rows.first);
    let [g, y] = [dy, outputs[0]].map(|v| kernel.element(v));
    let total = kernel.reduce(RowReduction::Sum, |code| code.mul(g, y), |_, sum| Ok(sum))?;
    let elements = |code: &mut Code| {
        let level = code.sub(g, total)?;
        Ok(vec![code.mul(y, level)?])
    };
    let rule = RowRule::gradient("masked_softmax_gradient");
    let dx = kernel.push(graph, rule, elements, &[])?[0];
    let shape = graph.shape(inputs[1]).clone();
    let mask = if additive { Some(graph.sum_to(dx, &shape)?) } else { None };
    Ok(vec![Some(dx), mask])
}

/// dx = dy · exp(x - y): the softmax.
fn log_sum_exp_vjp(
    graph: &mut Graph,
    rows: &Rows,
    _: [bool; 2],
    inputs: &[Value],
    outputs: &[Value],
    dy: Value,
) -> Result<Vec<Option<Value>>> {
    let mut kernel = RowBuilder::new(&rows.shape, rows.first);
    let x = kernel.element(inputs[0]);
    let [[y], [dy]] = [outputs[0], dy].map(|v| kernel.values(v));
    let elements = |code: &mut Code| {
        // In a row of -inf no element has weight.
        let y = code.call("clipped_linear", &[y], &[f32::MIN, f32::MAX])?;
        let z = code.sub(x, y)?;
        let weight = code.call("exp", &[z], &[])?;
        Ok(vec![code.mul(weight, dy)?])
    };
    let rule = RowRule::gradient("log_sum_exp_gradient");
    Ok(kernel.push(graph, rule, elements, &[])?.into_iter().map(Some).collect())
}
