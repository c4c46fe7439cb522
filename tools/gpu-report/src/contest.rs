//! wgrad, PyTorch and JAX on the target: the peers' protocol, model by model. First wgrad and PyTorch eager,
//! which the goals are about, then the others as far as time goes. What is measured is kept as `cargo xtask peers` keeps
//! it, so that its tables are made of it too.

use crate::folder::Carried;
use crate::guests::{Guest, Guests};
use crate::part::Ran;
use crate::read;
use crate::rows::Rows;
use crate::table::{self, Row};
use anyhow::{Result, ensure};
use peers::models::Model;
use peers::record::{ModelResults, PeerResults, Purpose, Results, median};
use peers::run::{Caches, Line, caches, prepare};
use peers::{data, files};
use std::path::{Path, PathBuf};

/// Seconds that a run may take: `torch.compile` compiles.
fn limit(name: &str) -> u64 {
    if name == "torch-compile" { 90 } else { 60 }
}

/// A peer's runs on a model.
struct Runs {
    /// What they gave.
    peer: PeerResults,
    /// The seconds of all.
    seconds: f64,
    /// Whether one crashed or computed something else.
    wrong: bool,
    /// Whether the time was over before the first that counts.
    missed: bool,
}

/// All models' contests.
pub struct Contest<'a> {
    /// The others.
    pub guests: &'a Guests<'a>,
    /// What was known on the machine that made the folder.
    pub carried: Carried,
    /// The folder of MNIST.
    pub mnist: Option<PathBuf>,
    /// What was measured.
    pub results: Results,
}

