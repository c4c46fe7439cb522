//! Files of weights alone, in the layouts of Keras and PyTorch.

#[cfg(not(target_arch = "wasm32"))]
use super::file::read;
use super::file::{Contents, listed, unlike, wrong};
use super::load::metadata;
use super::place::{Gates, Place, by_pixels, in_keras, owner};
use super::report::{Mismatch, WeightReport};
use super::samples;
use super::torch::{from_torch, in_torch, share};
use crate::error::{Error, Result};
use crate::gpu::Device;
use crate::layers::Model;
use crate::tensor::{Shape, Tensor};
use crate::train::{ArenaLayout, PlacedTensor, Predictor, Scaling};
use std::collections::BTreeSet;
use std::path::Path;

/// Where a file of weights has each weight of a model, and whether as its transpose.
///
/// The model's own layout is Keras': a `Dense` layer `dense` has `dense/kernel` `[in, out]` and `dense/bias` `[out]`.
/// PyTorch's modules keep the transpose, `y = x Wᵀ + b`:
///
/// | here and in Keras | in PyTorch |
/// |---|---|
/// | `kernel` `[in, out]` | `weight` `[out, in]`: transposed |
/// | `kernel` of a convolution, `[taps.., in / groups, out]` | `weight` `[out, in / groups, taps..]` |
/// | `kernel` of a transposed convolution, `[taps.., out, in]` | `weight` `[in, out, taps..]` |
/// | `kernel` of a depthwise convolution, `[taps.., in, multiplier]` | `weight` `[in · multiplier, 1, taps..]` |
/// | `bias` `[out]` | `bias` `[out]` |
/// | `gamma`, `beta` | `weight`, `bias` |
/// | `moving_mean`, `moving_variance` | `running_mean`, `running_var` |
/// | any other weight | `weight`, as it is |
/// | of an attention: `kernel` of queries, keys, values `[in, heads, size]` and of the output `[heads, size, out]` | `weight` `[out, in]` of a `Linear`, the heads one after the other |
/// | of a recurrent layer: `kernel`, `recurrent_kernel` | `weight_ih_l0`, `weight_hh_l0`: transposed, a GRU's gates in another order |
/// | its `bias` | `bias_ih_l0` + `bias_hh_l0`; of a GRU with `reset_after` both |
///
/// A recurrent module may end with its layer and direction: `rnn.l1` reads `rnn.weight_ih_l1`, `rnn.l0_reverse` is the part
/// of a `Bidirectional` from the end. PyTorch's GRU resets after the product.
///
/// An attention is a module for each of its four parts. A module that is named for parts that follow one another has the rows
/// of all of them: `["attn.in_proj", "attn.in_proj", "attn.in_proj", "attn.out_proj"]` of a `torch.nn.MultiheadAttention`,
/// whose queries, keys and values are in `attn.in_proj_weight` and `attn.in_proj_bias`.
///
/// A separable convolution is two modules in PyTorch: name its tensors by [`transposed`](Self::transposed) and
/// [`pair`](Self::pair).
///
/// PyTorch flattens images channel by channel, and this library pixel by pixel. So the kernel of a `Dense` after a `Flatten`
/// of images `[height, width, channels]` or of volumes has its rows in another order in the file: they are put in order.
/// Sequences are not, because PyTorch has `[steps, channels]` after a recurrent layer and `[channels, steps]` after a
/// convolution: [`flattened`](Self::flattened) says which.
///
/// A layer that consists of others is a module for each of them that has weights. PyTorch counts batches in
/// `num_batches_tracked`; with a fixed momentum nothing needs the count, so it is skipped and not written.
///
/// ```
/// use wgrad::checkpoint::WeightMap;
///
/// // torch.nn.Sequential(Linear, ReLU, Linear): modules 0 and 2 have weights.
/// let torch = WeightMap::torch(["0", "2"]);
/// // A file that names one tensor otherwise, and keeps it transposed.
/// let other = WeightMap::keras().transposed("dense/kernel", "encoder.w");
/// assert_ne!(torch, other);
/// // A trained body under a new head: names as `backbone.dense/kernel`, and what does not fit is left out.
/// let body = WeightMap::keras().prefix("backbone.").skip_missing().skip_mismatch().skip_surplus();
/// assert_ne!(body, WeightMap::keras());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightMap {
    /// PyTorch's names of the layers with weights, in order; `None` for Keras' names.
    pub(super) modules: Option<Vec<String>>,
    /// Weights that are found elsewhere, each with its place.
    pairs: Vec<(String, Place)>,
    /// Kernels whose rows are the elements of an image, each with the image.
    flattened: Vec<(String, Shape)>,
    /// The beginning of every name in the file, except those of pairs.
    prefix: String,
    skip: Skip,
}

