//! Bytes: a batch of bytes that is decoded when it is gathered stays bytes, if all that reads it can decode it: products, in
//! their loads, elementwise kernels, copies of a part or with a margin, and others whose ops say so. It takes a quarter of the memory, and the numbers are the
//! same to the bit.
//!
//! It runs last: then it is known which kernels there are, and how they read.

use super::rewrite::Rewrite;
use super::views::copied;
use crate::error::{Error, Result};
use crate::graph::{
    Class, Graph, Instr, Map, Movement, Node, OpRef, Program, Reg, TensorType, Value, View,
};
use crate::ops::table::row;
use crate::tensor::Exact;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn bytes(graph: &Graph) -> Result<Graph> {
    let kept = kept(graph);
    if kept.is_empty() {
        return Ok(graph.clone());
    }
    let mut rewrite = Rewrite::new(graph);
    for (i, node) in graph.nodes().iter().enumerate() {
        let mut inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
        let (mut op, mut views) = (node.op.clone(), node.views.clone());
        let types: Vec<&TensorType> = node.inputs.iter().map(|&v| graph.ty(v)).collect();
        for v in graph.values(i).filter(|v| kept.contains_key(v)) {
            if let Some((keeps, _)) = op.with_bytes(v.output as usize, &types) {
                op = keeps;
            }
        }
        for (j, v) in node.inputs.iter().enumerate() {
            let Some(&factor) = kept.get(&graph.unaliased(*v)) else { continue };
            let decoding = match op.class() {
                Class::Contraction(product) => {
                    let mut product = product.clone();
                    product.bytes[j] = Some(factor);
                    op = Arc::new(product);
                    continue;
                }
                Class::Elementwise(map) => decoding(map, j)?,
                Class::Opaque => op.clone(),
                Class::Movement(_) => match moved(graph, node) {
                    Some(view) => {
                        views[j] = Some(view);
                        let shape = node.outputs[0].shape.clone();
                        decoding(&Map { program: Program::identity(), shape }, j)?
                    }
                    None => continue,
                },
                Class::Leaf(_)
                | Class::Reduction(_)
                | Class::Rows(_)
                | Class::Scan(_)
                | Class::Composite => continue,
            };
            // The factor is a further operand.
            inputs.push(rewrite.to.constant(factor.get()));
            views.push(None);
            op = decoding;
        }
        let values = rewrite.to.push_node(op, &inputs, views, node.layer.clone())?;
        rewrite.set(i, values);
    }
    Ok(rewrite.finish())
}

/// The results that stay bytes, each with the factor on its elements.
fn kept(graph: &Graph) -> HashMap<Value, Exact> {
    let mut kept = HashMap::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        let types: Vec<&TensorType> = node.inputs.iter().map(|&v| graph.ty(v)).collect();
        for v in graph.values(i) {
            if let Some((_, factor)) = node.op.with_bytes(v.output as usize, &types) {
                kept.insert(v, factor);
            }
        }
    }
    if kept.is_empty() {
        return kept;
    }
    for node in graph.nodes() {
        for (j, &v) in node.inputs.iter().enumerate() {
            let decodes = match node.op.class() {
                Class::Contraction(_) => j < 2,
                Class::Elementwise(_) => true,
                Class::Opaque => node.op.decodes(j),
                Class::Movement(Movement::Alias { offset }) => {
                    offset == 0 && graph.shape(v).len() == node.outputs[0].shape.len()
                }
                Class::Movement(Movement::Strided { .. } | Movement::Padded { .. }) => {
                    moved(graph, node).is_some()
                }
                Class::Movement(Movement::Pack { .. } | Movement::Record { .. })
                | Class::Leaf(_)
                | Class::Reduction(_)
                | Class::Rows(_)
                | Class::Scan(_)
                | Class::Composite => false,
            };
            if !decodes {
                kept.remove(&graph.unaliased(v));
            }
        }
    }
    for v in graph.roots() {
        kept.remove(&graph.unaliased(v));
    }
    kept
}

/// What a copy of a part, or with a margin, shows of its operand: its kernel is elementwise then.
fn moved(graph: &Graph, node: &Node) -> Option<View> {
    let copies = matches!(
        node.op.class(),
        Class::Movement(Movement::Strided { .. } | Movement::Padded { .. })
    );
    copied(graph, node).filter(|_| copies && node.views[0].is_none())
}

/// The map that reads bytes as operand `j`, and their factor as a further operand.
fn decoding(map: &Map, j: usize) -> Result<OpRef> {
    let Map { program, shape } = map;
    let apply = |name: &str, params: &[f32], args: Vec<Reg>| match row(name) {
        Some(row) => {
            let params = params.iter().map(|p| p.to_bits()).collect();
            Ok(Instr { row, derivative: false, params, args })
        }
        None => Err(Error::internal("bytes", format!("there is no function `{name}`"))),
    };
    let mut decoded = Program {
        inputs: program.inputs + 1,
        instrs: vec![
            apply("to_f32", &[], vec![Reg::Input(j)])?,
            apply("mul", &[], vec![Reg::Temp(0), Reg::Input(program.inputs)])?,
            // Held between infinities that no compiler sees: it must round here, and not multiply in another order.
            apply("clipped_linear", &[f32::NEG_INFINITY, f32::INFINITY], vec![Reg::Temp(1)])?,
        ],
        outputs: vec![],
    };
    let own = |i: usize| if i == j { Reg::Temp(2) } else { Reg::Input(i) };
    let inputs: Vec<Reg> = (0..program.inputs).map(own).collect();
    decoded.outputs = decoded.append(program, &inputs);
    Ok(Arc::new(Map { program: decoded, shape: shape.clone() }))
}
