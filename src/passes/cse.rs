//! Common subexpressions: nodes with equal op and operands become one. Random ops never merge.

use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Graph, OpRef, TensorType, Value, View};
use std::collections::HashMap;

/// The op with all its fields, operands and their views, result types.
type Key<'a> = (&'a OpRef, Vec<Value>, &'a [Option<View>], &'a [TensorType]);

pub(super) fn cse(graph: &Graph) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph);
    let mut seen: HashMap<Key<'_>, Vec<Value>> = HashMap::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        let inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
        let key = (&node.op, inputs, node.views.as_slice(), node.outputs.as_slice());
        if let Some(values) = seen.get(&key).filter(|_| !node.op.is_random()) {
            rewrite.set(i, values.clone());
            continue;
        }
        rewrite.copy(i)?;
        let values = graph.values(i).map(|v| rewrite.get(v)).collect();
        seen.insert(key, values);
    }
    Ok(rewrite.finish())
}
