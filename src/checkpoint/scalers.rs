//! Scalers and encoders in files, beside the model that needs them.

use super::file::wrong;
#[cfg(feature = "csv")]
use crate::data::TableEncoder;
use crate::data::{MinMaxScaler, StandardScaler, TextVectorization};
use crate::error::{Error, Result};
use crate::files::{self, io};
use std::path::Path;

/// Reads a scaler or an encoder with `parse`, whose errors get the file's name.
fn load<S>(path: &Path, parse: fn(&str) -> Result<S>) -> Result<S> {
    let text = std::fs::read_to_string(path).map_err(|cause| io(path, cause))?;
    parse(&text).map_err(|e| match e {
        Error::Data { name, detail } => wrong(path, name, detail),
        other => wrong(path, "scaler", other.to_string()),
    })
}

impl StandardScaler {
    /// Writes the scaler to `path` as JSON; see [`StandardScaler::to_json`]. A file at `path` is replaced at once or
    /// not at all.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write(path.as_ref(), self.to_json().as_bytes())
    }

    /// Reads a scaler that [`StandardScaler::save`] wrote: it is the same to the last bit.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] naming what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        load(path.as_ref(), Self::from_json)
    }
}

impl MinMaxScaler {
    /// Writes the scaler to `path` as JSON; see [`MinMaxScaler::to_json`]. A file at `path` is replaced at once or not
    /// at all.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write(path.as_ref(), self.to_json().as_bytes())
    }

    /// Reads a scaler that [`MinMaxScaler::save`] wrote: it is the same to the last bit.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] naming what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        load(path.as_ref(), Self::from_json)
    }
}

impl TextVectorization {
    /// Writes settings and vocabulary to `path` as JSON; see [`TextVectorization::to_json`]. A file at `path` is replaced
    /// at once or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write(path.as_ref(), self.to_json().as_bytes())
    }

    /// Reads what [`TextVectorization::save`] wrote: it has the same settings and ids.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] naming what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        load(path.as_ref(), Self::from_json)
    }
}

#[cfg(feature = "csv")]
impl TableEncoder {
    /// Writes the encoder to `path` as JSON; see [`TableEncoder::to_json`]. A file at `path` is replaced at once or not
    /// at all.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write(path.as_ref(), self.to_json().as_bytes())
    }

    /// Reads an encoder that [`TableEncoder::save`] wrote: it has the same columns, classes and settings.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] naming what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        load(path.as_ref(), Self::from_json)
    }
}
