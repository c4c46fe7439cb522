//! Column sums with a product: if a contraction reads [k, n] as B and a reduction sums the same elements, as [k, n] or as
//! [.., n], over all axes but the last, the contraction yields both. In a training step these are the kernel gradient
//! and the bias gradient.

use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Graph, Value, View};
use crate::ops::{Contraction, ReduceKind};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(super) fn column_sums(graph: &Graph, max_buffers: usize) -> Result<Graph> {
    let pairs = pairs(graph, max_buffers);
    let reductions: HashMap<usize, usize> = pairs.iter().map(|(&r, &c)| (c, r)).collect();
    let mut rewrite = Rewrite::new(graph);
    for i in 0..graph.nodes().len() {
        let done = graph.values(i).all(|v| rewrite.has(v));
        if done {
            continue;
        }
        let pair = match (pairs.get(&i), reductions.get(&i)) {
            (Some(&c), _) => Some((i, c)),
            (_, Some(&r)) => Some((r, i)),
            _ => None,
        };
        // The first of the two yields both, if the other's operands exist by then.
        let ready = |n: usize| graph.nodes()[n].inputs.iter().all(|&v| rewrite.has(v));
        match pair.filter(|&(r, c)| ready(r) && ready(c)) {
            Some((r, c)) => {
                let node = &graph.nodes()[c];
                let inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
                let Some(op) = node.op.class().contraction() else { continue };
                let op = Contraction { b_sums: true, ..op.clone() };
                let (views, layer) = (node.views.clone(), node.layer.clone());
                let mut values = rewrite.to.push_node(Arc::new(op), &inputs, views, layer)?;
                rewrite.set(r, values.split_off(values.len() - 1));
                rewrite.set(c, values);
            }
            None => rewrite.copy(i)?,
        }
    }
    Ok(rewrite.finish())
}

/// Reductions with the contraction that can yield their sums; each contraction serves one.
fn pairs(graph: &Graph, max_buffers: usize) -> HashMap<usize, usize> {
    let mut pairs = HashMap::new();
    let mut taken = HashSet::new();
    // The contractions that read each value as B.
    let mut readers: HashMap<Value, Vec<usize>> = HashMap::new();
    for (c, node) in graph.nodes().iter().enumerate() {
        if node.op.class().contraction().is_some() {
            readers.entry(graph.unaliased(node.inputs[1])).or_default().push(c);
        }
    }
    for (r, node) in graph.nodes().iter().enumerate() {
        let Some(reduce) = node.op.class().reduction() else { continue };
        let v = node.inputs[0];
        let columns = reduce.kind == ReduceKind::Sum
            && node.views[0].is_none()
            && reduce.first == 0
            && graph.shape(v).rank() >= 2
            && reduce.end == graph.shape(v).rank() - 1
            && node.outputs[0].shape.rank() == 1;
        if !columns {
            continue;
        }
        let serves = |c: &usize| {
            let node = &graph.nodes()[*c];
            node.op.class().contraction().is_some_and(|op| {
                let uniform = |v: &&Value| graph.node(**v).op.class().is_uniform();
                let buffers = node.inputs.iter().filter(|v| !uniform(v)).count();
                let s = &op.spec;
                let whole = node.views[1].as_ref().is_none_or(View::is_whole);
                s.batch == 1
                    && whole
                    && graph.shape(v).len() == s.k * s.n
                    && graph.shape(v).dims().last() == Some(&s.n)
                    && !op.b_sums
                    && !taken.contains(c)
                    && buffers + op.epilogue.outputs.len() < max_buffers
            })
        };
        if let Some(c) =
            readers.get(&graph.unaliased(v)).into_iter().flatten().copied().find(serves)
        {
            taken.insert(c);
            pairs.insert(r, c);
        }
    }
    pairs
}
