//! What a checkpoint and the trainer that loads it must have in common.

use crate::layers::{Call, ModelInput, NamedLayer};
use crate::train::{OutputSpec, Trainer};
use serde_json::{Value, json};

/// The settings that decide which numbers training computes: seed, model, losses and optimizer. Layers say theirs as
/// data; a layer that gives no config is in its `Debug` form, as losses and optimizers are. In files of version 1 all
/// layers were.
pub(super) fn config(trainer: &Trainer, version: u64) -> Value {
    let model = trainer.model();
    let data = version > 1;
    let settings = |l: &NamedLayer| match l.layer.config() {
        Ok(config) if data => config,
        _ => format!("{:?}", l.layer).into(),
    };
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
        let metrics: Vec<String> = o.metrics.iter().map(|m| format!("{m:?}")).collect();
        json!({
            "name": o.name,
            "loss": format!("{:?}", o.loss),
            "loss_weight": o.weight,
            "metrics": metrics,
        })
    };
    json!({
        "seed": trainer.seed(),
        "inputs": model.inputs().iter().map(input).collect::<Vec<_>>(),
        "layers": model.layers().iter().map(layer).collect::<Vec<_>>(),
        "calls": model.calls().iter().map(call).collect::<Vec<_>>(),
        "outputs": trainer.outputs().iter().map(output).collect::<Vec<_>>(),
        "optimizer": {
            "name": trainer.optimizer().name(),
            "settings": format!("{:?}", trainer.optimizer()),
            "gradients": format!("{:?}", trainer.gradients()),
        },
    })
}

/// The first place in which two values differ: its path, and both values there.
pub(super) fn difference(path: &str, saved: &Value, own: &Value) -> Option<[String; 3]> {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        _ => format!("{path}.{key}"),
    };
    let missing = Value::Null;
    match (saved, own) {
        (Value::Object(a), Value::Object(b)) => {
            // A name, a kind or a count says more than a setting.
            let first = ["seed", "inputs", "layers", "name", "kind", "weights"];
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
        Value::Object(fields) => match &fields.get("kind").or(fields.get("name")) {
            Some(Value::String(text)) => text.clone(),
            _ => value.to_string(),
        },
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
