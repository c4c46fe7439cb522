//! What the test binaries share: one device each, graphs run once, and words that a message must have.

#![allow(dead_code, reason = "each test binary includes the whole module and uses a part of it")]

pub mod family;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use wgrad::gpu::{Device, DeviceOptions, Executor, StepBlock, Store, block_on};
use wgrad::graph::Graph;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::Tensor;
use wgrad::{Error, Result};

/// The environment's options without what earlier runs kept: with a table of kernels that `tune` measured, the tests
/// would run other kernels than on a fresh machine.
pub fn options() -> Result<DeviceOptions> {
    Ok(DeviceOptions { cache: None, ..DeviceOptions::from_env()? })
}

/// The binary's device. Tests do not skip: without an adapter they fail.
pub fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| options().and_then(|options| family::open(&options)).expect("an adapter"))
}

/// A new folder, removed at its end. Tests of one name, which run side by side, have separate ones.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(test: &str) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("wgrad-{test}-{}-{made}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A folder in it, which somebody else makes.
    pub fn inside(&self, name: &str) -> Self {
        Self(self.0.join(name))
    }

    /// The names in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Compiles `graph`, runs it once on the inputs, and reads every output in order.
pub fn run(
    graph: &Graph,
    inputs: &[(&str, &Tensor)],
    words: &[(&str, u32)],
) -> Result<Vec<Tensor>> {
    let plan = Arc::new(Plan::compile(graph, &Passes::default(), device().caps())?);
    let mut store = Store::new(device());
    for (name, tensor) in inputs {
        store.upload(name, tensor)?;
    }
    let mut executor = Executor::new(device(), plan.clone(), &store)?;
    let mut block = StepBlock::default();
    for (name, word) in words {
        block.set_u32(&plan, name, *word)?;
    }
    executor.run(&[block])?;
    plan.outputs.iter().map(|o| block_on(executor.read(&o.name))).collect()
}

/// Asserts that the message of `error` has all of `words`.
#[track_caller]
pub fn says(error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{text}` does not say `{word}`");
    }
}
