//! Recurrent layers: one loop over time for all of them ([`driver`]), and what each computes in a step ([`Cell`]).

mod bidirectional;
mod driver;
mod gru;
mod initial;
mod lstm;
mod options;
mod rnn;
mod simple_rnn;
mod stacked;
mod units;

pub use bidirectional::{Bidirectional, MergeMode};
pub use gru::{Gru, GruCell};
pub use lstm::{Lstm, LstmCell};
pub use rnn::Rnn;
pub use simple_rnn::{SimpleRnn, SimpleRnnCell};
pub use stacked::StackedRnnCells;

use super::{Context, LayerHandle};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::tensor::Shape;

/// What a recurrent layer computes at each step of time.
trait Cell {
    /// The shape of one sample of each state.
    fn states(&self) -> Vec<Shape>;

    /// The shape of one sample of an output, for steps of this shape; `None` if the output is the first state.
    fn output(&self, _step: &Shape) -> Result<Option<Shape>> {
        Ok(None)
    }

    /// Each state at all times, as [`Graph::recurrence`] gives them; `None` if each step has to be built.
    fn over_time(
        &self,
        _graph: &mut Graph,
        _cx: &Context,
        _start: &Start<'_>,
    ) -> Result<Option<Vec<Value>>> {
        Ok(None)
    }

    /// What is computed of all steps `[batch, time, ...]` at once, and what each step reads besides.
    fn all_steps(&self, graph: &mut Graph, cx: &Context, x: Value) -> Result<Given>;

    /// One step: the output, and the new states. Of a cell whose output is its first state they are one value.
    fn step(&self, graph: &mut Graph, cx: &Context, now: &Now<'_>) -> Result<(Value, Vec<Value>)>;
}

/// From where a cell goes through time.
struct Start<'a> {
    /// The initial states.
    states: &'a [Value],
    /// Which steps count, `[time, batch]`.
    mask: Option<Value>,
    /// Whether to begin at the end.
    reverse: bool,
}

/// What the loop of a cell is given.
struct Given {
    /// Sequences, time first: `[time, batch, ...]`.
    sequences: Vec<Value>,
    /// Values that each step reads unchanged.
    outer: Vec<Value>,
}

/// What a step reads: values of the loop's body.
struct Now<'a> {
    /// A slice of each sequence, `[batch, ...]`.
    slices: &'a [Value],
    /// The states.
    states: &'a [Value],
    /// The outer values.
    outer: &'a [Value],
}

/// What a wrapper may know of a recurrent layer: see [`Layer::recurrence`](super::Layer::recurrence).
#[derive(Debug, Clone)]
pub struct Recurrence {
    /// Whether the layer goes through time from its end.
    pub go_backwards: bool,
    /// Whether the output has a value for each step.
    pub return_sequences: bool,
    /// Whether the states after the last step are outputs too.
    pub return_state: bool,
    /// How many states there are.
    pub states: usize,
    /// The layer as [`Bidirectional`] has it: the output of a masked step of a sequence is zero.
    pub from_start: LayerHandle,
    /// That layer from the end of time. Its sequence of outputs is in the order of time.
    pub from_end: LayerHandle,
}
