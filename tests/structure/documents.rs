//! What the documents say of the source: each fact once, and paths that exist.

use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};

/// ARCHITECTURE.md is shorter than this, so that it is read.
const ARCHITECTURE_LINES: usize = 150;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of a document outside of its blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// First cells that a table of a document has twice.
fn twice(text: &str) -> Vec<String> {
    let (mut seen, mut found) = (Vec::new(), Vec::new());
    for line in prose(text) {
        let Some(row) = line.strip_prefix('|') else {
            seen.clear();
            continue;
        };
        // A bar of a cell is written with a backslash.
        let row = row.replace("\\|", "\0");
        let cell = row.split('|').next().unwrap_or_default().trim().to_owned();
        if seen.contains(&cell) {
            found.push(cell);
        } else {
            seen.push(cell);
        }
    }
    found
}

/// The paths in backticks: what has a `/` at its end or between words, or the ending of a file.
fn paths(text: &str) -> Vec<&str> {
    let spans = prose(text).flat_map(|line| line.split('`').skip(1).step_by(2));
    let path = |word: &&str| {
        let inside = word.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
        let ending = [".rs", ".md", ".txt", ".toml", ".wgsl"].iter().any(|end| word.ends_with(end));
        inside && !word.starts_with('.') && (word.contains('/') || ending)
    };
    spans.flat_map(|span| span.split(' ')).filter(path).collect()
}

/// The paths that are neither below the root, `src/` nor `shaders/`.
fn missing(text: &str) -> Vec<String> {
    let exists =
        |path: &str| ["", "src", "shaders"].iter().any(|at| root().join(at).join(path).exists());
    paths(text).into_iter().filter(|path| !exists(path)).map(str::to_owned).collect()
}

fn documents() -> Result<Vec<PathBuf>> {
    let mut found = vec![root().join("ARCHITECTURE.md")];
    for entry in std::fs::read_dir(root().join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
    ensure!(found.len() > 6, "{found:?}");
    Ok(found)
}

#[test]
fn no_table_has_a_row_twice() -> Result<()> {
    for path in documents()? {
        let twice = twice(&std::fs::read_to_string(&path)?);
        ensure!(twice.is_empty(), "{}: two rows of one table: {twice:?}", path.display());
    }
    let table = "| a | b |\n|---|---|\n| x \\| y | 1 |\n| x \\| z | 2 |\n";
    assert!(twice(&format!("{table}\n{table}")).is_empty());
    assert_eq!(twice(&format!("{table}| x \\| y | 3 |")).len(), 1);
    assert!(twice("```\n| a |\n| a |\n```").is_empty());
    Ok(())
}

#[test]
fn the_architecture_is_short_and_its_paths_exist() -> Result<()> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let lines = text.lines().count();
    ensure!(lines < ARCHITECTURE_LINES, "ARCHITECTURE.md: {lines} lines");
    ensure!(paths(&text).len() > 60, "{:?}", paths(&text));
    let missing = missing(&text);
    ensure!(missing.is_empty(), "ARCHITECTURE.md names what is not there: {missing:?}");
    let wrong = "`ops/scan.rs`, `lib/` and `a < b`; `src/ops/none.rs`, `nowhere/`, `none.md`, `Cargo.toml`, `.wgsl`";
    assert_eq!(self::missing(wrong), ["src/ops/none.rs", "nowhere/", "none.md"]);
    Ok(())
}
