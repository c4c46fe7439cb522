//! wgrad beside PyTorch and JAX on the target: the peers' protocol, one model after the other.

use super::folder::References;
use super::part::Site;
use super::read;
use super::table::{self, Row};
use crate::peers::data;
use crate::peers::models::Model;
use crate::peers::record::{disagreement, median};
use crate::peers::reference::Reference;
use crate::peers::roster::{Kind, ROSTER};
use crate::peers::run::Line;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// The Python peers of the report, in the order of their rows: PyTorch first, since goals are about it.
const GUESTS: [&str; 3] = ["torch", "torch-compile", "jax"];

/// Seconds that a run may take: `torch.compile` compiles.
fn limit(name: &str) -> u64 {
    if name == "torch-compile" { 90 } else { 60 }
}

/// A Python peer whose modules are there.
struct Guest {
    /// Its name.
    name: &'static str,
    /// Its script, and arguments of its own.
    args: Vec<OsString>,
    /// Whether it finds a CUDA device.
    cuda: bool,
}

/// All that the models have in common.
pub struct Contest<'a> {
    /// Where parts run.
    site: &'a Site,
    /// Whether wgrad computes on a GPU.
    gpu: bool,
    /// The Python.
    python: OsString,
    /// Those that are there.
    guests: Vec<Guest>,
    /// The folder of MNIST.
    mnist: Option<PathBuf>,
}

impl<'a> Contest<'a> {
    /// Looks for the Python peers; what is not there gets a row.
    pub fn new(
        site: &'a Site,
        gpu: bool,
        mnist: Option<PathBuf>,
        rows: &mut Vec<Row>,
    ) -> Result<Self> {
        let python = std::env::var_os("WGRAD_PYTHON").unwrap_or_else(|| "python3".into());
        let mut contest = Contest { site, gpu, python, guests: Vec::new(), mnist };
        // One look for all peers with the same modules: imports take their time.
        let mut looked: HashMap<String, Result<bool, String>> = HashMap::new();
        for name in GUESTS {
            let peer =
                ROSTER.iter().find(|p| p.name == name).context("a guest is in the roster")?;
            let Kind::Python { script, modules, args, cuda } = peer.kind else { continue };
            let code = format!("import {}; print('cuda:', {cuda})", modules.join(", "));
            if !looked.contains_key(&code) {
                let mut command = Command::new(&contest.python);
                command.args(["-c", &code]);
                let ran = site.run(&format!("look-{name}"), command, 60)?;
                let found = match ran.failure() {
                    None => Ok(ran.text.contains("cuda: True")),
                    Some(why) => Err(why.trim_start_matches("FAILED ").to_string()),
                };
                looked.insert(code.clone(), found);
            }
            match &looked[&code] {
                Ok(cuda) => {
                    let mut all = vec![site.root.join("peers").join(script).into_os_string()];
                    all.extend(args.iter().map(OsString::from));
                    contest.guests.push(Guest { name, args: all, cuda: *cuda });
                }
                Err(why) => rows.push(Row::further(name, format!("not there: {why}"))),
            }
        }
        Ok(contest)
    }

    /// PyTorch's products beside what wgrad's benchmark printed.
    pub fn product(&self, products: &str, rows: &mut Vec<Row>) -> Result<()> {
        let size = if self.gpu { 4096 } else { 1024 };
        let name = format!("{size}x{size}x{size}");
        let ours = read::products(products).into_iter().find(|(size, _)| *size == name);
        let ours =
            |form: &str| ours.as_ref()?.1.iter().find(|(f, _)| f == form).map(|(_, rate)| *rate);
        let mut torch = read::TorchProduct::default();
        if let Some(guest) = self.guests.iter().find(|g| g.name == "torch") {
            let mut command = Command::new(&self.python);
            command.arg(self.site.root.join("peers/torch_product.py"));
            command
                .args(["--sizes", &if self.gpu { "2048,4096".into() } else { size.to_string() }]);
            command.args(["--device", self.device(guest)]);
            let ran = self.site.run("torch-product", command, limit("torch"))?;
            let read = read::json(&ran.text).and_then(|line| serde_json::from_str(line).ok());
            let result = match (read, ran.failure()) {
                (Some(read), None) => {
                    torch = read;
                    let rate = |(name, rate): (&String, &f64)| format!("{name} {rate:.0}");
                    let rates: Vec<_> = torch.gflops.iter().map(rate).collect();
                    format!("{}; {} GFLOP/s ({})", torch.version, rates.join(", "), torch.device)
                }
                (_, why) => why.unwrap_or_else(|| "it printed no result".into()),
            };
            rows.push(Row {
                failed: ran.failed(),
                ..Row::new("torch products", result, ran.seconds)
            });
        }
        let theirs = torch.gflops.get(&format!("AB {size}")).copied();
        rows.push(table::product(size, ours("AB"), theirs, self.gpu));
        Ok(())
    }

