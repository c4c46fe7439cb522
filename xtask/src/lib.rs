//! What the commands of `cargo xtask` share, those in crates under `tools/` too: child processes, the look for a GPU
//! adapter, targets and programs, MNIST, CIFAR-10 and a text.

#![warn(clippy::missing_docs_in_private_items)]

pub mod adapter;
pub mod cifar10;
pub mod dataset;
mod download;
mod install;
pub mod mnist;
pub mod process;
pub mod shakespeare;
pub mod sources;
pub mod toolchain;
