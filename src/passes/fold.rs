//! Constant folding: elementwise functions of constants are computed on the host in f64, and operands that
//! change nothing (x + 0, x · 1) disappear.

use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Class, Graph, Leaf, Movement, Value};
use crate::ops::Map;
use crate::tensor::DType;

pub(super) fn fold(graph: &Graph) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph);
    // The value of each node whose elements are all the same known number.
    let mut known: Vec<Option<f32>> = vec![None; graph.nodes().len()];
    let constant = |known: &[Option<f32>], v: Value| known[v.node.index()];
    for (i, node) in graph.nodes().iter().enumerate() {
        match node.op.class() {
            Class::Leaf(Leaf::Constant(v)) if node.outputs[0].dtype == DType::F32 => {
                known[i] = Some(v.get());
                rewrite.copy(i)?;
            }
            Class::Movement(Movement::Alias { .. } | Movement::Strided { .. }) => {
                known[i] = constant(&known, node.inputs[0]);
                rewrite.copy(i)?;
            }
            Class::Elementwise(map) if node.views.iter().all(Option::is_none) => {
                let values: Vec<Option<f32>> =
                    node.inputs.iter().map(|&v| constant(&known, v)).collect();
                known[i] = evaluate(map, &values);
                if let Some(x) = survivor(map, &values) {
                    let x = node.inputs[x];
                    if graph.shape(x) == &node.outputs[0].shape {
                        known[i] = constant(&known, x);
                        let kept = rewrite.get(x);
                        rewrite.set(i, vec![kept]);
                        continue;
                    }
                }
                // A known operand is read as a scalar constant, whatever shape it had.
                let mut inputs = Vec::new();
                for v in &node.inputs {
                    inputs.push(match constant(&known, *v) {
                        Some(c) => rewrite.to.constant(c),
                        None => rewrite.get(*v),
                    });
                }
                let values = match known[i] {
                    Some(c) => {
                        let c = rewrite.to.constant(c);
                        vec![rewrite.to.broadcast_to(c, node.outputs[0].shape.clone())?]
                    }
                    None => {
                        let (op, views) = (node.op.clone(), node.views.clone());
                        rewrite.to.push_node(op, &inputs, views, node.layer.clone())?
                    }
                };
                rewrite.set(i, values);
            }
            Class::Leaf(_)
            | Class::Elementwise(_)
            | Class::Reduction(_)
            | Class::Contraction(_)
            | Class::Movement(_)
            | Class::Rows(_)
            | Class::Scan(_)
            | Class::Composite
            | Class::Opaque => rewrite.copy(i)?,
        }
    }
    Ok(rewrite.finish())
}

/// The value of a single function of known operands, or of a copy of one.
fn evaluate(map: &Map, values: &[Option<f32>]) -> Option<f32> {
    if map.program.instrs.is_empty() {
        return values[0];
    }
    let instr = map.program.only()?;
    if instr.derivative {
        return None;
    }
    let fold = instr.row.fold?;
    let values: Vec<f64> = values.iter().map(|v| v.map(f64::from)).collect::<Option<_>>()?;
    Some(fold(&values) as f32)
}

/// The operand that a function with one neutral operand leaves unchanged.
fn survivor(map: &Map, values: &[Option<f32>]) -> Option<usize> {
    let instr = map.program.only().filter(|i| !i.derivative)?;
    let (left, right) = instr.row.neutral;
    match values {
        [_, Some(r)] if right == Some(*r) => Some(0),
        [Some(l), _] if left == Some(*l) => Some(1),
        _ => None,
    }
}
