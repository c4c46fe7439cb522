//! A recurrence whose cell is any layer.

use super::driver;
use super::options::{Options, option_builders};
use super::units::dropout;
use super::{Cell, Given, Now, Recurrence};
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, LayerHandle, Outputs, WeightKind, WeightSpec};
use crate::tensor::{DType, Shape, Tensor};

/// A layer as the cell of a recurrence: Keras' `RNN`, with [`LstmCell`](super::LstmCell), [`GruCell`](super::GruCell),
/// [`SimpleRnnCell`](super::SimpleRnnCell), [`StackedRnnCells`](super::StackedRnnCells), or a cell of your own.
///
/// The cell takes one step of the sequence, `[batch, ...]`, and the states, each `[batch, ...]`; it gives the output of
/// the step and the new states. It may be a layer of your own or a [`Model`](crate::layers::Model) of several inputs and
/// outputs, so cells are stacked as layers of a model are. States begin at zero, or are given after the sequence.
///
/// Input `[batch, time, ...]`. Output `[batch, ...]`, that of the last step, or with `return_sequences` `[batch, time,
/// ...]`; with `return_state` also the last states. A masked step keeps the states and repeats the output, zero at first.
///
/// Weights have the cell's name: `rnn/dense/kernel`. A loop runs the cell, so a sequence of any length has as many
/// kernels.
///
/// ```
/// use wgrad::prelude::*;
///
/// // h = tanh(W · [x, h] + b), as a model of two inputs and two outputs.
/// let (x, h) = (input([3]), input([16]));
/// let both = merge(Concatenate::default(), [&x, &h]);
/// let new = both.then(Dense::new(16).activation(Activation::Tanh));
/// let cell = Model::new([&x, &h], [&new, &new])?;
///
/// let model = Sequential::new([20, 3]).add(Rnn::new(&cell, [[16]])).add(Dense::new(1)).build()?;
/// assert_eq!(model.output_shapes(), [Shape::from([1])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rnn {
    cell: LayerHandle,
    states: Vec<Shape>,
    options: Options,
}

impl Rnn {
    /// A recurrence of `cell`, whose states have these sample shapes.
    #[must_use]
    pub fn new<S: Into<Shape>>(
        cell: impl Into<LayerHandle>,
        states: impl IntoIterator<Item = S>,
    ) -> Self {
        let states = states.into_iter().map(Into::into).collect();
        Self { cell: cell.into(), states, options: Options::NONE }
    }

    /// A recurrence of a cell that tells its states, as [`LstmCell`](super::LstmCell) and
    /// [`StackedRnnCells`](super::StackedRnnCells) do by [`Layer::cell_states`].
    #[must_use]
    pub fn from_cell(cell: impl Into<LayerHandle>) -> Self {
        let cell = cell.into();
        let states = cell.layer().cell_states().unwrap_or_default();
        Self { cell, states, options: Options::NONE }
    }

    /// What the cell is given in a step: a step of the sequence, and the states.
    fn inner(&self, step: &Shape) -> Vec<Shape> {
        [step].into_iter().chain(&self.states).cloned().collect()
    }

    /// What the cell draws once for a sequence of steps of this shape.
    fn drawn(&self, step: Shape) -> Vec<(String, f32, Shape)> {
        let all = self.cell.layer().sequence_dropout(&self.inner(&step)).into_iter();
        all.filter(|(_, rate, _)| *rate > 0.0).collect()
    }

    /// The shape of the cell's output, after a check of all that it gives.
    fn checked(&self, step: &Shape) -> Result<Shape> {
        let name = format!("cell `{}`", self.cell.part_name());
        self.cell.layer().check_inputs(1 + self.states.len())?;
        let found = self.cell.layer().outputs(&self.inner(step))?;
        if found.len() != 1 + self.states.len() {
            let detail = format!(
                "{name} has {} states, so it gives its output and the new states: {} tensors",
                self.states.len(),
                1 + self.states.len()
            );
            return Err(Error::parameter("outputs", found.len(), detail));
        }
        if let Some(ty) = found.iter().find(|ty| ty.dtype != DType::F32) {
            return Err(Error::dtype(name, &[ty.dtype], "what a cell gives is f32"));
        }
        for (i, (new, old)) in found[1..].iter().zip(&self.states).enumerate() {
            if new.shape != *old {
                let detail = format!(
                    "state {i} has the second shape and becomes the first; a state keeps its shape"
                );
                return Err(Error::shape(name, &[&new.shape, old], detail));
            }
        }
        let own = self.cell.layer().weights(&self.inner(step));
        if let Some(spec) = own.iter().find(|spec| spec.kind == WeightKind::State) {
            let detail = format!(
                "{name}: a layer inside a loop keeps no state beside the cell's; make it a state of the cell"
            );
            return Err(Error::parameter("state", &spec.name, detail));
        }
        Ok(found[0].shape.clone())
    }

