//! The loop over time that all recurrent layers are.

use super::options::Options;
use super::{Cell, Now, Recurrence, Start};
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::{Context, LayerHandle, Outputs, WeightSpec};
use crate::ops::{Loop, Looped, Order};
use crate::tensor::{Initializer, Shape};

/// Refuses a number of inputs other than the sequences, or they and the initial states.
pub(super) fn check_inputs(cell: &dyn Cell, kind: &str, count: usize) -> Result<()> {
    let states = cell.states().len();
    if count == 1 || count == 1 + states {
        return Ok(());
    }
    let detail = format!("{kind} takes a sequence, or a sequence and {states} initial states");
    Err(Error::parameter("inputs", count, detail))
}

/// Refuses a number of inputs other than a step and so many states.
pub(super) fn check_step_inputs(states: usize, kind: &str, count: usize) -> Result<()> {
    if count == 1 + states {
        return Ok(());
    }
    let detail = format!("{kind} takes a step of a sequence and its states, which are {states}");
    Err(Error::parameter("inputs", count, detail))
}

/// Refuses states of other shapes than those of the cell.
fn check_states(cell: &dyn Cell, op: &str, given: &[Shape]) -> Result<()> {
    for (i, (given, state)) in given.iter().zip(&cell.states()).enumerate() {
        if given != state {
            let detail = format!("initial state {i} has the first shape, the layer's the second");
            return Err(Error::shape(op, &[given, state], detail));
        }
    }
    Ok(())
}

/// The types of what a cell gives for samples of a step and of the states: its output, and the new states.
pub(super) fn step_outputs(cell: &dyn Cell, op: &str, inputs: &[Shape]) -> Result<Vec<TensorType>> {
    let (step, states) = (&inputs[0], &inputs[1..]);
    if step.is_empty() {
        return Err(Error::shape(op, &[step], "a step of time has a feature or more"));
    }
    check_states(cell, op, states)?;
    let output = cell.output(step)?.unwrap_or_else(|| cell.states().swap_remove(0));
    Ok([output].into_iter().chain(cell.states()).map(TensorType::f32).collect())
}

/// Builds one step of time of a cell: a step `[batch, features]` and the states give the output and the new states.
pub(super) fn one_step(
    cell: &dyn Cell,
    op: &str,
    graph: &mut Graph,
    cx: &Context,
) -> Result<Outputs> {
    graph.check(op, cx.inputs())?;
    let dims = graph.shape(cx.input()).dims().to_vec();
    let (batch, features) = (dims[0], &dims[1..]);
    let one = graph.reshape(cx.input(), [&[batch, 1][..], features].concat())?;
    let given = cell.all_steps(graph, cx, one)?;
    let mut slices = Vec::new();
    for &sequence in &given.sequences {
        let step = graph.shape(sequence).dims()[1..].to_vec();
        slices.push(graph.reshape(sequence, step)?);
    }
    let now = Now { slices: &slices, states: &cx.inputs()[1..], outer: &given.outer };
    let (output, states) = cell.step(graph, cx, &now)?;
    Ok([vec![output], states].concat().into())
}

/// The types of the outputs for samples of these shapes, which are checked.
pub(super) fn outputs(
    cell: &dyn Cell,
    options: Options,
    op: &str,
    inputs: &[Shape],
) -> Result<Vec<TensorType>> {
    let Some((&time, step)) = inputs[0].dims().split_first().filter(|(_, s)| !s.is_empty()) else {
        let detail = "a sample is [time, features]; reshape it, or embed ids first";
        return Err(Error::shape(op, &[&inputs[0]], detail));
    };
    if time == 0 || Shape::from(step).is_empty() {
        let detail = "a sample has at least one step of time and one feature";
        return Err(Error::shape(op, &[&inputs[0]], detail));
    }
    if options.stateful == Some(0) {
        return Err(Error::parameter("stateful", 0, "a batch has at least one sample"));
    }
    check_states(cell, op, &inputs[1..])?;
    let states = cell.states();
    let output = cell.output(&step.into())?.unwrap_or_else(|| states[0].clone());
    let output = match options.return_sequences {
        true => [&[time], output.dims()].concat().into(),
        false => output,
    };
    let last = states.into_iter().filter(|_| options.return_state);
    Ok([output].into_iter().chain(last).map(TensorType::f32).collect())
}

