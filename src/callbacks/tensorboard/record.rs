//! A file of TFRecords: each a length, its checksum, the bytes, their checksum.

use super::event;
use crate::error::Result;
use crate::files::io;
use crc::{CRC_32_ISCSI, Crc};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// CRC-32C.
const CASTAGNOLI: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// A checksum as TFRecord stores it: rotated and shifted, so that a checksum of bytes that hold checksums still works.
fn masked_crc(bytes: &[u8]) -> u32 {
    CASTAGNOLI.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Frames one record.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let parts: [&[u8]; 4] =
        [&length, &masked_crc(&length).to_le_bytes(), bytes, &masked_crc(bytes).to_le_bytes()];
    parts.concat()
}

/// An event file of one run.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins a file in `folder`; `session` is the first epoch of training that goes on.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn create(folder: &Path, session: Option<usize>) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|cause| io(folder, cause))?;
        // TensorBoard reads a run's files in the order of their names, so the names begin with the time.
        let now = now();
        let name = format!("events.out.tfevents.{now:017.6}.{}.wgrad", std::process::id());
        let path = folder.join(name);
        let file = File::create_new(&path).map_err(|cause| io(&path, cause))?;
        let mut events = Self { path, file };
        events.write(&event::file_version(now))?;
        if let Some(step) = session {
            events.write(&event::session_start(now, step))?;
        }
        Ok(events)
    }

    /// Writes the scalars of one step.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn scalars(&mut self, step: usize, values: &[(String, f32)]) -> Result<()> {
        self.write(&event::scalars(now(), step, values))
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        self.file.write_all(&framed(event)).map_err(|cause| io(&self.path, cause))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        assert_eq!(CASTAGNOLI.checksum(b"123456789"), 0xe306_9283);
        assert_eq!(CASTAGNOLI.checksum(&[0; 32]), 0x8a91_36aa);
    }
}
