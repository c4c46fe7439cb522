//! wgrad beside PyTorch and JAX on the target: the peers' protocol, model by model. First wgrad and PyTorch eager,
//! which the goals are about, then the others as far as time goes.

use super::folder::References;
use super::guests::{Guest, Guests};
use super::read;
use super::table::{self, Row};
use crate::peers::data;
use crate::peers::models::Model;
use crate::peers::record::{disagreement, median};
use crate::peers::reference::Reference;
use crate::peers::run::Line;
use anyhow::Result;
use std::collections::HashMap;
use std::path::PathBuf;

/// Seconds that a run may take: `torch.compile` compiles.
fn limit(name: &str) -> u64 {
    if name == "torch-compile" { 90 } else { 60 }
}

/// What is known of a model once wgrad has run.
#[derive(Default)]
struct Seen {
    /// The losses of all runs.
    losses: Vec<f64>,
    /// wgrad's seconds per step.
    base: Option<f64>,
}

/// The runs of a peer: what each printed, or why it did not, and the seconds of all.
struct Runs {
    /// In the order of the rounds.
    lines: Vec<Result<Line, String>>,
    /// From start to end.
    seconds: f64,
}

/// All models' contests.
pub struct Contest<'a> {
    /// The others.
    guests: &'a Guests<'a>,
    /// The losses that f64 leads to.
    references: References,
    /// The folder of MNIST.
    mnist: Option<PathBuf>,
    /// By model.
    seen: HashMap<&'static str, Seen>,
}

impl<'a> Contest<'a> {
    /// Before the first run.
    pub fn new(guests: &'a Guests<'a>, references: References, mnist: Option<PathBuf>) -> Self {
        Contest { guests, references, mnist, seen: HashMap::new() }
    }

    /// wgrad and PyTorch eager on a model, and their epoch of MNIST where the model has one.
    pub fn first(&mut self, model: &Model, rows: &mut Vec<Row>) -> Result<()> {
        let torch = self.guests.all.iter().filter(|g| g.name == "torch");
        let who: Vec<Option<&Guest>> = std::iter::once(None).chain(torch.map(Some)).collect();
        // They take turns where a run is short.
        let rounds = if model.epoch && self.guests.gpu { 2 } else { 1 };
        let lines = self.run(model, &who, rounds, rows)?;
        if model.epoch {
            let all = |name| lines.get(name).map_or(&[][..], Vec::as_slice);
            let epoch = |name| median(&each(all(name), |l| l.mnist_epoch_seconds));
            let accuracy = median(&each(all("wgrad"), |l| l.mnist_accuracy));
            rows.push(match self.mnist {
                Some(_) => table::epoch(epoch("wgrad"), epoch("torch"), accuracy, self.guests.gpu),
                None => Row::further("MNIST epoch, batch 64", "not run: the folder has no MNIST"),
            });
        }
        Ok(())
    }

    /// The others on a model.
    pub fn others(&mut self, model: &Model, rows: &mut Vec<Row>) -> Result<()> {
        let others = self.guests.all.iter().filter(|g| g.name != "torch");
        self.run(model, &others.map(Some).collect::<Vec<_>>(), 1, rows).map(drop)
    }

    /// Runs peers on a model, a row each; gives the lines of those whose loss is right. No guest is wgrad.
    fn run(
        &mut self,
        model: &Model,
        who: &[Option<&Guest>],
        rounds: usize,
        rows: &mut Vec<Row>,
    ) -> Result<HashMap<&'static str, Vec<Line>>> {
        let reference = self.references.get(model.name);
        let reference =
            reference.map(|&[loss_first, loss, moved]| Reference { loss_first, loss, moved });
        let folder = self.guests.site.root.join("work/peers");
        let data = data::with_reference(model, reference, &folder)?.path;
        let mut runs: Vec<Runs> =
            who.iter().map(|_| Runs { lines: Vec::new(), seconds: 0.0 }).collect();
        for round in 1..=rounds {
            for (guest, runs) in who.iter().zip(&mut runs) {
                self.once(model, &data, *guest, round, runs)?;
            }
        }
        let seen = self.seen.entry(model.name).or_default();
        let lines = runs.iter().flat_map(|r| &r.lines).filter_map(|l| l.as_ref().ok());
        seen.losses.extend(lines.map(|l| l.loss));
        let expected = reference.map(|r| r.loss).or_else(|| median(&seen.losses));
        let mut right = HashMap::new();
        for (guest, runs) in who.iter().zip(runs) {
            let name = guest.map_or("wgrad", |g| g.name);
            let part = format!("{} ({}): {name}", model.name, model.shape());
            match counted(runs.lines, expected) {
                Ok(lines) => {
                    if guest.is_none() {
                        seen.base = step(&lines);
                    }
                    let base = seen.base.filter(|_| guest.is_some());
                    rows.push(Row::new(&part, said(&lines, base), runs.seconds));
                    right.insert(name, lines);
                }
                Err((why, wrong)) => {
                    let failed = guest.is_none() && wrong;
                    rows.push(Row { failed, ..Row::new(&part, why, runs.seconds) });
                }
            }
        }
        Ok(right)
    }

    /// One run of a peer.
    fn once(
        &self,
        model: &Model,
        data: &PathBuf,
        guest: Option<&Guest>,
        round: usize,
        runs: &mut Runs,
    ) -> Result<()> {
        let site = self.guests.site;
        let name = guest.map_or("wgrad", |g| g.name);
        let mut command = guest.map_or_else(|| site.program("peer"), |g| self.guests.command(g));
        command.arg("--data").arg(data).args(["--repeats", &model.repeats.to_string()]);
        let mnist = self.mnist.as_ref().filter(|_| model.epoch);
        command.arg("--mnist").arg(mnist.map_or("none".as_ref(), |dir| dir.as_os_str()));
        let ran = site.run(&format!("{}-{name}-{round}", model.name), command, limit(name))?;
        runs.seconds += ran.seconds;
        runs.lines.push(match ran.failure() {
            Some(why) => Err(why),
            None => read::json(&ran.text)
                .and_then(|line| serde_json::from_str(line).ok())
                .ok_or_else(|| "FAILED: it printed no result".into()),
        });
        Ok(())
    }
}

