//! Reverse-mode differentiation: a walk from the loss to the parameters that calls each card's vjp. Knows
//! no op by name. The gradient of a loop is a loop in the other direction (`scan`).

mod scan;
mod sums;
mod work;

use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Value, VjpContext};
use crate::tensor::DType;
use std::collections::HashMap;

/// Appends the gradients of the scalar `loss` with respect to each of `wrt`, and returns them in order, each
/// of its value's shape. A value that the loss does not depend on has a zero gradient.
///
/// # Errors
/// [`Error::Shape`] if the loss is not an f32 scalar; [`Error::NotDifferentiable`] naming op and layer.
pub fn gradients(graph: &mut Graph, loss: Value, wrt: &[Value]) -> Result<Vec<Value>> {
    graph.check("gradients", &[&[loss], wrt].concat())?;
    if graph.shape(loss).len() != 1 || graph.ty(loss).dtype != DType::F32 {
        let detail = "a loss is one f32 number; sum or average it first";
        return Err(Error::shape("gradients", &[graph.shape(loss)], detail));
    }
    let one = graph.constant(1.0);
    let shape = graph.shape(loss).clone();
    let seed = graph.broadcast_to(one, shape)?;
    let found = pullback(graph, &[(loss, seed)], wrt)?;
    wrt.iter()
        .zip(found)
        .map(|(v, found)| match found {
            Some(gradient) => Ok(gradient),
            None => {
                let zero = graph.constant(0.0);
                let shape = graph.shape(*v).clone();
                graph.broadcast_to(zero, shape)
            }
        })
        .collect()
}

/// The gradients of Σ value · cotangent over the `seeds` with respect to each of `wrt`; `None` is zero.
fn pullback(
    graph: &mut Graph,
    seeds: &[(Value, Value)],
    wrt: &[Value],
) -> Result<Vec<Option<Value>>> {
    let end = seeds.iter().map(|(v, _)| v.node.index() + 1).max().unwrap_or(0);
    let mut depends = vec![false; end];
    for &v in wrt {
        if v.node.index() < end {
            depends[v.node.index()] = true;
        }
    }
    for i in 0..end {
        depends[i] |= graph.nodes()[i].inputs.iter().any(|v| depends[v.node.index()]);
    }
    let mut adjoint: HashMap<Value, Value> = HashMap::new();
    for &(value, cotangent) in seeds {
        let total = match adjoint.get(&value) {
            Some(&sum) => graph.add(sum, cotangent)?,
            None => cotangent,
        };
        adjoint.insert(value, total);
    }
    for i in (0..end).rev() {
        let node = graph.nodes()[i].clone();
        let outputs: Vec<Value> = graph.values(i).collect();
        let upstream: Vec<Option<Value>> =
            outputs.iter().map(|v| adjoint.get(v).copied()).collect();
        let needed: Vec<bool> = node.inputs.iter().map(|v| depends[v.node.index()]).collect();
        if !needed.contains(&true) || upstream.iter().all(Option::is_none) {
            continue;
        }
        let layer = node.layer.clone();
        let mut build = |graph: &mut Graph| {
            let partials = if let Class::Scan(of) = node.op.class() {
                scan::vjp(graph, i, of, &needed, &upstream)?
            } else {
                let (inputs, outputs) = (&node.inputs, &outputs);
                let cx = VjpContext { inputs, outputs, upstream: &upstream, needed: &needed };
                node.op.vjp(graph, &cx)?
            };
            for (&input, partial) in node.inputs.iter().zip(partials) {
                let Some(partial) = partial.filter(|_| depends[input.node.index()]) else {
                    continue;
                };
                if graph.shape(partial) != graph.shape(input) {
                    let detail = format!(
                        "vjp gave {} for an operand of {}",
                        graph.shape(partial),
                        graph.shape(input)
                    );
                    return Err(Error::internal(node.op.name(), detail));
                }
                let total = match adjoint.get(&input) {
                    Some(&sum) => graph.add(sum, partial)?,
                    None => partial,
                };
                adjoint.insert(input, total);
            }
            Ok(())
        };
        match layer {
            Some(name) => graph.in_layer(&name, build)?,
            None => build(graph)?,
        }
    }
    Ok(wrt.iter().map(|v| adjoint.get(v).copied()).collect())
}
