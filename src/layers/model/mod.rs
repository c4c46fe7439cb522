//! A network: layers applied to inputs and to one another's outputs.

mod apply;
mod builder;

use super::handle::{Address, address};
use super::{Layer, LayerHandle, SymbolicTensor, WeightSpec};
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};
pub(super) use builder::numbered;
use std::collections::{HashMap, HashSet};
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
    /// Its name, unique in the model: `dense`, `dense_1`; in a model inside, with that model's name: `encoder/dense`.
    pub name: String,
    /// The layer.
    pub layer: Arc<dyn Layer>,
    /// Whether training changes its weights.
    pub trainable: bool,
    /// The sample shapes of its inputs.
    pub inputs: Vec<Shape>,
}

impl NamedLayer {
    /// Its weights and states.
    #[must_use]
    pub fn weights(&self) -> Vec<WeightSpec> {
        self.layer.weights(&self.inputs)
    }

    /// Its constants.
    #[must_use]
    pub fn constants(&self) -> Vec<(String, Tensor)> {
        self.layer.constants(&self.inputs)
    }

    /// Whether both are one layer object, as when two models are built from the same [`LayerHandle`].
    #[must_use]
    pub fn is_same_layer(&self, other: &Self) -> bool {
        self.address() == other.address()
    }

    /// What tells layer objects apart.
    pub(crate) fn address(&self) -> Address {
        address(&self.layer)
    }
}

/// One use of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The layer's place in [`Model::layers`].
    pub layer: usize,
    /// Tensors that it takes: first the model's inputs, then the outputs of the calls before this one.
    pub inputs: Vec<usize>,
    /// The tensor that is its first output; the others follow.
    pub first: usize,
    /// The shape of one sample of each output.
    pub shapes: Vec<Shape>,
}

/// A row of the summary: a layer, or a model inside this one.
#[derive(Debug, Clone)]
pub(in crate::layers) struct Block {
    pub name: String,
    pub kind: String,
    pub handle: LayerHandle,
    /// The model, if it is one.
    pub model: Option<Model>,
    /// Its layers, as places in [`Model::layers`].
    pub layers: Vec<usize>,
    /// The tensors that each use takes and gives.
    pub uses: Vec<(Vec<usize>, Vec<usize>)>,
}

/// The use of a block that gives a tensor.
#[derive(Debug, Clone, Copy)]
pub(in crate::layers) struct Origin {
    /// The block's place in `Model::blocks`.
    block: usize,
    /// Which of its uses.
    of_use: usize,
    /// Which output of that use.
    output: usize,
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
///
/// A model is a layer too. A model around it takes up its layers under its name, and they keep their weights: a layer
/// object has its weights once, however many models it is in.
///
/// ```
/// use wgrad::prelude::*;
///
/// let encoder = Sequential::new([8]).add(Dense::new(4)).add(Dense::new(2)).build()?;
/// let (left, right) = (input([8]), input([8]));
/// let distance = merge(Subtract, [&left.then(&encoder), &right.then(&encoder)]);
/// let model = Model::new([&left, &right], [&distance])?;
/// let names: Vec<String> = model.weights().map(|(l, w)| format!("{}/{}", l.name, w.name)).collect();
/// assert_eq!(names[..2], ["sequential/dense/kernel", "sequential/dense/bias"]);
/// assert_eq!(names.len(), 4);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) kind: &'static str,
    pub(super) inputs: Vec<ModelInput>,
    /// All layers; those of models inside are among them.
    pub(super) layers: Vec<NamedLayer>,
    pub(super) blocks: Vec<Block>,
    /// Where each tensor comes from that a block gives.
    pub(super) origins: HashMap<usize, Origin>,
    pub(super) calls: Vec<Call>,
    pub(super) outputs: Vec<usize>,
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

    /// The inputs.
    #[must_use]
    pub fn inputs(&self) -> &[ModelInput] {
        &self.inputs
    }

    /// The layers, each once. Those of a model inside have its name before theirs: `encoder/dense`.
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

    /// The use of a layer that gives a tensor, and which of its outputs it is; `None` for an input.
    #[must_use]
    pub fn source(&self, tensor: usize) -> Option<(&Call, usize)> {
        let after = self.calls.partition_point(|call| call.first <= tensor);
        let call = &self.calls[after.checked_sub(1)?];
        Some((call, tensor - call.first)).filter(|&(call, output)| output < call.shapes.len())
    }

    /// The use of a layer that gives each output.
    pub fn output_calls(&self) -> impl Iterator<Item = &Call> {
        self.outputs.iter().filter_map(|&o| self.source(o).map(|(call, _)| call))
    }

    /// The shape of one sample of each output.
    #[must_use]
    pub fn output_shapes(&self) -> Vec<Shape> {
        let sources = self.outputs.iter().filter_map(|&o| self.source(o));
        sources.map(|(call, output)| call.shapes[output].clone()).collect()
    }

