//! What the examples share: how they end, and where their pictures go.

#![allow(dead_code, reason = "each example uses a part")]

use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// The wall clock of a run.
pub struct Clock(Instant);

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// The exit status of a run, its error printed: 3 where no adapter opens, 1 for all else.
pub fn report(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            let no_adapter = matches!(e.downcast_ref(), Some(wgrad::Error::NoAdapter(_)));
            ExitCode::from(if no_adapter { 3 } else { 1 })
        }
    }
}

/// The path of a picture in `out/`: PNG, or SVG where that was asked for.
pub fn picture(name: &str, svg: bool) -> PathBuf {
    PathBuf::from("out").join(format!("{name}.{}", if svg { "svg" } else { "png" }))
}

/// The place of the largest number.
pub fn largest(row: &[f32]) -> u32 {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0) as u32
}
