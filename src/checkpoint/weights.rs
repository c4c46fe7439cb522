//! Files of weights alone, in the layouts of Keras and PyTorch.

use super::file::{Contents, Entry, encode, listed, read, wrong};
use super::load::metadata;
use crate::error::{Error, Result};
use crate::files;
use crate::tensor::{Shape, Tensor};
use crate::train::{PlacedTensor, Trainer};
use std::path::Path;

/// Where a file of weights has each weight of a model, and whether as its transpose.
///
/// The model's own layout is Keras': a `Dense` layer `dense` has `dense/kernel` `[in, out]` and `dense/bias` `[out]`.
/// PyTorch's modules keep the transpose, `y = x Wᵀ + b`:
///
/// | here and in Keras | in PyTorch |
/// |---|---|
/// | `kernel` `[in, out]` | `weight` `[out, in]`: transposed |
/// | `bias` `[out]` | `bias` `[out]` |
/// | any other weight | `weight`, as it is |
///
/// ```
/// use wgrad::checkpoint::WeightMap;
///
/// // torch.nn.Sequential(Linear, ReLU, Linear): modules 0 and 2 have weights.
/// let torch = WeightMap::torch(["0", "2"]);
/// // A file that names one tensor otherwise, and keeps it transposed.
/// let other = WeightMap::keras().transposed("dense/kernel", "encoder.w");
/// assert_ne!(torch, other);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightMap {
    /// PyTorch's names of the layers with weights, in order; `None` for Keras' names.
    modules: Option<Vec<String>>,
    /// Weights, each with its place, that are found elsewhere.
    pairs: Vec<(String, Place)>,
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    name: String,
    transposed: bool,
}

impl WeightMap {
    /// Keras' names and layouts, which are the model's own.
    #[must_use]
    pub const fn keras() -> Self {
        Self { modules: None, pairs: Vec::new() }
    }

    /// PyTorch's names and layouts. `modules` are the names in the `state_dict` of the layers with weights, in the
    /// model's order: `0`, `2` of a `torch.nn.Sequential`, or `encoder.fc1`.
    #[must_use]
    pub fn torch<S: Into<String>>(modules: impl IntoIterator<Item = S>) -> Self {
        let modules = modules.into_iter().map(Into::into).collect();
        Self { modules: Some(modules), pairs: Vec::new() }
    }

    /// `weight` of the model is the file's `tensor`.
    #[must_use]
    pub fn pair(self, weight: &str, tensor: &str) -> Self {
        self.place(weight, tensor, false)
    }

    /// `weight` of the model is the transpose of the file's `tensor`. Both are matrices.
    #[must_use]
    pub fn transposed(self, weight: &str, tensor: &str) -> Self {
        self.place(weight, tensor, true)
    }

    fn place(mut self, weight: &str, tensor: &str, transposed: bool) -> Self {
        let place = Place { name: tensor.into(), transposed };
        self.pairs.retain(|(known, _)| known != weight);
        self.pairs.push((weight.into(), place));
        self
    }

    /// The place of each weight of `trainer`, in order.
    fn places(&self, trainer: &Trainer) -> Result<Vec<Place>> {
        let tensors = &trainer.layout().tensors;
        let names: Vec<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
        if let Some((weight, _)) = self.pairs.iter().find(|(w, _)| !names.contains(&w.as_str())) {
            let detail = format!("the model has no such weight; there are {}", listed(&names));
            return Err(Error::parameter("weight", weight, detail));
        }
        let mut layers: Vec<&str> = tensors.iter().map(|t| t.layer.as_str()).collect();
        layers.dedup();
        if let Some(modules) = self.modules.as_ref().filter(|m| m.len() != layers.len()) {
            let detail =
                format!("the model has {} layers with weights: {}", layers.len(), listed(&layers));
            return Err(Error::parameter("modules", modules.len(), detail));
        }
        let own = |t: &PlacedTensor| {
            if let Some((_, place)) = self.pairs.iter().find(|(weight, _)| *weight == t.name) {
                return place.clone();
            }
            let layer = layers.iter().position(|l| *l == t.layer);
            let Some((modules, layer)) = self.modules.as_ref().zip(layer) else {
                return Place { name: t.name.clone(), transposed: false };
            };
            let bias = t.spec.name == "bias";
            let name = format!("{}.{}", modules[layer], if bias { "bias" } else { "weight" });
            Place { name, transposed: t.spec.name == "kernel" }
        };
        let places: Vec<Place> = tensors.iter().map(own).collect();
        let wide =
            |(t, place): &(&PlacedTensor, &Place)| place.transposed && t.spec.shape.rank() != 2;
        if let Some((t, _)) = tensors.iter().zip(&places).find(wide) {
            let detail = format!("`{}` is no matrix: it has no transpose", t.name);
            return Err(Error::shape("transpose", &[&t.spec.shape], detail));
        }
        Ok(places)
    }
}

