//! The fully connected recurrent layer.

use super::options::{Options, option_builders};
use super::units::{Units, cell_layer, unit_builders, unit_layer};
use super::{Cell, Given, Now, Recurrence, Start, driver};
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{Graph, TensorType, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs, WeightSpec};
use crate::ops::RecurrentCell;
use crate::tensor::Shape;

/// A recurrent layer: h = activation(x · kernel + h · recurrent_kernel + bias) over the steps of time, from h = 0 (Elman,
/// "Finding structure in time", 1990). Keras' `SimpleRNN`.
///
/// Input `[batch, time, in]`, and, if h begins elsewhere, its initial value `[batch, units]`. Output `[batch, units]`, h
/// after the last step; with `return_sequences` `[batch, time, units]`, all of them; with `return_state` also the last h.
/// `kernel` is `[in, units]`, `recurrent_kernel` `[units, units]`, `bias` `[units]`.
///
/// The products of all inputs with the kernel are one product; the loop has the recurrent one. A masked step keeps h.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([28, 28]).add(SimpleRnn::new(64)).add(Dense::new(10)).build()?;
/// assert_eq!(model.layers()[0].name, "simple_rnn");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SimpleRnn {
    cell: SimpleRnnCell,
    options: Options,
}

/// One step of [`SimpleRnn`], for [`Rnn`](super::Rnn) and [`StackedRnnCells`](super::StackedRnnCells). Keras'
/// `SimpleRNNCell`.
///
/// Inputs: a step `[batch, in]` and h `[batch, units]`. Outputs: the new h, twice. Weights are those of the layer.
#[derive(Debug, Clone, PartialEq)]
pub struct SimpleRnnCell {
    units: Units,
}

impl SimpleRnn {
    /// A layer of `units`: tanh, Glorot-uniform kernel, orthogonal recurrent kernel, zero bias.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        Self { cell: SimpleRnnCell::new(units), options: Options::NONE }
    }
}

impl SimpleRnnCell {
    /// A cell of `units`, with the settings of [`SimpleRnn::new`].
    #[must_use]
    pub const fn new(units: usize) -> Self {
        Self { units: Units::new(units) }
    }

    fn check(&self, op: &str, sample: &Shape, rank: usize) -> Result<()> {
        self.units.check(op, sample, rank)
    }

    fn specs(&self, sample: &Shape) -> Vec<WeightSpec> {
        self.units.weights(sample, 1, &[self.units.units])
    }
}

unit_builders!(SimpleRnn, cell.units);
unit_builders!(SimpleRnnCell, units);
option_builders!(SimpleRnn);

impl Settings for SimpleRnn {
    fn blank() -> Self {
        Self::new(0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.cell.settings(fields)?;
        self.options.settings(fields)
    }
}

impl Settings for SimpleRnnCell {
    fn blank() -> Self {
        Self::new(0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.units.settings(fields)
    }
}

impl Cell for SimpleRnnCell {
    fn states(&self) -> Vec<Shape> {
        vec![[self.units.units].into()]
    }

    fn over_time(
        &self,
        graph: &mut Graph,
        cx: &Context,
        start: &Start<'_>,
    ) -> Result<Option<Vec<Value>>> {
        let found = self.units.activation.function();
        let Some((name, params)) = found.filter(|_| self.units.is_one_op(cx)) else {
            return Ok(None);
        };
        let given = self.all_steps(graph, cx, cx.input())?;
        let function = (name, params.as_slice());
        self.units.over_time(graph, &given, RecurrentCell::Simple { function }, start)
    }

    fn all_steps(&self, graph: &mut Graph, cx: &Context, x: Value) -> Result<Given> {
        let kernels = [cx.weight("kernel")?, cx.weight("recurrent_kernel")?];
        self.units.all_steps(graph, cx, x, kernels, self.units.bias(cx)?)
    }

    fn step(&self, g: &mut Graph, _: &Context, now: &Now<'_>) -> Result<(Value, Vec<Value>)> {
        let h = Units::recurrent(g, now.states[0], now.outer.get(1))?;
        let recurrent = g.matmul(h, now.outer[0])?;
        let sum = g.add(now.slices[0], recurrent)?;
        let h = self.units.activation.apply(g, sum)?;
        Ok((h, vec![h]))
    }
}

impl Layer for SimpleRnn {
    unit_layer!("SimpleRNN", "simple_rnn");
}

impl Layer for SimpleRnnCell {
    cell_layer!("SimpleRNNCell", "simple_rnn_cell");
}
