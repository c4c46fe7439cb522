//! `cargo xtask`: the commands of a fresh machine: one that trains, one that tests, one that compares, one
//! that packs a report to run elsewhere.
//!
//! It needs only Rust. Each command looks for what else it needs (a GPU adapter, MNIST, a compiler component), gets
//! it if it can, and otherwise names it. The lines of this program go to standard error, so that standard output is
//! the example's.

#![warn(clippy::missing_docs_in_private_items)]

mod adapter;
mod checks;
mod dataset;
mod download;
mod figures;
mod install;
mod mnist;
mod peers;
mod process;
mod report;
mod sources;

use anyhow::Result;
use process::{Exit, say};
use std::ffi::OsString;

/// What is printed for `help`, and for a command line that names no command.
const USAGE: &str = "\
usage: cargo xtask <command>

  mnist [--data DIR] [ARGS...]  open a GPU adapter, get MNIST, build in release and train
  data [--data DIR]             get MNIST, and print its folder to standard output
  test                          format check, clippy, tests, doc tests, docs, wasm type-check
  figures [--tables]            train MNIST and run benchmarks, and write benches/results and the
                                README's table of figures; --tables makes only the table
  peers [OPTIONS]               time wgrad and other libraries, and write benches/peers/results
  gpu-report [--out FOLDER]     make a folder (target/gpu-report) that tests and measures wgrad on
                                a machine without Rust and network: `sh run.sh` there

OPTIONS of peers: --models S,M,L  --rounds N  --only NAME,..  --skip NAME,..  --rebuild NAME,..
--timeout SECONDS  --quick  --tables (run nothing, make the tables from the results kept).
What is not installed is skipped and named; benches/peers/README.md says how to install it.

MNIST is read from --data DIR, else from $WGRAD_DATA, else from data/mnist/, as IDX files, plain
or gzip; what data/mnist/ lacks is downloaded into it. ARGS go to the example, which runs in the
workspace's root; `cargo run --release --example mnist -- --help` lists them.";

/// Runs the command and ends with its exit status, so that scripts see what the child said.
fn main() {
    let code = match dispatch(std::env::args_os().skip(1).collect()) {
        Ok(()) => 0,
        Err(error) => {
            say(format_args!("{error:#}"));
            error.downcast_ref::<Exit>().map_or(1, |exit| exit.code)
        }
    };
    std::process::exit(code);
}

/// Picks the command: no command, an unknown one or a wrong use of one is exit status 2.
fn dispatch(mut args: Vec<OsString>) -> Result<()> {
    if args.is_empty() {
        return Err(usage("no command"));
    }
    let command = args.remove(0);
    let asks_help = |args: &[OsString]| args.first().is_some_and(|a| a == "--help" || a == "-h");
    match command.to_str() {
        Some("mnist" | "data" | "test" | "figures" | "peers" | "gpu-report")
            if asks_help(&args) =>
        {
            help()
        }
        Some("mnist") => mnist::run(args),
        Some("data") => mnist::data(args),
        Some("test") if args.is_empty() => checks::run(),
        Some("test") => Err(usage("`test` takes no arguments")),
        Some("figures") => figures::run(args),
        Some("peers") => peers::run(args),
        Some("gpu-report") => report::run(args),
        Some("help" | "--help" | "-h") => help(),
        _ => Err(usage(&format!("unknown command `{}`", command.display()))),
    }
}

/// Prints the usage as the answer that was asked for.
fn help() -> Result<()> {
    println!("{USAGE}");
    Ok(())
}

/// A wrong command line: what is wrong with it, the usage, exit status 2.
fn usage(why: &str) -> anyhow::Error {
    Exit { code: 2, why: format!("{why}\n{USAGE}") }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exit status that a command line ends with.
    fn code(line: &[&str]) -> i32 {
        match dispatch(line.iter().map(OsString::from).collect()) {
            Ok(()) => 0,
            Err(error) => error.downcast_ref::<Exit>().map_or(1, |exit| exit.code),
        }
    }

    #[test]
    fn a_wrong_command_line_is_exit_status_2() {
        assert_eq!(code(&[]), 2);
        assert_eq!(code(&["tset"]), 2);
        assert_eq!(code(&["test", "--quick"]), 2);
        assert_eq!(code(&["mnist", "--data"]), 2);
        assert_eq!(code(&["data", "--data"]), 2);
        assert_eq!(code(&["data", "--epochs", "1"]), 2);
        assert_eq!(code(&["figures", "--no-such"]), 2);
        assert_eq!(code(&["peers", "--no-such"]), 2);
        assert_eq!(code(&["gpu-report", "--no-such"]), 2);
    }

    #[test]
    fn asking_for_help_succeeds() {
        assert_eq!(code(&["--help"]), 0);
        assert_eq!(code(&["mnist", "--help"]), 0);
        assert_eq!(code(&["data", "--help"]), 0);
        assert_eq!(code(&["figures", "--help"]), 0);
        assert_eq!(code(&["peers", "--help"]), 0);
        assert_eq!(code(&["gpu-report", "--help"]), 0);
    }
}
