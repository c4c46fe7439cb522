//! Training: `fit`, `evaluate` and `predict` over a compiled model, and the contract of the callbacks that they call.

mod callback;
mod control;
mod evaluate;
mod fit;
#[cfg(not(target_arch = "wasm32"))]
mod freeze;
mod guard;
mod history;
mod on_batch;
mod place;
mod predict;
mod profile;
mod progress;
mod run;
mod state;
mod stops;
mod trainer;
mod weights;

pub use crate::feed::{PredictData, TrainingData};
pub(crate) use crate::session::Scaling;
pub use crate::session::{Call, Features, Kernel, Predictor, Profile};
pub use crate::step::{
    Arena, ArenaLayout, Batch, Compile, Evaluation, OutputSpec, PlacedTensor, StepSpec, step_graph,
};
pub use callback::{BatchInterval, Callback, HookResult};
pub use control::Control;
pub use fit::{Fit, Verbose};
pub use history::{BatchEnd, Epoch, FitInfo, History};
pub(crate) use place::{Batches, FitState};
#[cfg(all(feature = "progress", not(target_arch = "wasm32")))]
pub use progress::ProgressBar;
pub use progress::ProgressLines;
pub(crate) use state::TrainerState;
pub use trainer::Trainer;
