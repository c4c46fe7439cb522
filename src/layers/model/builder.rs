//! From symbolic tensors to a model: each layer gets its name and its place, and models inside are taken apart.

use super::{Block, Call, Model, ModelInput, NamedLayer, Origin};
use crate::error::{Error, Result};
use crate::layers::handle::{Address, address};
use crate::layers::symbolic::{Node, SymbolicTensor};
use crate::layers::{LayerHandle, WeightSpec, snake_case};
use crate::tensor::Shape;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The first of `base`, `base_1`, ... from the number `from` on that is not taken.
pub(in crate::layers) fn numbered(base: &str, from: usize, taken: impl Fn(&str) -> bool) -> String {
    let name = |i: usize| if i == 0 { base.to_owned() } else { format!("{base}_{i}") };
    (from..).map(name).find(|name| !taken(name)).unwrap_or_default()
}

/// A model while its tensors are visited. What a layer or a name is found by is a table, so that the time to build a
/// model grows with its layers and not with their square.
#[derive(Default)]
struct Builder {
    /// The names of the model's inputs, which are its first tensors.
    inputs: Vec<String>,
    /// The tensors that each visited node gives.
    places: HashMap<*const Node, Vec<usize>>,
    layers: Vec<NamedLayer>,
    /// The place of each layer object.
    layer_at: HashMap<Address, usize>,
    /// The names of layers.
    names: HashSet<String>,
    blocks: Vec<Block>,
    /// The blocks of each layer object, and those of models by their first layer too.
    blocks_at: HashMap<Address, Vec<usize>>,
    /// The names of blocks and layers, and the names before each `/` in those of layers.
    taken: HashSet<String>,
    /// How many blocks of a kind were given no name.
    unnamed: HashMap<String, usize>,
    /// The block, which use of it, and which output each tensor is that a block gives.
    origins: HashMap<usize, Origin>,
    calls: Vec<Call>,
    shapes: Vec<Shape>,
}

impl Builder {
    /// The place of a tensor, once its source is visited.
    fn find(&self, tensor: &SymbolicTensor) -> Result<Option<usize>> {
        let Some(places) = self.places.get(&Arc::as_ptr(&tensor.node)) else { return Ok(None) };
        let place = places.get(tensor.output).copied();
        let unknown = || {
            let detail = format!("the layer has {} outputs, counted from 0", places.len());
            let error = Error::parameter("output", tensor.output, detail);
            match &*tensor.node {
                Node::Call { layer, .. } => error.in_layer(&self.shown(layer)),
                Node::Input { .. } => error,
            }
        };
        place.ok_or_else(unknown).map(Some)
    }

    /// The name of a layer that has a place.
    fn shown(&self, handle: &LayerHandle) -> String {
        let block = self.blocks.iter().find(|block| block.handle.is(handle));
        block.map_or_else(|| snake_case(handle.layer.kind()), |block| block.name.clone())
    }

    /// Visits what `tensor` depends on, then `tensor`, and gives its place. A list of open tensors keeps deep models off
    /// the thread's stack.
    fn visit(&mut self, tensor: &SymbolicTensor) -> Result<usize> {
        let mut open = vec![tensor.clone()];
        let mut place = 0;
        while let Some(next) = open.last().cloned() {
            if let Some(found) = self.find(&next)? {
                place = found;
                open.pop();
                continue;
            }
            let Node::Call { layer, inputs } = &*next.node else {
                let detail = "an output depends on an input that is not in the list of inputs";
                return Err(Error::parameter("inputs", self.calls.len(), detail));
            };
            let (mut places, mut missing) = (Vec::new(), Vec::new());
            for input in inputs {
                match self.find(input)? {
                    Some(place) => places.push(place),
                    None => missing.push(input.clone()),
                }
            }
            if missing.is_empty() {
                let outputs = self.use_block(layer, &places)?;
                self.places.insert(Arc::as_ptr(&next.node), outputs);
            } else {
                // The first input is visited first.
                open.extend(missing.into_iter().rev());
            }
        }
        Ok(place)
    }

