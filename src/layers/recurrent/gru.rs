//! The gated recurrent unit.

use super::options::{Options, option_builders};
use super::units::{Units, unit_builders, unit_layer};
use super::{Cell, Given, Now, Recurrence, driver};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::error::Result;
use crate::graph::{Graph, TensorType, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::tensor::{Initializer, Shape};

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
    cell: Units,
    options: Options,
    recurrent_activation: Activation,
    reset_after: bool,
}

impl Gru {
    /// A layer of `units`: tanh, sigmoid gates, Glorot-uniform kernel, orthogonal recurrent kernel, zero bias, the reset
    /// after the product.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        let recurrent_activation = Activation::Sigmoid;
        let (cell, options) = (Units::new(units), Options::NONE);
        Self { cell, options, recurrent_activation, reset_after: true }
    }

    /// Applies `activation` to the gates.
    #[must_use]
    pub const fn recurrent_activation(mut self, activation: Activation) -> Self {
        self.recurrent_activation = activation;
        self
    }

    /// Whether the reset gate acts after the recurrent product or before it.
    #[must_use]
    pub const fn reset_after(mut self, reset_after: bool) -> Self {
        self.reset_after = reset_after;
        self
    }

    fn check(&self, sample: &Shape) -> Result<()> {
        self.recurrent_activation.check()?;
        self.cell.check("gru", sample)
    }

    /// Row `row` of the two biases.
    fn bias(&self, graph: &mut Graph, cx: &Context, row: usize) -> Result<Option<Value>> {
        if !self.cell.use_bias {
            return Ok(None);
        }
        let bias = cx.weight("bias")?;
        if !self.reset_after {
            return Ok((row == 0).then_some(bias));
        }
        let one = graph.slice(bias, 0, row..row + 1)?;
        graph.reshape(one, [3 * self.cell.units]).map(Some)
    }
}

unit_builders!(Gru);
option_builders!(Gru);

impl Settings for Gru {
    fn blank() -> Self {
        Self::new(0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.cell.settings(fields)?;
        fields.field("recurrent_activation", &mut self.recurrent_activation)?;
        fields.field("reset_after", &mut self.reset_after)?;
        self.options.settings(fields)?;
        super::options::ways_to_compute(fields)
    }
}

impl Cell for Gru {
    fn states(&self) -> Vec<Shape> {
        vec![[self.cell.units].into()]
    }

    fn all_steps(&self, graph: &mut Graph, cx: &Context) -> Result<Given> {
        let bias = self.bias(graph, cx, 0)?;
        let mut given = self.cell.all_steps(graph, cx, bias)?;
        // Before the mask of dropout, which may be missing.
        if let Some(bias) = self.bias(graph, cx, 1)? {
            given.outer.insert(1, bias);
        }
        Ok(given)
    }

    fn step(&self, g: &mut Graph, _: &Context, now: &Now<'_>) -> Result<(Value, Vec<Value>)> {
        let (units, before) = (self.cell.units, now.states[0]);
        let (kernel, x) = (now.outer[0], now.slices[0]);
        let biased = self.reset_after && self.cell.use_bias;
        let h = Units::recurrent(g, before, now.outer.get(if biased { 2 } else { 1 }))?;
        let part = |g: &mut Graph, v: Value, from: usize, to: usize| {
            g.slice(v, 1, from * units..to * units)
        };
        let gate = |g: &mut Graph, x: Value, recurrent: Value, f: Activation| {
            let sum = g.add(x, recurrent)?;
            f.apply(g, sum)
        };
        let (sigma, f) = (self.recurrent_activation, self.cell.activation);
        let x_h = part(g, x, 2, 3)?;
        let (z, new) = if self.reset_after {
            let mut all = g.matmul(h, kernel)?;
            if biased {
                all = g.add(all, now.outer[1])?;
            }
            let (x_z, all_z) = (part(g, x, 0, 1)?, part(g, all, 0, 1)?);
            let z = gate(g, x_z, all_z, sigma)?;
            let (x_r, all_r) = (part(g, x, 1, 2)?, part(g, all, 1, 2)?);
            let r = gate(g, x_r, all_r, sigma)?;
            let product = part(g, all, 2, 3)?;
            let reset = g.mul(r, product)?;
            (z, gate(g, x_h, reset, f)?)
        } else {
            let (first, last) = (part(g, kernel, 0, 2)?, part(g, kernel, 2, 3)?);
            let both = g.matmul(h, first)?;
            let x_zr = part(g, x, 0, 2)?;
            let both = gate(g, x_zr, both, sigma)?;
            let (z, r) = (part(g, both, 0, 1)?, part(g, both, 1, 2)?);
            let reset = g.mul(r, h)?;
            let product = g.matmul(reset, last)?;
            (z, gate(g, x_h, product, f)?)
        };
        let kept = g.mul(z, before)?;
        let one = g.constant(1.0);
        let share = g.sub(one, z)?;
        let added = g.mul(share, new)?;
        let h = g.add(kept, added)?;
        Ok((h, vec![h]))
    }
}

impl Layer for Gru {
    unit_layer!("GRU", "gru");

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let width = self.cell.units.saturating_mul(3);
        let bias = if self.reset_after { vec![2, width] } else { vec![width] };
        let specs = self.cell.weights(&inputs[0], 3, &bias);
        [specs, driver::kept_states(self, self.options)].concat()
    }
}
