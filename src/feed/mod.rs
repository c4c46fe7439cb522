//! Samples on their way to the device: all at once, or in windows that a thread reads ahead.

mod check;
mod class_weight;
mod resident;
mod source;
#[cfg(not(target_arch = "wasm32"))]
mod stream;

pub(crate) use class_weight::weigh_classes;
pub use source::TrainingData;
pub(crate) use source::{Cut, Feed};
