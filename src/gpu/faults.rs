//! What watched kernels tell of indices past the end of their tensors.

use super::store::create_buffer;
use super::{Device, readback};
use crate::error::{Error, GpuErrorKind, Result};
use crate::kernels::watch;
use crate::plan::{Dispatch, Plan};

/// Bytes between the words of two dispatches.
const BLOCK: u64 = 256;

/// A dispatch that is watched: its place in the plan, and the names and lengths of its tensors.
type Watching = (usize, Vec<(String, u32)>);

/// The words of a plan's watched kernels.
pub(super) struct Faults {
    buffer: wgpu::Buffer,
    dispatches: Vec<Watching>,
}

impl Device {
    /// Whether a dispatch is watched: a kernel from outside, on a device that checks, with a binding to spare.
    pub(super) fn watches(&self, dispatch: &Dispatch) -> bool {
        self.checked && dispatch.call.text.is_some() && self.has_room(dispatch)
    }

    /// Whether a kernel may have one more binding than the dispatch has.
    fn has_room(&self, dispatch: &Dispatch) -> bool {
        (dispatch.bindings.len() as u32) < self.caps().max_storage_buffers
    }

    /// Says of each kernel that is not watched though the device checks, why not.
    fn tell_unwatched(&self, plan: &Plan) {
        for dispatch in &plan.dispatches {
            if self.checked && dispatch.call.text.is_some() && !self.has_room(dispatch) {
                log::warn!(
                    "`{}` has {} tensors, all that the adapter binds: an index past the end of one is held inside it and \
                     not named",
                    dispatch.label,
                    dispatch.bindings.len()
                );
            }
        }
    }
}

impl Faults {
    /// Words for the kernels of a plan that are watched; `None` if none is.
    pub fn of(device: &Device, plan: &Plan) -> Result<Option<Self>> {
        device.tell_unwatched(plan);
        let watched = plan.dispatches.iter().enumerate().filter(|(_, d)| device.watches(d));
        let tensors = |d: &Dispatch| d.call.text.as_ref().map(|text| watch(text).tensors);
        let dispatches: Vec<Watching> =
            watched.filter_map(|(i, d)| Some((i, tensors(d)?))).collect();
        if dispatches.is_empty() {
            return Ok(None);
        }
        // New memory is zero.
        let buffer = create_buffer(device, "faults", BLOCK * dispatches.len() as u64)?;
        Ok(Some(Self { buffer, dispatches }))
    }

    /// The words of a dispatch: buffer, offset and bytes.
    pub fn words(&self, dispatch: usize) -> Option<(&wgpu::Buffer, u64, u64)> {
        let at = self.dispatches.iter().position(|(i, _)| *i == dispatch)?;
        Some((&self.buffer, BLOCK * at as u64, 4 * self.dispatches[at].1.len().max(1) as u64))
    }

    /// Waits for what was submitted.
    ///
    /// # Errors
    /// [`Error::Gpu`] for the first kernel of the plan that used an index past the end, once.
    pub async fn check(&self, device: &Device, plan: &Plan) -> Result<()> {
        let len = BLOCK as usize * self.dispatches.len();
        let bytes = readback::read(device, &self.buffer, 0, len).await?;
        let blocks = bytes.chunks_exact(BLOCK as usize);
        for ((dispatch, tensors), block) in self.dispatches.iter().zip(blocks) {
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(&block[..4 * tensors.len()]);
            let wrong = words.iter().zip(tensors).filter(|(index, _)| **index > 0);
            let told: Vec<String> = wrong.map(|(&index, tensor)| told(index, tensor)).collect();
            if !told.is_empty() {
                device.queue.write_buffer(&self.buffer, 0, &vec![0; len]);
                return Err(fault(&plan.dispatches[*dispatch], &told.join("; ")));
            }
        }
        Ok(())
    }
}

fn told(index: u32, (name, len): &(String, u32)) -> String {
    let shown = match index.cast_signed() {
        below @ ..0 => format!("{below}, or {index} as u32,"),
        _ => index.to_string(),
    };
    format!("`{name}` has {len} elements, and the kernel uses the index {shown} of it")
}

fn fault(dispatch: &Dispatch, told: &str) -> Error {
    let layer = match dispatch.layer.as_str() {
        "" => String::new(),
        layer => format!("layer `{layer}`: "),
    };
    // A label is the op with its attributes.
    let name = dispatch.label.split('[').next().unwrap_or_default();
    Error::Gpu {
        kind: GpuErrorKind::OutOfBounds,
        during: format!("{layer}running the kernel `{name}`"),
        detail: format!("{told}; compare each index with the length, `if i < NAME_len`"),
    }
}
