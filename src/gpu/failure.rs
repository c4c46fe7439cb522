//! Failures that wgpu reports outside of a call's result, kept until somebody can return them.

use crate::error::{Error, GpuErrorKind, Result};
use std::sync::{Arc, Mutex};

/// The first failure since the last look, of all that share the device.
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
        let mut kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match kind {
            GpuErrorKind::DeviceLost => _ = kept.lost.get_or_insert(detail),
            _ => _ = kept.first.get_or_insert((kind, detail)),
        }
    }

    /// The failures of a device, by handlers of this library: wgpu's own would panic.
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
        let kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let kind = GpuErrorKind::DeviceLost;
        match kept.lost.clone() {
            Some(detail) => Err(Error::Gpu { kind, during: during.into(), detail }),
            None => Ok(()),
        }
    }

    /// Returns the failure that was kept, if any: a lost device before all else, and ever after.
    pub(super) fn check(&self, during: &str) -> Result<()> {
        let mut kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let first = kept.first.take();
        let lost = kept.lost.clone().map(|detail| (GpuErrorKind::DeviceLost, detail));
        let Some((kind, detail)) = lost.or(first) else { return Ok(()) };
        Err(Error::Gpu { kind, during: during.into(), detail })
    }
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
