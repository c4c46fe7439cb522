//! Whole models in one file: architecture, weights, states and the factor on samples.

use super::file::{Contents, Entry, ZEROS, encode, seal, wrong};
use super::format::{MODEL_KEY, MODEL_VERSION};
use super::scaling::Samples;
use crate::error::{Error, Result, listed};
use crate::gpu::Device;
use crate::layers::{Model, ModelLoader};
use crate::tensor::{DType, Tensor};
use crate::train::{Predictor, Scaling, Trainer};
use crate::words::{DATA, NO_DATA};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What the file says in JSON. The checksum comes first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ModelMetadata {
    crc32: String,
    format_version: u64,
    library_version: String,
    model: Value,
    #[serde(default)]
    pub samples: Option<Samples>,
    #[serde(default)]
    attached: BTreeMap<String, String>,
}

impl ModelMetadata {
    /// What `text` says, once version and checksum are right.
    pub(super) fn parse(path: &Path, contents: &Contents<'_>, text: &str) -> Result<Self> {
        if !DATA {
            return Err(wrong(path, "__metadata__.wgrad_model", NO_DATA));
        }
        let json: Value = serde_json::from_str(text)
            .map_err(|e| wrong(path, "metadata", format!("{e}; the file is damaged")))?;
        let version = &json["format_version"];
        if *version != MODEL_VERSION {
            let by = json["library_version"].as_str().unwrap_or("another version");
            let detail = format!(
                "is {version}; this version of wgrad reads models of {MODEL_VERSION}, {by} wrote the file"
            );
            return Err(wrong(path, "format_version", detail));
        }
        contents.verify(MODEL_KEY)?;
        serde_json::from_value(json).map_err(|e| wrong(path, "metadata", e.to_string()))
    }
}

/// A model with its weights: all that a program needs to predict, without the code that built the model.
///
/// ```no_run
/// use wgrad::checkpoint::SavedModel;
/// use wgrad::prelude::*;
///
/// # fn serve(trainer: &Trainer, scaler: &StandardScaler) -> wgrad::Result<()> {
/// // After training. What a scaler or an encoder gives as JSON may be attached.
/// trainer.saved_model()?.attach("scaler", scaler.to_json()).save("model.safetensors")?;
///
/// // In another program.
/// let saved = Model::load("model.safetensors")?;
/// let scaler = StandardScaler::from_json(saved.attached("scaler").unwrap_or_default())?;
/// let predictor = Predictor::from_saved(&Device::new()?, &saved)?;
/// # let x = Tensor::f32([1, 2], [0.0, 1.0])?;
/// let y = predictor.predict(&scaler.transform(&x)?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SavedModel {
    model: Model,
    weights: Vec<Tensor>,
    scaling: Option<Scaling>,
    attached: BTreeMap<String, String>,
}

/// The names of a model's weights, as in a file.
fn names(model: &Model) -> Vec<String> {
    model.weights().map(|(layer, spec)| format!("{}/{}", layer.name, spec.name)).collect()
}

