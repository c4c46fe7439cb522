//! Recurrent layers over all steps of time, as one op: the recurrent products, the gates and their gradients. What the
//! device decides is whether a step is a part of one kernel (`recurrence_lower`) or of a loop (`recurrence_scan`).

use super::gate_programs::{self, gradient};
use super::gates::Function;
use super::program::Program;
use super::{recurrence_lower as kernels, recurrence_scan as in_loop};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::DeviceCaps;
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// Up to how many units one kernel runs all steps on a CPU adapter. Of more units the products take the time, not the
/// launches, and a loop divides them over more workgroups: docs/results.md has the figures.
pub(super) const MOST_UNITS: usize = 64;

/// What a recurrent layer computes at each step, with its elementwise functions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RecurrentCell<'a> {
    /// h = `function`(x + h · U). One part; one state, h.
    Simple {
        /// The function of the sum.
        function: Function<'a>,
    },
    /// The gates of [`Graph::lstm_gates`]. Parts i, f, g, o; states h and c.
    Lstm {
        /// The function of i, f and o.
        gate: Function<'a>,
        /// The function of g and c.
        function: Function<'a>,
    },
    /// The gates of [`Graph::gru_gates`]. Parts x_n, z, r, u_n, of which the kernel has the last three; one state, h.
    Gru {
        /// The function of z and r.
        gate: Function<'a>,
        /// The function of n.
        function: Function<'a>,
    },
}

/// What [`Graph::recurrence`] is given.
#[derive(Debug, Clone, Copy)]
pub struct OverTime<'a> {
    /// Products of the inputs with their kernel, bias added: `[time, batch, parts · units]`.
    pub products: Value,
    /// The recurrent kernel, `[units, parts · units]`.
    pub kernel: Value,
    /// The states before the first step, each `[batch, units]`.
    pub states: &'a [Value],
    /// Where it is not positive, states stay as they are: `[time, batch]`.
    pub mask: Option<Value>,
    /// Whether to go through time from its end.
    pub reverse: bool,
}

/// A recurrent layer over all steps of time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recurrence {
    pub(super) name: &'static str,
    /// Of the parts of the sums, and of the state `own` if there is one, the new states.
    pub(super) program: Program,
    pub(super) parts: usize,
    /// The first part to which the kernel adds.
    pub(super) first: usize,
    pub(super) states: usize,
    pub(super) own: Option<usize>,
    pub(super) units: usize,
    pub(super) masked: bool,
    pub(super) reverse: bool,
}

/// The gradient of a [`Recurrence`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecurrenceGradient {
    pub(super) of: Recurrence,
    /// Of the parts, of the state `own` and of a gradient of each state, the gradients of the parts and of `own`.
    pub(super) program: Program,
    /// Which states have a gradient from outside.
    pub(super) upstream: Vec<bool>,
}

/// Extents of a recurrence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extents {
    pub times: usize,
    pub rows: usize,
}

impl Recurrence {
    fn new(cell: RecurrentCell<'_>, units: usize, masked: bool, reverse: bool) -> Result<Self> {
        let (name, program, parts, first, states, own) = match cell {
            RecurrentCell::Simple { function } => {
                ("simple_rnn", gate_programs::simple("simple_rnn", function)?, 1, 0, 1, None)
            }
            RecurrentCell::Lstm { gate, function } => {
                ("lstm", gate_programs::lstm("lstm", gate, function)?, 4, 0, 2, Some(1))
            }
            RecurrentCell::Gru { gate, function } => {
                let program = gate_programs::gru("gru", [1, 2, 0, 3], gate, function)?;
                ("gru", program, 4, 1, 1, Some(0))
            }
        };
        Ok(Self { name, program, parts, first, states, own, units, masked, reverse })
    }

    /// The parts to which the kernel adds.
    pub(super) const fn terms(&self) -> usize {
        self.parts - self.first
    }

    pub(super) fn extents(&self, products: &Shape) -> Extents {
        Extents { times: products.dims()[0], rows: products.dims()[1] }
    }

