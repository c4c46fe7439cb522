//! Dead code: nodes that no output and no new state needs.

use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::Graph;

pub(super) fn dce(graph: &Graph) -> Result<Graph> {
    let mut live = vec![false; graph.nodes().len()];
    for root in graph.roots().chain(graph.updates().iter().map(|&(state, _)| state)) {
        live[root.node.index()] = true;
    }
    for i in (0..live.len()).rev() {
        if live[i] {
            graph.nodes()[i].inputs.iter().for_each(|v| live[v.node.index()] = true);
        }
    }
    let mut rewrite = Rewrite::new(graph);
    for (i, &live) in live.iter().enumerate() {
        if live {
            rewrite.copy(i)?;
        }
    }
    Ok(rewrite.finish())
}
