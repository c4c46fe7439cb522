//! Event files for TensorBoard.

mod event;
mod record;

use super::proof::prove_new;
use super::state;
use crate::error::Result;
use crate::train::{Callback, Control, Epoch, HookResult};
use record::EventFile;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Writes each epoch's logs to event files that TensorBoard shows (`tensorboard --logdir FOLDER`), with the names of
/// Keras' `TensorBoard`: the run `train` has `epoch_loss`, `epoch_accuracy`, ... and `epoch_learning_rate`, the run
/// `validation` the same numbers of the validation data, each over the epoch, from 0. TensorBoard's scalars are f32.
///
/// Each `fit` adds a file to each run. If training goes on from a checkpoint, TensorBoard is told to forget the epochs
/// that had run after the checkpoint.
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    train: Option<EventFile>,
    validation: Option<EventFile>,
    /// The number of the next epoch.
    next: usize,
    resumed: bool,
}

impl TensorBoard {
    /// Writes below `folder`, which is made if it is missing.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), train: None, validation: None, next: 0, resumed: false }
    }
}

impl Callback for TensorBoard {
    fn name(&self) -> String {
        "TensorBoard".into()
    }

    fn check(&self) -> Result<()> {
        let (events, validation) = (Path::new("events.out.tfevents"), "validation");
        prove_new(&self.folder.join("train"), events)?;
        // Its folder is made only if there are numbers of validation data.
        match self.folder.join(validation) {
            folder if folder.exists() => prove_new(&folder, events),
            _ => prove_new(&self.folder, Path::new(validation)),
        }
    }

    fn on_train_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        let session = std::mem::take(&mut self.resumed).then_some(self.next);
        self.train = Some(EventFile::create(&self.folder.join("train"), session)?);
        self.validation = None;
        if control.info().validation {
            self.validation = Some(EventFile::create(&self.folder.join("validation"), session)?);
        }
        Ok(())
    }

    fn on_epoch_begin(&mut self, epoch: usize, _control: &mut Control<'_>) -> HookResult {
        self.next = epoch;
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        self.next = epoch.epoch + 1;
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        for (name, value) in &epoch.logs {
            match name.strip_prefix("val_") {
                Some(name) if self.validation.is_some() => {
                    validation.push((format!("epoch_{name}"), *value as f32));
                }
                _ => train.push((format!("epoch_{name}"), *value as f32)),
            }
        }
        let rate = "epoch_learning_rate";
        if !train.iter().any(|(name, _)| name == rate) {
            train.push((rate.into(), control.learning_rate() as f32));
        }
        if let Some(file) = &mut self.train {
            file.scalars(epoch.epoch, &train)?;
        }
        if let Some(file) = &mut self.validation {
            file.scalars(epoch.epoch, &validation)?;
        }
        Ok(())
    }

    fn on_train_end(&mut self, _control: &mut Control<'_>) -> HookResult {
        (self.train, self.validation) = (None, None);
        Ok(())
    }

    fn state(&self) -> Value {
        json!({ "next_epoch": self.next })
    }

    fn restore(&mut self, state: &Value) -> HookResult {
        self.next = state::read_count(state, "next_epoch")?;
        self.resumed = true;
        Ok(())
    }
}
