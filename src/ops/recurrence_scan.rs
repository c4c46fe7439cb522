//! Recurrences as loops: a product and the gates in each iteration.

use super::gate_programs::gradient;
use super::gates::Gates;
use super::recurrence::{Extents, Recurrence, RecurrenceGradient};
use super::scan::{Loop, Looped, Order};
use crate::error::Result;
use crate::graph::{Graph, Value};
use std::sync::Arc;

impl Recurrence {
    /// The kernel with zeros for the parts to which it adds nothing.
    fn whole_kernel(&self, graph: &mut Graph, kernel: Value) -> Result<Value> {
        if self.first == 0 {
            return Ok(kernel);
        }
        let zero = graph.constant(0.0);
        let none = graph.broadcast_to(zero, [self.units, self.first * self.units])?;
        graph.concatenate(&[none, kernel], 1)
    }

    fn order(&self, backwards: bool) -> Order {
        if self.reverse == backwards { Order::Forward } else { Order::Reverse }
    }
}

/// `yes` where the mask `[rows]` is positive, else `no`, `[rows, units]`.
fn choose(graph: &mut Graph, mask: Option<Value>, yes: Value, no: Value) -> Result<Value> {
    let Some(mask) = mask else { return Ok(yes) };
    let rows = graph.shape(mask).dims()[0];
    let mask = graph.reshape(mask, [rows, 1])?;
    graph.select(mask, yes, no)
}

pub(super) fn forward(op: &Recurrence, graph: &mut Graph, inputs: &[Value]) -> Result<Vec<Value>> {
    let Extents { rows, .. } = op.extents(graph.shape(inputs[0]));
    let (states, mask) = inputs[2..].split_at(op.states);
    let kernel = op.whole_kernel(graph, inputs[1])?;
    let sequences: Vec<Value> = [&inputs[..1], mask].concat();
    let over = Loop {
        carries: states,
        sequences: &sequences,
        outer: &[kernel],
        times: None,
        order: op.order(false),
    };
    let result = graph.scan(&over, |g, now| {
        let product = g.matmul(now.carries[0], now.outer[0])?;
        let sums = g.add(now.slices[0], product)?;
        let (name, program, units) = (op.name, op.program.clone(), op.units);
        let mut operands = vec![sums];
        operands.extend(op.own.map(|own| now.carries[own]));
        let parts = [vec![op.parts], vec![1; operands.len() - 1]].concat();
        let results = vec![1; op.states];
        let gates = Gates { name, program, units, operands: parts, results, gradient: false };
        let mut new = g.push_all(Arc::new(gates), &operands)?;
        for (new, &old) in new.iter_mut().zip(&now.carries) {
            *new = choose(g, now.slices.get(1).copied(), *new, old)?;
        }
        let stacked = [new.as_slice(), &[sums]].concat();
        Ok(Looped { carries: new, stacked })
    })?;
    let mut values = Vec::new();
    for (&initial, &all) in states.iter().zip(&result.stacked) {
        let initial = graph.reshape(initial, [1, rows, op.units])?;
        let parts = if op.reverse { [all, initial] } else { [initial, all] };
        values.push(graph.concatenate(&parts, 0)?);
    }
    values.push(result.stacked[op.states]);
    Ok(values)
}

pub(super) fn backward(
    back: &RecurrenceGradient,
    graph: &mut Graph,
    inputs: &[Value],
) -> Result<Vec<Value>> {
    let op = &back.of;
    let Extents { times, rows } = op.extents(graph.shape(inputs[0]));
    let kernel = op.whole_kernel(graph, inputs[1])?;
    let mut rest = inputs[2..].iter().copied();
    let old = op.own.and_then(|_| rest.next());
    let mask = if op.masked { rest.next() } else { None };
    let given: Vec<Option<Value>> =
        back.upstream.iter().map(|&given| if given { rest.next() } else { None }).collect();
    let mut sequences = vec![inputs[0]];
    if let Some(old) = old {
        sequences.push(graph.slice(old, 0, op.before(times))?);
    }
    sequences.extend(mask);
    for &d in given.iter().flatten() {
        sequences.push(graph.slice(d, 0, op.after(times))?);
    }
    let zero = graph.constant(0.0);
    let zeros = graph.broadcast_to(zero, [rows, op.units])?;
    let carries = vec![zeros; op.states];
    let over = Loop {
        carries: &carries,
        sequences: &sequences,
        outer: &[kernel],
        times: None,
        order: op.order(true),
    };
    let result = graph.scan(&over, |g, now| {
        let mut slices = now.slices.iter().copied();
        let sums = slices.next();
        let old = old.and_then(|_| slices.next());
        let mask = mask.and_then(|_| slices.next());
        let mut d: Vec<Vec<Value>> = now.carries.iter().map(|&d| vec![d]).collect();
        for (d, given) in d.iter_mut().zip(&given) {
            d.extend(given.and_then(|_| slices.next()));
            // A masked step hands the sum on. Otherwise the gates alone need it, and add it up themselves.
            if let (Some(_), &[carried, given]) = (mask, d.as_slice()) {
                *d = vec![g.add(carried, given)?];
            }
        }
        let counts: Vec<usize> = d.iter().map(Vec::len).collect();
        let program = gradient(&op.program, &counts)?;
        let operands: Vec<Value> = sums.into_iter().chain(old).chain(d.concat()).collect();
        let parts = [vec![op.parts], vec![1; operands.len() - 1]].concat();
        let results = [vec![op.parts], vec![1; usize::from(op.own.is_some())]].concat();
        let (name, units) = (op.name, op.units);
        let gates = Gates { name, program, units, operands: parts, results, gradient: true };
        let found = g.push_all(Arc::new(gates), &operands)?;
        let zero = g.constant(0.0);
        let d_sums = choose(g, mask, found[0], zero)?;
        let through = g.matmul_form(d_sums, now.outer[0], false, true)?;
        let mut new = Vec::new();
        for (s, d) in d.iter().enumerate() {
            let direct = if op.own == Some(s) { found[1] } else { zero };
            let direct = choose(g, mask, direct, d[0])?;
            new.push(if s == 0 { g.add(through, direct)? } else { direct });
        }
        Ok(Looped { carries: new, stacked: vec![d_sums] })
    })?;
    let mut initial = Vec::new();
    for (&d, given) in result.carries.iter().zip(&given) {
        let mut d = graph.reshape(d, [1, rows, op.units])?;
        if let Some(given) = *given {
            let at = op.initial(times);
            let given = graph.slice(given, 0, at..at + 1)?;
            d = graph.add(d, given)?;
        }
        initial.push(d);
    }
    let initial = match initial[..] {
        [one] => one,
        _ => graph.concatenate(&initial, 0)?,
    };
    Ok(vec![result.stacked[0], initial])
}
