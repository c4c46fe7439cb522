//! Builds a step of a session.

use super::{Ids, ModelId, OptimizerId, Session, input_buffer};
use crate::autodiff::gradients;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Leaf, TensorType, Value};
use crate::layers::{Random, stream_of};
use crate::losses::{Loss, Weighing};
use crate::optim::{ArenaGradients, pack_over};
use crate::step::{ArenaLayout, penalty, penalty_gradients};
use crate::tensor::{DType, Shape};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A step under construction: the graph's values, with the session's models and optimizers.
///
/// Everything that [`Graph`] can build can be part of a step; [`StepBuilder::graph`] gives it.
#[derive(Debug)]
pub struct StepBuilder<'s> {
    session: &'s Session,
    name: &'s str,
    graph: Graph,
    inputs: Vec<Declared>,
    /// The weights and states in use, by arena and first element in it.
    tensors: HashMap<(Value, usize), Value>,
    /// The newest value of each state that changes, by the same.
    states: BTreeMap<Value, BTreeMap<usize, Value>>,
    /// The masks of values that have one.
    masks: HashMap<Value, Value>,
    /// Uses of each model while training.
    uses: Vec<usize>,
    /// The optimizer that updates a weight, by buffer and first element in it.
    updated: HashMap<(&'s str, usize), usize>,
    optimizers: Vec<usize>,
    /// Random tensors so far.
    draws: u32,
}

/// An input of a step.
#[derive(Debug)]
pub(super) struct Declared {
    pub buffer: String,
    pub ty: TensorType,
    /// If its numbers are ids: what takes the fewest.
    pub ids: Option<Ids>,
}

/// A finished step.
pub(super) struct Built {
    pub graph: Graph,
    pub inputs: Vec<Declared>,
    pub optimizers: Vec<usize>,
}

/// The words that a session sets itself.
pub(super) const WORDS: [&str; 2] = ["seed", "step"];

/// The text before the words of an optimizer.
pub(super) fn prefix(optimizer: usize) -> String {
    format!("optimizer {optimizer}/")
}

impl<'s> StepBuilder<'s> {
    pub(super) fn new(session: &'s Session, name: &'s str) -> Self {
        Self {
            session,
            name,
            graph: Graph::new(),
            inputs: Vec::new(),
            tensors: HashMap::new(),
            states: BTreeMap::new(),
            masks: HashMap::new(),
            uses: vec![0; session.models.len()],
            updated: HashMap::new(),
            optimizers: Vec::new(),
            draws: 0,
        }
    }

    /// The graph, for everything else that a step computes.
    pub const fn graph(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// A tensor that each run is given under this name. The same name is the same tensor.
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>, dtype: DType) -> Value {
        let (buffer, shape) = (input_buffer(self.name, name), shape.into());
        let ty = TensorType { shape: shape.clone(), dtype };
        if !self.inputs.iter().any(|known| known.buffer == buffer && known.ty == ty) {
            self.inputs.push(Declared { buffer: buffer.clone(), ty, ids: None });
        }
        self.graph.input(&buffer, shape, dtype)
    }

    /// A tensor of one number: the targets of a loss, for example.
    ///
    /// # Errors
    /// Those of [`Graph::broadcast_to`].
    pub fn filled(&mut self, shape: impl Into<Shape>, value: f32) -> Result<Value> {
        let value = self.graph.constant(value);
        self.graph.broadcast_to(value, shape)
    }

    /// Standard normal numbers, drawn anew in each run. The session's seed gives the same numbers again.
    ///
    /// # Errors
    /// Those of [`Graph::random_normal`].
    pub fn normal(&mut self, shape: impl Into<Shape>) -> Result<Value> {
        let (seed, step) = self.random()?;
        self.draws += 1;
        let stream = (stream_of("normal") as u32).wrapping_add(self.draws);
        self.graph.random_normal(shape, seed, step, stream)
    }

    /// Seed and number of a run.
    fn random(&mut self) -> Result<(Value, Value)> {
        let [seed, step] = WORDS;
        let seed = self.graph.step_param(seed, DType::U32)?;
        Ok((seed, self.graph.step_param(step, DType::U32)?))
    }

    /// Marks a value that can be read after a run.
    pub fn output(&mut self, name: &str, value: Value) {
        self.graph.output(name, value);
    }

