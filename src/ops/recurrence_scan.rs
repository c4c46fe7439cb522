//! Recurrences as loops: in each iteration a product with the gates behind it.
//!
//! States are side by side in one carry, so that a kernel binds few buffers. The loop of the gradient hands on the gradients
//! of the parts, so that an iteration begins with their product and ends with the gates', and both are one kernel, or the
//! gates' are in the one that adds the chunks of a divided sum.

use super::contraction::{Contraction, ContractionSpec};
use super::gate_programs::{StepParts, step, step_gradient};
use super::gated_product::GatedProduct;
use super::gates::Gates;
use super::recurrence::{Extents, Recurrence, RecurrenceGradient};
use super::scan::{Loop, Looped, Order};
use crate::error::Result;
use crate::graph::{Graph, Scan, Value, View};
use crate::kernels::{DeviceCaps, MatmulFamily};
use crate::tensor::Shape;
use std::ops::Range;
use std::sync::Arc;

/// Gates over the product of two views `[1, m, k]` and `[1, k, n]` and over further operands.
fn gated(
    graph: &mut Graph,
    joined: bool,
    [a, b]: [(Value, View); 2],
    gates: Gates,
    rest: &[Value],
) -> Result<Vec<Value>> {
    let (m, k, n) = (a.1.shape().dims()[1], a.1.shape().dims()[2], b.1.shape().dims()[2]);
    if joined {
        let product = Contraction::plain(ContractionSpec { batch: 1, m, n, k }, [m, n].into());
        let mut views = vec![Some(a.1), Some(b.1)];
        views.resize(2 + rest.len(), None);
        let operands = [&[a.0, b.0], rest].concat();
        return graph.push_viewed(Arc::new(GatedProduct { product, gates }), &operands, views);
    }
    let product = graph.contract_views(a, b)?;
    let product = graph.reshape(product, [m, n])?;
    graph.push_all(Arc::new(gates), &[&[product], rest].concat())
}

/// Rows of a sequence, without a copy if they are those of a table.
fn rows_of(graph: &mut Graph, all: Value, rows: Range<usize>) -> Result<Value> {
    let dims = graph.shape(all).dims().to_vec();
    let slice = Shape::from(&dims[1..]);
    if Scan::row(&slice) > slice.len() {
        return graph.slice(all, 0, rows);
    }
    let table = graph.reshape(all, [dims[0], slice.len()])?;
    let part = graph.table_rows(table, rows.start, rows.len())?;
    graph.sequence(part, &slice)
}

/// Tensors side by side along an axis.
fn side_by_side(graph: &mut Graph, all: &[Value], axis: usize) -> Result<Value> {
    match *all {
        [one] => Ok(one),
        _ => graph.concatenate(all, axis),
    }
}

impl Recurrence {
    /// Whether product and gates are one kernel on this device. Those of CPU adapters are long straight lines, which the
    /// functions of four gates would make several times as long.
    fn joins(&self, caps: &DeviceCaps) -> bool {
        self.parts == 1 || caps.matmul == MatmulFamily::Tiled
    }

    /// The kernel of a step: with zeros for the parts to which it adds nothing, and, if the gates are joined to the
    /// product, a unit's parts side by side.
    fn step_kernel(&self, graph: &mut Graph, mut kernel: Value, joined: bool) -> Result<Value> {
        let (units, parts) = (self.units, self.parts);
        if self.first > 0 {
            let zero = graph.constant(0.0);
            let none = graph.broadcast_to(zero, [units, self.first * units])?;
            kernel = graph.concatenate(&[none, kernel], 1)?;
        }
        if joined && parts > 1 && units > 1 {
            kernel = graph.reshape(kernel, [units, parts, units])?;
            kernel = graph.transpose(kernel, &[0, 2, 1])?;
            kernel = graph.reshape(kernel, [units, parts * units])?;
        }
        Ok(kernel)
    }

    fn order(&self, backwards: bool) -> Order {
        if self.reverse == backwards { Order::Forward } else { Order::Reverse }
    }

    fn step_parts<'a>(&self, direct: &'a [usize]) -> StepParts<'a> {
        let Self { parts, states, own, masked, .. } = *self;
        StepParts { parts, states, own, masked, direct }
    }
}

