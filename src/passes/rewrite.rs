//! A graph rebuilt node by node.

use crate::error::Result;
use crate::graph::{Graph, Value};

/// The values of a graph under reconstruction, by the old value that each replaces.
pub(crate) struct Rewrite<'a> {
    /// The graph being read.
    pub from: &'a Graph,
    /// The graph being built.
    pub to: Graph,
    map: Vec<Vec<Value>>,
}

impl<'a> Rewrite<'a> {
    pub(crate) fn new(from: &'a Graph) -> Self {
        Self { from, to: from.rebuilt(), map: vec![Vec::new(); from.nodes().len()] }
    }

    /// What an old value is now.
    pub(crate) fn get(&self, old: Value) -> Value {
        self.map[old.node.index()][old.output as usize]
    }

    /// Whether an old value has been rebuilt already.
    pub(crate) fn has(&self, old: Value) -> bool {
        self.map[old.node.index()].len() > old.output as usize
    }

    /// Records what the outputs of an old node are now.
    pub(crate) fn set(&mut self, index: usize, values: Vec<Value>) {
        self.map[index] = values;
    }

    /// Copies an old node with its operands mapped.
    pub(crate) fn copy(&mut self, index: usize) -> Result<()> {
        let node = &self.from.nodes()[index];
        let inputs: Vec<Value> = node.inputs.iter().map(|&v| self.get(v)).collect();
        let (op, views) = (node.op.clone(), node.views.clone());
        let values = self.to.push_node(op, &inputs, views, node.layer.clone())?;
        self.set(index, values);
        Ok(())
    }

    /// The new graph, with the old one's roots.
    pub(crate) fn finish(self) -> Graph {
        let Self { from, mut to, map } = self;
        to.copy_roots(from, |v| map[v.node.index()][v.output as usize]);
        to
    }
}
