//! What training shows: a bar on a terminal, a line per epoch elsewhere.

#[cfg(all(feature = "progress", not(target_arch = "wasm32")))]
mod bar;
mod lines;
mod text;

#[cfg(all(feature = "progress", not(target_arch = "wasm32")))]
pub use bar::ProgressBar;
pub use lines::ProgressLines;

use super::callback::Callback;
use super::fit::Verbose;

/// The callback that shows what `verbose` asks for.
pub(crate) fn shown(verbose: Verbose) -> Option<Box<dyn Callback>> {
    match verbose {
        Verbose::Silent => None,
        Verbose::Lines => Some(Box::new(ProgressLines::new())),
        Verbose::Auto => Some(automatic()),
    }
}

/// A bar if standard output is a terminal.
fn automatic() -> Box<dyn Callback> {
    #[cfg(all(feature = "progress", not(target_arch = "wasm32")))]
    if let Some(bar) = ProgressBar::terminal() {
        return Box::new(bar);
    }
    Box::new(ProgressLines::new())
}
