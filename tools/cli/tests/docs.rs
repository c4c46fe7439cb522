//! Every command that README, guides and comments name is there, with its options.

use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What the program prints.
fn said(args: &[&str]) -> Result<String> {
    let done = Command::new(env!("CARGO_BIN_EXE_wgrad")).args(args).output()?;
    ensure!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

/// The names in a list of commands: the first words of lines that are indented by two.
fn listed(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| {
        let word = line.strip_prefix("  ")?.split(' ').next()?;
        word.starts_with(|c: char| c.is_ascii_lowercase()).then(|| word.to_owned())
    });
    names.collect()
}

/// The stems of the Rust files of a folder, and its folders with a `main.rs`.
fn programs(folder: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).with_context(|| folder.to_owned())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").is_file() {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    Ok(names)
}

/// What there is: the names that may follow each of these words.
struct There {
    after: Vec<(&'static str, Vec<String>)>,
    /// The help text of each subcommand of `wgrad`.
    help: HashMap<String, String>,
}

impl There {
    fn look() -> Result<Self> {
        let mut subcommands = listed(&said(&["--help"])?);
        // That is clap's own.
        subcommands.retain(|name| name != "help");
        let mut help = HashMap::new();
        for name in &subcommands {
            help.insert(name.clone(), said(&[name, "--help"])?);
        }
        let xtask = std::fs::read_to_string(root().join("xtask/src/main.rs"))?;
        let usage = xtask.split("const USAGE").nth(1).and_then(|text| text.split("\";").next());
        let after = vec![
            ("cargo xtask ", listed(usage.context("no usage of xtask")?)),
            ("--example ", [programs("examples")?, programs("web/examples")?].concat()),
            ("--bench ", programs("benches/benches")?),
            ("--bin ", vec!["wgrad".into()]),
            ("`wgrad ", subcommands.clone()),
            ("--bin wgrad -- ", subcommands),
        ];
        Ok(Self { after, help })
    }

    /// The commands of a text that are not there, and how many it names.
    fn wrong(&self, text: &str) -> (Vec<String>, usize) {
        // Commands may be wrapped, in comments too.
        let lines =
            text.lines().map(|line| line.trim_start().trim_start_matches(['/', '!']).trim());
        let text = lines.collect::<Vec<_>>().join(" ");
        let (mut wrong, mut count) = (Vec::new(), 0);
        for (before, names) in &self.after {
            for (at, _) in text.match_indices(before) {
                let rest = &text[at + before.len()..];
                let end =
                    |c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && !"_-".contains(c);
                let name = rest.split(end).next().unwrap_or_default();
                // Names in capitals stand for any; an option is none.
                if name.is_empty() || name.starts_with('-') {
                    continue;
                }
                count += 1;
                if !names.iter().any(|n| n == name) {
                    wrong.push(format!("{before}{name}"));
                } else if before.contains("wgrad ")
                    && let Some(help) = self.help.get(name)
                {
                    let line = rest.split(['`', '#', '|']).next().unwrap_or_default();
                    let options = line.split(' ').filter(|word| word.starts_with("--"));
                    let absent = options.filter(|word| !help.contains(&format!("{word} ")));
                    wrong.extend(absent.map(|word| format!("{before}{name} {word}")));
                }
            }
        }
        (wrong, count)
    }
}

/// Guides, and files whose comments name commands.
fn texts() -> Result<Vec<PathBuf>> {
    let skipped = ["target", ".git", "data", "out", "shared"];
    let (mut open, mut found) = (vec![root()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !skipped.contains(&name.as_str()) {
                open.push(path);
            } else if name.ends_with(".md") || name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    // Of this file only the texts below are wrong, and they are meant to be.
    found.retain(|path| !path.ends_with("tools/cli/tests/docs.rs"));
    Ok(found)
}

#[test]
fn every_command_that_is_named_is_there() -> Result<()> {
    let there = There::look()?;
    let mut all = 0;
    for path in texts()? {
        let (wrong, count) = there.wrong(&std::fs::read_to_string(&path)?);
        ensure!(wrong.is_empty(), "{}: not there: {wrong:?}", path.display());
        all += count;
    }
    ensure!(all > 60, "only {all} commands are named");
    let readme = std::fs::read_to_string(root().join("README.md"))?;
    let guide = std::fs::read_to_string(root().join("docs/guide.md"))?;
    for name in there.help.keys() {
        let named = format!("`wgrad {name}");
        ensure!(readme.contains(&named), "README.md does not speak of {named}`");
        ensure!(guide.contains(&named), "docs/guide.md does not speak of {named}`");
    }
    Ok(())
}

#[test]
fn commands_that_are_not_there_are_noticed() -> Result<()> {
    let there = There::look()?;
    let wrong = |text: &str| there.wrong(text).0;
    assert_eq!(wrong("`cargo run --release --example\ndoctor`"), ["--example doctor"]);
    assert_eq!(wrong("//! `cargo xtask tset`"), ["cargo xtask tset"]);
    assert_eq!(wrong("`wgrad tuen --rounds 3`"), ["`wgrad tuen"]);
    assert_eq!(wrong("`wgrad tune --round 3`"), ["`wgrad tune --round"]);
    assert_eq!(wrong("cargo run --bin wgrad -- profil"), ["--bin wgrad -- profil"]);
    assert_eq!(wrong("cargo bench --bench fits"), ["--bench fits"]);
    let right = "`cargo run --example NAME`, `wgrad tune --rounds 3`, `wgrad = 1`, `wgrad --help`";
    assert!(wrong(right).is_empty(), "{:?}", wrong(right));
    Ok(())
}
