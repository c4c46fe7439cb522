//! Building the Rust peers, each into a separate folder, and what their builds cost.

use super::machine::load;
use super::record::Build;
use crate::process::{cargo, output, say};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Packages of a lock file that belong to the harness: the peer and the protocol.
const OWN: usize = 2;

/// A peer that is built.
pub struct Built {
    /// The program.
    pub program: PathBuf,
    /// The library's version.
    pub version: String,
    /// What the build cost.
    pub build: Build,
}

/// The time of a clean build, kept with it so that it is measured once.
#[derive(serde::Serialize, serde::Deserialize)]
struct Clean {
    /// Seconds.
    seconds: f64,
    /// The load when it began.
    load: Option<f64>,
}

/// Builds a peer of the folder `crates` into `targets`, from nothing if it was not built before or `anew` is set.
pub fn build(
    name: &str,
    package: &str,
    crates: &Path,
    targets: &Path,
    anew: bool,
) -> Result<Built> {
    let (source, target) = (crates.join(name), targets.join(name));
    let in_crate = |args: &[&str]| {
        let mut command = cargo(args);
        command.current_dir(&source).env("CARGO_TARGET_DIR", &target);
        command
    };
    let record = target.join("clean-build.json");
    let clean = fs::read(&record).ok().and_then(|json| serde_json::from_slice(&json).ok());
    let mut clean: Option<Clean> = clean.filter(|_| !anew);

    output(&mut in_crate(&["fetch", "--locked"])).context("its packages cannot be had")?;
    if clean.is_none() && target.exists() {
        fs::remove_dir_all(&target).with_context(|| target.display().to_string())?;
    }
    say(format_args!("building {name}{}", if clean.is_none() { " from nothing" } else { "" }));
    let (start, busy) = (Instant::now(), load());
    compile(&mut in_crate(&["build", "--release", "--locked", "--quiet"]))?;
    if clean.is_none() {
        let measured = Clean { seconds: start.elapsed().as_secs_f64(), load: busy };
        fs::write(&record, serde_json::to_vec(&measured)?)?;
        clean = Some(measured);
    }

    let program =
        target.join("release").join(format!("peer-{name}{}", std::env::consts::EXE_SUFFIX));
    let lock = fs::read_to_string(source.join("Cargo.lock"))?;
    let tree =
        ["tree", "--locked", "--prefix", "none", "--edges", "normal,build", "--format", "{p}"];
    let tree = output(&mut in_crate(&tree))?;
    let packages: BTreeSet<&str> = tree.lines().map(|l| l.trim_end_matches(" (*)")).collect();
    let build = Build {
        name: name.into(),
        locked: locked(&lock).count().saturating_sub(OWN),
        built: packages.iter().filter(|p| !p.is_empty()).count().saturating_sub(OWN),
        clean_seconds: clean.as_ref().map(|c| c.seconds),
        clean_load: clean.as_ref().and_then(|c| c.load),
        binary: fs::metadata(&program).ok().map(|m| m.len()),
    };
    let version = locked(&lock).find(|(name, _)| *name == package).map(|(_, version)| version);
    let version = version.with_context(|| format!("the lock file has no {package}"))?.to_string();
    Ok(Built { program, version, build })
}

/// Runs a build; a failure says what the compiler said first.
fn compile(command: &mut Command) -> Result<()> {
    let done = command.output().context("cargo cannot be started")?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let first = said.lines().find(|line| line.starts_with("error"));
    bail!(
        "it does not build: {}",
        first.or(said.lines().last()).unwrap_or("no reason given").trim()
    )
}

/// Name and version of each package in a lock file.
fn locked(lock: &str) -> impl Iterator<Item = (&str, &str)> {
    lock.split("[[package]]").skip(1).filter_map(|entry| {
        let field = |name: &str| {
            let line = entry.lines().find_map(|l| l.strip_prefix(name))?;
            Some(line.trim_start_matches(" = ").trim_matches('"'))
        };
        Some((field("name")?, field("version")?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::root;

    #[test]
    fn packages_are_read_from_a_lock_file() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n\
                    dependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"0.1.0\"\n";
        assert_eq!(locked(lock).collect::<Vec<_>>(), [("a", "1.2.3"), ("b", "0.1.0")]);
    }

    #[test]
    fn every_rust_peer_has_a_lock_file_with_its_library_and_is_no_member_here() {
        let ours = fs::read_to_string(root().join("Cargo.lock")).unwrap();
        for peer in super::super::roster::ROSTER {
            let super::super::roster::Kind::Rust { package } = peer.kind else { continue };
            let lock = root().join("benches/peers").join(peer.name).join("Cargo.lock");
            let lock = fs::read_to_string(lock).unwrap();
            assert!(locked(&lock).any(|(name, _)| name == package), "{}", peer.name);
            let own = format!("peer-{}", peer.name);
            assert!(locked(&ours).all(|(name, _)| name != own && name != "burn"), "{own}");
        }
    }

    /// The peer is built with `--locked`: its lock file must know what the library needs.
    #[test]
    fn the_lock_file_of_wgrads_peer_has_all_that_wgrad_needs() {
        let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let sections = manifest.split("\n[").filter(|section| {
            let name = section.lines().next().unwrap_or_default();
            name.ends_with("dependencies]") && name != "dev-dependencies]"
        });
        let needed: Vec<&str> = sections
            .flat_map(str::lines)
            .filter(|line| !line.contains("optional = true"))
            .filter_map(|line| line.split_once(" = "))
            .map(|(name, _)| name)
            .collect();
        assert!(["half", "wgpu"].iter().all(|n| needed.contains(n)), "{needed:?}");
        let lock = fs::read_to_string(root().join("benches/peers/wgrad/Cargo.lock")).unwrap();
        let own = lock.split("[[package]]").find(|p| p.contains("\nname = \"wgrad\"\n")).unwrap();
        for name in needed {
            assert!(own.contains(&format!(" \"{name}\",")), "the lock file lacks `{name}`");
        }
    }
}
