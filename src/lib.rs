#![doc = include_str!("../README.md")]

pub mod autodiff;
pub mod data;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod ops;
pub mod passes;
pub mod plan;
pub mod tensor;

pub use error::{Error, GpuErrorKind, Result};
