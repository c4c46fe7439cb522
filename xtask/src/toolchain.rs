//! What a command needs besides cargo: the standard library of a target, and programs.

use crate::process::{output, root, say};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of browsers.
pub const WASM: &str = "wasm32-unknown-unknown";

/// Makes sure that a target's standard library is there, adding it if it is not.
pub fn target_std(target: &str) -> Result<()> {
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

/// The first of these programs that is on the path; if none is, the error names the first.
pub fn program(names: &[&str]) -> Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path = |name: &&str| {
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&paths).map(|dir| dir.join(&file)).find(|path| path.is_file())
    };
    names.iter().find_map(on_path).with_context(|| format!("`{}` is not installed", names[0]))
}

/// Whether a toolchain's folder holds a target's standard library.
fn holds_std(sysroot: &Path, target: &str) -> bool {
    sysroot.join("lib").join("rustlib").join(target).join("lib").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Scratch;

    #[test]
    fn a_program_that_is_missing_is_named() {
        let cargo = program(&["no-such-program-here", "cargo"]).unwrap();
        assert!(
            cargo.is_file() && cargo.ends_with(format!("cargo{}", std::env::consts::EXE_SUFFIX))
        );
        let error = program(&["no-such-program-here", "nor-this"]).unwrap_err();
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
