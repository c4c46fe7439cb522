//! What training shows.

use super::{Callback, Control, HookResult};
use crate::train::{Epoch, Verbose};

/// The callback that shows what `verbose` asks for.
pub(crate) fn shown(verbose: Verbose) -> Option<Box<dyn Callback>> {
    match verbose {
        Verbose::Silent => None,
        Verbose::Auto | Verbose::Lines => Some(Box::new(Lines)),
    }
}

/// A line per epoch.
struct Lines;

impl Callback for Lines {
    fn name(&self) -> String {
        "Lines".into()
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, _control: &mut Control<'_>) -> HookResult {
        println!("{epoch}");
        Ok(())
    }
}
