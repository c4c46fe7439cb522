//! Training: a model, its loss, gradients and optimizer compiled once into plans, replayed over resident data.

mod clock;
mod compile;
mod evaluate;
mod fit;
mod history;
mod layout;
mod numbers;
mod pass;
mod predict;
mod rate;
mod run;
mod source;
mod step;
#[cfg(not(target_arch = "wasm32"))]
mod stream;
mod trainer;
mod weights;

pub use compile::{Compile, OutputSpec};
pub use fit::{Fit, Verbose};
pub(crate) use history::short;
pub use history::{BatchEnd, Epoch, Evaluation, FitInfo, History};
pub use layout::{Arena, ArenaLayout, PlacedTensor};
pub use predict::Features;
pub use source::TrainingData;
pub use step::{Batch, StepSpec, step_graph};
pub use trainer::Trainer;
