//! The gated recurrent unit.

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

/// Gated recurrent units (Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014). Keras' `GRU`.
///
/// Over the steps of time, from h = 0, with σ the recurrent activation and f the activation, x_z, x_r, x_h the three
/// parts of x · kernel + bias and U_z, U_r, U_h those of the recurrent kernel:
///
/// - z = σ(x_z + h · U_z), r = σ(x_r + h · U_r)
/// - n = f(x_h + r · (h · U_h)) if the reset is after the product, as in PyTorch and by default;
///   otherwise f(x_h + (r · h) · U_h), as in the paper
/// - h = z · h + (1 - z) · n
///
/// Input `[batch, time, in]`, and, if h begins elsewhere, its initial value `[batch, units]`. Output `[batch, units]`, h
/// after the last step; with `return_sequences` `[batch, time, units]`, all of them; with `return_state` also the last h.
/// `kernel` is `[in, 3 · units]`, `recurrent_kernel` `[units, 3 · units]`, in Keras' order z, r, h. `bias` is `[2, 3 ·
/// units]`, of the input's products and of the recurrent ones, or `[3 · units]` without `reset_after`.
///
/// The products of all inputs with the kernel are one product. A masked step keeps h.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([24, 3]).add(Gru::new(32)).add(Dense::new(1)).build()?;
/// assert_eq!(model.layers()[0].name, "gru");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Gru {
    cell: GruCell,
    options: Options,
}

/// One step of [`Gru`], for [`Rnn`](super::Rnn) and [`StackedRnnCells`](super::StackedRnnCells). Keras' `GRUCell`.
///
/// Inputs: a step `[batch, in]` and h `[batch, units]`. Outputs: the new h, twice. Weights are those of the layer.
#[derive(Debug, Clone, PartialEq)]
pub struct GruCell {
    units: Units,
    recurrent_activation: Activation,
    reset_after: bool,
}

impl Gru {
    /// A layer of `units`: tanh, sigmoid gates, Glorot-uniform kernel, orthogonal recurrent kernel, zero bias, the reset
    /// after the product.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        Self { cell: GruCell::new(units), options: Options::NONE }
    }
}

impl GruCell {
    /// A cell of `units`, with the settings of [`Gru::new`].
    #[must_use]
    pub const fn new(units: usize) -> Self {
        let recurrent_activation = Activation::Sigmoid;
        Self { units: Units::new(units), recurrent_activation, reset_after: true }
    }

    fn check(&self, op: &str, sample: &Shape, rank: usize) -> Result<()> {
        self.recurrent_activation.check()?;
        self.units.check(op, sample, rank)
    }

    fn specs(&self, sample: &Shape) -> Vec<WeightSpec> {
        let width = self.units.units.saturating_mul(3);
        let bias = if self.reset_after { vec![2, width] } else { vec![width] };
        self.units.weights(sample, 3, &bias)
    }

