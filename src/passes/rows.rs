//! Row kernels take in their neighbours: an elementwise kernel that alone comes before them, such as a residual sum, and
//! one that follows them, such as an activation.
//!
//! This runs after `fuse`: what is an elementwise kernel then has no contraction that it could be the epilogue of.

use super::merge_rows::emit;
use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Map, Read, RowKernel};
use crate::tensor::DType;
use std::collections::{HashMap, HashSet};

/// The most functions of a kernel before a row kernel: each loop over the row computes them again.
const LONGEST_BEFORE: usize = 4;
/// The most operands that it reads from memory.
const WIDEST_BEFORE: usize = 2;
/// The most functions of a kernel after a row kernel.
const LONGEST_AFTER: usize = 64;

pub(super) fn fuse_rows(graph: &Graph, max_buffers: usize) -> Result<Graph> {
    let neighbours = Neighbours::new(graph);
    // The row kernel that each elementwise kernel becomes a part of.
    let mut taken: HashMap<usize, usize> = HashMap::new();
    let mut merges: HashMap<usize, Merge<'_>> = HashMap::new();
    for (k, node) in graph.nodes().iter().enumerate() {
        let Some(kernel) = node.op.class().row_kernel() else { continue };
        let mut merge = Merge { at: k, kernel, before: None, after: None };
        for side in [Side::After, Side::Before] {
            let found = neighbours.candidates(&merge, side, &taken).into_iter().find(|n| {
                let wider = merge.with(graph, side, *n);
                !taken.contains_key(n)
                    && neighbours.buffers(&wider) <= max_buffers
                    && !neighbours.stored(&wider).is_empty()
            });
            if let Some(n) = found {
                taken.insert(n, k);
                merge = merge.with(graph, side, n);
            }
        }
        if merge.before.is_some() || merge.after.is_some() {
            merges.insert(k, merge);
        }
    }
    let mut rewrite = Rewrite::new(graph);
    for i in 0..graph.nodes().len() {
        let done = graph.values(i).any(|v| rewrite.has(v));
        match merges.get(&i) {
            Some(merge) => {
                let operands = neighbours.operands(merge);
                emit(merge, &operands, &neighbours.stored(merge), &mut rewrite)?;
            }
            None if done || taken.contains_key(&i) => {}
            None => rewrite.copy(i)?,
        }
    }
    Ok(rewrite.finish())
}

/// Where a neighbour of a row kernel is.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Before,
    After,
}

/// A row kernel and what it takes in.
#[derive(Clone)]
pub(super) struct Merge<'a> {
    /// The row kernel's node.
    pub at: usize,
    /// Its card.
    pub kernel: &'a RowKernel,
    /// The node and the card that come before it.
    pub before: Option<(usize, &'a Map)>,
    /// The node and the card that come after it.
    pub after: Option<(usize, &'a Map)>,
}

impl<'a> Merge<'a> {
    fn with(&self, graph: &'a Graph, side: Side, n: usize) -> Self {
        let map = graph.nodes()[n].op.class().map().map(|map| (n, map));
        match side {
            Side::Before => Self { before: map, ..self.clone() },
            Side::After => Self { after: map, ..self.clone() },
        }
    }

    /// The nodes that become one kernel, in order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = usize> + use<> {
        let [before, after] = [self.before, self.after].map(|side| side.map(|(n, _)| n));
        before.into_iter().chain([self.at]).chain(after)
    }
}

struct Neighbours<'a> {
    graph: &'a Graph,
    /// The nodes that read each value.
    users: HashMap<Value, Vec<usize>>,
    /// Values that must be readable after a run.
    roots: HashSet<Value>,
    /// Values that become a state: the kernel that computes one may write it over the old one, a row kernel may not.
    states: HashSet<Value>,
}

