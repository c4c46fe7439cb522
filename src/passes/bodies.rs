//! Passes in the bodies of loops.

use super::Pass;
use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Class, Graph, Leaf, Value};
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

/// A body in which no value is two outputs: an output has a place for itself. Fusion lets one kernel write all of them.
pub(super) fn separate(graph: &Graph) -> Result<Graph> {
    let is_body = graph.nodes().iter().any(|n| matches!(n.op.class(), Class::Leaf(Leaf::Param(_))));
    let mut graph = graph.clone();
    if !is_body {
        return Ok(graph);
    }
    let (mut taken, mut outputs) = (HashSet::new(), Vec::new());
    for (name, v) in graph.outputs().to_vec() {
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
