//! `cargo xtask`: the commands of a fresh machine: one that trains and one that tests. Those that measure are crates
//! under `tools/`, which are built when they are asked for.
//!
//! It needs only Rust. Each command looks for what else it needs (a GPU adapter, MNIST, a compiler component), gets
//! it if it can, and otherwise names it. The lines of this program go to standard error, so that standard output is
//! the example's.

#![warn(clippy::missing_docs_in_private_items)]

mod checks;
mod commands;

use anyhow::Result;
use std::ffi::OsString;
use std::process::Command;
use xtask::process::{Exit, code, end, root, status, wrong_use};

/// The commands that are crates under `tools/`, by the name of both.
const TOOLS: [&str; 4] = ["figures", "peers", "gpu-report", "web"];

/// What is printed for `help`, and for a command line that names no command.
const USAGE: &str = "\
usage: cargo xtask <command>

  mnist [--data DIR] [ARGS...]  open a GPU adapter, get MNIST, build in release and train
  data [mnist] [--data DIR]     get MNIST, and print its folder to standard output
  data cifar10 [--data DIR]     get CIFAR-10 into data/cifar10, and print its folder
  data shakespeare [--data DIR] get a text of 1.1 MB into data/shakespeare, and print its folder
  test                          format, clippy, tests, op tests with run-time checks, doc tests, docs,
                                wasm, page in a browser
  figures [--tables]            train MNIST and run benchmarks, and write benches/results and the
                                README's table of figures; --tables makes only the table
  peers [OPTIONS]               time wgrad and other libraries, and write benches/peers/results
  gpu-report [--out FOLDER]     make a folder (target/gpu-report) that tests and measures wgrad on
                                a machine without Rust and network: `sh run.sh` there
  web [--build-only | --test]   build the page that trains in a browser, and serve it on localhost

`cargo xtask peers --help` lists its OPTIONS.

MNIST is read from --data DIR, else from $WGRAD_DATA, else from data/mnist/, as IDX files, plain
or gzip; what data/mnist/ lacks is downloaded into it. ARGS go to the example, which runs in the
workspace's root; `cargo run --release --example mnist -- --help` lists them.";

/// Runs the command and ends with its exit status, so that scripts see what the child said.
fn main() {
    std::process::exit(end(dispatch(std::env::args_os().skip(1).collect())));
}

/// Picks the command: no command, an unknown one or a wrong use of one is exit status 2.
fn dispatch(mut args: Vec<OsString>) -> Result<()> {
    if args.is_empty() {
        return Err(usage("no command"));
    }
    let command = args.remove(0);
    let asks_help = |args: &[OsString]| args.first().is_some_and(|a| a == "--help" || a == "-h");
    match command.to_str() {
        Some("mnist" | "data" | "test") if asks_help(&args) => help(),
        Some("mnist") => commands::run(args),
        Some("data") => commands::data(args),
        Some("test") if args.is_empty() => checks::run(),
        Some("test") => Err(usage("`test` takes no arguments")),
        Some(tool) if TOOLS.contains(&tool) => finish(&mut start(tool, args)),
        Some("help" | "--help" | "-h") => help(),
        _ => Err(usage(&format!("unknown command `{}`", command.display()))),
    }
}

/// The start of a tool. It runs in the user's folder, because its arguments may name files there.
fn start(tool: &str, args: Vec<OsString>) -> Command {
    let manifest = root().join("Cargo.toml");
    let mut run = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    run.args(["run", "--quiet", "--manifest-path"]).arg(manifest);
    run.args(["--package", tool, "--"]).args(args);
    run
}

/// Runs a tool to its end, which is this program's. It has printed why it failed.
fn finish(tool: &mut Command) -> Result<()> {
    let done = status(tool)?;
    if done.success() {
        return Ok(());
    }
    Err(Exit { code: code(done), why: String::new() }.into())
}

/// Prints the usage as the answer that was asked for.
fn help() -> Result<()> {
    println!("{USAGE}");
    Ok(())
}

/// A wrong command line.
fn usage(why: &str) -> anyhow::Error {
    wrong_use(why, USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exit status that a command line ends with.
    fn code(line: &[&str]) -> i32 {
        end(dispatch(line.iter().map(OsString::from).collect()))
    }

    #[test]
    fn a_wrong_command_line_is_exit_status_2() {
        assert_eq!(code(&[]), 2);
        assert_eq!(code(&["tset"]), 2);
        assert_eq!(code(&["test", "--quick"]), 2);
        assert_eq!(code(&["mnist", "--data"]), 2);
        assert_eq!(code(&["data", "--data"]), 2);
        assert_eq!(code(&["data", "--epochs", "1"]), 2);
        assert_eq!(code(&["data", "cifar"]), 2);
        assert_eq!(code(&["data", "cifar10", "mnist"]), 2);
        assert_eq!(code(&["data", "shakespeare", "x"]), 2);
    }

    #[test]
    fn asking_for_help_succeeds() {
        assert_eq!(code(&["--help"]), 0);
        assert_eq!(code(&["mnist", "--help"]), 0);
        assert_eq!(code(&["data", "--help"]), 0);
    }

    #[test]
    fn every_tool_is_a_crate_that_takes_all_arguments() {
        for tool in TOOLS {
            let manifest = root().join("tools").join(tool).join("Cargo.toml");
            let manifest = std::fs::read_to_string(manifest).unwrap();
            assert!(manifest.contains(&format!("\nname = \"{tool}\"\n")), "{tool}");
            assert!(USAGE.contains(&format!("\n  {tool} ")), "{tool}");
            let start = start(tool, vec!["--help".into(), "x".into()]);
            let args: Vec<_> = start.get_args().map(|a| a.to_str().unwrap()).collect();
            assert!(args.ends_with(&["--package", tool, "--", "--help", "x"]), "{args:?}");
        }
    }

    #[test]
    fn a_tools_end_is_passed_on() {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let ends = |arg| end(finish(Command::new(&rustc).arg(arg)));
        assert_eq!(ends("--version"), 0);
        assert_ne!(ends("--no-such-option"), 0);
    }
}
