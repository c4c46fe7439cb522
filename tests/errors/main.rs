//! Bad input and failing devices: each gives an [`Error`] of the right kind whose message names layer, op
//! and shapes and says what to do. Nothing panics, and nothing is lost.
//!
//! Files that are truncated, mislabelled or corrupt have `tests/idx.rs`.

mod bounds;
mod data;
mod device;
mod failures;
mod graph;
mod heads;
mod kernels;
mod late;
mod limits;
mod model;
mod sequences;
#[path = "../support/mod.rs"]
mod support;
mod words;

use std::sync::{Mutex, Once};
use support::says;
use wgrad::prelude::*;
use wgrad::{Error, Result};

/// Cross-entropy of integer labels on logits.
const SPARSE: Loss = Loss::SparseCategoricalCrossentropy { from_logits: true };

/// Ones.
fn floats(shape: impl Into<Shape>) -> Tensor {
    let shape = shape.into();
    let values = vec![1.0; shape.len()];
    Tensor::f32(shape, values).unwrap()
}

/// `n` samples of `width` ones, of classes 0, 1, 2, 0, ...
fn classes(n: usize, width: usize) -> TensorDataset {
    let labels: Vec<u32> = (0..n as u32).map(|i| i % 3).collect();
    TensorDataset::new(floats([n, width]), Tensor::u32([n], labels).unwrap()).unwrap()
}

/// Four inputs, three logits.
fn linear() -> Sequential {
    Sequential::new([4]).add(Dense::new(3))
}

fn compile(model: &Sequential, optimizer: impl Optimizer + 'static, loss: Loss) -> Result<Trainer> {
    model.compile(support::device(), Compile::new(optimizer, loss))
}

fn trainer(model: &Sequential) -> Trainer {
    compile(model, Sgd::default(), SPARSE).unwrap()
}

/// The warnings that the crate `log` receives from now on.
fn logged() -> &'static Mutex<Vec<String>> {
    struct Logger(Mutex<Vec<String>>);
    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            if record.level() == log::Level::Warn {
                self.0.lock().unwrap().push(record.args().to_string());
            }
        }
        fn flush(&self) {}
    }
    static LOGGER: Logger = Logger(Mutex::new(Vec::new()));
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LOGGER).expect("no other logger");
        log::set_max_level(log::LevelFilter::Warn);
    });
    &LOGGER.0
}

/// Asserts the variant, and that the message has all of `words`.
macro_rules! refused {
    ($result:expr, $variant:pat, $($word:expr),+ $(,)?) => {
        match $result {
            Ok(_) => panic!("expected {}", stringify!($variant)),
            Err(error) => {
                assert!(matches!(error, $variant), "expected {}, got {error:?}", stringify!($variant));
                $crate::says(&error, &[$($word),+]);
            }
        }
    };
}
use refused;
