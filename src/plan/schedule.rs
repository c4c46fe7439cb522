//! The order of kernels, and which new states take the place of the old.

use crate::graph::{Class, Graph, Leaf, Movement, Value};
use std::collections::{BTreeSet, HashMap};

/// Nodes in the order they run, and for each update whether the new value is written straight over the old.
pub(super) struct Schedule {
    /// Node indices.
    pub order: Vec<usize>,
    /// Values that are written into the buffer of a state: value to state leaf.
    pub placed: HashMap<Value, Value>,
}

pub(super) fn schedule(graph: &Graph) -> Schedule {
    let count = graph.nodes().len();
    let mut before: Vec<BTreeSet<usize>> =
        graph.nodes().iter().map(|n| n.inputs.iter().map(|v| v.node.index()).collect()).collect();
    let mut placed: HashMap<Value, Value> = HashMap::new();
    for &(state, new) in graph.updates() {
        let writer = new.node.index();
        if !may_place(graph, state, new) || placed.contains_key(&new) {
            continue;
        }
        // Whoever reads the old state runs before the kernel that overwrites it.
        let readers: Vec<usize> =
            (0..count).filter(|&i| i != writer && reads(graph, i, state)).collect();
        if readers.iter().any(|&r| reaches(&before, writer, r)) {
            continue;
        }
        before[writer].extend(readers);
        placed.insert(new, state);
    }
    // Leaves and aliases cost nothing, so the lowest ready index keeps the order in which layers were built.
    let mut done = vec![false; count];
    let mut order = Vec::with_capacity(count);
    while order.len() < count {
        let ready = (0..count).find(|&i| !done[i] && before[i].iter().all(|&b| done[b]));
        let Some(next) = ready else { break };
        done[next] = true;
        order.push(next);
    }
    Schedule { order, placed }
}

/// Whether the op allows `new` to be written into the buffer of `state`.
fn may_place(graph: &Graph, state: Value, new: Value) -> bool {
    let node = graph.node(new);
    match node.op.class() {
        Class::Leaf(_) | Class::Movement(_) => return false,
        _ => {}
    }
    // A tensor of a pack is written there, and a buffer that is bound twice has one access mode.
    let twice = node.inputs.iter().filter(|&&v| v == state).count() > 1;
    if twice || packed(graph, new) {
        return false;
    }
    let types: Vec<_> = node.inputs.iter().map(|&v| graph.ty(v)).collect();
    node.inputs.iter().enumerate().all(|(j, &v)| {
        let same_buffer = graph.storage_root(v) == state;
        !same_buffer || (v == state && node.op.may_overwrite(&types, j, new.output as usize))
    })
}

/// Whether a pack has `value` written straight into its arena.
fn packed(graph: &Graph, value: Value) -> bool {
    graph.nodes().iter().any(|node| {
        matches!(node.op.class(), Class::Movement(Movement::Pack { .. }))
            && node.inputs.iter().any(|&v| graph.storage_root(v) == value)
    })
}

/// Whether the kernel of node `i` reads the buffer of `state`.
fn reads(graph: &Graph, i: usize, state: Value) -> bool {
    let node = &graph.nodes()[i];
    node.op.class().launches() && node.inputs.iter().any(|&v| graph.storage_root(v) == state)
}

/// Whether `from` must run before `to`.
fn reaches(before: &[BTreeSet<usize>], from: usize, to: usize) -> bool {
    let mut open = vec![to];
    let mut seen = BTreeSet::new();
    while let Some(n) = open.pop() {
        if n == from {
            return true;
        }
        if seen.insert(n) {
            open.extend(&before[n]);
        }
    }
    false
}

/// Whether a leaf is a buffer that the caller owns.
pub(super) fn external(class: &Class<'_>) -> bool {
    matches!(class, Class::Leaf(Leaf::Input(_) | Leaf::State(_)))
}
