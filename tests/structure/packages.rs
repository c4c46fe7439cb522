//! How many packages a user builds.

use anyhow::{Context, Result, ensure};

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
fn the_registry_shows_everything_that_users_can_switch_on() -> Result<()> {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    let done =
        cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let all: serde_json::Value = serde_json::from_slice(&done.stdout)?;
    let packages = all["packages"].as_array().context("packages")?;
    let own = packages.iter().find(|package| package["name"] == "wgrad").context("wgrad")?;
    for (field, start) in [("repository", "https://"), ("documentation", "https://docs.rs/wgrad")] {
        let text = own[field].as_str().unwrap_or_default();
        ensure!(text.starts_with(start), "{field}: {text:?}");
    }
    for field in ["description", "license", "readme", "rust_version"] {
        ensure!(
            own[field].as_str().is_some_and(|text| !text.is_empty()),
            "{field}: {}",
            own[field]
        );
    }
    // Pages of the documentation are built with these and what is on by default.
    let names = |list: &serde_json::Value| -> Vec<String> {
        let words = list.as_array().into_iter().flatten().filter_map(|word| word.as_str());
        words.map(str::to_owned).collect()
    };
    let features = own["features"].as_object().context("features")?;
    let mut shown = names(&own["metadata"]["docs"]["rs"]["features"]);
    shown.extend(names(&own["features"]["default"]));
    shown.sort();
    // A dependency that is optional is a feature of its name unless `dep:` hides it.
    let internal = ["default", "testing"];
    let open = features.keys().filter(|name| !internal.contains(&name.as_str()));
    ensure!(open.clone().count() > 4 && open.eq(&shown), "{shown:?} of {:?}", features.keys());
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
