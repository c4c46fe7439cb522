//! The gradient of a loop: a loop in the other direction, whose carries are the gradients of the carries.
//!
//! Its body needs values of the loop's own iterations. What elementwise functions make of carries, slices and outer values
//! (dropout masks among them) it computes again; what products and reductions are part of it reads: the loop then stacks
//! those values, and all values of the carries. So no product runs twice, and memory grows by what a step keeps.

use super::pullback;
use super::sums::parts;
use super::work::{Rows, Source, Work};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Param, Scan, Table, Value};
use crate::tensor::{DType, Shape};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What the gradient's loop computes, as values of the work.
#[derive(Default)]
struct Wanted {
    /// The gradient of each carry before an iteration; `None` is zero.
    carries: Vec<Option<Value>>,
    /// Gradients of slices.
    slices: Vec<(usize, Value)>,
    /// Gradients of outer values that are added up in a carry.
    sums: Vec<(Param, Value)>,
    /// Gradients of outer values that are sums of sums over rows: the nodes of those.
    terms: Vec<(Param, Vec<Node>)>,
    /// Operands of such nodes that are stacked for that.
    stacked: Vec<Value>,
}

impl Wanted {
    fn of(work: &Work<'_>, found: &[(Param, Value)]) -> Self {
        let mut this = Self { carries: vec![None; work.scan.carries], ..Self::default() };
        for &(param, d) in found {
            match param {
                Param::Carry(k) => this.carries[k] = Some(d),
                Param::Slice(m) => this.slices.push((m, d)),
                Param::Outer(_) => match parts(&work.graph, d) {
                    Some(nodes) => {
                        this.terms.push((param, nodes.into_iter().cloned().collect()));
                    }
                    None => this.sums.push((param, d)),
                },
            }
        }
        for v in this.operands() {
            let known = work.rows(v).is_some() || this.of_slice(work, v).is_some();
            if !known && !this.stacked.contains(&v) {
                this.stacked.push(v);
            }
        }
        this
    }

    /// The operands of sums over rows.
    fn operands(&self) -> Vec<Value> {
        self.terms.iter().flat_map(|(_, nodes)| nodes).flat_map(|n| n.inputs.clone()).collect()
    }

    /// The slice whose gradient a value is, if the rows of its table are in the order of the loop's iterations.
    fn of_slice(&self, work: &Work<'_>, v: Value) -> Option<usize> {
        self.slices.iter().position(|&(m, d)| d == v && !work.scan.sequences[m])
    }

    /// The place of an operand's rows among the tables of the gradient's loop.
    fn table(&self, work: &Work<'_>, v: Value) -> Option<usize> {
        let stacked = || self.stacked.iter().position(|s| *s == v);
        self.of_slice(work, v).or_else(|| Some(self.slices.len() + stacked()?))
    }

    /// All that the body computes.
    fn targets(&self) -> Vec<Value> {
        let carries = self.carries.iter().flatten().copied();
        let slices = self.slices.iter().map(|(_, d)| *d);
        let sums = self.sums.iter().map(|(_, d)| *d);
        carries.chain(slices).chain(sums).chain(self.stacked.iter().copied()).collect()
    }
}

/// The tables that the loop keeps for its gradient.
struct Kept {
    results: Vec<Value>,
    carries: usize,
    times: usize,
    places: HashMap<Rows, usize>,
}