/// What loading skips. Without it, each of these is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Skip {
    missing: bool,
    mismatch: bool,
    surplus: bool,
}

impl Skip {
    const NOTHING: Self = Self { missing: false, mismatch: false, surplus: false };
}

impl WeightMap {
    /// Keras' names and layouts, which are the model's own. Keras' full paths, `sequential/dense/kernel`, are read too:
    /// if no weight is found under its own name, segments that begin all names of the file are skipped. So is that of the
    /// cell of a recurrent layer: `lstm/lstm_cell/kernel`. KerasHub's names are read too: `self_attention` and
    /// `cross_attention` of a `TransformerDecoder`, `embeddings` of a `PositionEmbedding`.
    #[must_use]
    pub const fn keras() -> Self {
        Self {
            modules: None,
            pairs: Vec::new(),
            flattened: Vec::new(),
            prefix: String::new(),
            skip: Skip::NOTHING,
        }
    }

    /// PyTorch's names and layouts. `modules` are the names in the `state_dict` of the layers with weights, in the
    /// model's order: `0`, `2` of a `torch.nn.Sequential`, or `encoder.fc1`.
    #[must_use]
    pub fn torch<S: Into<String>>(modules: impl IntoIterator<Item = S>) -> Self {
        let modules = modules.into_iter().map(Into::into).collect();
        Self { modules: Some(modules), ..Self::keras() }
    }

    /// `weight` of the model is the file's `tensor`.
    #[must_use]
    pub fn pair(self, weight: &str, tensor: &str) -> Self {
        self.place(weight, tensor, false)
    }

    /// `weight` of the model is the transpose of the file's `tensor`: of a matrix, or of the kernel of a convolution, which
    /// is `[a, b, taps..]` in the file and `[taps.., b, a]` here, or `[taps.., a, 1]` if it is depthwise.
    #[must_use]
    pub fn transposed(self, weight: &str, tensor: &str) -> Self {
        self.place(weight, tensor, true)
    }

    /// The rows of the kernel `weight`, `[elements, units]`, are the elements of `sample`, `[extents.., channels]`, which the
    /// file has channel by channel. A `sample` of one axis leaves the rows as they are.
    ///
    /// ```
    /// use wgrad::checkpoint::WeightMap;
    ///
    /// // Conv1d, Flatten, Linear: 30 steps of 16 channels.
    /// let torch = WeightMap::torch(["0", "2"]).flattened("dense/kernel", [30, 16]);
    /// // A Linear after permute(0, 2, 3, 1) and Flatten has the order of this library.
    /// let permuted = WeightMap::torch(["0", "3"]).flattened("dense/kernel", [7 * 7 * 64]);
    /// # assert_ne!(torch, permuted);
    /// ```
    #[must_use]
    pub fn flattened(mut self, weight: &str, sample: impl Into<Shape>) -> Self {
        self.flattened.retain(|(known, _)| known != weight);
        self.flattened.push((weight.into(), sample.into()));
        self
    }

    /// The file has `prefix` before each name: `module.` or `encoder/`. Tensors given by [`pair`](Self::pair) and
    /// [`transposed`](Self::transposed) have their whole names.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// A weight that the file does not have stays as it is; an error otherwise.
    #[must_use]
    pub const fn skip_missing(mut self) -> Self {
        self.skip.missing = true;
        self
    }