pub(super) fn forward(
    op: &Recurrence,
    graph: &mut Graph,
    inputs: &[Value],
    caps: &DeviceCaps,
) -> Result<Vec<Value>> {
    let Extents { rows, .. } = op.extents(graph.shape(inputs[0]));
    let &Recurrence { units, parts, states, .. } = op;
    let (initial, mask) = inputs[2..].split_at(states);
    let kernel = op.step_kernel(graph, inputs[1], op.joins(caps))?;
    let initial = side_by_side(graph, initial, 1)?;
    let over = Loop {
        carries: &[initial],
        sequences: &[&inputs[..1], mask].concat(),
        outer: &[kernel],
        times: None,
        order: op.order(false),
    };
    let gates = Gates {
        name: op.name,
        program: step(&op.program, op.step_parts(&[]))?,
        units,
        operands: [vec![parts, parts, states], vec![0; mask.len()]].concat(),
        results: vec![states, parts],
        gradient: false,
    };
    let result = graph.scan(&over, |g, now| {
        let (state, kernel) = (now.carries[0], now.outer[0]);
        let h = View::strided([1, rows, units], 0, &[0, (states * units) as isize, 1]);
        let kernel = (kernel, View::whole([1, units, parts * units]));
        let rest = [&[now.slices[0], state], &now.slices[1..]].concat();
        let found = gated(g, op.joins(caps), [(state, h), kernel], gates, &rest)?;
        Ok(Looped { carries: vec![found[0]], stacked: vec![found[1]] })
    })?;
    let all = graph.history(result.carries[0], op.reverse)?;
    let one = |s: usize| graph.slice(all, 2, s * units..(s + 1) * units);
    let values = (0..states).map(one).collect::<Result<Vec<_>>>()?;
    Ok([values, result.stacked].concat())
}

pub(super) fn backward(
    back: &RecurrenceGradient,
    graph: &mut Graph,
    inputs: &[Value],
    caps: &DeviceCaps,
) -> Result<Vec<Value>> {
    let op = &back.of;
    let Extents { times, rows } = op.extents(graph.shape(inputs[0]));
    let &Recurrence { units, parts, .. } = op;
    let (first, terms) = (op.first * units, op.terms() * units);
    let kernel = inputs[1];
    let mut rest = inputs[2..].iter().copied();
    // What a step reads beside the sums: the cell's own state before it, and gradients from outside.
    let mut read = Vec::new();
    if let Some(old) = op.own.and_then(|_| rest.next()) {
        read.push(rows_of(graph, old, op.before(times))?);
    }
    let mask = if op.masked { rest.next() } else { None };
    let given: Vec<Option<Value>> =
        back.upstream.iter().map(|&given| if given { rest.next() } else { None }).collect();
    for &d in given.iter().flatten() {
        read.push(rows_of(graph, d, op.after(times))?);
    }
    // So that one kernel binds all.
    let mut read_parts = vec![1; read.len()];
    if read.len() + usize::from(op.masked) > 2 {
        read_parts = vec![read.len()];
        read = vec![side_by_side(graph, &read, 2)?];
    }
    let direct: Vec<usize> = (0..op.states).filter(|&s| op.masked || op.own == Some(s)).collect();
    let width = (parts + direct.len()) * units;
    let zero = graph.constant(0.0);
    let zeros = graph.broadcast_to(zero, [rows, width])?;
    let sequences: Vec<Value> = inputs[..1].iter().copied().chain(read).chain(mask).collect();
    let over = Loop {
        carries: &[zeros],
        sequences: &sequences,
        outer: &[kernel],
        times: None,
        order: op.order(true),
    };
    let gates = Gates {
        name: op.name,
        program: step_gradient(&back.program, op.step_parts(&direct), &back.upstream)?,
        units,
        operands: [vec![1, parts, parts + direct.len()], read_parts, vec![0; mask.iter().len()]]
            .concat(),
        results: vec![parts + direct.len(), parts],
        gradient: true,
    };
    let result = graph.scan(&over, |g, now| {
        let d = now.carries[0];
        let of_sums = View::strided([1, rows, terms], first as isize, &[0, width as isize, 1]);
        let turned = View::strided([1, terms, units], 0, &[0, 1, terms as isize]);
        let rest = [&[now.slices[0], d], &now.slices[1..]].concat();
        let found = gated(g, op.joins(caps), [(d, of_sums), (now.outer[0], turned)], gates, &rest)?;
        Ok(Looped { carries: vec![found[0]], stacked: vec![found[1]] })
    })?;
    // The initial states, which have no gates.
    let d = result.carries[0];
    let mut initial = Vec::new();
    for (s, given) in given.iter().enumerate() {
        let passed = match direct.iter().position(|&d| d == s) {
            Some(at) => {
                let at = (parts + at) * units;
                Some(graph.slice(d, 1, at..at + units)?)
            }
            None => None,
        };
        let through = match s {
            0 => {
                let of_sums = graph.slice(d, 1, first..parts * units)?;
                Some(graph.matmul_form(of_sums, kernel, false, true)?)
            }
            _ => None,
        };
        let outside = match *given {
            Some(given) => {
                let at = op.initial(times);
                let given = graph.slice(given, 0, at..at + 1)?;
                Some(graph.reshape(given, [rows, units])?)
            }
            None => None,
        };
        let mut total = None;
        for term in [through, passed, outside].into_iter().flatten() {
            total = Some(match total {
                Some(total) => graph.add(total, term)?,
                None => term,
            });
        }
        let total = total.unwrap_or(zeros);
        initial.push(graph.reshape(total, [1, rows, units])?);
    }
    Ok(vec![result.stacked[0], side_by_side(graph, &initial, 0)?])
}
