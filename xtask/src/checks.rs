//! The `test` command: every check of the workspace, in turn, the quick ones first.
//!
//! The list of steps is data, printed as it runs. The first step that fails ends the command with
//! that step's exit status; a step is skipped only if what it needs cannot be had, and
//! the summary says so.

use anyhow::{Context, Result};
use std::process::Command;
use std::time::Instant;
use xtask::adapter;
use xtask::process::{Exit, SKIPPED, cargo, code, output, root, say, status};
use xtask::toolchain::{WASM, target_std};

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
    /// What the step itself looks for, to end with [`SKIPPED`] if it is not there.
    Own,
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
        args: &["test", "--workspace", "--all-features", "--lib", "--bins", "--tests"],
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
        needs: Need::Own,
    },
];

/// What is built with the probe of the adapter: all examples with the features of the tests, which need them next.
const PROBE: &[&str] = &["--workspace", "--all-features", "--examples"];

impl Step {
    /// The command line as one would type it.
    fn line(&self) -> String {
        let env = self.env.map(|(key, value)| format!("{key}=\"{value}\" ")).unwrap_or_default();
        format!("{env}cargo {}", self.args.join(" "))
    }

    /// Whether this exit status says that the step could not run.
    fn says_skipped(&self, status: Option<i32>) -> bool {
        matches!(self.needs, Need::Own) && status == Some(SKIPPED)
    }
}

/// Makes sure of the adapter, runs the steps, and says in one line what ran and what did not.
pub fn run() -> Result<()> {
    adapter::ensure(PROBE)?;
    let (mut ran, mut skipped) = (Vec::new(), Vec::new());
    for step in STEPS {
        let there = match step.needs {
            Need::Nothing | Need::Own => Ok(()),
            Need::Component(component) => {
                component_for(step.args[0], component)?;
                Ok(())
            }
            Need::Target(target) => target_std(target),
        };
        if let Err(error) = &there {
            say(format_args!("skipped: {} ({error:#})", step.line()));
        }
        match there.is_ok().then(|| run_step(step)).transpose()?.flatten() {
            Some(seconds) => ran.push(format!("{} {seconds:.1} s", step.name)),
            None => skipped.push(step.name),
        }
    }
    let skipped = if skipped.is_empty() { "nothing".into() } else { skipped.join(", ") };
    say(format_args!("all passed: {}; skipped: {skipped}", ran.join(", ")));
    Ok(())
}

/// Runs one step and gives its seconds, none if it says that it could not run; its failure becomes this program's.
fn run_step(step: &Step) -> Result<Option<f64>> {
    say(format_args!("$ {}", step.line()));
    let start = Instant::now();
    let done = status(cargo(step.args).envs(step.env))?;
    let seconds = start.elapsed().as_secs_f64();
    if step.says_skipped(done.code()) {
        return Ok(None);
    }
    if !done.success() {
        let why = format!("failed after {seconds:.1} s: {} ({done})", step.line());
        return Err(Exit { code: code(done), why }.into());
    }
    say(format_args!("{seconds:.1} s"));
    Ok(Some(seconds))
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_usage_lists_the_steps_in_order() {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (usage, steps) = (words(crate::USAGE), names.join(", "));
        assert!(usage.contains(&format!(" test {steps} figures ")), "{steps}");
    }

    #[test]
    fn a_step_that_could_not_run_is_neither_passed_nor_failed() {
        let skipping: Vec<_> = STEPS.iter().filter(|s| s.says_skipped(Some(SKIPPED))).collect();
        assert_eq!(skipping.iter().map(|s| s.name).collect::<Vec<_>>(), ["page in a browser"]);
        for other in [None, Some(0), Some(1), Some(101)] {
            assert!(!skipping[0].says_skipped(other), "{other:?}");
        }
    }
}
