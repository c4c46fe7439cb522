//! A safetensors file in memory: what it holds, and the checksum of a checkpoint.

use super::format::{KEY, MODEL_KEY, SAMPLES};
pub(super) use crate::error::listed;
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::files::io;
use crate::tensor::{Shape, Tensor};
use safetensors::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// These digits replace the checksum while it is computed.
pub(super) const ZEROS: &str = "00000000";
/// The text before the checksum in the header, if the file describes itself under `key`. Its unescaped quotes keep it apart
/// from anything that a name or a state holds.
fn before(key: &str) -> String {
    format!(r#""{key}":"{{\"crc32\":\""#)
}

/// A failure of this file, with the name of its part.
pub(super) fn wrong(path: &Path, field: impl Into<String>, detail: impl Into<String>) -> Error {
    Error::File { path: path.display().to_string(), field: field.into(), detail: detail.into() }
}

/// A tensor on its way to a file.
pub(super) struct Entry<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Entry<'a> {
    /// An f32 tensor.
    pub fn of(tensor: &'a Tensor) -> Self {
        let bytes = Cow::Borrowed(tensor.data().bytes());
        Self { dtype: Dtype::F32, shape: tensor.shape().dims().to_vec(), bytes }
    }

    /// A list of f64.
    pub fn wide(values: &'a [f64]) -> Self {
        let bytes = Cow::Borrowed(bytemuck::cast_slice(values));
        Self { dtype: Dtype::F64, shape: vec![values.len()], bytes }
    }
}

impl View for &Entry<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The bytes of a file at `path` with these tensors and at most one entry of metadata. The same contents give the same
/// bytes.
pub(super) fn encode(
    path: &Path,
    tensors: &[(String, Entry<'_>)],
    metadata: Option<(&str, String)>,
) -> Result<Vec<u8>> {
    let mut names = BTreeSet::from(["__metadata__"]);
    for (name, _) in tensors {
        if !names.insert(name) {
            return Err(wrong(path, name, "two tensors would have this name; rename the layer"));
        }
    }
    let metadata = metadata.map(|(key, text)| [(key.to_owned(), text)].into_iter().collect());
    let entries = tensors.iter().map(|(name, entry)| (name, entry));
    safetensors::serialize(entries, metadata).map_err(|e| wrong(path, "header", e.to_string()))
}

/// The place of the checksum's digits.
fn checksum_place(bytes: &[u8], key: &str) -> Option<Range<usize>> {
    let before = before(key);
    let len = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let header = bytes.get(8..8usize.checked_add(usize::try_from(len).ok()?)?)?;
    let found = header.windows(before.len()).position(|w| w == before.as_bytes())?;
    let start = 8 + found + before.len();
    bytes.get(start..start + ZEROS.len()).map(|digits| start..start + digits.len())
}

/// The CRC-32 of bytes that come in parts.
#[cfg(not(target_arch = "wasm32"))]
fn crc32(parts: [&[u8]; 3]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    parts.into_iter().for_each(|part| crc.update(part));
    crc.finalize()
}

#[cfg(target_arch = "wasm32")]
use crc32_bits as crc32;

/// The same bit by bit: the tables of a fast one are 16 KB that a page would download.
#[cfg(any(test, target_arch = "wasm32"))]
fn crc32_bits(parts: [&[u8]; 3]) -> u32 {
    let crc = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = crc.digest();
    parts.into_iter().for_each(|part| digest.update(part));
    digest.finalize()
}

/// The checksum of a file that has its digits at `place`.
fn checksum(bytes: &[u8], place: &Range<usize>) -> String {
    let parts = [&bytes[..place.start], ZEROS.as_bytes(), &bytes[place.end..]];
    format!("{:08x}", crc32(parts))
}

/// Puts the checksum into the bytes of a file that describes itself under `key`.
pub(super) fn seal(bytes: &mut [u8], key: &str) -> Result<()> {
    let place = checksum_place(bytes, key)
        .ok_or_else(|| Error::internal("checkpoint", "there is no place for the checksum"))?;
    let digits = checksum(bytes, &place);
    bytes[place].copy_from_slice(digits.as_bytes());
    Ok(())
}

/// The bytes of the file at `path`.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|cause| io(path, cause))
}

/// A file that was read.
pub(super) struct Contents<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    tensors: SafeTensors<'a>,
    /// What a checkpoint says about itself.
    pub metadata: Option<String>,
    /// What a file of weights says about the samples that its model was trained on.
    pub samples: Option<String>,
    /// What a saved model says about itself.
    pub model: Option<String>,
}