impl Kept {
    /// The rows as a table of the outer graph.
    fn table(&self, graph: &mut Graph, rows: Rows) -> Result<Value> {
        if let Rows::Of(value) = rows {
            return Ok(value);
        }
        let place = self.places.get(&rows).ok_or_else(|| {
            Error::internal("autodiff", format!("the loop keeps no table of {rows:?}"))
        })?;
        let table = self.results[self.carries + place];
        match rows {
            Rows::Before(_) => graph.table_rows(table, 0, self.times),
            Rows::After(_) => graph.table_rows(table, 1, self.times),
            Rows::Of(_) | Rows::Kept(_) => Ok(table),
        }
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
    let wanted = Wanted::of(&work, &found);
    let (read, computed) = work.reach(&wanted.targets());

    // The loop keeps what is read of it.
    let slices = read.iter().filter_map(|&v| match work.source(v) {
        Some(Source::Slice(rows, _)) => Some(rows),
        _ => None,
    });
    let in_terms = wanted.operands();
    let rows: Vec<Rows> = slices.chain(in_terms.iter().filter_map(|&v| work.rows(v))).collect();
    let (wide, places) = work.widened(&rows)?;
    graph.widen_scan(index, wide)?;
    let results = graph.values(index).collect();
    let kept = Kept { results, carries: scan.carries, times: scan.times, places };

    let given = backward(graph, &work, &wanted, (&read, &computed), &kept, upstream)?;
    let tables = scan.carries + wanted.sums.len();
    let mut gradients: Vec<Option<Value>> = vec![None; work.operands.len()];
    gradients[..scan.carries].iter_mut().zip(&given).for_each(|(d, v)| *d = Some(*v));
    for (i, (param, _)) in wanted.sums.iter().enumerate() {
        gradients[scan.operand_index(*param)] = Some(given[scan.carries + i]);
    }
    for (i, (m, _)) in wanted.slices.iter().enumerate() {
        gradients[scan.carries + m] = Some(given[tables + i]);
    }
    for (param, nodes) in &wanted.terms {
        let mut total: Option<Value> = None;
        for node in nodes {
            let mut all = Vec::new();
            for &v in &node.inputs {
                let table = match (work.rows(v), wanted.table(&work, v)) {
                    (Some(rows), _) => kept.table(graph, rows)?,
                    (None, Some(place)) => given[tables + place],
                    (None, None) => return Err(Error::internal("autodiff", "a term is missing")),
                };
                all.push(graph.sequence(table, work.graph.shape(v))?);
            }
            let sum = node.op.sum_of_runs(graph, &all)?;
            total = Some(match total {
                Some(so_far) => graph.add(so_far, sum)?,
                None => sum,
            });
        }
        let operand = scan.operand_index(*param);
        let shape = graph.shape(work.operands[operand]).clone();
        gradients[operand] = total.map(|total| graph.reshape(total, shape)).transpose()?;
    }
    Ok(gradients)
}

/// Appends the gradient's loop, and returns its results: gradients of carries, sums, then tables.
fn backward(
    graph: &mut Graph,
    work: &Work<'_>,
    wanted: &Wanted,
    (read, computed): (&BTreeSet<Value>, &[bool]),
    kept: &Kept,
    upstream: &[Option<Value>],
) -> Result<Vec<Value>> {
    let scan = work.scan;
    let mut body = graph.new_body();
    let mut map: HashMap<Value, Value> = HashMap::new();
    let (mut carries, mut sequences, mut outer) = (vec![], vec![], vec![]);
    let mut from_end = Vec::new();

    // Leaves, then nodes in their order.
    for (&leaf, source) in &work.cotangents {
        if let Source::Cotangent(k) = source {
            map.insert(leaf, body.param(Param::Carry(*k), work.graph.ty(leaf).clone()));
        }
    }
    for (k, d) in upstream[..scan.carries].iter().enumerate() {
        carries.push(match d {
            Some(d) => *d,
            None => zeros(graph, work.graph.shape(work.result(k)))?,
        });
    }
    for &v in read {
        let ty = work.graph.ty(v).clone();
        let leaf = match work.source(v) {
            Some(Source::Slice(rows, backwards)) => {
                sequences.push(kept.table(graph, rows)?);
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
                body.push_node(node.op.clone(), &inputs, node.views.clone(), node.layer.clone())?
            }
        };
        map.extend(values.into_iter().zip(new));
    }

    // Outputs.
    for (k, d) in wanted.carries.iter().enumerate() {
        let d = match d {
            Some(d) => map[d],
            None => zeros(&mut body, work.graph.shape(work.result(k)))?,
        };
        body.output("carry", d);
    }
    for (_, d) in &wanted.sums {
        let ty = work.graph.ty(*d).clone();
        let sum = body.param(Param::Carry(carries.len()), ty.clone());
        let total = body.add(sum, map[d])?;
        body.output("sum", total);
        carries.push(zeros(graph, &ty.shape)?);
    }
    let mut tables = Vec::new();
    for (m, d) in &wanted.slices {
        body.output("slice", map[d]);
        tables.push(Table::Stack { backwards: !scan.sequences[*m] });
    }
    for v in &wanted.stacked {
        body.output("term", map[v]);
        tables.push(Table::Stack { backwards: true });
    }
    if carries.len() + tables.len() == 0 {
        return Ok(Vec::new());
    }
    let back = Scan {
        body: body.into(),
        times: scan.times,
        carries: carries.len(),
        sequences: from_end,
        tables,
        countdown: !scan.countdown,
    };
    graph.push_all(Arc::new(back), &[carries, sequences, outer].concat())
}

fn zeros(graph: &mut Graph, shape: &Shape) -> Result<Value> {
    let zero = graph.constant(0.0);
    graph.broadcast_to(zero, shape.clone())
}
