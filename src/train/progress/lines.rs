//! A line per epoch.

use super::super::callback::{Callback, HookResult};
use super::super::control::Control;
use super::super::history::Epoch;
use super::text;
use std::io::Write;

/// Writes a line per epoch, as [`Verbose::Lines`](crate::train::Verbose::Lines) does. Add it to write to another place
/// than standard output.
#[derive(Default)]
pub struct ProgressLines {
    /// `None` for standard output.
    out: Option<Box<dyn Write + Send>>,
}

impl std::fmt::Debug for ProgressLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgressLines").finish_non_exhaustive()
    }
}

impl ProgressLines {
    /// Writes to standard output.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes to `out`: a file, a pipe. If a write fails, training ends with an error.
    #[must_use]
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self { out: Some(Box::new(out)) }
    }

    fn write(&mut self, lines: &[String]) -> HookResult {
        for line in lines {
            match &mut self.out {
                None => println!("{line}"),
                Some(out) => writeln!(out, "{line}")?,
            }
        }
        Ok(())
    }
}

impl Callback for ProgressLines {
    fn name(&self) -> String {
        "ProgressLines".into()
    }

    fn on_train_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        self.write(&control.take_lines())
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        self.write(&[text::summary(epoch, control.info().epochs).join("  ")])?;
        self.write(&control.take_lines())
    }

    fn on_train_end(&mut self, control: &mut Control<'_>) -> HookResult {
        self.write(&control.take_lines())
    }
}
