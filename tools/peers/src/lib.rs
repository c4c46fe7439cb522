//! The `peers` command: wgrad and other libraries, on the same models from the same weights and batches.
//!
//! Every peer prints the loss after the last step, and its times count only if it is the expected one. Runs go round the
//! peers, A B C A B C, each in a separate process; before the rounds each peer runs once with empty caches and once
//! to fill them.

#![warn(clippy::missing_docs_in_private_items)]

mod args;
pub mod build;
mod contest;
pub mod data;
pub mod files;
mod layers;
pub mod machine;
pub mod models;
pub mod record;
pub mod reference;
pub mod roster;
pub mod run;
mod starts;
pub mod table;

use anyhow::Result;
use args::Args;
use contest::Contest;
use record::{Adapter, Results, Skipped};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use xtask::process::{say, target, wrong_use};
use xtask::{adapter, dataset, mnist};

/// What is printed for `--help`, and for a wrong command line.
const USAGE: &str = "\
usage: cargo xtask peers [OPTIONS]

Times wgrad and other libraries on the same models, and writes benches/peers/results and the
README's table. What is not installed is skipped and named; benches/peers/README.md says how to
install it.

  --models S,C,..    the models; all if they are not named
  --rounds N         rounds over all peers (3)
  --only NAME,..     the peers that run beside wgrad
  --skip NAME,..     the peers that do not run
  --rebuild NAME,..  the peers that are built from nothing, for the time of a clean build
  --timeout SECONDS  the most that a run may take (300)
  --quick            one round of few passes, without MNIST
  --tables           run nothing, make the tables from the results kept";

/// A wrong command line.
fn usage(why: &str) -> anyhow::Error {
    wrong_use(why, USAGE)
}

/// Runs the command.
pub fn run(words: Vec<OsString>) -> Result<()> {
    if words.first().is_some_and(|word| word == "--help" || word == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    let args = Args::parse(words)?;
    if args.tables {
        for results in files::read::<Results>(&files::kept())? {
            files::write(&results, &files::kept())?;
        }
        return files::update_readme();
    }
    adapter::ensure(&["--release"])?;
    let folder = folder();
    let mut skipped = Vec::new();
    let (starts, builds) = starts::find(&args, &folder, &mut skipped)?;
    let machine = machine::machine();
    let adapter = starts[0].adapter(args.timeout)?;
    say(format_args!("adapter: {}", adapter.name));
    let mnist = if args.quick { None } else { plain_mnist(&folder.join("mnist"), &mut skipped) };

    let contest =
        Contest { args: &args, starts: &starts, folder: &folder, mnist, gpu: adapter.is_gpu() };
    let mut models = Vec::new();
    for model in &args.models {
        if model.large && !adapter.is_gpu() {
            let why = format!("{}, for GPUs only", model.shape());
            skipped.push(Skipped { name: format!("model {}", model.name), why });
            continue;
        }
        models.push(contest.run(model)?);
    }
    let results = Results {
        date: machine::today(),
        machine,
        adapter,
        rounds: args.rounds,
        models,
        builds,
        skipped,
    };
    finish(&args, &results, &folder)
}

/// Writes the results: the whole comparison next to the peers and into the README, any other into the build folder.
fn finish(args: &Args, results: &Results, folder: &Path) -> Result<()> {
    let page = if args.whole() {
        let page = files::write(results, &files::kept())?;
        files::update_readme()?;
        page
    } else {
        files::write(results, &folder.join("results"))?
    };
    println!("{}", fs::read_to_string(&page)?);
    say(format_args!("the results are in {}", page.display()));
    if !args.whole() {
        say("a part of the comparison is not kept beside the peers, and the README stays as it is");
    }
    Ok(())
}

/// The folder of everything that is made on the way.
pub fn folder() -> PathBuf {
    target().join("peers")
}

/// The four files of MNIST as plain IDX in a folder, so that no peer needs to unpack; none if they cannot be had.
fn plain_mnist(folder: &Path, skipped: &mut Vec<Skipped>) -> Option<PathBuf> {
    let unpack = || {
        let from = mnist::data_folder(None, std::env::var_os("WGRAD_DATA"))?;
        dataset::unpack(&from, folder)
    };
    match unpack() {
        Ok(()) => Some(folder.to_path_buf()),
        Err(error) => {
            skipped.push(Skipped { name: "MNIST".into(), why: format!("{error:#}") });
            None
        }
    }
}

impl Adapter {
    /// Whether it is more than a processor.
    pub fn is_gpu(&self) -> bool {
        self.kind != "CPU"
    }
}
