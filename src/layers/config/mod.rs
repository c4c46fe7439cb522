//! Models as data, in the words of Keras' `config.json`: what a layer says of itself, and the layer made of that.
//!
//! A layer lists its settings once, in [`Settings::settings`]; [`Fields`] goes through the list in either direction.

mod built_in;
mod fields;
mod loader;
mod read;
mod values;
mod words;
mod write;

pub use loader::ModelLoader;
pub(crate) use read::current;

pub(super) use fields::Fields;
pub(super) use read::Reading;
pub(super) use values::{Setting, shown};

use super::Layer;
use crate::error::{Error, Result};
use crate::words::{DATA, NO_DATA};
use serde_json::Value;

/// A layer that lists its settings, to be written and read alike.
pub(super) trait Settings: Layer + Clone {
    /// The layer with Keras' defaults: settings that a file does not have keep them.
    fn blank() -> Self;

    /// Goes through all settings, by Keras' names.
    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()>;
}

/// What `layer` says of itself.
pub(super) fn config_of<L: Settings>(layer: &L) -> Result<Value> {
    if !DATA {
        return Err(Error::parameter("config", layer.kind(), NO_DATA));
    }
    let mut fields = Fields::to_write();
    layer.clone().settings(&mut fields)?;
    Ok(fields.written())
}
