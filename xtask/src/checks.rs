//! The `test` command: every check of the workspace, in turn, the quick ones first.
//!
//! The list of steps is data, printed as it runs. The first step that fails ends the command with
//! that step's exit status; a step is skipped only if a compiler component cannot be had, and
//! the summary says so.

use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use xtask::adapter;
use xtask::process::{Exit, cargo, code, output, root, say, status};

/// The target that the library and the page are checked for besides that of the machine.
const WASM: &str = "wasm32-unknown-unknown";

/// One cargo command.
struct Step {
    /// Its name in the summary.
    name: &'static str,
    /// A variable set for it.
    env: Option<(&'static str, &'static str)>,
    /// Its arguments.
    args: &'static [&'static str],
    /// What it needs beyond cargo.
    needs: Need,
}

/// What a step needs of the toolchain.
enum Need {
    /// Nothing more.
    Nothing,
    /// A component by its name, without which the step cannot run and so fails.
    Component(&'static str),
    /// The standard library of a target, without which the step is skipped.
    Target(&'static str),
    /// Programs, without which the step is skipped.
    Programs(&'static [&'static str]),
}

/// All steps. Clippy builds the benches; no step runs them.
const STEPS: &[Step] = &[
    Step {
        name: "format",
        env: None,
        args: &["fmt", "--all", "--check"],
        needs: Need::Component("rustfmt"),
    },
    Step {
        name: "clippy",
        env: None,
        args: &["clippy", "--workspace", "--all-features", "--all-targets", "--", "-D", "warnings"],
        needs: Need::Component("clippy"),
    },
    Step {
        name: "tests",
        env: None,
        args: &[
            "test",
            "--workspace",
            "--all-features",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
        ],
        needs: Need::Nothing,
    },
    Step {
        name: "op tests with run-time checks",
        env: Some(("WGRAD_CHECKED", "1")),
        args: &["test", "--workspace", "--all-features", "--test", "ops"],
        needs: Need::Nothing,
    },
    Step {
        name: "doc tests",
        env: None,
        args: &["test", "--workspace", "--all-features", "--doc"],
        needs: Need::Nothing,
    },
    Step {
        name: "docs",
        env: Some(("RUSTDOCFLAGS", "-D warnings")),
        args: &["doc", "--workspace", "--all-features", "--no-deps"],
        needs: Need::Nothing,
    },
    Step {
        name: "wasm",
        env: None,
        args: &[
            "clippy",
            "--lib",
            "--package",
            "wgrad",
            "--package",
            "wgrad-web",
            "--target",
            WASM,
            "--",
            "-D",
            "warnings",
        ],
        needs: Need::Target(WASM),
    },
    Step {
        name: "page in a browser",
        env: None,
        args: &["run", "--quiet", "--package", "web", "--", "--test"],
        needs: Need::Programs(&["chromium", "node", "npm"]),
    },
];

/// What is built with the probe of the adapter: an example with the features of the tests, which need it next.
const PROBE: &[&str] = &["--workspace", "--all-features", "--example", "plan"];

impl Step {
    /// The command line as one would type it.
    fn line(&self) -> String {
        let env = self.env.map(|(key, value)| format!("{key}=\"{value}\" ")).unwrap_or_default();
        format!("{env}cargo {}", self.args.join(" "))
    }
}

/// Makes sure of the adapter, runs the steps, and says in one line what ran and what did not.
pub fn run() -> Result<()> {
    adapter::ensure(PROBE)?;
    let (mut ran, mut skipped) = (Vec::new(), Vec::new());
    for step in STEPS {
        let there = match step.needs {
            Need::Nothing => Ok(()),
            Need::Component(component) => {
                component_for(step.args[0], component)?;
                Ok(())
            }
            Need::Target(target) => target_std(target),
            Need::Programs(names) => names.iter().try_for_each(|name| program(name)),
        };
        if let Err(error) = there {
            say(format_args!("skipped: {} ({error:#})", step.line()));
            skipped.push(step.name);
            continue;
        }
        let seconds = run_step(step)?;
        ran.push(format!("{} {seconds:.1} s", step.name));
    }
    let skipped = if skipped.is_empty() { "nothing".into() } else { skipped.join(", ") };
    say(format_args!("all passed: {}; skipped: {skipped}", ran.join(", ")));
    Ok(())
}

/// Runs one step and gives its seconds; its failure becomes this program's.
fn run_step(step: &Step) -> Result<f64> {
    say(format_args!("$ {}", step.line()));
    let start = Instant::now();
    let done = status(cargo(step.args).envs(step.env))?;
    let seconds = start.elapsed().as_secs_f64();
    if !done.success() {
        let why = format!("failed after {seconds:.1} s: {} ({done})", step.line());
        return Err(Exit { code: code(done), why }.into());
    }
    say(format_args!("{seconds:.1} s"));
    Ok(seconds)
}

/// Makes sure that a cargo subcommand is there, adding its component if it is not.
fn component_for(subcommand: &str, component: &str) -> Result<()> {
    let there = || output(&mut cargo(&[subcommand, "--version"]));
    if there().is_ok() {
        return Ok(());
    }
    say(format_args!("`cargo {subcommand}` is missing: rustup component add {component}"));
    let mut add = Command::new("rustup");
    output(add.args(["component", "add", component]).current_dir(root()))
        .and_then(|_| there())
        .with_context(|| format!("`cargo {subcommand}` needs the component {component}"))
        .map(|_| ())
}

/// Makes sure that a target's standard library is there, adding it if it is not.
fn target_std(target: &str) -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = output(Command::new(rustc).args(["--print", "sysroot"]).current_dir(root()))?;
    if holds_std(Path::new(sysroot.trim()), target) {
        return Ok(());
    }
    say(format_args!("the standard library is missing: rustup target add {target}"));
    let mut add = Command::new("rustup");
    output(add.args(["target", "add", target]).current_dir(root()))
        .map(|_| ())
        .with_context(|| format!("no standard library for {target}"))
}

