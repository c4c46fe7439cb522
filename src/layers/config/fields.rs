//! The settings of a layer on their way into a file, or out of it.

use super::read::Reading;
use super::values::Setting;
use super::write::layer_data;
use super::{Settings, config_of};
use crate::error::{Error, Result};
use crate::layers::LayerHandle;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Fields that change no number of a layer here. Names and `trainable` are read elsewhere, weights are f32, and random
/// numbers follow from the layer's name and the trainer's seed.
const ELSEWHERE: [&str; 9] = [
    "autocast",
    "batch_input_shape",
    "batch_shape",
    "dtype",
    "input_shape",
    "name",
    "seed",
    "trainable",
    "unroll",
];

enum Way<'a> {
    Write(Map<String, Value>),
    Read { given: &'a Map<String, Value>, known: BTreeSet<&'static str>, reading: &'a Reading<'a> },
}

/// The settings of one layer.
pub(in crate::layers) struct Fields<'a> {
    /// The layer, for messages.
    place: &'a str,
    way: Way<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn to_write() -> Self {
        Self { place: "", way: Way::Write(Map::new()) }
    }

    pub(super) fn to_read(
        place: &'a str,
        given: &'a Map<String, Value>,
        reading: &'a Reading<'a>,
    ) -> Self {
        Self { place, way: Way::Read { given, known: BTreeSet::new(), reading } }
    }

    /// What was written.
    pub(super) fn written(self) -> Value {
        match self.way {
            Way::Write(map) => Value::Object(map),
            Way::Read { .. } => Value::Null,
        }
    }

    /// A setting that keeps its value if the file has none.
    pub(in crate::layers) fn field(
        &mut self,
        name: &'static str,
        setting: &mut impl Setting,
    ) -> Result<()> {
        match &mut self.way {
            Way::Write(map) => _ = map.insert(name.into(), setting.write()?),
            Way::Read { given, known, reading } => {
                known.insert(name);
                if let Some(value) = given.get(name) {
                    *setting = Setting::read(value, reading)
                        .map_err(|detail| self.wrong(name, &detail))?;
                }
            }
        }
        Ok(())
    }

    /// A setting that the file must have.
    pub(in crate::layers) fn required(
        &mut self,
        name: &'static str,
        setting: &mut impl Setting,
    ) -> Result<()> {
        if let Way::Read { given, .. } = &self.way
            && given.get(name).is_none_or(Value::is_null)
        {
            return Err(self.wrong(name, "is missing"));
        }
        self.field(name, setting)
    }

    /// A setting of Keras that this library has with one value alone, or with what is like it. It is not written.
    pub(in crate::layers) fn only(&mut self, name: &'static str, values: &[Value]) -> Result<()> {
        if let Way::Read { given, known, .. } = &mut self.way {
            known.insert(name);
            let other = given.get(name).filter(|v| !v.is_null() && !values.contains(v));
            if let Some(other) = other {
                let few: Vec<String> = values.iter().map(ToString::to_string).collect();
                let detail = format!("is {other}; this library has {} alone", few.join(" and "));
                return Err(self.wrong(name, &detail));
            }
        }
        Ok(())
    }

    /// A setting of Keras that counts with another setting alone, which this library does not have.
    pub(in crate::layers) fn unused(&mut self, name: &'static str) {
        if let Way::Read { known, .. } = &mut self.way {
            known.insert(name);
        }
    }

    /// Keras' `data_format`: channels are last here.
    pub(in crate::layers) fn channels_last(&mut self) -> Result<()> {
        let (name, last) = ("data_format", Value::from("channels_last"));
        match &mut self.way {
            Way::Write(map) => _ = map.insert(name.into(), last),
            Way::Read { given, known, .. } => {
                known.insert(name);
                let other = given.get(name).filter(|v| !v.is_null() && **v != last);
                if let Some(other) = other {
                    let detail = format!(
                        "is {other}; channels are last here: give images as [batch, height, width, channels], and say \
                         channels_last. The kernels have the same layout for both"
                    );
                    return Err(self.wrong(name, &detail));
                }
            }
        }
        Ok(())
    }

    /// A layer inside the layer.
    pub(in crate::layers) fn layer(
        &mut self,
        name: &'static str,
        layer: &mut Option<LayerHandle>,
    ) -> Result<()> {
        match &mut self.way {
            Way::Write(map) => {
                if let Some(layer) = layer {
                    map.insert(name.into(), layer_data(layer)?);
                }
            }
            Way::Read { given, known, reading } => {
                known.insert(name);
                match given.get(name) {
                    Some(value) => {
                        *layer =
                            Some(reading.layer(&format!("{}.{name}", self.place), value)?.handle);
                    }
                    None => return Err(self.wrong(name, "is missing")),
                }
            }
        }
        Ok(())
    }

    /// A layer inside the layer that may be missing.
    pub(in crate::layers) fn optional_layer(
        &mut self,
        name: &'static str,
        layer: &mut Option<LayerHandle>,
    ) -> Result<()> {
        if let Way::Read { given, known, .. } = &mut self.way
            && given.get(name).is_none_or(Value::is_null)
        {
            known.insert(name);
            return Ok(());
        }
        self.layer(name, layer)
    }

    /// A list of layers inside the layer.
    pub(in crate::layers) fn layers(
        &mut self,
        name: &'static str,
        layers: &mut Vec<LayerHandle>,
    ) -> Result<()> {
        match &mut self.way {
            Way::Write(map) => {
                let all = layers.iter().map(layer_data).collect::<Result<_>>()?;
                map.insert(name.into(), Value::Array(all));
            }
            Way::Read { given, known, reading } => {
                known.insert(name);
                let Some(all) = given.get(name).and_then(Value::as_array) else {
                    return Err(self.wrong(name, "is no list of layers"));
                };
                let place = |i: usize| format!("{}.{name}[{i}]", self.place);
                let read = all.iter().enumerate();
                let read = read.map(|(i, value)| Ok(reading.layer(&place(i), value)?.handle));
                *layers = read.collect::<Result<_>>()?;
            }
        }
        Ok(())
    }

    /// The settings of a part that may be missing, as an object.
    pub(in crate::layers) fn part<L: Settings>(
        &mut self,
        name: &'static str,
        part: &mut Option<L>,
    ) -> Result<()> {
        match &mut self.way {
            Way::Write(map) => {
                if let Some(part) = part {
                    map.insert(name.into(), config_of(part)?);
                }
                Ok(())
            }
            Way::Read { given, known, reading } => {
                known.insert(name);
                let Some(value) = given.get(name).filter(|v| !v.is_null()) else { return Ok(()) };
                let Some(own) = value.as_object() else {
                    return Err(self.wrong(name, "is no object of settings"));
                };
                let place = format!("{}.{name}", self.place);
                let mut fields = Fields::to_read(&place, own, reading);
                part.insert(L::blank()).settings(&mut fields)?;
                fields.finish()
            }
        }
    }

    /// Refuses fields of the file that the layer does not know, unless they ask for nothing.
    pub(super) fn finish(&self) -> Result<()> {
        let Way::Read { given, known, .. } = &self.way else { return Ok(()) };
        let asks = |value: &Value| !value.is_null() && *value != Value::Bool(false);
        let unknown = |(name, value): &(&String, &Value)| {
            asks(value) && !known.contains(name.as_str()) && !ELSEWHERE.contains(&name.as_str())
        };
        match given.iter().find(unknown) {
            None => Ok(()),
            Some((name, value)) => {
                let detail = format!(
                    "is {value}; this version of wgrad has no such setting, so the layer would compute something else"
                );
                Err(self.wrong(name, &detail))
            }
        }
    }

    /// What is wrong with a setting.
    pub(in crate::layers) fn wrong(&self, name: &str, detail: &str) -> Error {
        Error::data(format!("{}.{name}", self.place), detail)
    }
}