impl<'a> Neighbours<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut users: HashMap<Value, Vec<usize>> = HashMap::new();
        for (i, node) in graph.nodes().iter().enumerate() {
            node.inputs.iter().for_each(|&v| users.entry(v).or_default().push(i));
        }
        let roots = graph.roots().collect();
        let states = graph.updates().iter().map(|&(_, new)| new).collect();
        Self { graph, users, roots, states }
    }

    fn users(&self, v: Value) -> &[usize] {
        self.users.get(&v).map_or(&[], Vec::as_slice)
    }

    fn map(&self, n: usize, rows: &RowKernel) -> Option<&'a Map> {
        let map = self.graph.nodes()[n].op.class().map()?;
        let state = self.graph.values(n).any(|v| self.states.contains(&v));
        // The kernel reads f32; integers come as step words and constants.
        let inputs = &self.graph.nodes()[n].inputs;
        let read = |v: &Value| self.uniform(*v) || self.graph.ty(*v).dtype == DType::F32;
        let suits = map.shape == rows.rows.shape && inputs.iter().all(read);
        (suits && !state && !map.program.instrs.is_empty()).then_some(map)
    }

    /// Elementwise kernels on this side that the row kernel may take in.
    fn candidates(
        &self,
        merge: &Merge<'_>,
        side: Side,
        taken: &HashMap<usize, usize>,
    ) -> Vec<usize> {
        let (k, kernel) = (merge.at, merge.kernel);
        let node = &self.graph.nodes()[k];
        let mut found = Vec::new();
        match side {
            Side::Before => {
                for read in &kernel.reads {
                    let Read::Element(j) = *read else { continue };
                    let v = node.inputs[j];
                    let Some(map) = self.map(v.node.index(), kernel) else { continue };
                    let inputs = &self.graph.node(v).inputs;
                    let read = inputs.iter().filter(|v| !self.uniform(**v)).count();
                    // What else reads its results comes after the row kernel.
                    let later = self
                        .graph
                        .values(v.node.index())
                        .all(|v| self.users(v).iter().all(|u| *taken.get(u).unwrap_or(u) >= k));
                    let small = map.program.instrs.len() <= LONGEST_BEFORE && read <= WIDEST_BEFORE;
                    if later && small && read > 0 && !map.program.uses_index() {
                        found.push(v.node.index());
                    }
                }
            }
            Side::After => {
                let results = kernel.elements.outputs.len();
                for v in self.graph.values(k).take(results) {
                    for &n in self.users(v) {
                        let Some(map) = self.map(n, kernel) else { continue };
                        let inputs = &self.graph.nodes()[n].inputs;
                        // Its other operands are there before the row kernel; a leaf and a part of one need no kernel.
                        let ready = inputs.iter().all(|v| {
                            v.node.index() == k && (v.output as usize) < results
                                || v.node.index() < k
                                || self.graph.lies_in_leaf(*v)
                        });
                        if ready && map.program.instrs.len() <= LONGEST_AFTER {
                            found.push(n);
                        }
                    }
                }
            }
        }
        found
    }

    fn uniform(&self, v: Value) -> bool {
        self.graph.node(v).op.class().is_uniform()
    }

    /// Results of the full shape that the merged kernel stores: those that something outside it needs.
    fn stored(&self, merge: &Merge<'_>) -> Vec<Value> {
        let nodes: Vec<usize> = merge.nodes().collect();
        let full = |&n: &usize| {
            let count = match self.graph.nodes()[n].op.class().row_kernel() {
                Some(kernel) => kernel.elements.outputs.len(),
                None => usize::MAX,
            };
            self.graph.values(n).take(count)
        };
        let outside =
            |v: &Value| self.roots.contains(v) || self.users(*v).iter().any(|u| !nodes.contains(u));
        nodes.iter().flat_map(full).filter(outside).collect()
    }

    /// The operands of the merged kernel.
    fn operands(&self, merge: &Merge<'_>) -> Vec<Value> {
        let nodes: Vec<usize> = merge.nodes().collect();
        let mut operands: Vec<Value> = Vec::new();
        for v in nodes.iter().flat_map(|&n| &self.graph.nodes()[n].inputs) {
            if !nodes.contains(&v.node.index()) && !operands.contains(v) {
                operands.push(*v);
            }
        }
        operands
    }

    fn buffers(&self, merge: &Merge<'_>) -> usize {
        let read = self.operands(merge).iter().filter(|v| !self.uniform(**v)).count();
        read + self.stored(merge).len() + merge.kernel.kept.len()
    }
}
