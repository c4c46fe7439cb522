//! Models from data, with layers of one's own.

use super::built_in;
use super::read::{Reading, model_of};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::layers::{Layer, LayerHandle, Model, Regularizer};
use crate::tensor::Initializer;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{Debug, Formatter};
use std::sync::Arc;

type Make = dyn Fn(&Value) -> Result<LayerHandle> + Send + Sync;

/// Reads models, with constructors of layers that this library does not have.
///
/// ```
/// use wgrad::graph::Graph;
/// use wgrad::layers::{Context, ModelLoader, Outputs};
/// use wgrad::prelude::*;
///
/// /// factor · x.
/// #[derive(Debug)]
/// struct Scaled {
///     factor: f64,
/// }
///
/// impl Layer for Scaled {
///     fn kind(&self) -> &'static str {
///         "Scaled"
///     }
///
///     fn output_shape(&self, inputs: &[Shape]) -> wgrad::Result<Shape> {
///         Ok(inputs[0].clone())
///     }
///
///     fn apply(&self, graph: &mut Graph, cx: &Context) -> wgrad::Result<Outputs> {
///         Ok(graph.scale(cx.input(), self.factor as f32)?.into())
///     }
///
///     fn config(&self) -> wgrad::Result<serde_json::Value> {
///         Ok(serde_json::json!({ "factor": self.factor }))
///     }
/// }
///
/// let model = Sequential::new([3]).add(Dense::new(2)).add(Scaled { factor: 0.5 }).build()?;
/// let text = model.to_json()?;
/// assert!(Model::from_json(&text).unwrap_err().to_string().contains("Scaled"));
///
/// let loader = ModelLoader::new().register("Scaled", |config| {
///     Ok(Scaled { factor: config["factor"].as_f64().unwrap_or(1.0) })
/// });
/// assert_eq!(loader.from_json(&text)?.to_json()?, text);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ModelLoader {
    own: BTreeMap<String, Arc<Make>>,
    pub(super) activations: Vec<Activation>,
    pub(super) initializers: Vec<Initializer>,
    pub(super) regularizers: Vec<Regularizer>,
    pub(super) constraints: Vec<Constraint>,
}

impl Debug for ModelLoader {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelLoader").field("own", &self.own.keys()).finish()
    }
}

impl ModelLoader {
    /// A loader that knows this library's layers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Layers of the kind `class` are made by `make`, from what [`Layer::config`] gave. `class` is what [`Layer::kind`]
    /// gives. A constructor goes before this library's layer of the same name.
    #[must_use]
    pub fn register<L, F>(mut self, class: &str, make: F) -> Self
    where
        L: Layer + 'static,
        F: Fn(&Value) -> Result<L> + Send + Sync + 'static,
    {
        self.own.insert(class.into(), Arc::new(move |config| Ok(make(config)?.into())));
        self
    }

    /// A function of your own that layers of the model may have. A model has its name and its `config`.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activations.push(activation);
        self
    }

    /// An initializer of your own, as [`ModelLoader::activation`].
    #[must_use]
    pub fn initializer(mut self, initializer: Initializer) -> Self {
        self.initializers.push(initializer);
        self
    }

    /// A penalty of your own, as [`ModelLoader::activation`].
    #[must_use]
    pub fn regularizer(mut self, regularizer: Regularizer) -> Self {
        self.regularizers.push(regularizer);
        self
    }

    /// A constraint of your own, as [`ModelLoader::activation`].
    #[must_use]
    pub fn constraint(mut self, constraint: Constraint) -> Self {
        self.constraints.push(constraint);
        self
    }

    /// The model that a JSON text describes: one of [`Model::to_json`], or the `config.json` of Keras 3.
    ///
    /// # Errors
    /// [`Error::Data`] naming the layer and the setting that this library does not have or that is wrong; as [`Model::new`].
    pub fn from_json(&self, text: &str) -> Result<Model> {
        let value = serde_json::from_str(text);
        self.from_value(&value.map_err(|e| Error::data("model", format!("{e}; this is no JSON")))?)
    }

    /// The model that is described by JSON.
    ///
    /// # Errors
    /// As [`ModelLoader::from_json`].
    pub fn from_value(&self, value: &Value) -> Result<Model> {
        model_of(&Reading::new(self), value)
    }

    /// A layer of the class, if a constructor was registered.
    pub(super) fn make(&self, class: &str, config: &Value) -> Option<Result<LayerHandle>> {
        self.own.get(class).map(|make| make(config))
    }

    /// What to say of a class that nothing makes.
    pub(super) fn unknown(&self, class: &str) -> String {
        let mut known: Vec<&str> = built_in::names().collect();
        known.extend(self.own.keys().map(String::as_str));
        format!(
            "this version of wgrad has no layer `{class}`; if it is your own, give its constructor to \
             `ModelLoader::register`. There are {}",
            known.join(", ")
        )
    }
}

impl Model {
    /// The model as JSON, in the words of Keras' `config.json`, without its weights.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a layer that gives no config, by name: see [`Layer::config`].
    pub fn to_json(&self) -> Result<String> {
        Ok(self.to_value()?.to_string())
    }

    /// The model that a JSON text describes, if all of its layers are this library's: see [`ModelLoader`].
    ///
    /// # Errors
    /// As [`ModelLoader::from_json`].
    pub fn from_json(text: &str) -> Result<Self> {
        ModelLoader::new().from_json(text)
    }
}
