//! Views: a kernel that reads a copy of a tensor (a transpose, a slice, split heads, a tensor that is repeated or has
//! zeros around it) reads the tensor itself instead, through a view, and the copy disappears.
//!
//! A copy disappears only if all its readers can do without it: as long as it is made, it may as well be read. Readers
//! are looked at from the last to the first, so that what becomes of a copy is known when it is met itself, and the
//! work grows linearly with the graph.

use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Class, Graph, Movement, Node, TensorType, Value, View};
use crate::ops::{Map, Program};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn views(graph: &Graph) -> Result<Graph> {
    let copies = Copies::new(graph);
    let mut rewrite = Rewrite::new(graph);
    for (i, node) in graph.nodes().iter().enumerate() {
        if copies.vanishes[i] || !node.op.class().launches() {
            rewrite.copy(i)?;
            continue;
        }
        // A copy that stays reads through a view itself, if what it copies is a copy.
        if let Some((base, view)) = copies.source(i) {
            let shape = node.outputs[0].shape.clone();
            let (program, base) = (Program::identity(), rewrite.get(base));
            let (op, views) = (Arc::new(Map { program, shape }), vec![Some(view)]);
            let values = rewrite.to.push_node(op, &[base], views, node.layer.clone())?;
            rewrite.set(i, values);
            continue;
        }
        let (mut inputs, mut views) = (Vec::new(), node.views.clone());
        for (j, &v) in node.inputs.iter().enumerate() {
            match copies.read(node, j) {
                Some((base, view)) => {
                    inputs.push(rewrite.get(base));
                    views[j] = Some(view);
                }
                None => inputs.push(rewrite.get(v)),
            }
        }
        let values = rewrite.to.push_node(node.op.clone(), &inputs, views, node.layer.clone())?;
        rewrite.set(i, values);
    }
    Ok(rewrite.finish())
}

/// The copies of a graph.
struct Copies<'a> {
    graph: &'a Graph,
    /// What each copy, and each alias, shows of its operand.
    views: Vec<Option<View>>,
    /// The copies that no kernel needs.
    vanishes: Vec<bool>,
    /// The first kernel that may write over each state.
    writers: HashMap<Value, usize>,
}

impl<'a> Copies<'a> {
    fn new(graph: &'a Graph) -> Self {
        let views: Vec<Option<View>> =
            graph.nodes().iter().map(|node| copied(graph, node)).collect();
        let is_copy = |i: usize| views[i].is_some() && graph.nodes()[i].op.class().launches();
        let vanishes = (0..views.len()).map(is_copy).collect();
        let writers = graph
            .updates()
            .iter()
            .map(|&(state, new)| (state, graph.storage_root(new).node.index()));
        let mut this = Self { graph, vanishes, writers: writers.collect(), views };
        graph.roots().for_each(|v| this.keep(v));
        for (i, node) in graph.nodes().iter().enumerate().rev() {
            // Aliases are looked through, and what vanishes reads nothing.
            if this.vanishes[i] || !node.op.class().launches() && this.views[i].is_some() {
                continue;
            }
            for j in 0..node.inputs.len() {
                this.judge(i, j);
            }
        }
        this
    }

    /// Keeps the copy that holds `v`, if there is one.
    fn keep(&mut self, v: Value) {
        let root = self.graph.storage_root(v);
        self.vanishes[root.node.index()] = false;
    }

