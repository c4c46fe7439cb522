//! Training: a model, its loss, gradients and optimizer compiled once into plans, replayed over resident data.

mod clock;
mod fit;
mod history;
mod layout;
mod step;
mod trainer;

pub use fit::{Features, Fit};
pub use history::{Epoch, Evaluation, History};
pub use layout::{ArenaLayout, PlacedTensor};
pub use step::step_graph;
pub use step::{Batch, StepSpec};
pub use trainer::{Compile, Trainer};