    /// Appends a use of a layer or of a model, and gives the tensors of its outputs.
    fn use_block(&mut self, handle: &LayerHandle, inputs: &[usize]) -> Result<Vec<usize>> {
        let model = handle.layer.as_model();
        let model = model.map_err(|e| e.in_layer(&snake_case(handle.layer.kind())))?;
        let same = |block: &Block| {
            let models = block.model.as_ref().zip(model.as_ref());
            block.handle.is(handle) || models.is_some_and(|(a, b)| a.is_same(b))
        };
        // The same layer object is the same block, even if it makes new layers each time. Models that are the same have the
        // same first layer.
        let first = model.as_ref().and_then(|model| model.layers.first()).map(|own| &own.layer);
        let keys: Vec<Address> = [&handle.layer].into_iter().chain(first).map(address).collect();
        let mut known = keys.iter().filter_map(|key| self.blocks_at.get(key)).flatten().copied();
        let at = match known.find(|&at| same(&self.blocks[at])) {
            Some(at) => at,
            None => {
                let (name, kind) = (self.name(handle)?, handle.layer.kind().to_owned());
                self.taken.insert(name.clone());
                if handle.name.is_none() {
                    *self.unnamed.entry(kind.clone()).or_default() += 1;
                }
                let (handle, model) = (handle.clone(), model.clone());
                let (layers, uses) = (Vec::new(), Vec::new());
                for key in keys {
                    self.blocks_at.entry(key).or_default().push(self.blocks.len());
                }
                self.blocks.push(Block { name, kind, handle, model, layers, uses });
                self.blocks.len() - 1
            }
        };
        let name = self.blocks[at].name.clone();
        let before = self.calls.len();
        let outputs = match model {
            Some(model) => self.take_apart(&name, handle, &model, inputs)?,
            None => self.call(&name, handle, inputs.to_vec())?,
        };
        let block = &mut self.blocks[at];
        let mut known: HashSet<usize> = block.layers.iter().copied().collect();
        let layers = self.calls[before..].iter().map(|call| call.layer);
        block.layers.extend(layers.filter(|&layer| known.insert(layer)));
        for (output, &tensor) in outputs.iter().enumerate() {
            let origin = Origin { block: at, of_use: block.uses.len(), output };
            self.origins.entry(tensor).or_insert(origin);
        }
        block.uses.push((inputs.to_vec(), outputs.clone()));
        Ok(outputs)
    }

    /// Appends the calls of a model inside this one. A layer that has a place already keeps it, and its weights.
    fn take_apart(
        &mut self,
        name: &str,
        handle: &LayerHandle,
        model: &Model,
        inputs: &[usize],
    ) -> Result<Vec<usize>> {
        let given: Vec<Shape> = inputs.iter().map(|&i| self.shapes[i].clone()).collect();
        model.check_samples(&given).map_err(|e| e.in_layer(name))?;
        let mut tensors = inputs.to_vec();
        for call in &model.calls {
            let NamedLayer { name: inner, layer, trainable, .. } = &model.layers[call.layer];
            let path = format!("{name}/{inner}");
            let trainable = handle.trainable && *trainable;
            let inner = LayerHandle { name: Some(path.clone()), layer: layer.clone(), trainable };
            let taken = call.inputs.iter().map(|&i| tensors[i]).collect();
            tensors.extend(self.call(&path, &inner, taken)?);
        }
        Ok(model.outputs.iter().map(|&o| tensors[o]).collect())
    }

    /// Appends a use of a layer, and the layer at its first use.
    fn call(&mut self, name: &str, handle: &LayerHandle, inputs: Vec<usize>) -> Result<Vec<usize>> {
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.shapes[i].clone()).collect();
        // What a layer gives is checked when it is placed, so this is an input.
        if let Some(&empty) = inputs.iter().find(|&&i| self.shapes[i].is_empty()) {
            return Err(empty_tensor(&self.inputs[empty], &self.shapes[empty]).in_layer(name));
        }
        let index = match self.layer_at.get(&address(&handle.layer)) {
            Some(&index) => index,
            None => {
                if !self.names.insert(name.to_owned()) {
                    return Err(twice(name));
                }
                let before = name.match_indices('/').map(|(end, _)| name[..end].to_owned());
                self.taken.extend(before.chain([name.to_owned()]));
                self.layer_at.insert(address(&handle.layer), self.layers.len());
                let (layer, trainable) = (handle.layer.clone(), handle.trainable);
                let name = name.to_owned();
                self.layers.push(NamedLayer { name, layer, trainable, inputs: shapes.clone() });
                self.layers.len() - 1
            }
        };
        // Frozen in one place is frozen.
        self.layers[index].trainable &= handle.trainable;
        let layer = &self.layers[index];
        let name = layer.name.clone();
        layer.layer.check_inputs(inputs.len()).map_err(|e| e.in_layer(&name))?;
        let declared = layer.layer.outputs(&shapes).map_err(|e| e.in_layer(&name))?;
        if declared.is_empty() {
            let error = Error::parameter("outputs", 0, "a layer declares an output or more");
            return Err(error.in_layer(&name));
        }
        for ty in &declared {
            indexable(&format!("layer `{name}`: one sample"), &ty.shape)?;
        }
        // What a layer says of its weights and its output is checked here, for every layer.
        let activity = layer.layer.activity_regularizer().check();
        activity.map_err(|e| e.of("activity_regularizer").in_layer(&name))?;
        let own = layer.weights();
        own.iter().try_for_each(WeightSpec::check).map_err(|e| e.in_layer(&name))?;
        if layer.layer.weights(&shapes) != own {
            let detail = "a shared layer needs inputs for which its weights have the same shapes";
            let first: Vec<&Shape> = layer.inputs.iter().chain(&shapes).collect();
            return Err(Error::shape("model", &first, detail).in_layer(&name));
        }
        let mut names = HashSet::new();
        for weight in own {
            indexable(&format!("layer `{name}`: {}", weight.name), &weight.shape)?;
            if let Some(values) = weight.values.filter(|v| v.len() != weight.shape.len()) {
                let detail = format!("`{}` begins as {} values", weight.name, values.len());
                return Err(Error::shape("model", &[&weight.shape], detail).in_layer(&name));
            }
            if !names.insert(weight.name.clone()) {
                let detail = "the layer declares it twice; give each weight and state its name";
                return Err(Error::parameter("weight", weight.name, detail).in_layer(&name));
            }
        }
        let first = self.shapes.len();
        let shapes: Vec<Shape> = declared.into_iter().map(|ty| ty.shape).collect();
        self.shapes.extend(shapes.iter().cloned());
        self.calls.push(Call { layer: index, inputs, first, shapes });
        Ok((first..self.shapes.len()).collect())
    }

    /// The name of a layer or model at its first use.
    fn name(&self, handle: &LayerHandle) -> Result<String> {
        // A layer that a model inside has brought keeps its name.
        if let Some(&known) = self.layer_at.get(&address(&handle.layer)) {
            return Ok(self.layers[known].name.clone());
        }
        let taken = |name: &str| self.taken.contains(name);
        let kind = handle.layer.kind();
        match &handle.name {
            Some(name) if taken(name) => Err(twice(name)),
            Some(name) => Ok(name.clone()),
            None => {
                // As in Keras, layers that were given a name are not counted.
                let before = self.unnamed.get(kind).copied().unwrap_or(0);
                Ok(numbered(&snake_case(kind), before, taken))
            }
        }
    }
}