    /// Keeps the copies that node `i`, which may be a copy itself, cannot do without when it reads operand `j`.
    fn judge(&mut self, i: usize, j: usize) {
        let node = &self.graph.nodes()[i];
        if self.views[node.inputs[j].node.index()].is_none() {
            return self.keep(node.inputs[j]);
        }
        let seen = |j: usize, v: Value| node.seen(j, self.graph.ty(v));
        let types: Vec<TensorType> =
            node.inputs.iter().enumerate().map(|(j, &v)| seen(j, v)).collect();
        let types: Vec<&TensorType> = types.iter().collect();
        let mut v = node.inputs[j];
        let mut view = self.views[i].clone().or_else(|| Some(self.first_view(node, j)));
        while let Some(own) = &self.views[v.node.index()] {
            let (n, base) = (v.node.index(), self.graph.node(v).inputs[0]);
            view = view.and_then(|view| own.then(&view));
            v = base;
            // Aliases cost nothing.
            if !self.graph.nodes()[n].op.class().launches() {
                continue;
            }
            if !self.vanishes[n] {
                return;
            }
            let read = |view: &View| {
                let copy = self.views[i].is_some();
                view.fits(self.graph.shape(base).len())
                    && (copy || node.op.takes_view(&types, j, view))
                    && (copy || node.op.gains_by_view(&types, j, view))
            };
            if !view.as_ref().is_some_and(read) || !self.in_time(i, base) {
                self.vanishes[n] = false;
                return;
            }
        }
        self.keep(v);
    }

    /// Whether node `i` runs before anything may be written over `base`.
    fn in_time(&self, i: usize, base: Value) -> bool {
        self.writers.get(&self.graph.storage_root(base)).is_none_or(|&writer| i < writer)
    }

    /// How a node reads operand `j` as it is.
    fn first_view(&self, node: &Node, j: usize) -> View {
        let whole = || View::whole(self.graph.shape(node.inputs[j]));
        node.views[j].clone().unwrap_or_else(whole)
    }

    /// The tensor that `node` reads as operand `j` where the copies that vanish are looked through; `None` if it reads
    /// no such copy.
    fn read(&self, node: &Node, j: usize) -> Option<(Value, View)> {
        self.follow(node.inputs[j], self.first_view(node, j))
    }

    /// The tensor that a copy shows through copies that vanish; `None` if it copies no such copy, or is none itself.
    fn source(&self, copy: usize) -> Option<(Value, View)> {
        let view = self.views[copy].clone()?;
        self.follow(self.graph.nodes()[copy].inputs[0], view)
    }

    /// The last tensor behind copies that vanish.
    fn follow(&self, mut v: Value, mut view: View) -> Option<(Value, View)> {
        let mut found = None;
        while let Some(own) = self.views[v.node.index()].as_ref() {
            let node = self.graph.node(v);
            let copy = node.op.class().launches();
            if copy && !self.vanishes[v.node.index()] {
                break;
            }
            let Some(next) = own.then(&view) else { break };
            view = next;
            v = node.inputs[0];
            if copy {
                found = Some((v, view.clone()));
            }
        }
        found
    }
}

/// What a node that only moves the elements of its operand shows of it.
pub(super) fn copied(graph: &Graph, node: &Node) -> Option<View> {
    let from = || graph.shape(node.inputs[0]);
    let to = || node.outputs[0].shape.clone();
    let view = match node.op.class() {
        Class::Movement(Movement::Alias { offset: 0 }) if from().len() == to().len() => {
            View::whole(to())
        }
        Class::Movement(Movement::Strided { offset, strides }) => {
            View::forward(to(), offset, &strides)
        }
        Class::Movement(Movement::Padded { around }) => View::padded(from(), &around),
        // A map that computes nothing; a constant is no tensor.
        Class::Elementwise(map) if map.program == Program::identity() => {
            if graph.node(node.inputs[0]).op.class().is_uniform() {
                return None;
            }
            let seen = node.views[0].clone().unwrap_or_else(|| View::whole(from()));
            return seen.spread(&map.shape);
        }
        Class::Movement(
            Movement::Alias { .. } | Movement::Pack { .. } | Movement::Record { .. },
        )
        | Class::Leaf(_)
        | Class::Elementwise(_)
        | Class::Reduction(_)
        | Class::Contraction(_)
        | Class::Rows(_)
        | Class::Scan(_)
        | Class::Composite
        | Class::Opaque => return None,
    };
    match &node.views[0] {
        Some(own) => own.then(&view),
        None => Some(view),
    }
}