impl Contest<'_> {
    /// wgrad and PyTorch eager on a model, and their epoch of MNIST if the model has one.
    pub fn first(&mut self, model: &Model, rows: &mut Rows) -> Result<()> {
        let torch = self.guests.all.iter().filter(|g| g.name == "torch");
        let who: Vec<Option<&Guest>> = std::iter::once(None).chain(torch.map(Some)).collect();
        // A round of the largest takes its time.
        let rounds = if model.has_reference() { self.results.rounds } else { 1 };
        self.run(model, &who, rounds, rows)?;
        if !model.has_reference() {
            self.profile(model, rows)?;
        }
        if model.epoch {
            rows.push(match self.mnist {
                Some(_) => self.epoch(model),
                None => Row::further("MNIST epoch, batch 64", "not run: the folder has no MNIST"),
            });
        }
        Ok(())
    }

    /// The others on a model, once.
    pub fn others(&mut self, model: &Model, rows: &mut Rows) -> Result<()> {
        let others = self.guests.all.iter().filter(|g| g.name != "torch");
        self.run(model, &others.map(Some).collect::<Vec<_>>(), 1, rows)
    }

    /// What takes the time of wgrad's step of a large model: the slowest kernels; the log has all.
    fn profile(&self, model: &Model, rows: &mut Rows) -> Result<()> {
        let (name, site) = (model.name, self.guests.site);
        if site.left().is_none() {
            return Ok(());
        }
        let mut command = site.program("peer");
        let file = data::with_reference(model, None, &site.root.join("work/peers"))?.path;
        command.arg("--profile").arg(file);
        let ran = site.run(&format!("profile-{name}"), command, limit("wgrad"))?;
        let kernels = format!("profile of {name}: kernel");
        rows.push_profile(&format!("profile of {name}"), &kernels, 8, &ran);
        Ok(())
    }

    /// The row of the epoch of MNIST.
    fn epoch(&self, model: &Model) -> Row {
        let seen = self.results.models.iter().find(|m| m.model == model.name);
        let peer = |name| seen.and_then(|m| m.peer(name)).filter(|p| p.failure.is_none());
        let epoch = |name| peer(name).and_then(|p| median(&p.mnist_epoch_seconds));
        let accuracy = peer("wgrad").and_then(|p| median(&p.mnist_accuracy));
        table::epoch(epoch("wgrad"), epoch("torch"), accuracy, self.guests.gpu)
    }

    /// Runs peers on a model, a row each; no guest is wgrad. A model with an epoch begins with a first step from empty
    /// caches.
    fn run(
        &mut self,
        model: &Model,
        who: &[Option<&Guest>],
        rounds: usize,
        rows: &mut Rows,
    ) -> Result<()> {
        let site = self.guests.site;
        let carried = self.carried.references.get(model.name).copied();
        let reference = model.recorded.or(carried);
        ensure!(reference.is_some() == model.has_reference(), "no reference of {}", model.name);
        // A model that f64 doesn't train is compared with the first loss that is seen, in either part of the contest.
        let seen = self.results.models.iter().find(|m| m.model == model.name);
        let mut expected = seen.map_or(reference.map(|r| r.loss), ModelResults::expected);
        // If no run will start, none needs the file.
        let file = match site.left() {
            Some(_) => data::with_reference(model, reference, &site.root.join("work/peers"))?.path,
            None => PathBuf::new(),
        };
        let mut all: Vec<Runs> = who.iter().map(|guest| self.runs(*guest)).collect();
        let rounds = (1..=rounds).map(|round| (Purpose::Round, round));
        for (purpose, round) in model.epoch.then_some((Purpose::Cold, 0)).into_iter().chain(rounds)
        {
            for (guest, runs) in who.iter().zip(&mut all) {
                if runs.peer.failure.is_some() {
                    continue;
                }
                let ran = self.once(model, &file, *guest, purpose, round)?;
                runs.add(&ran, purpose, &mut expected);
            }
        }
        let models = &mut self.results.models;
        let at = models.iter().position(|m| m.model == model.name).unwrap_or_else(|| {
            models.push(ModelResults {
                model: model.name.into(),
                shape: model.shape(),
                batch: model.batch,
                steps: model.steps,
                reference: reference.map(|r| r.loss),
                peers: Vec::new(),
            });
            models.len() - 1
        });
        for runs in all {
            let part = format!("{} ({}): {}", model.name, model.title(), runs.peer.name);
            let base = models[at].peer("wgrad").and_then(PeerResults::step);
            rows.push(runs.row(&part, base));
            models[at].peers.push(runs.peer);
        }
        files::write(&self.results, &site.root.join("report/peers")).map(drop)
    }

    /// A peer before its first run.
    fn runs(&self, guest: Option<&Guest>) -> Runs {
        let (name, version) = match guest {
            Some(guest) => (guest.name, String::new()),
            None => ("wgrad", self.carried.version.clone()),
        };
        let peer = PeerResults { name: name.into(), version, ..Default::default() };
        Runs { peer, seconds: 0.0, wrong: false, missed: false }
    }

    /// One run of a peer.
    fn once(
        &self,
        model: &Model,
        file: &Path,
        guest: Option<&Guest>,
        purpose: Purpose,
        round: usize,
    ) -> Result<Ran> {
        let site = self.guests.site;
        let name = guest.map_or("wgrad", |g| g.name);
        let mut command = guest.map_or_else(|| site.program("peer"), |g| self.guests.command(g));
        let cold = purpose == Purpose::Cold;
        let repeats = if cold { 0 } else { model.repeats };
        command.arg("--data").arg(file).args(["--repeats", &repeats.to_string()]);
        let mnist = self.mnist.as_ref().filter(|_| model.epoch && !cold);
        command.arg("--mnist").arg(mnist.map_or("none".as_ref(), |dir| dir.as_os_str()));
        if cold {
            let folder = site.root.join("work/cold");
            prepare(&folder, Caches::Empty)?;
            command.envs(caches(&folder, Caches::Empty));
        }
        site.run(&format!("{}-{name}-{round}", model.name), command, limit(name))
    }
}

impl Runs {
    /// Takes in a run, whose loss is the expected one if there is none yet.
    fn add(&mut self, ran: &Ran, purpose: Purpose, expected: &mut Option<f64>) {
        self.seconds += ran.seconds;
        if ran.missed() && !self.peer.step_seconds.is_empty() {
            // The rounds before count without it.
            return;
        }
        let line = read::json(&ran.text).and_then(|line| serde_json::from_str::<Line>(line).ok());
        let taken = match (ran.failure(), line) {
            (Some(why), _) => Err((why, ran.failed())),
            (None, None) => Err(("FAILED: it printed no result".into(), true)),
            (None, Some(line)) => {
                let loss = *expected.get_or_insert(line.loss);
                let taken = self.peer.take(line, purpose, ran.peak_memory, loss);
                taken.map_err(|another| (another, true))
            }
        };
        match taken {
            Err((why, wrong)) => {
                (self.peer.failure, self.wrong, self.missed) = (Some(why), wrong, ran.missed());
            }
            // The first round fills the caches, so that its first step is not a warm one.
            Ok(()) if self.peer.step_seconds.len() == 1 => self.peer.first_step_warm.clear(),
            Ok(()) => {}
        }
    }

    /// The row; `base` is wgrad's time per step, if it is known.
    fn row(&self, part: &str, base: Option<f64>) -> Row {
        // Only wgrad's faults are the report's; its device is above the table.
        let ours = self.peer.name == "wgrad";
        let result = match &self.peer.failure {
            Some(why) => why.clone(),
            None => said(&self.peer, base.filter(|_| !ours)),
        };
        let (failed, missed) = (ours && self.wrong, self.missed);
        Row { failed, missed, ..Row::new(part, result, self.seconds) }
    }
}

