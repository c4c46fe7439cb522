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