    /// Among the states of all times, the rows before each step.
    pub(super) fn before(&self, times: usize) -> std::ops::Range<usize> {
        if self.reverse { 1..times + 1 } else { 0..times }
    }

    /// Among the states of all times, the rows after each step.
    pub(super) fn after(&self, times: usize) -> std::ops::Range<usize> {
        if self.reverse { 0..times } else { 1..times + 1 }
    }

    /// Among the states of all times, the row before the first step.
    pub(super) const fn initial(&self, times: usize) -> usize {
        if self.reverse { times } else { 0 }
    }

    fn words(&self) -> String {
        let words = [(self.masked, "; masked"), (self.reverse, "; from the end")];
        let words: String = words.iter().filter(|w| w.0).map(|w| w.1).collect();
        format!("{} units; {}{words}", self.units, self.program)
    }
}

/// Refuses operands that are not f32.
fn all_f32(name: &str, inputs: &[&TensorType]) -> Result<()> {
    if inputs.iter().all(|ty| ty.dtype == DType::F32) {
        return Ok(());
    }
    let dtypes: Vec<DType> = inputs.iter().map(|ty| ty.dtype).collect();
    Err(Error::dtype(name, &dtypes, "a recurrence is computed of f32"))
}

impl Op for Recurrence {
    fn name(&self) -> String {
        self.name.into()
    }

    fn attrs(&self) -> String {
        self.words()
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        2 + self.states + usize::from(self.masked)
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        all_f32(self.name, inputs)?;
        let shapes: Vec<&Shape> = inputs.iter().map(|ty| &ty.shape).collect();
        let (units, parts) = (self.units, self.parts);
        let &[times, rows, _] = shapes[0].dims() else {
            let detail = format!("products are [time, batch, {parts} · units]");
            return Err(Error::shape(self.name, &shapes, detail));
        };
        let mut want: Vec<Shape> =
            vec![[times, rows, parts * units].into(), [units, self.terms() * units].into()];
        want.extend(vec![Shape::from([rows, units]); self.states]);
        want.extend(self.masked.then(|| Shape::from([times, rows])));
        if times == 0
            || rows == 0
            || shapes.len() != want.len()
            || shapes.iter().zip(&want).any(|(s, w)| *s != w)
        {
            let detail = format!(
                "for {units} units there are products [time, batch, {parts} · {units}], a kernel [{units}, {} · {units}], \
                 {} initial state(s) [batch, {units}]{}",
                self.terms(),
                self.states,
                if self.masked { " and a mask [time, batch]" } else { "" }
            );
            return Err(Error::shape(self.name, &shapes, detail));
        }
        let all = TensorType::f32([times + 1, rows, units]);
        let mut results = vec![all; self.states];
        results.push(TensorType::f32([times, rows, parts * units]));
        Ok(results)
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, outputs, upstream, .. } = *cx;
        let (upstream, of_sums) = upstream.split_at(self.states);
        if of_sums[0].is_some() {
            return Err(Error::not_differentiable(
                self.name(),
                "the sums inside of a recurrence have no gradient; use its states",
            ));
        }
        let Extents { times, rows } = self.extents(graph.shape(inputs[0]));
        let units = self.units;
        let mut operands = vec![outputs[self.states], inputs[1]];
        operands.extend(self.own.map(|own| outputs[own]));
        operands.extend(self.masked.then(|| inputs[2 + self.states]));
        operands.extend(upstream.iter().flatten());
        let back = RecurrenceGradient {
            of: self.clone(),
            program: gradient(&self.program, &vec![1; self.states])?,
            upstream: upstream.iter().map(Option::is_some).collect(),
        };
        let found = graph.push_all(Arc::new(back), &operands)?;
        let (d_sums, d_initial) = (found[0], found[1]);
        // All steps of all rows are the terms of one product.
        let h = graph.slice(outputs[0], 0, self.before(times))?;
        let h = graph.reshape(h, [times * rows, units])?;
        let d = graph.reshape(d_sums, [times * rows, self.parts * units])?;
        let d = graph.slice(d, 1, self.first * units..self.parts * units)?;
        let d_kernel = graph.matmul_form(h, d, true, false)?;
        let mut gradients = vec![Some(d_sums), Some(d_kernel)];
        for s in 0..self.states {
            let d = graph.slice(d_initial, 0, s..s + 1)?;
            gradients.push(Some(graph.reshape(d, [rows, units])?));
        }
        gradients.extend(self.masked.then_some(None));
        Ok(gradients)
    }

    fn expands_on(&self, inputs: &[&TensorType], caps: &DeviceCaps) -> bool {
        kernels::Tile::of(self, self.extents(&inputs[0].shape), caps).is_none()
    }

    fn expand(&self, graph: &mut Graph, inputs: &[Value], caps: &DeviceCaps) -> Result<Vec<Value>> {
        in_loop::forward(self, graph, inputs, caps)
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        kernels::forward(self, cx)
    }
}

