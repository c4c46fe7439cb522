//! Copies for which the planner needs a buffer: a constant or a step word that a kernel reads as a tensor, a root
//! that no kernel writes, and tensors of a pack that cannot be written in place.
//!
//! This runs in every plan: it is part of lowering, not an optimisation.

use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Movement, Node, NodeId, Value};
use crate::kernels::DYNAMIC_BINDINGS;
use crate::ops::{Map, Program};
use crate::passes::Rewrite;
use crate::tensor::DType;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

fn copy_of(graph: &mut Graph, v: Value) -> Result<Value> {
    if graph.ty(v).dtype != DType::F32 {
        let detail = "only f32 values are copied; keep integers in inputs";
        return Err(Error::dtype("copy", &[graph.ty(v).dtype], detail));
    }
    let shape = graph.shape(v).clone();
    graph.push(Arc::new(Map { program: Program::identity(), shape }), &[v])
}

/// Whether the planner may choose where the node's kernels write. A loop's results are in buffers of its choice.
fn places_results(node: &Node) -> bool {
    let class = node.op.class();
    class.launches() && !matches!(class, Class::Scan(_))
}

/// What a pack or a record puts into its buffer: all operands of a pack, the tensors of a record.
struct Held {
    /// The first operand that it holds.
    first: usize,
    /// How many operands are in each buffer. An operand that a pack holds twice is computed elsewhere and copied in
    /// twice: a copy from one place of the pack to another would read and write it in one dispatch.
    times: HashMap<Value, usize>,
    /// Whether it is a record, whose place moves from step to step.
    moves: bool,
    /// Whether kernels may write straight into it. A buffer has one access mode per dispatch, so no kernel may read
    /// one tensor of a pack while it writes another.
    writable: bool,
}

impl Held {
    fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let class = node.op.class();
        let first = class.first_held()?;
        let moves = matches!(class, Class::Movement(Movement::Record { .. }));
        let mut times = HashMap::new();
        for &v in &node.inputs {
            *times.entry(graph.storage_root(v)).or_default() += 1;
        }
        let reads =
            |node: &Node| node.inputs.iter().any(|&v| times.contains_key(&graph.storage_root(v)));
        let writable = moves || !times.keys().any(|&root| reads(graph.node(root)));
        Some(Self { first, times, moves, writable })
    }
}

/// The values that are in a pack or a record: their kernels write there and nowhere else.
#[derive(Default)]
struct Placed {
    values: HashSet<Value>,
    /// How many of each node.
    of_node: HashMap<NodeId, usize>,
}

impl Placed {
    fn insert(&mut self, v: Value) {
        self.values.insert(v);
        *self.of_node.entry(v.node).or_default() += 1;
    }
}

/// As [`materialise`], for the body of a loop with so many carries, in which the leaves `moving` are regions that move.
/// Each output is written by a kernel, and by no other one's result; and no kernel binds more regions that move than a
/// device allows.
pub(super) fn materialise_body(graph: &Graph, moving: &[Value], carries: usize) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph);
    let (mut rows, mut moving) = (HashMap::new(), moving.iter().copied().collect::<HashSet<_>>());
    for (_, v) in &graph.outputs()[carries..] {
        let root = graph.storage_root(*v);
        *rows.entry(root.node).or_insert(0) += 1;
        moving.insert(root);
    }
    for (i, node) in graph.nodes().iter().enumerate() {
        let mut inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
        let own = rows.get(&node.id).copied().unwrap_or(0).min(DYNAMIC_BINDINGS);
        let mut room = DYNAMIC_BINDINGS - own;
        let binds = places_results(node);
        for (&old, v) in node.inputs.iter().zip(&mut inputs) {
            if !binds || !moving.contains(&graph.storage_root(old)) {
                continue;
            }
            match room.checked_sub(1) {
                Some(left) => room = left,
                None => *v = copy_of(&mut rewrite.to, *v)?,
            }
        }
        let (op, views) = (node.op.clone(), node.views.clone());
        let values = rewrite.to.push_node(op, &inputs, views, node.layer.clone())?;
        rewrite.set(i, values);
    }
    let mut graph = materialise(&rewrite.finish())?;
    let packs = graph.nodes().iter().filter(|node| node.op.class().first_held().is_some());
    let mut taken: HashSet<Value> =
        packs.flat_map(|n| &n.inputs).map(|&v| graph.storage_root(v)).collect();
    let (mut rows, mut outputs) = (HashMap::new(), Vec::new());
    for (j, (name, v)) in graph.outputs().to_vec().into_iter().enumerate() {
        let source = graph.unaliased(v);
        let beside = rows.entry(source.node).or_insert(0);
        let room = j < carries || *beside < DYNAMIC_BINDINGS;
        let v = match room && places_results(graph.node(source)) && taken.insert(source) {
            true => v,
            false => copy_of(&mut graph, v)?,
        };
        if j >= carries {
            *rows.entry(graph.unaliased(v).node).or_insert(0) += 1;
        }
        outputs.push((name, v));
    }
    graph.set_outputs(outputs);
    Ok(graph)
}

