//! Samples on their way to the device: all at once, in windows if the device cannot bind them all, or in windows that a
//! thread reads ahead.

mod check;
mod class_weight;
mod predict;
mod resident;
mod source;
#[cfg(not(target_arch = "wasm32"))]
mod stream;
mod windows;

pub(crate) use class_weight::weigh_classes;
pub use predict::PredictData;
pub use source::TrainingData;
pub(crate) use source::{Cut, Feed};
