//! Parts that a user of wgrad could write, one of each kind. They use nothing that is not public.

mod data;
mod kernel;
mod measures;
mod training;
mod weights;

pub use data::Parity;
pub use kernel::SoftClip;
pub use measures::{LogCosh, Margin, MaxError};
pub use training::{Lion, StopBelow};
pub use weights::{Balanced, Clipped, Mish, Scale, Sparse};
