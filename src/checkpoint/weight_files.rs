//! A trainer's weights in files and as bytes, as a [`WeightMap`] says.

#[cfg(not(target_arch = "wasm32"))]
use super::file::read;
use super::file::{Entry, encode};
use super::place::by_channels;
use super::report::WeightReport;
use super::samples;
use super::torch::{below, to_torch};
use super::weights::{BYTES, Found, WeightMap};
use crate::error::Result;
#[cfg(not(target_arch = "wasm32"))]
use crate::files;
use crate::train::Trainer;
use std::path::Path;

impl Trainer {
    /// Writes the weights to `path` under their own names: Keras' layout; see [`WeightMap`].
    ///
    /// # Errors
    /// As [`Trainer::save_weights_as`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_weights_as(path, &WeightMap::keras())
    }

    /// Writes the weights to `path` as `map` says. A file at `path` is replaced at once or not at all.
    ///
    /// # Errors
    /// A map that does not suit the model; [`crate::Error::File`] if two weights have one name; [`crate::Error::Io`] if the file
    /// cannot be written; [`crate::Error::Gpu`] if the device fails.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save_weights_as(&self, path: impl AsRef<Path>, map: &WeightMap) -> Result<()> {
        crate::gpu::block_on(self.save_weights_async(path, map))
    }

    /// The async form of [`Trainer::save_weights_as`].
    ///
    /// # Errors
    /// As [`Trainer::save_weights_as`].
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn save_weights_async(&self, path: impl AsRef<Path>, map: &WeightMap) -> Result<()> {
        let path = path.as_ref();
        files::write(path, &self.encode_weights(path, map).await?)
    }

    /// The bytes of a file of the weights, as `map` says: what [`Trainer::save_weights_as`] writes. The same weights
    /// give the same bytes.
    ///
    /// # Errors
    /// A map that does not suit the model; [`crate::Error::File`] if two weights have one name; [`crate::Error::Gpu`] if the device
    /// fails.
    pub async fn weights_to_bytes_async(&self, map: &WeightMap) -> Result<Vec<u8>> {
        self.encode_weights(Path::new(BYTES), map).await
    }

    /// The blocking form of [`Trainer::weights_to_bytes_async`].
    ///
    /// # Errors
    /// As [`Trainer::weights_to_bytes_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn weights_to_bytes(&self, map: &WeightMap) -> Result<Vec<u8>> {
        crate::gpu::block_on(self.weights_to_bytes_async(map))
    }

    async fn encode_weights(&self, path: &Path, map: &WeightMap) -> Result<Vec<u8>> {
        let places = map.places(&self.layout().tensors)?;
        let mut weights = Vec::new();
        let placed = self.layout().tensors.iter().zip(&places);
        for ((_, weight), (t, place)) in self.weights_async().await?.into_iter().zip(placed) {
            let weight = match &place.flattened {
                Some(image) => by_channels(&weight, image)?,
                None => weight,
            };
            for (name, part) in place.parts(weight)? {
                let part = match place.transposed || map.modules.is_some() {
                    true => to_torch(&part, &t.spec, place.transposed)?,
                    false => part,
                };
                let above = place.rows.filter(|rows| rows.before > 0);
                match above.and_then(|_| weights.iter_mut().find(|(other, _)| *other == name)) {
                    Some((_, all)) => *all = below(all, &part)?,
                    None => weights.push((name, part)),
                }
            }
        }
        let tensors: Vec<_> =
            weights.iter().map(|(name, weight)| (name.clone(), Entry::of(weight))).collect();
        // Readers of PyTorch's files need this mark.
        let format = map.modules.is_some().then(|| ("format", "pt".to_owned()));
        let marks = match format {
            Some(format) => Some(format),
            None => samples::written(self, path)?,
        };
        encode(path, &tensors, marks)
    }

    /// Replaces all weights by those of a safetensors file with the model's own names and Keras' layout. It takes only
    /// the weights of a checkpoint.
    ///
    /// # Errors
    /// As [`Trainer::load_weights_as`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<WeightReport> {
        self.load_weights_as(path, &WeightMap::keras())
    }

    /// Replaces the weights by those of a safetensors file, found as `map` says, and reports which. It replaces all of
    /// them, unless the map says what to skip. Elements are F32, F16, BF16 or F64, which is rounded. Optimizer state
    /// and counters stay.
    ///
    /// # Errors
    /// A map that does not suit the model; [`crate::Error::Io`] if the file cannot be read; [`crate::Error::File`] naming the tensor
    /// that is missing, surplus, or of another shape or type, and if nothing in the file fits; [`crate::Error::Parameter`]
    /// inside a `fit`, if its samples have another factor or element type than those that the weights were trained on.
    /// The trainer stays as it was.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_weights_as(
        &mut self,
        path: impl AsRef<Path>,
        map: &WeightMap,
    ) -> Result<WeightReport> {
        let path = path.as_ref();
        let bytes = read(path)?;
        crate::gpu::block_on(self.take_weights(path, &bytes, map))
    }

    /// As [`Trainer::load_weights_as`], with the bytes of a file.
    ///
    /// # Errors
    /// As [`Trainer::load_weights_as`]; the file's name is `weights`.
    pub async fn load_weights_from_bytes_async(
        &mut self,
        bytes: &[u8],
        map: &WeightMap,
    ) -> Result<WeightReport> {
        self.take_weights(Path::new(BYTES), bytes, map).await
    }

    /// The blocking form of [`Trainer::load_weights_from_bytes_async`].
    ///
    /// # Errors
    /// As [`Trainer::load_weights_from_bytes_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_weights_from_bytes(
        &mut self,
        bytes: &[u8],
        map: &WeightMap,
    ) -> Result<WeightReport> {
        crate::gpu::block_on(self.load_weights_from_bytes_async(bytes, map))
    }

    async fn take_weights(
        &mut self,
        path: &Path,
        bytes: &[u8],
        map: &WeightMap,
    ) -> Result<WeightReport> {
        let Found { mut taken, report, scaling } = map.find(path, bytes, &self.layout().tensors)?;
        // A `fit` under way has its samples on the device, with their factor.
        if let Some(other) = scaling.as_ref().filter(|other| self.scaling() != Some(*other)) {
            let detail = format!(
                "{} has weights that were trained on {other}, and this `fit` trains on other samples; load them before it, \
                 or give `set_weights` the tensors",
                path.display()
            );
            self.refuse_in_fit("load_weights", &detail)?;
        }
        // A weight that was not taken stays as it is.
        if taken.iter().any(Option::is_none) {
            for (weight, (_, present)) in taken.iter_mut().zip(self.weights_async().await?) {
                weight.get_or_insert(present);
            }
        }
        self.set_weights(&taken.into_iter().flatten().collect::<Vec<_>>())?;
        if let Some(scaling) = scaling {
            self.set_scaling(scaling);
        }
        Ok(report)
    }
}
