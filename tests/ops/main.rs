//! Every op on the GPU against the oracle: forward, gradients, extremes, randomness, and the passes.
//!
//! All tests share one device. A test that finds no adapter fails; it never skips.

#[path = "../reference/mod.rs"]
mod reference;

mod completeness;
mod controls;
mod dags;
mod extremes;
mod forward;
mod gradient;
mod harness;
mod nan;
mod oracle;
mod passes;
mod places;
mod products;
mod random;
mod rows;
mod segments;
mod sizes;
mod steps;
mod viewed;
mod views;
