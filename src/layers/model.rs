//! A network: layers applied to inputs and to one another's outputs.

use super::symbolic::{Node, SymbolicTensor};
use super::{Layer, LayerHandle, Mode, WeightSpec, snake_case, stream_of};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::Shape;
use std::sync::Arc;

/// An input of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// Its name, unique in the model: `input`, `input_1`.
    pub name: String,
    /// The shape of one sample.
    pub shape: Shape,
}

/// A layer in its place.
#[derive(Debug, Clone)]
pub struct NamedLayer {
    /// Its name, unique in the model: `dense`, `dense_1`.
    pub name: String,
    /// The layer.
    pub layer: Arc<dyn Layer>,
    /// Whether training changes its weights.
    pub trainable: bool,
    /// The sample shapes of its inputs.
    pub inputs: Vec<Shape>,
}

impl NamedLayer {
    /// Its tensors.
    #[must_use]
    pub fn weights(&self) -> Vec<WeightSpec> {
        self.layer.weights(&self.inputs)
    }
}

/// One use of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The layer's place in [`Model::layers`].
    pub layer: usize,
    /// Tensors that it takes: first the model's inputs, then the outputs of the calls before this one.
    pub inputs: Vec<usize>,
    /// The shape of one output sample.
    pub shape: Shape,
}

/// A network whose shapes are known to fit, as Keras' functional `Model`.
///
/// ```
/// use wgrad::prelude::*;
///
/// // Two inputs through one shared layer, and two outputs.
/// let (left, right) = (input_named("left", [4]), input_named("right", [4]));
/// let shared = LayerHandle::new(Dense::new(8).activation(Activation::Relu));
/// let both = merge(Concatenate::default(), [&left.then(&shared), &right.then(&shared)]);
/// let (class, size) = (both.then(Dense::new(3).named("class")), both.then(Dense::new(1).named("size")));
/// let model = Model::new([&left, &right], [&class, &size])?;
/// assert_eq!(model.output_names(), ["class", "size"]);
/// assert_eq!(model.output_shapes(), [Shape::from([3]), Shape::from([1])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) kind: &'static str,
    pub(super) inputs: Vec<ModelInput>,
    pub(super) layers: Vec<NamedLayer>,
    pub(super) calls: Vec<Call>,
    pub(super) outputs: Vec<usize>,
}

/// The first of `base`, `base_1`, ... from the number `from` on that is not taken.
fn numbered(base: &str, from: usize, taken: impl Fn(&str) -> bool) -> String {
    let name = |i: usize| if i == 0 { base.to_owned() } else { format!("{base}_{i}") };
    (from..).map(name).find(|name| !taken(name)).unwrap_or_default()
}

/// A model while its tensors are visited.
#[derive(Default)]
struct Builder {
    tensors: Vec<SymbolicTensor>,
    handles: Vec<LayerHandle>,
    layers: Vec<NamedLayer>,
    calls: Vec<Call>,
    shapes: Vec<Shape>,
}

impl Builder {
    fn find(&self, tensor: &SymbolicTensor) -> Option<usize> {
        self.tensors.iter().position(|known| known.is(tensor))
    }

    /// Visits what `tensor` depends on, then `tensor`. A list of open tensors keeps deep models off the thread's stack.
    fn visit(&mut self, tensor: &SymbolicTensor) -> Result<()> {
        let mut open = vec![tensor.clone()];
        while let Some(next) = open.last().cloned() {
            if self.find(&next).is_some() {
                open.pop();
                continue;
            }
            let Node::Call { layer, inputs } = &*next.0 else {
                let detail = "an output depends on an input that is not in the list of inputs";
                return Err(Error::parameter("inputs", self.calls.len(), detail));
            };
            let missing: Vec<_> = inputs.iter().filter(|t| self.find(t).is_none()).collect();
            if missing.is_empty() {
                let places = inputs.iter().filter_map(|t| self.find(t)).collect();
                self.call(layer, places)?;
                self.tensors.push(next.clone());
                open.pop();
            } else {
                // The first input is visited first.
                open.extend(missing.into_iter().rev().cloned());
            }
        }
        Ok(())
    }

