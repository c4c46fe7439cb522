//! From gradients to new parameters: averaged over steps, clipped, given to the rule.

use super::{Clip, Optimizer, ROW, Slot};
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::DType;
use crate::words::number;
use serde_json::json;

/// The state that sums gradients between updates.
const ACCUMULATED: Slot = Slot { name: "accumulated", initial: 0.0 };
/// The step parameter that is 1 if the step updates, else 0.
const APPLY: &str = "apply";

/// The parameters of one flat arena, and the gradients of the tensors in it. Elements that none of the tensors holds keep
/// their values.
#[derive(Debug, Clone, PartialEq)]
pub struct ArenaGradients {
    /// The arena's number, which is part of the names of its states: `momentum/0`.
    pub arena: usize,
    /// The parameters: a flat state.
    pub params: Value,
    /// First element of each tensor: ascending multiples of 64.
    pub offsets: Vec<usize>,
    /// The gradient of each tensor.
    pub gradients: Vec<Value>,
    /// What the penalties add to the gradient of the whole arena.
    pub penalty: Option<Value>,
    /// What each tensor keeps to after the update; none if the list is empty.
    pub constraints: Vec<Option<Constraint>>,
}

impl ArenaGradients {
    /// Updated parameters that keep to the constraints. What none of the tensors holds keeps its value.
    fn constrained(&self, graph: &mut Graph, new: Value) -> Result<Value> {
        let room = |&tensor: &Value| graph.shape(tensor).len().next_multiple_of(ROW);
        let whole = self.gradients.iter().map(room).sum::<usize>() == graph.shape(new).len();
        if whole && self.constraints.iter().all(Option::is_none) {
            return Ok(new);
        }
        let mut tensors = Vec::new();
        for (i, &offset) in self.offsets.iter().enumerate() {
            let shape = graph.shape(self.gradients[i]).clone();
            let tensor = graph.view(new, offset, shape)?;
            let tensor = match self.constraints.get(i).copied().flatten() {
                Some(constraint) => constraint.apply(graph, tensor)?,
                None => tensor,
            };
            tensors.push((offset, tensor));
        }
        pack_over(graph, self.params, &tensors)
    }
}

/// The flat `arena` with these tensors from their offsets on, which ascend. The rest of it stays.
pub(crate) fn pack_over(
    graph: &mut Graph,
    arena: Value,
    tensors: &[(usize, Value)],
) -> Result<Value> {
    let len = graph.shape(arena).len();
    let (mut offsets, mut values, mut end) = (Vec::new(), Vec::new(), 0);
    for (at, tensor) in tensors.iter().map(|&(at, tensor)| (at, Some(tensor))).chain([(len, None)])
    {
        if at > end {
            offsets.push(end);
            values.push(graph.view(arena, end, [at - end])?);
        }
        if let Some(tensor) = tensor {
            offsets.push(at);
            values.push(tensor);
            end = at + graph.shape(tensor).len().next_multiple_of(ROW);
        }
    }
    graph.pack(len, &offsets, &values)
}

/// What happens to gradients before the rule sees them, in Keras' order: the mean over several steps, then
/// clipping.
///
/// With k accumulation steps, every k-th step updates, with the mean of its gradient and those of the k - 1 steps
/// before. Between updates parameters and the rule's state do not change. All steps share one plan: a step parameter
/// `apply` selects what is kept, inside the dispatch of the update. The count continues from one epoch to the next, so
/// an update may average over batches of two epochs. Every batch counts the same, a short one too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientTransform {
    /// The bound on gradients.
    pub clip: Option<Clip>,
    /// Steps for each update. At 1 every step updates, and nothing is accumulated.
    pub accumulation_steps: u64,
}

impl Default for GradientTransform {
    fn default() -> Self {
        Self { clip: None, accumulation_steps: 1 }
    }
}

impl GradientTransform {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the setting and its domain.
    pub fn check(&self) -> Result<()> {
        if self.accumulation_steps == 0 {
            let detail = "at least 1, which updates at every step";
            return Err(Error::parameter("gradient_accumulation_steps", 0, detail));
        }
        self.clip.map_or(Ok(()), |clip| clip.check())
    }

    /// The settings as an object of JSON, by the names of Keras' optimizers.
    #[must_use]
    pub fn config(&self) -> serde_json::Value {
        let mut config = json!({ "gradient_accumulation_steps": self.accumulation_steps });
        match self.clip {
            Some(Clip::Value(bound)) => config["clipvalue"] = number(bound),
            Some(Clip::Norm(bound)) => config["clipnorm"] = number(bound),
            Some(Clip::GlobalNorm(bound)) => config["global_clipnorm"] = number(bound),
            None => {}
        }
        config
    }

    const fn accumulates(&self) -> bool {
        self.accumulation_steps > 1
    }

    /// Updates made in the first `steps` steps. This is the count that learning rates and bias corrections follow.
    ///
    /// Keras 3 reads its schedules by the count of steps instead, and counts updates only for bias corrections.
    #[must_use]
    pub const fn updates(&self, steps: u64) -> u64 {
        match steps.checked_div(self.accumulation_steps) {
            Some(updates) => updates,
            None => steps,
        }
    }

    /// The states kept per parameter: the rule's, and the accumulated gradient if there is one.
    #[must_use]
    pub fn slots(&self, rule: &dyn Optimizer) -> Vec<Slot> {
        let mut slots = rule.slots();
        slots.extend(self.accumulates().then_some(ACCUMULATED));
        slots
    }

