//! Several cells as one.

use super::driver::check_step_inputs;
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::model::numbered;
use crate::layers::{Context, Layer, LayerHandle, Outputs, WeightSpec};
use crate::tensor::{Shape, Tensor};

/// Cells of which each reads what the one before it gives, as one cell: Keras' `StackedRNNCells`. The loop of
/// [`Rnn::from_cell`](super::Rnn::from_cell) then runs all of them in each step.
///
/// Inputs: a step `[batch, in]`, and the states of each cell in order. Outputs: that of the last cell, and all new states.
/// Weights have the names of the cells, `lstm_cell/kernel`; of cells of one name the second is `lstm_cell_1`.
#[derive(Debug, Clone)]
pub struct StackedRnnCells {
    cells: Vec<LayerHandle>,
}

/// A cell in its place: its name, the samples that it reads, and its output.
struct Placed<'a> {
    name: String,
    cell: &'a LayerHandle,
    inputs: Vec<Shape>,
    output: TensorType,
}

/// The error of a stack without cells.
fn no_cell() -> Error {
    Error::parameter("cells", 0, "a stack has a cell or more")
}

impl StackedRnnCells {
    /// These cells, each of which tells its states by [`Layer::cell_states`].
    #[must_use]
    pub fn new(cells: impl IntoIterator<Item = LayerHandle>) -> Self {
        Self { cells: cells.into_iter().collect() }
    }

    /// The states of a cell.
    fn states_of(cell: &LayerHandle) -> Vec<Shape> {
        cell.layer().cell_states().unwrap_or_default()
    }

    /// All cells, for a step of this shape.
    fn placed(&self, step: &Shape) -> Result<Vec<Placed<'_>>> {
        let mut placed: Vec<Placed<'_>> = Vec::new();
        let mut x = step.clone();
        for cell in &self.cells {
            let taken = |name: &str| placed.iter().any(|other| other.name == name);
            let name = numbered(&cell.part_name(), 0, taken);
            let states = Self::states_of(cell);
            if states.is_empty() {
                let detail = "tells no states: a cell of a stack defines `Layer::cell_states`";
                return Err(Error::parameter("cells", name, detail));
            }
            let inputs = [vec![x], states.clone()].concat();
            cell.layer().check_inputs(inputs.len())?;
            let mut given = cell.layer().outputs(&inputs)?;
            if given.iter().skip(1).map(|ty| &ty.shape).ne(&states) {
                let detail = "gives other things than its output and its new states";
                return Err(Error::parameter("cells", name, detail));
            }
            let output = given.swap_remove(0);
            x = output.shape.clone();
            placed.push(Placed { name, cell, inputs, output });
        }
        Ok(placed)
    }
}

impl Settings for StackedRnnCells {
    fn blank() -> Self {
        Self::new([])
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.layers("cells", &mut self.cells)
    }
}

impl Layer for StackedRnnCells {
    fn kind(&self) -> &'static str {
        "StackedRNNCells"
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        if self.cells.is_empty() {
            return Err(no_cell());
        }
        let states = self.cells.iter().map(|cell| Self::states_of(cell).len()).sum();
        check_step_inputs(states, self.kind(), count)
    }

    fn activation(&self) -> Option<crate::activations::Activation> {
        self.cells.last()?.layer().activation()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(self.outputs(inputs)?.swap_remove(0).shape)
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        let placed = self.placed(&inputs[0])?;
        let states: Vec<Shape> = placed.iter().flat_map(|p| p.inputs[1..].to_vec()).collect();
        if let Some((given, own)) =
            inputs[1..].iter().zip(&states).find(|(given, own)| given != own)
        {
            let detail = "a state has the first shape, the cell's the second";
            return Err(Error::shape("stacked_rnn_cells", &[given, own], detail));
        }
        let output = placed.last().ok_or_else(no_cell)?.output.clone();
        Ok([output].into_iter().chain(states.into_iter().map(TensorType::f32)).collect())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let placed = self.placed(&inputs[0]).unwrap_or_default();
        placed.iter().flat_map(|p| p.cell.weights_within(&p.name, &p.inputs)).collect()
    }

    fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let placed = self.placed(&inputs[0]).unwrap_or_default();
        let own = placed.iter().flat_map(|p| {
            let own = p.cell.layer().constants(&p.inputs).into_iter();
            own.map(|(inner, tensor)| (format!("{}/{inner}", p.name), tensor))
        });
        own.collect()
    }

    fn cell_states(&self) -> Option<Vec<Shape>> {
        Some(self.cells.iter().flat_map(Self::states_of).collect())
    }

    fn sequence_dropout(&self, inputs: &[Shape]) -> Vec<(String, f32, Shape)> {
        let placed = self.placed(&inputs[0]).unwrap_or_default();
        let own = placed.iter().flat_map(|p| {
            let own = p.cell.layer().sequence_dropout(&p.inputs).into_iter();
            own.map(|(inner, rate, shape)| (format!("{}/{inner}", p.name), rate, shape))
        });
        own.collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let mut x = cx.input();
        let mut before = &cx.inputs()[1..];
        let mut after = Vec::new();
        for Placed { name, cell, inputs, .. } in self.placed(&graph.shape(x).dims()[1..].into())? {
            let (own, rest) = before.split_at(inputs.len() - 1);
            let given = cx.part(&name, &[&[x], own].concat()).apply(graph, cell)?;
            (x, before) = (given.values[0], rest);
            after.extend(&given.values[1..]);
        }
        Ok([vec![x], after].concat().into())
    }
}
