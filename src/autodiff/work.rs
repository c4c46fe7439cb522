//! The body of a loop with its gradient behind it, and what the gradient needs of the loop.

use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Leaf, Movement, Param, Scan, Table, Value};
use crate::tensor::DType;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Rows that the gradient's body reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Rows {
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
pub(super) enum Source {
    /// The gradient of a carry.
    Cotangent(usize),
    /// A slice of a table; from its end, unless the loop went from its end.
    Slice(Rows, bool),
    /// A value of the outer graph.
    Outer(Value),
}

/// The loop's body with the nodes of its gradient behind it.
pub(super) struct Work<'a> {
    pub(super) scan: &'a Scan,
    /// Operands of the loop.
    pub(super) operands: Vec<Value>,
    pub(super) graph: Graph,
    /// Nodes of the loop's own body.
    own: usize,
    /// Leaves that stand for gradients from outside.
    pub(super) cotangents: BTreeMap<Value, Source>,
    /// Whether the gradient's body computes a node of the loop's body again.
    again: Vec<bool>,
}

impl<'a> Work<'a> {
    pub(super) fn new(scan: &'a Scan, operands: Vec<Value>) -> Self {
        let graph = scan.body.graph().clone();
        let mut again = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            let light = match node.op.class() {
                Class::Leaf(_) => true,
                Class::Elementwise(_)
                | Class::Movement(Movement::Alias { .. } | Movement::Strided { .. }) => {
                    node.inputs.iter().all(|v| again[v.node.index()])
                }
                Class::Movement(
                    Movement::Padded { .. } | Movement::Pack { .. } | Movement::Record { .. },
                )
                | Class::Reduction(_)
                | Class::Contraction(_)
                | Class::Rows(_)
                | Class::Scan(_)
                | Class::Composite
                | Class::Opaque => false,
            };
            // Only f32 is stacked.
            again.push(light || node.outputs.iter().any(|ty| ty.dtype != DType::F32));
        }
        let own = graph.nodes().len();
        Self { scan, operands, graph, own, cotangents: BTreeMap::new(), again }
    }

    /// A result of the body.
    pub(super) fn result(&self, i: usize) -> Value {
        self.scan.body.graph().outputs()[i].1
    }

    /// Gradients from outside: of each carry, and of the tables that have one.
    pub(super) fn seeds(&mut self, upstream: &[Option<Value>]) -> Result<Vec<(Value, Value)>> {
        let (mut seeds, carries) = (Vec::new(), self.scan.carries);
        for (i, upstream) in upstream.iter().copied().enumerate() {
            let source = match (i.checked_sub(carries).map(|j| self.scan.tables[j]), upstream) {
                (None, _) => Source::Cotangent(i),
                (_, None) => continue,
                (Some(Table::Stack { backwards }), Some(dy)) => {
                    Source::Slice(Rows::Of(dy), !backwards)
                }
                (Some(Table::History { .. }), _) => {
                    return Err(Error::not_differentiable(
                        "scan",
                        "second derivatives of a loop are not defined",
                    ));
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
    pub(super) fn source(&self, v: Value) -> Option<Source> {
        if let Some(&source) = self.cotangents.get(&v) {
            return Some(source);
        }
        if let Class::Leaf(Leaf::Param(param)) = self.graph.node(v).op.class() {
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
    pub(super) fn rows(&self, v: Value) -> Option<Rows> {
        match self.source(v) {
            Some(Source::Slice(rows, true)) => Some(rows),
            _ => None,
        }
    }

    /// What the targets need: values from outside, in order, and nodes to compute.
    pub(super) fn reach(&self, targets: &[Value]) -> (BTreeSet<Value>, Vec<bool>) {
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
    pub(super) fn widened(&self, rows: &[Rows]) -> Result<(Scan, HashMap<Rows, usize>)> {
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
                Rows::Before(k) | Rows::After(k) => {
                    (Table::History { carry: k, backwards: false }, self.result(k))
                }
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
