//! The long short-term memory.

use super::initial::with_forget_bias;
use super::options::{Options, option_builders};
use super::units::{Units, cell_layer, cell_setter, gated_settings, unit_builders, unit_layer};
use super::{Cell, Given, Now, Recurrence, Start, driver};
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{Graph, TensorType, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs, WeightSpec};
use crate::ops::RecurrentCell;
use crate::tensor::Shape;

/// Long short-term memory: units with a state c that gates change and show (Hochreiter and Schmidhuber, "Long short-term
/// memory", 1997, with the forget gate of Gers, Schmidhuber and Cummins 2000). Keras' `LSTM`.
///
/// Over the steps of time, from h = c = 0, with σ the recurrent activation and f the activation:
///
/// - \[i, f, g, o\] = x · kernel + h · recurrent_kernel + bias, four parts of `units` columns
/// - c = σ(f) · c + σ(i) · f(g)
/// - h = σ(o) · f(c)
///
/// Input `[batch, time, in]`, and, if the states begin elsewhere, h and c, each `[batch, units]`. Output `[batch,
/// units]`, h after the last step; with `return_sequences` `[batch, time, units]`, all of them; with `return_state` also
/// the last h and c. `kernel` is `[in, 4 · units]`, `recurrent_kernel` `[units, 4 · units]`, `bias` `[4 · units]`, with
/// the gates in Keras' order i, f, c, o.
///
/// The products of all inputs with the kernel are one product; the loop has the recurrent one. A masked step keeps its
/// states.
///
/// ```
/// use wgrad::prelude::*;
///
/// // The 28 rows of an image, one after the other.
/// let model = Sequential::new([28, 28]).add(Lstm::new(128)).add(Dense::new(10)).build()?;
/// assert_eq!(model.layers()[0].name, "lstm");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Lstm {
    cell: LstmCell,
    options: Options,
}

/// One step of [`Lstm`], for [`Rnn`](super::Rnn) and [`StackedRnnCells`](super::StackedRnnCells). Keras' `LSTMCell`.
///
/// Inputs: a step `[batch, in]`, h and c, each `[batch, units]`. Outputs: the new h, then the new h and c. Weights are those
/// of the layer.
///
/// ```
/// use wgrad::prelude::*;
///
/// // Two cells in one loop, of 16 and of 8 units.
/// let cells = StackedRnnCells::new([LstmCell::new(16).into(), GruCell::new(8).into()]);
/// let model = Sequential::new([20, 3]).add(Rnn::from_cell(cells)).add(Dense::new(1)).build()?;
/// assert_eq!(model.layers()[0].layer.output_shape(&[[20, 3].into()])?, [8].into());
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LstmCell {
    units: Units,
    recurrent_activation: Activation,
    unit_forget_bias: bool,
}

impl Lstm {
    /// A layer of `units`: tanh, sigmoid gates, Glorot-uniform kernel, orthogonal recurrent kernel, zero bias but 1 for
    /// the forget gates.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        Self { cell: LstmCell::new(units), options: Options::NONE }
    }
}

impl LstmCell {
    /// A cell of `units`, with the settings of [`Lstm::new`].
    #[must_use]
    pub const fn new(units: usize) -> Self {
        let recurrent_activation = Activation::Sigmoid;
        Self { units: Units::new(units), recurrent_activation, unit_forget_bias: true }
    }

    fn check(&self, op: &str, sample: &Shape, rank: usize) -> Result<()> {
        self.recurrent_activation.check()?;
        self.units.check(op, sample, rank)
    }

    fn specs(&self, sample: &Shape) -> Vec<WeightSpec> {
        let width = self.units.units.saturating_mul(4);
        let mut specs = self.units.weights(sample, 4, &[width]);
        if let Some(bias) = specs.get_mut(2).filter(|_| self.unit_forget_bias) {
            bias.initializer = with_forget_bias(bias.initializer);
        }
        specs
    }
}

cell_setter!(Lstm, LstmCell, recurrent_activation: Activation, "Applies `recurrent_activation` to the gates.");
cell_setter!(
    Lstm,
    LstmCell,
    unit_forget_bias: bool,
    "Whether the bias of the forget gates begins at 1, so that units remember before they have learned to (Jozefowicz,\n\
     Zaremba and Sutskever 2015)."
);
unit_builders!(Lstm, cell.units);
unit_builders!(LstmCell, units);
option_builders!(Lstm);
gated_settings!(Lstm);

impl Settings for LstmCell {
    fn blank() -> Self {
        Self::new(0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.units.settings(fields)?;
        fields.field("recurrent_activation", &mut self.recurrent_activation)?;
        fields.field("unit_forget_bias", &mut self.unit_forget_bias)
    }
}

impl Cell for LstmCell {
    fn states(&self) -> Vec<Shape> {
        vec![[self.units.units].into(); 2]
    }

    fn over_time(
        &self,
        graph: &mut Graph,
        cx: &Context,
        start: &Start<'_>,
    ) -> Result<Option<Vec<Value>>> {
        let functions = self.recurrent_activation.function().zip(self.units.activation.function());
        let Some((gate, function)) = functions.filter(|_| self.units.is_one_op(cx)) else {
            return Ok(None);
        };
        let given = self.all_steps(graph, cx, cx.input())?;
        let (gate, function) = ((gate.0, gate.1.as_slice()), (function.0, function.1.as_slice()));
        self.units.over_time(graph, &given, RecurrentCell::Lstm { gate, function }, start)
    }

    fn all_steps(&self, graph: &mut Graph, cx: &Context, x: Value) -> Result<Given> {
        let kernels = [cx.weight("kernel")?, cx.weight("recurrent_kernel")?];
        self.units.all_steps(graph, cx, x, kernels, self.units.bias(cx)?)
    }

    fn step(&self, g: &mut Graph, _: &Context, now: &Now<'_>) -> Result<(Value, Vec<Value>)> {
        let h = Units::recurrent(g, now.states[0], now.outer.get(1))?;
        let recurrent = g.matmul(h, now.outer[0])?;
        let sum = g.add(now.slices[0], recurrent)?;
        if let (Some(gate), Some(function)) =
            (self.recurrent_activation.function(), self.units.activation.function())
        {
            let (gate, function) =
                ((gate.0, gate.1.as_slice()), (function.0, function.1.as_slice()));
            let [h, c] = g.lstm_gates(sum, now.states[1], gate, function)?;
            return Ok((h, vec![h, c]));
        }
        let units = self.units.units;
        let gate = |g: &mut Graph, k: usize, f: Activation| {
            let z = g.slice(sum, 1, k * units..(k + 1) * units)?;
            f.apply(g, z)
        };
        let (sigma, f) = (self.recurrent_activation, self.units.activation);
        let input = gate(g, 0, sigma)?;
        let forget = gate(g, 1, sigma)?;
        let new = gate(g, 2, f)?;
        let output = gate(g, 3, sigma)?;
        let kept = g.mul(forget, now.states[1])?;
        let added = g.mul(input, new)?;
        let c = g.add(kept, added)?;
        let shown = f.apply(g, c)?;
        let h = g.mul(output, shown)?;
        Ok((h, vec![h, c]))
    }
}

impl Layer for Lstm {
    unit_layer!("LSTM", "lstm");
}

impl Layer for LstmCell {
    cell_layer!("LSTMCell", "lstm_cell");
}