impl SavedModel {
    /// A model with these weights and states, in the order of [`Model::weights`].
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::Shape`] or [`Error::DType`] for weights that do not suit the model, naming the
    /// first.
    pub fn new(model: &Model, weights: impl Into<Vec<Tensor>>) -> Result<Self> {
        let weights = weights.into();
        let names = names(model);
        if weights.len() != names.len() {
            let detail = format!("the model has {}: {}", names.len(), listed(&names));
            return Err(Error::parameter("weights", weights.len(), detail));
        }
        for (((_, spec), weight), name) in model.weights().zip(&weights).zip(&names) {
            if weight.dtype() != DType::F32 {
                let detail = format!("`{name}` is f32");
                return Err(Error::dtype("SavedModel", &[weight.dtype()], detail));
            }
            if *weight.shape() != spec.shape {
                let detail = format!("`{name}` has the second");
                return Err(Error::shape("SavedModel", &[weight.shape(), &spec.shape], detail));
            }
        }
        let (scaling, attached) = (None, BTreeMap::new());
        Ok(Self { model: model.clone(), weights, scaling, attached })
    }

    /// The network. It can be compiled and trained further: [`Trainer::load_weights`] takes the weights of the file, or
    /// [`Trainer::set_weights`] those of [`SavedModel::weights`].
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The weights and states, in the order of [`Model::weights`].
    #[must_use]
    pub fn weights(&self) -> &[Tensor] {
        &self.weights
    }

    /// Puts a text into the file, by a name: the JSON of a scaler or of an encoder, or names of classes.
    #[must_use]
    pub fn attach(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.attached.insert(name.into(), text.into());
        self
    }

    /// The text of this name, if the file has one.
    #[must_use]
    pub fn attached(&self, name: &str) -> Option<&str> {
        self.attached.get(name).map(String::as_str)
    }

    /// The bytes of a file of the model. The same model gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a layer that gives no config, by name; [`Error::File`] if two weights have one name.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.encode(Path::new("model"))
    }

    fn encode(&self, path: &Path) -> Result<Vec<u8>> {
        let metadata = ModelMetadata {
            crc32: ZEROS.into(),
            format_version: MODEL_VERSION,
            library_version: env!("CARGO_PKG_VERSION").into(),
            model: self.model.to_value()?,
            samples: self.scaling.as_ref().map(Samples::new),
            attached: self.attached.clone(),
        };
        let text = serde_json::to_string(&metadata);
        let text = text.map_err(|e| wrong(path, "metadata", e.to_string()))?;
        let names = names(&self.model).into_iter();
        let tensors: Vec<_> = names.zip(self.weights.iter().map(Entry::of)).collect();
        let mut bytes = encode(path, &tensors, Some((MODEL_KEY, text)))?;
        seal(&mut bytes, MODEL_KEY)?;
        Ok(bytes)
    }

    /// Writes the model to `path`. A file at `path` is replaced at once or not at all.
    ///
    /// # Errors
    /// As [`SavedModel::to_bytes`]; [`Error::Io`] if the file cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        crate::files::write(path, &self.encode(path)?)
    }
}

impl ModelLoader {
    /// The model of the file at `path`: a saved model, or a checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] for a file that is damaged, that has no model or one of a
    /// newer version, and for a layer or a setting that this build lacks, by name.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(&self, path: impl AsRef<Path>) -> Result<SavedModel> {
        let path = path.as_ref();
        self.decode(path, &super::file::read(path)?)
    }

    /// The model of a file's bytes.
    ///
    /// # Errors
    /// As [`ModelLoader::load`]; the file's name is `model`.
    pub fn from_bytes(&self, bytes: &[u8]) -> Result<SavedModel> {
        self.decode(Path::new("model"), bytes)
    }

    fn decode(&self, path: &Path, bytes: &[u8]) -> Result<SavedModel> {
        let contents = Contents::new(path, bytes)?;
        let (value, samples, attached) = match (&contents.model, &contents.metadata) {
            (Some(text), _) => {
                let ModelMetadata { model, samples, attached, .. } =
                    ModelMetadata::parse(path, &contents, text)?;
                (model, samples, attached)
            }
            (None, Some(_)) => {
                let (model, samples) = super::load::model(path, &contents)?;
                (model, samples, BTreeMap::new())
            }
            (None, _) => {
                let detail = "is missing: this is no saved model; if it has weights alone, Predictor::load takes it with \
                              the code of the model";
                return Err(wrong(path, format!("__metadata__.{MODEL_KEY}"), detail));
            }
        };
        let model = self.from_value(&value).map_err(|e| match e {
            Error::Data { name, detail } => wrong(path, name, detail),
            other => wrong(path, "model", other.to_string()),
        })?;
        let mut weights = Vec::new();
        for ((_, spec), name) in model.weights().zip(names(&model)) {
            weights.push(contents.tensor(&name, &spec.shape)?);
        }
        let names = names(&model);
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let own = |name: &&&str| !known.contains(**name) && !contents.is_training_state(name);
        if let Some(surplus) = contents.names().iter().find(own) {
            let detail = format!("belongs to no weight of the model; there are {}", listed(&names));
            return Err(wrong(path, *surplus, detail));
        }
        let scaling = samples.map(|samples| samples.scaling(path)).transpose()?;
        Ok(SavedModel { model, weights, scaling, attached })
    }
}

impl Model {
    /// Writes the model with these weights, in the order of [`Model::weights`], to one file:
    /// [`Trainer::save_model`] does so with a trainer's.
    ///
    /// # Errors
    /// As [`SavedModel::new`] and [`SavedModel::save`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<Path>, weights: impl Into<Vec<Tensor>>) -> Result<()> {
        SavedModel::new(self, weights)?.save(path)
    }

    /// The model of a file's bytes, if all of its layers are this library's: see [`ModelLoader`].
    ///
    /// # Errors
    /// As [`ModelLoader::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<SavedModel> {
        ModelLoader::new().from_bytes(bytes)
    }

    /// The model of the file at `path`, if all of its layers are this library's: see [`ModelLoader`].
    ///
    /// # Errors
    /// As [`ModelLoader::load`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(path: impl AsRef<Path>) -> Result<SavedModel> {
        ModelLoader::new().load(path)
    }
}

impl Trainer {
    /// The model with its present weights, ready to be saved.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the device fails.
    pub async fn saved_model_async(&self) -> Result<SavedModel> {
        let weights = self.weights_async().await?.into_iter().map(|(_, weight)| weight);
        let weights: Vec<Tensor> = weights.collect();
        let saved = SavedModel::new(self.model(), weights)?;
        Ok(SavedModel { scaling: self.scaling().cloned(), ..saved })
    }

    /// The blocking form of [`Trainer::saved_model_async`].
    ///
    /// # Errors
    /// As [`Trainer::saved_model_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn saved_model(&self) -> Result<SavedModel> {
        crate::gpu::block_on(self.saved_model_async())
    }

    /// Writes the whole model to one file: its layers as data, weights, states, and the factor on samples. What the
    /// optimizer keeps is not in it; training goes on from a checkpoint.
    ///
    /// # Errors
    /// As [`Trainer::saved_model`] and [`SavedModel::save`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save_model(&self, path: impl AsRef<Path>) -> Result<()> {
        self.saved_model()?.save(path)
    }
}

impl Predictor {
    /// The whole model of a file, which needs no code of the model. For layers of one's own see [`ModelLoader`].
    ///
    /// # Errors
    /// As [`ModelLoader::load`] and [`Predictor::new`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_model(device: &Device, path: impl AsRef<Path>) -> Result<Self> {
        Self::from_saved(device, &Model::load(path)?)
    }

    /// A saved model on a device.
    ///
    /// # Errors
    /// As [`Predictor::new`].
    pub fn from_saved(device: &Device, saved: &SavedModel) -> Result<Self> {
        let mut predictor = Self::new(device, &saved.model, &saved.weights)?;
        predictor.set_scaling(saved.scaling.clone());
        Ok(predictor)
    }
}
