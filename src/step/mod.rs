//! What a step computes, as a graph: outputs, losses, metrics, and the update over arenas. It knows no devices.

mod arenas;
mod compile;
mod evaluation;
mod graph;
mod heads;
mod layout;
mod numbers;

pub use compile::{Compile, OutputSpec};
pub use evaluation::Evaluation;
pub use graph::{Batch, StepSpec, step_graph};
pub(crate) use graph::{penalty, penalty_gradients, traced_step};
pub(crate) use heads::check as check_heads;
pub use layout::{Arena, ArenaLayout, PlacedTensor};
pub(crate) use numbers::{LARGEST_COUNT, Numbers};