/// A peer's result in words; `base` is wgrad's time per step if the peer is another.
fn said(peer: &PeerResults, base: Option<f64>) -> String {
    let step = peer.step();
    let mut parts = vec![step.map_or("no time".into(), |s| {
        let times = base.map(|base| format!(", {:.2}× wgrad's", s / base));
        format!("{:.4} ms per step{}", s * 1e3, times.unwrap_or_default())
    })];
    parts.extend(peer.first_step_cold.map(|s| format!("first step cold {s:.2} s")));
    parts.extend(median(&peer.first_step_warm).map(|s| format!("warm {s:.2} s")));
    parts.extend(median(&peer.mnist_epoch_seconds).map(|s| format!("epoch {s:.3} s")));
    parts.extend(peer.losses.first().map(|loss| format!("loss {loss:.5}")));
    let device = base.map(|_| format!(" ({})", peer.device));
    parts.join(", ") + &device.unwrap_or_default()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::part::End;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    /// A run that printed a line with this loss.
    fn ran(loss: f64) -> Ran {
        let text = format!(
            "{{\"device\":\"A\",\"loss\":{loss},\"first_step_seconds\":1.0,\"step_seconds\":[0.002],\
             \"mnist_epoch_seconds\":2.0}}\n"
        );
        let end = End::Status(ExitStatus::from_raw(0));
        Ran { text, end, seconds: 3.0, peak_memory: Some(5) }
    }

    /// The runs of a peer that ends so, one after the other; the first is cold.
    fn runs(name: &str, ended: &[Ran]) -> Runs {
        let peer = PeerResults { name: name.into(), ..Default::default() };
        let mut runs = Runs { peer, seconds: 0.0, wrong: false, missed: false };
        for (i, ran) in ended.iter().enumerate() {
            let purpose = if i == 0 { Purpose::Cold } else { Purpose::Round };
            runs.add(ran, purpose, &mut Some(0.25));
        }
        runs
    }

    #[test]
    fn rounds_become_a_row_and_results() {
        let runs = runs("torch", &[ran(0.25), ran(0.25), ran(0.2501)]);
        let row = runs.row("p", Some(0.001));
        assert_eq!(
            row.result,
            "2.0000 ms per step, 2.00× wgrad's, first step cold 1.00 s, warm 1.00 s, epoch 2.000 s, \
             loss 0.25000 (A)"
        );
        assert_eq!((row.seconds, row.failed, row.missed), (Some(9.0), false, false));
        let peer = runs.peer;
        assert_eq!((peer.step_seconds.len(), peer.first_step_warm.len()), (2, 1));
        assert_eq!(peer.peak_memory, Some(5));
    }

    #[test]
    fn without_a_reference_the_first_loss_is_expected() {
        let mut expected = None;
        let mut add = |name: &str, loss| {
            let mut runs = runs(name, &[]);
            runs.add(&ran(loss), Purpose::Round, &mut expected);
            runs.peer.failure
        };
        assert_eq!(add("wgrad", 0.3), None);
        assert_eq!(add("torch", 0.3001), None);
        assert!(add("jax", 0.302).is_some_and(|why| why.contains("another loss")));
    }

    #[test]
    fn another_loss_is_a_fault_of_wgrad_alone() {
        for (name, failed) in [("wgrad", true), ("torch", false)] {
            let runs = runs(name, &[ran(0.25), ran(0.3)]);
            let row = runs.row("p", None);
            assert!(row.result.starts_with("another loss") && row.failed == failed, "{row:?}");
            assert!(runs.peer.step().is_none());
        }
    }

    #[test]
    fn time_that_is_over_is_no_fault_and_leaves_the_rounds_before() {
        let over = || Ran { text: String::new(), end: End::NoTime, ..ran(0.0) };
        let row = runs("wgrad", &[over()]).row("p", None);
        assert!(row.missed && !row.failed && row.result.contains("the time is over"), "{row:?}");
        let row = runs("wgrad", &[ran(0.25), ran(0.25), over()]).row("p", None);
        assert!(!row.missed && row.result.starts_with("2.0000 ms per step, first step cold"));
        let stopped = Ran { end: End::Stopped(60), ..ran(0.25) };
        let row = runs("wgrad", &[ran(0.25), stopped]).row("p", None);
        assert_eq!((row.result.as_str(), row.failed), ("stopped after 60 s", false));
    }
}
