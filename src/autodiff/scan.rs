//! The gradient of a loop: a loop in the other direction, whose carries are the gradients of the carries.
//!
//! Its body needs values of the loop's own iterations. What elementwise functions make of carries, slices and outer values
//! (dropout masks among them) it computes again; what products and reductions are part of it reads: the loop then stacks
//! those values, and all values of the carries. So no product runs twice, and memory grows by what a step keeps.

use super::pullback;
use super::sums::parts;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Movement, Param, Scan, Table, Value};
use crate::tensor::DType;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Rows that the gradient's body reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Rows {
    /// Those of a table of the outer graph.
    Of(Value),
    /// A carry before each iteration.
    Before(usize),
    /// A carry after each iteration.
    After(usize),
    /// A value of the loop's body.
    Kept(Value),
}

/// Where the gradient's body takes a value from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// The gradient of a carry.
    Cotangent(usize),
    /// A slice of a table; from its end, unless the loop went from its end.
    Slice(Rows, bool),
    /// A value of the outer graph.
    Outer(Value),
}

/// The loop's body with the nodes of its gradient behind it.
struct Work<'a> {
    scan: &'a Scan,
    /// Operands of the loop.
    operands: Vec<Value>,
    graph: Graph,
    /// Nodes of the loop's own body.
    own: usize,
    /// Leaves that stand for gradients from outside.
    cotangents: HashMap<Value, Source>,
    /// Whether the gradient's body computes a node of the loop's body again.
    again: Vec<bool>,
}

impl<'a> Work<'a> {
    fn new(scan: &'a Scan, operands: Vec<Value>) -> Self {
        let graph = scan.body.graph().clone();
        let mut again = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            let light = match node.op.class() {
                Class::Leaf(_) => true,
                Class::Elementwise
                | Class::Movement(Movement::Alias { .. } | Movement::Strided { .. }) => {
                    node.inputs.iter().all(|v| again[v.node.index()])
                }
                _ => false,
            };
            // Only f32 is stacked.
            again.push(light || node.outputs.iter().any(|ty| ty.dtype != DType::F32));
        }
        let own = graph.nodes().len();
        Self { scan, operands, graph, own, cotangents: HashMap::new(), again }
    }

    /// A result of the body.
    fn result(&self, i: usize) -> Value {
        self.scan.body.graph().outputs()[i].1
    }

    /// Gradients from outside: of each carry, and of the tables that have one.
    fn seeds(&mut self, upstream: &[Option<Value>]) -> Result<Vec<(Value, Value)>> {
        let (mut seeds, carries) = (Vec::new(), self.scan.carries);
        for i in 0..carries + self.scan.tables.len() {
            let source = match (i.checked_sub(carries).map(|j| self.scan.tables[j]), upstream[i]) {
                (None, _) => Source::Cotangent(i),
                (_, None) => continue,
                (Some(Table::Stack { backwards }), Some(dy)) => {
                    Source::Slice(Rows::Of(dy), !backwards)
                }
                (Some(Table::History(_)), _) => {
                    return Err(Error::NotDifferentiable {
                        op: "scan".into(),
                        layer: String::new(),
                        detail: "second derivatives of a loop are not defined".into(),
                    });
                }
            };
            let of = self.result(i);
            let shape = self.graph.shape(of).clone();
            let leaf = self.graph.input(&format!("gradient of {i}"), shape, DType::F32);
            self.cotangents.insert(leaf, source);
            seeds.push((of, leaf));
        }
        Ok(seeds)
    }

    /// Where a value comes from; `None` if the gradient's body computes it.
    fn source(&self, v: Value) -> Option<Source> {
        if let Some(&source) = self.cotangents.get(&v) {
            return Some(source);
        }
        if let Class::Leaf(crate::graph::Leaf::Param(param)) = self.graph.node(v).op.class() {
            let operand = self.operands[self.scan.operand_index(*param)];
            return Some(match *param {
                Param::Carry(k) => Source::Slice(Rows::Before(k), true),
                Param::Slice(m) => Source::Slice(Rows::Of(operand), !self.scan.sequences[m]),
                Param::Outer(_) => Source::Outer(operand),
            });
        }
        if v.node.index() >= self.own || self.again[v.node.index()] {
            return None;
        }
        let after = (0..self.scan.carries).find(|&k| self.result(k) == v);
        Some(Source::Slice(after.map_or(Rows::Kept(v), Rows::After), true))
    }

    /// Rows in the order of the loop's iterations, if there are such without the gradient's loop.
    fn rows(&self, v: Value) -> Option<Rows> {
        match self.source(v) {
            Some(Source::Slice(rows, true)) => Some(rows),
            _ => None,
        }
    }

    /// What the targets need: values from outside, in order, and nodes to compute.
    fn reach(&self, targets: &[Value]) -> (BTreeSet<Value>, Vec<bool>) {
        let (mut read, mut computed) = (BTreeSet::new(), vec![false; self.graph.nodes().len()]);
        let mut open = targets.to_vec();
        while let Some(v) = open.pop() {
            if self.source(v).is_some() {
                read.insert(v);
            } else if !std::mem::replace(&mut computed[v.node.index()], true) {
                open.extend(&self.graph.node(v).inputs);
            }
        }
        (read, computed)
    }

    /// The loop with tables for all these rows, and the place of each.
    fn widened(&self, rows: &[Rows]) -> Result<(Scan, HashMap<Rows, usize>)> {
        let mut body = self.scan.body.graph().clone();
        // A loop inside the body may have been given tables too.
        for i in 0..self.own {
            if let Some(inner) = self.graph.scan_at(i) {
                body.widen_scan(i, inner.clone())?;
            }
        }
        let (mut tables, mut places) = (self.scan.tables.clone(), HashMap::new());
        for &rows in rows {
            let (table, of) = match rows {
                Rows::Of(_) => continue,
                Rows::Before(k) | Rows::After(k) => (Table::History(k), self.result(k)),
                Rows::Kept(v) => (Table::Stack { backwards: false }, v),
            };
            let known = body.outputs()[self.scan.carries..].iter().zip(&tables);
            let known = known.map(|((_, v), t)| (*v, *t)).position(|found| found == (of, table));
            places.insert(rows, known.unwrap_or(tables.len()));
            if known.is_none() {
                tables.push(table);
                body.output("kept", of);
            }
        }
        Ok((Scan { tables, ..self.scan.with_body(body) }, places))
    }
}

