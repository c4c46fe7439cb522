//! Shapes, element types and host tensors. Knows neither graphs nor GPUs.

mod exact;
mod host;
pub mod init;
mod orthogonal;
mod shared;

pub use crate::shape::{DType, Shape};
pub use exact::Exact;
pub use host::{Data, Tensor};
pub use init::{CustomInitializer, Draws, Initializer};
pub use shared::SharedTensor;
