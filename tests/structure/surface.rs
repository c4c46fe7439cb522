//! What users see: examples, guides, what grows, and the front page of the documentation.

use super::{module, sources};
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// Types that a user meets first: the documentation of each has an example, which the doc tests compile.
const CENTRAL: &[&str] = &[
    "struct Trainer",
    "struct Fit<",
    "struct Compile",
    "struct Session",
    "struct Predictor",
    "struct Sequential",
    "struct Model ",
    "struct Device ",
    "struct Graph ",
    "struct EarlyStopping",
    "struct FnDataset",
    "enum Metric",
    "enum Loss",
    "trait Layer",
    "trait Optimizer",
    "trait Callback",
    "trait Dataset",
];

/// Whether the documentation above `pub ITEM` has an example; `None` if the text does not define the item.
fn has_example(text: &str, item: &str) -> Option<bool> {
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.starts_with(&format!("pub {item}")))?;
    let above = lines[..at].iter().rev();
    let mut docs = above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
    Some(docs.any(|line| line.starts_with("/// ```")))
}

#[test]
fn central_types_have_an_example() -> Result<()> {
    let sources = sources()?;
    for item in CENTRAL {
        let found: Vec<bool> = sources.iter().filter_map(|(_, t)| has_example(t, item)).collect();
        ensure!(found == [true], "{item}: {found:?}");
    }
    assert_eq!(has_example("/// It.\n#[must_use]\npub struct A {", "struct A"), Some(false));
    assert_eq!(has_example("/// ```\n\npub struct A {", "struct A"), Some(false));
    assert_eq!(has_example("/// ```\n/// ```\npub struct A {", "struct A"), Some(true));
    Ok(())
}

/// Guides with Rust blocks that no doc test compiles.
fn uncompiled(guides: &[(String, String)], lib: &str) -> Vec<String> {
    let block = |text: &str| text.lines().any(|line| line.trim_start().starts_with("```rust"));
    let listed = |path: &str| lib.contains(&format!("include_str!(\"../{path}\")"));
    guides.iter().filter(|(p, t)| block(t) && !listed(p)).map(|(p, _)| p.clone()).collect()
}

#[test]
fn every_block_of_the_guides_is_compiled() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut guides = Vec::new();
    for folder in ["", "docs/"] {
        for entry in std::fs::read_dir(root.join(folder))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") {
                let path = format!("{folder}{name}");
                guides.push((path.clone(), std::fs::read_to_string(root.join(path))?));
            }
        }
    }
    ensure!(guides.len() > 6, "only {} guides", guides.len());
    let lib = std::fs::read_to_string(root.join("src/lib.rs"))?;
    let missing = uncompiled(&guides, &lib);
    ensure!(missing.is_empty(), "no doc test compiles {missing:?}: list them in src/lib.rs");
    let fake = [("docs/new.md".to_owned(), "```rust,no_run\n```".to_owned())];
    assert_eq!(uncompiled(&fake, &lib), ["docs/new.md"]);
    Ok(())
}

/// Modules of the second tier, as the front page of the documentation names it. They may change with any version, so their
/// enums may be matched without an arm for what is to come.
const SECOND_TIER: &[&str] = &["autodiff", "graph", "kernels", "ops", "passes", "plan"];

/// Public enums of the stable tier that will not grow, and why.
const CLOSED: &[(&str, &str)] = &[
    ("BatchInterval", "never, by batches and by time are all ways to count"),
    ("Centers", "clouds are drawn or given"),
    ("Factor", "one number stands for a range around 0, or two are its bounds"),
    ("FlipMode", "an image has two axes"),
    ("Mode", "smaller, larger, or by the name"),
    ("SequenceSide", "a sequence has two ends"),
];

/// Results that users read and the library alone makes: a number may come in addition.
const RESULTS: &[&str] = &[
    "AdapterInfo",
    "BatchEnd",
    "Call",
    "Epoch",
    "Evaluation",
    "FitInfo",
    "History",
    "Kernel",
    "Mismatch",
    "Profile",
    "WeightReport",
];

/// The public types of a text that start with `pub KIND`, and whether each is `#[non_exhaustive]`.
fn public(kind: &str, text: &str) -> Vec<(String, bool)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(rest) = line.strip_prefix(&format!("pub {kind} ")) else { continue };
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next();
        let above = lines[..at].iter().rev();
        let mut above = above.take_while(|l| l.starts_with("///") || l.starts_with("#["));
        found.push((name.unwrap_or_default().into(), above.any(|l| *l == "#[non_exhaustive]")));
    }
    found
}

#[test]
fn what_grows_is_non_exhaustive() -> Result<()> {
    let (mut closed, mut results) = (Vec::new(), Vec::new());
    for (path, text) in sources()? {
        let stable = !SECOND_TIER.contains(&module(&path).as_str());
        for (name, open) in public("enum", &text).into_iter().filter(|_| stable) {
            let listed = CLOSED.iter().find(|(closed, _)| *closed == name);
            ensure!(
                open != listed.is_some(),
                "{}: `{name}`: #[non_exhaustive], or a reason in CLOSED",
                path.display()
            );
            closed.extend(listed.map(|(name, _)| *name));
        }
        for (name, open) in public("struct", &text).into_iter().filter(|_| stable) {
            if let Some(listed) = RESULTS.iter().find(|listed| **listed == name) {
                // Layers have calls too, which users may write.
                let ours = *listed != "Call" || module(&path) == "session";
                ensure!(
                    open || !ours,
                    "{}: `{name}` is a result: #[non_exhaustive]",
                    path.display()
                );
                results.extend(ours.then_some(*listed));
            }
        }
    }
    closed.sort_unstable();
    results.sort_unstable();
    assert_eq!(closed, CLOSED.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    assert_eq!(results, RESULTS);
    let text =
        "/// A.\n#[non_exhaustive]\npub enum A {}\n\npub enum B<'a> {}\npub(crate) enum C {}";
    assert_eq!(public("enum", text), [("A".into(), true), ("B".into(), false)]);
    Ok(())
}

#[test]
fn the_front_page_names_both_tiers() -> Result<()> {
    let lib = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"))?;
    let (stable, second) = lib.split_once("//! # Two tiers").context("no tiers")?;
    let (second, _) = second.split_once("//! # Features").context("no features")?;
    for line in lib.lines() {
        let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';'))
        else {
            continue;
        };
        let row = |text: &str| {
            text.lines().any(|l| l.starts_with("//! |") && l.contains(&format!("`{name}`")))
        };
        let tier = SECOND_TIER.contains(&name);
        ensure!(row(second) == tier, "`{name}` in the table of the second tier");
        ensure!(row(stable) || tier, "`{name}` in no table");
    }
    Ok(())
}