impl Op for RecurrenceGradient {
    fn name(&self) -> String {
        format!("{}'", self.of.name)
    }

    fn attrs(&self) -> String {
        let words: String =
            self.upstream.iter().map(|&u| if u { " given" } else { " none" }).collect();
        format!("{}; of states{words}", self.of.words())
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        let given = self.upstream.iter().filter(|&&given| given).count();
        2 + usize::from(self.of.own.is_some()) + usize::from(self.of.masked) + given
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        all_f32(&self.name(), inputs)?;
        let shapes: Vec<&Shape> = inputs.iter().map(|ty| &ty.shape).collect();
        let units = self.of.units;
        let &[times, rows, width] = shapes[0].dims() else {
            let detail = "sums are [time, batch, parts · units]";
            return Err(Error::shape(self.name(), &shapes, detail));
        };
        let all = Shape::from([times + 1, rows, units]);
        let mut want = vec![[units, self.of.terms() * units].into()];
        want.extend(self.of.own.map(|_| all.clone()));
        want.extend(self.of.masked.then(|| Shape::from([times, rows])));
        want.extend(self.upstream.iter().filter(|&&given| given).map(|_| all.clone()));
        if width != self.of.parts * units
            || shapes.len() != 1 + want.len()
            || shapes[1..].iter().zip(&want).any(|(s, w)| *s != w)
        {
            let detail =
                format!("sums of {} parts of {units} units, kernel and states", self.of.parts);
            return Err(Error::shape(self.name(), &shapes, detail));
        }
        Ok(vec![inputs[0].clone(), TensorType::f32([self.of.states, rows, units])])
    }

    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Err(Error::not_differentiable(
            self.name(),
            "second derivatives of recurrent layers are not defined",
        ))
    }

    fn expands_on(&self, inputs: &[&TensorType], caps: &DeviceCaps) -> bool {
        kernels::Tile::of(&self.of, self.of.extents(&inputs[0].shape), caps).is_none()
    }

    fn expand(&self, graph: &mut Graph, inputs: &[Value], caps: &DeviceCaps) -> Result<Vec<Value>> {
        in_loop::backward(self, graph, inputs, caps)
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        kernels::backward(self, cx)
    }
}

