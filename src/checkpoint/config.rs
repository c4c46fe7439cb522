//! What a checkpoint and the trainer that loads it must have in common.

use super::text;
use crate::layers::{Call, ModelInput, NamedLayer, current};
use crate::train::{OutputSpec, Trainer};
use serde_json::{Value, json};
use std::fmt::Debug;

/// The settings that decide which numbers training computes: seed, model, losses and optimizer, as data; a layer that
/// gives no config is in its `Debug` form. So are all layers in files of version 1, and losses, metrics and optimizers
/// in files of versions 1 and 2.
pub(super) fn config(trainer: &Trainer, version: u64) -> Value {
    let model = trainer.model();
    let settings = |l: &NamedLayer| match l.layer.config() {
        Ok(config) if version > 1 => config,
        _ => debug(&l.layer),
    };
    let data = version > 2;
    let input = |i: &ModelInput| json!({ "name": i.name, "shape": i.shape.dims() });
    let layer = |l: &NamedLayer| {
        let weights = l.weights().into_iter();
        let weights = weights.map(|w| json!({ "name": w.name, "shape": w.shape.dims() }));
        json!({
            "name": l.name,
            "kind": l.layer.kind(),
            "trainable": l.trainable,
            "weights": weights.collect::<Vec<_>>(),
            "settings": settings(l),
        })
    };
    let call = |c: &Call| json!({ "layer": model.layers()[c.layer].name, "inputs": c.inputs });
    let output = |o: &OutputSpec| {
        let metrics = o.metrics.iter().map(|m| if data { m.config() } else { debug(m) });
        json!({
            "name": o.name,
            "loss": if data { o.loss.config() } else { debug(&o.loss) },
            "loss_weight": o.weight,
            "metrics": metrics.collect::<Vec<_>>(),
        })
    };
    let (optimizer, gradients) = (trainer.optimizer(), trainer.gradients());
    json!({
        "seed": trainer.seed(),
        "inputs": model.inputs().iter().map(input).collect::<Vec<_>>(),
        "layers": model.layers().iter().map(layer).collect::<Vec<_>>(),
        "calls": model.calls().iter().map(call).collect::<Vec<_>>(),
        "outputs": trainer.outputs().iter().map(output).collect::<Vec<_>>(),
        "optimizer": {
            "name": optimizer.name(),
            "settings": if data { optimizer.config() } else { debug(optimizer) },
            "gradients": if data { gradients.config() } else { debug(gradients) },
        },
    })
}

fn debug(part: &(impl Debug + ?Sized)) -> Value {
    format!("{part:?}").into()
}

/// The first setting in which a trainer differs from the `config` of a file: its path, and both values there. A setting
/// that came after the file was written is no difference while it has its default.
pub(super) fn disagreement(
    trainer: &Trainer,
    version: u64,
    mut saved: Value,
) -> Option<[String; 3]> {
    let mut own = config(trainer, version);
    if version <= 2 {
        text::parse(&mut saved);
        text::parse(&mut own);
        text::forget_new(&saved, &mut own);
    }
    difference("", &saved, &own)?;
    for layer in saved["layers"].as_array_mut().into_iter().flatten() {
        if let Some(settings) = layer["kind"].as_str().and_then(|k| current(k, &layer["settings"]))
        {
            layer["settings"] = settings;
        }
    }
    difference("", &saved, &own)
}

/// The first place in which two values differ: its path, and both values there.
fn difference(path: &str, saved: &Value, own: &Value) -> Option<[String; 3]> {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        _ => format!("{path}.{key}"),
    };
    let missing = Value::Null;
    match (saved, own) {
        (Value::Object(a), Value::Object(b)) => {
            // A name, a kind or a count says more than a setting.
            let first = ["seed", "inputs", "layers", "name", "kind", "class_name", "weights"];
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort_by_key(|key| first.iter().position(|f| f == key).unwrap_or(first.len()));
            let get = |of: &serde_json::Map<String, Value>, key: &str| {
                of.get(key).unwrap_or(&missing).clone()
            };
            keys.into_iter().find_map(|key| difference(&below(key), &get(a, key), &get(b, key)))
        }
        (Value::Array(a), Value::Array(b)) if a.iter().chain(b).any(Value::is_object) => {
            let name = |of: &Value, i: usize| match &of["name"] {
                Value::String(name) => name.clone(),
                _ => i.to_string(),
            };
            (0..a.len().max(b.len())).find_map(|i| {
                let (a, b) = (a.get(i).unwrap_or(&missing), b.get(i).unwrap_or(&missing));
                let named = if b.is_null() { a } else { b };
                difference(&below(&name(named, i)), a, b)
            })
        }
        _ if saved == own => None,
        _ => Some([path.into(), shown(saved), shown(own)]),
    }
}

/// A value in a message.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            match ["kind", "name", "class_name"].iter().find_map(|&key| fields.get(key)) {
                Some(Value::String(text)) => text.clone(),
                _ => value.to_string(),
            }
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        let config = |units: usize, rate: f64| {
            json!({
                "seed": 1,
                "layers": [
                    { "name": "dense", "kind": "Dense", "weights": [{ "name": "kernel", "shape": [4, units] }] },
                    { "name": "dropout", "kind": "Dropout", "weights": [], "settings": format!("rate {rate}") },
                ],
            })
        };
        let differ = |a: &Value, b: &Value| difference("", a, b).map(|d| d.join("; "));
        assert_eq!(differ(&config(3, 0.5), &config(3, 0.5)), None);
        let place = differ(&config(3, 0.5), &config(5, 0.5));
        assert_eq!(place.unwrap(), "layers.dense.weights.kernel.shape; [4,3]; [4,5]");
        let place = differ(&config(3, 0.5), &config(3, 0.25));
        assert_eq!(place.unwrap(), "layers.dropout.settings; rate 0.5; rate 0.25");
        let mut shorter = config(3, 0.5);
        shorter["layers"].as_array_mut().unwrap().pop();
        assert_eq!(differ(&config(3, 0.5), &shorter).unwrap(), "layers.dropout; Dropout; nothing");
        assert_eq!(differ(&shorter, &config(3, 0.5)).unwrap(), "layers.dropout; nothing; Dropout");
        assert_eq!(differ(&json!({}), &json!({ "seed": 1 })).unwrap(), "seed; nothing; 1");
    }
}
