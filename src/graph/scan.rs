//! A loop over time: a graph that runs once per iteration, on carries and on one row of each sequence.

use super::{Class, Graph, Leaf, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::error::{Error, Result};
use crate::tensor::{DType, Shape};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Elements to which the rows of a sequence are padded: a kernel binds a row, and a binding begins at a multiple of 256
/// bytes.
const ROW: usize = 64;

/// What a leaf of a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Param {
    /// The carry of this index: its initial value, then what the iteration before gave.
    Carry(usize),
    /// This iteration's row of the sequence of this index.
    Slice(usize),
    /// The value of the outer graph of this index, the same in each iteration.
    Outer(usize),
}

/// A result of a scan that has a row for each iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// A body output of each iteration: row i is that of iteration i, or of the i-th from the end.
    Stack {
        /// Whether the last row belongs to the first iteration.
        backwards: bool,
    },
    /// All values of a carry: row 0 is the initial one, row i + 1 what iteration i gave, or all of that from the end.
    History {
        /// The carry.
        carry: usize,
        /// Whether the last row is the initial value.
        backwards: bool,
    },
}

/// The body of a scan. Two bodies are equal if they are the same computation, whatever graph they were built in.
#[derive(Debug, Clone)]
pub struct Body(Arc<Graph>);

impl Body {
    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.0
    }

    /// Positions in place of values, which no two graphs share.
    fn wiring(&self) -> impl Iterator<Item = (&super::OpRef, Vec<(usize, u16)>)> {
        let place = |v: &Value| (v.node.index(), v.output);
        self.0.nodes().iter().map(move |n| (&n.op, n.inputs.iter().map(place).collect()))
    }

    fn results(&self) -> impl Iterator<Item = (usize, u16)> {
        self.0.outputs().iter().map(|(_, v)| (v.node.index(), v.output))
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.wiring().eq(other.wiring()) && self.results().eq(other.results())
    }
}

impl Eq for Body {}

impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.wiring().for_each(|node| node.hash(state));
        self.results().for_each(|result| result.hash(state));
    }
}

/// A loop whose iterations follow each other: a recurrence.
///
/// Operands: the initial carries, the sequences, then values that the body reads unchanged. A sequence is a table `[times,
/// row]`, whose rows are the flat elements of one iteration's slice, padded to a multiple of 64.
///
/// Results: the carries after the last iteration, then the tables.
///
/// The body's leaves are [`Param`]s. Its outputs are the new carries, then the rows of the tables in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scan {
    /// What an iteration computes.
    pub body: Body,
    /// Iterations, 1 or more.
    pub times: usize,
    /// Carries.
    pub carries: usize,
    /// For each sequence whether the first iteration reads the last row.
    pub sequences: Vec<bool>,
    /// Results with a row per iteration.
    pub tables: Vec<Table>,
    /// Whether the number of the iteration, which random numbers depend on, counts down: a gradient draws what its
    /// function drew.
    pub countdown: bool,
}

impl Scan {
    /// The same loop with another body.
    #[must_use]
    pub fn with_body(&self, body: Graph) -> Self {
        Self { body: Body::from(body), ..self.clone() }
    }

    /// Elements of a table's row that holds a slice of this shape.
    #[must_use]
    pub fn row(slice: &Shape) -> usize {
        slice.len().next_multiple_of(ROW)
    }

    /// Rows of a table.
    #[must_use]
    pub const fn rows(&self, table: Table) -> usize {
        match table {
            Table::Stack { .. } => self.times,
            Table::History { .. } => self.times + 1,
        }
    }

    /// The type of an operand that a leaf of the body needs.
    fn operand(&self, param: Param, leaf: &TensorType) -> TensorType {
        match param {
            Param::Slice(_) => TensorType::f32([self.times, Self::row(&leaf.shape)]),
            Param::Carry(_) | Param::Outer(_) => leaf.clone(),
        }
    }

    /// The operand that a leaf of the body gets its value from.
    #[must_use]
    pub const fn operand_index(&self, param: Param) -> usize {
        match param {
            Param::Carry(k) => k,
            Param::Slice(m) => self.carries + m,
            Param::Outer(n) => self.carries + self.sequences.len() + n,
        }
    }

    fn check_body(&self) -> Result<()> {
        let body = self.body.graph();
        let broken = |what: &str| Err(Error::internal("scan", what));
        if self.times == 0 || body.outputs().len() != self.carries + self.tables.len() {
            return broken("the body's outputs are not the carries and the rows of the tables");
        }
        if self.carries + self.tables.len() == 0 {
            return broken("a scan without carries and tables computes nothing");
        }
        if !body.updates().is_empty() {
            return broken("a body gives no state a new value; let the scan return it");
        }
        for node in body.nodes() {
            if let Class::Leaf(Leaf::Input(name) | Leaf::State(name)) = node.op.class() {
                let detail = "a body reads buffers through the values that the scan is given";
                return Err(Error::parameter("leaf of a scan's body", name, detail));
            }
        }
        if let Some((_, v)) = body.outputs().iter().find(|(_, v)| body.ty(*v).dtype != DType::F32) {
            let detail = "carries and stacked values are f32";
            return Err(Error::dtype("scan", &[body.ty(*v).dtype], detail));
        }
        Ok(())
    }
}

