//! Loops over time: the graph builder's function for [`Scan`].

use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Param, Scan, Table, TensorType, Value};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// In which order a loop goes through time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// From the first slice to the last.
    #[default]
    Forward,
    /// From the last slice to the first. A stacked value belongs to the slice that it was computed from.
    Reverse,
    /// From the last slice to the first. Stacked values are in the order in which they were computed: Keras'
    /// `go_backwards`.
    Flipped,
}

/// What a loop is given.
#[derive(Debug, Clone, Default)]
pub struct Loop<'a> {
    /// Initial values of what an iteration hands to the next: f32.
    pub carries: &'a [Value],
    /// Sequences `[times, ...]` of f32: each iteration gets one slice `[...]`.
    pub sequences: &'a [Value],
    /// Values that each iteration reads unchanged: weights, seeds. They may be of any type.
    pub outer: &'a [Value],
    /// How often the body runs; `None` if the sequences say.
    pub times: Option<usize>,
    /// The order of the iterations.
    pub order: Order,
}

/// What the body of a loop reads: values of the body's graph.
#[derive(Debug, Clone)]
pub struct Iteration {
    /// The carries.
    pub carries: Vec<Value>,
    /// A slice of each sequence.
    pub slices: Vec<Value>,
    /// The outer values.
    pub outer: Vec<Value>,
}

/// What a body computes, and what a loop gives.
#[derive(Debug, Clone, Default)]
pub struct Looped {
    /// The new carries; of the loop, those after the last iteration.
    pub carries: Vec<Value>,
    /// Values of one iteration; of the loop, all of them as `[times, ...]`.
    pub stacked: Vec<Value>,
}

impl Graph {
    /// Runs a graph once per step of time: a recurrence. `body` builds it, from the carries, a slice of each sequence and
    /// the outer values; it returns the new carries and what is stacked.
    ///
    /// Nodes and kernels are as many for any number of steps. The gradient is a loop in the other direction. Random
    /// numbers differ from iteration to iteration, and the gradient draws those of its function.
    ///
    /// Slices whose elements are no multiple of 64 cost a copy of the sequence.
    ///
    /// ```
    /// use wgrad::graph::Graph;
    /// use wgrad::ops::{Loop, Looped};
    /// use wgrad::tensor::DType;
    ///
    /// // h = tanh(x + h · u) over 200 steps, for 8 samples of 16 units.
    /// let mut graph = Graph::new();
    /// let x = graph.input("x", [200, 8, 16], DType::F32);
    /// let h = graph.input("h", [8, 16], DType::F32);
    /// let u = graph.state("u", [16, 16], DType::F32);
    /// let over_time = Loop { carries: &[h], sequences: &[x], outer: &[u], ..Loop::default() };
    /// let result = graph.scan(&over_time, |g, now| {
    ///     let product = g.matmul(now.carries[0], now.outer[0])?;
    ///     let sum = g.add(now.slices[0], product)?;
    ///     let h = g.unary("tanh", sum, &[])?;
    ///     Ok(Looped { carries: vec![h], stacked: vec![h] })
    /// })?;
    /// assert_eq!(graph.shape(result.carries[0]), &[8, 16].into());
    /// assert_eq!(graph.shape(result.stacked[0]), &[200, 8, 16].into());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] for sequences of different lengths, no steps, a carry that changes its shape, or another number
    /// of carries; [`Error::DType`] for carries and sequences that are not f32; those of `body`.
    pub fn scan(
        &mut self,
        what: &Loop<'_>,
        body: impl FnOnce(&mut Self, &Iteration) -> Result<Looped>,
    ) -> Result<Looped> {
        self.check("scan", &[what.carries, what.sequences, what.outer].concat())?;
        let times = self.times(what)?;
        let backwards = what.order != Order::Forward;
        let mut inner = self.new_body();
        let mut now = Iteration { carries: vec![], slices: vec![], outer: vec![] };
        let mut operands = what.carries.to_vec();
        for (k, &v) in what.carries.iter().enumerate() {
            now.carries.push(inner.param(Param::Carry(k), self.ty(v).clone()));
        }
        for (m, &v) in what.sequences.iter().enumerate() {
            let slice = TensorType::f32(&self.shape(v).dims()[1..]);
            now.slices.push(inner.param(Param::Slice(m), slice));
            operands.push(self.table(v)?);
        }
        for &v in what.outer {
            let n = operands.len() - what.carries.len() - what.sequences.len();
            now.outer.push(match inner.uniform_of(self, v) {
                Some(uniform) => uniform,
                None => {
                    operands.push(v);
                    inner.param(Param::Outer(n), self.ty(v).clone())
                }
            });
        }
        let built = body(&mut inner, &now)?;
        if inner.is_penalised() {
            let detail = "a step of a loop adds no penalty; penalise what the loop gives";
            return Err(Error::parameter("activity_regularizer", "set", detail));
        }
        inner.check("scan", &[built.carries.as_slice(), &built.stacked].concat())?;
        if built.carries.len() != what.carries.len() {
            let shapes: Vec<&Shape> = what.carries.iter().map(|&v| self.shape(v)).collect();
            let (gave, took) = (built.carries.len(), what.carries.len());
            let detail = format!("the body gives {gave} carries and takes {took}");
            return Err(Error::shape("scan", &shapes, detail));
        }
        if built.carries.len() + built.stacked.len() == 0 {
            let detail = "the body gives nothing; return a carry or a stacked value";
            return Err(Error::parameter("results of scan", 0, detail));
        }
        self.adopt_step_params(&inner);
        let names = built.carries.iter().map(|v| ("carry", v));
        for (name, &v) in names.chain(built.stacked.iter().map(|v| ("stacked", v))) {
            inner.output(name, v);
        }
        let slices: Vec<Shape> = built.stacked.iter().map(|&v| inner.shape(v).clone()).collect();
        let stack = Table::Stack { backwards: what.order == Order::Reverse };
        let scan = Scan {
            body: inner.into(),
            times,
            carries: what.carries.len(),
            sequences: vec![backwards; what.sequences.len()],
            tables: vec![stack; slices.len()],
            countdown: backwards,
        };
        let mut carries = self.push_all(Arc::new(scan), &operands)?;
        let tables = carries.split_off(what.carries.len());
        let stacked = tables.into_iter().zip(&slices);
        let stacked = stacked.map(|(table, slice)| self.sequence(table, slice));
        Ok(Looped { carries, stacked: stacked.collect::<Result<_>>()? })
    }