pub(super) fn materialise(graph: &Graph) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph);
    let mut placed = Placed::default();
    for (i, node) in graph.nodes().iter().enumerate() {
        let holder = Held::of(graph, node);
        if holder.as_ref().is_some_and(|held| held.moves) {
            recorded_alone(graph, i)?;
        }
        let mut inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
        for (j, v) in inputs.iter_mut().enumerate() {
            let held = holder.as_ref().filter(|held| j >= held.first);
            let uniform = rewrite.to.node(*v).op.class().is_uniform() && !node.op.takes_uniform(j);
            let source = rewrite.to.unaliased(*v);
            let in_place = |held: &Held| {
                let beside = placed.of_node.get(&source.node).copied().unwrap_or(0);
                places_results(rewrite.to.node(source))
                    && !placed.values.contains(&source)
                    && held.times[&graph.storage_root(node.inputs[j])] == 1
                    && held.writable
                    && (!held.moves
                        || beside < DYNAMIC_BINDINGS && only_read_by(graph, i, node.inputs[j]))
            };
            if uniform || held.is_some_and(|held| !in_place(held)) {
                *v = copy_of(&mut rewrite.to, *v)?;
            }
            if held.is_some() {
                placed.insert(rewrite.to.unaliased(*v));
            }
        }
        let (op, views) = (node.op.clone(), node.views.clone());
        let values = rewrite.to.push_node(op, &inputs, views, node.layer.clone())?;
        rewrite.set(i, values);
    }
    let mut graph = rewrite.finish();
    let roots: Vec<(String, Value)> = graph.outputs().to_vec();
    let mut outputs = Vec::new();
    for (name, v) in roots {
        let leaf = graph.lies_in_leaf(v);
        outputs.push((name, if leaf { copy_of(&mut graph, v)? } else { v }));
    }
    graph.set_outputs(outputs);
    // A state whose new value is another buffer's present value: the value is copied before either changes.
    let mut updates = Vec::new();
    for (state, new) in graph.updates().to_vec() {
        let leaf = graph.lies_in_leaf(new) && graph.unaliased(new) != state;
        updates.push((state, if leaf { copy_of(&mut graph, new)? } else { new }));
    }
    graph.set_updates(updates);
    Ok(graph)
}

/// Whether only node `reader` needs the operand: then it may be in a place that only that step finds.
fn only_read_by(graph: &Graph, reader: usize, operand: Value) -> bool {
    let root = graph.storage_root(operand);
    let is_root = |v: &Value| graph.storage_root(*v) == root;
    let others = graph.nodes().iter().enumerate().filter(|&(i, n)| i != reader && !is_alias(n));
    !others.flat_map(|(_, n)| &n.inputs).any(is_root) && !graph.roots().any(|v| is_root(&v))
}

fn is_alias(node: &Node) -> bool {
    matches!(node.op.class(), Class::Movement(Movement::Alias { .. }))
}

/// Refuses a state that is recorded into and used in another way: its rows are written while the step runs, so a kernel
/// would read some of them before and some after.
fn recorded_alone(graph: &Graph, record: usize) -> Result<()> {
    let node = &graph.nodes()[record];
    let state = graph.storage_root(node.inputs[0]);
    let is_state = |v: &Value| graph.storage_root(*v) == state;
    let recorded = |v: Value| graph.storage_root(v).node == graph.id(record);
    let others = graph.nodes().iter().enumerate().filter(|&(i, n)| i != record && !is_alias(n));
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
