//! Gradients that are sums over the iterations of a loop and the rows of each: one product, or one sum, over all rows at
//! once does more in one kernel than an addition in each iteration.

use crate::error::Result;
use crate::graph::{Class, Graph, Movement, Value};
use crate::ops::{Contraction, Map, Reduce, ReduceKind};

/// A term of the gradient in one iteration.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// aᵀ · b, both with `rows` rows.
    Product {
        /// `[rows, m]`.
        a: Value,
        /// `[rows, n]`.
        b: Value,
        /// Rows.
        rows: usize,
    },
    /// Σ x over the axes before `end`.
    Sum {
        /// What is summed.
        x: Value,
        /// Axes summed.
        end: usize,
    },
}

impl Part {
    /// What must be known of each iteration.
    pub(super) fn operands(self) -> Vec<Value> {
        match self {
            Self::Product { a, b, .. } => vec![a, b],
            Self::Sum { x, .. } => vec![x],
        }
    }

    /// The sum over all iterations, from the operands of all: `[times, ...]`.
    pub(super) fn over_all(self, graph: &mut Graph, operands: &[Value]) -> Result<Value> {
        let len = |graph: &Graph, v: Value| graph.shape(v).len();
        match self {
            Self::Product { rows, .. } => {
                let all = rows * graph.shape(operands[0]).dims()[0];
                let (m, n) = (len(graph, operands[0]) / all, len(graph, operands[1]) / all);
                let a = graph.reshape(operands[0], [all, m])?;
                let b = graph.reshape(operands[1], [all, n])?;
                graph.matmul_form(a, b, true, false)
            }
            Self::Sum { end, .. } => {
                let axes: Vec<usize> = (0..=end).collect();
                graph.sum(operands[0], &axes, false)
            }
        }
    }
}

/// The gradient as a sum of such terms, if it is one.
pub(super) fn parts(work: &Graph, gradient: Value) -> Option<Vec<Part>> {
    let node = work.node(gradient);
    match node.op.class() {
        Class::Movement(Movement::Alias { offset: 0 })
            if work.shape(node.inputs[0]).len() == work.shape(gradient).len() =>
        {
            parts(work, node.inputs[0])
        }
        Class::Elementwise => {
            let add = node.op.card::<Map>()?.program.only().filter(|i| i.row.name == "add");
            let whole = node.inputs.iter().all(|&v| work.shape(v) == work.shape(gradient));
            add.filter(|_| whole)?;
            let terms: Option<Vec<Vec<Part>>> =
                node.inputs.iter().map(|&v| parts(work, v)).collect();
            terms.map(|terms| terms.concat())
        }
        Class::Contraction => {
            let op = node.op.card::<Contraction>()?;
            let (spec, plain) = (op.spec, op.epilogue.instrs.is_empty() && !op.b_sums);
            let rows = plain && spec.batch == 1 && !spec.a.k_inner && !spec.b.k_inner;
            let part = Part::Product { a: node.inputs[0], b: node.inputs[1], rows: spec.k };
            rows.then(|| vec![part])
        }
        Class::Reduction => {
            let op = node.op.card::<Reduce>()?;
            let rows = op.kind == ReduceKind::Sum && op.first == 0;
            rows.then(|| vec![Part::Sum { x: node.inputs[0], end: op.end }])
        }
        _ => None,
    }
}
