//! Training: a model, its loss, gradients and optimizer compiled once into plans, replayed over resident data.

mod class_weight;
mod clock;
mod compile;
mod evaluate;
mod fit;
#[cfg(not(target_arch = "wasm32"))]
mod freeze;
mod guard;
mod heads;
mod history;
mod layout;
mod memory;
mod numbers;
mod on_batch;
mod predict;
mod predictor;
mod profile;
mod rate;
mod run;
mod samples;
mod scaling;
mod source;
#[cfg(not(target_arch = "wasm32"))]
mod state;
mod step;
mod stops;
#[cfg(not(target_arch = "wasm32"))]
mod stream;
mod sweep;
mod trainer;
mod weights;
mod words;

pub(crate) use clock::run_steps;
pub use compile::{Compile, OutputSpec};
pub use fit::{Fit, Verbose};
pub(crate) use history::short;
pub use history::{BatchEnd, Epoch, Evaluation, FitInfo, History};
pub use layout::{Arena, ArenaLayout, PlacedTensor};
pub(crate) use numbers::LARGEST_COUNT;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use numbers::Numbers;
pub use predictor::Predictor;
pub use profile::{Call, Kernel, Profile};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use run::{Batches, FitState};
pub use samples::Features;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use scaling::Scaling;
pub use source::TrainingData;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use state::TrainerState;
pub use step::{Batch, StepSpec, step_graph};
pub(crate) use step::{penalty, penalty_gradients};
pub use trainer::Trainer;
pub(crate) use words::fold_seed;
