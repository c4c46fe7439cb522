//! Failures that wgpu reports outside of a call's result.
//!
//! Each group of calls runs inside [`Scopes`], so that its errors are told from all others. Natively they are known
//! when the group ends. A browser tells them later: [`Late`] keeps what it will say, and the host waits for that before
//! it uses bytes that it reads. Handlers keep errors from outside a group, and the news that the device is gone.

use crate::error::{Error, GpuErrorKind, Result};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The first failure since the last look, for all that share the device.
#[derive(Debug, Clone, Default)]
pub(super) struct Failures(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// Why the device is gone. It stays gone, and every later failure follows from that.
    lost: Option<String>,
    first: Option<(GpuErrorKind, String)>,
}

impl Failures {
    fn store(&self, kind: GpuErrorKind, detail: String) {
        let mut kept = lock(&self.0);
        match kind {
            GpuErrorKind::DeviceLost => _ = kept.lost.get_or_insert(detail),
            _ => _ = kept.first.get_or_insert((kind, detail)),
        }
    }

    /// Keeps the failures of a device, by handlers of this library: wgpu's own would panic.
    pub(super) fn watching(device: &wgpu::Device) -> Self {
        let failures = Self::default();
        failures.watch(device);
        failures
    }

    fn watch(&self, device: &wgpu::Device) {
        let errors = self.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let (kind, detail) = describe(&error);
            errors.store(kind, detail);
        }));
        let lost = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            lost.store(GpuErrorKind::DeviceLost, format!("{reason:?}: {message}"));
        });
    }

    /// Whether the device is gone.
    pub(super) fn check_lost(&self, during: &str) -> Result<()> {
        let kept = lock(&self.0);
        let kind = GpuErrorKind::DeviceLost;
        match kept.lost.clone() {
            Some(detail) => Err(Error::Gpu { kind, during: during.into(), detail }),
            None => Ok(()),
        }
    }

    /// Returns the failure that was kept, if any. A lost device comes before all else, and every time.
    pub(super) fn check(&self, during: &str) -> Result<()> {
        let mut kept = lock(&self.0);
        let first = kept.first.take();
        let lost = kept.lost.clone().map(|detail| (GpuErrorKind::DeviceLost, detail));
        let Some((kind, detail)) = lost.or(first) else { return Ok(()) };
        Err(Error::Gpu { kind, during: during.into(), detail })
    }
}

/// What error scopes catch, as soon as it is known.
#[cfg(not(target_arch = "wasm32"))]
type Caught = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;
#[cfg(target_arch = "wasm32")]
type Caught = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

/// Error scopes around a group of calls, which must end on the thread that began it, before anything is awaited.
// The fields are dropped in this order. Scopes must end in it: the last that began ends first.
pub(super) struct Scopes {
    validation: wgpu::ErrorScopeGuard,
    internal: wgpu::ErrorScopeGuard,
    memory: wgpu::ErrorScopeGuard,
}

impl Scopes {
    pub(super) fn begin(device: &wgpu::Device) -> Self {
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        Self { validation, internal, memory }
    }

    /// The group's error. The cause comes before what follows from it: a thing that could not be made is invalid in
    /// later calls.
    fn end(self) -> Caught {
        let (validation, internal) = (self.validation.pop(), self.internal.pop());
        let memory = self.memory.pop();
        Box::pin(async move {
            match (memory.await, internal.await) {
                (Some(error), _) | (None, Some(error)) => Some(error),
                (None, None) => validation.await,
            }
        })
    }
}

/// A group of calls whose errors are not known yet.
struct Group {
    during: String,
    /// Further words for the error.
    about: String,
    caught: Caught,
}

impl Group {
    fn failure(&self, error: &wgpu::Error) -> Failure {
        let (kind, mut detail) = describe(error);
        if !self.about.is_empty() {
            detail.push('\n');
            detail.push_str(&self.about);
        }
        Failure { kind, during: self.during.clone(), detail }
    }
}

#[derive(Clone)]
struct Failure {
    kind: GpuErrorKind,
    during: String,
    detail: String,
}