    /// The functions of gates and state, if a step is the product and one kernel: the reset is after the product, so the
    /// product has a column for each part of the step, z, r, x_h and u_h, and zeros where input or state has none.
    fn functions(&self) -> Option<[(&'static str, Vec<f32>); 2]> {
        let found = self.recurrent_activation.function().zip(self.units.activation.function());
        found.filter(|_| self.reset_after).map(|(gate, function)| [gate, function])
    }

    /// Columns of the parts `from..to` of three.
    fn parts(&self, g: &mut Graph, v: Value, from: usize, to: usize) -> Result<Value> {
        let axis = g.shape(v).rank() - 1;
        g.slice(v, axis, from * self.units.units..to * self.units.units)
    }

    /// Row `row` of the two biases, if there are any.
    fn bias(&self, g: &mut Graph, cx: &Context, row: usize) -> Result<Option<Value>> {
        let Some(bias) = self.units.bias(cx)? else { return Ok(None) };
        if !self.reset_after {
            return Ok((row == 0).then_some(bias));
        }
        let one = g.slice(bias, 0, row..row + 1)?;
        g.reshape(one, [3 * self.units.units]).map(Some)
    }

    /// Zeros in the columns of one part.
    fn no_columns(&self, g: &mut Graph, kernel: Value) -> Result<Value> {
        let (rows, zero) = (g.shape(kernel).dims()[0], g.constant(0.0));
        g.broadcast_to(zero, [rows, self.units.units])
    }

    /// The input's kernel in four parts: z, r, x_h, or x_h, z, r, and zeros for u_h, which is of the state.
    fn input_kernel(&self, g: &mut Graph, cx: &Context, last_first: bool) -> Result<Value> {
        let kernel = cx.weight("kernel")?;
        let none = self.no_columns(g, kernel)?;
        if !last_first {
            return g.concatenate(&[kernel, none], 1);
        }
        let (x, zr) = (self.parts(g, kernel, 2, 3)?, self.parts(g, kernel, 0, 2)?);
        g.concatenate(&[x, zr, none], 1)
    }

    /// The biases of the four parts of [`GruCell::input_kernel`], if there are any.
    fn joint_bias(&self, g: &mut Graph, cx: &Context, last_first: bool) -> Result<Option<Value>> {
        let Some((input, state)) = self.bias(g, cx, 0)?.zip(self.bias(g, cx, 1)?) else {
            return Ok(None);
        };
        let (of_input, of_state) = (self.parts(g, input, 0, 2)?, self.parts(g, state, 0, 2)?);
        let both = g.add(of_input, of_state)?;
        let (x, u) = (self.parts(g, input, 2, 3)?, self.parts(g, state, 2, 3)?);
        g.concatenate(&if last_first { [x, both, u] } else { [both, x, u] }, 0).map(Some)
    }

    /// Kernels and bias of four parts, for [`Graph::gru_gates`].
    fn of_four(&self, g: &mut Graph, cx: &Context, x: Value) -> Result<Given> {
        let (kernel, recurrent) =
            (self.input_kernel(g, cx, false)?, cx.weight("recurrent_kernel")?);
        let none = self.no_columns(g, recurrent)?;
        let (zr, h) = (self.parts(g, recurrent, 0, 2)?, self.parts(g, recurrent, 2, 3)?);
        let recurrent = g.concatenate(&[zr, none, h], 1)?;
        let bias = self.joint_bias(g, cx, false)?;
        self.units.all_steps(g, cx, x, [kernel, recurrent], bias)
    }
}

cell_setter!(Gru, GruCell, recurrent_activation: Activation, "Applies `recurrent_activation` to the gates.");
cell_setter!(
    Gru,
    GruCell,
    reset_after: bool,
    "Whether the reset gate acts after the recurrent product or before it."
);
unit_builders!(Gru, cell.units);
unit_builders!(GruCell, units);
option_builders!(Gru);
gated_settings!(Gru);

impl Settings for GruCell {
    fn blank() -> Self {
        Self::new(0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.units.settings(fields)?;
        fields.field("recurrent_activation", &mut self.recurrent_activation)?;
        fields.field("reset_after", &mut self.reset_after)
    }
}

impl Cell for GruCell {
    fn states(&self) -> Vec<Shape> {
        vec![[self.units.units].into()]
    }

    fn over_time(
        &self,
        graph: &mut Graph,
        cx: &Context,
        start: &Start<'_>,
    ) -> Result<Option<Vec<Value>>> {
        let Some([gate, function]) = self.functions().filter(|_| self.units.is_one_op(cx)) else {
            return Ok(None);
        };
        let kernels = [self.input_kernel(graph, cx, true)?, cx.weight("recurrent_kernel")?];
        let bias = self.joint_bias(graph, cx, true)?;
        let given = self.units.all_steps(graph, cx, cx.input(), kernels, bias)?;
        let (gate, function) = ((gate.0, gate.1.as_slice()), (function.0, function.1.as_slice()));
        self.units.over_time(graph, &given, RecurrentCell::Gru { gate, function }, start)
    }

