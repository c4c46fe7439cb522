//! Makes sure that a GPU adapter can be opened, before anything that needs one runs.
//!
//! `wgrad adapters` is the judge: status 0 when an adapter opens, 3 when none does. Only that status leads
//! to an installation; a build that fails or a program that crashes is reported as it is, because no driver mends it.

use crate::install;
use crate::process::{Exit, built, cargo, code, quiet_vulkan, say, status};
use anyhow::Result;
use std::process::Command;

/// The exit status with which `wgrad adapters` says that no adapter opens.
const NO_ADAPTER: i32 = 3;

/// The variables with which a user narrows the choice of adapters.
const FILTERS: [&str; 2] = ["WGRAD_ADAPTER", "WGPU_BACKEND"];

/// Builds the command `wgrad`, opens an adapter with it, and installs a driver if none opens.
///
/// `what` is what cargo builds beside it: options, and what the caller runs next. One build of both has the features of
/// both, so that the library is compiled once.
pub fn ensure(what: &[&str]) -> Result<()> {
    say("building");
    let mut build = cargo(&["build", "--quiet", "--bin", "wgrad"]);
    let done = status(build.args(what))?;
    if !done.success() {
        return Err(Exit { code: code(done), why: "the build failed, see above".into() }.into());
    }
    let release = what.contains(&"--release");
    let filtered = FILTERS.iter().any(|name| std::env::var_os(name).is_some());
    settle(filtered, |use_filters| probe(release, use_filters), install::driver)
}

/// Runs `wgrad adapters`, with the user's filters or without, and gives its exit status. Cargo does not start it, because
/// it would build the program again with fewer features.
fn probe(release: bool, use_filters: bool) -> Result<i32> {
    let mut run = Command::new(built(release, "wgrad")?);
    run.arg("adapters");
    quiet_vulkan(&mut run);
    if !use_filters {
        for name in FILTERS {
            run.env_remove(name);
        }
    }
    Ok(code(status(&mut run)?))
}

/// Decides what to do about the probe's answers. If only a filter keeps the adapters away, it is
/// for the user to change, and nothing is installed.
fn settle(
    filtered: bool,
    mut probe: impl FnMut(bool) -> Result<i32>,
    install: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if opens(probe(true)?)? {
        return Ok(());
    }
    if filtered && opens(probe(false)?)? {
        let why = format!("an adapter is there, but {} keeps it away", FILTERS.join(" or "));
        return Err(Exit { code: NO_ADAPTER, why }.into());
    }
    say("no GPU adapter can be opened");
    install().map_err(|error| Exit { code: NO_ADAPTER, why: format!("{error:#}") })?;
    if opens(probe(true)?)? {
        return Ok(());
    }
    let why = format!("{} is installed, and still no GPU adapter can be opened", install::PACKAGE);
    Err(Exit { code: NO_ADAPTER, why }.into())
}

/// Whether the probe's exit status says that an adapter opens; one that says neither is an error.
fn opens(code: i32) -> Result<bool> {
    match code {
        0 => Ok(true),
        NO_ADAPTER => Ok(false),
        code => {
            let why = format!("`wgrad adapters` failed with exit status {code}, see above");
            Err(Exit { code, why }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settles on the probe's answers in turn; gives the exit status, the probes' filters and
    /// whether something was installed.
    fn play(filtered: bool, answers: &[i32], installs: bool) -> (i32, Vec<bool>, bool) {
        let (mut asked, mut installed) = (Vec::new(), false);
        let result = settle(
            filtered,
            |use_filters| {
                asked.push(use_filters);
                Ok(answers[asked.len() - 1])
            },
            || {
                installed = true;
                if installs { Ok(()) } else { Err(anyhow::anyhow!("refused")) }
            },
        );
        let code = result.err().map_or(0, |e| e.downcast_ref::<Exit>().map_or(1, |x| x.code));
        (code, asked, installed)
    }

    #[test]
    fn an_adapter_that_opens_is_enough() {
        assert_eq!(play(false, &[0], true), (0, vec![true], false));
    }

    #[test]
    fn no_adapter_installs_and_probes_again() {
        assert_eq!(play(false, &[3, 0], true), (0, vec![true, true], true));
        assert_eq!(play(false, &[3, 3], true), (3, vec![true, true], true));
        assert_eq!(play(false, &[3], false), (3, vec![true], true));
    }

    #[test]
    fn another_failure_installs_nothing_and_is_passed_on() {
        assert_eq!(play(false, &[101], true), (101, vec![true], false));
    }

    #[test]
    fn a_filter_at_fault_installs_nothing() {
        assert_eq!(play(true, &[3, 0], true), (3, vec![true, false], false));
        assert_eq!(play(true, &[3, 3, 0], true), (0, vec![true, false, true], true));
    }
}