/// The name under which a stateful layer keeps state `i`.
fn state_name(i: usize) -> String {
    format!("state_{i}")
}

/// The states of a stateful layer, as weights that it changes itself.
pub(super) fn kept_states(cell: &dyn Cell, options: Options) -> Vec<WeightSpec> {
    let Some(batch) = options.stateful else { return Vec::new() };
    let spec = |(i, state): (usize, Shape)| {
        let shape = [&[batch], state.dims()].concat();
        WeightSpec::state(state_name(i), shape, Initializer::Zeros)
    };
    cell.states().into_iter().enumerate().map(spec).collect()
}

/// What a wrapper may know of the layer that has these options, and is made `with` others.
pub(super) fn recurrence(
    cell: &dyn Cell,
    options: Options,
    with: impl Fn(Options) -> LayerHandle,
) -> Recurrence {
    let parts = Options { zero_output_for_mask: options.return_sequences, ..options };
    Recurrence {
        go_backwards: options.go_backwards,
        return_sequences: options.return_sequences,
        return_state: options.return_state,
        states: cell.states().len(),
        from_start: with(parts),
        from_end: with(parts.reversed()),
    }
}

/// Time before the batch, or the other way round.
pub(super) fn swap_time(graph: &mut Graph, x: Value) -> Result<Value> {
    let dims = graph.shape(x).dims();
    if dims[..2].contains(&1) {
        // Nothing moves.
        let swapped = [&[dims[1], dims[0]][..], &dims[2..]].concat();
        return graph.reshape(x, swapped);
    }
    let mut axes: Vec<usize> = (0..graph.shape(x).rank()).collect();
    axes.swap(0, 1);
    graph.transpose(x, &axes)
}

/// The states with which the loop begins.
fn initial(
    cell: &dyn Cell,
    options: Options,
    op: &str,
    graph: &mut Graph,
    cx: &Context,
    batch: usize,
) -> Result<Vec<Value>> {
    if cx.inputs().len() > 1 {
        return Ok(cx.inputs()[1..].to_vec());
    }
    let states = cell.states();
    if let Some(own) = options.stateful {
        if own != batch {
            let detail = format!(
                "the layer keeps the states of {own} samples and is given {batch}; give batches of {own}, for \
                 evaluation and prediction by `Compile::evaluation_batch_size({own})` or \
                 `Predictor::batch_size({own})`, or make it stateful({batch})"
            );
            return Err(Error::shape(op, &[graph.shape(cx.input())], detail));
        }
        return (0..states.len()).map(|i| cx.state(&state_name(i))).collect();
    }
    let zero = graph.constant(0.0);
    let zeros = states.iter().map(|s| graph.broadcast_to(zero, [&[batch], s.dims()].concat()));
    zeros.collect()
}

/// `new` where the mask `[batch, 1]` counts, `old` elsewhere.
fn masked(graph: &mut Graph, mask: Value, new: Value, old: Value) -> Result<Value> {
    let mut shape = graph.shape(new).dims().to_vec();
    shape[1..].fill(1);
    let mask = graph.reshape(mask, shape)?;
    graph.select(mask, new, old)
}

