//! A callback made of closures.

use crate::train::{BatchEnd, BatchInterval, Callback, Control, Epoch, HookResult};

type Hook<'a> = Box<dyn FnMut(&mut Control<'_>) -> HookResult + Send + 'a>;
type NumberHook<'a> = Box<dyn FnMut(usize, &mut Control<'_>) -> HookResult + Send + 'a>;
type EpochHook<'a> = Box<dyn FnMut(&mut Epoch, &mut Control<'_>) -> HookResult + Send + 'a>;
type BatchHook<'a> = Box<dyn FnMut(&BatchEnd<'_>, &mut Control<'_>) -> HookResult + Send + 'a>;

/// A user's closures, as Keras' `LambdaCallback`.
#[derive(Default)]
pub struct Lambda<'a> {
    train_begin: Option<Hook<'a>>,
    train_end: Option<Hook<'a>>,
    epoch_begin: Option<NumberHook<'a>>,
    epoch_end: Option<EpochHook<'a>>,
    batch_begin: Option<NumberHook<'a>>,
    batch_end: Option<BatchHook<'a>>,
    test_begin: Option<Hook<'a>>,
    test_end: Option<Hook<'a>>,
    interval: BatchInterval,
    logs: Vec<String>,
}

impl std::fmt::Debug for Lambda<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lambda")
            .field("interval", &self.interval)
            .field("logs", &self.logs)
            .finish_non_exhaustive()
    }
}

impl<'a> Lambda<'a> {
    /// Does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Called before the first epoch.
    #[must_use]
    pub fn on_train_begin(
        mut self,
        hook: impl FnMut(&mut Control<'_>) -> HookResult + Send + 'a,
    ) -> Self {
        self.train_begin = Some(Box::new(hook));
        self
    }

    /// Called after the last epoch.
    #[must_use]
    pub fn on_train_end(
        mut self,
        hook: impl FnMut(&mut Control<'_>) -> HookResult + Send + 'a,
    ) -> Self {
        self.train_end = Some(Box::new(hook));
        self
    }

    /// Called before each epoch with its number, from 0.
    #[must_use]
    pub fn on_epoch_begin(
        mut self,
        hook: impl FnMut(usize, &mut Control<'_>) -> HookResult + Send + 'a,
    ) -> Self {
        self.epoch_begin = Some(Box::new(hook));
        self
    }

    /// Called at the end of each epoch.
    #[must_use]
    pub fn on_epoch_end(
        mut self,
        hook: impl FnMut(&mut Epoch, &mut Control<'_>) -> HookResult + Send + 'a,
    ) -> Self {
        self.epoch_end = Some(Box::new(hook));
        self
    }

    /// Called before batches with their number, from 0 in the epoch, as often as `interval` says. Both batch hooks
    /// share one interval: the last one given.
    #[must_use]
    pub fn on_batch_begin(
        mut self,
        interval: BatchInterval,
        hook: impl FnMut(usize, &mut Control<'_>) -> HookResult + Send + 'a,
    ) -> Self {
        self.batch_begin = Some(Box::new(hook));
        self.batch_interval(interval)
    }

    /// Called at the end of batches, as often as `interval` says; see [`Lambda::on_batch_begin`].
    #[must_use]
    pub fn on_batch_end(
        mut self,
        interval: BatchInterval,
        hook: impl FnMut(&BatchEnd<'_>, &mut Control<'_>) -> HookResult + Send + 'a,
    ) -> Self {
        self.batch_end = Some(Box::new(hook));
        self.batch_interval(interval)
    }

    /// How often the batch hooks are called. It replaces the interval that was given with them.
    #[must_use]
    pub const fn batch_interval(mut self, interval: BatchInterval) -> Self {
        self.interval = interval;
        self
    }

    /// Called before the validation of each epoch.
    #[must_use]
    pub fn on_test_begin(
        mut self,
        hook: impl FnMut(&mut Control<'_>) -> HookResult + Send + 'a,
    ) -> Self {
        self.test_begin = Some(Box::new(hook));
        self
    }

    /// Called after the validation of each epoch.
    #[must_use]
    pub fn on_test_end(
        mut self,
        hook: impl FnMut(&mut Control<'_>) -> HookResult + Send + 'a,
    ) -> Self {
        self.test_end = Some(Box::new(hook));
        self
    }

    /// Names a log that the hook at the end of epochs adds, so that later callbacks may monitor it.
    #[must_use]
    pub fn logs(mut self, name: &str) -> Self {
        self.logs.push(name.into());
        self
    }
}

impl Callback for Lambda<'_> {
    fn name(&self) -> String {
        "Lambda".into()
    }

    fn logs(&self) -> Vec<String> {
        self.logs.clone()
    }

    fn batch_interval(&self) -> BatchInterval {
        self.interval
    }

    fn on_train_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        self.train_begin.as_mut().map_or(Ok(()), |hook| hook(control))
    }

    fn on_train_end(&mut self, control: &mut Control<'_>) -> HookResult {
        self.train_end.as_mut().map_or(Ok(()), |hook| hook(control))
    }

    fn on_epoch_begin(&mut self, epoch: usize, control: &mut Control<'_>) -> HookResult {
        self.epoch_begin.as_mut().map_or(Ok(()), |hook| hook(epoch, control))
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        self.epoch_end.as_mut().map_or(Ok(()), |hook| hook(epoch, control))
    }

    fn on_batch_begin(&mut self, batch: usize, control: &mut Control<'_>) -> HookResult {
        self.batch_begin.as_mut().map_or(Ok(()), |hook| hook(batch, control))
    }

    fn on_batch_end(&mut self, batch: &BatchEnd<'_>, control: &mut Control<'_>) -> HookResult {
        self.batch_end.as_mut().map_or(Ok(()), |hook| hook(batch, control))
    }

    fn on_test_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        self.test_begin.as_mut().map_or(Ok(()), |hook| hook(control))
    }

    fn on_test_end(&mut self, control: &mut Control<'_>) -> HookResult {
        self.test_end.as_mut().map_or(Ok(()), |hook| hook(control))
    }
}