impl From<Failure> for Error {
    fn from(Failure { kind, during, detail }: Failure) -> Self {
        Self::Gpu { kind, during, detail }
    }
}

/// Errors that are known late, for all that share the device. Each owner, such as a trainer, is told of each failure
/// once: one that another owner was told of may be the reason for zeros that this one reads.
#[derive(Clone, Default)]
pub(super) struct Late {
    shared: Arc<Shared>,
    /// The failures that the owner was told of. Clones have the same owner.
    heard: Arc<AtomicUsize>,
    /// Whether nothing is known before it is waited for, as in a browser: for tests.
    always: bool,
}

struct Shared {
    /// Groups that have ended, in order.
    waiting: Mutex<VecDeque<Group>>,
    /// The group that is waited for, by one caller at a time. A wait that is given up leaves it to the next caller.
    turn: futures_intrusive::sync::Mutex<Option<Group>>,
    failed: Mutex<Failed>,
}

impl Default for Shared {
    fn default() -> Self {
        let turn = futures_intrusive::sync::Mutex::new(None, true);
        Self { waiting: Mutex::default(), turn, failed: Mutex::default() }
    }
}

#[derive(Default)]
struct Failed {
    count: usize,
    /// The first ones, and the last.
    kept: Vec<(usize, Failure)>,
}

/// How many failures are kept: those that follow from the first ones are of no use.
const KEPT: usize = 16;

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Late").field("always", &self.always).finish_non_exhaustive()
    }
}

impl Late {
    /// The same device's errors, for another owner that counts as told of all so far.
    pub(super) fn of_another_owner(&self) -> Self {
        let heard = Arc::new(AtomicUsize::new(lock(&self.shared.failed).count));
        Self { heard, ..self.clone() }
    }

    /// The same, with nothing known before it is waited for.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn always(&self) -> Self {
        Self { always: true, ..self.clone() }
    }

    /// Ends a group of calls, and returns its error if that is known by now. `about` says more about it.
    pub(super) fn end(&self, scopes: Scopes, during: &str, about: &str) -> Result<()> {
        let mut caught = scopes.end();
        let now = match self.always {
            true => Poll::Pending,
            false => caught.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        };
        if matches!(now, Poll::Ready(None)) {
            return Ok(());
        }
        let group = Group { during: during.into(), about: about.into(), caught };
        if let Poll::Ready(Some(error)) = now {
            return Err(group.failure(&error).into());
        }
        lock(&self.shared.waiting).push_back(group);
        Ok(())
    }

    /// Waits for all groups that have ended.
    ///
    /// # Errors
    /// The first failure that the owner was not told of; the others follow from it.
    pub(super) async fn settle(&self) -> Result<()> {
        let mut turn = self.shared.turn.lock().await;
        loop {
            if turn.is_none() {
                *turn = lock(&self.shared.waiting).pop_front();
            }
            let Some(group) = &mut *turn else { break };
            if let Some(error) = group.caught.as_mut().await {
                lock(&self.shared.failed).add(group.failure(&error));
            }
            *turn = None;
        }
        let failed = lock(&self.shared.failed);
        let heard = self.heard.swap(failed.count, Ordering::Relaxed);
        match failed.kept.iter().find(|(at, _)| *at >= heard) {
            Some((_, failure)) => Err(failure.clone().into()),
            None => Ok(()),
        }
    }
}

impl Failed {
    fn add(&mut self, failure: Failure) {
        self.kept.truncate(KEPT - 1);
        self.kept.push((self.count, failure));
        self.count += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// wgpu's error in the library's terms.
fn describe(error: &wgpu::Error) -> (GpuErrorKind, String) {
    match error {
        wgpu::Error::OutOfMemory { source } => {
            (GpuErrorKind::OutOfMemory, format!("{source}; use a smaller batch or a smaller model"))
        }
        wgpu::Error::Validation { description, .. } => {
            (GpuErrorKind::Validation, description.clone())
        }
        wgpu::Error::Internal { description, .. } => (GpuErrorKind::Internal, description.clone()),
    }
}
