//! Writes checkpoints.

use super::config::config;
use super::file::{Entry, ZEROS, encode, seal, wrong};
use super::format::{FORMAT_VERSION, KEY};
use super::metadata::{Fit, Metadata};
use super::scaling::Samples;
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::files;
#[cfg(not(target_arch = "wasm32"))]
use crate::train::Control;
use crate::train::{FitState, Trainer};
use crate::words::{DATA, NO_DATA};
use std::path::Path;
#[cfg(not(target_arch = "wasm32"))]
use std::path::PathBuf;

impl Trainer {
    /// The bytes of a checkpoint, for a place that is no file; see [`Trainer::save_checkpoint`].
    ///
    /// # Errors
    /// As [`Trainer::save_checkpoint_async`], without those of files.
    pub async fn checkpoint_to_bytes_async(&self) -> Result<Vec<u8>> {
        self.refuse_in_fit("checkpoint_to_bytes", "take it when `fit` has ended")?;
        self.encode_checkpoint(Path::new("checkpoint"), self.fit_state().cloned()).await
    }

    /// The blocking form of [`Trainer::checkpoint_to_bytes_async`].
    ///
    /// # Errors
    /// As [`Trainer::checkpoint_to_bytes_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn checkpoint_to_bytes(&self) -> Result<Vec<u8>> {
        crate::gpu::block_on(self.checkpoint_to_bytes_async())
    }

    /// Writes all that training changes to `path`: weights, optimizer state, kept weights, counters, and where the last
    /// `fit` ended, with its history and callbacks. Inside a `fit`, use
    /// [`Control::save_checkpoint`](crate::callbacks::Control::save_checkpoint) instead.
    ///
    /// A file at `path` is replaced at once or not at all. It keeps its mode; if it is a symbolic link, its target is
    /// replaced. Pipes and character devices are written to. [`crate::checkpoint`] describes the format.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be written; [`Error::Gpu`](crate::Error::Gpu) if the device
    /// fails; [`Error::Parameter`](crate::Error::Parameter) inside a `fit`.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn save_checkpoint_async(&self, path: impl AsRef<Path>) -> Result<()> {
        self.refuse_in_fit("save_checkpoint", "`Control::save_checkpoint` writes its place too")?;
        self.write_checkpoint(path.as_ref(), self.fit_state().cloned()).await
    }

    /// The blocking form of [`Trainer::save_checkpoint_async`].
    ///
    /// # Errors
    /// As [`Trainer::save_checkpoint_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::gpu::block_on(self.save_checkpoint_async(path))
    }

    /// Writes a checkpoint from which training goes on at `fit`.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) async fn write_checkpoint(&self, path: &Path, fit: Option<FitState>) -> Result<()> {
        files::write(path, &self.encode_checkpoint(path, fit).await?)
    }

    /// The bytes of a checkpoint at `path` from which training goes on at `fit`.
    async fn encode_checkpoint(&self, path: &Path, fit: Option<FitState>) -> Result<Vec<u8>> {
        if !DATA {
            return Err(Error::parameter("config", "checkpoint", NO_DATA));
        }
        let state = self.state_async(fit).await?;
        let metadata = Metadata {
            crc32: ZEROS.into(),
            format_version: FORMAT_VERSION,
            library_version: env!("CARGO_PKG_VERSION").into(),
            config: config(self, FORMAT_VERSION),
            // A layer may have no form as data.
            model: self.model().to_value().ok(),
            steps: state.steps,
            epochs: state.epochs,
            learning_rate: state.learning_rate,
            samples: state.scaling.as_ref().map(Samples::new),
            kept: state.kept.clone(),
            fit: state.fit.as_ref().map(Fit::new),
        };
        let text = serde_json::to_string(&metadata);
        let text = text.map_err(|e| wrong(path, "metadata", e.to_string()))?;
        let names = self.state_tensors(&state.kept).into_iter().map(|(name, _)| name);
        let mut tensors: Vec<_> = names.zip(state.tensors.iter().map(Entry::of)).collect();
        if let Some(numbers) = state.fit.as_ref().map(|f| &f.numbers).filter(|n| n.samples > 0) {
            tensors.push(("numbers/losses".into(), Entry::wide(&numbers.losses)));
            for (i, metric) in numbers.metrics.iter().enumerate() {
                tensors.push((format!("numbers/metrics/{i}"), Entry::wide(metric)));
            }
        }
        let mut bytes = encode(path, &tensors, Some((KEY, text)))?;
        seal(&mut bytes, KEY)?;
        Ok(bytes)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Control<'_> {
    /// Asks for a checkpoint at `path`; see [`Trainer::save_checkpoint`]. It is written at the end of the batch or
    /// epoch under way, after every callback has seen that end, so that all their states agree.
    pub fn save_checkpoint(&mut self, path: impl Into<PathBuf>) {
        let path = path.into();
        self.keep_place(move |trainer, place| {
            Box::pin(async move { trainer.write_checkpoint(&path, Some(place)).await })
        });
    }
}
