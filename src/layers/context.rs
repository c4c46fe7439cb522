//! What a layer is applied to, and what it gives.

use super::{Layer, LayerHandle, WeightKind, WeightSpec, stream_of};
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::tensor::{DType, Shape};
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

    /// The context of a later use of the same layer, which draws other numbers.
    #[must_use]
    pub(super) fn in_use(mut self, uses: u32) -> Self {
        let later = |r: Random| Random { stream: r.stream.wrapping_add(uses), ..r };
        self.random = self.random.map(later);
        self
    }

    /// The context after other uses of the layer, the part `part`, have given these states.
    #[must_use]
    pub(super) fn after(mut self, part: &str, state: &BTreeMap<String, Value>) -> Self {
        for (name, value) in below(state, part) {
            self.tensors.insert(name, (WeightKind::State, value));
        }
        self
    }

    /// Applies `layer` in this context, under its name, and checks that it keeps to what it declares.
    ///
    /// # Errors
    /// Those of the layer; [`Error::Parameter`], [`Error::Shape`] and [`Error::DType`] naming the layer and the output
    /// or the state that differs from what it declares.
    pub fn apply(&self, graph: &mut Graph, layer: &LayerHandle) -> Result<Outputs> {
        let cx = self.clone().with_trainable(layer.trainable);
        cx.run(graph, &*layer.layer)
    }

    pub(super) fn run(&self, graph: &mut Graph, layer: &dyn Layer) -> Result<Outputs> {
        graph.in_layer(&self.path, |graph| {
            graph.check(layer.kind(), &self.inputs)?;
            check_masks(graph, layer.kind(), "input", &self.masks, &self.inputs)?;
            let declared = self.declared(graph, layer)?;
            let mut outputs = layer.apply(graph, self)?;
            self.check_outputs(graph, layer.kind(), &declared, &outputs.values)?;
            self.check_state(graph, layer.kind(), &outputs.state)?;
            self.complete_masks(graph, layer.kind(), &mut outputs)?;
            // Evaluation reads states and leaves them.
            if !self.training() {
                outputs.state.clear();
            }
            Ok(outputs)
        })
    }

    /// The types of the outputs, with the batch axis.
    fn declared(&self, graph: &Graph, layer: &dyn Layer) -> Result<Vec<TensorType>> {
        let mut samples = Vec::new();
        let mut batch = 1;
        for &input in &self.inputs {
            let shape = graph.shape(input);
            let Some((&first, sample)) = shape.dims().split_first() else {
                let detail = "an input has a batch axis: [batch, ...]";
                return Err(Error::shape(layer.kind(), &[shape], detail));
            };
            batch = first;
            samples.push(Shape::from(sample));
        }
        layer.check_inputs(samples.len())?;
        let types = layer.outputs(&samples)?.into_iter().map(|ty| {
            let dtype = match layer.keeps_elements() {
                true => graph.ty(self.inputs[0]).dtype,
                false => ty.dtype,
            };
            TensorType { shape: [&[batch], ty.shape.dims()].concat().into(), dtype }
        });
        Ok(types.collect())
    }

    fn check_outputs(
        &self,
        graph: &Graph,
        kind: &str,
        declared: &[TensorType],
        values: &[Value],
    ) -> Result<()> {
        graph.check(kind, values)?;
        if values.len() != declared.len() {
            let detail = format!("`apply` gave so many; the layer declares {}", declared.len());
            return Err(Error::parameter("outputs", values.len(), detail));
        }
        for (i, (&value, declared)) in values.iter().zip(declared).enumerate() {
            let got = graph.ty(value);
            let detail =
                || format!("output {i}: `apply` gave the first, the layer declares the second");
            if got.shape != declared.shape {
                return Err(Error::shape(kind, &[&got.shape, &declared.shape], detail()));
            }
            if got.dtype != declared.dtype {
                return Err(Error::dtype(kind, &[got.dtype, declared.dtype], detail()));
            }
        }
        Ok(())
    }

    fn check_state(&self, graph: &Graph, kind: &str, state: &[(String, Value)]) -> Result<()> {
        for (i, (name, new)) in state.iter().enumerate() {
            graph.check(kind, &[*new])?;
            let old = self.state(name)?;
            if state[..i].iter().any(|(other, _)| other == name) {
                let detail = "the layer gives it two new values; give it one";
                return Err(Error::parameter("state", name, detail));
            }
            let (new, old) = (graph.ty(*new), graph.ty(old));
            let detail =
                || format!("state `{name}`: its new value has the first, it has the second");
            if new.shape != old.shape {
                return Err(Error::shape(kind, &[&new.shape, &old.shape], detail()));
            }
            if new.dtype != old.dtype {
                return Err(Error::dtype(kind, &[new.dtype, old.dtype], detail()));
            }
        }
        Ok(())
    }

    /// Checks the masks that a layer gives. If it gives none, an output has the first mask whose axes it has.
    fn complete_masks(&self, graph: &Graph, kind: &str, outputs: &mut Outputs) -> Result<()> {
        let Some(masks) = &outputs.masks else {
            let kept = |&value: &Value| {
                self.masks.iter().copied().flatten().find(|&mask| fits(graph, mask, value))
            };
            outputs.masks = Some(outputs.values.iter().map(kept).collect());
            return Ok(());
        };
        if masks.len() != outputs.values.len() {
            let detail = format!("the layer has {} outputs", outputs.values.len());
            return Err(Error::parameter("masks", masks.len(), detail));
        }
        check_masks(graph, kind, "output", masks, &outputs.values)
    }
}

