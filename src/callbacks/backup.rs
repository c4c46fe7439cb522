//! Training that survives its process.

use super::model_checkpoint::Every;
use super::proof::{make_folder_of, prove_replaced};
use super::state;
use crate::error::Result;
use crate::files::io;
use crate::train::{BatchEnd, BatchInterval, Callback, Control, Epoch, HookResult, Trainer};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Keeps a checkpoint in a folder while training. If an earlier process was interrupted, training goes on from
/// the checkpoint, as Keras' `BackupAndRestore` does. Run the interrupted program again as it is: it gives the same
/// bits as without the interruption.
///
/// If the backup is damaged or belongs to another model, or the folder cannot be written to, `fit` ends before it
/// begins. The backup is deleted after the last epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupAndRestore {
    folder: PathBuf,
    every: Every,
    delete: bool,
    /// Steps at the last save.
    saved: u64,
    resumed: bool,
}

impl BackupAndRestore {
    /// Keeps the backup in `folder`, written after every epoch. No other training may use the folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let every = Every::Epochs(1);
        Self { folder: folder.into(), every, delete: true, saved: 0, resumed: false }
    }

    /// Writes after every so many epochs.
    #[must_use]
    pub const fn every_epochs(mut self, epochs: usize) -> Self {
        self.every = Every::Epochs(epochs);
        self
    }

    /// Writes in the middle of epochs too; see
    /// [`ModelCheckpoint::every_batches`](super::model_checkpoint::ModelCheckpoint::every_batches).
    #[must_use]
    pub const fn every_batches(mut self, batches: usize) -> Self {
        self.every = Every::Batches(batches);
        self
    }

    /// Whether the end of training deletes the backup. If it stays, the next `fit` goes on from it.
    #[must_use]
    pub const fn delete_checkpoint(mut self, delete: bool) -> Self {
        self.delete = delete;
        self
    }

    /// The backup.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join("backup.safetensors")
    }

    fn save(&mut self, control: &mut Control<'_>) -> HookResult {
        self.saved = control.trainer().steps();
        make_folder_of(&self.path())?;
        control.save_checkpoint(self.path());
        Ok(())
    }
}

impl Callback for BackupAndRestore {
    fn name(&self) -> String {
        "BackupAndRestore".into()
    }

    fn check(&self) -> Result<()> {
        self.every.check("BackupAndRestore")?;
        prove_replaced(&self.path())
    }

    fn batch_interval(&self) -> BatchInterval {
        self.every.interval()
    }

    fn resume(&mut self, trainer: &mut Trainer) -> Result<bool> {
        let path = self.path();
        let there = path.exists();
        if there {
            trainer.load_checkpoint(path)?;
        }
        Ok(there)
    }

    fn on_train_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        if !std::mem::take(&mut self.resumed) {
            self.saved = control.trainer().steps();
        }
        Ok(())
    }

    fn on_train_end(&mut self, _control: &mut Control<'_>) -> HookResult {
        if !self.delete {
            return Ok(());
        }
        match std::fs::remove_file(self.path()) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(io(&self.path(), cause).into())
            }
            _ => {
                // The folder goes too, unless something else uses it.
                let _ = std::fs::remove_dir(&self.folder);
                Ok(())
            }
        }
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        if self.every.after_epoch(epoch.epoch) { self.save(control) } else { Ok(()) }
    }

    fn on_batch_end(&mut self, _batch: &BatchEnd<'_>, control: &mut Control<'_>) -> HookResult {
        let due = self.every.after_steps(control.trainer().steps(), self.saved);
        if due { self.save(control) } else { Ok(()) }
    }

    fn state(&self) -> Value {
        json!({ "saved": self.saved })
    }

    fn restore(&mut self, saved: &Value) -> HookResult {
        self.saved = state::read_count(saved, "saved")? as u64;
        self.resumed = true;
        Ok(())
    }
}
