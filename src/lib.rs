#![doc = include_str!("../README.md")]

pub mod activations;
pub mod autodiff;
pub mod callbacks;
#[cfg(not(target_arch = "wasm32"))]
pub mod checkpoint;
pub mod data;
pub mod error;
#[cfg(not(target_arch = "wasm32"))]
mod files;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod ops;
pub mod optim;
pub mod passes;
pub mod plan;
#[cfg(feature = "plot")]
pub mod plot;
pub mod prelude;
pub mod tensor;
pub mod train;

/// The snippets of the guides, so that they are compiled with the documentation's.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../docs/guide.md")]
    mod guide {}
    #[doc = include_str!("../docs/from-keras.md")]
    mod from_keras {}
}

pub use error::{Error, GpuErrorKind, Result};
