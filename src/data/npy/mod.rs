//! NumPy's files: `.npy`, and `.npz`, which is a zip archive of them.

mod npz;
mod source;

pub use npz::Npz;
#[cfg(not(target_arch = "wasm32"))]
pub use npz::write_npz;

#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use crate::error::{Error, Result};
use crate::tensor::{Data, Tensor};
use source::parse;

/// Reads a `.npy` file, of either byte order and either array order, into a row-major tensor.
///
/// | NumPy | tensor |
/// |---|---|
/// | `float32` | f32, the same bits |
/// | `float64` | f32, rounded to the nearest; a finite number beyond f32's range is refused |
/// | `uint8` | u8 |
/// | `bool` | u8, 0 or 1 |
/// | `int8` to `int64`, `uint16` to `uint64` | u32; a negative number or one above `u32::MAX` is refused |
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::File`] naming the part that is wrong (`magic`, `header`,
/// `payload`), what was found and what was expected: other element types, a number that has no place above, and a file
/// that is longer or shorter than its header says.
#[cfg(not(target_arch = "wasm32"))]
pub fn read_npy(path: impl AsRef<Path>) -> Result<Tensor> {
    let name = path.as_ref().display().to_string();
    match std::fs::File::open(path) {
        Ok(file) => parse(&name, "", std::io::BufReader::new(file), None),
        Err(cause) => Err(Error::Io { path: name, cause }),
    }
}

/// Reads a `.npy` file from memory, as `read_npy` does from disk; messages use `name`.
///
/// # Errors
/// [`Error::File`] as `read_npy`.
pub fn parse_npy(name: &str, bytes: &[u8]) -> Result<Tensor> {
    parse(name, "", bytes, None)
}

/// Writes a tensor as a `.npy` file, row-major: `float32`, `uint32` or `uint8`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
#[cfg(not(target_arch = "wasm32"))]
pub fn write_npy(path: impl AsRef<Path>, tensor: &Tensor) -> Result<()> {
    use std::io::Write;
    crate::files::write_with(path.as_ref(), |file| {
        let mut file = std::io::BufWriter::new(file);
        encode(tensor, &mut file)?;
        file.flush()
    })
}

/// Writes what a `.npy` file holds.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn encode(tensor: &Tensor, out: &mut impl std::io::Write) -> std::io::Result<()> {
    use npyz::WriterBuilder;
    fn elements<T: npyz::AutoSerialize + npyz::Serialize + Copy>(
        shape: &[u64],
        values: &[T],
        out: &mut impl std::io::Write,
    ) -> std::io::Result<()> {
        let options = npyz::WriteOptions::new().default_dtype().shape(shape);
        let mut writer = options.writer(out).begin_nd()?;
        writer.extend(values.iter().copied())?;
        writer.finish()
    }
    let shape: Vec<u64> = tensor.shape().dims().iter().map(|&extent| extent as u64).collect();
    match tensor.data() {
        Data::F32(v) => elements(&shape, v, out),
        Data::U32(v) => elements(&shape, v, out),
        Data::U8(v) => elements(&shape, v, out),
    }
}
