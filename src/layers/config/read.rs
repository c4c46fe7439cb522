//! Models from data.

use super::built_in;
use super::loader::ModelLoader;
use super::values::{Setting, shown};
use super::write::VERSION;
use crate::error::{Error, Result};
use crate::layers::model::Model;
use crate::layers::{LayerHandle, SymbolicTensor, input, input_named, merge};
use crate::tensor::Shape;
use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// The most uses of layers in a model, those in models inside counted as often as they run: a small file may ask for
/// very many.
const MOST_CALLS: usize = 100_000;

/// What the parts of one model have in common while it is read.
pub(in crate::layers) struct Reading<'a> {
    pub(super) loader: &'a ModelLoader,
    /// Layers that several models have.
    shared: RefCell<HashMap<u64, LayerHandle>>,
    calls: Cell<usize>,
}

/// A layer that was read.
pub(super) struct Read {
    pub handle: LayerHandle,
    /// The uses of layers in one use of it.
    calls: usize,
    /// The number of its first use: Keras counts those of functional models from 1.
    first: usize,
}

/// A layer of a functional model.
struct Entry {
    name: String,
    read: Option<Read>,
    /// The tensors that each use takes: entry, use and output.
    uses: Vec<Vec<[usize; 3]>>,
    /// What each use gives, as far as it is known.
    made: Vec<SymbolicTensor>,
}

fn wrong(place: &str, detail: impl Into<String>) -> Error {
    Error::data(place, detail)
}

fn object<'v>(place: &str, value: &'v Value) -> Result<&'v Map<String, Value>> {
    value
        .as_object()
        .ok_or_else(|| wrong(place, format!("is {}; an object is expected", shown(value))))
}

fn list<'v>(place: &str, value: &'v Value) -> Result<&'v [Value]> {
    let found = value.as_array().map(Vec::as_slice);
    found.ok_or_else(|| wrong(place, format!("is {}; a list is expected", shown(value))))
}

fn class_of<'v>(place: &str, value: &'v Value) -> Result<&'v str> {
    let class = value["class_name"].as_str();
    class.ok_or_else(|| wrong(&format!("{place}.class_name"), "is missing"))
}

/// The name of a layer, if it has one.
fn name_of(value: &Value) -> Option<&str> {
    value["name"].as_str().or_else(|| value["config"]["name"].as_str())
}

/// The model of a whole text.
pub(super) fn model_of(reading: &Reading<'_>, value: &Value) -> Result<Model> {
    let version = &value["format_version"];
    // Keras' own files have none.
    if !version.is_null() && version.as_u64().is_none_or(|version| version > VERSION) {
        let detail = format!(
            "is {}; this version of wgrad reads models up to {VERSION}: read it with a newer one",
            shown(version)
        );
        return Err(wrong("format_version", detail));
    }
    reading.model("model", value)
}

/// The settings of a layer of this library as this version writes them: settings that the file lacks have their defaults.
pub(crate) fn current(kind: &str, settings: &Value) -> Option<Value> {
    let (make, loader) = (built_in::find(kind)?, ModelLoader::new());
    let layer = make(kind, settings.as_object()?, &Reading::new(&loader)).ok()?;
    layer.layer.config().ok()
}

impl<'a> Reading<'a> {
    pub(super) fn new(loader: &'a ModelLoader) -> Self {
        Self { loader, shared: RefCell::default(), calls: Cell::new(0) }
    }

    fn shape(&self, place: &str, value: &Value) -> Result<Shape> {
        let dims = list(place, value)?;
        let sample = dims.get(1..).ok_or_else(|| wrong(place, "has no batch axis"))?;
        if sample.iter().any(Value::is_null) {
            let detail = format!(
                "is {}; shapes are static here: write a number for each axis but the first",
                shown(value)
            );
            return Err(wrong(place, detail));
        }
        let dims = sample.iter().map(|dim| usize::read(dim, self));
        let dims: Vec<usize> = dims.collect::<Result<_, String>>().map_err(|e| wrong(place, e))?;
        Ok(dims.into())
    }

    /// Counts uses of layers.
    fn uses(&self, place: &str, count: usize) -> Result<()> {
        let calls = self.calls.get().saturating_add(count);
        self.calls.set(calls);
        match calls <= MOST_CALLS {
            true => Ok(()),
            false => {
                let detail = format!("the model would use layers more than {MOST_CALLS} times");
                Err(wrong(place, detail))
            }
        }
    }

