//! Pooling: windows of an image, or all of it, become their largest element or their mean.

mod adaptive;
mod global;
mod windowed;

pub use adaptive::{
    AdaptiveAveragePooling, AdaptiveAveragePooling1D, AdaptiveAveragePooling2D,
    AdaptiveAveragePooling3D,
};
pub use global::{
    GlobalAveragePooling, GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D,
    GlobalMaxPooling, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D,
};
pub use windowed::{
    AveragePooling, AveragePooling1D, AveragePooling2D, AveragePooling3D, MaxPooling, MaxPooling1D,
    MaxPooling2D, MaxPooling3D,
};

use super::windows::spatial;
use crate::error::Result;
use crate::tensor::Shape;

/// The name of a layer for N axes.
const fn kind_of<const N: usize>(names: [&'static str; 3]) -> &'static str {
    const { assert!(1 <= N && N <= 3, "pooling has 1 to 3 axes") };
    names[N - 1]
}

/// A batch of one sample of this shape, which has N extents and channels.
fn batch_of_one<const N: usize>(kind: &str, sample: &Shape) -> Result<Shape> {
    let batch = Shape::from([&[1], sample.dims()].concat());
    spatial::<N>(kind, &batch)?;
    Ok(batch)
}
