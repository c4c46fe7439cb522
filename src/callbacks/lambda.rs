//! A callback made of closures.

use super::{BatchInterval, Callback, Control, HookResult};
use crate::train::{BatchEnd, Epoch};

type EpochHook<'a> = Box<dyn FnMut(&mut Epoch, &mut Control<'_>) -> HookResult + 'a>;
type BatchHook<'a> = Box<dyn FnMut(&BatchEnd<'_>, &mut Control<'_>) -> HookResult + 'a>;

/// A user's closures, as Keras' `LambdaCallback`.
#[derive(Default)]
pub struct Lambda<'a> {
    epoch_end: Option<EpochHook<'a>>,
    batch_end: Option<BatchHook<'a>>,
    interval: BatchInterval,
}

impl std::fmt::Debug for Lambda<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lambda").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl<'a> Lambda<'a> {
    /// Does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Called at the end of each epoch.
    #[must_use]
    pub fn on_epoch_end(
        mut self,
        hook: impl FnMut(&mut Epoch, &mut Control<'_>) -> HookResult + 'a,
    ) -> Self {
        self.epoch_end = Some(Box::new(hook));
        self
    }

    /// Called at the end of batches, as often as `interval` says.
    #[must_use]
    pub fn on_batch_end(
        mut self,
        interval: BatchInterval,
        hook: impl FnMut(&BatchEnd<'_>, &mut Control<'_>) -> HookResult + 'a,
    ) -> Self {
        self.batch_end = Some(Box::new(hook));
        self.interval = interval;
        self
    }
}

impl Callback for Lambda<'_> {
    fn name(&self) -> String {
        "Lambda".into()
    }

    fn batch_interval(&self) -> BatchInterval {
        self.interval
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        self.epoch_end.as_mut().map_or(Ok(()), |hook| hook(epoch, control))
    }

    fn on_batch_end(&mut self, batch: &BatchEnd<'_>, control: &mut Control<'_>) -> HookResult {
        self.batch_end.as_mut().map_or(Ok(()), |hook| hook(batch, control))
    }
}