    /// The layer or the model that `value` describes.
    pub(super) fn layer(&self, place: &str, value: &Value) -> Result<Read> {
        let class = class_of(place, value)?;
        let place = name_of(value).map_or_else(|| place.to_owned(), str::to_owned);
        let empty = Map::new();
        let config = match &value["config"] {
            Value::Null => &empty,
            config => object(&format!("{place}.config"), config)?,
        };
        let (mut handle, mut calls, mut first) = (None, 1, 0);
        let id = value["shared_object_id"].as_u64();
        if let Some(known) = id.and_then(|id| self.shared.borrow().get(&id).cloned()) {
            if known.layer.kind() != class {
                let detail =
                    format!("is of a `{}` too, and this is a `{class}`", known.layer.kind());
                return Err(wrong(&format!("{place}.shared_object_id"), detail));
            }
            handle = Some(known);
        } else if let Some(own) = self.loader.make(class, &value["config"]) {
            handle = Some(own.map_err(|e| e.in_layer(&place))?);
        } else if matches!(class, "Sequential" | "Functional" | "Model") {
            let model = self.model(&place, value)?;
            first = usize::from(class != "Sequential");
            calls = model.calls.len();
            handle = Some(model.into());
        } else if let Some(make) = built_in::find(class) {
            handle = Some(make(&place, config, self)?);
        }
        let Some(mut handle) = handle else {
            return Err(wrong(&place, self.loader.unknown(class)));
        };
        if let (Some(id), None) = (id, handle.layer.as_model()?) {
            self.shared.borrow_mut().entry(id).or_insert_with(|| handle.clone());
        }
        handle.name = name_of(value).map(str::to_owned);
        handle.trainable = config.get("trainable").and_then(Value::as_bool).unwrap_or(true);
        Ok(Read { handle, calls, first })
    }

    /// The model that `value` describes; `place` is its name, for messages.
    fn model(&self, place: &str, value: &Value) -> Result<Model> {
        let config = &value["config"];
        match class_of(place, value)? {
            "Sequential" => self.sequential(place, config),
            "Functional" | "Model" => self.functional(place, config),
            class => {
                let detail = format!(
                    "is a `{class}`; a model is a Sequential or a Functional, and a class of one's own has its code \
                     in Python alone"
                );
                Err(wrong(place, detail))
            }
        }
    }

    fn sequential(&self, place: &str, config: &Value) -> Result<Model> {
        let mut layers = list(&format!("{place}.layers"), &config["layers"])?;
        let mut shape = &config["build_input_shape"];
        let mut name = None;
        if let [first, rest @ ..] = layers
            && first["class_name"] == "InputLayer"
        {
            (name, shape, layers) = (name_of(first), input_shape(first), rest);
        }
        if shape.is_null() {
            let detail =
                "has no InputLayer and no build_input_shape: the shape of a sample is not known";
            return Err(wrong(place, detail));
        }
        let shape = self.shape(&format!("{place}.build_input_shape"), shape)?;
        let start = match name {
            Some(name) => input_named(name, shape),
            None => input(shape),
        };
        let mut end = start.clone();
        for (i, layer) in layers.iter().enumerate() {
            let read = self.layer(&format!("{place}.layers[{i}]"), layer)?;
            self.uses(place, read.calls)?;
            end = end.then(read.handle);
        }
        Model::build("sequential", [&start], [&end])
    }

    fn functional(&self, place: &str, config: &Value) -> Result<Model> {
        let layers = list(&format!("{place}.layers"), &config["layers"])?;
        let mut places = HashMap::new();
        let mut entries = Vec::new();
        for (i, layer) in layers.iter().enumerate() {
            let at = format!("{place}.layers[{i}]");
            let name = name_of(layer).ok_or_else(|| wrong(&at, "has no name"))?;
            if places.insert(name, i).is_some() {
                return Err(wrong(&at, format!("is the second layer with the name `{name}`")));
            }
            let mut entry = Entry { name: name.into(), read: None, uses: vec![], made: vec![] };
            if class_of(&at, layer)? == "InputLayer" {
                let shape = self.shape(&format!("{name}.batch_shape"), input_shape(layer))?;
                entry.made.push(input_named(name, shape));
            } else {
                entry.read = Some(self.layer(&at, layer)?);
            }
            entries.push(entry);
        }
        for (i, layer) in layers.iter().enumerate() {
            if entries[i].read.is_none() {
                continue;
            }
            let at = format!("{}.inbound_nodes", entries[i].name);
            for node in list(&at, &layer["inbound_nodes"])? {
                let tensors = node_inputs(&at, node)?;
                let found = tensors.into_iter().map(|t| self.tensor(&at, &places, &entries, t));
                let found = found.collect::<Result<Vec<_>>>()?;
                entries[i].uses.push(found);
            }
        }
        self.connect(place, &mut entries)?;
        let ends = |name: &str| -> Result<Vec<SymbolicTensor>> {
            let at = format!("{place}.{name}");
            let mut named = Vec::new();
            histories(&at, &config[name], &mut named)?;
            let found = named.into_iter().map(|t| {
                let [entry, of_use, output] = self.tensor(&at, &places, &entries, t)?;
                let made = entries[entry].made.get(of_use);
                made.map(|made| made.output(output))
                    .ok_or_else(|| no_use(&at, &entries[entry].name))
            });
            found.collect()
        };
        let (inputs, outputs) = (ends("input_layers")?, ends("output_layers")?);
        Model::build("functional", &inputs, &outputs)
    }

