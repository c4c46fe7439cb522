//! How the samples came that weights were trained on. The file of the weights carries it.

use super::file::{Contents, wrong};
use super::format::SAMPLES;
use super::load::metadata;
use super::model::ModelMetadata;
use super::scaling::Samples;
use crate::error::Result;
use crate::tensor::DType;
use crate::train::{Scaling, Trainer};
use std::path::Path;

/// The entry of a file of the weights of `trainer`; none if numbers are taken as they are.
pub(super) fn written(trainer: &Trainer, path: &Path) -> Result<Option<(&'static str, String)>> {
    let says = |s: &&Scaling| s.scale != 1.0 || s.dtypes.contains(&DType::U8);
    let Some(scaling) = trainer.scaling().filter(says) else { return Ok(None) };
    let text = serde_json::to_string(&Samples::new(scaling));
    Ok(Some((SAMPLES, text.map_err(|e| wrong(path, SAMPLES, e.to_string()))?)))
}

/// What a file of weights, or a checkpoint, says about its samples.
pub(super) fn read(path: &Path, contents: &Contents<'_>) -> Result<Option<Scaling>> {
    let samples = match (&contents.metadata, &contents.model, &contents.samples) {
        (Some(_), ..) => metadata(path, contents)?.samples,
        (None, Some(text), _) => ModelMetadata::parse(path, contents, text)?.samples,
        (None, None, Some(text)) => {
            let parsed = serde_json::from_str::<Samples>(text);
            Some(parsed.map_err(|e| wrong(path, SAMPLES, e.to_string()))?)
        }
        (None, None, None) => None,
    };
    samples.map(|samples| samples.scaling(path)).transpose()
}