impl Graph {
    /// A recurrent layer over all steps of time, after the products of its inputs: each state at all times, `[time + 1,
    /// batch, units]`, in the order of time. The first row is the initial state, or the last row if time is gone through
    /// from its end.
    ///
    /// A CPU adapter runs one kernel for all steps of up to 64 units, and one for their gradient; otherwise they are loops. The
    /// kernel's gradient is one product over all steps. Masks have no gradient.
    ///
    /// ```
    /// use wgrad::graph::Graph;
    /// use wgrad::ops::{OverTime, RecurrentCell};
    /// use wgrad::tensor::DType;
    ///
    /// // Eight sequences of 200 steps through 16 units.
    /// let mut graph = Graph::new();
    /// let products = graph.input("x", [200, 8, 64], DType::F32);
    /// let kernel = graph.state("kernel", [16, 64], DType::F32);
    /// let (h, c) = (graph.input("h", [8, 16], DType::F32), graph.input("c", [8, 16], DType::F32));
    /// let cell = RecurrentCell::Lstm { gate: ("sigmoid", &[]), function: ("tanh", &[]) };
    /// let over = OverTime { products, kernel, states: &[h, c], mask: None, reverse: false };
    /// let states = graph.recurrence(cell, &over)?;
    /// assert_eq!(graph.shape(states[0]), &[201, 8, 16].into());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] for operands of other shapes; [`Error::DType`] if one is not f32; [`Error::Parameter`] for a
    /// function that is not known, or has no gradient.
    pub fn recurrence(
        &mut self,
        cell: RecurrentCell<'_>,
        over: &OverTime<'_>,
    ) -> Result<Vec<Value>> {
        let mut operands = vec![over.products, over.kernel];
        operands.extend(over.states);
        operands.extend(over.mask);
        self.check("recurrence", &operands)?;
        let units = self.shape(over.kernel).dims().first().copied().unwrap_or(0);
        let op = Recurrence::new(cell, units, over.mask.is_some(), over.reverse)?;
        if over.states.len() != op.states {
            let shapes: Vec<&Shape> = over.states.iter().map(|&v| self.shape(v)).collect();
            let detail = format!("{} has {} state(s), not {}", op.name, op.states, shapes.len());
            return Err(Error::shape(op.name, &shapes, detail));
        }
        let states = op.states;
        let mut results = self.push_all(Arc::new(op), &operands)?;
        results.truncate(states);
        Ok(results)
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::concatenate::CONCATENATE;
    use super::super::contraction_lower::TILED;
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::kernels::{BACKWARD, FORWARD};
    use super::{OverTime, RecurrentCell};

    impl Case {
        /// `simple_rnn`, `lstm` or `gru` with sigmoid and tanh. `args`: whether from the end. With a mask if `masked`.
        #[must_use]
        pub fn recurrence(
            op: &'static str,
            [times, rows, units]: [usize; 3],
            masked: bool,
            reverse: bool,
        ) -> Self {
            let build: Build = |g, c, x| {
                let (gate, function) = (("sigmoid", [].as_slice()), ("tanh", [].as_slice()));
                let (cell, states) = match c.op {
                    "lstm" => (RecurrentCell::Lstm { gate, function }, 2),
                    "gru" => (RecurrentCell::Gru { gate, function }, 1),
                    _ => (RecurrentCell::Simple { function }, 1),
                };
                let (states, mask) = x[2..].split_at(states);
                let (mask, reverse) = (mask.first().copied(), c.args[0] == 1);
                g.recurrence(
                    cell,
                    &OverTime { products: x[0], kernel: x[1], states, mask, reverse },
                )
            };
            let (parts, terms, states) = match op {
                "lstm" => (4, 4, 2),
                "gru" => (4, 3, 1),
                _ => (1, 1, 1),
            };
            // So that states neither fade nor grow, whatever the size.
            let weight = 1.5 / (units as f32).sqrt();
            let mut inputs = vec![
                Sample::f32([times, rows, parts * units], (-2.0, 2.0)),
                Sample::f32([units, terms * units], (-weight, weight)),
            ];
            inputs.extend(vec![Sample::f32([rows, units], (-1.0, 1.0)); states]);
            if masked {
                inputs.push(Sample::f32([times, rows], (-1.0, 1.0)));
            }
            Self::new(op, inputs, &[usize::from(reverse)], build)
        }
    }

    pub fn cards() -> Vec<Card> {
        let card = |op| {
            let of = |sizes, masked, reverse| Case::recurrence(op, sizes, masked, reverse);
            let cases = vec![
                of([1, 1, 1], false, false),
                of([2, 3, 5], false, false),
                of([3, 2, 8], false, true),
                of([3, 2, 4], true, false),
                of([4, 9, 6], true, true),
                of([2, 17, 33], false, false),
            ];
            // The last two are those of a loop.
            let templates = &[FORWARD, BACKWARD, TILED, CONCATENATE];
            Card::new(op, templates, Gradient::Checked, cases)
        };
        vec![card("simple_rnn"), card("lstm"), card("gru")]
    }
}
