//! A line per epoch.

use super::super::callback::{Callback, HookResult};
use super::super::control::Control;
use super::super::history::Epoch;
use super::text;
use std::io::Write;

/// Writes a line per epoch, as [`Verbose::Lines`](crate::train::Verbose::Lines) does. Add it to write to another place
/// than standard output, or than the browser's console.
///
/// ```
/// use wgrad::prelude::*;
///
/// let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
/// let kept = lines.clone();
/// let progress = ProgressLines::each(move |line| kept.lock().unwrap().push(line.to_owned()));
/// let fit = Fit::new().verbose(Verbose::Silent).callback(progress);
/// ```
#[derive(Default)]
pub struct ProgressLines {
    out: Out,
}

/// Where the lines go.
#[derive(Default)]
enum Out {
    /// Standard output; in a browser the console.
    #[default]
    Standard,
    Writer(Box<dyn Write + Send>),
    Each(Box<dyn FnMut(&str) + Send>),
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
        Self { out: Out::Writer(Box::new(out)) }
    }

    /// Hands each line to `sink`: for a log, or a page in a browser.
    #[must_use]
    pub fn each(sink: impl FnMut(&str) + Send + 'static) -> Self {
        Self { out: Out::Each(Box::new(sink)) }
    }

    fn write(&mut self, lines: &[String]) -> HookResult {
        for line in lines {
            match &mut self.out {
                Out::Standard => standard(line),
                Out::Writer(out) => writeln!(out, "{line}")?,
                Out::Each(sink) => sink(line),
            }
        }
        Ok(())
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn standard(line: &str) {
    println!("{line}");
}

#[cfg(target_arch = "wasm32")]
fn standard(line: &str) {
    web_sys::console::log_1(&line.into());
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
