//! Composite ops, and ops without a kernel that suits the device: the nodes that compute them take their place. It runs
//! before all else, and always.

use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Graph, TensorType, Value};
use crate::kernels::DeviceCaps;

pub(super) fn expand(graph: &Graph, caps: &DeviceCaps) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph);
    for (i, node) in graph.nodes().iter().enumerate() {
        let types: Vec<&TensorType> = node.inputs.iter().map(|&v| graph.ty(v)).collect();
        if !node.op.expands_on(&types, caps) {
            rewrite.copy(i)?;
            continue;
        }
        let inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
        let values = match node.layer.as_deref() {
            Some(layer) => rewrite.to.in_layer(layer, |g| node.op.expand(g, &inputs, caps))?,
            None => node.op.expand(&mut rewrite.to, &inputs, caps)?,
        };
        rewrite.set(i, values);
    }
    Ok(rewrite.finish())
}
