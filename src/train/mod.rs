//! Training: a model, its loss, gradients and optimizer compiled once into plans, replayed over resident data.

mod class_weight;
mod clock;
mod evaluate;
mod fit;
#[cfg(not(target_arch = "wasm32"))]
mod freeze;
mod guard;
mod history;
mod memory;
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
mod stops;
#[cfg(not(target_arch = "wasm32"))]
mod stream;
mod sweep;
mod trainer;
mod weights;
mod words;

pub use crate::step::{
    Arena, ArenaLayout, Batch, Compile, Evaluation, OutputSpec, PlacedTensor, StepSpec, step_graph,
};
pub(crate) use clock::run_steps;
pub use fit::{Fit, Verbose};
pub(crate) use history::short;
pub use history::{BatchEnd, Epoch, FitInfo, History};
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
pub use trainer::Trainer;
pub(crate) use words::fold_seed;
