//! Every op on the GPU against the oracle: forward, gradients, extremes, randomness, and the passes.
//!
//! All tests share one device. A test that finds no adapter fails; it never skips.

#[path = "../reference/mod.rs"]
mod reference;

mod dags;
mod forward;
mod gradient;
mod harness;
mod oracle;
mod passes;
mod sizes;
mod steps;
