//! Products have the shape that elementwise functions read them in: images, of a convolution. Then these can be their
//! epilogue.

use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Class, Graph, Movement, Value};
use crate::ops::Contraction;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Gives each product that is only read under another shape that shape, if an elementwise function of it reads it.
pub(super) fn products(graph: &Graph) -> Result<Graph> {
    let shapes = Shapes::new(graph);
    let mut rewrite = Rewrite::new(graph);
    for (i, node) in graph.nodes().iter().enumerate() {
        let found = node.op.class().contraction().and_then(|op| Some((op, shapes.of(i)?)));
        if graph.values(i).all(|v| rewrite.has(v)) {
            continue;
        }
        let Some((op, aliases)) = found else {
            rewrite.copy(i)?;
            continue;
        };
        let last = graph.id(aliases[aliases.len() - 1]);
        let shape = graph.shape(Value { node: last, output: 0 }).clone();
        let op = Contraction { shape, ..op.clone() };
        let inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
        let (views, layer) = (node.views.clone(), node.layer.clone());
        let values = rewrite.to.push_node(Arc::new(op), &inputs, views, layer)?;
        // Nothing else reads those between.
        for n in std::iter::once(i).chain(aliases) {
            rewrite.set(n, values.clone());
        }
    }
    Ok(rewrite.finish())
}

struct Shapes<'a> {
    graph: &'a Graph,
    users: HashMap<Value, Vec<usize>>,
    roots: HashSet<Value>,
}

impl<'a> Shapes<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut users: HashMap<Value, Vec<usize>> = HashMap::new();
        for (i, node) in graph.nodes().iter().enumerate() {
            node.inputs.iter().for_each(|&v| users.entry(v).or_default().push(i));
        }
        Self { graph, users, roots: graph.roots().collect() }
    }

    /// The reshapes between the product `i` and the functions that read it; `None` if there are none.
    fn of(&self, i: usize) -> Option<Vec<usize>> {
        let plain = |op: &Contraction| op.epilogue.instrs.is_empty() && !op.b_sums;
        self.graph.nodes()[i].op.class().contraction().filter(|op| plain(op))?;
        let mut v = self.graph.values(i).next()?;
        let mut aliases = Vec::new();
        loop {
            let users = self.users.get(&v).map_or(&[][..], Vec::as_slice);
            let &[only] = users else { break };
            let node = &self.graph.nodes()[only];
            let reshape = matches!(node.op.class(), Class::Movement(Movement::Alias { offset: 0 }))
                && node.outputs[0].shape.len() == self.graph.shape(v).len()
                && node.views.iter().all(Option::is_none);
            if !reshape || self.roots.contains(&v) {
                break;
            }
            aliases.push(only);
            v = self.graph.values(only).next()?;
        }
        let shape = self.graph.shape(v);
        let users = self.users.get(&v)?;
        let elementwise = |&u: &usize| {
            self.graph.nodes()[u].op.class().map().is_some_and(|map| map.shape == *shape)
        };
        (!aliases.is_empty() && users.iter().any(elementwise)).then_some(aliases)
    }
}