    /// The step parameters of the step after `steps` steps. `learning_rate` replaces the rule's schedule,
    /// which is not read then.
    #[must_use]
    pub fn step_values(
        &self,
        rule: &dyn Optimizer,
        steps: u64,
        learning_rate: Option<f32>,
    ) -> Vec<(&'static str, f32)> {
        let done = self.updates(steps);
        let rate = learning_rate.map_or_else(|| rule.learning_rate().at(done), f64::from);
        let mut values = rule.step_values(done, rate);
        if self.accumulates() {
            let applies = self.updates(steps + 1) > done;
            values.push((APPLY, f32::from(u8::from(applies))));
        }
        values
    }

    /// Builds the update of all arenas: states `{slot}/{arena}` of the rule and, if gradients are accumulated,
    /// `accumulated/{arena}`; step parameters as [`GradientTransform::step_values`] names them.
    ///
    /// # Errors
    /// Those of the ops it builds; [`Error::Internal`] for a rule that does not give each of its slots a new value;
    /// [`Error::Parameter`] for one that reads other step words than it gives.
    pub fn build(
        &self,
        graph: &mut Graph,
        rule: &dyn Optimizer,
        arenas: &[ArenaGradients],
    ) -> Result<()> {
        self.build_with(graph, rule, arenas, |graph, arena, new| graph.update(arena.params, new))
    }

    /// As [`GradientTransform::build`], with `put` for what becomes of the new parameters of each arena.
    pub(crate) fn build_with(
        &self,
        graph: &mut Graph,
        rule: &dyn Optimizer,
        arenas: &[ArenaGradients],
        mut put: impl FnMut(&mut Graph, &ArenaGradients, Value) -> Result<()>,
    ) -> Result<()> {
        let words = graph.step_params().len();
        let apply = match self.accumulates() {
            true => Some(graph.step_param(APPLY, DType::F32)?),
            false => None,
        };
        let mut gradients = Vec::new();
        for arena in arenas {
            graph.check(rule.name(), &[arena.params])?;
            let len = graph.shape(arena.params).len();
            let mut packed = graph.pack(len, &arena.offsets, &arena.gradients)?;
            if let Some(penalty) = arena.penalty {
                packed = graph.add(packed, penalty)?;
            }
            gradients.push(match apply {
                Some(apply) => self.mean(graph, arena, packed, apply)?,
                None => packed,
            });
        }
        if let Some(clip) = self.clip {
            gradients = clip.build(graph, arenas, &gradients)?;
        }
        for (arena, gradient) in arenas.iter().zip(gradients) {
            let mut states = vec![arena.params];
            states.extend(rule.slots().iter().map(|slot| state(graph, arena, slot)));
            let (new, slots) = rule.update(graph, arena.params, gradient, &states[1..])?;
            let new = arena.constrained(graph, new)?;
            if slots.len() + 1 != states.len() {
                let detail = format!("{} slots, {} new values", states.len() - 1, slots.len());
                return Err(Error::internal(rule.name(), detail));
            }
            for (i, (state, new)) in
                states.into_iter().zip([new].into_iter().chain(slots)).enumerate()
            {
                let kept = match apply {
                    Some(apply) => graph.select(apply, new, state)?,
                    None => new,
                };
                match i {
                    0 => put(graph, arena, kept)?,
                    _ => graph.update(state, kept)?,
                }
            }
        }
        let given: Vec<&str> = self.step_values(rule, 0, None).iter().map(|v| v.0).collect();
        let known: Vec<&str> = graph.step_params().iter().map(|p| p.name.as_str()).collect();
        if !arenas.is_empty() {
            same_words(rule, &given, &known, words)?;
        }
        Ok(())
    }

    /// The mean of this step's gradient and the accumulated ones, which restart from zero after an update.
    fn mean(
        &self,
        graph: &mut Graph,
        arena: &ArenaGradients,
        gradient: Value,
        apply: Value,
    ) -> Result<Value> {
        let accumulated = state(graph, arena, &ACCUMULATED);
        let sum = graph.add(accumulated, gradient)?;
        let zero = graph.constant(0.0);
        let rest = graph.select(apply, zero, sum)?;
        graph.update(accumulated, rest)?;
        let steps = graph.constant(self.accumulation_steps as f32);
        graph.div(sum, steps)
    }
}

/// Checks that a rule gets each word that it reads, the ones of `known` from `own` on, and reads each that it gets: a
/// misspelt rate would be zero.
fn same_words(rule: &dyn Optimizer, given: &[&str], known: &[&str], own: usize) -> Result<()> {
    let missing = known[own..].iter().find(|word| !given.contains(word));
    let unread = given.iter().find(|word| !known.contains(word));
    let (word, detail) = match (missing, unread) {
        (None, None) => return Ok(()),
        (Some(word), _) => (word, "`update` reads it, but `step_values` does not give it"),
        (None, Some(word)) => (word, "`step_values` gives it, but `update` does not read it"),
    };
    Err(Error::parameter(format!("{} step word", rule.name()), word, detail))
}

/// The state of a slot for an arena.
fn state(graph: &mut Graph, arena: &ArenaGradients, slot: &Slot) -> Value {
    let shape = graph.shape(arena.params).clone();
    graph.state(&format!("{}/{}", slot.name, arena.arena), shape, DType::F32)
}
