//! The shape of the source: which module may name which, which may name wgpu, and how long a file may be.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Each module of `src/`, and the modules that its code may name beside itself. Dependencies point one way:
///
/// error < tensor < kernels < graph < ops < {autodiff, passes} < plan < gpu
///
/// and over these the rooms of training:
///
/// step < session < feed < train < checkpoint < callbacks
///
/// `data` is beside the graph and only uses tensors; layers, losses, metrics and optimizers are composites over the
/// graph builder.
const ALLOWED: &[(&str, &[&str])] = &[
    // Errors name shapes and element types.
    ("error", &["tensor"]),
    ("tensor", &["error"]),
    ("files", &["error"]),
    ("data", &["error", "files", "tensor"]),
    ("kernels", &["error"]),
    ("graph", &["error", "tensor", "kernels"]),
    ("ops", &["error", "tensor", "kernels", "graph"]),
    ("autodiff", &["error", "tensor", "graph"]),
    ("passes", &["error", "tensor", "kernels", "graph", "ops"]),
    ("plan", &["error", "tensor", "kernels", "graph", "ops", "passes"]),
    ("gpu", &["error", "files", "tensor", "kernels", "plan"]),
    ("activations", &["error", "tensor", "graph", "ops"]),
    ("constraints", &["error", "graph"]),
    ("layers", &["error", "tensor", "graph", "ops", "activations", "constraints"]),
    ("losses", &["error", "tensor", "graph", "ops"]),
    ("metrics", &["error", "tensor", "graph", "ops", "losses"]),
    ("optim", &["error", "tensor", "graph", "ops", "autodiff", "constraints"]),
    // What a step computes. It knows no devices.
    ("step", &STEP),
    // Plans, executors, memory and weights on a device. It knows no epochs and no callbacks.
    ("session", &SESSION),
    // Samples on their way to the device.
    ("feed", &["error", "tensor", "graph", "data", "losses", "metrics", "step", "session"]),
    // The loop, and the contract of callbacks. It knows no files.
    ("train", &TRAIN),
    // Files for the trainer, which knows nothing of them; `gpu` for `block_on`.
    ("checkpoint", &["error", "files", "tensor", "data", "gpu", "layers", "step", "train"]),
    // What the loop calls, by its contract alone.
    ("callbacks", &["error", "files", "tensor", "step", "train"]),
    // Pictures of plain data; they know nothing of training.
    ("plot", &["error", "files"]),
];

/// What a step is made of.
const STEP: [&str; 12] = [
    "error",
    "tensor",
    "kernels",
    "graph",
    "autodiff",
    "passes",
    "activations",
    "constraints",
    "layers",
    "losses",
    "metrics",
    "optim",
];

const SESSION: [&str; 14] = [
    "error", "files", "tensor", "kernels", "graph", "autodiff", "passes", "plan", "gpu", "data",
    "layers", "losses", "optim", "step",
];

const TRAIN: [&str; 11] = [
    "error", "tensor", "graph", "plan", "gpu", "data", "layers", "optim", "step", "session", "feed",
];

/// Modules that may name every other: they have no code.
const ABOVE_ALL: &[&str] = &["lib", "prelude"];

/// The longest file, in lines.
const LONGEST: usize = 500;

/// The Rust files below `src/`, with their text.
fn sources() -> Result<Vec<(PathBuf, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut open, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path)?;
                found.push((path.strip_prefix(&root)?.to_owned(), text));
            }
        }
    }
    ensure!(found.len() > 20, "only {} files", found.len());
    found.sort();
    Ok(found)
}

/// The module of a file: the first folder below `src/`, or the file's name.
fn module(path: &Path) -> String {
    let first = path.iter().next().unwrap_or_default().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file without comments and without its unit tests.
fn code(text: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let test = line.trim_start() == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.trim_start().starts_with("mod "));
        if !test {
            kept.push(line.split("//").next().unwrap_or_default());
        } else if lines.next().is_some_and(|module| module.ends_with('{')) {
            // The brace that closes the module is indented as its attribute is.
            let end = line.replace("#[cfg(test)]", "}");
            lines.by_ref().find(|line| *line == end);
        }
    }
    kept.join("\n")
}

