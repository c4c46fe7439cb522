//! The oracle: what every operation of the library should compute, in `f64`.
//!
//! Each function is written from its mathematical definition, in the plainest form that is numerically sound, and names
//! the source of the definition. Nothing here is taken from a shader, and nothing is imported from the crate under
//! test: the oracle knows only `std`.
//!
//! Arrays are flat slices in row-major order. A call that makes no sense (an unknown name, a
//! length that does not fit its shape) panics: an oracle has no bad input, only a bad test.
//!
//! `tests/known_oracle.rs` checks the oracle itself: against values recorded from Keras, and with `checks.rs`, which no
//! other test includes, against tables and against itself.

#![allow(dead_code, reason = "each test binary includes the whole oracle and uses a part of it")]

pub mod attention;
pub mod compare;
pub mod convolution;
pub mod elementwise;
pub mod gradient;
pub mod graphs;
pub mod images;
pub mod layers;
pub mod linalg;
pub mod losses;
pub mod network;
pub mod norm;
pub mod optim;
pub mod pool;
pub mod random;
pub mod recurrent;
pub mod reduce;
pub mod softmax;
pub mod special;
pub mod tape;
