//! Writes checkpoints while training.

use super::monitor::{Mode, Monitor};
use super::proof::{prove_free, prove_new, prove_replaced};
use super::state;
use super::template::Template;
use crate::error::{Error, Result};
use crate::train::{BatchEnd, BatchInterval, Callback, Control, Epoch, FitInfo, HookResult};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The most names that are looked at before training.
const MOST_NAMES: usize = 10_000;

/// How often something is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Every {
    Epochs(usize),
    Batches(usize),
}

impl Every {
    /// Refuses an interval of nothing.
    pub fn check(self, owner: &str) -> Result<()> {
        match self {
            Self::Epochs(0) | Self::Batches(0) => {
                let name = format!("{owner} interval");
                Err(Error::parameter(name, 0, "at least one epoch or batch"))
            }
            _ => Ok(()),
        }
    }

    /// How often batch hooks run.
    pub const fn interval(self) -> BatchInterval {
        match self {
            Self::Epochs(_) => BatchInterval::Never,
            Self::Batches(n) => BatchInterval::Batches(n),
        }
    }

    /// Whether it is time after this epoch, numbered from 0.
    pub fn after_epoch(self, epoch: usize) -> bool {
        matches!(self, Self::Epochs(n) if (epoch + 1).is_multiple_of(n.max(1)))
    }

    /// Whether it is time after `steps` steps, of which the last save was after `saved`.
    pub fn after_steps(self, steps: u64, saved: u64) -> bool {
        matches!(self, Self::Batches(n) if steps.saturating_sub(saved) >= n as u64)
    }
}

/// Writes checkpoints or weights while training, by the rules of Keras' `ModelCheckpoint`.
///
/// The path may name numbers: `{epoch}` counts from 1, `{batch}` too, and every log has its name:
/// `out/{epoch:02d}-{val_loss:.4f}.safetensors`. Missing folders are made. A path without numbers is written over again
/// and again, each time at once or not at all. If the folder cannot be written to, training ends before it begins; so it
/// does if something is in the way of a coming file whose name has no numbers but those of epoch and batch.
///
/// As in Keras, one object that serves several `fit`s keeps its best number from one to the next, so a worse model
/// never replaces a better one.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCheckpoint {
    path: String,
    monitor: Monitor,
    best_only: bool,
    weights_only: bool,
    every: Every,
    best: Option<f64>,
    /// Steps at the last save.
    saved: u64,
    resumed: bool,
}

impl ModelCheckpoint {
    /// Writes a whole checkpoint to `path` after every epoch; see
    /// [`Trainer::save_checkpoint`](crate::train::Trainer::save_checkpoint).
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            monitor: Monitor::new("val_loss", 0.0),
            best_only: false,
            weights_only: false,
            every: Every::Epochs(1),
            best: None,
            saved: 0,
            resumed: false,
        }
    }

    /// Writes only when this log is better than ever.
    #[must_use]
    pub fn save_best_only(mut self, monitor: &str) -> Self {
        self.best_only = true;
        self.monitor.name = monitor.into();
        self
    }

    /// The number that the first file must beat, as Keras' `initial_value_threshold`; it counts with
    /// [`ModelCheckpoint::save_best_only`]. For example, the best number of an earlier program whose file is there.
    #[must_use]
    pub const fn initial_value_threshold(mut self, threshold: f64) -> Self {
        self.best = Some(threshold);
        self
    }

    /// Which way the monitored number gets better.
    #[must_use]
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.monitor.mode = mode;
        self
    }

    /// Whether weights alone are written; see [`Trainer::save_weights`](crate::train::Trainer::save_weights).
    #[must_use]
    pub const fn save_weights_only(mut self, weights_only: bool) -> Self {
        self.weights_only = weights_only;
        self
    }

    /// Writes after every so many epochs.
    #[must_use]
    pub const fn every_epochs(mut self, epochs: usize) -> Self {
        self.every = Every::Epochs(epochs);
        self
    }

    /// Writes in the middle of epochs, after every so many batches of an epoch, if that many have passed since the last
    /// time. Numbers of the validation are not known there.
    #[must_use]
    pub const fn every_batches(mut self, batches: usize) -> Self {
        self.every = Every::Batches(batches);
        self
    }

    /// The best number so far, of all `fit`s; the threshold, if one was set and not beaten yet.
    #[must_use]
    pub const fn best(&self) -> Option<f64> {
        self.best
    }

    /// Makes sure that files can be written, as far as their names are known: of a name with numbers, one of them is tried.
    fn prove(&self, template: &Template) -> Result<()> {
        if template.names().next().is_none() {
            return prove_replaced(Path::new(&template.fill(|_| None)?));
        }
        // The folder up to the first part with a number in its name.
        let folder = Path::new(&self.path).parent().unwrap_or(Path::new(""));
        let plain = |part: &str| Template::parse(part).ok()?.fill(|_| None).ok();
        let folder: PathBuf = folder.iter().map_while(|part| plain(part.to_str()?)).collect();
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
        let filled = template.fill(|_| Some(0.0))?;
        prove_new(folder, Path::new(Path::new(&filled).file_name().unwrap_or_default()))
    }

    /// Makes sure that nothing is in the way of the files to come, as far as their names are known: other numbers than those
    /// of epoch and batch are not.
    fn prove_names(&self, info: &FitInfo) -> Result<()> {
        let template = Template::parse(&self.path)?;
        if template.names().next().is_none() {
            return Ok(());
        }
        let exact = template.names().all(|name| ["epoch", "batch"].contains(&name));
        let epochs = info.initial_epoch..info.epochs;
        let (epochs, batches): (Vec<usize>, usize) = match self.every {
            Every::Epochs(_) => {
                (epochs.filter(|&epoch| self.every.after_epoch(epoch)).collect(), 1)
            }
            Every::Batches(_) => (epochs.collect(), info.steps),
        };
        let places =
            || epochs.iter().flat_map(|&epoch| (0..batches).map(move |batch| (epoch, batch)));
        // The last name is the longest.
        let last = epochs.last().map(|&epoch| (epoch, batches.saturating_sub(1)));
        for (epoch, batch) in places().take(MOST_NAMES).chain(last) {
            let path = template.fill(|name| match name {
                "epoch" => Some((epoch + 1) as f64),
                "batch" => Some((batch + 1) as f64),
                _ => Some(0.0),
            });
            prove_free(Path::new(&path?), exact)?;
        }
        Ok(())
    }

    /// Writes, unless the number has been better.
    fn save(&mut self, log: impl Fn(&str) -> Option<f64>, control: &mut Control<'_>) -> HookResult {
        self.saved = control.trainer().steps();
        if self.best_only {
            let name = &self.monitor.name;
            let value = log(name)
                .ok_or_else(|| Error::parameter("monitor", name, "there is no such log"))?;
            if !self.monitor.improves(value, self.best) {
                return Ok(());
            }
            self.best = Some(value);
        }
        let path = Template::parse(&self.path)?.fill(log)?;
        // The trainer's own error cannot say which callback asked for the file.
        prove_replaced(Path::new(&path))?;
        if self.weights_only {
            control.trainer().save_weights(&path)?;
        } else {
            control.save_checkpoint(&path);
        }
        Ok(())
    }
}

