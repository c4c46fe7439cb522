//! Child processes: how one is started, named in messages, and how its end becomes an exit status.

use anyhow::{Context, Result};
use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;

/// An end with a chosen exit status; any other error ends with status 1.
#[derive(Debug)]
pub struct Exit {
    /// The exit status.
    pub code: i32,
    /// What is printed before.
    pub why: String,
}

impl Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Exit {}

/// The exit status of a test that could not run, as Automake has it: it is neither a success nor a failure.
pub const SKIPPED: i32 = 77;

/// The end of a test that could not run, and why.
pub fn skipped(what: &str, why: &anyhow::Error) -> anyhow::Error {
    Exit { code: SKIPPED, why: format!("skipped: {what} ({why:#})") }.into()
}

/// A wrong command line: what is wrong with it, the usage, exit status 2.
pub fn wrong_use(why: &str, usage: &str) -> anyhow::Error {
    Exit { code: 2, why: format!("{why}\n{usage}") }.into()
}

/// The exit status that a command ends with; prints why it failed, if it says so.
pub fn end(done: Result<()>) -> i32 {
    let Err(error) = done else { return 0 };
    let why = format!("{error:#}");
    if !why.is_empty() {
        say(why);
    }
    error.downcast_ref::<Exit>().map_or(1, |exit| exit.code)
}

/// Prints one line about what is being done, to standard error.
pub fn say(line: impl Display) {
    eprintln!("xtask: {line}");
}

/// The workspace's root, for any current folder. Cargo names the folder of the crate that it runs, and the workspace may
/// have moved since it was built.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    let holds_this = |dir: &&Path| dir.join("xtask").join("Cargo.toml").is_file();
    ROOT.get_or_init(|| {
        let now = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let now = now.as_deref().and_then(|dir| dir.ancestors().find(holds_this));
        let built = Path::new(env!("CARGO_MANIFEST_DIR"));
        now.unwrap_or_else(|| built.parent().unwrap_or(built)).into()
    })
}

/// Cargo's build folder.
pub fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(|dir| root().join(dir));
    named.unwrap_or_else(|| root().join("target"))
}

/// A program that cargo built in this profile: cargo puts it beside this one, or beside this one's folder.
pub fn built(release: bool, name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("the path of this program")?;
    let folder = this.ancestors().nth(2).context("this program is in no build folder")?;
    let profile = if release { "release" } else { "debug" };
    Ok(folder.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// The cargo that runs this program, in the workspace's root, so that the toolchain is the same.
pub fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    quiet_vulkan(&mut command);
    command
}

/// Sets the variable that software Vulkan complains about on standard error if a service or a container
/// leaves it unset.
pub fn quiet_vulkan(command: &mut Command) {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    }
}

/// Runs a command on the caller's terminal and waits; an error is a program that cannot start.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().map_err(|error| not_started(command, error))
}

/// Runs a command quietly and gives its standard output. A failure says what it printed last,
/// because it has the reason.
pub fn output(command: &mut Command) -> Result<String> {
    let done =
        command.stdin(Stdio::null()).output().map_err(|error| not_started(command, error))?;
    if done.status.success() {
        return String::from_utf8(done.stdout).context("the output is not UTF-8");
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    let program = command.get_program().display();
    anyhow::bail!("{program} failed ({}): {}", done.status, last.unwrap_or("it gave no reason"))
}

/// The error for a program that cannot start; a program that is not there is called that.
fn not_started(command: &Command, error: io::Error) -> anyhow::Error {
    let program = command.get_program().display();
    if error.kind() == io::ErrorKind::NotFound {
        return anyhow::anyhow!("`{program}` is not installed");
    }
    anyhow::anyhow!("`{program}` cannot be started: {error}")
}

/// A child's exit status to pass on; one that a signal ended gives 1.
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_this_crate() {
        assert!(root().join("xtask/Cargo.toml").is_file());
    }

    #[test]
    fn a_command_ends_with_its_own_status() {
        assert_eq!(end(Ok(())), 0);
        assert_eq!(end(Err(anyhow::anyhow!("lost"))), 1);
        assert_eq!(end(Err(wrong_use("no", "usage"))), 2);
        assert_eq!(end(Err(skipped("a test", &anyhow::anyhow!("no browser")))), SKIPPED);
        assert_eq!(end(Err(Exit { code: 7, why: String::new() }.into())), 7);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("no-such-program-here")).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-here` is not installed");
    }
}
