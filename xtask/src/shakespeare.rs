//! The text that models learn to write: Shakespeare's plays, downloaded and checked if the folder lacks them.

use crate::dataset::sum;
use crate::process::{root, say};
use crate::sources::{self, Scratch};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Where Karpathy's char-rnn has it.
const ADDRESS: &str =
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt";
/// Its name here.
const NAME: &str = "tinyshakespeare.txt";
/// Its SHA-256.
const SHA256: &str = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";

/// The folder with the text, as an absolute path. A folder that the user names must hold it; the workspace's
/// `data/shakespeare` is filled.
pub fn data_folder(option: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(dir) = option {
        let dir = std::path::absolute(dir).context("the folder of --data")?;
        if !dir.join(NAME).is_file() {
            bail!("{}, named by --data, lacks {NAME}", dir.display());
        }
        check(&dir.join(NAME), SHA256)?;
        say(format_args!("the text is in {}, named by --data", dir.display()));
        return Ok(dir);
    }
    let dir = root().join("data").join("shakespeare");
    fill(&dir, SHA256, sources::curl)?;
    Ok(dir)
}

/// Refuses a file with another sum.
fn check(path: &Path, sha256: &str) -> Result<()> {
    let shown = path.display();
    let actual =
        File::open(path).and_then(sum).with_context(|| format!("{shown} cannot be read"))?;
    ensure!(
        actual == sha256,
        "{shown} is not the text: its SHA-256 is {actual}, expected {sha256}; remove it to get it anew"
    );
    Ok(())
}

/// Checks the text in a folder; if it is missing, it is `fetch`ed.
fn fill(dir: &Path, sha256: &str, fetch: impl FnOnce(&str, &Path) -> Result<()>) -> Result<()> {
    let place = dir.join(NAME);
    if !place.is_file() {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        let scratch = Scratch::new(dir)?;
        let part = scratch.path().join(NAME);
        say(format_args!("downloading {ADDRESS} (1.1 MB)"));
        fetch(ADDRESS, &part).with_context(|| {
            format!(
                "the text cannot be downloaded; where there is a network, get {ADDRESS}, and put it here as {}; or \
                 give an example another text with --text FILE",
                place.display()
            )
        })?;
        check(&part, sha256)?;
        fs::rename(&part, &place)
            .with_context(|| format!("{} cannot be written", place.display()))?;
    }
    check(&place, sha256)?;
    say(format_args!("the text is in {}, its sum is right", dir.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::tests::ABC;

    /// What the folder holds after a download that gives these bytes, or fails.
    fn play(dir: &Path, answer: Option<&[u8]>) -> (Result<()>, Vec<String>) {
        let fetch = |address: &str, to: &Path| {
            assert_eq!(address, ADDRESS);
            match answer {
                Some(answer) => Ok(fs::write(to, answer)?),
                None => bail!("no answer"),
            }
        };
        let result = fill(dir, ABC.sha256, fetch);
        let entries = fs::read_dir(dir).unwrap();
        (result, entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect())
    }

    #[test]
    fn the_text_is_fetched_once_and_checked() {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let (result, found) = play(dir.path(), Some(b"abc"));
        result.unwrap();
        assert_eq!(found, [NAME]);
        play(dir.path(), None).0.unwrap();
        fs::write(dir.path().join(NAME), "abd").unwrap();
        let error = play(dir.path(), None).0.unwrap_err().to_string();
        assert!(error.contains(ABC.sha256) && error.contains("remove it"), "{error}");
    }

    #[test]
    fn without_a_network_the_error_says_what_to_do_and_another_text_is_refused() {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let (result, found) = play(dir.path(), None);
        let error = format!("{:#}", result.unwrap_err());
        let place = dir.path().join(NAME).display().to_string();
        for word in [ADDRESS, &place, "put it here", "--text FILE", "no answer"] {
            assert!(error.contains(word), "{error}");
        }
        assert_eq!(found, [""; 0]);
        let (result, found) = play(dir.path(), Some(b"abd"));
        assert!(result.unwrap_err().to_string().contains("is not the text"));
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_named_folder_must_hold_the_text() {
        let error = data_folder(Some("no/such".into())).unwrap_err().to_string();
        assert!(error.contains("--data") && error.contains(NAME), "{error}");
    }
}
