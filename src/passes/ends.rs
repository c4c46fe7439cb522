//! The last row of a carry's history is the carry after the loop, so what reads only that row needs no history.

use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Class, Graph, Movement, Scan, Table, Value, View};
use crate::ops::{Map, Program};
use std::sync::Arc;

/// The graph in which parts of last rows are parts of carries.
pub(super) fn ends(graph: &Graph) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph);
    for (i, node) in graph.nodes().iter().enumerate() {
        match end(graph, i) {
            None => rewrite.copy(i)?,
            Some((carry, view)) => {
                let (program, shape) = (Program::identity(), node.outputs[0].shape.clone());
                let (op, carry) = (Arc::new(Map { program, shape }), rewrite.get(carry));
                let layer = node.layer.clone();
                let values = rewrite.to.push_node(op, &[carry], vec![Some(view)], layer)?;
                rewrite.set(i, values);
            }
        }
    }
    Ok(rewrite.finish())
}

/// The carry of which the result of a node is a part, and how; `None` if it is not a part of a last row alone.
fn end(graph: &Graph, i: usize) -> Option<(Value, View)> {
    let mut v = graph.values(i).next()?;
    let mut view = View::whole(graph.shape(v));
    while graph.scan_at(v.node.index()).is_none() {
        let node = graph.node(v);
        view = match node.op.class() {
            Class::Movement(Movement::Alias { offset }) => moved(&view, offset as isize),
            Class::Movement(Movement::Strided { offset, strides }) => {
                View::forward(graph.shape(v), offset, &strides).then(&view)?
            }
            Class::Movement(
                Movement::Padded { .. } | Movement::Pack { .. } | Movement::Record { .. },
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
        v = node.inputs[0];
    }
    let scan = graph.scan_at(v.node.index())?;
    let table = scan.tables.get(usize::from(v.output).checked_sub(scan.carries)?)?;
    let &Table::History { carry, backwards } = table else { return None };
    let carry = Value { output: carry as u16, ..v };
    let first = if backwards { 0 } else { scan.times } * Scan::row(graph.shape(carry));
    let view = moved(&view, -(first as isize));
    view.fits(graph.shape(carry).len()).then_some((carry, view))
}

/// The view so many elements later.
fn moved(view: &View, by: isize) -> View {
    View::new(view.shape().clone(), view.offset() + by, view.axes().to_vec(), vec![])
}