/// Modules that follow `crate::` in code: in paths, in lists, and in `pub(in crate::...)`.
fn named(code: &str) -> Vec<String> {
    let word = |s: &str| -> String {
        s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                // The first word of each item at the outermost level.
                let (mut depth, mut expect) = (0, true);
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => expect = true,
                        c if expect && c.is_alphabetic() => {
                            names.push(word(&list[i..]));
                            expect = false;
                        }
                        _ => {}
                    }
                }
            }
            None => names.push(word(rest)),
        }
    }
    names
}

/// Arrows of a file that point the wrong way.
fn wrong_arrows(module: &str, code: &str) -> Vec<String> {
    if ABOVE_ALL.contains(&module) {
        return vec![];
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else {
        return vec![format!("`{module}` has no place in the order: add it to ALLOWED")];
    };
    let known = |n: &str| ALLOWED.iter().any(|a| a.0 == n) || ABOVE_ALL.contains(&n);
    let mut wrong: Vec<String> = named(code)
        .into_iter()
        // Other names are items of the crate root: re-exports of `error`.
        .filter(|n| known(n) && n != module && !allowed.contains(&n.as_str()))
        .map(|n| format!("{module} -> {n}"))
        .collect();
    wrong.dedup();
    wrong
}

/// The files of a room that a file of it names: `super::` and the name of a file or folder, from the room's own folder
/// or one below.
fn siblings(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("super::") {
        let rest = &code[at + "super::".len()..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        names.push(name);
    }
    names
}

/// The files of a room that name one another in a circle, and those that name such files; none if there is an order in
/// which each names only earlier ones. Every file is given with the names in its code.
fn circle(files: &[(String, Vec<String>)]) -> Vec<String> {
    let mut open: Vec<&(String, Vec<String>)> = files.iter().collect();
    loop {
        let names = |file: &(String, Vec<String>), other: &str| {
            file.0 != other && file.1.iter().any(|name| name == other)
        };
        let free = open.iter().position(|file| !open.iter().any(|other| names(file, &other.0)));
        match free {
            Some(i) => _ = open.remove(i),
            None => return open.into_iter().map(|file| file.0.clone()).collect(),
        }
    }
}

/// The second part of a file's path: the file of a room, or a folder of it, which counts as one file.
fn part(path: &Path) -> String {
    let second = path.iter().nth(1).unwrap_or_default().to_string_lossy();
    second.trim_end_matches(".rs").to_owned()
}

#[test]
fn files_of_a_room_have_no_circle() -> Result<()> {
    for room in ["step", "session", "feed", "train"] {
        let mut files: Vec<(String, Vec<String>)> = Vec::new();
        for (path, text) in sources()?.iter().filter(|(path, _)| module(path) == room) {
            let (name, text) = (part(path), code(text));
            if name == "mod" {
                continue;
            }
            // A file that names its room's root could name any file.
            let root = named(&text).iter().any(|n| n == room);
            ensure!(!root, "{}: name the file, not `crate::{room}`", path.display());
            match files.iter_mut().find(|file| file.0 == name) {
                Some(file) => file.1.extend(siblings(&text)),
                None => files.push((name, siblings(&text))),
            }
        }
        ensure!(files.len() > 2, "{room}: {files:?}");
        let circle = circle(&files);
        ensure!(circle.is_empty(), "{room}: these files name one another: {}", circle.join(", "));
    }
    Ok(())
}

/// Whether code names wgpu as a word.
fn names_wgpu(code: &str) -> bool {
    let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|w| w == "wgpu")
}

#[test]
fn arrows_point_one_way() -> Result<()> {
    for (path, text) in sources()? {
        let wrong = wrong_arrows(&module(&path), &code(&text));
        ensure!(wrong.is_empty(), "{}: {}", path.display(), wrong.join(", "));
    }
    Ok(())
}

#[test]
fn the_order_has_no_cycle() {
    // Errors and tensors name each other: an error shows shapes.
    let names =
        |a: &str, b: &str| ALLOWED.iter().any(|(name, allowed)| *name == a && allowed.contains(&b));
    let mut open: Vec<&str> = ALLOWED.iter().map(|a| a.0).filter(|n| *n != "error").collect();
    while !open.is_empty() {
        let free = open.iter().position(|a| !open.iter().any(|b| names(a, b)));
        open.remove(free.unwrap_or_else(|| panic!("a cycle in {open:?}")));
    }
}

#[test]
fn wgpu_is_named_in_gpu_alone() -> Result<()> {
    for (path, text) in sources()? {
        let inside = module(&path) == "gpu";
        // The root hands it on to users, under its name.
        let code = code(&text)
            .replace(if path == Path::new("lib.rs") { "pub use wgpu;" } else { "\0" }, "");
        ensure!(inside || !names_wgpu(&code), "{} names wgpu", path.display());
    }
    Ok(())
}

/// Ways to write a file that is not new.
fn writes_files(code: &str) -> bool {
    let ways = ["fs::write", "File::create(", "OpenOptions", "fs::rename", "fs::copy"];
    ways.iter().any(|way| {
        let mut places = code.match_indices(way);
        places.any(|(at, _)| !code[..at].ends_with(char::is_alphanumeric))
    })
}

#[test]
fn files_are_written_in_one_place() -> Result<()> {
    // A log grows while it is read, and callbacks prove before training that they can write.
    let callbacks = ["csv_logger.rs", "proof.rs"];
    let allowed = |path: &Path| {
        path == Path::new("files.rs")
            || callbacks.iter().any(|own| path == Path::new("callbacks").join(own))
    };
    for (path, text) in sources()? {
        let wrong = writes_files(&code(&text)) && !allowed(&path);
        ensure!(!wrong, "{} writes a file; `files::write` does it whole", path.display());
    }
    Ok(())
}

#[test]
fn files_are_short_and_finished() -> Result<()> {
    for (path, text) in sources()? {
        let lines = text.lines().count();
        ensure!(lines <= LONGEST, "{}: {lines} lines", path.display());
        for unfinished in ["todo!", "unimplemented!", "dbg!"] {
            ensure!(!code(&text).contains(unfinished), "{}: {unfinished}", path.display());
        }
    }
    Ok(())
}

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
    "struct Graph",
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

#[test]
fn wrong_sources_are_noticed() {
    let wrong = |module: &str, text: &str| wrong_arrows(module, &code(text));
    assert_eq!(wrong("graph", "use crate::gpu::Device;"), ["graph -> gpu"]);
    assert_eq!(wrong("ops", "use crate::{error::Result, plan::{Plan, Region}};"), ["ops -> plan"]);
    assert_eq!(wrong("kernels", "fn f() -> crate::graph::Graph {}"), ["kernels -> graph"]);
    assert_eq!(wrong("autodiff", "use crate::ops::Map;"), ["autodiff -> ops"]);
    assert_eq!(wrong("newcomer", "").len(), 1);
    assert!(wrong("ops", "// see crate::gpu\nuse crate::graph::Graph;").is_empty());
    assert!(wrong("ops", "#[cfg(test)]\nmod tests { use crate::gpu::Device; }").is_empty());
    let nested = "mod files {\n    #[cfg(test)]\n    mod tests {\n        use crate::gpu::A;\n    }\n}\nuse crate::train::B;";
    assert_eq!(wrong("ops", nested), ["ops -> train"]);
    assert!(wrong("train", "use crate::gpu::Device;").is_empty());
    assert_eq!(wrong("train", "use crate::callbacks::Lambda;"), ["train -> callbacks"]);
    assert_eq!(
        wrong("train", "use crate::{checkpoint::load, files};"),
        ["train -> checkpoint", "train -> files"]
    );
    assert_eq!(wrong("step", "use crate::gpu::Device;"), ["step -> gpu"]);
    assert_eq!(wrong("session", "use crate::train::Fit;"), ["session -> train"]);
    assert_eq!(wrong("feed", "use crate::train::Callback;"), ["feed -> train"]);
    assert_eq!(siblings("use super::a::B; use super::super::c::D;"), ["a", "super", "c"]);
    let files = |arrows: &[(&str, &[&str])]| {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        circle(&arrows.iter().map(|(file, to)| ((*file).to_owned(), own(to))).collect::<Vec<_>>())
    };
    assert!(files(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &["c", "elsewhere"])]).is_empty());
    assert_eq!(files(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]), ["a", "b", "c"]);
    assert!(names_wgpu(&code("fn f(d: &wgpu::Device) {}")));
    assert!(!names_wgpu(&code("/// Knows no wgpu.\nfn from_wgpu() {}")));
    assert!(writes_files(&code("fn f() { std::fs::write(path, bytes); }")));
    assert!(writes_files(&code("fn f() { File::create(path); }")));
    assert!(!writes_files(&code("fn f() { EventFile::create(path); } // fs::write")));
}
