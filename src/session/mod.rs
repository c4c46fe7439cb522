//! Models on a device: plans, executors, memory, weights and single steps. It knows no epochs and no callbacks.
//!
//! [`Session`] is for training loops of one's own. `fit` and [`Predictor`] use the same parts.

mod clock;
mod compiled;
mod custom;
#[cfg(not(target_arch = "wasm32"))]
mod freeze;
mod memory;
mod part;
mod predict;
mod predictor;
mod profile;
mod rate;
mod samples;
mod scaling;
mod state;
mod steps;
mod sweep;
mod weights;
mod words;

pub(crate) use clock::Instant;
pub(crate) use compiled::Compiled;
pub use custom::{ModelId, OptimizerId, Session, StepBuilder, StepId};
pub(crate) use memory::Wanted;
pub(crate) use predict::check_one_output;
pub use predictor::Predictor;
pub use profile::{Call, Kernel, Profile};
pub use samples::Features;
pub(crate) use samples::check as check_samples;
pub(crate) use scaling::Scaling;
pub(crate) use state::ModelState;
pub(crate) use sweep::{STEPS_AT_ONCE, Sweep, ty};