    /// The cell's weights, or constants, are those of one step.
    fn step_of(inputs: &[Shape]) -> Shape {
        inputs[0].dims().get(1..).unwrap_or_default().into()
    }
}

option_builders!(Rnn);

impl Settings for Rnn {
    fn blank() -> Self {
        Self::new(crate::activations::Activation::Linear, [[1]])
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        let mut cell = Some(self.cell.clone());
        fields.layer("cell", &mut cell)?;
        self.cell = cell.unwrap_or_else(|| self.cell.clone());
        match self.cell.layer().cell_states() {
            Some(states) => self.states = states,
            None => fields.required("state_shapes", &mut self.states)?,
        }
        self.options.settings(fields)
    }
}

impl Cell for Rnn {
    fn states(&self) -> Vec<Shape> {
        self.states.clone()
    }

    fn output(&self, step: &Shape) -> Result<Option<Shape>> {
        self.checked(step).map(Some)
    }

    fn all_steps(&self, graph: &mut Graph, cx: &Context, x: Value) -> Result<Given> {
        let sequences = vec![driver::swap_time(graph, x)?];
        let batch = graph.shape(x).dims()[0];
        let mut inner = cx.part(&self.cell.part_name(), &[]);
        for (name, rate, shape) in self.drawn(graph.shape(x).dims()[2..].into()) {
            let shape = [&[batch], shape.dims()].concat();
            if let Some(factors) = dropout(graph, &inner, &name, rate, shape)? {
                inner = inner.with_constant(&name, factors);
            }
        }
        Ok(Given { sequences, outer: inner.values() })
    }

    fn step(&self, g: &mut Graph, cx: &Context, now: &Now<'_>) -> Result<(Value, Vec<Value>)> {
        let inputs = [now.slices, now.states].concat();
        let mut inner = cx.part(&self.cell.part_name(), &inputs);
        if inner.training() {
            // Their values are among the outer ones, in whose order names are.
            for (name, ..) in self.drawn(g.shape(now.slices[0]).dims()[1..].into()) {
                inner = inner.with_constant(&name, now.slices[0]);
            }
        }
        let mut values = inner.with_values(now.outer).apply(g, &self.cell)?.values;
        let states = values.split_off(1);
        Ok((values[0], states))
    }
}

impl Layer for Rnn {
    fn kind(&self) -> &'static str {
        "RNN"
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        driver::check_inputs(self, "RNN", count)
    }

    fn activation(&self) -> Option<crate::activations::Activation> {
        self.cell.layer().activation()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(self.outputs(inputs)?.swap_remove(0).shape)
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        if self.states.is_empty() {
            let detail = "a cell has a state or more: give their shapes by `Rnn::new(cell, [[64]])`, or define \
                          `Layer::cell_states`; a layer without one is for TimeDistributed";
            return Err(Error::parameter("states", 0, detail));
        }
        driver::outputs(self, self.options, "rnn", inputs)
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let inner = self.inner(&Self::step_of(inputs));
        let own = self.cell.weights_within(&self.cell.part_name(), &inner);
        [own, driver::kept_states(self, self.options)].concat()
    }

    fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let part = self.cell.part_name();
        let own = self.cell.layer().constants(&self.inner(&Self::step_of(inputs))).into_iter();
        own.map(|(name, tensor)| (format!("{part}/{name}"), tensor)).collect()
    }

    fn batch_size(&self) -> Option<usize> {
        self.options.stateful
    }

    fn recurrence(&self) -> Option<Recurrence> {
        let with = |options| Self { options, ..self.clone() }.into();
        Some(driver::recurrence(self, self.options, with))
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        driver::apply(self, self.options, "rnn", graph, cx)
    }
}