    /// Marks each of `values` as an output: `NAME 0`, `NAME 1` and so on.
    pub fn outputs(&mut self, name: &str, values: &[Value]) {
        values.iter().enumerate().for_each(|(i, &v)| self.output(&format!("{name} {i}"), v));
    }

    /// The outputs of a model for `inputs`, each `[batch, ...]`. If it is `training`, dropout draws numbers and noise is
    /// added, as in Keras' `model(x, training=True)`; each use draws others. Layers with states, as batch normalization,
    /// change them then; a later use goes on from the newest. Masks of inputs are heeded, and outputs have those that the
    /// model gives them: [`StepBuilder::mask`].
    ///
    /// # Errors
    /// Shapes that do not fit, naming the layer; [`Error::Parameter`] for a model of another session.
    pub fn apply(
        &mut self,
        model: ModelId,
        inputs: &[Value],
        training: bool,
    ) -> Result<Vec<Value>> {
        let session = self.session;
        let m = session.model_index(model)?;
        let placed = &session.models[m];
        let mut weights = self.tensors(&placed.buffers, &placed.layout)?;
        for (weight, t) in weights.iter_mut().zip(&placed.layout.tensors) {
            let arena = self.arena(&placed.buffers, &placed.layout, t.arena);
            let newest = self.states.get(&arena).and_then(|own| own.get(&t.offset));
            *weight = newest.copied().unwrap_or(*weight);
        }
        let random = match training {
            true => {
                let ((seed, step), stream) = (self.random()?, self.stream(m));
                Some(Random { seed, step, stream })
            }
            false => None,
        };
        let masks: Vec<Option<Value>> = inputs.iter().map(|&input| self.mask(input)).collect();
        let outputs =
            placed.model.run_drawing(&mut self.graph, inputs, &masks, &weights, random)?;
        for (i, &value) in outputs.values.iter().enumerate() {
            let mask = outputs.mask_of(i);
            // An input that is given back as it is keeps its own mask, which others may need.
            if mask.is_some() || !inputs.contains(&value) {
                self.set_mask(value, mask)?;
            }
        }
        let new: HashMap<String, Value> = outputs.state.into_iter().collect();
        for t in &placed.layout.tensors {
            if let Some(&new) = new.get(&t.name) {
                let arena = self.arena(&placed.buffers, &placed.layout, t.arena);
                self.states.entry(arena).or_default().insert(t.offset, new);
            }
        }
        for (input, &value) in inputs.iter().enumerate() {
            if let Some((range, layer)) = placed.model.index_layer(input) {
                let takes = || format!("layer `{layer}` of `{}` takes the ids", placed.name);
                self.ids(value, range, takes);
            }
        }
        Ok(outputs.values)
    }

    /// The first random stream of a model's next use. Uses differ, also of models whose layers have the same names.
    fn stream(&mut self, model: usize) -> u32 {
        let uses = self.uses[model];
        self.uses[model] += 1;
        match (model, uses) {
            // The numbers that `fit` draws.
            (0, 0) => 0,
            _ => stream_of(&format!("{}/{uses}", self.session.models[model].name)) as u32,
        }
    }

    /// The mask of a value, `[batch, ...]` over its leading axes: 1 for what counts, 0 for what does not. It is the one
    /// that a model has given to its output, or [`StepBuilder::set_mask`]; what the graph computes of a value has none.
    #[must_use]
    pub fn mask(&self, value: Value) -> Option<Value> {
        self.masks.get(&value).copied()
    }

    /// Gives a value a mask, f32 over its leading axes, or takes its mask away. Models that are applied to the value heed
    /// it, and a loss of it is the mean over what counts.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a value of another graph. A mask of another shape is refused where it is used.
    pub fn set_mask(&mut self, value: Value, mask: impl Into<Option<Value>>) -> Result<()> {
        let mask = mask.into();
        self.graph.check("set_mask", &[value])?;
        self.graph.check("set_mask", mask.as_slice())?;
        match mask {
            Some(mask) => self.masks.insert(value, mask),
            None => self.masks.remove(&value),
        };
        Ok(())
    }

    /// The weights of a model, in the order of [`Session::weights`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for a model of another session.
    pub fn weights(&mut self, model: ModelId) -> Result<Vec<Value>> {
        let session = self.session;
        let placed = &session.models[session.model_index(model)?];
        self.tensors(&placed.buffers, &placed.layout)
    }

