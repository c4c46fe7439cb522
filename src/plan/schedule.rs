//! The order of kernels, and which new states take the place of the old.

use crate::graph::{Class, Graph, Movement, Value};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// Nodes in the order they run, and for each update whether the new value is written straight over the old.
pub(super) struct Schedule {
    /// Node indices.
    pub order: Vec<usize>,
    /// Values that are written into the buffer of a state: value to state leaf.
    pub placed: HashMap<Value, Value>,
}

pub(super) fn schedule(graph: &Graph) -> Schedule {
    let uses = Uses::new(graph);
    // What must run after each node.
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes().len()];
    for (i, node) in graph.nodes().iter().enumerate() {
        node.inputs.iter().for_each(|v| after[v.node.index()].push(i));
    }
    let mut placed: HashMap<Value, Value> = HashMap::new();
    for &(state, new) in graph.updates() {
        let writer = new.node.index();
        if !may_place(graph, &uses, state, new) || placed.contains_key(&new) {
            continue;
        }
        // What reads the old state runs before the kernel that overwrites it.
        let readers = uses.readers.get(&state).map_or(&[][..], Vec::as_slice);
        let others = || readers.iter().copied().filter(|&reader| reader != writer);
        if follows(&after, writer, others) {
            continue;
        }
        others().for_each(|reader| after[reader].push(writer));
        placed.insert(new, state);
    }
    Schedule { order: order(&after), placed }
}

/// Nodes in an order that keeps to `after`. Leaves and aliases cost nothing, so the lowest node that is ready keeps the
/// order in which layers were built.
fn order(after: &[Vec<usize>]) -> Vec<usize> {
    let mut missing = vec![0; after.len()];
    after.iter().flatten().for_each(|&next| missing[next] += 1);
    let ready = (0..after.len()).filter(|&i| missing[i] == 0).map(Reverse);
    let mut ready: BinaryHeap<_> = ready.collect();
    let mut order = Vec::with_capacity(after.len());
    while let Some(Reverse(i)) = ready.pop() {
        order.push(i);
        for &next in &after[i] {
            missing[next] -= 1;
            if missing[next] == 0 {
                ready.push(Reverse(next));
            }
        }
    }
    order
}

/// Who uses which buffer.
struct Uses {
    /// The kernels that read each value's buffer.
    readers: HashMap<Value, Vec<usize>>,
    /// Values that a pack has written straight into its arena.
    packed: HashSet<Value>,
}

impl Uses {
    fn new(graph: &Graph) -> Self {
        let mut readers: HashMap<Value, Vec<usize>> = HashMap::new();
        let mut packed = HashSet::new();
        for (i, node) in graph.nodes().iter().enumerate() {
            let class = node.op.class();
            for &v in &node.inputs {
                let root = graph.storage_root(v);
                if class.launches() {
                    readers.entry(root).or_default().push(i);
                }
                if matches!(class, Class::Movement(Movement::Pack { .. })) {
                    packed.insert(root);
                }
            }
        }
        readers.values_mut().for_each(Vec::dedup);
        Self { readers, packed }
    }
}

/// Whether the op allows `new` to be written into the buffer of `state`.
fn may_place(graph: &Graph, uses: &Uses, state: Value, new: Value) -> bool {
    let node = graph.node(new);
    match node.op.class() {
        // A loop's results are in buffers of its choice.
        Class::Leaf(_) | Class::Movement(_) | Class::Scan(_) => return false,
        Class::Elementwise(_)
        | Class::Reduction(_)
        | Class::Contraction(_)
        | Class::Rows(_)
        | Class::Composite
        | Class::Opaque => {}
    }
    // A tensor of a pack is written in the pack, and a buffer that is bound twice has one access mode.
    let twice = node.inputs.iter().filter(|&&v| v == state).count() > 1;
    if twice || uses.packed.contains(&new) {
        return false;
    }
    let types: Vec<_> = node.inputs.iter().map(|&v| graph.ty(v)).collect();
    node.inputs.iter().enumerate().all(|(j, &v)| {
        let same_buffer = graph.storage_root(v) == state;
        let in_order = v == state && node.views[j].is_none();
        !same_buffer || (in_order && node.op.may_overwrite(&types, j, new.output as usize))
    })
}

/// Whether any of `nodes` must run after `from`.
fn follows<I: Iterator<Item = usize>>(
    after: &[Vec<usize>],
    from: usize,
    nodes: impl Fn() -> I,
) -> bool {
    let sought: HashSet<usize> = nodes().collect();
    let mut open = after[from].clone();
    let mut seen = HashSet::new();
    while let Some(n) = open.pop() {
        if sought.contains(&n) {
            return true;
        }
        if seen.insert(n) {
            open.extend(&after[n]);
        }
    }
    false
}
