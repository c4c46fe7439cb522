//! How many packages a user builds.

use anyhow::{Result, ensure};

/// The packages that `cargo tree` lists, each once.
fn packages(args: &[&str]) -> Result<Vec<String>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut tree = std::process::Command::new(env!("CARGO"));
    tree.args([
        "tree",
        "--offline",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--manifest-path",
        manifest,
    ]);
    let done = tree.args(args).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout)?;
    let mut names: Vec<_> =
        text.lines().filter_map(|l| l.split(' ').next()).map(String::from).collect();
    names.sort();
    names.dedup();
    Ok(names.into_iter().filter(|name| !name.is_empty()).collect())
}

#[test]
fn the_library_needs_few_packages_and_no_argument_parser() -> Result<()> {
    let program = packages(&["--package", "wgrad", "--edges", "normal,build"])?;
    ensure!(program.len() > 20 && program.len() <= 90, "{}: {program:?}", program.len());
    let all = packages(&["--package", "wgrad", "--edges", "normal,build", "--all-features"])?;
    ensure!(!all.iter().any(|name| name.starts_with("clap")), "{all:?}");
    let cli = packages(&["--package", "wgrad-cli", "--edges", "normal,build"])?;
    ensure!(cli.iter().any(|name| name == "clap"), "the command has its own: {cli:?}");
    // What a program locks that depends on the library; two packages are the program's.
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/wgrad/Cargo.lock");
    let locked = std::fs::read_to_string(lock)?.matches("[[package]]").count() - 2;
    ensure!((100..=150).contains(&locked), "{locked} packages are locked");
    Ok(())
}

#[test]
fn a_fresh_machine_builds_no_tool_that_measures() -> Result<()> {
    let xtask = packages(&["--package", "xtask", "--edges", "normal,build"])?;
    for heavy in ["serde", "serde_json", "safetensors", "wgpu", "wgrad", "peers", "gpu-report"] {
        ensure!(!xtask.iter().any(|name| name == heavy), "xtask needs {heavy}: {xtask:?}");
    }
    let peers = packages(&["--package", "peers", "--edges", "normal,build"])?;
    ensure!(peers.iter().any(|name| name == "safetensors"), "{peers:?}");
    Ok(())
}
