//! Gradients of elementwise functions of several operands, built from other rows.

use crate::error::Result;
use crate::graph::{Applied, Graph, Value};

type Gradients = Result<Vec<Option<Value>>>;

fn both(a: Value, b: Value) -> Gradients {
    Ok(vec![Some(a), Some(b)])
}

pub(super) fn of_add(_graph: &mut Graph, f: Applied<'_>) -> Gradients {
    both(f.upstream, f.upstream)
}

pub(super) fn of_sub(graph: &mut Graph, f: Applied<'_>) -> Gradients {
    both(f.upstream, graph.neg(f.upstream)?)
}

pub(super) fn of_mul(graph: &mut Graph, f: Applied<'_>) -> Gradients {
    both(graph.mul(f.upstream, f.inputs[1])?, graph.mul(f.upstream, f.inputs[0])?)
}

/// 1/b and -y/b.
pub(super) fn of_div(graph: &mut Graph, f: Applied<'_>) -> Gradients {
    let da = graph.div(f.upstream, f.inputs[1])?;
    let quotient = graph.mul(da, f.output)?;
    both(da, graph.neg(quotient)?)
}

/// b aᵇ⁻¹, which is 0 if b is, and aᵇ ln a, which is 0 at a = 0 if b ≥ 0. The choices keep 0 · ∞ out.
pub(super) fn of_pow(graph: &mut Graph, f: Applied<'_>) -> Gradients {
    let (a, b, dy) = (f.inputs[0], f.inputs[1], f.upstream);
    let (zero, one) = (graph.constant(0.0), graph.constant(1.0));
    let less = graph.sub(b, one)?;
    let power = graph.binary("pow", a, less)?;
    let slope = graph.mul(b, power)?;
    let varies = graph.binary("not_equal", b, zero)?;
    let slope = graph.select(varies, slope, zero)?;
    let logarithm = graph.unary("log", a, &[])?;
    let growth = graph.mul(f.output, logarithm)?;
    let (at_zero, bounded) =
        (graph.binary("equal", a, zero)?, graph.binary("greater_equal", b, zero)?);
    let still = graph.mul(at_zero, bounded)?;
    let growth = graph.select(still, zero, growth)?;
    both(graph.mul(dy, slope)?, graph.mul(dy, growth)?)
}

pub(super) fn of_maximum(graph: &mut Graph, f: Applied<'_>) -> Gradients {
    of_choice(graph, f, "greater_equal")
}

pub(super) fn of_minimum(graph: &mut Graph, f: Applied<'_>) -> Gradients {
    of_choice(graph, f, "less_equal")
}

/// The gradient goes to the operand that gave the result: a tie belongs to the first operand, and a NaN wins.
fn of_choice(graph: &mut Graph, f: Applied<'_>, comparison: &str) -> Gradients {
    let (a, b) = (f.inputs[0], f.inputs[1]);
    let first = graph.binary(comparison, a, b)?;
    let (nan_a, nan_b) = (graph.unary("is_nan", a, &[])?, graph.unary("is_nan", b, &[])?);
    let (zero, one) = (graph.constant(0.0), graph.constant(1.0));
    let first = graph.select(nan_b, zero, first)?;
    let first = graph.select(nan_a, one, first)?;
    let da = graph.mul(f.upstream, first)?;
    both(da, graph.sub(f.upstream, da)?)
}

pub(super) fn of_select(graph: &mut Graph, f: Applied<'_>) -> Gradients {
    let (condition, dy) = (f.inputs[0], f.upstream);
    let zero = graph.constant(0.0);
    let (yes, no) = (graph.select(condition, dy, zero)?, graph.select(condition, zero, dy)?);
    Ok(vec![None, Some(yes), Some(no)])
}
