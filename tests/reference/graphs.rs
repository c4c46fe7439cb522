//! Graphs: nodes, and edges as pairs of them.

/// The node of each edge at the ends `columns`, counted over all samples: edges `[batch, count, 2]` of `nodes` nodes a
/// sample. A node past the last is the last.
pub fn ends(edges: &[usize], count: usize, nodes: usize, columns: &[usize]) -> Vec<f64> {
    let place = |(i, pair): (usize, &[usize])| {
        let node = move |column: &usize| i / count * nodes + pair[*column].min(nodes - 1);
        columns.iter().map(|c| node(c) as f64).collect::<Vec<_>>()
    };
    edges.chunks(2).enumerate().flat_map(place).collect()
}