/// Builds the layer.
pub(super) fn apply(
    cell: &dyn Cell,
    options: Options,
    op: &str,
    graph: &mut Graph,
    cx: &Context,
) -> Result<Outputs> {
    graph.check(op, cx.inputs())?;
    let dims = graph.shape(cx.input()).dims().to_vec();
    let &[batch, time, _, ..] = dims.as_slice() else {
        let detail = "the input is [batch, time, features]";
        return Err(Error::shape(op, &[graph.shape(cx.input())], detail));
    };
    let mask = cx.mask();
    let counts = match mask {
        None => None,
        Some(mask) if *graph.shape(mask).dims() == [batch, time] => Some(swap_time(graph, mask)?),
        Some(mask) => {
            let detail = "the mask of a sequence is [batch, time]";
            return Err(Error::shape(op, &[graph.shape(mask)], detail));
        }
    };
    let mut carries = initial(cell, options, op, graph, cx, batch)?;
    let states = carries.len();
    let reverse = options.order() != Order::Forward;
    // A sequence in the order of computation is what a loop stacks.
    if options.order() != Order::Flipped || !options.return_sequences {
        let start = Start { states: &carries, mask: counts, reverse };
        if let Some(all) = cell.over_time(graph, cx, &start)? {
            return of_all_times(options, graph, &all, [mask, counts], reverse);
        }
    }
    let given = cell.all_steps(graph, cx, cx.input())?;
    let mut sequences = given.sequences;
    let slices = sequences.len();
    if let Some(counts) = counts {
        sequences.push(graph.reshape(counts, [time, batch, 1])?);
    }
    let output = cell.output(&dims[2..].into())?;
    let zeroed = mask.is_some() && options.zero_output_for_mask;
    // What the last step gives is a carry. So is what a masked step repeats.
    let carries_output =
        zeroed || output.is_some() && (mask.is_some() || !options.return_sequences);
    if carries_output {
        let shape = output.unwrap_or_else(|| cell.states().swap_remove(0));
        let zero = graph.constant(0.0);
        carries.push(graph.broadcast_to(zero, [&[batch], shape.dims()].concat())?);
    }
    let over_time = Loop {
        carries: &carries,
        sequences: &sequences,
        outer: &given.outer,
        order: options.order(),
        times: None,
    };
    let result = graph.scan(&over_time, |g, now| {
        let before = &now.carries[..states];
        let step = Now { slices: &now.slices[..slices], states: before, outer: &now.outer };
        let (mut y, mut new) = cell.step(g, cx, &step)?;
        // A masked step carries its states.
        if let Some(&mask) = now.slices.get(slices) {
            if carries_output {
                let other = if zeroed { g.constant(0.0) } else { now.carries[states] };
                y = masked(g, mask, y, other)?;
            }
            for (new, &old) in new.iter_mut().zip(before) {
                *new = masked(g, mask, *new, old)?;
            }
            if !carries_output {
                y = new[0];
            }
        }
        let stacked = if options.return_sequences { vec![y] } else { vec![] };
        if carries_output {
            new.push(y);
        }
        Ok(Looped { carries: new, stacked })
    })?;
    let (values, last) = match result.stacked.first() {
        // The last step has no time left for a mask.
        None => (vec![result.carries[if carries_output { states } else { 0 }]], None),
        Some(&all) => (vec![swap_time(graph, all)?], mask),
    };
    Ok(with_ends(options, values, last, &result.carries[..states]))
}

/// What a layer gives of the states after its last step.
fn with_ends(options: Options, values: Vec<Value>, mask: Option<Value>, ends: &[Value]) -> Outputs {
    let mut outputs = Outputs::from(values).masks(vec![mask]);
    if options.return_state {
        outputs.values.extend(ends);
        outputs.masks = Some([vec![mask], vec![None; ends.len()]].concat());
    }
    if options.stateful.is_some() {
        for (i, &end) in ends.iter().enumerate() {
            outputs = outputs.state(&state_name(i), end);
        }
    }
    outputs
}

/// What a layer gives, of each state at all times, `[time + 1, batch, units]`. The mask is `[batch, time]`, and
/// `[time, batch]`.
fn of_all_times(
    options: Options,
    graph: &mut Graph,
    states: &[Value],
    [mask, counts]: [Option<Value>; 2],
    reverse: bool,
) -> Result<Outputs> {
    let dims = graph.shape(states[0]).dims().to_vec();
    let (time, batch, units) = (dims[0] - 1, dims[1], dims[2]);
    let (first, end) = if reverse { (0, 0) } else { (1, time) };
    let mut ends = Vec::new();
    for &all in states {
        let end = graph.slice(all, 0, end..end + 1)?;
        ends.push(graph.reshape(end, [batch, units])?);
    }
    let zeroed = counts.filter(|_| options.zero_output_for_mask);
    let (y, last) = if options.return_sequences {
        let mut y = graph.slice(states[0], 0, first..first + time)?;
        if let Some(counts) = zeroed {
            let (counts, zero) = (graph.reshape(counts, [time, batch, 1])?, graph.constant(0.0));
            y = graph.select(counts, y, zero)?;
        }
        (swap_time(graph, y)?, mask)
    } else if let Some(counts) = zeroed {
        let at = if reverse { 0 } else { time - 1 };
        let (now, zero) = (graph.slice(counts, 0, at..at + 1)?, graph.constant(0.0));
        let now = graph.reshape(now, [batch, 1])?;
        (graph.select(now, ends[0], zero)?, None)
    } else {
        (ends[0], None)
    };
    Ok(with_ends(options, vec![y], last, &ends))
}
