//! The `gpu-report` command: a folder that measures wgrad on a machine with neither Rust nor network.
//!
//! This machine makes the folder (`build`, `folder`). On the target its `run.sh` starts the same program, which is in
//! the folder as `bin/report`, with `--run`. It looks for Vulkan (`vulkan`) and goes through the parts (`measure`,
//! `guests`, `contest`), each a process with a log and a limit (`part`). It reads what they printed (`read`,
//! `numbers`), keeps what is known so far (`rows`), and prints one table (`table`).

#![warn(clippy::missing_docs_in_private_items)]

mod build;
mod contest;
mod folder;
mod guests;
mod libc;
mod measure;
mod numbers;
mod part;
pub mod read;
mod rows;
mod table;
mod vulkan;

use anyhow::{Context, Result};
use peers::models::MODELS;
use rows::Counts;
use std::ffi::OsString;
use std::path::PathBuf;
use xtask::process::{Exit, target, wrong_use};

/// What is printed for `--help`, and for a wrong command line.
const USAGE: &str = "\
usage: cargo xtask gpu-report [--out FOLDER]

Makes a folder (target/gpu-report) that tests and measures wgrad on a machine without Rust and
network: `sh run.sh` there. Exit status 2: the command line is wrong.

The program in the folder is this one, and run.sh starts it with --run FOLDER. What follows are the
parts that run: `tests`, `benchmarks` and names of models, whose peers run; without one, all. Exit
status then: 1 if a part failed or the time was over before it, 3 if no adapter opens.";

/// A wrong command line.
fn usage(why: &str) -> anyhow::Error {
    wrong_use(why, USAGE)
}

/// The parts that run, of those that a machine measures: all if none is named.
#[derive(Debug, Default, PartialEq)]
pub struct Choice(Vec<String>);

impl Choice {
    /// The parts of these names; another name is a wrong use of the command.
    fn of(names: Vec<String>) -> Result<Choice> {
        let known = |name: &str| {
            ["tests", "benchmarks"].contains(&name) || MODELS.iter().any(|m| m.name == name)
        };
        match names.iter().find(|name| !known(name)) {
            Some(name) => Err(usage(&format!("unknown part `{name}`"))),
            None => Ok(Choice(names)),
        }
    }

    /// Whether the part of this name runs.
    pub fn takes(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|part| part == name)
    }
}

/// The arguments.
#[derive(Debug, PartialEq)]
enum Args {
    /// To make the folder.
    Make(PathBuf),
    /// To measure, with what is in the folder.
    Run(PathBuf, Choice),
    /// To be told about the command.
    Help,
}

impl Args {
    /// Reads the arguments; every fault is a wrong use of the command.
    fn parse(words: Vec<OsString>) -> Result<Args> {
        let mut words = words.into_iter();
        let Some(word) = words.next() else { return Ok(Args::Make(target().join("gpu-report"))) };
        let name = word.to_string_lossy().into_owned();
        if matches!(name.as_str(), "--help" | "-h") {
            return Ok(Args::Help);
        }
        let folder = words.next().filter(|f| !f.is_empty());
        let parts: Vec<String> = words.map(|w| w.to_string_lossy().into_owned()).collect();
        let folder = folder.ok_or_else(|| usage(&format!("`{name}` needs a folder")));
        match name.as_str() {
            "--out" if !parts.is_empty() => Err(usage("`--out` takes one folder")),
            "--out" => Ok(Args::Make(folder?.into())),
            "--run" => Ok(Args::Run(folder?.into(), Choice::of(parts)?)),
            _ => Err(usage(&format!("unknown argument `{name}`"))),
        }
    }
}

/// Runs the command.
pub fn run(words: Vec<OsString>) -> Result<()> {
    let absolute = |path: PathBuf| std::path::absolute(path).context("the folder");
    match Args::parse(words)? {
        Args::Help => {
            println!("{USAGE}");
            Ok(())
        }
        Args::Make(out) => folder::make(&absolute(out)?),
        Args::Run(folder, choice) => {
            let counts = measure::run(&absolute(folder)?, &choice)?;
            if counts == (Counts { failed: 0, missed: 0 }) {
                return Ok(());
            }
            let Counts { failed, missed } = counts;
            let why = format!(
                "{failed} of the parts failed, the logs say why; the time was over before {missed}"
            );
            Err(Exit { code: 1, why }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a command line written as words.
    fn words(line: &str) -> Result<Args> {
        Args::parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn a_folder_is_made_in_the_build_folder_or_where_it_is_wanted() {
        assert_eq!(words("").unwrap(), Args::Make(target().join("gpu-report")));
        assert_eq!(words("--out x").unwrap(), Args::Make("x".into()));
        assert_eq!(words("--run x").unwrap(), Args::Run("x".into(), Choice::default()));
        assert_eq!(words("--help").unwrap(), Args::Help);
    }

    #[test]
    fn named_parts_run_and_no_others() {
        let Args::Run(_, all) = words("--run x").unwrap() else { panic!() };
        assert!(all.takes("tests") && all.takes("S"));
        let Args::Run(_, some) = words("--run x tests N4").unwrap() else { panic!() };
        assert!(some.takes("tests") && some.takes("N4"));
        assert!(!some.takes("benchmarks") && !some.takes("N64"));
    }

    #[test]
    fn a_wrong_word_is_a_wrong_use() {
        for line in ["--out", "x", "--no x", "--out x y", "--run x Z9"] {
            let error = words(line).unwrap_err();
            assert_eq!(error.downcast_ref::<Exit>().unwrap().code, 2, "{line}");
        }
    }
}
