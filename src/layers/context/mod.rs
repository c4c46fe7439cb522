//! What a layer is applied to.

mod outputs;
mod run;

pub use outputs::Outputs;

use super::{WeightKind, WeightSpec, stream_of};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::Shape;
use std::collections::BTreeMap;

/// The source of a layer's random numbers in a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Random {
    /// The seed, a u32 step word.
    pub seed: Value,
    /// The count of steps, a u32 step word.
    pub step: Value,
    /// The layer's random stream: a function of its name, and of which use of the layer this is.
    pub stream: u32,
}

impl Random {
    /// Uniform numbers in [0, 1) of this shape. A layer that draws twice takes [`Random::of`] for one of them.
    ///
    /// # Errors
    /// As [`Graph::random_uniform`].
    pub fn uniform(&self, graph: &mut Graph, shape: impl Into<Shape>) -> Result<Value> {
        graph.random_uniform(shape, self.seed, self.step, self.stream)
    }

    /// Standard normal numbers of this shape.
    ///
    /// # Errors
    /// As [`Graph::random_normal`].
    pub fn normal(&self, graph: &mut Graph, shape: impl Into<Shape>) -> Result<Value> {
        graph.random_normal(shape, self.seed, self.step, self.stream)
    }

    /// The source of other numbers, those of the part `name`.
    #[must_use]
    pub fn of(self, name: &str) -> Self {
        Self { stream: self.stream.wrapping_add(stream_of(name) as u32), ..self }
    }
}

/// What a layer may depend on: its inputs, its tensors by name, and whether it trains.
///
/// A model makes the context of each of its layers. A layer that consists of others makes theirs with
/// [`Context::part`].
#[derive(Debug, Clone)]
pub struct Context {
    /// The layer's name with those of the models and layers around it: `block_3/query`.
    path: String,
    inputs: Vec<Value>,
    masks: Vec<Option<Value>>,
    tensors: BTreeMap<String, (WeightKind, Value)>,
    constants: BTreeMap<String, Value>,
    trainable: bool,
    random: Option<Random>,
}

impl Context {
    /// Of the layer `path` on `inputs`, each `[batch, ...]`: evaluation, without tensors and masks.
    #[must_use]
    pub fn new(path: &str, inputs: &[Value]) -> Self {
        Self {
            path: path.into(),
            inputs: inputs.to_vec(),
            masks: vec![None; inputs.len()],
            tensors: BTreeMap::new(),
            constants: BTreeMap::new(),
            trainable: true,
            random: None,
        }
    }

    /// With a value for each of these weights and states.
    #[must_use]
    pub fn tensors(mut self, specs: &[WeightSpec], values: &[Value]) -> Self {
        let named = specs.iter().zip(values);
        self.tensors.extend(named.map(|(spec, &v)| (spec.name.clone(), (spec.kind, v))));
        self
    }

    /// With this constant.
    #[must_use]
    pub fn with_constant(mut self, name: &str, value: Value) -> Self {
        self.constants.insert(name.into(), value);
        self
    }

    /// With the mask of each input, `[batch, ...]` over its leading axes: 1 for what counts, 0 for what does not.
    #[must_use]
    pub fn with_masks(mut self, masks: &[Option<Value>]) -> Self {
        self.masks = masks.to_vec();
        self.masks.resize(self.inputs.len(), None);
        self
    }

    /// In a training step, with this source of random numbers; `None` for evaluation.
    #[must_use]
    pub const fn training_with(mut self, random: Option<Random>) -> Self {
        self.random = random;
        self
    }

    /// Whether training changes the layer's weights. It stays `false` once it is.
    #[must_use]
    pub const fn with_trainable(mut self, trainable: bool) -> Self {
        self.trainable = self.trainable && trainable;
        self
    }

    /// The inputs, each `[batch, ...]`.
    #[must_use]
    pub fn inputs(&self) -> &[Value] {
        &self.inputs
    }

    /// The first input.
    #[must_use]
    pub fn input(&self) -> Value {
        self.inputs[0]
    }

    /// The mask of each input, if it has one.
    #[must_use]
    pub fn masks(&self) -> &[Option<Value>] {
        &self.masks
    }

    /// The mask of the first input.
    #[must_use]
    pub fn mask(&self) -> Option<Value> {
        self.masks.first().copied().flatten()
    }

    /// The weight that the layer declares under this name.
    ///
    /// # Errors
    /// [`Error::Parameter`] with the names that the layer declares.
    pub fn weight(&self, name: &str) -> Result<Value> {
        self.tensor("weight", name, |kind| kind != WeightKind::State)
    }

