//! IDX files whose samples stay on disk until they are needed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::idx::{Element, GZIP_MAGIC, Source};
use super::source::check_rows;
use super::{Dataset, SampleSpec, read_idx};
use crate::error::{Error, Result};
use crate::tensor::{DType, Data, Shape, Tensor};

/// A pair of IDX files as a [`Dataset`]: features are read row by row from disk, targets are kept in memory. Features
/// are not searched for NaN.
#[derive(Debug)]
pub struct IdxDataset {
    path: String,
    file: Mutex<File>,
    /// Where the first sample starts.
    payload: u64,
    /// Bytes of one sample in the file.
    row_bytes: usize,
    targets: Tensor,
    spec: SampleSpec,
}

impl IdxDataset {
    /// Opens `features` (`[n, ...]`, u8 or f32, not gzip: rows are found by their place in the
    /// file) and reads `targets` (plain or gzip: u8 or i32 labels `[n]`, or f32 `[n, ...]`).
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be opened or read; [`Error::File`] naming the part that is wrong: a header, a
    /// length that the header does not promise, element types that are no features or targets, differing numbers of
    /// samples.
    pub fn open(features: impl AsRef<Path>, targets: impl AsRef<Path>) -> Result<Self> {
        let path = features.as_ref().display().to_string();
        let io = |cause| Error::Io { path: path.clone(), cause };
        let mut file = File::open(&features).map_err(io)?;
        let mut start = Vec::new();
        file.by_ref().take(2).read_to_end(&mut start).map_err(io)?;
        file.rewind().map_err(io)?;
        let mut source = Source { name: &path, reader: &mut file };
        if start == GZIP_MAGIC {
            return Err(source.bad("magic", "this is gzip; unpack features that are streamed"));
        }
        let (element, shape, size) = source.header()?;
        let x_dtype = match element {
            Element::U8 => DType::U8,
            Element::F32 => DType::F32,
            Element::I32 => {
                return Err(source.bad("magic", "found i32; features must be u8 or f32"));
            }
        };
        if shape.is_empty() {
            return Err(source.bad("dimensions", format!("{shape} holds no samples")));
        }
        let payload = file.stream_position().map_err(io)?;
        let found = file.metadata().map_err(io)?.len().saturating_sub(payload);
        if found != size as u64 {
            let detail = format!("shape {shape} takes {size} bytes; the file holds {found}");
            return Err(Source { name: &path, reader: file }.bad("payload", detail));
        }
        let n = shape.dims()[0];
        let targets = read_targets(targets.as_ref(), n, &path)?;
        let spec = SampleSpec {
            x_shape: Shape::from(&shape.dims()[1..]),
            x_dtype,
            y_shape: Shape::from(&targets.shape().dims()[1..]),
            y_dtype: targets.dtype(),
            scale: 1.0,
        };
        spec.check()?;
        Ok(Self { path, file: Mutex::new(file), payload, row_bytes: size / n, targets, spec })
    }

    /// The same samples, their features multiplied by `scale` when they are decoded on the device:
    /// `1.0 / 255.0` takes u8 pixels to `[0, 1]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a scale that is NaN or infinite.
    pub fn scaled(mut self, scale: f32) -> Result<Self> {
        self.spec.scale = scale;
        self.spec.check()?;
        Ok(self)
    }

    /// The targets of all samples: `[n]` u32 or `[n, ...]` f32.
    #[must_use]
    pub const fn targets(&self) -> &Tensor {
        &self.targets
    }
}

impl Dataset for IdxDataset {
    fn len(&self) -> usize {
        self.targets.shape().dims()[0]
    }

    fn spec(&self) -> SampleSpec {
        self.spec.clone()
    }

    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()> {
        check_rows(rows, self.len())?;
        let io = |cause| Error::Io { path: self.path.clone(), cause };
        // Each read seeks first, so a panic elsewhere leaves nothing that matters behind.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // Rows that follow each other in the file are read at once.
        for run in rows.chunk_by(|row, next| row.checked_add(1) == Some(*next)) {
            let place = self.payload + u64::from(run[0]) * self.row_bytes as u64;
            file.seek(SeekFrom::Start(place)).map_err(io)?;
            let start = x.len();
            x.resize(start + run.len() * self.row_bytes, 0);
            file.read_exact(&mut x[start..]).map_err(io)?;
            if self.spec.x_dtype == DType::F32 {
                for word in x[start..].as_chunks_mut::<4>().0 {
                    *word = f32::from_be_bytes(*word).to_ne_bytes();
                }
            }
            let targets = self.targets.data().bytes();
            let width = self.spec.y_bytes();
            y.extend_from_slice(&targets[run[0] as usize * width..][..run.len() * width]);
        }
        Ok(())
    }
}

/// The targets of `n` samples; bytes are class labels.
fn read_targets(path: &Path, n: usize, features: &str) -> Result<Tensor> {
    let targets = read_idx(path)?;
    let bad = |field: &str, detail: String| Error::File {
        path: path.display().to_string(),
        field: field.into(),
        detail,
    };
    if targets.shape().dims()[0] != n {
        let detail = format!("found targets {} for the {n} samples of {features}", targets.shape());
        return Err(bad("dimensions", detail));
    }
    if targets.dtype() != DType::F32 && targets.shape().rank() != 1 {
        let detail = format!("found labels of shape {}, expected [{n}]", targets.shape());
        return Err(bad("dimensions", detail));
    }
    match targets.data() {
        Data::U8(labels) => {
            Tensor::u32([n], labels.iter().map(|&label| label.into()).collect::<Vec<_>>())
        }
        _ => Ok(targets),
    }
}
