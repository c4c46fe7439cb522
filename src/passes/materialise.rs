//! Copies for which the planner needs a buffer: a constant or a step word that a kernel reads as a tensor, a root
//! that no kernel writes, and tensors of a pack that cannot be written in place.
//!
//! This runs in every plan: it is part of lowering, not an optimisation.

use super::rewrite::Rewrite;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Movement, Node, Value};
use crate::ops::{Map, Program};
use crate::tensor::DType;
use std::sync::Arc;

/// Bindings with a dynamic offset that every WebGPU device allows a kernel.
const DYNAMIC_BINDINGS: usize = 4;

fn copy_of(graph: &mut Graph, v: Value) -> Result<Value> {
    if graph.ty(v).dtype != DType::F32 {
        let detail = "only f32 values are copied; keep integers in inputs";
        return Err(Error::dtype("copy", &[graph.ty(v).dtype], detail));
    }
    let shape = graph.shape(v).clone();
    graph.push(Arc::new(Map { program: Program::identity(), shape }), &[v])
}

/// The value that `v` is an alias of, looking through whole-tensor reshapes only.
fn unaliased(graph: &Graph, mut v: Value) -> Value {
    while let Class::Movement(Movement::Alias { offset: 0 }) = graph.node(v).op.class() {
        let inner = graph.node(v).inputs[0];
        if graph.shape(inner).len() != graph.shape(v).len() {
            break;
        }
        v = inner;
    }
    v
}

/// Whether `v` is a leaf's buffer or a part of it.
fn lies_in_leaf(graph: &Graph, v: Value) -> bool {
    matches!(graph.node(graph.storage_root(v)).op.class(), Class::Leaf(_))
}

pub(crate) fn materialise(graph: &Graph) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph);
    let mut packed: Vec<Value> = Vec::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        let mut inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
        let pack = matches!(node.op.class(), Class::Movement(Movement::Pack { .. }));
        let slot = matches!(node.op.class(), Class::Movement(Movement::Slot { .. }));
        for (j, v) in inputs.iter_mut().enumerate() {
            if rewrite.to.node(*v).op.class().is_uniform() && !node.op.takes_uniform(j) {
                *v = copy_of(&mut rewrite.to, *v)?;
            } else if slot && j >= 2 {
                let source = unaliased(&rewrite.to, *v);
                let beside = |p: &&Value| p.node == source.node;
                if !rewrite.to.node(source).op.class().launches()
                    || packed.contains(&source)
                    || packed.iter().filter(beside).count() >= DYNAMIC_BINDINGS
                    || !only_read_by(graph, i, node.inputs[j])
                {
                    *v = copy_of(&mut rewrite.to, *v)?;
                }
            } else if pack {
                let source = unaliased(&rewrite.to, *v);
                if !rewrite.to.node(source).op.class().launches()
                    || packed.contains(&source)
                    || !writable(graph, i)
                {
                    *v = copy_of(&mut rewrite.to, *v)?;
                }
            }
            if pack || slot && j >= 2 {
                packed.push(unaliased(&rewrite.to, *v));
            }
        }
        let values = rewrite.to.push_node(node.op.clone(), &inputs, node.layer.clone())?;
        rewrite.set(i, values);
    }
    let mut graph = rewrite.finish();
    let roots: Vec<(String, Value)> = graph.outputs().to_vec();
    let mut outputs = Vec::new();
    for (name, v) in roots {
        let leaf = lies_in_leaf(&graph, v);
        outputs.push((name, if leaf { copy_of(&mut graph, v)? } else { v }));
    }
    graph.set_outputs(outputs);
    // A state whose new value is another buffer's present value: copied before either changes.
    let mut updates = Vec::new();
    for (state, new) in graph.updates().to_vec() {
        let leaf = lies_in_leaf(&graph, new) && unaliased(&graph, new) != state;
        updates.push((state, if leaf { copy_of(&mut graph, new)? } else { new }));
    }
    graph.set_updates(updates);
    Ok(graph)
}

/// Whether nothing but node `reader` needs the operand: then it may be in a place that only that step finds.
fn only_read_by(graph: &Graph, reader: usize, operand: Value) -> bool {
    let source = unaliased(graph, operand);
    let is_source = |v: &Value| unaliased(graph, *v) == source;
    let alias = |node: &Node| {
        matches!(node.op.class(), Class::Movement(Movement::Alias { offset: 0 }))
            && unaliased(graph, node.inputs[0]) == source
    };
    let others = graph.nodes().iter().enumerate().filter(|&(i, n)| i != reader && !alias(n));
    let twice = graph.nodes()[reader].inputs.iter().filter(|v| is_source(v)).count() > 1;
    !twice
        && !others.flat_map(|(_, n)| &n.inputs).any(is_source)
        && !graph.roots().any(|v| is_source(&v))
}

/// Whether no kernel reads one tensor of this pack while it writes another: a buffer has one access mode per
/// dispatch, so such tensors are computed elsewhere and copied in.
fn writable(graph: &Graph, pack: usize) -> bool {
    let operands = &graph.nodes()[pack].inputs;
    let sources: Vec<Value> = operands.iter().map(|&v| unaliased(graph, v)).collect();
    let reads = |node: &Node| node.inputs.iter().any(|&v| sources.contains(&unaliased(graph, v)));
    !sources.iter().any(|&s| reads(graph.node(s)))
}
