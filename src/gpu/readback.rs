//! Device memory read by the host.

use super::Device;
use crate::error::{Error, GpuErrorKind, Result};
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

/// A copy of device memory on its way to the host.
#[derive(Debug)]
pub(super) struct Readback {
    device: Device,
    staging: wgpu::Buffer,
    submitted: wgpu::SubmissionIndex,
    mapped: OneshotReceiver<std::result::Result<(), wgpu::BufferAsyncError>>,
    len: usize,
}

const DURING: &str = "reading back";

fn failed(detail: String) -> Error {
    Error::Gpu { kind: GpuErrorKind::Internal, during: DURING.into(), detail }
}

impl Readback {
    /// Asks for `len` bytes of `buffer` from `offset` as they are after everything submitted so far.
    pub fn of(device: &Device, buffer: &wgpu::Buffer, offset: u64, len: usize) -> Result<Self> {
        let size = (len as u64).next_multiple_of(4).max(4);
        let scopes = device.begin();
        let staging = device.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = device.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, size);
        let submitted = device.queue.submit([encoder.finish()]);
        device.end(scopes, DURING)?;
        let (sender, mapped) = oneshot_channel();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            // The receiver is gone only if the caller dropped the future.
            drop(sender.send(result));
        });
        Ok(Self { device: device.clone(), staging, submitted, mapped, len })
    }

    /// Waits for the bytes; work submitted later goes on.
    pub async fn bytes(self) -> Result<Vec<u8>> {
        self.device.count_wait();
        self.device.finish(Some(self.submitted), DURING).await?;
        match self.mapped.receive().await {
            Some(Ok(())) => {}
            Some(Err(e)) => {
                self.device.settle(DURING).await?;
                return Err(failed(e.to_string()));
            }
            None => return Err(failed("the device dropped the request".into())),
        }
        // A kernel that was refused leaves only zeros.
        self.device.settle(DURING).await?;
        let mapped = self.staging.slice(..).get_mapped_range();
        let view = mapped.map_err(|e| failed(e.to_string()))?;
        let bytes = view[..self.len].to_vec();
        drop(view);
        self.staging.unmap();
        Ok(bytes)
    }
}

/// `len` bytes of `buffer` from `offset`, after everything submitted so far.
pub(super) async fn read(
    device: &Device,
    buffer: &wgpu::Buffer,
    offset: u64,
    len: usize,
) -> Result<Vec<u8>> {
    Readback::of(device, buffer, offset, len)?.bytes().await
}