    /// A loss as one number: its mean over the batch, or over what the mask of the predictions keeps.
    ///
    /// # Errors
    /// Targets or a mask that do not suit the predictions.
    pub fn loss(&mut self, loss: &Loss, targets: Value, predictions: Value) -> Result<Value> {
        let weighing = Weighing { mask: self.mask(predictions), ..Weighing::default() };
        let rows = loss.build_weighted(&mut self.graph, targets, predictions, weighing)?.rows;
        if let Some(classes) = loss.label_classes(self.graph.shape(predictions)) {
            self.ids(targets, classes, || format!("{} takes the classes", loss.name()));
        }
        self.graph.sum(rows, &[], false)
    }

    /// Remembers that a value has ids below `range`, if it is an input as it was given; the host then checks each run's.
    fn ids(&mut self, value: Value, range: usize, takes: impl FnOnce() -> String) {
        let node = self.graph.node(self.graph.unaliased(value));
        let Class::Leaf(Leaf::Input(buffer)) = node.op.class() else { return };
        let own = self.inputs.iter_mut().find(|own| *own.buffer == **buffer);
        if let Some(own) = own.filter(|own| own.ids.as_ref().is_none_or(|ids| range < ids.range)) {
            own.ids = Some(Ids { range, takes: takes() });
        }
    }

    /// The gradients of a loss with respect to each weight of a model, in the order of [`Session::weights`]. Penalties
    /// are not in them.
    ///
    /// # Errors
    /// [`Error::Shape`] for a loss that is not one number; [`Error::NotDifferentiable`] naming op and layer;
    /// [`Error::Parameter`] for a model of another session.
    pub fn gradients(&mut self, loss: Value, model: ModelId) -> Result<Vec<Value>> {
        let weights = self.weights(model)?;
        gradients(&mut self.graph, loss, &weights)
    }

    /// Lowers a loss, and the penalties of the layers on weights and on what they compute, with an optimizer: each run of the step updates its models.
    /// If a step has several optimizers, each takes its gradients at the weights before the step, and none updates a weight
    /// of another.
    ///
    /// # Errors
    /// [`Error::Shape`] for a loss that is not one number; [`Error::NotDifferentiable`] naming op and layer;
    /// [`Error::Parameter`] for a loss that no weight of a model changes, a weight that this step updates already, and an
    /// optimizer of another session.
    pub fn minimize(&mut self, loss: Value, optimizer: OptimizerId) -> Result<()> {
        let session = self.session;
        let index = session.optimizer_index(optimizer)?;
        let own = &session.optimizers[index];
        self.check_words()?;
        self.graph.check("minimize", &[loss])?;
        let penalised = match self.graph.penalty()? {
            Some(penalty) => self.graph.add(loss, penalty)?,
            None => loss,
        };
        for &m in &own.models {
            let placed = &session.models[m];
            let values = self.tensors(&placed.buffers, &placed.layout)?;
            let tensors = placed.layout.tensors.iter().zip(&values);
            let trained: Vec<Value> =
                tensors.filter(|(t, _)| t.trainable()).map(|(_, &w)| w).collect();
            if !self.depends(loss, &trained) {
                let detail =
                    format!("the loss does not depend on the weights of `{}`", placed.name);
                return Err(Error::parameter("minimize", own.rule.name(), detail));
            }
            let mut places = placed.trained().map(|t| (t, placed.place(t)));
            if let Some((tensor, other)) =
                places.find_map(|(t, place)| Some((t, *self.updated.get(&place)?)))
            {
                let rule = session.optimizers[other].rule.name();
                let detail = format!(
                    "{rule} updates `{}` of `{}` in this step already: add the losses, or use two steps",
                    tensor.name, placed.name
                );
                return Err(Error::parameter("minimize", own.rule.name(), detail));
            }
        }
        let tensors = own.layout.tensors.iter();
        let places = tensors.map(|t| (own.buffers[t.arena].as_str(), t.offset));
        self.updated.extend(places.map(|place| (place, index)));
        let first_word = self.graph.step_params().len();
        let params: Vec<Value> =
            (0..own.buffers.len()).map(|a| self.arena(&own.buffers, &own.layout, a)).collect();
        let wrt = self.tensors(&own.buffers, &own.layout)?;
        let gradients = gradients(&mut self.graph, penalised, &wrt)?;
        let penalty = penalty(&mut self.graph, &own.layout, &params)?;
        let penalties = penalty_gradients(&mut self.graph, &own.layout, penalty, &params)?;
        let of_arena = |(arena, &params): (usize, &Value)| {
            let tensors = || own.layout.tensors.iter().zip(&gradients);
            let tensors = || tensors().filter(|(t, _)| t.arena == arena);
            ArenaGradients {
                arena: own.first + arena,
                params,
                offsets: tensors().map(|(t, _)| t.offset).collect(),
                gradients: tensors().map(|(_, &gradient)| gradient).collect(),
                penalty: penalties[arena],
                constraints: tensors().map(|(t, _)| t.spec.constraint).collect(),
            }
        };
        let arenas: Vec<ArenaGradients> = params.iter().enumerate().map(of_arena).collect();
        let graph = &mut self.graph;
        graph.in_layer(own.rule.name(), |g| {
            own.gradients.build_with(g, &*own.rule, &arenas, put_over)
        })?;
        self.graph.prefix_step_params(first_word, &prefix(index));
        self.optimizers.push(index);
        Ok(())
    }