    /// The layer or model inside that gives a tensor: its block, which use of it, and which output.
    pub(super) fn block_of(&self, tensor: usize) -> Option<(&Block, usize, usize)> {
        let &Origin { block, of_use, output } = self.origins.get(&tensor)?;
        Some((&self.blocks[block], of_use, output))
    }

    /// The name of each output: that of the layer that gives it, numbered if a layer gives several.
    #[must_use]
    pub fn output_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for &output in &self.outputs {
            let base = self.block_of(output).map_or("output", |(block, ..)| &block.name);
            let name = numbered(base, 0, |name| names.iter().any(|n| n == name));
            names.push(name);
        }
        names
    }

    /// How many ids there are, if the samples of an input are ids: the smallest table that takes them.
    #[must_use]
    pub fn index_range(&self, input: usize) -> Option<usize> {
        self.index_layer(input).map(|(range, _)| range)
    }

    /// As [`Model::index_range`], with the name of the layer whose table it is.
    pub(crate) fn index_layer(&self, input: usize) -> Option<(usize, &str)> {
        // The input, and what has its elements in another shape.
        let mut same = HashSet::from([input]);
        let mut range = None;
        for call in &self.calls {
            let places = (0..call.inputs.len()).filter(|&at| same.contains(&call.inputs[at]));
            let places: Vec<usize> = places.collect();
            if places.is_empty() {
                continue;
            }
            let NamedLayer { name, layer, .. } = &self.layers[call.layer];
            let shapes: Vec<Shape> = call.inputs.iter().map(|&t| self.sample_shape(t)).collect();
            let ranges = places.iter().filter_map(|&at| layer.takes_indices_of(at, &shapes));
            let named = ranges.map(|ids| (ids, name.as_str()));
            // Of equal tables the first is named.
            range = range.into_iter().chain(named).min_by_key(|&(ids, _)| ids);
            if layer.keeps_elements() {
                same.insert(call.first);
            }
        }
        range
    }

    /// The image or volume `[extents.., channels]` whose elements in a row are the samples of layer `layer`: a `Flatten`
    /// comes before it, with nothing between that has weights or another shape. `None` if there is none; a sequence is none.
    #[must_use]
    pub fn flattened_before(&self, layer: usize) -> Option<Shape> {
        // Layers are in the order of their first uses, so that of this one is not before its place.
        let call = self.calls.get(layer..)?.iter().find(|call| call.layer == layer)?;
        let mut tensor = *call.inputs.first()?;
        loop {
            let (call, _) = self.source(tensor)?;
            let &[input] = call.inputs.as_slice() else { return None };
            let own = &self.layers[call.layer];
            let (from, to) = (self.sample_shape(input), &call.shapes[0]);
            if to.rank() == 1 && from.rank() >= 3 && own.layer.keeps_elements() {
                return Some(from);
            }
            if from != *to || !own.weights().is_empty() {
                return None;
            }
            tensor = input;
        }
    }

    /// The shape of one sample of a tensor.
    fn sample_shape(&self, tensor: usize) -> Shape {
        match self.source(tensor) {
            Some((call, output)) => call.shapes[output].clone(),
            None => self.inputs[tensor].shape.clone(),
        }
    }

    /// Every weight and state: (its layer, tensor), in order.
    pub fn weights(&self) -> impl Iterator<Item = (&NamedLayer, WeightSpec)> {
        self.layers.iter().flat_map(|l| l.weights().into_iter().map(move |spec| (l, spec)))
    }

    /// Every constant by its name, `LAYER/NAME`. [`Model::apply`] puts them into the graph.
    #[must_use]
    pub fn constants(&self) -> Vec<(String, Tensor)> {
        Layer::constants(self, &[])
    }

    /// Sets whether training changes the weights of the layer of this name, or of all layers of the model inside that
    /// has this name.
    ///
    /// # Errors
    /// [`Error::Parameter`] if no layer has the name.
    pub fn set_trainable(&mut self, layer: &str, trainable: bool) -> Result<()> {
        let inside =
            |name: &str| name.strip_prefix(layer).is_some_and(|rest| rest.starts_with('/'));
        let own = |l: &NamedLayer| l.name == layer || inside(&l.name);
        let mut places: Vec<usize> =
            (0..self.layers.len()).filter(|&i| own(&self.layers[i])).collect();
        // Layers that another model has brought have that model's name.
        let block = self.blocks.iter().find(|block| block.name == layer);
        places.extend(block.iter().flat_map(|block| &block.layers));
        if places.is_empty() {
            let names: Vec<&str> = self.layers.iter().map(|l| l.name.as_str()).collect();
            let detail = format!("the layers are {}", names.join(", "));
            return Err(Error::parameter("layer", layer, detail));
        }
        for place in places {
            self.layers[place].trainable = trainable;
        }
        Ok(())
    }
}