/// The gradients with respect to the operands of the loop at `index`, those that are `wanted`.
pub(super) fn vjp(
    graph: &mut Graph,
    index: usize,
    scan: &Scan,
    wanted: &[bool],
    upstream: &[Option<Value>],
) -> Result<Vec<Option<Value>>> {
    let mut work = Work::new(scan, graph.nodes()[index].inputs.clone());
    let seeds = work.seeds(upstream)?;
    let is_wanted = |&(param, leaf): &(Param, Value)| {
        let needed = matches!(param, Param::Carry(_)) || wanted[scan.operand_index(param)];
        needed && work.graph.ty(leaf).dtype == DType::F32
    };
    let leaves: Vec<(Param, Value)> = work.graph.params().filter(is_wanted).collect();
    let wrt: Vec<Value> = leaves.iter().map(|(_, leaf)| *leaf).collect();
    let found = pullback(&mut work.graph, &seeds, &wrt)?;
    let found: Vec<(Param, Value)> =
        leaves.iter().zip(found).filter_map(|((param, _), d)| Some((*param, d?))).collect();

    // What the gradient's loop gives: gradients of slices, sums over its iterations, and operands of sums outside.
    let (mut slices, mut sums, mut terms, mut stacked) = (vec![], vec![], vec![], vec![]);
    for &(param, d) in &found {
        match param {
            Param::Carry(_) => {}
            Param::Slice(m) => slices.push((m, d)),
            Param::Outer(_) => match parts(&work.graph, d) {
                Some(parts) => terms.push((param, parts)),
                None => sums.push((param, d)),
            },
        }
    }
    let in_terms: Vec<Value> =
        terms.iter().flat_map(|(_, parts)| parts).flat_map(|part| part.inputs.clone()).collect();
    // The gradient of a slice is in a table already, in the order of the loop's iterations if the loop went forward.
    let of_slice = |v: Value| slices.iter().position(|&(m, d)| d == v && !scan.sequences[m]);
    for &v in &in_terms {
        if work.rows(v).is_none() && of_slice(v).is_none() && !stacked.contains(&v) {
            stacked.push(v);
        }
    }
    let targets: Vec<Value> = found
        .iter()
        .filter(|(param, _)| !terms.iter().any(|(of, _)| of == param))
        .map(|(_, d)| *d)
        .chain(stacked.iter().copied())
        .collect();
    let (read, computed) = work.reach(&targets);

    // The loop keeps what is read of it.
    let slice_rows = read.iter().filter_map(|&v| match work.source(v) {
        Some(Source::Slice(rows, _)) => Some(rows),
        _ => None,
    });
    let kept: Vec<Rows> = slice_rows.chain(in_terms.iter().filter_map(|&v| work.rows(v))).collect();
    let (wide, places) = work.widened(&kept)?;
    graph.widen_scan(index, wide)?;
    let results: Vec<Value> = graph.values(index).collect();
    let table = |graph: &mut Graph, rows: Rows| -> Result<Value> {
        let kept = places.get(&rows).map(|&j| results[scan.carries + j]);
        let missing = || Error::internal("autodiff", format!("no table of {rows:?}"));
        match rows {
            Rows::Of(value) => Ok(value),
            Rows::Kept(_) => kept.ok_or_else(missing),
            Rows::Before(_) => graph.table_rows(kept.ok_or_else(missing)?, 0, scan.times),
            Rows::After(_) => graph.table_rows(kept.ok_or_else(missing)?, 1, scan.times),
        }
    };

    // The body: leaves, then nodes in their order.
    let mut body = graph.new_body();
    let mut map: HashMap<Value, Value> = HashMap::new();
    let (mut carries, mut sequences, mut outer) = (vec![], vec![], vec![]);
    let mut from_end = Vec::new();
    for k in 0..scan.carries {
        let ty = scan.body.graph().ty(work.result(k)).clone();
        let carry = body.param(Param::Carry(k), ty.clone());
        let leaf =
            work.cotangents.iter().find(|(_, s)| matches!(s, Source::Cotangent(c) if *c == k));
        map.extend(leaf.map(|(&leaf, _)| (leaf, carry)));
        carries.push(match upstream[k] {
            Some(d) => d,
            None => zeros(graph, &ty.shape)?,
        });
    }
    for &v in &read {
        let ty = work.graph.ty(v).clone();
        let leaf = match work.source(v) {
            Some(Source::Slice(rows, backwards)) => {
                sequences.push(table(graph, rows)?);
                from_end.push(backwards);
                body.param(Param::Slice(sequences.len() - 1), ty)
            }
            Some(Source::Outer(value)) => {
                outer.push(value);
                body.param(Param::Outer(outer.len() - 1), ty)
            }
            Some(Source::Cotangent(_)) | None => continue,
        };
        map.insert(v, leaf);
    }
    for (i, node) in work.graph.nodes().iter().enumerate().filter(|(i, _)| computed[*i]) {
        let values: Vec<Value> = work.graph.values(i).collect();
        let new = match body.uniform_of(&work.graph, values[0]) {
            Some(uniform) => vec![uniform],
            None => {
                let inputs: Vec<Value> = node.inputs.iter().map(|v| map[v]).collect();
                body.push_node(node.op.clone(), &inputs, node.layer.clone())?
            }
        };
        map.extend(values.into_iter().zip(new));
    }

    // Its outputs: gradients of carries, sums, then tables.
    for k in 0..scan.carries {
        let d = found.iter().find(|(param, _)| *param == Param::Carry(k));
        let shape = scan.body.graph().shape(work.result(k));
        let d = match d {
            Some((_, d)) => map[d],
            None => zeros(&mut body, shape)?,
        };
        body.output("carry", d);
    }
    for (i, (_, d)) in sums.iter().enumerate() {
        let ty = work.graph.ty(*d).clone();
        let sum = body.param(Param::Carry(scan.carries + i), ty.clone());
        let total = body.add(sum, map[d])?;
        body.output("sum", total);
        carries.push(zeros(graph, &ty.shape)?);
    }
    let mut tables = Vec::new();
    for &(m, d) in &slices {
        body.output("slice", map[&d]);
        tables.push(Table::Stack { backwards: !scan.sequences[m] });
    }
    for v in &stacked {
        body.output("term", map[v]);
        tables.push(Table::Stack { backwards: true });
    }
    let mut gradients: Vec<Option<Value>> = vec![None; work.operands.len()];
    let first_table = carries.len();
    let given = if first_table + tables.len() == 0 {
        Vec::new()
    } else {
        let back = Scan {
            body: body.into(),
            times: scan.times,
            carries: first_table,
            sequences: from_end,
            tables,
            countdown: !scan.countdown,
        };
        graph.push_all(Arc::new(back), &[carries, sequences, outer].concat())?
    };
    for k in 0..scan.carries {
        gradients[k] = Some(given[k]);
    }
    for (i, (param, _)) in sums.iter().enumerate() {
        gradients[scan.operand_index(*param)] = Some(given[scan.carries + i]);
    }
    for (i, (m, _)) in slices.iter().enumerate() {
        gradients[scan.carries + m] = Some(given[first_table + i]);
    }
    for (param, parts) in terms {
        let mut total: Option<Value> = None;
        for part in parts {
            let mut all = Vec::new();
            for &v in &part.inputs {
                let rows = match work.rows(v) {
                    Some(rows) => table(graph, rows)?,
                    None => {
                        let after_slices = stacked.iter().position(|s| *s == v);
                        let after_slices = after_slices.map(|at| slices.len() + at);
                        given[first_table + of_slice(v).or(after_slices).unwrap_or_default()]
                    }
                };
                all.push(graph.sequence(rows, work.graph.shape(v))?);
            }
            let sum = part.op.sum_of_runs(graph, &all)?;
            total = Some(match total {
                Some(so_far) => graph.add(so_far, sum)?,
                None => sum,
            });
        }
        let operand = scan.operand_index(param);
        let shape = graph.shape(work.operands[operand]).clone();
        gradients[operand] = total.map(|total| graph.reshape(total, shape)).transpose()?;
    }
    Ok(gradients)
}

fn zeros(graph: &mut Graph, shape: &crate::tensor::Shape) -> Result<Value> {
    let zero = graph.constant(0.0);
    graph.broadcast_to(zero, shape.clone())
}
