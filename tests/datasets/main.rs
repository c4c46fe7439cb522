//! Data in host memory: what is split, scaled, made, read and streamed is what it should be, and what is
//! wrong is refused by name. No test here needs a GPU.
//!
//! `known/` holds arrays saved by NumPy and numbers computed by scikit-learn, and the script that
//! recorded them.

#[cfg(feature = "ndarray")]
mod arrays;
mod cifar10;
#[cfg(feature = "csv")]
mod csv;
#[cfg(feature = "csv")]
mod headers;
#[cfg(feature = "image")]
mod images;
mod loader;
mod make;
#[cfg(feature = "npy")]
mod npy;
mod scale;
mod sequences;
mod split;
mod stream;
#[cfg(feature = "csv")]
mod tables;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

use serde_json::Value;
use wgrad::Error;

/// What the log said.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Kept;

impl log::Log for Kept {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        SAID.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

/// From now on warnings are kept.
fn keep_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Kept).expect("no other logger");
        log::set_max_level(log::LevelFilter::Warn);
    });
}

/// Takes the lines with this text; those of other tests stay.
fn said(text: &str) -> Vec<String> {
    let mut all = SAID.lock().unwrap();
    all.extract_if(.., |line| line.contains(text)).collect()
}

/// A file under `known/`.
fn known(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/datasets/known").join(name)
}

/// What scikit-learn computed.
fn sklearn(key: &str) -> Value {
    let text = std::fs::read_to_string(known("sklearn.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    value[key].clone()
}

/// The numbers in nested lists, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

/// A new, empty folder for this test.
fn folder(test: &str) -> PathBuf {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let name = format!("{test}-{}", MADE.fetch_add(1, Ordering::Relaxed));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("datasets").join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Asserts that the message of `result`'s error has all of `words`.
#[track_caller]
fn says<T: std::fmt::Debug>(result: Result<T, Error>, words: &[&str]) {
    let text = result.expect_err("this is refused").to_string();
    for word in words {
        assert!(text.contains(word), "`{text}` does not say `{word}`");
    }
}

/// Whether two numbers agree to within `tolerance`, relative to the second or absolute near 0.
fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * b.abs().max(1.0)
}

#[test]
fn closeness_is_measured() {
    assert!(close(100.01, 100.0, 1e-3) && close(1e-9, 0.0, 1e-8));
    assert!(!close(100.2, 100.0, 1e-3) && !close(f64::NAN, 0.0, 1.0) && !close(0.0, 2.0, 0.5));
}
