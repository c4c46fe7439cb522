//! Files that are whole or not there.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What the system said of `path`.
pub(super) fn io(path: &Path, cause: std::io::Error) -> Error {
    Error::Io { path: path.display().to_string(), cause }
}

/// Writes `path` anew or leaves it as it is: the bytes go to a file beside it, to the disk, and then to its name.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = beside(path)?;
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(cause) = written.and_then(|()| fs::rename(&beside, path)) {
        // Half a file takes up room and is of no use; what matters is the error before.
        let _ = fs::remove_file(&beside);
        return Err(io(path, cause));
    }
    sync_folder(path)
}

/// The name under which a file grows: that of `path` with `.tmp` behind it. It is the same every time, so that what a
/// killed process leaves is written over.
fn beside(path: &Path) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        let cause = std::io::Error::new(std::io::ErrorKind::InvalidInput, "this is no file's name");
        return Err(io(path, cause));
    };
    let mut name = OsString::from(name);
    name.push(".tmp");
    Ok(path.with_file_name(name))
}

/// Makes the new name last.
#[cfg(unix)]
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|cause| io(folder, cause))
}

/// Only unix opens folders.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> Result<()> {
    Ok(())
}
