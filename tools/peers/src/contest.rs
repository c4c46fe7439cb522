//! The runs of all peers on one model.

use crate::args::Args;
use crate::data::{self, File};
use crate::models::Model;
use crate::record::{ModelResults, PeerResults, Purpose};
use crate::run::{self, Caches, Lacks, Line};
use crate::starts::Ready;
use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use xtask::process::say;

/// What all models have in common.
pub struct Contest<'a> {
    /// The arguments.
    pub args: &'a Args,
    /// The peers in the order of a round.
    pub starts: &'a [Ready],
    /// The folder of data files.
    pub folder: &'a Path,
    /// MNIST, if there is to be an epoch of it.
    pub mnist: Option<PathBuf>,
    /// Whether wgrad computes on a GPU, so that peers that find it do too.
    pub gpu: bool,
}

impl Contest<'_> {
    /// Runs every peer on a model: cold, once to fill caches, then in rounds.
    pub fn run(&self, model: &Model) -> Result<ModelResults> {
        let file = data::file(model, self.folder)?;
        let mut results = ModelResults {
            model: model.name.into(),
            shape: model.shape(),
            batch: model.batch,
            steps: model.steps,
            reference: file.reference.map(|r| r.loss),
            peers: self.starts.iter().map(results).collect(),
        };
        let rounds = std::iter::repeat_n(Purpose::Round, self.args.rounds);
        let mut expected = results.reference;
        for purpose in [Purpose::Cold, Purpose::Fill].into_iter().chain(rounds) {
            for (start, peer) in self.starts.iter().zip(&mut results.peers) {
                if peer.failure.is_none() {
                    peer.failure =
                        self.once(model, &file, start, purpose, &mut expected, peer).err();
                }
                if let Some(why) = &peer.failure {
                    say(format_args!("{} {} {purpose:?}: {why}", model.name, peer.name));
                }
            }
        }
        Ok(results)
    }

    /// One run; the error is why the peer's times do not count. If no loss is expected yet, this run's is.
    fn once(
        &self,
        model: &Model,
        file: &File,
        start: &Ready,
        purpose: Purpose,
        expected: &mut Option<f64>,
        peer: &mut PeerResults,
    ) -> Result<(), String> {
        let round = purpose == Purpose::Round;
        let repeats = match purpose {
            Purpose::Cold => 0,
            Purpose::Fill => 1,
            Purpose::Round if self.args.quick => 2,
            Purpose::Round => model.repeats,
        };
        let mnist = self.mnist.as_ref().filter(|_| model.epoch && round);
        let mnist = mnist.map_or_else(|| "none".into(), |dir| dir.clone().into_os_string());
        let repeats = repeats.to_string().into();
        let path = file.path.clone().into_os_string();
        let mut args: Vec<OsString> = vec!["--data".into(), path, "--repeats".into(), repeats];
        args.extend(["--mnist".into(), mnist]);
        if self.gpu {
            args.extend(start.on_gpu.iter().cloned());
        }
        let caches = if purpose == Purpose::Cold { Caches::Empty } else { Caches::Filled };
        let done = run::run(&start.start, &args, &start.caches, caches, self.args.timeout)?;
        if let Ok(Lacks { lacks }) = serde_json::from_str(&done.line) {
            return Err(format!("has no {lacks}"));
        }
        let line: Line = serde_json::from_str(&done.line)
            .map_err(|error| format!("printed no result, but `{}` ({error})", done.line))?;
        say(format_args!(
            "{} {} {purpose:?}: loss {:.5}, first step {:.2} s, steps {}",
            model.name,
            start.name,
            line.loss,
            line.first_step_seconds,
            shown(&line.step_seconds)
        ));
        let loss = *expected.get_or_insert(line.loss);
        peer.take(line, purpose, done.peak_memory, loss)
    }
}

/// A peer before its first run.
fn results(start: &Ready) -> PeerResults {
    let version = start.version.clone().unwrap_or_default();
    PeerResults { name: start.name.into(), version, ..Default::default() }
}

/// Seconds per step as milliseconds, for the line that a run prints.
fn shown(steps: &[f64]) -> String {
    let steps: Vec<String> = steps.iter().map(|s| format!("{:.2}", s * 1e3)).collect();
    if steps.is_empty() { "not timed".into() } else { format!("{} ms", steps.join(" ")) }
}
