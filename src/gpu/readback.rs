//! Device memory read by the host.

use super::Device;
use crate::error::{Error, GpuErrorKind, Result};

/// `len` bytes of `buffer` from `offset`, after everything submitted so far.
pub(super) async fn read(
    device: &Device,
    buffer: &wgpu::Buffer,
    offset: u64,
    len: usize,
) -> Result<Vec<u8>> {
    let size = (len as u64).next_multiple_of(4).max(4);
    let staging = device.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("readback"),
        size,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, size);
    device.queue.submit([encoder.finish()]);
    device.check("reading back")?;
    let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
    staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
        // The receiver is gone only where the caller dropped the future.
        drop(sender.send(result));
    });
    device.poll("reading back")?;
    let failed = |detail: String| Error::Gpu {
        kind: GpuErrorKind::Internal,
        during: "reading back".into(),
        detail,
    };
    match receiver.receive().await {
        Some(Ok(())) => {}
        Some(Err(e)) => {
            device.check("reading back")?;
            return Err(failed(e.to_string()));
        }
        None => return Err(failed("the device dropped the request".into())),
    }
    let mapped = staging.slice(..).get_mapped_range();
    let view = mapped.map_err(|e| failed(e.to_string()))?;
    let bytes = view[..len].to_vec();
    drop(view);
    staging.unmap();
    Ok(bytes)
}
