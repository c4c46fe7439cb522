//! What is called while a model trains, with Keras' hooks.
//!
//! Callbacks that decide (`EarlyStopping`, `ReduceLrOnPlateau`) have two parts: a decision, which is a pure function of
//! the numbers so far, and its effect through [`Control`]. The callback's state is what the decision remembers; a
//! checkpoint keeps it.

#[cfg(not(target_arch = "wasm32"))]
mod backup;
#[cfg(not(target_arch = "wasm32"))]
mod csv_logger;
mod early_stopping;
mod lambda;
#[cfg(not(target_arch = "wasm32"))]
mod model_checkpoint;
mod monitor;
mod plateau;
#[cfg(not(target_arch = "wasm32"))]
mod proof;
mod scheduler;
mod state;
#[cfg(not(target_arch = "wasm32"))]
mod template;
#[cfg(not(target_arch = "wasm32"))]
mod tensorboard;
mod terminate;

#[cfg(not(target_arch = "wasm32"))]
pub use backup::BackupAndRestore;
#[cfg(not(target_arch = "wasm32"))]
pub use csv_logger::CsvLogger;
pub use early_stopping::EarlyStopping;
pub use lambda::Lambda;
#[cfg(not(target_arch = "wasm32"))]
pub use model_checkpoint::ModelCheckpoint;
pub use monitor::Mode;
pub use plateau::ReduceLrOnPlateau;
pub use scheduler::LearningRateScheduler;
#[cfg(not(target_arch = "wasm32"))]
pub use tensorboard::TensorBoard;
pub use terminate::TerminateOnNan;

#[cfg(all(feature = "progress", not(target_arch = "wasm32")))]
pub use crate::train::ProgressBar;
pub use crate::train::{BatchInterval, Callback, Control, HookResult, ProgressLines};
