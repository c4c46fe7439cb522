//! Building what the folder carries, and finding what cargo made.

use anyhow::{Context, Result};
use peers::build::Built;
use serde::Deserialize;
use std::path::PathBuf;
use std::process::Stdio;
use xtask::process::{Exit, cargo, code, root, say};

/// The benchmarks.
pub const BENCHES: [&str; 9] = [
    "matmul",
    "kernels",
    "step",
    "fit",
    "dispatches",
    "embedding",
    "first_step",
    "planner",
    "convolution",
];

/// A program that was built.
#[derive(Debug, PartialEq)]
pub struct Program {
    /// Its name in the folder.
    pub name: String,
    /// The path that cargo gave it.
    pub path: PathBuf,
}

/// A line of cargo's messages, of which only finished artifacts matter.
#[derive(Deserialize)]
struct Message {
    /// What is built.
    target: Option<Target>,
    /// The program, if it is one.
    executable: Option<PathBuf>,
}

/// A part of a package.
#[derive(Deserialize)]
struct Target {
    /// Its name.
    name: String,
}

/// Builds tests, the command `wgrad`, benchmarks and wgrad's peer in release; gives all programs, and what the peer's build says.
pub fn programs() -> Result<(Vec<Program>, Built)> {
    // Tests that read no file, so that they run anywhere.
    let mut all = build(&[
        "--package",
        "wgrad",
        "--test",
        "ops",
        "--test",
        "memory",
        "--package",
        "wgrad-cli",
        "--bin",
        "wgrad",
    ])?;
    // A separate build: a benchmark should not have the features of the tests.
    all.extend(build(&["--package", "wgrad-benches", "--benches"])?);
    let crates = root().join("benches/peers");
    let peer = peers::build::build("wgrad", "wgrad", &crates, &peers::folder(), false)?;
    all.push(Program { name: "peer".into(), path: peer.program.clone() });
    let names = ["ops", "memory", "wgrad", "peer"].into_iter().chain(BENCHES);
    for name in names {
        all.iter().find(|p| p.name == name).with_context(|| format!("cargo built no `{name}`"))?;
    }
    Ok((all, peer))
}

/// Builds in release and gives the programs.
fn build(what: &[&str]) -> Result<Vec<Program>> {
    say(format_args!("building {}", what.join(" ")));
    let mut command =
        cargo(&["build", "--release", "--quiet", "--message-format=json-render-diagnostics"]);
    let done =
        command.args(what).stderr(Stdio::inherit()).output().context("cargo cannot be started")?;
    if !done.status.success() {
        return Err(
            Exit { code: code(done.status), why: "the build failed, see above".into() }.into()
        );
    }
    Ok(executables(&String::from_utf8_lossy(&done.stdout)))
}

/// The programs that cargo's messages name.
fn executables(messages: &str) -> Vec<Program> {
    let read = |line| serde_json::from_str::<Message>(line).ok();
    let program = |m: Message| Some(Program { name: m.target?.name, path: m.executable? });
    messages.lines().filter_map(read).filter_map(program).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"wgrad"},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"ops"},"executable":"/t/ops-1"}
{"reason":"build-script-executed","package_id":"x"}
not json
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            executables(messages),
            [Program { name: "ops".into(), path: "/t/ops-1".into() }]
        );
    }

    #[test]
    fn every_benchmark_is_named_here() {
        let manifest = std::fs::read_to_string(root().join("benches/Cargo.toml")).unwrap();
        let named = manifest.split("[[bench]]").skip(1).map(|part| part.split('"').nth(1).unwrap());
        assert_eq!(named.collect::<Vec<_>>(), BENCHES);
    }
}
