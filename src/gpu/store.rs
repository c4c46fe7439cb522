//! Named device buffers that outlive a run: parameters, optimizer state, datasets. Plans share them.

use super::Device;
use crate::error::{Error, Result};
use crate::tensor::{SharedTensor, Tensor};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Owns the external buffers of plans, by name.
#[derive(Debug)]
pub struct Store {
    device: Device,
    buffers: HashMap<String, wgpu::Buffer>,
    /// Tensors that never change. Executors add what their plans need.
    constants: Arc<Mutex<HashMap<SharedTensor, wgpu::Buffer>>>,
}

/// A part of a buffer that is copied: where it is and where it goes, each as a buffer's name and the first byte in it.
#[derive(Debug)]
pub(crate) struct CopiedPart {
    pub from: (String, u64),
    pub to: (String, u64),
    /// A multiple of 4.
    pub bytes: u64,
}

impl Store {
    /// An empty store on `device`.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), buffers: HashMap::new(), constants: Arc::default() }
    }

    /// An empty store that has its constant tensors in common with another one, on the same device.
    #[must_use]
    pub fn beside(other: &Self) -> Self {
        Self { constants: other.constants.clone(), ..Self::new(&other.device) }
    }

    /// A zeroed buffer of at least `bytes`, replacing one of the same name.
    ///
    /// # Errors
    /// [`Error::Limit`] over the device's buffer limit; [`Error::Gpu`] if memory runs out.
    pub fn allocate(&mut self, name: &str, bytes: u64) -> Result<()> {
        let size = self.size(name, bytes)?;
        let buffer = create_buffer(&self.device, name, size)?;
        self.buffers.insert(name.into(), buffer);
        Ok(())
    }

    /// The size of a buffer for this many bytes, if the device has such buffers.
    fn size(&self, name: &str, bytes: u64) -> Result<u64> {
        let allowed = self.device.caps().max_buffer_bytes;
        padded(bytes).filter(|&b| b <= allowed).ok_or_else(|| Error::Limit {
            what: format!("buffer `{name}`: bytes"),
            needed: bytes,
            allowed,
            detail: "use less data at once, or another adapter".into(),
        })
    }

    /// As [`Store::allocate`], but a buffer that already has the size stays, with its content and all that is bound to
    /// it.
    ///
    /// # Errors
    /// As [`Store::allocate`].
    pub fn reserve(&mut self, name: &str, bytes: u64) -> Result<()> {
        match self.buffers.get(name) {
            Some(buffer) if Some(buffer.size()) == padded(bytes) => Ok(()),
            _ => self.allocate(name, bytes),
        }
    }

    /// Copies a host tensor to the device under `name`, reusing a buffer of the right size.
    ///
    /// # Errors
    /// As [`Store::allocate`].
    pub fn upload(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        self.upload_bytes(name, tensor.data().bytes())
    }

    /// Copies bytes to the device under `name`; the rest of the last word is zero.
    ///
    /// # Errors
    /// As [`Store::allocate`].
    pub fn upload_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.reserve(name, bytes.len() as u64)?;
        self.write_words(name, self.buffer(name)?, 0, bytes)
    }

    /// Reads `len` bytes of a buffer back.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the device fails; [`Error::Internal`] for an unknown name.
    pub async fn read(&self, name: &str, len: usize) -> Result<Vec<u8>> {
        super::readback::read(&self.device, self.buffer(name)?, 0, len).await
    }

    /// Copies bytes to the beginning of a buffer that is there, after all work submitted before; a last word that
    /// is not full is filled up with zeros.
    ///
    /// # Errors
    /// [`Error::Internal`] for an unknown name or too many bytes; [`Error::Gpu`] if the device fails.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write_at(name, 0, bytes)
    }

    /// As [`Store::write`], from byte `offset` on, a multiple of 4.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        let buffer = self.buffer(name)?;
        if (offset + bytes.len() as u64).next_multiple_of(4) > buffer.size() {
            let end = offset + bytes.len() as u64;
            let detail = format!("`{name}` has {} bytes, not {end}", buffer.size());
            return Err(Error::internal("store", detail));
        }
        self.write_words(name, buffer, offset, bytes)
    }

    /// Writes whole words; the rest of the last one is zero.
    fn write_words(
        &self,
        name: &str,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let scopes = self.device.begin();
        let whole = bytes.len() / 4 * 4;
        self.device.queue.write_buffer(buffer, offset, &bytes[..whole]);
        if whole < bytes.len() {
            let mut last = [0; 4];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.device.queue.write_buffer(buffer, offset + whole as u64, &last);
        }
        self.device.end(scopes, &format!("uploading `{name}`"))
    }

    /// Reads `len` bytes of a buffer back, from byte `offset`, a multiple of 4.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_at(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        super::readback::read(&self.device, self.buffer(name)?, offset, len).await
    }

    /// Copies a buffer on the device, to one of the same size under another name. Work submitted before is seen.
    ///
    /// # Errors
    /// As [`Store::allocate`]; [`Error::Internal`] for an unknown name.
    pub fn copy(&mut self, from: &str, to: &str) -> Result<()> {
        let source = self.buffer(from)?.clone();
        self.reserve(to, source.size())?;
        let scopes = self.device.begin();
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&source, 0, self.buffer(to)?, 0, source.size());
        self.device.queue.submit([encoder.finish()]);
        self.device.end(scopes, &format!("copying `{from}`"))
    }

    /// Takes up a buffer of another store under its own name: both stores have the same memory then.
    ///
    /// # Errors
    /// [`Error::Internal`] for an unknown name.
    pub fn share(&mut self, other: &Self, name: &str) -> Result<()> {
        self.buffers.insert(name.into(), other.buffer(name)?.clone());
        Ok(())
    }

    /// Copies parts of buffers into buffers that `to` has, on the same device. Work submitted before is seen.
    ///
    /// # Errors
    /// As [`Store::copy`].
    pub(crate) fn copy_parts(&self, to: &Self, parts: &[CopiedPart]) -> Result<()> {
        let scopes = self.device.begin();
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        for CopiedPart { from: (from, start), to: (into, at), bytes } in parts {
            let (mut from, mut start, into) =
                (self.buffer(from)?.clone(), *start, to.buffer(into)?);
            // No command copies from a buffer into itself.
            if from == *into {
                let between = create_buffer(&self.device, "a copied part", *bytes)?;
                encoder.copy_buffer_to_buffer(&from, start, &between, 0, *bytes);
                (from, start) = (between, 0);
            }
            encoder.copy_buffer_to_buffer(&from, start, into, *at, *bytes);
        }
        self.device.queue.submit([encoder.finish()]);
        self.device.end(scopes, "copying weights")
    }

    /// Whether there is a buffer of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.buffers.contains_key(name)
    }

    /// The names of all buffers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.buffers.keys().map(String::as_str)
    }

    /// The names and bytes of all buffers.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.buffers.iter().map(|(name, buffer)| (name.as_str(), buffer.size()))
    }

    /// The names and bytes of the constant tensors that plans have in common.
    #[must_use]
    pub fn constants(&self) -> Vec<(String, u64)> {
        let constants = self.constants.lock().unwrap_or_else(PoisonError::into_inner);
        constants.iter().map(|(tensor, buffer)| (tensor.name(), buffer.size())).collect()
    }

    /// The buffer of a constant tensor, which is uploaded if no plan had it before.
    pub(super) fn constant(&self, tensor: &SharedTensor) -> Result<wgpu::Buffer> {
        let mut constants = self.constants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buffer) = constants.get(tensor) {
            return Ok(buffer.clone());
        }
        let (name, bytes) = (tensor.name(), tensor.tensor().data().bytes());
        let size = self.size(&name, bytes.len() as u64)?;
        let buffer = create_buffer(&self.device, &name, size)?;
        self.write_words(&name, &buffer, 0, bytes)?;
        constants.insert(tensor.clone(), buffer.clone());
        Ok(buffer)
    }

    /// Frees a buffer.
    pub fn remove(&mut self, name: &str) {
        self.buffers.remove(name);
    }

    pub(super) fn get(&self, name: &str) -> Option<&wgpu::Buffer> {
        self.buffers.get(name)
    }

    pub(super) fn buffer(&self, name: &str) -> Result<&wgpu::Buffer> {
        self.get(name)
            .ok_or_else(|| Error::internal("store", format!("there is no buffer `{name}`")))
    }
}

/// The size of a buffer for this many bytes; `None` if that is more than a number holds.
fn padded(bytes: u64) -> Option<u64> {
    bytes.max(4).checked_next_multiple_of(256)
}

/// A zeroed storage buffer.
pub(super) fn create_buffer(device: &Device, label: &str, size: u64) -> Result<wgpu::Buffer> {
    let usage =
        wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let descriptor =
        wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
    let scopes = device.begin();
    let buffer = device.device.create_buffer(&descriptor);
    device.end(scopes, &format!("allocating `{label}` ({size} bytes)"))?;
    Ok(buffer)
}