    /// Appends a use of a layer, and the layer at its first use.
    fn call(&mut self, handle: &LayerHandle, inputs: Vec<usize>) -> Result<()> {
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.shapes[i].clone()).collect();
        let index = match self.handles.iter().position(|known| known.is(handle)) {
            Some(index) => index,
            None => self.place(handle, &shapes)?,
        };
        let layer = &self.layers[index];
        let name = layer.name.clone();
        layer.layer.check_inputs(inputs.len()).map_err(|e| e.in_layer(&name))?;
        let shape = layer.layer.output_shape(&shapes).map_err(|e| e.in_layer(&name))?;
        indexable(&format!("layer `{name}`: one sample"), &shape)?;
        let own = layer.weights();
        if layer.layer.weights(&shapes) != own {
            let detail = "a shared layer needs inputs for which its weights have the same shapes";
            let first: Vec<&Shape> = layer.inputs.iter().chain(&shapes).collect();
            return Err(Error::shape("model", &first, detail).in_layer(&name));
        }
        for weight in own {
            indexable(&format!("layer `{name}`: {}", weight.name), &weight.shape)?;
            if let Some(values) = weight.values.filter(|v| v.len() != weight.shape.len()) {
                let detail = format!("`{}` begins as {} values", weight.name, values.len());
                return Err(Error::shape("model", &[&weight.shape], detail).in_layer(&name));
            }
        }
        self.shapes.push(shape.clone());
        self.calls.push(Call { layer: index, inputs, shape });
        Ok(())
    }

    /// Gives a layer its name and its place.
    fn place(&mut self, handle: &LayerHandle, inputs: &[Shape]) -> Result<usize> {
        let taken = |name: &str| self.layers.iter().any(|l| l.name == name);
        let kind = handle.layer.kind();
        let name = match &handle.name {
            Some(name) if taken(name) => {
                let detail = "two layers have this name; give one another with add_named or named";
                return Err(Error::parameter("name", name, detail));
            }
            Some(name) => name.clone(),
            None => {
                // As in Keras, layers that were given a name are not counted.
                let same = |h: &&LayerHandle| h.name.is_none() && h.layer.kind() == kind;
                let before = self.handles.iter().filter(same).count();
                numbered(&snake_case(kind), before, taken)
            }
        };
        self.handles.push(handle.clone());
        let (layer, trainable) = (handle.layer.clone(), handle.trainable);
        self.layers.push(NamedLayer { name, layer, trainable, inputs: inputs.to_vec() });
        Ok(self.layers.len() - 1)
    }
}