    /// The device that a guest computes on: CUDA's beside a GPU, the processor beside software Vulkan.
    fn device(&self, guest: &Guest) -> &'static str {
        if self.gpu && guest.cuda { "cuda" } else { "cpu" }
    }

    /// One run of a peer; no guest is wgrad.
    fn once(
        &self,
        model: &Model,
        data: &PathBuf,
        guest: Option<&Guest>,
        round: usize,
    ) -> Result<(Result<Line, String>, f64)> {
        let name = guest.map_or("wgrad", |g| g.name);
        let mut command = match guest {
            Some(guest) => {
                let mut command = Command::new(&self.python);
                command.args(&guest.args).args(["--device", self.device(guest)]);
                command
            }
            None => self.site.program("peer"),
        };
        command.arg("--data").arg(data).args(["--repeats", &model.repeats.to_string()]);
        let mnist = self.mnist.as_ref().filter(|_| model.epoch);
        command.arg("--mnist").arg(mnist.map_or("none".as_ref(), |dir| dir.as_os_str()));
        let ran = self.site.run(&format!("{}-{name}-{round}", model.name), command, limit(name))?;
        let line = match ran.failure() {
            Some(why) => Err(why),
            None => read::json(&ran.text)
                .and_then(|line| serde_json::from_str(line).ok())
                .ok_or_else(|| "it printed no result".into()),
        };
        Ok((line, ran.seconds))
    }

    /// All peers on a model, a row each, and for the model with an epoch of MNIST a row about that.
    pub fn model(&self, model: &Model, references: &References, rows: &mut Vec<Row>) -> Result<()> {
        let reference = references.get(model.name);
        let reference =
            reference.map(|&[loss_first, loss, moved]| Reference { loss_first, loss, moved });
        let file = data::with_reference(model, reference, &self.site.root.join("work/peers"))?;
        let all: Vec<Option<&Guest>> =
            std::iter::once(None).chain(self.guests.iter().map(Some)).collect();
        // The two that the goal is about take turns.
        let rounds = if model.epoch && self.gpu { 2 } else { 1 };
        let mut runs: Vec<Vec<(Result<Line, String>, f64)>> =
            all.iter().map(|_| Vec::new()).collect();
        for round in 1..=rounds {
            for (guest, runs) in all.iter().zip(&mut runs) {
                if round == 1 || guest.is_none_or(|g| g.name == "torch") {
                    runs.push(self.once(model, &file.path, *guest, round)?);
                }
            }
        }
        let losses: Vec<f64> =
            runs.iter().flatten().filter_map(|r| r.0.as_ref().ok()).map(|l| l.loss).collect();
        let expected = reference.map(|r| r.loss).or_else(|| median(&losses));
        let (mut base, mut epochs, mut accuracy) = (None, HashMap::new(), None);
        for (guest, runs) in all.iter().zip(runs) {
            let name = guest.map_or("wgrad", |g| g.name);
            let seconds = runs.iter().map(|r| r.1).sum();
            let lines: Result<Vec<Line>, String> = runs.into_iter().map(|r| r.0).collect();
            let checked = lines.and_then(|lines| {
                let wrong = lines.iter().find_map(|l| disagreement(l.loss, expected?));
                wrong.map_or(Ok(lines), Err)
            });
            let part = format!("{} ({}): {name}", model.name, model.shape());
            match checked {
                Ok(lines) => {
                    let step = median(lines.iter().flat_map(|l| &l.step_seconds));
                    base = base.or(step);
                    epochs.insert(
                        name,
                        median(
                            &lines.iter().filter_map(|l| l.mnist_epoch_seconds).collect::<Vec<_>>(),
                        ),
                    );
                    accuracy = accuracy.or_else(|| lines.iter().find_map(|l| l.mnist_accuracy));
                    rows.push(Row::new(
                        &part,
                        said(&lines, step, base.filter(|_| guest.is_some())),
                        seconds,
                    ));
                }
                Err(why) => {
                    let failed = guest.is_none()
                        && !why.starts_with("stopped")
                        && !why.starts_with("not run");
                    rows.push(Row { failed, ..Row::new(&part, why, seconds) });
                }
            }
        }
        if model.epoch {
            let of = |name| epochs.get(name).copied().flatten();
            rows.push(match self.mnist {
                Some(_) => table::epoch(of("wgrad"), of("torch"), accuracy, self.gpu),
                None => Row::further("MNIST epoch, batch 64", "not run: the folder has no MNIST"),
            });
        }
        Ok(())
    }
}

/// A peer's result in words; `base` is wgrad's time per step where that is another's.
fn said(lines: &[Line], step: Option<f64>, base: Option<f64>) -> String {
    let step_ms = step.map_or("no time".into(), |s| format!("{:.4} ms per step", s * 1e3));
    let times =
        step.zip(base).map(|(s, base)| format!(", {:.2}× wgrad's", s / base)).unwrap_or_default();
    let Some(line) = lines.first() else { return "no result".into() };
    let epoch = line.mnist_epoch_seconds.map(|s| format!(", epoch {s:.3} s")).unwrap_or_default();
    let first = line.first_step_seconds;
    format!(
        "{step_ms}{times}, first step {first:.2} s{epoch}, loss {:.5} ({})",
        line.loss, line.device
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_in_the_roster_and_run_scripts() {
        for name in GUESTS {
            let peer = ROSTER.iter().find(|p| p.name == name).unwrap();
            assert!(matches!(peer.kind, Kind::Python { .. }), "{name}");
        }
    }

    #[test]
    fn a_result_in_words() {
        let line = Line {
            device: "A".into(),
            loss: 0.25,
            first_step_seconds: 1.0,
            mnist_epoch_seconds: Some(2.0),
            ..Default::default()
        };
        assert_eq!(
            said(std::slice::from_ref(&line), Some(0.002), Some(0.001)),
            "2.0000 ms per step, 2.00× wgrad's, first step 1.00 s, epoch 2.000 s, loss 0.25000 (A)"
        );
        let line = Line { mnist_epoch_seconds: None, ..line };
        assert_eq!(
            said(&[line], Some(0.0012), None),
            "1.2000 ms per step, first step 1.00 s, loss 0.25000 (A)"
        );
    }
}
