//! Parts as JSON, in the words that Keras writes.

use serde_json::{Value, json};

/// Whether models are written and read as data.
pub const DATA: bool = cfg!(feature = "config");

/// What to say if they are not.
pub const NO_DATA: &str = "this program has wgrad without its feature `config`, so it writes and reads weights alone: \
                           build it with the feature";

/// An object as Keras writes it; this library's own, which Keras has not, are of the module `wgrad`.
pub fn object(module: &str, class: &str, config: Value) -> Value {
    let registered = (module == "wgrad").then(|| format!("wgrad>{class}"));
    json!({ "module": module, "class_name": class, "config": config, "registered_name": registered })
}

/// The settings of a part that does not give them as data: its `Debug` text.
pub fn printed(part: &(impl std::fmt::Debug + ?Sized)) -> Value {
    json!({ "settings": format!("{part:?}") })
}

/// What came from outside of the library: its name and its settings, by which a loader finds it again.
pub fn outside(name: &str, config: Value) -> Value {
    json!({ "module": null, "class_name": name, "config": config, "registered_name": name })
}

/// An f32 as JSON: the shortest number that is read as the same f32, or a word for what JSON has not.
pub fn number(x: f32) -> Value {
    // By JSON's parser, so that a page has the tables of one parser alone, and without models as data none.
    let short: Option<f64> = if DATA { serde_json::from_str(&x.to_string()).ok() } else { None };
    let exact = short.filter(|short| *short as f32 == x).unwrap_or_else(|| x.into());
    serde_json::Number::from_f64(exact).map_or_else(|| Value::from(x.to_string()), Value::Number)
}