/// Makes sure that a program is on the path.
fn program(name: &str) -> Result<()> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let there = std::env::split_paths(&paths).any(|dir| dir.join(&file).is_file());
    there.then_some(()).with_context(|| format!("`{name}` is not installed"))
}

/// Whether a toolchain's folder holds a target's standard library.
fn holds_std(sysroot: &Path, target: &str) -> bool {
    sysroot.join("lib").join("rustlib").join(target).join("lib").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::sources::Scratch;

    #[test]
    fn a_line_shows_the_variable_that_its_step_sets() {
        let lines: Vec<_> = STEPS.iter().map(Step::line).collect();
        assert_eq!(lines[0], "cargo fmt --all --check");
        assert_eq!(
            lines[5],
            "RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --all-features --no-deps"
        );
    }

    #[test]
    fn checks_of_code_refuse_warnings_for_every_target() {
        let checks = || STEPS.iter().filter(|step| ["check", "clippy"].contains(&step.args[0]));
        assert!(checks().any(|step| step.args.contains(&WASM)));
        for step in checks() {
            assert!(step.args.ends_with(&["--", "-D", "warnings"]), "{}", step.line());
        }
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        assert!(program("cargo").is_ok());
        let error = program("no-such-program-here").unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-here` is not installed");
    }

    #[test]
    fn only_a_target_with_its_library_counts_as_there() {
        let sysroot = Scratch::new(&std::env::temp_dir()).unwrap();
        let target = sysroot.path().join("lib/rustlib").join(WASM);
        std::fs::create_dir_all(&target).unwrap();
        assert!(!holds_std(sysroot.path(), WASM));
        std::fs::create_dir(target.join("lib")).unwrap();
        assert!(holds_std(sysroot.path(), WASM));
    }
}
