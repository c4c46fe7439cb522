//! Versions of files, and the entries of their metadata that say what they are.

/// The version of the format that this library writes, and the newest that it reads.
pub const FORMAT_VERSION: u64 = 3;

/// The entry of a file's metadata that makes it a checkpoint.
pub(super) const KEY: &str = "wgrad";

/// The entry of a file of weights that says how the samples came.
pub(super) const SAMPLES: &str = "wgrad_samples";

/// The entry of a saved model.
pub(super) const MODEL_KEY: &str = "wgrad_model";

/// The version of files of models.
pub(super) const MODEL_VERSION: u64 = 1;
