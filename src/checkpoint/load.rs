//! Reads checkpoints.

use super::config::disagreement;
#[cfg(not(target_arch = "wasm32"))]
use super::file::read;
use super::file::{Contents, listed, wrong};
use super::format::{FORMAT_VERSION, KEY};
use super::metadata::Metadata;
use super::scaling::Samples;
use crate::error::Result;
use crate::train::{Trainer, TrainerState};
use crate::words::{DATA, NO_DATA};
use serde_json::Value;
use std::path::Path;

/// The metadata of a checkpoint, once version and checksum are right.
pub(super) fn metadata(path: &Path, contents: &Contents<'_>) -> Result<Metadata> {
    let Some(text) = &contents.metadata else {
        let detail = "is missing: this is no checkpoint of wgrad; load_weights takes files of weights and of models";
        return Err(wrong(path, "__metadata__.wgrad", detail));
    };
    if !DATA {
        return Err(wrong(path, "__metadata__.wgrad", NO_DATA));
    }
    let json: Value = serde_json::from_str(text)
        .map_err(|e| wrong(path, "metadata", format!("{e}; the file is damaged")))?;
    // A newer version may have another checksum.
    let version = &json["format_version"];
    if !version.as_u64().is_some_and(|version| (1..=FORMAT_VERSION).contains(&version)) {
        let by = json["library_version"].as_str().unwrap_or("another version");
        let detail = format!(
            "is {version}; this version of wgrad reads 1 to {FORMAT_VERSION}, {by} wrote the file"
        );
        return Err(wrong(path, "format_version", detail));
    }
    contents.verify(KEY)?;
    serde_json::from_value(json).map_err(|e| wrong(path, "metadata", e.to_string()))
}

/// The model that a checkpoint describes, and what it says of samples.
pub(super) fn model(path: &Path, contents: &Contents<'_>) -> Result<(Value, Option<Samples>)> {
    let Metadata { model, samples, .. } = metadata(path, contents)?;
    match model {
        None => {
            let detail = "is missing: the checkpoint does not describe its model, as one of an earlier version, or of a \
                          layer that gives no config; Predictor::load takes it with the code of the model";
            Err(wrong(path, "model", detail))
        }
        Some(model) => Ok((model, samples)),
    }
}

impl Trainer {
    /// Takes up a checkpoint that [`Trainer::save_checkpoint`] or a callback wrote: everything that training changes
    /// becomes what it was then, including weights kept under a name. The next `fit`, with the same options, goes on
    /// from there and gives the same bits as if training had never stopped. Its `epochs` counts the epochs before, its
    /// history has them, and its `initial_epoch` does not count.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be read; [`Error::File`](crate::Error::File) naming the part
    /// that is damaged, foreign or too new, or the setting in which its model, optimizer or seed differs. The trainer
    /// stays as it was.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.refuse_in_fit(
            "load_checkpoint",
            "load it before, let a callback's `resume_from` name it, or take its weights with load_weights",
        )?;
        let path = path.as_ref();
        self.take_checkpoint(path, &read(path)?)
    }

    /// Takes up the bytes of a checkpoint, as [`Trainer::load_checkpoint`] does those of a file.
    ///
    /// # Errors
    /// As [`Trainer::load_checkpoint`]; the file's name is `checkpoint`.
    pub fn load_checkpoint_from_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.refuse_in_fit("load_checkpoint_from_bytes", "load it before")?;
        self.take_checkpoint(Path::new("checkpoint"), bytes)
    }

    fn take_checkpoint(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        let contents = Contents::new(path, bytes)?;
        let metadata = metadata(path, &contents)?;
        if let Some([field, saved, own]) =
            disagreement(self, metadata.format_version, metadata.config.clone())
        {
            let by = &metadata.library_version;
            let detail =
                format!("the checkpoint, written by wgrad {by}, has {saved}; this model has {own}");
            return Err(wrong(path, field, detail));
        }
        let state = self.parse(path, &contents, metadata)?;
        self.set_state(state)
    }

    /// The state that a file holds, checked against the model.
    fn parse(
        &self,
        path: &Path,
        contents: &Contents<'_>,
        metadata: Metadata,
    ) -> Result<TrainerState> {
        let Metadata { steps, epochs, learning_rate, kept, fit, samples, .. } = metadata;
        if learning_rate.is_some_and(|rate| !(rate.is_finite() && rate >= 0.0)) {
            return Err(wrong(path, "learning_rate", "is no finite number, 0 or more"));
        }
        if fit.as_ref().is_some_and(|fit| !fit.is_within()) {
            return Err(wrong(path, "fit.batch", "is behind the epoch's last batch"));
        }
        let expected = self.state_tensors(&kept);
        let mut tensors = Vec::new();
        for (name, shape) in &expected {
            tensors.push(contents.tensor(name, shape)?);
        }
        let mut names: Vec<String> = expected.into_iter().map(|(name, _)| name).collect();
        let (mut losses, mut metrics) = (Vec::new(), Vec::new());
        if let Some(sums) = fit.as_ref().and_then(|fit| fit.sums()) {
            names.push("numbers/losses".into());
            losses = contents.wide("numbers/losses")?;
            for i in 0..sums {
                let name = format!("numbers/metrics/{i}");
                metrics.push(contents.wide(&name)?);
                names.push(name);
            }
        }
        let surplus = |name: &&&str| !names.iter().any(|known| known == *name);
        let all = contents.names();
        if let Some(name) = all.iter().find(surplus) {
            let detail = format!("belongs to no part of the model; there are {}", listed(&names));
            return Err(wrong(path, *name, detail));
        }
        let fit = fit.map(|fit| fit.state(losses, metrics));
        let scaling = samples.map(|samples| samples.scaling(path)).transpose()?;
        Ok(TrainerState { steps, epochs, learning_rate, scaling, kept, tensors, fit })
    }
}
