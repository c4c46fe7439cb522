//! Finds out before training, not at its end, whether a file can be written. The folder of the file is made if it is
//! missing.

use crate::error::Result;
use crate::files::{self, io};
use std::io::ErrorKind;
use std::path::Path;

/// Makes the folder of a file, and those above it.
pub(super) fn make_folder_of(file: &Path) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|cause| io(folder, cause))
}

/// Makes sure that a file of this name can be made in `folder`.
pub(super) fn prove_new(folder: &Path, name: &Path) -> Result<()> {
    let file = folder.join(name);
    make_folder_of(&file)?;
    files::prove_new(&file)
}

/// Makes sure that the file at `path` can be made, or replaced by another one. What it holds stays.
pub(super) fn prove_replaced(path: &Path) -> Result<()> {
    make_folder_of(path)?;
    files::prove_replaced(path)
}

/// Makes sure that nothing is in the way of a file at `path`: a folder, a file that may not be replaced, a file where its
/// folder would be, or the length of its name. Nothing is made. If the name is not `exact`, a file there does not count.
pub(super) fn prove_free(path: &Path, exact: bool) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(_) if exact => files::prove_replaced(path),
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(io(path, cause)),
        _ => Ok(()),
    }
}

/// Makes sure that the file at `path` can be made, or opened to be written to. What it holds stays.
pub(super) fn prove_opened(path: &Path) -> Result<()> {
    make_folder_of(path)?;
    files::prove_opened(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

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
        for bad in [&file.join("below"), &folder, &long] {
            assert!(prove_free(bad, true).is_err(), "{bad:?}");
        }
        for free in [&folder.join("new"), &folder.join("far/below"), &file] {
            prove_free(free, true).unwrap();
        }
        prove_free(&folder, false).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
