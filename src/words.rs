//! Parts as JSON, in the words that Keras writes.

use serde_json::{Value, json};

/// Whether models are written and read as data.
pub const DATA: bool = cfg!(feature = "config");

/// What to say if they are not.
pub const NO_DATA: &str = "this program has wgrad without its feature `config`, so it writes and reads weights alone: \
                           build it with the feature";

/// The settings that `make` gives; `null` without models as data, when nothing reads them.
pub fn settings(make: impl FnOnce() -> Value) -> Value {
    if DATA { make() } else { Value::Null }
}

/// An object as Keras writes it; this library's own, which Keras has not, are of the module `wgrad`.
pub fn object(module: &str, class: &str, config: Value) -> Value {
    let registered = (module == "wgrad").then(|| format!("wgrad>{class}"));
    json!({ "module": module, "class_name": class, "config": config, "registered_name": registered })
}

/// The settings of a part that does not give them as data: its `Debug` text.
pub fn printed(part: &(impl std::fmt::Debug + ?Sized)) -> Value {
    json!({ "settings": format!("{part:?}") })
}

/// The function `config` of a trait of parts from outside of the library.
macro_rules! config_by_default {
    () => {
        /// The settings as an object of JSON: with the name they tell this part from others, in comparisons, checkpoints and
        /// saved models. By default the `Debug` text is one setting, so that must show all settings.
        fn config(&self) -> serde_json::Value {
            $crate::words::printed(self)
        }
    };
}
pub(crate) use config_by_default;

/// Two parts from outside are equal if their names and settings are.
macro_rules! equal_by_config {
    ($part:ident) => {
        impl PartialEq for dyn $part {
            fn eq(&self, other: &Self) -> bool {
                self.name() == other.name() && self.config() == other.config()
            }
        }
    };
}
pub(crate) use equal_by_config;

/// A part from outside of the library, kept until the program ends.
///
/// It is never freed: each part that is made takes the memory of its settings, and none if it has none. So a loss, a metric,
/// a constraint and the like stay `Copy`, as their own forms are: one goes into many layers, and `const` setters take it. An
/// `Arc` inside would end both for all of them, to save some bytes for each part. Equal parts are not kept once either:
/// parts whose settings have the same text may still count or collect something, each for its user.
pub fn kept<T>(part: T) -> &'static T {
    Box::leak(Box::new(part))
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