/// The lines of runs that count, or why none does and whether that is a fault: a run that ended well in time and
/// computed the expected loss.
fn counted(
    lines: Vec<Result<Line, String>>,
    expected: Option<f64>,
) -> Result<Vec<Line>, (String, bool)> {
    let fault = |why: String| {
        let wrong = why.starts_with("FAILED");
        (why, wrong)
    };
    let lines = lines.into_iter().collect::<Result<Vec<_>, _>>().map_err(fault)?;
    match lines.iter().find_map(|l| disagreement(l.loss, expected?)) {
        Some(why) => Err((why, true)),
        None => Ok(lines),
    }
}

/// The numbers of some lines, where they have it.
fn each(lines: &[Line], number: impl Fn(&Line) -> Option<f64>) -> Vec<f64> {
    lines.iter().filter_map(number).collect()
}

/// Seconds per step: the median over all passes of all runs.
fn step(lines: &[Line]) -> Option<f64> {
    median(lines.iter().flat_map(|l| &l.step_seconds))
}

/// A peer's result in words; `base` is wgrad's time per step where the peer is another.
fn said(lines: &[Line], base: Option<f64>) -> String {
    let Some(line) = lines.first() else { return "no result".into() };
    let step = step(lines);
    let ms = step.map_or("no time".into(), |s| format!("{:.4} ms per step", s * 1e3));
    let times = step.zip(base).map(|(s, base)| format!(", {:.2}× wgrad's", s / base));
    let epoch = median(&each(lines, |l| l.mnist_epoch_seconds));
    let epoch = epoch.map(|s| format!(", epoch {s:.3} s"));
    // What wgrad computes on stands above the table.
    let device = base.map(|_| format!(" ({})", line.device));
    format!(
        "{ms}{}, first step {:.2} s{}, loss {:.5}{}",
        times.unwrap_or_default(),
        line.first_step_seconds,
        epoch.unwrap_or_default(),
        line.loss,
        device.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a run prints.
    fn line() -> Line {
        Line {
            device: "A".into(),
            loss: 0.25,
            first_step_seconds: 1.0,
            step_seconds: vec![0.002],
            mnist_epoch_seconds: Some(2.0),
            ..Default::default()
        }
    }

    #[test]
    fn a_result_in_words() {
        assert_eq!(
            said(&[line()], Some(0.001)),
            "2.0000 ms per step, 2.00× wgrad's, first step 1.00 s, epoch 2.000 s, loss 0.25000 (A)"
        );
        let line = Line { mnist_epoch_seconds: None, ..line() };
        assert_eq!(said(&[line], None), "2.0000 ms per step, first step 1.00 s, loss 0.25000");
    }

    #[test]
    fn only_runs_with_the_expected_loss_count() {
        assert_eq!(counted(vec![Ok(line()), Ok(line())], Some(0.2501)).unwrap().len(), 2);
        assert_eq!(counted(vec![Ok(line())], None).unwrap().len(), 1);
        assert!(counted(vec![Ok(line())], Some(0.3)).unwrap_err().1, "another loss is a fault");
        let stopped = counted(vec![Ok(line()), Err("stopped after 60 s".into())], Some(0.25));
        assert_eq!(stopped.unwrap_err(), ("stopped after 60 s".to_string(), false));
        assert!(counted(vec![Err("FAILED (x)".into())], None).unwrap_err().1);
    }
}
