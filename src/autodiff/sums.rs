//! Gradients that are sums over the iterations of a loop and the rows of each: one product, or one sum, over all rows at
//! once does more in one kernel than an addition in each iteration.

use crate::graph::{Class, Graph, Movement, Node, Value};

/// The gradient as a sum of nodes that sum over rows, if it is one.
pub(super) fn parts(work: &Graph, gradient: Value) -> Option<Vec<&Node>> {
    let node = work.node(gradient);
    let same = |v: Value| work.shape(v).len() == work.shape(gradient).len();
    let alias = matches!(node.op.class(), Class::Movement(Movement::Alias { offset: 0 }));
    if alias && same(node.inputs[0]) {
        return parts(work, node.inputs[0]);
    }
    if node.op.adds_operands() && node.inputs.iter().all(|&v| same(v)) {
        let terms: Option<Vec<_>> = node.inputs.iter().map(|&v| parts(work, v)).collect();
        return terms.map(|terms| terms.concat());
    }
    node.op.sums_rows(&node.views).then(|| vec![node])
}