    /// A weight that has another shape in the file stays as it is; an error otherwise.
    #[must_use]
    pub const fn skip_mismatch(mut self) -> Self {
        self.skip.mismatch = true;
        self
    }

    /// A tensor of the file that belongs to no weight is skipped; an error otherwise.
    #[must_use]
    pub const fn skip_surplus(mut self) -> Self {
        self.skip.surplus = true;
        self
    }

    fn place(mut self, weight: &str, tensor: &str, transposed: bool) -> Self {
        let place = Place::new(tensor.into(), transposed);
        self.pairs.retain(|(known, _)| known != weight);
        self.pairs.push((weight.into(), place));
        self
    }

    /// The place of each weight, in order.
    pub(super) fn places(&self, tensors: &[PlacedTensor]) -> Result<Vec<Place>> {
        let names: Vec<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
        let given = self.pairs.iter().map(|(w, _)| w).chain(self.flattened.iter().map(|(w, _)| w));
        if let Some(weight) = given.into_iter().find(|w| !names.contains(&w.as_str())) {
            let detail = format!("the model has no such weight; there are {}", listed(&names));
            return Err(Error::parameter("weight", weight, detail));
        }
        let mut layers: Vec<&str> = tensors.iter().map(owner).collect();
        layers.dedup();
        if let Some(modules) = self.modules.as_ref().filter(|m| m.len() != layers.len()) {
            let detail =
                format!("the model has {} layers with weights: {}", layers.len(), listed(&layers));
            return Err(Error::parameter("modules", modules.len(), detail));
        }
        let own = |t: &PlacedTensor| -> Result<Place> {
            if let Some((_, place)) = self.pairs.iter().find(|(weight, _)| *weight == t.name) {
                return Ok(place.clone());
            }
            let layer = layers.iter().position(|l| *l == owner(t));
            let Some((modules, layer)) = self.modules.as_ref().zip(layer) else {
                return Ok(Place::new(format!("{}{}", self.prefix, t.name), false));
            };
            let own = &t.name[owner(t).len() + 1..];
            let recurrent = |other: &&PlacedTensor| {
                owner(other) == owner(t) && other.name.ends_with("/recurrent_kernel")
            };
            if let Some(kernel) = tensors.iter().find(recurrent) {
                let module = format!("{}{}", self.prefix, modules[layer]);
                let (name, gates) = Gates::of(&module, own, &t.spec.shape, &kernel.spec.shape)
                    .map_err(|e| e.in_layer(owner(t)))?;
                let transposed = own != "bias";
                return Ok(Place { gates: Some(gates), ..Place::new(name, transposed) });
            }
            let kind = match own {
                "bias" | "beta" => "bias",
                "moving_mean" => "running_mean",
                "moving_variance" => "running_var",
                _ => "weight",
            };
            let module = &modules[layer];
            let dot = if module.ends_with("in_proj") { '_' } else { '.' };
            let name = format!("{}{module}{dot}{kind}", self.prefix);
            Ok(Place::new(name, own == "kernel"))
        };
        let mut places: Vec<Place> = tensors.iter().map(own).collect::<Result<_>>()?;
        if self.modules.is_some() {
            share(tensors, &mut places, |weight| self.is_given(weight))?;
        }
        for (t, place) in tensors.iter().zip(&mut places) {
            place.flattened = self.image_of(t, place)?;
        }
        let flat =
            |(t, place): &(&PlacedTensor, &Place)| place.transposed && t.spec.shape.rank() < 2;
        if let Some((t, _)) = tensors.iter().zip(&places).find(flat) {
            let detail = format!("`{}` is no matrix and no kernel: it has no transpose", t.name);
            return Err(Error::shape("transpose", &[&t.spec.shape], detail));
        }
        Ok(places)
    }

    /// Whether [`pair`](Self::pair) or [`transposed`](Self::transposed) says where a weight is.
    fn is_given(&self, weight: &str) -> bool {
        self.pairs.iter().any(|(known, _)| known == weight)
    }