    /// A tensor by the places of its layer, and its use counted from 0.
    fn tensor(
        &self,
        place: &str,
        places: &HashMap<&str, usize>,
        entries: &[Entry],
        history: &Value,
    ) -> Result<[usize; 3]> {
        let (name, of_use, output) = (history[0].as_str(), &history[1], &history[2]);
        let Some(entry) = name.and_then(|name| places.get(name).copied()) else {
            return Err(wrong(
                place,
                format!("names {}, and no layer has that name", shown(&history[0])),
            ));
        };
        let number = |value| usize::read(value, self).map_err(|e| wrong(place, e));
        let first = entries[entry].read.as_ref().map_or(0, |read| read.first);
        let of_use = number(of_use)?.checked_sub(first);
        let of_use = of_use.ok_or_else(|| no_use(place, &entries[entry].name))?;
        Ok([entry, of_use, number(output)?])
    }

    /// Applies the layers, each use once its inputs are there.
    fn connect(&self, place: &str, entries: &mut [Entry]) -> Result<()> {
        loop {
            let (mut moved, mut open) = (false, None);
            for i in 0..entries.len() {
                while let Some(next) = entries[i].uses.get(entries[i].made.len()) {
                    let Some(read) = &entries[i].read else { break };
                    let made = |&[entry, of_use, output]: &[usize; 3]| {
                        entries[entry].made.get(of_use).map(|tensor| tensor.output(output))
                    };
                    let Some(inputs) = next.iter().map(made).collect::<Option<Vec<_>>>() else {
                        open = open.or(Some(i));
                        break;
                    };
                    self.uses(place, read.calls)?;
                    let made = merge(&read.handle, &inputs);
                    entries[i].made.push(made);
                    moved = true;
                }
            }
            match open {
                None => return Ok(()),
                Some(_) if moved => {}
                Some(i) => {
                    let detail = "takes what no layer gives, or what depends on it";
                    return Err(wrong(&format!("{}.inbound_nodes", entries[i].name), detail));
                }
            }
        }
    }
}

fn no_use(place: &str, name: &str) -> Error {
    wrong(place, format!("names a use of `{name}` that there is not"))
}

/// The shape in an InputLayer, by its name in Keras 3 or in Keras 2.
fn input_shape(layer: &Value) -> &Value {
    let config = &layer["config"];
    match &config["batch_shape"] {
        Value::Null => &config["batch_input_shape"],
        shape => shape,
    }
}

/// The tensors that a use of a layer takes.
fn node_inputs<'v>(place: &str, node: &'v Value) -> Result<Vec<&'v Value>> {
    let Some(args) = node.get("args") else {
        return Err(wrong(
            place,
            "has no `args`; models of Keras 3 are read, so save it again with Keras 3",
        ));
    };
    let mut tensors = Vec::new();
    collect(place, args, &mut tensors)?;
    if let Value::Object(named) = &node["kwargs"] {
        let asks =
            |(_, value): &(&String, &Value)| !value.is_null() && **value != Value::Bool(false);
        if let Some((name, value)) = named.iter().find(asks) {
            let detail =
                format!("gives `{name}` = {}; a layer takes tensors alone here", shown(value));
            return Err(wrong(place, detail));
        }
    }
    Ok(tensors)
}

fn collect<'v>(place: &str, value: &'v Value, tensors: &mut Vec<&'v Value>) -> Result<()> {
    match value {
        Value::Array(several) => several.iter().try_for_each(|v| collect(place, v, tensors)),
        Value::Object(_) if value["class_name"] == "__keras_tensor__" => {
            tensors.push(&value["config"]["keras_history"]);
            Ok(())
        }
        other => {
            Err(wrong(place, format!("takes {}; a layer takes tensors alone here", shown(other))))
        }
    }
}

/// The tensors of `input_layers` and `output_layers`: one, or a list or an object of them.
fn histories<'v>(place: &str, value: &'v Value, found: &mut Vec<&'v Value>) -> Result<()> {
    match value {
        Value::Array(parts) if parts.first().is_some_and(Value::is_string) => {
            found.push(value);
            Ok(())
        }
        Value::Array(several) => several.iter().try_for_each(|v| histories(place, v, found)),
        Value::Object(several) => several.values().try_for_each(|v| histories(place, v, found)),
        other => Err(wrong(place, format!("is {}; a list is expected", shown(other)))),
    }
}
