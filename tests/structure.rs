//! The shape of the source: which module may name which, which may name wgpu, and how long a file may be.

#[path = "structure/documents.rs"]
mod documents;
#[path = "structure/packages.rs"]
mod packages;
#[path = "structure/surface.rs"]
mod surface;

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Each module of `src/`, and the modules that its code may name beside itself. Dependencies point one way:
///
/// shape < error < tensor < kernels < graph < ops < {autodiff, passes} < plan < gpu
///
/// and over these the rooms of training:
///
/// step < session < feed < train < checkpoint < callbacks
///
/// `data` is beside the graph and only uses tensors; layers, losses, metrics and optimizers are composites over the
/// graph builder.
const ALLOWED: &[(&str, &[&str])] = &[
    ("shape", &[]),
    // Errors name shapes and element types.
    ("error", &["shape"]),
    ("tensor", &["error", "words", "shape"]),
    ("files", &["error"]),
    ("sorted", &[]),
    ("words", &[]),
    ("data", &["error", "files", "tensor"]),
    ("kernels", &["error"]),
    ("graph", &["error", "tensor", "kernels"]),
    ("ops", &["error", "sorted", "tensor", "kernels", "graph"]),
    ("autodiff", &["error", "tensor", "graph"]),
    ("passes", &["error", "tensor", "kernels", "graph", "ops"]),
    ("plan", &["error", "sorted", "tensor", "kernels", "graph", "ops", "passes"]),
    ("gpu", &["error", "sorted", "files", "tensor", "kernels", "plan"]),
    ("activations", &["error", "words", "tensor", "graph", "ops"]),
    ("constraints", &["error", "words", "graph"]),
    ("layers", &["error", "words", "tensor", "graph", "ops", "activations", "constraints"]),
    ("losses", &["error", "words", "tensor", "graph", "ops"]),
    ("metrics", &["error", "words", "tensor", "graph", "ops", "losses"]),
    ("optim", &["error", "words", "tensor", "graph", "ops", "autodiff", "constraints"]),
    // What a step computes. It knows no devices.
    ("step", &STEP),
    // Plans, executors, memory and weights on a device. It knows no epochs and no callbacks.
    ("session", &SESSION),
    // Samples on their way to the device.
    (
        "feed",
        &[
            "error", "tensor", "graph", "data", "gpu", "layers", "losses", "metrics", "step",
            "session",
        ],
    ),
    // The loop, and the contract of callbacks. It knows no files.
    ("train", &TRAIN),
    // Files for the trainer, which knows nothing of them; `gpu` for `block_on`.
    (
        "checkpoint",
        &["error", "files", "words", "tensor", "data", "gpu", "layers", "step", "train"],
    ),
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

/// The word that a text begins with.
fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The items of a list, each from its start to the end of the text, and what follows the list. The text begins behind the
/// list's brace.
fn items(list: &str) -> (Vec<&str>, &str) {
    let (mut depth, mut expect, mut found) = (0, true, Vec::new());
    for (i, c) in list.char_indices() {
        if expect && !c.is_whitespace() && c != '}' {
            found.push(&list[i..]);
            expect = false;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return (found, &list[i + 1..]),
            '}' => depth -= 1,
            ',' if depth == 0 => expect = true,
            _ => {}
        }
    }
    (found, "")
}

/// Modules that follow `crate::` in code: in paths, in lists, and in `pub(in crate::...)`.
fn named(code: &str) -> Vec<String> {
    let behind = code.match_indices("crate::").map(|(at, found)| &code[at + found.len()..]);
    let names = |rest: &str| match rest.strip_prefix('{') {
        Some(list) => items(list).0.into_iter().map(word).collect(),
        None => vec![word(rest)],
    };
    behind.flat_map(names).collect()
}

/// What follows `super::` in code, in paths and in lists, each with the number of `super`s before it.
fn above(code: &str) -> Vec<(usize, String)> {
    /// Adds what a path names, and gives what follows it.
    fn path<'a>(text: &'a str, supers: usize, found: &mut Vec<(usize, String)>) -> &'a str {
        if let Some(rest) = text.strip_prefix("super::") {
            return path(rest, supers + 1, found);
        }
        let Some(list) = text.strip_prefix('{') else {
            found.push((supers, word(text)));
            return text;
        };
        let (items, rest) = items(list);
        items.into_iter().for_each(|item| _ = path(item, supers, found));
        rest
    }
    let (mut found, mut rest) = (Vec::new(), code);
    while let Some(at) = rest.find("super::") {
        rest = path(&rest[at..], 0, &mut found);
    }
    found
}

