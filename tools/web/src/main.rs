//! The `web` command: the page in which networks train in a browser.
//!
//! It builds `web/` for wasm32, makes its JavaScript and its file of digits, and serves the folder on this machine. The
//! folder works from any file server.

#![warn(clippy::missing_docs_in_private_items)]

mod build;
mod pack;
mod serve;
mod test;

use anyhow::{Result, ensure};
use std::ffi::OsString;
use std::path::PathBuf;
use xtask::process::{end, say, skipped, target, wrong_use};
use xtask::toolchain::{WASM, target_std};

/// What is printed for `--help`, and for a wrong command line.
const USAGE: &str = "\
usage: cargo xtask web [--build-only | --test] [--out FOLDER] [--port PORT] [--data DIR]

Builds the page that trains in a browser into FOLDER (target/web/site) and serves it on localhost, at
PORT (8080). --build-only ends after the build: FOLDER works from any file server. --test opens the
page in headless Chromium on its software adapter, compares losses with native ones, compiles every
kernel there, and keeps pictures; it needs chromium, node and npm, and without them it ends with status 77.";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Args {
    /// What to do with the page that was built.
    mode: Mode,
    /// The folder of the page.
    out: PathBuf,
    /// The port of the server.
    port: u16,
    /// The folder of MNIST.
    data: Option<PathBuf>,
}

/// What to do with the page.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    /// Serve it until the program is stopped.
    Serve,
    /// Nothing more.
    Build,
    /// Open it in a browser and test it.
    Test,
}

/// Runs the command and ends with its exit status.
fn main() {
    std::process::exit(end(run(std::env::args_os().skip(1).collect())));
}

/// Builds the page, and serves or tests it.
fn run(args: Vec<OsString>) -> Result<()> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    let args = parse(args)?;
    let there = target_std(WASM);
    let browser = match args.mode {
        Mode::Test => {
            there.map_err(|why| skipped("the test of the page", &why))?;
            Some(test::Browser::find()?)
        }
        Mode::Serve | Mode::Build => there.map(|()| None)?,
    };
    let bytes = build::build(&args.out, args.data)?;
    say(format_args!("the page is in {}", args.out.display()));
    say(format_args!("WebAssembly and JavaScript: {} KB to download", bytes.div_ceil(1000)));
    if let Some(browser) = browser {
        browser.test(&args.out)?;
        let most = test::SIZE;
        ensure!(bytes <= 1000 * most, "the page's programs have {bytes} bytes, at most {most} KB");
    }
    if args.mode == Mode::Serve {
        let server = serve::Server::open(&args.out, args.port)?;
        say(format_args!("open {}", server.address()));
        server.run();
    }
    Ok(())
}

/// Reads the command line.
fn parse(args: Vec<OsString>) -> Result<Args> {
    let usage = |why: &str| wrong_use(why, USAGE);
    let site = target().join("web").join("site");
    let mut parsed = Args { mode: Mode::Serve, out: site, port: 8080, data: None };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().filter(|value| !value.is_empty());
        match arg.to_str() {
            Some("--build-only") if parsed.mode == Mode::Serve => parsed.mode = Mode::Build,
            Some("--test") if parsed.mode == Mode::Serve => parsed.mode = Mode::Test,
            Some("--build-only" | "--test") => {
                return Err(usage("`--build-only` or `--test` is given once"));
            }
            Some("--out") => {
                let folder = value().ok_or_else(|| usage("`--out` needs a folder"))?;
                parsed.out = std::path::absolute(folder)?;
            }
            Some("--data") => {
                let folder = value().ok_or_else(|| usage("`--data` needs a folder"))?;
                parsed.data = Some(folder.into());
            }
            Some("--port") => {
                let port = value().and_then(|port| port.to_str()?.parse().ok());
                parsed.port = port.ok_or_else(|| usage("`--port` needs a number"))?;
            }
            _ => return Err(usage(&format!("`web` takes no `{}`", arg.display()))),
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a command line written as words.
    fn words(line: &str) -> Result<Args> {
        parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn the_command_line_says_what_to_do() {
        let site = target().join("web").join("site");
        let serve = Args { mode: Mode::Serve, out: site, port: 8080, data: None };
        assert_eq!(words("").unwrap(), serve);
        let args = words("--build-only --out /x --port 90 --data d").unwrap();
        let out = PathBuf::from("/x");
        assert_eq!(args, Args { mode: Mode::Build, out, port: 90, data: Some("d".into()) });
        for bad in ["--tset", "--out", "--port x", "--port 70000", "--test --build-only", "x"] {
            assert_eq!(end(words(bad).map(drop)), 2, "{bad}");
        }
    }
}