    /// The image whose elements are the rows of weight `t`, if the file has them channel by channel.
    fn image_of(&self, t: &PlacedTensor, place: &Place) -> Result<Option<Shape>> {
        let rows = t.spec.shape.dims().first().copied();
        let kernel = t.spec.shape.rank() == 2;
        if let Some((_, sample)) = self.flattened.iter().find(|(weight, _)| *weight == t.name) {
            if !kernel || rows != Some(sample.len()) {
                let detail =
                    format!("`{}` is no matrix with a row for each element of {sample}", t.name);
                return Err(Error::shape("flattened", &[&t.spec.shape, sample], detail));
            }
            return Ok(Some(sample.clone()).filter(|sample| sample.rank() > 1));
        }
        let own = place.transposed && kernel && t.name.ends_with("/kernel");
        let image = t.flattened.clone().filter(|_| own && place.gates.is_none());
        Ok(image.filter(|image| rows == Some(image.len())))
    }

    /// The weight `t` of a file that has it at `place`; `None` if it has another shape and is skipped.
    fn take(
        &self,
        path: &Path,
        contents: &Contents<'_>,
        t: &PlacedTensor,
        place: &Place,
        report: &mut WeightReport,
    ) -> Result<Option<Tensor>> {
        let tensor = place.read(path, contents)?;
        let expected = match (&self.modules, place.transposed) {
            (None, false) => t.spec.shape.clone(),
            _ => in_torch(&t.spec, place),
        };
        let found = tensor.shape().clone();
        // One without the axis of heads has the same elements in the same order.
        let plain = !place.transposed && place.rows.is_none();
        let same =
            plain && [Some(&t.spec.shape), t.spec.projection.as_ref()].contains(&Some(&found));
        if found != expected && !same {
            if !self.skip.mismatch {
                return Err(wrong(path, &place.name, unlike(&found, &expected)));
            }
            report.mismatched.push(Mismatch { weight: t.name.clone(), found, expected });
            return Ok(None);
        }
        report.loaded.push(t.name.clone());
        let tensor = place.rows.map_or(Ok(tensor.clone()), |rows| rows.of(&tensor))?;
        let tensor = from_torch(&tensor, &t.spec, place.transposed)?;
        let tensor = match &place.flattened {
            Some(image) => by_pixels(&tensor, image)?,
            None => tensor,
        };
        place.gates.as_ref().map_or(Ok(Some(tensor.clone())), |g| g.ordered(&tensor).map(Some))
    }

    /// The weights `tensors` of a model that the bytes of a file at `path` have.
    pub(super) fn find(
        &self,
        path: &Path,
        bytes: &[u8],
        tensors: &[PlacedTensor],
    ) -> Result<Found> {
        let mut places = self.places(tensors)?;
        let contents = Contents::new(path, bytes)?;
        if contents.metadata.is_some() {
            metadata(path, &contents)?;
        }
        let names = contents.names().into_iter();
        let all: Vec<&str> = names.filter(|name| !contents.is_training_state(name)).collect();
        let segments = self.segments(&places, &all);
        for (t, place) in tensors.iter().zip(&mut places) {
            if !self.is_given(&t.name) {
                place.name = in_keras(&all, format!("{segments}{}", place.name));
            }
        }
        let mut report = WeightReport::default();
        let mut taken = Vec::new();
        for (t, place) in tensors.iter().zip(&places) {
            let there =
                !self.skip.missing || place.names().all(|name| all.binary_search(&name).is_ok());
            taken.push(match there {
                true => self.take(path, &contents, t, place, &mut report)?,
                false => {
                    report.missing.push(t.name.clone());
                    None
                }
            });
        }
        let wanted: Vec<&str> = places.iter().flat_map(Place::names).collect();
        let mut known = BTreeSet::new();
        known.extend(wanted.iter().copied());
        let surplus =
            all.iter().filter(|name| !known.contains(*name) && !counts_batches(name, &known));
        report.surplus = surplus.map(|&name| name.to_owned()).collect();
        if let Some(name) = report.surplus.first().filter(|_| !self.skip.surplus) {
            let detail =
                format!("belongs to no weight of the model; there are {}", listed(&wanted));
            return Err(wrong(path, name, detail));
        }
        if report.loaded.is_empty() && !wanted.is_empty() {
            let (there, wanted) = (listed(&all), listed(&wanted));
            let detail = format!("none fits the model: there are {there}; {wanted} are looked for");
            return Err(wrong(path, "tensors", detail));
        }
        let scaling = samples::read(path, &contents)?;
        Ok(Found { taken, report, scaling })
    }

