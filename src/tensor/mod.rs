//! Shapes, element types and host tensors. Knows neither graphs nor GPUs.

mod exact;
mod host;
pub mod init;
mod orthogonal;
mod shape;
mod shared;

pub use exact::Exact;
pub use host::{Data, Tensor};
pub use init::{CustomInitializer, Draws, Initializer};
pub use shape::Shape;
pub use shared::SharedTensor;

/// The element types that buffers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit floating point: every computation.
    F32,
    /// 32-bit unsigned: labels and indices.
    U32,
    /// 8-bit unsigned, packed four to a word on the device: images at rest.
    U8,
}

impl DType {
    /// Bytes per element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::U8 => 1,
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::U32 => "u32",
            Self::U8 => "u8",
        })
    }
}
