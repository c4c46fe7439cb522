//! Finds out before training, not at its end, whether a file can be written.

use crate::error::Result;
use crate::files::io;
use std::fs::{File, OpenOptions};
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the system said about `path`.
/// The folder of a file.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder, and those above it.
fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|cause| io(folder, cause))
}

/// Makes the folder of a file.
pub(super) fn make_folder_of(file: &Path) -> Result<()> {
    make_folder(folder_of(file))
}

/// Makes sure that a file of this name can be made in `folder`, which is made if it is missing. The name leaves room
/// for what a writer adds to it while the file grows.
pub(super) fn prove_new(folder: &Path, name: &Path) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    make_folder(folder)?;
    let mut own = name.as_os_str().to_owned();
    own.push(format!(".{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let file = folder.join(own);
    let made = File::create_new(&file).and_then(|_| std::fs::remove_file(&file));
    made.map_err(|cause| io(&folder.join(name), cause))
}

/// Makes sure that the file at `path` can be made, or replaced by another one. What it holds stays.
pub(super) fn prove_replaced(path: &Path) -> Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io(path, IoError::new(ErrorKind::InvalidInput, "this is no file's name")));
    };
    if path.is_dir() {
        return Err(io(path, IoError::new(ErrorKind::IsADirectory, "this is a folder")));
    }
    prove_new(folder_of(path), &PathBuf::from(name))
}

/// Makes sure that the file at `path` can be made, or opened to be written to. What it holds stays.
pub(super) fn prove_opened(path: &Path) -> Result<()> {
    match path.exists() && !path.is_dir() {
        // Nothing is written, so nothing is lost.
        true => OpenOptions::new().append(true).open(path).map(|_| ()).map_err(|e| io(path, e)),
        false => prove_replaced(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder of this name.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("wgrad-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_can_be_written_is_proved_and_stays() {
        let folder = folder("proved");
        let (old, new) = (folder.join("old"), folder.join("a/b/new"));
        std::fs::write(&old, "kept").unwrap();
        for prove in [prove_replaced, prove_opened] {
            prove(&old).unwrap();
            prove(&new).unwrap();
        }
        assert_eq!(std::fs::read(&old).unwrap(), b"kept");
        assert!(!new.exists() && folder.join("a/b").is_dir());
        assert_eq!(std::fs::read_dir(folder.join("a/b")).unwrap().count(), 0);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_refused_by_name() {
        let folder = folder("refused");
        let file = folder.join("file");
        std::fs::write(&file, "kept").unwrap();
        let long = folder.join("x".repeat(300));
        for bad in [&file.join("below"), &file.join("far/below"), &folder, &long, Path::new("/")] {
            for prove in [prove_replaced, prove_opened] {
                let error = prove(bad).unwrap_err().to_string();
                assert!(
                    error.contains(&bad.display().to_string()) || bad.starts_with(&file),
                    "{error}"
                );
            }
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