impl Default for WeightMap {
    fn default() -> Self {
        Self::keras()
    }
}

/// The shape of a matrix' transpose.
fn turned(shape: &Shape) -> Shape {
    shape.dims().iter().rev().copied().collect::<Vec<_>>().into()
}

/// A matrix' transpose.
fn transpose(tensor: &Tensor) -> Result<Tensor> {
    let (values, shape) = (tensor.as_f32()?, turned(tensor.shape()));
    let (rows, columns) = (shape.dims()[0], shape.dims()[1]);
    let at = |i: usize| values[i % columns * rows + i / columns];
    let turned: Vec<f32> = (0..values.len()).map(at).collect();
    Tensor::f32(shape, turned)
}

impl Trainer {
    /// Writes the weights to `path` under their own names: Keras' layout; see [`WeightMap`].
    ///
    /// # Errors
    /// As [`Trainer::save_weights_as`].
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_weights_as(path, &WeightMap::keras())
    }

    /// Writes the weights to `path` as `map` says. A file at `path` is replaced at once or not at all.
    ///
    /// # Errors
    /// A map that does not suit the model; [`Error::File`] where two weights have one name; [`Error::Io`] where the
    /// file cannot be written; [`Error::Gpu`] where the device fails.
    pub fn save_weights_as(&self, path: impl AsRef<Path>, map: &WeightMap) -> Result<()> {
        crate::gpu::block_on(self.save_weights_async(path, map))
    }

    /// The async form of [`Trainer::save_weights_as`].
    ///
    /// # Errors
    /// As [`Trainer::save_weights_as`].
    pub async fn save_weights_async(&self, path: impl AsRef<Path>, map: &WeightMap) -> Result<()> {
        let path = path.as_ref();
        let places = map.places(self)?;
        let mut weights = Vec::new();
        for ((_, weight), place) in self.weights_async().await?.into_iter().zip(&places) {
            weights.push(if place.transposed { transpose(&weight)? } else { weight });
        }
        let names = places.into_iter().map(|place| place.name);
        let tensors: Vec<_> = names.zip(weights.iter().map(Entry::of)).collect();
        // Readers of PyTorch's files ask for this mark.
        let format = map.modules.is_some().then(|| ("format", "pt".to_owned()));
        files::write(path, &encode(path, &tensors, format)?)
    }

    /// Replaces all weights by those of a safetensors file with the model's own names and Keras' layout. Of a
    /// checkpoint it takes the weights alone.
    ///
    /// # Errors
    /// As [`Trainer::load_weights_as`].
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.load_weights_as(path, &WeightMap::keras())
    }

    /// Replaces all weights by those of a safetensors file, found as `map` says. Optimizer state and counters stay.
    ///
    /// # Errors
    /// A map that does not suit the model; [`Error::Io`] where the file cannot be read; [`Error::File`] naming the
    /// tensor that is missing, surplus, of another shape or not F32. The trainer stays as it was.
    pub fn load_weights_as(&mut self, path: impl AsRef<Path>, map: &WeightMap) -> Result<()> {
        let path = path.as_ref();
        let places = map.places(self)?;
        let bytes = read(path)?;
        let contents = Contents::new(path, &bytes)?;
        let checkpoint = contents.metadata.is_some();
        if checkpoint {
            metadata(path, &contents)?;
        }
        let mut weights = Vec::new();
        for (t, Place { name, transposed }) in self.layout().tensors.iter().zip(&places) {
            let shape = &t.spec.shape;
            weights.push(match transposed {
                true => transpose(&contents.tensor(name, &turned(shape))?)?,
                false => contents.tensor(name, shape)?,
            });
        }
        let state = |name: &str| {
            checkpoint && ["optimizer/", "kept/", "numbers/"].iter().any(|p| name.starts_with(p))
        };
        let all = contents.names();
        let known = |name: &str| places.iter().any(|place| place.name == name) || state(name);
        if let Some(name) = all.iter().find(|name| !known(name)) {
            let names: Vec<&String> = places.iter().map(|place| &place.name).collect();
            let detail = format!("belongs to no weight of the model; there are {}", listed(&names));
            return Err(wrong(path, *name, detail));
        }
        self.set_weights(&weights)
    }
}