    fn all_steps(&self, graph: &mut Graph, cx: &Context, x: Value) -> Result<Given> {
        if self.functions().is_some() {
            return self.of_four(graph, cx, x);
        }
        let kernels = [cx.weight("kernel")?, cx.weight("recurrent_kernel")?];
        let bias = self.bias(graph, cx, 0)?;
        let mut given = self.units.all_steps(graph, cx, x, kernels, bias)?;
        if !self.reset_after {
            // There are two products. Each has its kernel, so that its gradient is one product over all steps.
            let (x, kernel) = (given.sequences[0], kernels[1]);
            given.sequences = vec![self.parts(graph, x, 0, 2)?, self.parts(graph, x, 2, 3)?];
            let both = [self.parts(graph, kernel, 0, 2)?, self.parts(graph, kernel, 2, 3)?];
            given.outer.splice(..1, both);
            return Ok(given);
        }
        // Before the mask of dropout, which may be missing.
        if let Some(bias) = self.bias(graph, cx, 1)? {
            given.outer.insert(1, bias);
        }
        Ok(given)
    }

    fn step(&self, g: &mut Graph, _: &Context, now: &Now<'_>) -> Result<(Value, Vec<Value>)> {
        let (before, kernel, x) = (now.states[0], now.outer[0], now.slices[0]);
        if let Some([gate, function]) = self.functions() {
            let h = Units::recurrent(g, before, now.outer.get(1))?;
            let product = g.matmul(h, kernel)?;
            let sums = g.add(x, product)?;
            let (gate, function) =
                ((gate.0, gate.1.as_slice()), (function.0, function.1.as_slice()));
            let h = g.gru_gates(sums, before, gate, function)?;
            return Ok((h, vec![h]));
        }
        let biased = self.reset_after && self.units.use_bias;
        let more = biased || !self.reset_after;
        let h = Units::recurrent(g, before, now.outer.get(if more { 2 } else { 1 }))?;
        let gate = |g: &mut Graph, x: Value, recurrent: Value, f: Activation| {
            let sum = g.add(x, recurrent)?;
            f.apply(g, sum)
        };
        let (sigma, f) = (self.recurrent_activation, self.units.activation);
        let (z, new) = if self.reset_after {
            let (x_zr, x_h) = (self.parts(g, x, 0, 2)?, self.parts(g, x, 2, 3)?);
            let mut all = g.matmul(h, kernel)?;
            if biased {
                all = g.add(all, now.outer[1])?;
            }
            let both = self.parts(g, all, 0, 2)?;
            let both = g.add(x_zr, both)?;
            let (z, r) = (self.parts(g, both, 0, 1)?, self.parts(g, both, 1, 2)?);
            let (z, r) = (sigma.apply(g, z)?, sigma.apply(g, r)?);
            let product = self.parts(g, all, 2, 3)?;
            let reset = g.mul(r, product)?;
            (z, gate(g, x_h, reset, f)?)
        } else {
            let both = g.matmul(h, kernel)?;
            let both = g.add(x, both)?;
            let (z, r) = (self.parts(g, both, 0, 1)?, self.parts(g, both, 1, 2)?);
            let (z, r) = (sigma.apply(g, z)?, sigma.apply(g, r)?);
            let reset = g.mul(r, h)?;
            let product = g.matmul(reset, now.outer[1])?;
            (z, gate(g, now.slices[1], product, f)?)
        };
        let further = g.sub(before, new)?;
        let kept = g.mul(z, further)?;
        let h = g.add(new, kept)?;
        Ok((h, vec![h]))
    }
}

impl Layer for Gru {
    unit_layer!("GRU", "gru");
}

impl Layer for GruCell {
    cell_layer!("GRUCell", "gru_cell");
}