impl Model {
    /// The network from `inputs` to `outputs`. A layer used twice has its weights once.
    ///
    /// # Errors
    /// The first layer that does not fit, by name; no inputs or outputs; an output that is an input; an input
    /// that no output needs, or that is missing; two inputs or two layers of one name.
    pub fn new<'a>(
        inputs: impl IntoIterator<Item = &'a SymbolicTensor>,
        outputs: impl IntoIterator<Item = &'a SymbolicTensor>,
    ) -> Result<Self> {
        Self::build("functional", inputs, outputs)
    }

    pub(super) fn build<'a>(
        kind: &'static str,
        inputs: impl IntoIterator<Item = &'a SymbolicTensor>,
        outputs: impl IntoIterator<Item = &'a SymbolicTensor>,
    ) -> Result<Self> {
        let mut builder = Builder::default();
        let mut named: Vec<ModelInput> = Vec::new();
        for tensor in inputs {
            let Node::Input { name, shape } = &*tensor.0 else {
                return Err(Error::parameter("inputs", named.len(), "an input is made by `input`"));
            };
            let taken = |name: &str| named.iter().any(|i| i.name == name);
            let name = match name {
                Some(name) => name.clone(),
                None => numbered("input", named.len(), taken),
            };
            if taken(&name) || builder.find(tensor).is_some() {
                return Err(Error::parameter(
                    "inputs",
                    name,
                    "two inputs are one or have one name",
                ));
            }
            indexable(&name, shape)?;
            builder.tensors.push(tensor.clone());
            builder.shapes.push(shape.clone());
            named.push(ModelInput { name, shape: shape.clone() });
        }
        let mut places = Vec::new();
        for tensor in outputs {
            if matches!(&*tensor.0, Node::Input { .. }) {
                let detail = "a model has at least one layer; add one";
                return Err(Error::parameter("layers", 0, detail));
            }
            builder.visit(tensor)?;
            places.extend(builder.find(tensor));
        }
        if named.is_empty() || places.is_empty() {
            return Err(Error::parameter("layers", 0, "a model has an input and an output"));
        }
        let used = |i: &usize| builder.calls.iter().any(|call| call.inputs.contains(i));
        if let Some(i) = (0..named.len()).find(|i| !used(i)) {
            return Err(Error::parameter("inputs", &named[i].name, "no output depends on it"));
        }
        let Builder { layers, calls, .. } = builder;
        Ok(Self { kind, inputs: named, layers, calls, outputs: places })
    }

    /// The inputs.
    #[must_use]
    pub fn inputs(&self) -> &[ModelInput] {
        &self.inputs
    }

    /// The layers, each once.
    #[must_use]
    pub fn layers(&self) -> &[NamedLayer] {
        &self.layers
    }

    /// The uses of layers, in the order in which they run.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// The tensor that is each output: see [`Call::inputs`] for how tensors are counted.
    #[must_use]
    pub fn output_tensors(&self) -> &[usize] {
        &self.outputs
    }

    /// The use of a layer that gives each output.
    pub fn output_calls(&self) -> impl Iterator<Item = &Call> {
        self.outputs.iter().map(|&o| &self.calls[o - self.inputs.len()])
    }

    /// The shape of one sample of each output.
    #[must_use]
    pub fn output_shapes(&self) -> Vec<Shape> {
        self.output_calls().map(|call| call.shape.clone()).collect()
    }

    /// The name of each output: that of the layer that gives it, numbered if a layer gives several.
    #[must_use]
    pub fn output_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for call in self.output_calls() {
            let base = &self.layers[call.layer].name;
            let name = numbered(base, 0, |name| names.iter().any(|n| n == name));
            names.push(name);
        }
        names
    }

    /// Every weight: (its layer, tensor), in order.
    pub fn weights(&self) -> impl Iterator<Item = (&NamedLayer, WeightSpec)> {
        self.layers.iter().flat_map(|l| l.weights().into_iter().map(move |spec| (l, spec)))
    }

    /// Sets whether training changes the weights of the layer of this name.
    ///
    /// # Errors
    /// [`Error::Parameter`] if no layer has the name.
    pub fn set_trainable(&mut self, layer: &str, trainable: bool) -> Result<()> {
        let names: Vec<&str> = self.layers.iter().map(|l| l.name.as_str()).collect();
        let Some(i) = names.iter().position(|name| *name == layer) else {
            let detail = format!("the layers are {}", names.join(", "));
            return Err(Error::parameter("layer", layer, detail));
        };
        self.layers[i].trainable = trainable;
        Ok(())
    }

    /// Builds the network on `inputs`, each `[batch, ...]`. `weights` are in the order of [`Model::weights`];
    /// `random` is seed and step while training. Gives each output.
    ///
    /// # Errors
    /// Shapes that do not fit, naming the layer; another number of inputs or weights than the model has.
    pub fn apply(
        &self,
        graph: &mut Graph,
        inputs: &[Value],
        weights: &[Value],
        random: Option<(Value, Value)>,
    ) -> Result<Vec<Value>> {
        let wanted = self.weights().count();
        for (name, given, wanted) in
            [("inputs", inputs.len(), self.inputs.len()), ("weights", weights.len(), wanted)]
        {
            if given != wanted {
                let detail = format!("the model has {wanted}");
                return Err(Error::parameter(name, given, detail));
            }
        }
        graph.check("model", inputs)?;
        let mut rest = weights;
        let mut own = Vec::new();
        for layer in &self.layers {
            let (first, others) = rest.split_at(layer.weights().len());
            own.push(first);
            rest = others;
        }
        let mut values = inputs.to_vec();
        for (i, call) in self.calls.iter().enumerate() {
            let NamedLayer { name, layer, .. } = &self.layers[call.layer];
            // Each use of a shared layer draws different numbers.
            let uses = self.calls[..i].iter().filter(|c| c.layer == call.layer).count() as u32;
            let stream = (stream_of(name) as u32).wrapping_add(uses);
            let mode = Mode { random, stream };
            let taken: Vec<Value> = call.inputs.iter().map(|&i| values[i]).collect();
            values.push(graph.in_layer(name, |g| layer.apply(g, &taken, own[call.layer], &mode))?);
        }
        Ok(self.outputs.iter().map(|&o| values[o]).collect())
    }
}

/// Refuses a tensor without elements, or with more than 32 bits count: no kernel could index it.
fn indexable(what: &str, shape: &Shape) -> Result<()> {
    if shape.is_empty() {
        return Err(Error::shape(what, &[shape], "an extent is zero; every extent is 1 or more"));
    }
    if u32::try_from(shape.len()).is_ok() {
        return Ok(());
    }
    Err(Error::Limit {
        what: format!("{what} {shape}: elements"),
        needed: shape.len() as u64,
        allowed: u64::from(u32::MAX),
        detail: "shaders index with 32 bits; use fewer units".into(),
    })
}