fn twice(name: &str) -> Error {
    let detail = "two layers have this name; give one another with add_named or named";
    Error::parameter("name", name, detail)
}

impl Model {
    pub(in crate::layers) fn build<'a>(
        kind: &'static str,
        inputs: impl IntoIterator<Item = &'a SymbolicTensor>,
        outputs: impl IntoIterator<Item = &'a SymbolicTensor>,
    ) -> Result<Self> {
        let mut builder = Builder::default();
        let mut named: Vec<ModelInput> = Vec::new();
        for tensor in inputs {
            let Node::Input { name, shape } = &*tensor.node else {
                return Err(Error::parameter("inputs", named.len(), "an input is made by `input`"));
            };
            let taken = |name: &str| named.iter().any(|i| i.name == name);
            let name = match name {
                Some(name) => name.clone(),
                None => numbered("input", named.len(), taken),
            };
            if taken(&name) || builder.find(tensor)?.is_some() {
                return Err(Error::parameter(
                    "inputs",
                    name,
                    "two inputs are one or have one name",
                ));
            }
            // One without elements is refused with the layer that it is for.
            if !shape.is_empty() {
                indexable(&name, shape)?;
            }
            builder.inputs.push(name.clone());
            builder.places.insert(Arc::as_ptr(&tensor.node), vec![named.len()]);
            builder.shapes.push(shape.clone());
            named.push(ModelInput { name, shape: shape.clone() });
        }
        let mut places = Vec::new();
        for tensor in outputs {
            if matches!(&*tensor.node, Node::Input { .. }) {
                let detail = "a model has at least one layer; add one";
                return Err(Error::parameter("layers", 0, detail));
            }
            places.push(builder.visit(tensor)?);
        }
        if named.is_empty() || places.is_empty() {
            return Err(Error::parameter("layers", 0, "a model has an input and an output"));
        }
        let used: HashSet<usize> = builder.calls.iter().flat_map(|c| &c.inputs).copied().collect();
        if let Some(i) = (0..named.len()).find(|i| !used.contains(i)) {
            return Err(Error::parameter("inputs", &named[i].name, "no output depends on it"));
        }
        let Builder { layers, calls, blocks, origins, .. } = builder;
        Ok(Self { kind, inputs: named, layers, blocks, origins, calls, outputs: places })
    }
}

/// A tensor without elements is refused.
fn empty_tensor(what: &str, shape: &Shape) -> Error {
    Error::shape(what, &[shape], "an extent is zero; every extent is 1 or more")
}

/// Refuses a tensor without elements, or with more than 32 bits count: no kernel could index it.
fn indexable(what: &str, shape: &Shape) -> Result<()> {
    if shape.is_empty() {
        return Err(empty_tensor(what, shape));
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