impl Callback for ModelCheckpoint {
    fn name(&self) -> String {
        "ModelCheckpoint".into()
    }

    fn check(&self) -> Result<()> {
        self.every.check("ModelCheckpoint")?;
        let template = Template::parse(&self.path)?;
        if self.best_only {
            self.monitor.check("ModelCheckpoint")?;
        }
        let batches = matches!(self.every, Every::Batches(_));
        let monitor = self.best_only.then_some(self.monitor.name.as_str());
        let unknown =
            |name: &&str| if batches { name.starts_with("val_") } else { *name == "batch" };
        if let Some(name) = template.names().chain(monitor).find(unknown) {
            let when = if batches { "batches" } else { "epochs" };
            let detail = format!("is not known at the ends of {when}, where it writes");
            return Err(Error::parameter("ModelCheckpoint log", name, detail));
        }
        self.prove(&template)
    }

    fn monitors(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        names.extend(self.best_only.then(|| self.monitor.name.clone()));
        if let Ok(template) = Template::parse(&self.path) {
            let logs = template.names().filter(|name| !["epoch", "batch"].contains(name));
            names.extend(logs.map(str::to_owned));
        }
        names
    }

    fn batch_interval(&self) -> BatchInterval {
        self.every.interval()
    }

    fn on_train_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        if !std::mem::take(&mut self.resumed) {
            self.saved = control.trainer().steps();
        }
        Ok(self.prove_names(control.info())?)
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        if !self.every.after_epoch(epoch.epoch) {
            return Ok(());
        }
        let log = |name: &str| match name {
            "epoch" => Some((epoch.epoch + 1) as f64),
            _ => epoch.get(name),
        };
        self.save(log, control)
    }

    fn on_batch_end(&mut self, batch: &BatchEnd<'_>, control: &mut Control<'_>) -> HookResult {
        if !self.every.after_steps(control.trainer().steps(), self.saved) {
            return Ok(());
        }
        let log = |name: &str| match name {
            "epoch" => Some((batch.epoch + 1) as f64),
            "batch" => Some((batch.batch + 1) as f64),
            _ => batch.get(name),
        };
        self.save(log, control)
    }

    fn state(&self) -> Value {
        json!({ "best": state::optional(self.best), "saved": self.saved })
    }

    fn restore(&mut self, saved: &Value) -> HookResult {
        self.best = state::read_optional(saved, "best")?.or(self.best);
        self.saved = state::read_count(saved, "saved")? as u64;
        self.resumed = true;
        Ok(())
    }
}
