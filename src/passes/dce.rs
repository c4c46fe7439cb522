//! Dead code: nodes that no output and no new state needs, and what a loop stacks in vain: of a history, if its last row
//! alone is read, all.

use super::ends;
use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Graph, Scan, Value};
use std::collections::HashSet;
use std::sync::Arc;

pub(super) fn dce(graph: &Graph) -> Result<Graph> {
    let graph = &without_tables(&ends::ends(graph)?)?;
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

/// The graph with loops that give only what is read of their tables.
fn without_tables(graph: &Graph) -> Result<Graph> {
    let scans = || (0..graph.nodes().len()).filter_map(|i| graph.scan_at(i));
    if scans().all(|scan| scan.tables.is_empty()) {
        return Ok(graph.clone());
    }
    let operands = graph.nodes().iter().flat_map(|n| n.inputs.iter().copied());
    let read: HashSet<Value> = operands.chain(graph.roots()).collect();
    let mut rewrite = Rewrite::new(graph);
    for i in 0..graph.nodes().len() {
        let results: Vec<Value> = graph.values(i).collect();
        match graph.scan_at(i).and_then(|scan| narrowed(scan, &results, &read)) {
            None => rewrite.copy(i)?,
            Some(scan) => {
                let node = &graph.nodes()[i];
                let inputs: Vec<Value> = node.inputs.iter().map(|&v| rewrite.get(v)).collect();
                let carries = scan.carries;
                let (views, layer) = (node.views.clone(), node.layer.clone());
                let values = rewrite.to.push_node(Arc::new(scan), &inputs, views, layer)?;
                // A table that nothing reads has no successor: any value serves.
                let mut kept = values[carries..].iter();
                let tables = results[carries..].iter().map(|v| match read.contains(v) {
                    true => kept.next().copied().unwrap_or(values[0]),
                    false => values[0],
                });
                let all = values[..carries].iter().copied().chain(tables).collect();
                rewrite.set(i, all);
            }
        }
    }
    Ok(rewrite.finish())
}

/// The loop without the tables that nothing reads; `None` if there are none such, or nothing else.
fn narrowed(scan: &Scan, results: &[Value], read: &HashSet<Value>) -> Option<Scan> {
    let keeps: Vec<bool> = results[scan.carries..].iter().map(|v| read.contains(v)).collect();
    let empty = scan.carries == 0 && !keeps.contains(&true);
    if empty || !keeps.contains(&false) {
        return None;
    }
    let mut body = scan.body.graph().clone();
    let outputs = body.outputs().to_vec();
    let (carries, rows) = outputs.split_at(scan.carries);
    let rows = rows.iter().zip(&keeps).filter(|(_, keep)| **keep).map(|(row, _)| row);
    body.set_outputs(carries.iter().chain(rows).cloned().collect());
    let tables = scan.tables.iter().zip(&keeps).filter(|(_, keep)| **keep).map(|(t, _)| *t);
    Some(Scan { tables: tables.collect(), ..scan.with_body(body) })
}