    /// A carry of a loop at all times, `[times + 1, ...]`, the initial one among them: as the first, or if `backwards` as the
    /// last. `carry` is what the loop gives of it.
    pub(crate) fn history(&mut self, carry: Value, backwards: bool) -> Result<Value> {
        let (index, k) = (carry.node.index(), usize::from(carry.output));
        let scan = self.scan_at(index).ok_or_else(|| Error::internal("scan", "is no loop"))?;
        let mut body = scan.body.graph().clone();
        body.output("kept", body.outputs()[k].1);
        let mut wide = scan.with_body(body);
        wide.tables.push(Table::History { carry: k, backwards });
        self.widen_scan(index, wide)?;
        let output = self.nodes()[index].outputs.len() - 1;
        let slice = self.shape(carry).clone();
        self.sequence(Value { output: output as u16, ..carry }, &slice)
    }

    /// The number of iterations, after a check of what a loop is given.
    fn times(&self, what: &Loop<'_>) -> Result<usize> {
        let values = || what.carries.iter().chain(what.sequences);
        if values().any(|&v| self.ty(v).dtype != DType::F32) {
            let dtypes: Vec<DType> = values().map(|&v| self.ty(v).dtype).collect();
            return Err(Error::dtype("scan", &dtypes, "carries and sequences are f32"));
        }
        let shapes: Vec<&Shape> = what.sequences.iter().map(|&v| self.shape(v)).collect();
        let lengths = shapes.iter().map(|shape| shape.dims().first().copied());
        let mut lengths = lengths.collect::<Option<Vec<usize>>>().ok_or_else(|| {
            Error::shape("scan", &shapes, "a sequence has a first axis, that of time")
        })?;
        lengths.extend(what.times);
        match lengths[..] {
            [] => {
                Err(Error::parameter("times", "None", "a scan without sequences needs its times"))
            }
            [0, ..] => Err(Error::shape("scan", &shapes, "no steps of time; there is 1 or more")),
            [first, ref rest @ ..] if rest.iter().any(|&n| n != first) => {
                let detail =
                    format!("lengths {lengths:?} along the first axis, that of time, differ");
                Err(Error::shape("scan", &shapes, detail))
            }
            [first, ..] => Ok(first),
        }
    }

    /// A sequence as a table: rows of flat slices, padded with zeros.
    fn table(&mut self, sequence: Value) -> Result<Value> {
        let dims = self.shape(sequence).dims();
        let (times, slice) = (dims[0], Shape::from(&dims[1..]));
        let flat = self.reshape(sequence, [times, slice.len()])?;
        match Scan::row(&slice) - slice.len() {
            0 => Ok(flat),
            padding => {
                let zero = self.constant(0.0);
                let zeros = self.broadcast_to(zero, [times, padding])?;
                self.concatenate(&[flat, zeros], 1)
            }
        }
    }

    /// The slices in a table as a sequence.
    pub(crate) fn sequence(&mut self, table: Value, slice: &Shape) -> Result<Value> {
        let rows = self.shape(table).dims()[0];
        let flat = self.slice(table, 1, 0..slice.len())?;
        self.reshape(flat, [&[rows], slice.dims()].concat())
    }

    /// Rows `first..first + count` of a table, without a copy.
    pub(crate) fn table_rows(&mut self, table: Value, first: usize, count: usize) -> Result<Value> {
        let dims = self.shape(table).dims().to_vec();
        if first == 0 && count == dims[0] {
            return Ok(table);
        }
        let flat = self.reshape(table, [dims[0] * dims[1]])?;
        self.view(flat, first * dims[1], [count, dims[1]])
    }

    /// The scan that a node is.
    pub(crate) fn scan_at(&self, index: usize) -> Option<&Scan> {
        match self.nodes()[index].op.class() {
            Class::Scan(scan) => Some(scan),
            _ => None,
        }
    }
}