impl From<Graph> for Body {
    fn from(graph: Graph) -> Self {
        Self(Arc::new(graph))
    }
}

impl Op for Scan {
    fn name(&self) -> String {
        "scan".into()
    }

    fn attrs(&self) -> String {
        let (c, s, t) = (self.carries, self.sequences.len(), self.tables.len());
        let nodes = self.body.graph().nodes().len();
        format!("{} times; {c} carries, {s} sequences, {t} tables; {nodes} nodes", self.times)
    }

    fn class(&self) -> Class<'_> {
        Class::Scan(self)
    }

    fn min_inputs(&self) -> usize {
        self.carries + self.sequences.len()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.check_body()?;
        let body = self.body.graph();
        for (param, v) in body.params() {
            let leaf = body.ty(v);
            let want = self.operand(param, leaf);
            let operand = inputs.get(self.operand_index(param));
            if operand.is_none_or(|have| **have != want) {
                let have = operand.map_or_else(|| "none".to_owned(), ToString::to_string);
                let detail = format!("{param:?} of the body needs {want}, the operand is {have}");
                return Err(Error::shape("scan", &[&leaf.shape], detail));
            }
        }
        let (mut types, rows) = (Vec::new(), &body.outputs()[self.carries..]);
        for (k, (_, new)) in body.outputs()[..self.carries].iter().enumerate() {
            if body.ty(*new) != inputs[k] {
                let shapes = [&inputs[k].shape, body.shape(*new)];
                let detail = format!(
                    "carry {k} is {} before an iteration and {} after it; a carry keeps its shape",
                    inputs[k],
                    body.ty(*new)
                );
                return Err(Error::shape("scan", &shapes, detail));
            }
            types.push(inputs[k].clone());
        }
        for (&table, (_, row)) in self.tables.iter().zip(rows) {
            types.push(TensorType::f32([self.rows(table), Self::row(body.shape(*row))]));
        }
        Ok(types)
    }

    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Err(Error::internal("scan", "its gradient is a scan, which autodiff builds"))
    }

    fn lower(&self, _cx: &LowerContext<'_>) -> Result<Lowered> {
        Err(Error::internal("scan", "the planner lowers its body"))
    }

    fn is_random(&self) -> bool {
        self.body.graph().nodes().iter().any(|n| n.op.is_random())
    }
}

impl Graph {
    /// An empty graph for the body of a scan in this one: step words have the same places.
    pub(crate) fn new_body(&self) -> Self {
        Self { layer: self.layer.clone(), ..self.rebuilt() }
    }

    /// A leaf of a body.
    pub(crate) fn param(&mut self, param: Param, ty: TensorType) -> Value {
        self.leaf(Leaf::Param(param), ty)
    }

    /// The leaves that stand for values of the outer graph, if this is the body of a scan.
    pub fn params(&self) -> impl Iterator<Item = (Param, Value)> + '_ {
        self.nodes.iter().filter_map(|node| match node.op.class() {
            Class::Leaf(Leaf::Param(param)) => Some((*param, Value { node: node.id, output: 0 })),
            _ => None,
        })
    }

    /// A constant or a step word of another graph with the same step block.
    pub(crate) fn uniform_of(&mut self, other: &Self, v: Value) -> Option<Value> {
        match other.node(v).op.class() {
            Class::Leaf(leaf @ (Leaf::Constant(_) | Leaf::Step(_))) => {
                Some(self.leaf(leaf.clone(), other.ty(v).clone()))
            }
            _ => None,
        }
    }

    /// Takes over the step words that a body has added.
    pub(crate) fn adopt_step_params(&mut self, body: &Self) {
        self.step_params.extend(body.step_params.iter().skip(self.step_params.len()).cloned());
    }

    /// Gives the scan at `index` more tables; its other results stay what they are.
    pub(crate) fn widen_scan(&mut self, index: usize, scan: Scan) -> Result<()> {
        let types: Vec<&TensorType> =
            self.nodes[index].inputs.iter().map(|&v| self.ty(v)).collect();
        let outputs = scan.infer(&types)?;
        if !outputs.starts_with(&self.nodes[index].outputs) {
            return Err(Error::internal("scan", "its results changed"));
        }
        self.nodes[index].op = Arc::new(scan);
        self.nodes[index].outputs = outputs;
        Ok(())
    }
}