/// How many `super`s lead from a file to its room: the module that is a folder or file of `src/`.
fn below_room(path: &Path) -> usize {
    path.iter().count() - 1 - usize::from(path.ends_with("mod.rs"))
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

/// What a file of a room names of the room: files, if it keeps to the rule.
fn siblings(path: &Path, code: &str) -> Vec<String> {
    let room = below_room(path);
    // More lead out of a module inside the file.
    let names = above(code).into_iter().filter(|(supers, _)| *supers >= room);
    names.map(|(_, name)| name).collect()
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

/// Names in a room that are none of its files.
fn hidden(files: &[(String, Vec<String>)]) -> Vec<String> {
    let is_file = |name: &str| files.iter().any(|file| file.0 == name);
    let names = |(file, names): &(String, Vec<String>)| {
        let other = names.iter().filter(|name| !is_file(name));
        other.map(|name| format!("{file} -> super::{name}")).collect::<Vec<_>>()
    };
    files.iter().flat_map(names).collect()
}

/// The second part of a file's path: the file of a room, or a folder of it, which counts as one file.
fn part(path: &Path) -> String {
    let second = path.iter().nth(1).unwrap_or_default().to_string_lossy();
    second.trim_end_matches(".rs").to_owned()
}

#[test]
fn files_of_a_room_have_no_circle() -> Result<()> {
    for room in ["step", "session", "feed", "train", "checkpoint", "callbacks"] {
        let mut files: Vec<(String, Vec<String>)> = Vec::new();
        for (path, text) in sources()?.iter().filter(|(path, _)| module(path) == room) {
            let (name, text) = (part(path), code(text));
            if name == "mod" {
                continue;
            }
            // A file that names its room's root could name any file.
            let root = named(&text).iter().any(|n| n == room);
            ensure!(!root, "{}: name the file, not `crate::{room}`", path.display());
            let names = siblings(path, &text);
            match files.iter_mut().find(|file| file.0 == name) {
                Some(file) => file.1.extend(names),
                None => files.push((name, names)),
            }
        }
        ensure!(files.len() > 2, "{room}: {files:?}");
        // What the room's root has may be of any file, so a circle could go through it.
        let of_root = hidden(&files);
        ensure!(of_root.is_empty(), "{room}: name the file: {}", of_root.join(", "));
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
        let text = code(&text);
        let wrong = wrong_arrows(&module(&path), &text);
        ensure!(wrong.is_empty(), "{}: {}", path.display(), wrong.join(", "));
        // A way to another module that the arrows do not show. A module inside a file is one level more.
        let inside = text.lines().any(|line| line.contains("mod ") && line.ends_with('{'));
        let most = below_room(&path) + usize::from(inside);
        let out = above(&text).into_iter().find(|(supers, _)| *supers > most);
        ensure!(out.is_none(), "{}: {out:?}: name it from `crate`", path.display());
    }
    Ok(())
}

/// Matches on the class of an op that have an arm for whatever comes, by the line.
fn open_matches(code: &str) -> Vec<usize> {
    let lines: Vec<&str> = code.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !(line.contains("match ") && line.ends_with(".class() {")) {
            continue;
        }
        // What is formatted has its arms one step further in, and its end where it begins.
        let arms = lines[at + 1..].iter().take_while(|l| l.is_empty() || indent(l) > indent(line));
        let mut arms = arms.filter(|arm| indent(arm) == indent(line) + 4);
        if arms.any(|arm| arm.trim_start().starts_with("_ ")) {
            found.push(at + 1);
        }
    }
    found
}

#[test]
fn passes_and_planner_decide_for_every_class() -> Result<()> {
    let mut matches = 0;
    for (path, text) in sources()? {
        if ["autodiff", "passes", "plan"].contains(&module(&path).as_str()) {
            let text = code(&text);
            matches += text.matches(".class() {").count();
            let open = open_matches(&text);
            ensure!(open.is_empty(), "{}:{open:?}: write the classes out", path.display());
        }
    }
    ensure!(matches > 10, "{matches} matches");
    let text = "fn f() {\n    let x = match n.op.class() {\n        A => match y {\n            _ => 1,\n        },\n        \
                B => 2,\n    };\n}";
    assert!(open_matches(text).is_empty());
    assert_eq!(open_matches(&text.replace("B =>", "_ if x =>")), [2]);
    Ok(())
}

#[test]
fn the_order_has_no_cycle() {
    let names =
        |a: &str, b: &str| ALLOWED.iter().any(|(name, allowed)| *name == a && allowed.contains(&b));
    let mut open: Vec<&str> = ALLOWED.iter().map(|a| a.0).collect();
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
    let siblings = |path: &str, text: &str| siblings(Path::new(path), &code(text));
    let text =
        "use super::a::B; use super::{c::D, e::{F, G}, super::h, super::super::i::J}; super::K";
    assert_eq!(siblings("train/run.rs", text), ["a", "c", "e", "h", "i", "K"]);
    assert_eq!(siblings("train/progress/mod.rs", text), ["a", "c", "e", "h", "i", "K"]);
    assert_eq!(siblings("train/progress/bar.rs", text), ["h", "i"]);
    let counts = above(text).into_iter().map(|(supers, _)| supers);
    assert_eq!(counts.collect::<Vec<_>>(), [1, 1, 1, 2, 3, 1]);
    assert_eq!(above("use super::{\n    self, *,\n    {a, b},\n};").len(), 4);
    assert_eq!(
        [below_room(Path::new("losses.rs")), below_room(Path::new("losses/data.rs"))],
        [0, 1]
    );
    let room = |arrows: &[(&str, &[&str])]| {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        arrows.iter().map(|(file, to)| ((*file).to_owned(), own(to))).collect::<Vec<_>>()
    };
    assert_eq!(
        hidden(&room(&[("a", &["b", "Trainer"]), ("b", &["fit", "a"])])),
        ["a -> super::Trainer", "b -> super::fit"]
    );
    let files = |arrows| circle(&room(arrows));
    assert!(files(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &["c"])]).is_empty());
    assert_eq!(files(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]), ["a", "b", "c"]);
    assert!(names_wgpu(&code("fn f(d: &wgpu::Device) {}")));
    assert!(!names_wgpu(&code("/// Knows no wgpu.\nfn from_wgpu() {}")));
    assert!(writes_files(&code("fn f() { std::fs::write(path, bytes); }")));
    assert!(writes_files(&code("fn f() { File::create(path); }")));
    assert!(!writes_files(&code("fn f() { EventFile::create(path); } // fs::write")));
}