    /// The segments before the names of `places` in Keras' full paths, if a file with these `names` has any.
    fn segments(&self, places: &[Place], names: &[&str]) -> String {
        let has = |start: &str, place: &Place| {
            let name = in_keras(names, format!("{start}{}", place.name));
            names.binary_search(&name.as_str()).is_ok()
        };
        let own = self.modules.is_some() || !self.prefix.is_empty();
        let first = names.first().filter(|_| !own && !places.iter().any(|place| has("", place)));
        let Some(first) = first else { return String::new() };
        let starts = first.match_indices('/').map(|(at, _)| &first[..=at]);
        let shared = starts.take_while(|start| names.iter().all(|name| name.starts_with(*start)));
        let mut found = shared.filter(|start| places.iter().any(|place| has(start, place)));
        found.next().unwrap_or_default().to_owned()
    }
}

/// What a file has for a model.
pub(super) struct Found {
    /// Each weight of the model, in order; `None` for one that is skipped.
    pub taken: Vec<Option<Tensor>>,
    pub report: WeightReport,
    pub scaling: Option<Scaling>,
}

impl Predictor {
    /// A model with the weights of a safetensors file that has the model's own names and Keras' layout, or of a
    /// checkpoint.
    ///
    /// # Errors
    /// As [`Predictor::load_as`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(device: &Device, model: &Model, path: impl AsRef<Path>) -> Result<Self> {
        Self::load_as(device, model, path, &WeightMap::keras())
    }

    /// A model with the weights of a safetensors file, found as `map` says. The file has every weight of the model.
    ///
    /// # Errors
    /// As [`Trainer::load_weights_as`](crate::train::Trainer::load_weights_as); [`Error::File`] naming a weight that the map skips; as [`Predictor::new`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_as(
        device: &Device,
        model: &Model,
        path: impl AsRef<Path>,
        map: &WeightMap,
    ) -> Result<Self> {
        let path = path.as_ref();
        Self::decode(device, model, (path, &read(path)?), map)
    }

    /// As [`Predictor::load_as`], with the bytes of a file.
    ///
    /// # Errors
    /// As [`Predictor::load_as`]; the file's name is `weights`.
    pub fn from_bytes(
        device: &Device,
        model: &Model,
        bytes: &[u8],
        map: &WeightMap,
    ) -> Result<Self> {
        Self::decode(device, model, (Path::new(BYTES), bytes), map)
    }

    fn decode(
        device: &Device,
        model: &Model,
        (path, bytes): (&Path, &[u8]),
        map: &WeightMap,
    ) -> Result<Self> {
        let tensors = ArenaLayout::of(device.caps(), model)?.tensors;
        let Found { taken, scaling, .. } = map.find(path, bytes, &tensors)?;
        let mut weights = Vec::new();
        for (t, weight) in tensors.iter().zip(taken) {
            let detail = "is skipped, and a predictor has no other weights";
            weights.push(weight.ok_or_else(|| wrong(path, &t.name, detail))?);
        }
        let mut predictor = Self::new(device, model, &weights)?;
        predictor.set_scaling(scaling);
        Ok(predictor)
    }
}

impl Default for WeightMap {
    fn default() -> Self {
        Self::keras()
    }
}

/// The name in messages of weights that come as bytes.
pub(super) const BYTES: &str = "weights";

/// Whether a tensor of a file counts the batches of running statistics that are loaded from it.
fn counts_batches(name: &str, wanted: &BTreeSet<&str>) -> bool {
    let module = name.strip_suffix(".num_batches_tracked");
    module.is_some_and(|module| wanted.contains(format!("{module}.running_mean").as_str()))
}