/// Whether a mask has the leading axes of a value.
fn fits(graph: &Graph, mask: Value, value: Value) -> bool {
    graph.shape(value).dims().starts_with(graph.shape(mask).dims())
}

/// Refuses a mask of another shape or type than its input or output may have.
fn check_masks(
    graph: &Graph,
    kind: &str,
    what: &str,
    masks: &[Option<Value>],
    values: &[Value],
) -> Result<()> {
    for (i, (mask, &value)) in masks.iter().zip(values).enumerate() {
        let Some(mask) = *mask else { continue };
        graph.check(kind, &[mask])?;
        if !fits(graph, mask, value) {
            let shapes = [graph.shape(mask), graph.shape(value)];
            let detail = format!("the mask of {what} {i} has its leading axes: [batch, time]");
            return Err(Error::shape(kind, &shapes, detail));
        }
        if graph.ty(mask).dtype != DType::F32 {
            let detail = format!("the mask of {what} {i} is f32: 1 or 0");
            return Err(Error::dtype(kind, &[graph.ty(mask).dtype], detail));
        }
    }
    Ok(())
}

/// What is declared as `part/NAME`, by `NAME`.
fn below<T: Copy>(all: &BTreeMap<String, T>, part: &str) -> BTreeMap<String, T> {
    let start = format!("{part}/");
    let own = all.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start));
    own.map(|(name, &value)| (name[start.len()..].to_owned(), value)).collect()
}

/// What a layer gives: its outputs, new values of its states, and masks.
///
/// A value becomes the outputs of a layer with one output: `Ok(y.into())`.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// Each output, `[batch, ...]`.
    pub values: Vec<Value>,
    /// New values of states by name, while training. A state that has none stays as it is.
    pub state: Vec<(String, Value)>,
    /// The mask of each output. `None` for the rule that most layers have: an output has the first mask of an input
    /// whose axes it has.
    pub masks: Option<Vec<Option<Value>>>,
}

impl From<Value> for Outputs {
    fn from(value: Value) -> Self {
        vec![value].into()
    }
}

impl From<Vec<Value>> for Outputs {
    fn from(values: Vec<Value>) -> Self {
        Self { values, ..Self::default() }
    }
}

impl Outputs {
    /// With a new value of the state `name`, which counts in training steps only.
    #[must_use]
    pub fn state(mut self, name: &str, value: Value) -> Self {
        self.state.push((name.into(), value));
        self
    }

    /// With the new states of the part `part`.
    #[must_use]
    pub fn part(mut self, part: &str, outputs: &Self) -> Self {
        let own = outputs.state.iter().map(|(name, v)| (format!("{part}/{name}"), *v));
        self.state.extend(own);
        self
    }

    /// With this mask for every output.
    #[must_use]
    pub fn mask(mut self, mask: Option<Value>) -> Self {
        self.masks = Some(vec![mask; self.values.len()]);
        self
    }

    /// With a mask for each output.
    #[must_use]
    pub fn masks(mut self, masks: Vec<Option<Value>>) -> Self {
        self.masks = Some(masks);
        self
    }

    /// The mask of an output, once it is known.
    #[must_use]
    pub fn mask_of(&self, output: usize) -> Option<Value> {
        self.masks.as_ref().and_then(|masks| masks.get(output).copied().flatten())
    }
}
