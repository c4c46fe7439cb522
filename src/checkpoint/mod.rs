//! Checkpoints and files of weights, in [safetensors](https://github.com/huggingface/safetensors).
//!
//! # A checkpoint
//!
//! One file holds all that training changes, so that training goes on with the same bits as if it had never stopped,
//! even from the middle of an epoch. Tensors, by name:
//!
//! | tensor | type | what |
//! |---|---|---|
//! | `dense/kernel` | F32 `[in, out]` | a parameter or a state of a layer: layer and name, in Keras' layout |
//! | `optimizer/velocity/dense/kernel` | F32, as its parameter | what the optimizer keeps for a trained parameter |
//! | `kept/best/dense/kernel` | F32, as its parameter | weights kept under a name, here `best` |
//! | `numbers/losses`, `numbers/metrics/0` | F64 `[n]` | sums over the batches of an epoch left in its middle |
//!
//! The header's `__metadata__` has one entry, `wgrad`: JSON with `crc32`, `format_version`, `library_version`, the
//! `config` that must agree (seed, inputs, layers, calls, outputs with losses and metrics, optimizer), the counters
//! `steps` and `epochs`, a `learning_rate` set by hand, the types and the scale of the `samples` that were trained on,
//! the names `kept`, and in `fit` the place of training: epoch, batch, history and the state of each callback.
//!
//! # A whole model
//!
//! The tensors are the weights and states alone. The entry of `__metadata__` is `wgrad_model`: JSON with `crc32`,
//! `format_version`, `library_version`, the `model` as [`Model::to_json`](crate::layers::Model::to_json) describes it, the
//! `samples` as above, and texts that were `attached`. A checkpoint has the same `model`.
//!
//! # Weights
//!
//! A file of weights alone has the entry `wgrad_samples`: the same `samples`, if they were bytes or scaled.
//!
//! `crc32` is the checksum of the **whole file**, header included, with eight zeros in its own place. A CRC-32 finds
//! every error within 32 bits, so it notices every changed byte. It misses other damage once in 2^32.
//!
//! A file is first written beside its place, synced, and then renamed into its place. A process that is killed leaves
//! the old file or the new one, and perhaps a `.wgrad-*.tmp` that a later write into the folder removes. The file keeps
//! its mode, and a symbolic link stays: its target is replaced.

mod config;
mod file;
mod floats;
mod format;
mod load;
mod metadata;
mod model;
mod place;
mod report;
mod samples;
mod save;
#[cfg(not(target_arch = "wasm32"))]
mod scalers;
mod scaling;
mod text;
mod torch;
mod weight_files;
mod weights;

pub use format::FORMAT_VERSION;
pub use model::SavedModel;
pub use report::{Mismatch, WeightReport};
pub use weights::WeightMap;
