//! The `mnist` command: an adapter, the data, then the example in release; and the `data` command: the data alone.

use crate::usage;
use anyhow::Result;
use std::ffi::OsString;
use std::path::PathBuf;
use xtask::process::{Exit, cargo, code, say, status};
use xtask::{adapter, cifar10, mnist, shakespeare};

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
    adapter::ensure(&["--release", "--example", "mnist"])?;
    let data = mnist::data_folder(args.data, std::env::var_os("WGRAD_DATA"))?;
    say("training");
    let mut example = cargo(&["run", "--quiet", "--release", "--example", "mnist", "--", "--data"]);
    let done = status(example.arg(data).args(args.further))?;
    if done.success() {
        return Ok(());
    }
    Err(Exit { code: code(done), why: format!("the `mnist` example failed: {done}") }.into())
}

/// Gets a data set, MNIST if none is named, and prints its folder. Examples that lack it call this, so nothing else goes to
/// standard output.
pub fn data(args: Vec<OsString>) -> Result<()> {
    let args = split(args)?;
    let set = args.further.first().map_or("mnist".into(), |set| set.to_string_lossy());
    let folder = match (&*set, args.further.get(1)) {
        ("mnist", None) => mnist::data_folder(args.data, std::env::var_os("WGRAD_DATA"))?,
        ("cifar10", None) => cifar10::data_folder(args.data)?,
        ("shakespeare", None) => shakespeare::data_folder(args.data)?,
        (other, None) => return Err(usage(&format!("`data` takes no `{other}`"))),
        (_, Some(other)) => return Err(usage(&format!("`data` takes no `{}`", other.display()))),
    };
    println!("{}", folder.display());
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