    /// The present value of the state that the layer declares under this name.
    ///
    /// # Errors
    /// As [`Context::weight`].
    pub fn state(&self, name: &str) -> Result<Value> {
        self.tensor("state", name, |kind| kind == WeightKind::State)
    }

    fn tensor(&self, what: &str, name: &str, is: impl Fn(WeightKind) -> bool) -> Result<Value> {
        if let Some(&(_, value)) = self.tensors.get(name).filter(|(kind, _)| is(*kind)) {
            return Ok(value);
        }
        let own = self.tensors.iter().filter(|(_, (kind, _))| is(*kind));
        Err(self.undeclared(what, name, own.map(|(name, _)| name.as_str()).collect()))
    }

    fn undeclared(&self, what: &str, name: &str, declared: Vec<&str>) -> Error {
        let declared = match declared.is_empty() {
            true => "none".into(),
            false => declared.join(", "),
        };
        let detail = format!("the layer declares no such {what}; it declares {declared}");
        Error::parameter(what, name, detail).in_layer(&self.path)
    }

    /// The constant that the layer declares under this name.
    ///
    /// # Errors
    /// As [`Context::weight`].
    pub fn constant(&self, name: &str) -> Result<Value> {
        let own = || self.constants.keys().map(String::as_str).collect();
        let known = self.constants.get(name).copied();
        known.ok_or_else(|| self.undeclared("constant", name, own()))
    }

    /// Whether this is a training step.
    #[must_use]
    pub const fn training(&self) -> bool {
        self.random.is_some()
    }

    /// Whether training changes the layer's weights: `false` if it is frozen.
    #[must_use]
    pub const fn trainable(&self) -> bool {
        self.trainable
    }

    /// The source of random numbers; `None` outside training.
    #[must_use]
    pub const fn random(&self) -> Option<Random> {
        self.random
    }

    /// The context of a part of the layer on `inputs`: its tensors and constants are those declared as `part/NAME`, its
    /// random numbers are its own.
    #[must_use]
    pub fn part(&self, part: &str, inputs: &[Value]) -> Self {
        let path = match self.path.as_str() {
            "" => part.to_owned(),
            path => format!("{path}/{part}"),
        };
        let within = Self { trainable: self.trainable, ..Self::new(&path, inputs) };
        Self {
            tensors: below(&self.tensors, part),
            constants: below(&self.constants, part),
            random: self.random.map(|random| random.of(part)),
            ..within
        }
    }

    /// All values that the layer reads besides its inputs, for [`Context::with_values`].
    #[must_use]
    pub(in crate::layers) fn values(&self) -> Vec<Value> {
        let tensors = self.tensors.values().map(|&(_, value)| value);
        let random = self.random.iter().flat_map(|random| [random.seed, random.step]);
        tensors.chain(self.constants.values().copied()).chain(random).collect()
    }

    /// The same layer in another graph, where the values of [`Context::values`] are these. It has no masks.
    #[must_use]
    pub(in crate::layers) fn with_values(mut self, values: &[Value]) -> Self {
        let tensors = self.tensors.values_mut().map(|(_, value)| value);
        let random = self.random.iter_mut().flat_map(|r| [&mut r.seed, &mut r.step]);
        let all = tensors.chain(self.constants.values_mut()).chain(random);
        all.zip(values).for_each(|(own, &value)| *own = value);
        self
    }

    /// The context of a later use of the same layer, which draws other numbers.
    #[must_use]
    pub(in crate::layers) fn in_use(mut self, uses: u32) -> Self {
        let later = |r: Random| Random { stream: r.stream.wrapping_add(uses), ..r };
        self.random = self.random.map(later);
        self
    }

    /// The context with `value` in place of the weight `name` that it has.
    #[must_use]
    pub(in crate::layers) fn with_weight(mut self, name: &str, value: Value) -> Self {
        if let Some((_, own)) = self.tensors.get_mut(name) {
            *own = value;
        }
        self
    }

    /// The context after other uses of the layer, the part `part`, have given these states.
    #[must_use]
    pub(in crate::layers) fn after(mut self, part: &str, state: &BTreeMap<String, Value>) -> Self {
        for (name, value) in below(state, part) {
            self.tensors.insert(name, (WeightKind::State, value));
        }
        self
    }
}

/// What is declared as `part/NAME`, by `NAME`.
fn below<T: Copy>(all: &BTreeMap<String, T>, part: &str) -> BTreeMap<String, T> {
    let start = format!("{part}/");
    let own = all.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start));
    let mut below = BTreeMap::new();
    below.extend(own.map(|(name, &value)| (name[start.len()..].to_owned(), value)));
    below
}
