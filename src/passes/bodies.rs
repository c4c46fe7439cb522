//! Passes in the bodies of loops.

use super::Pass;
use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Class, Graph, Leaf, OpRef, Value};
use crate::ops::{Map, Program};
use std::collections::HashSet;
use std::sync::Arc;

/// The graph after a pass, with bodies after the same pass.
pub(super) fn everywhere(graph: &Graph, pass: Pass<'_>) -> Result<Graph> {
    let graph = pass(graph)?;
    if (0..graph.nodes().len()).all(|i| graph.scan_at(i).is_none()) {
        return Ok(graph);
    }
    let mut rewrite = Rewrite::new(&graph);
    for (i, node) in graph.nodes().iter().enumerate() {
        match graph.scan_at(i) {
            None => rewrite.copy(i)?,
            Some(scan) => {
                let body = everywhere(scan.body.graph(), pass)?;
                let inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
                let op = Arc::new(scan.with_body(body));
                let values =
                    rewrite.to.push_node(op, &inputs, node.views.clone(), node.layer.clone())?;
                rewrite.set(i, values);
            }
        }
    }
    Ok(rewrite.finish())
}

/// A body in which no value is two outputs: an output has a place for itself. The kernel that gives the value gives it
/// twice if it can; otherwise the copy is a map, and fusion lets one kernel write all of them.
pub(super) fn separate(graph: &Graph) -> Result<Graph> {
    let is_body = graph.nodes().iter().any(|n| matches!(n.op.class(), Class::Leaf(Leaf::Param(_))));
    if !is_body {
        return Ok(graph.clone());
    }
    let mut ops: Vec<OpRef> = graph.nodes().iter().map(|n| n.op.clone()).collect();
    let mut results: Vec<usize> = graph.nodes().iter().map(|n| n.outputs.len()).collect();
    // For each output that another one is too: the node and the result that it is now.
    let (mut taken, mut copies) = (HashSet::new(), Vec::new());
    for &(_, v) in graph.outputs() {
        let i = v.node.index();
        let copy = match taken.insert(graph.storage_root(v)) {
            true => None,
            false => ops[i].with_copy(v.output.into()).map(|more| {
                ops[i] = more;
                results[i] += 1;
                results[i] - 1
            }),
        };
        copies.push(copy);
    }
    let mut rewrite = Rewrite::new(graph);
    for (i, (node, op)) in graph.nodes().iter().zip(ops).enumerate() {
        let inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
        let values = rewrite.to.push_node(op, &inputs, node.views.clone(), node.layer.clone())?;
        rewrite.set(i, values);
    }
    let (mut taken, mut outputs) = (HashSet::new(), Vec::new());
    let new = |v: Value, copy: Option<usize>| match copy {
        None => rewrite.get(v),
        Some(output) => rewrite.get(Value { output: output as u16, ..v }),
    };
    let values: Vec<Value> =
        graph.outputs().iter().zip(copies).map(|((_, v), copy)| new(*v, copy)).collect();
    let mut graph = rewrite.finish();
    for ((name, _), v) in graph.outputs().to_vec().into_iter().zip(values) {
        let v = match taken.insert(graph.storage_root(v)) {
            true => v,
            false => {
                let map = Map { program: Program::identity(), shape: graph.shape(v).clone() };
                graph.push(Arc::new(map), &[v])?
            }
        };
        outputs.push((name, v));
    }
    graph.set_outputs(outputs);
    Ok(graph)
}
