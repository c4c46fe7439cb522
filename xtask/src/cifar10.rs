//! The folder that CIFAR-10 is read from: its archive downloaded, checked and unpacked if the folder lacks a file.

use crate::dataset::sum;
use crate::process::{root, say};
use crate::sources::{self, Scratch};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The binary version, as Krizhevsky published it.
const ADDRESS: &str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
/// The archive's name.
const ARCHIVE: &str = "cifar-10-binary.tar.gz";
/// The SHA-256 of the archive whose published MD5 is c32a1d4ab5d03f1284b67883e8d87530.
const SHA256: &str = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd";
/// The folder in the archive.
const FOLDER: &str = "cifar-10-batches-bin";
/// Bytes of each file: 10,000 records of a label and 3,072 pixels.
const BYTES: u64 = 10_000 * 3073;

/// The six files.
fn names() -> impl Iterator<Item = String> {
    (1..=5).map(|i| format!("data_batch_{i}.bin")).chain(["test_batch.bin".into()])
}

/// The files that a folder lacks. One of another length is refused.
fn missing(dir: &Path) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for name in names() {
        match fs::metadata(dir.join(&name)) {
            Err(_) => missing.push(name),
            Ok(file) => ensure!(
                file.len() == BYTES,
                "{} has {} bytes, not {BYTES}; remove it to get it anew",
                dir.join(&name).display(),
                file.len()
            ),
        }
    }
    Ok(missing)
}

/// The folder with the six files, as an absolute path. A folder that the user names must hold them; the workspace's
/// `data/cifar10` is filled with what it lacks.
pub fn data_folder(option: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(dir) = option {
        let dir = std::path::absolute(dir).context("the folder of --data")?;
        let missing = missing(&dir)?;
        if !missing.is_empty() {
            bail!("{}, named by --data, lacks {}", dir.display(), missing.join(", "));
        }
        say(format_args!("CIFAR-10 is in {}, named by --data", dir.display()));
        return Ok(dir);
    }
    let dir = root().join("data").join("cifar10");
    fill(&dir, SHA256, sources::curl, sources::untar)?;
    Ok(dir)
}

/// Gets what a folder lacks out of the archive, which is `fetch`ed unless it is in the folder already; `unpack` unpacks an
/// archive into a folder.
fn fill(
    dir: &Path,
    sha256: &str,
    fetch: impl FnOnce(&str, &Path) -> Result<()>,
    unpack: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<()> {
    if missing(dir)?.is_empty() {
        say(format_args!("CIFAR-10 is in {}", dir.display()));
        return Ok(());
    }
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let scratch = Scratch::new(dir)?;
    let own = dir.join(ARCHIVE);
    let archive = if own.is_file() { own } else { scratch.path().join(ARCHIVE) };
    if archive.starts_with(scratch.path()) {
        say(format_args!("downloading {ADDRESS} (170 MB)"));
        fetch(ADDRESS, &archive).with_context(|| {
            let dir = dir.display();
            format!(
                "CIFAR-10 cannot be downloaded; where there is a network, get {ADDRESS}, put it into {dir} and run \
                 this command again"
            )
        })?;
    }
    let shown = archive.display();
    let failed = || format!("{shown} cannot be read");
    let actual = File::open(&archive).and_then(sum).with_context(failed)?;
    ensure!(
        actual == sha256,
        "{shown} is not CIFAR-10's archive: its SHA-256 is {actual}, expected {sha256}; remove it to get it anew"
    );
    unpack(&archive, scratch.path())?;
    for name in missing(dir)? {
        let (from, to) = (scratch.path().join(FOLDER).join(&name), dir.join(&name));
        fs::rename(&from, &to).with_context(|| format!("{} cannot be written", to.display()))?;
    }
    let missing = missing(dir)?;
    ensure!(missing.is_empty(), "the archive lacks {}", missing.join(", "));
    say(format_args!("CIFAR-10 is in {}, its archive's sum is right", dir.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::tests::ABC;

    /// Puts the six files into the folder that an archive has.
    fn unpacked(into: &Path, bytes: u64) -> Result<()> {
        let folder = into.join(FOLDER);
        fs::create_dir(&folder)?;
        names().try_for_each(|name| Ok(File::create(folder.join(name))?.set_len(bytes)?))
    }

    /// What the folder holds after a download that gives these bytes, or fails.
    fn play(dir: &Path, answer: Option<&[u8]>, bytes: u64) -> (Result<()>, Vec<String>) {
        let fetch = |address: &str, to: &Path| {
            assert_eq!(address, ADDRESS);
            match answer {
                Some(answer) => Ok(fs::write(to, answer)?),
                None => bail!("no answer"),
            }
        };
        let result = fill(dir, ABC.sha256, fetch, |_, into| unpacked(into, bytes));
        let entries = fs::read_dir(dir).unwrap();
        let mut found: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        (result, found)
    }

    #[test]
    fn the_archive_is_fetched_checked_and_unpacked_once() {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let (result, found) = play(dir.path(), Some(b"abc"), BYTES);
        result.unwrap();
        assert_eq!(found, names().collect::<Vec<_>>());
        // All are there: nothing is asked.
        play(dir.path(), None, 0).0.unwrap();
        // One is missing, and the archive is beside the others.
        fs::remove_file(dir.path().join("data_batch_2.bin")).unwrap();
        fs::write(dir.path().join(ARCHIVE), "abc").unwrap();
        play(dir.path(), None, BYTES).0.unwrap();
    }

    #[test]
    fn without_a_network_the_error_says_what_to_do() {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let (result, found) = play(dir.path(), None, BYTES);
        let error = format!("{:#}", result.unwrap_err());
        let folder = dir.path().display().to_string();
        for word in [ADDRESS, &folder, "put it into", "run this command again", "no answer"] {
            assert!(error.contains(word), "{error}");
        }
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn what_is_not_the_archive_is_refused_and_leaves_nothing() {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let (result, found) = play(dir.path(), Some(b"abd"), BYTES);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(ABC.sha256) && error.contains("remove it"), "{error}");
        assert_eq!(found, [""; 0]);
        // A file of another length is named.
        let (result, _) = play(dir.path(), Some(b"abc"), 7);
        let error = result.unwrap_err().to_string();
        assert!(error.contains("data_batch_1.bin has 7 bytes"), "{error}");
    }

    #[test]
    fn a_named_folder_must_hold_the_files() {
        let error = data_folder(Some("no/such".into())).unwrap_err().to_string();
        assert!(error.contains("--data") && names().all(|name| error.contains(&name)), "{error}");
    }
}
