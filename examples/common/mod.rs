//! What the examples share: how they end, where their pictures go, and where MNIST and texts come from.

#![allow(dead_code, reason = "each example uses a part")]

use anyhow::{Context, Result, bail, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use wgrad::data::{load_mnist, read_text};
use wgrad::prelude::TensorDataset;

/// The wall clock of a run.
pub struct Clock(Instant);

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// The exit status of a run, its error printed: 3 if no adapter opens, 1 for all else.
pub fn report(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            let no_adapter = matches!(e.downcast_ref(), Some(wgrad::Error::NoAdapter(_)));
            ExitCode::from(if no_adapter { 3 } else { 1 })
        }
    }
}

/// Random numbers for made-up data: the same for the same seed and stream.
pub fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// The path of a picture in `out/`: PNG, or SVG if that was asked for.
pub fn picture(name: &str, svg: bool) -> PathBuf {
    PathBuf::from("out").join(format!("{name}.{}", if svg { "svg" } else { "png" }))
}

/// MNIST's training and test images, from the named folder, or else from `data/mnist`. If files are missing there,
/// `cargo xtask data` downloads them, so that one command is enough; a named folder stays as it is.
pub fn mnist(named: Option<&Path>) -> Result<(TensorDataset, TensorDataset)> {
    // An empty variable is one that was not set.
    if let Some(folder) = named.filter(|folder| !folder.as_os_str().is_empty()) {
        let hint = "without --data and WGRAD_DATA it is downloaded into data/mnist";
        return load_mnist(folder)
            .with_context(|| format!("MNIST in {}; {hint}", folder.display()));
    }
    let folder = Path::new("data/mnist");
    let error = match load_mnist(folder) {
        Err(error @ wgrad::Error::Io { .. }) => error,
        // The user should look at a damaged file.
        loaded => return loaded.with_context(|| format!("MNIST in {}", folder.display())),
    };
    let got = get("mnist").with_context(|| format!("MNIST in {}: {error}", folder.display()))?;
    load_mnist(&got).with_context(|| format!("MNIST in {}", got.display()))
}

/// A text: the file that is named, or else Shakespeare's plays, which `cargo xtask data shakespeare` downloads if they are
/// not in `data/shakespeare`.
pub fn text(named: Option<&Path>) -> Result<String> {
    const NAME: &str = "tinyshakespeare.txt";
    if let Some(file) = named {
        return Ok(read_text(file)?);
    }
    let file = Path::new("data/shakespeare").join(NAME);
    match file.is_file() {
        true => Ok(read_text(file)?),
        false => Ok(read_text(get("shakespeare").context("--text names a file")?.join(NAME))?),
    }
}

/// The folder of a data set that `cargo xtask data` downloads.
fn get(set: &str) -> Result<PathBuf> {
    // Both are set if cargo runs the example; without cargo nothing is known about a workspace.
    let (Some(cargo), Some(root)) =
        (std::env::var_os("CARGO"), std::env::var_os("CARGO_MANIFEST_DIR"))
    else {
        bail!("`cargo xtask data {set}` downloads it");
    };
    let mut get = Command::new(cargo);
    get.args(["run", "--quiet", "--package", "xtask", "--", "data", set]).current_dir(root);
    let done = get.stderr(Stdio::inherit()).output().context("`cargo xtask data`")?;
    ensure!(
        done.status.success(),
        "`cargo xtask data {set}` could not get it; --data names a folder"
    );
    let folder = String::from_utf8(done.stdout).context("the folder of `cargo xtask data`")?;
    Ok(folder.trim_end().into())
}
