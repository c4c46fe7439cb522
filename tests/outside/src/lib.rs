//! Parts that a user of wgrad could write, one of each kind. They use nothing that is not public.

mod kernel;

pub use kernel::SoftClip;
