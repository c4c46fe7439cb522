//! Which peers are there, and how each is started.

use crate::args::Args;
use crate::build;
use crate::record::{Adapter, Build, Skipped};
use crate::roster::{Kind, Peer, ROSTER};
use crate::run::{self, Caches, Start};
use anyhow::{Context, Result, anyhow};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use xtask::process::{output, root, say};

/// A peer that is there.
pub struct Ready {
    /// Its name.
    pub name: &'static str,
    /// How it starts.
    pub start: Start,
    /// The library's version, if the peer does not print it.
    pub version: Option<String>,
    /// What makes it compute on a GPU that it finds.
    pub on_gpu: Vec<OsString>,
    /// Its caches.
    pub caches: PathBuf,
}

/// Builds and looks for all peers that were asked for; wgrad, which must be there, comes first.
pub fn find(
    args: &Args,
    folder: &Path,
    skipped: &mut Vec<Skipped>,
) -> Result<(Vec<Ready>, Vec<Build>)> {
    let (mut ready, mut builds) = (Vec::new(), Vec::new());
    for peer in ROSTER {
        if args.leaves_out(peer.name) {
            skipped.push(Skipped { name: peer.name.into(), why: "as asked".into() });
            continue;
        }
        match look(&peer, args, folder) {
            Ok((start, build)) => {
                ready.push(start);
                builds.extend(build);
            }
            Err(error) if peer.name == ROSTER[0].name => return Err(error),
            Err(error) => {
                say(format_args!("skipped: {} ({error:#})", peer.name));
                skipped.push(Skipped { name: peer.name.into(), why: format!("{error:#}") });
            }
        }
    }
    Ok((ready, builds))
}

/// Builds a peer, or makes sure of its modules.
fn look(peer: &Peer, args: &Args, folder: &Path) -> Result<(Ready, Option<Build>)> {
    let here = root().join("benches/peers");
    let caches = folder.join("caches").join(peer.name);
    let name = peer.name;
    match peer.kind {
        Kind::Rust { package } => {
            let anew = args.rebuilt.iter().any(|n| n == name);
            let built = build::build(name, package, &here, folder, anew)?;
            let start = Start { program: built.program, args: Vec::new() };
            let version = Some(built.version);
            Ok((Ready { name, start, version, on_gpu: Vec::new(), caches }, Some(built.build)))
        }
        Kind::Python { script, modules, args, cuda } => {
            let python = std::env::var_os("WGRAD_PYTHON").unwrap_or_else(|| "python3".into());
            let code = format!("import {}; print({cuda})", modules.join(", "));
            let mut probe = Command::new(&python);
            // Keras asks for another backend's module unless it is told which one it has.
            let found = output(probe.args(["-c", &code]).env("KERAS_BACKEND", "jax"))?;
            let on_gpu = if found.trim() == "True" {
                vec!["--device".into(), "cuda".into()]
            } else {
                Vec::new()
            };
            let mut all = vec![here.join(script).into_os_string()];
            all.extend(args.iter().map(OsString::from));
            let start = Start { program: python.into(), args: all };
            Ok((Ready { name, start, version: None, on_gpu, caches }, None))
        }
    }
}

impl Ready {
    /// The adapter that wgrad's peer opens.
    pub fn adapter(&self, timeout: Duration) -> Result<Adapter> {
        let args = ["--adapter".into()];
        let done = run::run(&self.start, &args, &self.caches, Caches::Filled, timeout);
        let done = done.map_err(|why| anyhow!("{}: {why}", self.name))?;
        serde_json::from_str(&done.line).with_context(|| format!("not an adapter: {}", done.line))
    }
}
