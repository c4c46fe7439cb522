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

/// The first operand of a node that it holds in a buffer of its own making: all of a pack, the tensors of a slot.
fn first_held(class: &Class<'_>) -> Option<usize> {
    match class {
        Class::Movement(Movement::Pack { .. }) => Some(0),
        Class::Movement(Movement::Slot { .. }) => Some(2),
        _ => None,
    }
}

pub(crate) fn materialise(graph: &Graph) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph);
    // Values that lie in a pack or a slot: their kernels write there and nowhere else.
    let mut placed: Vec<Value> = Vec::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        let class = node.op.class();
        if let Class::Movement(Movement::Slot { .. }) = class {
            recorded_alone(graph, i)?;
        }
        let first = first_held(&class);
        let mut inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
        for (j, v) in inputs.iter_mut().enumerate() {
            let held = first.is_some_and(|first| j >= first);
            let uniform = rewrite.to.node(*v).op.class().is_uniform() && !node.op.takes_uniform(j);
            let source = unaliased(&rewrite.to, *v);
            let in_place = || {
                rewrite.to.node(source).op.class().launches()
                    && !placed.contains(&source)
                    && held_once(graph, i, j)
                    && match class {
                        Class::Movement(Movement::Slot { .. }) => {
                            let beside = placed.iter().filter(|p| p.node == source.node).count();
                            beside < DYNAMIC_BINDINGS && only_read_by(graph, i, node.inputs[j])
                        }
                        _ => writable(graph, i),
                    }
            };
            if uniform || held && !in_place() {
                *v = copy_of(&mut rewrite.to, *v)?;
            }
            if held {
                placed.push(unaliased(&rewrite.to, *v));
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

/// Whether operand `j` is held once by node `i`. What a buffer holds twice is computed elsewhere and copied in twice:
/// a copy from one place of the buffer to another would read and write it in one dispatch.
fn held_once(graph: &Graph, i: usize, j: usize) -> bool {
    let inputs = &graph.nodes()[i].inputs;
    let root = graph.storage_root(inputs[j]);
    inputs.iter().filter(|&&v| graph.storage_root(v) == root).count() == 1
}

/// Whether nothing but node `reader` needs the operand: then it may lie where only that step finds it.
fn only_read_by(graph: &Graph, reader: usize, operand: Value) -> bool {
    let root = graph.storage_root(operand);
    let is_root = |v: &Value| graph.storage_root(*v) == root;
    let others = graph.nodes().iter().enumerate().filter(|&(i, n)| i != reader && !is_alias(n));
    !others.flat_map(|(_, n)| &n.inputs).any(is_root) && !graph.roots().any(|v| is_root(&v))
}

fn is_alias(node: &Node) -> bool {
    matches!(node.op.class(), Class::Movement(Movement::Alias { .. }))
}

/// Whether no kernel reads one tensor of this pack while it writes another: a buffer has one access mode per
/// dispatch, so such tensors are computed elsewhere and copied in.
fn writable(graph: &Graph, pack: usize) -> bool {
    let operands = &graph.nodes()[pack].inputs;
    let roots: Vec<Value> = operands.iter().map(|&v| graph.storage_root(v)).collect();
    let reads = |node: &Node| node.inputs.iter().any(|&v| roots.contains(&graph.storage_root(v)));
    !roots.iter().any(|&root| reads(graph.node(root)))
}

/// Refuses a state that is recorded into and used in another way: its rows are written while the step runs, so that
/// a kernel would read some of them before and some after.
fn recorded_alone(graph: &Graph, slot: usize) -> Result<()> {
    let node = &graph.nodes()[slot];
    let state = graph.storage_root(node.inputs[0]);
    let is_state = |v: &Value| graph.storage_root(*v) == state;
    let recorded = |v: Value| graph.storage_root(v).node == graph.id(slot);
    let others = graph.nodes().iter().enumerate().filter(|&(i, n)| i != slot && !is_alias(n));
    let operands = node.inputs[1..].iter().chain(others.flat_map(|(_, n)| &n.inputs));
    let read = operands.chain(graph.outputs().iter().map(|(_, v)| v)).any(is_state);
    let updated = |&(s, new): &(Value, Value)| match s == state {
        true => !recorded(new),
        false => is_state(&new),
    };
    if read || graph.updates().iter().any(updated) {
        let shape = graph.shape(state);
        let detail = "a state that tensors are recorded into is neither read nor given another value in the same \
                      graph; read the result of `record`, or use another state";
        return Err(Error::shape("record", &[shape], detail));
    }
    Ok(())
}
