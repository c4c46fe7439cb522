//! A model as data.

use super::built_in;
use crate::error::{Error, Result};
use crate::layers::handle::{Address, address};
use crate::layers::model::{Block, Model};
use crate::layers::{Layer, LayerHandle};
use crate::tensor::Shape;
use crate::words::{DATA, NO_DATA};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The version of the data of a model: a reader refuses a later one. Fields may be added without a new version if a
/// model that does not use them is written without them.
pub(super) const VERSION: u64 = 1;

/// What a model in other models does not know of its layers.
#[derive(Default)]
struct Writing {
    trainable: HashMap<Address, bool>,
    /// How many models have each layer.
    places: HashMap<Address, usize>,
    /// The number of each layer that several models have.
    shared: HashMap<Address, usize>,
}

impl Writing {
    fn of(model: &Model) -> Self {
        let trainable = model.layers.iter().map(|l| (address(&l.layer), l.trainable)).collect();
        let mut own = Self { trainable, ..Self::default() };
        own.count(model);
        own
    }

    fn count(&mut self, model: &Model) {
        for block in &model.blocks {
            match &block.model {
                Some(inner) => self.count(inner),
                None => *self.places.entry(address(&block.handle.layer)).or_default() += 1,
            }
        }
    }

    /// The layer or model of a block.
    fn block(&mut self, block: &Block) -> Result<Value> {
        if let Some(inner) = &block.model {
            return self.model(&block.name, inner);
        }
        let layer = &block.handle.layer;
        let at = address(layer);
        let trainable = self.trainable.get(&at).copied().unwrap_or(true);
        let mut data = layer_in(&**layer, &block.name, trainable)?;
        if self.places.get(&at).is_some_and(|&places| places > 1) {
            let next = self.shared.len();
            let id = *self.shared.entry(at).or_insert(next);
            data["shared_object_id"] = id.into();
        }
        Ok(data)
    }

    fn model(&mut self, name: &str, model: &Model) -> Result<Value> {
        let class = class(model);
        let mut layers: Vec<Value> = Vec::new();
        for (i, input) in model.inputs.iter().enumerate() {
            let mut data = input_layer(model, i);
            if class == "Functional" {
                data["name"] = input.name.as_str().into();
                data["inbound_nodes"] = json!([]);
            }
            layers.push(data);
        }
        for block in &model.blocks {
            let mut data = self.block(block)?;
            if class == "Functional" {
                data["name"] = block.name.as_str().into();
                let node = |(inputs, _): &(Vec<usize>, Vec<usize>)| {
                    let tensors: Vec<Value> = inputs.iter().map(|&t| tensor(model, t)).collect();
                    let args = match tensors.as_slice() {
                        [one] => json!([one]),
                        several => json!([several]),
                    };
                    json!({ "args": args, "kwargs": {} })
                };
                data["inbound_nodes"] = block.uses.iter().map(node).collect();
            }
            layers.push(data);
        }
        let mut config = json!({ "name": name, "trainable": true, "layers": layers });
        if class == "Functional" {
            let all = 0..model.inputs.len();
            config["input_layers"] = all.map(|t| history(model, t)).collect();
            config["output_layers"] = model.outputs.iter().map(|&t| history(model, t)).collect();
        } else {
            config["build_input_shape"] = batch(&model.inputs[0].shape);
        }
        Ok(json!({
            "module": "keras", "class_name": class, "config": config, "registered_name": null,
        }))
    }
}

/// A shape with the batch axis, as Keras writes it.
fn batch(sample: &Shape) -> Value {
    let dims = sample.dims().iter().map(|&dim| Value::from(dim));
    std::iter::once(Value::Null).chain(dims).collect()
}

/// `Sequential` if the model is a chain of layers that are used once.
fn class(model: &Model) -> &'static str {
    let mut last = vec![0];
    let chain = model.blocks.iter().all(|block| match block.uses.as_slice() {
        [(inputs, outputs)] if *inputs == last && outputs.len() == 1 => {
            last.clone_from(outputs);
            true
        }
        _ => false,
    });
    let chain = chain && model.inputs.len() == 1 && model.outputs == last;
    if chain && model.kind == "sequential" { "Sequential" } else { "Functional" }
}

/// The element type that Keras would give a tensor.
fn dtype(model: &Model, tensor: usize) -> &'static str {
    let ids = tensor < model.inputs.len() && model.index_range(tensor).is_some();
    if ids { "int32" } else { "float32" }
}

fn input_layer(model: &Model, i: usize) -> Value {
    let input = &model.inputs[i];
    let config = json!({
        "batch_shape": batch(&input.shape), "dtype": dtype(model, i), "name": input.name,
    });
    json!({
        "module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": null,
    })
}

/// The layer, the use of it, and the output that a tensor is. Keras counts the uses of functional models from 1.
fn history(model: &Model, tensor: usize) -> Value {
    match model.block_of(tensor) {
        None => json!([model.inputs.get(tensor).map_or("", |input| &input.name), 0, 0]),
        Some((block, of_use, output)) => {
            let first = block.model.as_ref().is_some_and(|inner| class(inner) == "Functional");
            json!([block.name, of_use + usize::from(first), output])
        }
    }
}

fn tensor(model: &Model, tensor: usize) -> Value {
    let shape = match model.source(tensor) {
        Some((call, output)) => &call.shapes[output],
        None => &model.inputs[tensor].shape,
    };
    let config = json!({
        "shape": batch(shape), "dtype": dtype(model, tensor), "keras_history": history(model, tensor),
    });
    json!({ "class_name": "__keras_tensor__", "config": config })
}

/// A layer by its class and settings.
fn layer_in(layer: &dyn Layer, name: &str, trainable: bool) -> Result<Value> {
    let class = layer.kind();
    let mut config = layer.config().map_err(|e| e.in_layer(name))?;
    let Some(fields) = config.as_object_mut() else {
        let detail = "`Layer::config` gives an object of JSON: fields with values";
        return Err(Error::parameter("config", config, detail).in_layer(name));
    };
    fields.insert("name".into(), name.into());
    fields.insert("trainable".into(), trainable.into());
    let known = built_in::find(class).is_some();
    // Keras has all layers of this library but one.
    let module = known.then_some(if class == "RReLU" { "wgrad" } else { "keras.layers" });
    let registered = (module != Some("keras.layers")).then_some(class);
    Ok(json!({
        "module": module, "class_name": class, "config": config, "registered_name": registered,
    }))
}

/// A layer that another layer has.
pub(super) fn layer_data(handle: &LayerHandle) -> Result<Value> {
    let name = handle.part_name();
    let mut data = match handle.layer.as_model()? {
        Some(model) => Writing::of(&model).model(&name, &model)?,
        None => layer_in(&*handle.layer, &name, handle.trainable)?,
    };
    data["config"]["trainable"] = handle.trainable.into();
    Ok(data)
}

impl Model {
    /// [`Model::to_json`] before it is text.
    ///
    /// # Errors
    /// As [`Model::to_json`].
    pub fn to_value(&self) -> Result<Value> {
        if !DATA {
            return Err(Error::parameter("config", self.kind, NO_DATA));
        }
        let mut value = Writing::of(self).model(self.kind, self)?;
        value["format_version"] = VERSION.into();
        Ok(value)
    }
}
