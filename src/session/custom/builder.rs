//! Builds a step of a session.

use super::{ModelId, OptimizerId, Placed, Session, input_buffer};
use crate::autodiff::gradients;
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::{Outputs, stream_of};
use crate::losses::Loss;
use crate::optim::ArenaGradients;
use crate::step::{penalty, penalty_gradients};
use crate::tensor::{DType, Shape};

/// A step under construction: the graph's values, with the session's models and optimizers.
///
/// Everything that [`Graph`] can build can be part of a step; [`StepBuilder::graph`] gives it.
#[derive(Debug)]
pub struct StepBuilder<'s> {
    session: &'s Session,
    name: &'s str,
    graph: Graph,
    inputs: Vec<(String, TensorType)>,
    /// The weights of each model in use.
    models: Vec<Option<Weights>>,
    /// The optimizer that updates each model.
    updated: Vec<Option<usize>>,
    /// Whether the states of each model change.
    changed: Vec<bool>,
    optimizers: Vec<usize>,
    /// Random tensors so far.
    draws: u32,
}

/// The weights of a model in the graph.
#[derive(Debug, Clone)]
struct Weights {
    arenas: Vec<Value>,
    /// Each weight, in the model's order.
    tensors: Vec<Value>,
}

/// A finished step.
pub(super) struct Built {
    pub graph: Graph,
    /// The buffer and the type of each input.
    pub inputs: Vec<(String, TensorType)>,
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
        let count = session.models.len();
        Self {
            session,
            name,
            graph: Graph::new(),
            inputs: Vec::new(),
            models: vec![None; count],
            updated: vec![None; count],
            changed: vec![false; count],
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
        if !self.inputs.iter().any(|(known, known_ty)| *known == buffer && *known_ty == ty) {
            self.inputs.push((buffer.clone(), ty));
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
    /// added, as in Keras' `model(x, training=True)`.
    ///
    /// # Errors
    /// Shapes that do not fit, naming the layer; [`Error::Parameter`] for a model of another session.
    pub fn apply(
        &mut self,
        model: ModelId,
        inputs: &[Value],
        training: bool,
    ) -> Result<Vec<Value>> {
        let (_, weights) = self.placed(model)?;
        let i = self.session.model_index(model)?;
        let random = match training {
            true => Some(self.random()?),
            false => None,
        };
        let Placed { model, layout, name } = &self.session.models[i];
        let Outputs { values, state, .. } =
            model.run(&mut self.graph, inputs, &[], &weights.tensors, random)?;
        if training && !state.is_empty() {
            if std::mem::replace(&mut self.changed[i], true) {
                let detail =
                    "it changes its state in this step already; apply it once with `training`";
                return Err(Error::parameter("training", name, detail));
            }
            layout.update_states(&mut self.graph, &weights.arenas, &weights.tensors, &state)?;
        }
        Ok(values)
    }

    /// The weights of a model, in the order of [`Session::weights`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for a model of another session.
    pub fn weights(&mut self, model: ModelId) -> Result<Vec<Value>> {
        Ok(self.placed(model)?.1.tensors)
    }

    /// A loss as one number: its mean over the batch.
    ///
    /// # Errors
    /// Targets that do not suit the predictions.
    pub fn loss(&mut self, loss: &Loss, targets: Value, predictions: Value) -> Result<Value> {
        let rows = loss.build(&mut self.graph, targets, predictions)?.rows;
        self.graph.sum(rows, &[], false)
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
    ///
    /// # Errors
    /// [`Error::Shape`] for a loss that is not one number; [`Error::NotDifferentiable`] naming op and layer;
    /// [`Error::Parameter`] for a loss that no weight of a model changes, a model that this step updates already, and an
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
        let first_word = self.graph.step_params().len();
        let mut arenas = Vec::new();
        let mut number = own.first;
        for &m in &own.models {
            let placed = &session.models[m];
            if let Some(other) = self.updated[m].replace(index) {
                let rule = session.optimizers[other].rule.name();
                let detail = format!("{rule} updates `{}` in this step already", placed.name);
                return Err(Error::parameter("minimize", own.rule.name(), detail));
            }
            let weights = self.placed_at(m)?;
            let tensors = || placed.layout.tensors.iter().zip(&weights.tensors);
            let trained = || tensors().filter(|(t, _)| t.trainable());
            let wrt: Vec<Value> = trained().map(|(_, &w)| w).collect();
            if !self.depends(loss, &wrt) {
                let detail =
                    format!("the loss does not depend on the weights of `{}`", placed.name);
                return Err(Error::parameter("minimize", own.rule.name(), detail));
            }
            let gradients = gradients(&mut self.graph, penalised, &wrt)?;
            let penalty = penalty(&mut self.graph, &placed.layout, &weights.arenas)?;
            let added =
                penalty_gradients(&mut self.graph, &placed.layout, penalty, &weights.arenas)?;
            for arena in placed.trained() {
                let own = || trained().zip(&gradients).filter(|((t, _), _)| t.arena == arena);
                arenas.push(ArenaGradients {
                    arena: number,
                    params: weights.arenas[arena],
                    offsets: own().map(|((t, _), _)| t.offset).collect(),
                    gradients: own().map(|(_, &gradient)| gradient).collect(),
                    penalty: added[arena],
                    constraints: own().map(|((t, _), _)| t.spec.constraint).collect(),
                });
                number += 1;
            }
        }
        let graph = &mut self.graph;
        graph.in_layer(own.rule.name(), |g| own.gradients.build(g, &*own.rule, &arenas))?;
        self.graph.prefix_step_params(first_word, &prefix(index));
        self.optimizers.push(index);
        Ok(())
    }

    /// The finished graph, its inputs and its optimizers.
    pub(super) fn end(self) -> Result<Built> {
        self.check_words()?;
        let Self { graph, inputs, optimizers, .. } = self;
        for (i, (name, ty)) in inputs.iter().enumerate() {
            if let Some((_, other)) = inputs[..i].iter().find(|(known, _)| known == name) {
                let shapes = [&other.shape, &ty.shape];
                return Err(Error::shape(name, &shapes, "an input has one shape and one type"));
            }
        }
        Ok(Built { graph, inputs, optimizers })
    }

    fn placed(&mut self, model: ModelId) -> Result<(usize, Weights)> {
        let i = self.session.model_index(model)?;
        Ok((i, self.placed_at(i)?))
    }

    /// The weights of a model, which become part of the graph at their first use.
    fn placed_at(&mut self, model: usize) -> Result<Weights> {
        if let Some(weights) = &self.models[model] {
            return Ok(weights.clone());
        }
        let placed = &self.session.models[model];
        let arenas: Vec<Value> = (0..placed.layout.arenas.len())
            .map(|a| {
                let len = placed.layout.arenas[a].len;
                self.graph.state(&placed.buffer(a), [len], DType::F32)
            })
            .collect();
        let mut tensors = Vec::new();
        for t in &placed.layout.tensors {
            tensors.push(self.graph.view(arenas[t.arena], t.offset, t.spec.shape.clone())?);
        }
        let weights = Weights { arenas, tensors };
        self.models[model] = Some(weights.clone());
        Ok(weights)
    }

    /// Whether a value depends on any of `of`.
    fn depends(&self, value: Value, of: &[Value]) -> bool {
        let (mut open, mut seen) = (vec![value], std::collections::HashSet::new());
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