    /// The finished graph, its inputs and its optimizers.
    pub(super) fn end(self) -> Result<Built> {
        self.check_words()?;
        let Self { mut graph, inputs, optimizers, states, .. } = self;
        graph.in_layer("state", |graph| {
            states.into_iter().try_for_each(|(arena, new)| {
                let packed = pack_over(graph, arena, &new.into_iter().collect::<Vec<_>>())?;
                graph.update(arena, packed)
            })
        })?;
        for (i, Declared { buffer, ty, .. }) in inputs.iter().enumerate() {
            if let Some(other) = inputs[..i].iter().find(|known| known.buffer == *buffer) {
                let shapes = [&other.ty.shape, &ty.shape];
                return Err(Error::shape(buffer, &shapes, "an input has one shape and one type"));
            }
        }
        Ok(Built { graph, inputs, optimizers })
    }

    /// An arena of a layout, whose buffers are these.
    fn arena(&mut self, buffers: &[String], layout: &ArenaLayout, arena: usize) -> Value {
        self.graph.state(&buffers[arena], [layout.arenas[arena].len], DType::F32)
    }

    /// The tensors of a layout, in its order. Models that share one have one value, so that its gradient is that of all
    /// its uses.
    fn tensors(&mut self, buffers: &[String], layout: &ArenaLayout) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        for t in &layout.tensors {
            let arena = self.arena(buffers, layout, t.arena);
            values.push(match self.tensors.entry((arena, t.offset)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    *new.insert(self.graph.view(arena, t.offset, t.spec.shape.clone())?)
                }
            });
        }
        Ok(values)
    }

    /// Whether a value depends on any of `of`.
    fn depends(&self, value: Value, of: &[Value]) -> bool {
        let (mut open, mut seen) = (vec![value], HashSet::new());
        while let Some(next) = open.pop() {
            if of.contains(&next) {
                return true;
            }
            if seen.insert(next) {
                open.extend(&self.graph.node(next).inputs);
            }
        }
        false
    }

    /// Refuses step words that nobody sets.
    fn check_words(&self) -> Result<()> {
        let set = |name: &str| WORDS.contains(&name) || name.starts_with("optimizer ");
        match self.graph.step_params().iter().find(|word| !set(&word.name)) {
            Some(word) => {
                let detail = "no run of a session sets it; make it an input";
                Err(Error::parameter("step word", &word.name, detail))
            }
            None => Ok(()),
        }
    }
}

/// Gives an arena its new parameters. If another optimizer has given it some, those of its weights stay.
fn put_over(g: &mut Graph, arena: &ArenaGradients, new: Value) -> Result<()> {
    let before = g.updates().iter().find(|(state, _)| *state == arena.params);
    let Some(&(_, before)) = before else { return g.update(arena.params, new) };
    let mut own = Vec::new();
    for (&offset, &gradient) in arena.offsets.iter().zip(&arena.gradients) {
        let shape = g.shape(gradient).clone();
        own.push((offset, g.view(new, offset, shape)?));
    }
    let both = pack_over(g, before, &own)?;
    let renewed = g
        .updates()
        .iter()
        .map(|&(state, old)| (state, if state == arena.params { both } else { old }));
    let renewed = renewed.collect();
    g.set_updates(renewed);
    Ok(())
}
