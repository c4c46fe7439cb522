//! Every op on the GPU against the oracle: forward, gradients, extremes, randomness, and the passes.
//!
//! All tests share one device. A test that finds no adapter fails; it never skips.

#[path = "../support/deep.rs"]
mod deep;
#[path = "../support/family.rs"]
mod family;
#[path = "../reference/mod.rs"]
mod reference;

mod accumulate;
mod attention;
mod bytes;
mod completeness;
mod controls;
mod convolutions;
mod dags;
mod depthwise;
mod extremes;
mod forward;
mod functions;
mod gradient;
mod harness;
mod kernels;
mod loops;
mod nan;
mod oracle;
mod passes;
mod places;
mod planner;
mod pooling;
mod products;
mod random;
mod readers;
mod recurrence;
mod rows;
mod rows_fused;
mod segments;
mod sizes;
mod sources;
mod steps;
mod viewed;
mod views;
mod vocabulary;
