//! The subcommands run, say what they promise, and end with the exit status that their help names.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every subcommand.
const ALL: [&str; 4] = ["adapters", "doctor", "tune", "profile"];

/// The program with these arguments.
fn wgrad(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgrad"));
    command.args(args);
    command
}

/// Runs it; gives both of its outputs, and its exit status.
fn run(command: &mut Command) -> Result<(String, String, i32)> {
    let Output { status, stdout, stderr } = command.output()?;
    let code = status.code().context("it was ended by a signal")?;
    Ok((String::from_utf8(stdout)?, String::from_utf8(stderr)?, code))
}

/// Runs it to a good end; gives what it printed.
fn good(command: &mut Command) -> Result<String> {
    let (out, err, code) = run(command)?;
    ensure!(code == 0, "exit status {code}\n{out}\n{err}");
    Ok(out)
}

/// An empty folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wgrad-cli-{}-{nth}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn files(&self) -> Result<usize> {
        Ok(std::fs::read_dir(&self.0)?.count())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn adapters_are_listed_and_one_is_taken() -> Result<()> {
    let out = good(&mut wgrad(&["adapters"]))?;
    let taken = out.lines().find_map(|line| line.strip_prefix("taken  ")).context("none taken")?;
    ensure!(out.lines().any(|line| line == format!("found  {taken}")), "{out}");
    Ok(())
}

#[test]
fn the_doctor_finds_nothing_wrong() -> Result<()> {
    let out = good(wgrad(&["doctor"]).env("WGRAD_CACHE", ""))?;
    for check in ["products", "rows", "barriers", "training", "submit"] {
        ensure!(out.contains(&format!("ok     {check}: ")), "{check}: {out}");
    }
    for line in ["lanes: ", "driver: ", "family of products: ", "kernels of products: "] {
        let said = out.lines().find_map(|l| l.trim_start().strip_prefix(line));
        ensure!(said.is_some_and(|said| !said.is_empty()), "{line}: {out}");
    }
    let said = |line: &str| out.lines().find_map(|l| l.trim_start().strip_prefix(line));
    let device = wgrad::gpu::Device::new()?;
    let (caps, (family, why)) = (device.caps(), device.caps().preferred_matmul());
    let chosen = format!("{family:?}: {why}");
    ensure!(said("family of products: ") == Some(chosen.as_str()), "{out}");
    let lanes = said("lanes: ").and_then(|l| l.split([',', ' ']).next()).unwrap_or_default();
    ensure!(lanes.parse::<u32>().ok() == caps.subgroup.map(|(least, _)| least), "{lanes}: {out}");
    let generation = format!(", generation: {}", caps.driver);
    ensure!(said("driver: ").is_some_and(|l| l.ends_with(&generation)), "{out}");
    let last = out.lines().last().unwrap_or_default();
    ensure!(last.starts_with("result: checks=5 failed=0 kind="), "{last}");
    Ok(())
}

#[test]
fn tune_keeps_its_table_unless_it_runs_dry() -> Result<()> {
    let folder = Folder::new()?;
    let path = folder.0.to_str().context("a folder's name")?;
    let quick = ["tune", "--rounds", "1", "--largest", "512"];
    let dry = good(wgrad(&quick).args(["--cache", path, "--dry-run"]))?;
    ensure!(dry.contains("nothing kept") && folder.files()? == 0, "{dry}");
    let kept = good(wgrad(&quick).args(["--cache", path]))?;
    ensure!(kept.contains("kept in ") && folder.files()? == 1, "{kept}");
    ensure!(kept.ends_with("result: rows=3\n"), "{kept}");
    // An empty variable asks for no files at all.
    let none = good(wgrad(&quick).env("WGRAD_CACHE", ""))?;
    ensure!(none.contains("nothing kept"), "{none}");
    Ok(())
}

#[test]
fn tune_all_prints_rows_of_the_checked_in_table_and_keeps_nothing() -> Result<()> {
    let folder = Folder::new()?;
    let path = folder.0.to_str().context("a folder's name")?;
    let quick = ["tune", "--all", "--rounds", "1", "--largest", "128", "--cache", path];
    let out = good(&mut wgrad(&quick))?;
    let rows = out.lines().filter(|line| line.parse::<wgrad::kernels::MeasuredRule>().is_ok());
    ensure!(rows.count() == 1 && out.ends_with("result: rows=1\n"), "{out}");
    ensure!(folder.files()? == 0, "{out}");
    Ok(())
}

#[test]
fn profile_prints_a_table_and_writes_a_trace() -> Result<()> {
    let folder = Folder::new()?;
    let trace = folder.0.join("new").join("step.json");
    let args = ["profile", "--hidden", "16,8", "--batch", "4", "--steps", "3", "--trace"];
    let out = good(wgrad(&args).arg(&trace))?;
    ensure!(out.contains("adapter: ") && out.contains("kernel"), "{out}");
    ensure!(calls(&trace)? > 3, "the trace has a call for each launch of each step");
    Ok(())
}

/// The calls in a file of trace events.
fn calls(path: &Path) -> Result<usize> {
    let trace: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let events = trace["traceEvents"].as_array().context("no events")?;
    Ok(events.len())
}

#[test]
fn without_an_adapter_every_subcommand_ends_with_3_and_says_what_to_do() -> Result<()> {
    for name in ALL {
        let (_, err, code) = run(wgrad(&[name]).env("WGRAD_ADAPTER", "no such adapter"))?;
        ensure!(code == 3, "{name}: exit status {code}\n{err}");
        ensure!(err.contains("no such adapter") && err.contains("mesa-vulkan-drivers"), "{err}");
    }
    Ok(())
}

#[test]
fn a_wrong_command_line_ends_with_2_and_a_wrong_value_with_1() -> Result<()> {
    for args in [&[][..], &["tuen"], &["tune", "--rounds", "0"], &["doctor", "--trace"]] {
        let (_, err, code) = run(&mut wgrad(args))?;
        ensure!(code == 2 && !err.is_empty(), "{args:?}: exit status {code}\n{err}");
    }
    let (_, err, code) = run(&mut wgrad(&["profile", "--hidden", "0"]))?;
    ensure!(code == 1 && err.contains("error: layer `dense`: units = 0"), "{code}: {err}");
    Ok(())
}

#[test]
fn every_help_has_an_example_and_the_exit_status() -> Result<()> {
    let whole = good(&mut wgrad(&["--help"]))?;
    for name in ALL {
        ensure!(whole.contains(&format!("\n  {name} ")), "{whole}");
        let help = good(&mut wgrad(&[name, "--help"]))?;
        ensure!(help.contains("Example:\n") && help.contains(&format!("wgrad {name}")), "{help}");
        ensure!(help.contains("3 no GPU adapter opens"), "{help}");
    }
    Ok(())
}