impl<'a> Contents<'a> {
    /// Parses the bytes of `path`.
    pub fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let header = |e: safetensors::SafeTensorError| {
            wrong(path, "header", format!("{e}; this is no whole safetensors file"))
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(header)?;
        let entry = |key: &str| metadata.metadata().as_ref().and_then(|m| m.get(key).cloned());
        let samples = entry(SAMPLES);
        let (metadata, model) = (entry(KEY), entry(MODEL_KEY));
        let tensors = SafeTensors::deserialize(bytes).map_err(header)?;
        Ok(Self { path, bytes, tensors, metadata, samples, model })
    }

    /// Checks the checksum of a file that describes itself under `key`.
    pub fn verify(&self, key: &str) -> Result<()> {
        let Some(place) = checksum_place(self.bytes, key) else {
            return Err(wrong(self.path, "crc32", "is missing; the file is damaged"));
        };
        let found = checksum(self.bytes, &place);
        let said = String::from_utf8_lossy(&self.bytes[place]);
        match said == found {
            true => Ok(()),
            false => {
                let detail = format!("the file has {found} and says {said}; it is damaged");
                Err(wrong(self.path, "crc32", detail))
            }
        }
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tensors.names();
        names.sort_unstable();
        names
    }

    /// Whether a tensor is of what a checkpoint has besides the weights.
    pub fn is_training_state(&self, name: &str) -> bool {
        let parts = ["optimizer/", "kept/", "numbers/"];
        self.metadata.is_some() && parts.iter().any(|part| name.starts_with(part))
    }

    /// Type, shape and elements of the tensor `name`.
    pub fn raw(&self, name: &str) -> Result<(Dtype, Vec<usize>, &[u8])> {
        let Ok(view) = self.tensors.tensor(name) else {
            return Err(wrong(
                self.path,
                name,
                format!("is missing; there are {}", listed(&self.names())),
            ));
        };
        Ok((view.dtype(), view.shape().to_vec(), view.data()))
    }

    /// The elements of the tensor `name`, which must be of this type, and its shape.
    fn elements(&self, name: &str, dtype: Dtype) -> Result<(Vec<usize>, &[u8])> {
        let (found, shape, bytes) = self.raw(name)?;
        if found != dtype {
            let detail = format!("is {found:?}; {dtype:?} is expected");
            return Err(wrong(self.path, name, detail));
        }
        Ok((shape, bytes))
    }

    /// The f32 tensor `name`, which must have this shape.
    pub fn tensor(&self, name: &str, shape: &Shape) -> Result<Tensor> {
        let (dims, bytes) = self.elements(name, Dtype::F32)?;
        if dims != shape.dims() {
            let detail = unlike(&dims.into(), shape);
            return Err(wrong(self.path, name, detail));
        }
        Tensor::f32(shape.clone(), bytemuck::pod_collect_to_vec::<u8, f32>(bytes))
    }

    /// The list of f64 `name`.
    pub fn wide(&self, name: &str) -> Result<Vec<f64>> {
        let (_, bytes) = self.elements(name, Dtype::F64)?;
        Ok(bytemuck::pod_collect_to_vec(bytes))
    }
}

/// A tensor does not have the expected shape.
pub(super) fn unlike(found: &Shape, expected: &Shape) -> String {
    let hint = match found.dims().iter().rev().eq(expected.dims()) {
        true => ": this is its transpose; a WeightMap says so",
        false => "",
    };
    format!("has shape {found}; {expected} is expected{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_checksum_of_gzip() {
        // The check value of CRC-32/ISO-HDLC.
        let parts: [&[u8]; 3] = [b"1234", b"", b"56789"];
        assert_eq!((crc32(parts), crc32_bits(parts)), (0xcbf4_3926, 0xcbf4_3926));
        assert_ne!(crc32_bits([b"1234", b"5", b"678"]), 0xcbf4_3926);
    }
}
