//! Composite ops: the nodes that compute them take their place. It runs before all else, and always.

use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Class, Graph, Value};

pub(super) fn expand(graph: &Graph) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph);
    for (i, node) in graph.nodes().iter().enumerate() {
        if node.op.class() != Class::Composite {
            rewrite.copy(i)?;
            continue;
        }
        let inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
        let values = match node.layer.as_deref() {
            Some(layer) => rewrite.to.in_layer(layer, |g| node.op.expand(g, &inputs))?,
            None => node.op.expand(&mut rewrite.to, &inputs)?,
        };
        rewrite.set(i, values);
    }
    Ok(rewrite.finish())
}
