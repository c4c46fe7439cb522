//! The IDX format of MNIST and its kin.
//!
//! A file is two zero bytes, a byte for the element type, a byte for the number of axes, the
//! extents as big-endian u32, and the elements, row-major and big-endian
//! (<http://yann.lecun.com/exdb/mnist/>).

use std::io::{BufRead, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::elements::{Fault, Packed, read_elements};
use crate::error::{Error, Result};
use crate::tensor::{Data, Shape, Tensor};

/// How every gzip file starts.
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How an IDX file is read; [`read_idx`] and [`parse_idx`] read with the defaults.
///
/// # Examples
/// ```no_run
/// use wgrad::data::Idx;
///
/// // An all-black set of images, packed to a thousandth.
/// let images = Idx::new().max_unpacked(1 << 30).read("black-idx3-ubyte.gz")?;
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Idx {
    max_unpacked: Option<u64>,
}

impl Idx {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_unpacked: None }
    }

    /// The most bytes of a tensor that a gzip file may unpack to, which keeps a small file from filling the memory.
    /// Unless set, 100 times the file's own bytes, and 64 MiB at least. Plain files are not bounded.
    #[must_use]
    pub const fn max_unpacked(mut self, bytes: u64) -> Self {
        self.max_unpacked = Some(bytes);
        self
    }

    /// Reads an IDX file, plain or gzip (told apart by content, not by name): u8 elements (type 0x08)
    /// give a u8 tensor, i32 (0x0C, none negative) a u32 tensor, f32 (0x0D) an f32 tensor.
    ///
    /// The file is read to its end and must hold exactly what its header promises; for gzip the checksums must agree.
    /// Memory stays below twice the tensor.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened or read; [`Error::File`] naming the part that is
    /// wrong (`magic`, `dimensions`, `payload`, `gzip`), what was found and what was expected, and for
    /// a gzip file that unpacks to more than [`Idx::max_unpacked`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Tensor> {
        let name = path.as_ref().display().to_string();
        let opened = std::fs::File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((bytes, file)) => self.unpack(&name, bytes, std::io::BufReader::new(file)),
            Err(cause) => Err(Error::Io { path: name, cause }),
        }
    }

    /// Reads an IDX file from memory, as `read` does from disk; messages use `name`.
    ///
    /// # Errors
    /// [`Error::File`], as `read`.
    pub fn parse(&self, name: &str, bytes: &[u8]) -> Result<Tensor> {
        self.unpack(name, bytes.len() as u64, bytes)
    }

    fn unpack(&self, name: &str, bytes: u64, mut reader: impl BufRead) -> Result<Tensor> {
        let start = reader.fill_buf().map_err(|cause| Error::Io { path: name.into(), cause })?;
        if start.starts_with(&GZIP_MAGIC) {
            let packed = Packed { bytes, max: self.max_unpacked, remedy: "Idx::new()" };
            Source { name, reader: MultiGzDecoder::new(reader) }.tensor(Some(packed))
        } else {
            Source { name, reader }.tensor(None)
        }
    }
}

/// Reads an IDX file with the defaults; see [`Idx::read`].
///
/// # Errors
/// Those of [`Idx::read`].
#[cfg(not(target_arch = "wasm32"))]
pub fn read_idx(path: impl AsRef<Path>) -> Result<Tensor> {
    Idx::new().read(path)
}

/// Reads an IDX file from memory with the defaults; messages use `name`.
///
/// # Errors
/// [`Error::File`] naming the part that is wrong, what was found and what was expected.
pub fn parse_idx(name: &str, bytes: &[u8]) -> Result<Tensor> {
    Idx::new().parse(name, bytes)
}

/// Checks that a tensor read from `path` has `rank` axes; `what` names the contents that were expected, e.g. `images`.
/// This catches a labels file in place of the images.
///
/// # Errors
/// [`Error::File`] with the shape that was found.
pub fn expect_rank(path: impl AsRef<Path>, tensor: &Tensor, rank: usize, what: &str) -> Result<()> {
    if tensor.shape().rank() == rank {
        return Ok(());
    }
    let hint = match tensor.shape().rank() {
        1 => "; one axis is what a labels file has",
        3 => "; three axes are what an images file has",
        _ => "",
    };
    Err(Error::File {
        path: path.as_ref().display().to_string(),
        field: "dimensions".into(),
        detail: format!(
            "found {} of shape {} ({} axes), expected {what} with {rank}{hint}",
            tensor.dtype(),
            tensor.shape(),
            tensor.shape().rank()
        ),
    })
}

/// The element types that tensors can hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Element {
    U8,
    I32,
    F32,
}

/// An unpacked IDX file and the name that its errors carry.
pub(super) struct Source<'a, R> {
    pub(super) name: &'a str,
    pub(super) reader: R,
}

impl<R: Read> Source<'_, R> {
    /// What comes before the payload: its element type, its shape and its size in bytes.
    pub(super) fn header(&mut self) -> Result<(Element, Shape, usize)> {
        let (element, rank) = self.magic()?;
        let (shape, size) = self.dimensions(rank, element)?;
        Ok((element, shape, size))
    }

    fn tensor(mut self, packed: Option<Packed>) -> Result<Tensor> {
        let (element, shape, size) = self.header()?;
        if let Some(packed) = packed {
            packed.check(size as u64).map_err(|detail| self.bad("gzip", detail))?;
        }
        let count = shape.len();
        let data = match element {
            Element::U8 => {
                self.elements(count, |[byte]| Some(byte), |_| String::new()).map(Data::U8)
            }
            Element::F32 => {
                let decode = |word| Some(f32::from_be_bytes(word));
                self.elements(count, decode, |_| String::new()).map(Data::F32)
            }
            Element::I32 => {
                let decode = |word| u32::try_from(i32::from_be_bytes(word)).ok();
                let refuse = |word| {
                    format!(
                        "{}; i32 files are read as u32 labels or indices and must hold no negative number",
                        i32::from_be_bytes(word)
                    )
                };
                self.elements(count, decode, refuse).map(Data::U32)
            }
        };
        let data = data.map_err(|fault| match fault.detail(&shape, size) {
            Ok(detail) => self.bad("payload", detail),
            Err(error) => self.broken(error),
        })?;
        Tensor::new(shape, data)
    }

    fn elements<const WIDTH: usize, T: Default>(
        &mut self,
        count: usize,
        decode: impl Fn([u8; WIDTH]) -> Option<T>,
        refuse: impl Fn([u8; WIDTH]) -> String,
    ) -> std::result::Result<Vec<T>, Fault> {
        read_elements(&mut self.reader, count, decode, refuse)
    }

    fn magic(&mut self) -> Result<(Element, usize)> {
        let magic = self.up_to(4)?;
        let [zero0, zero1, element, rank] = magic[..] else {
            let detail = format!("the file ends after {} of the 4 bytes of the magic", magic.len());
            return Err(self.bad("magic", detail));
        };
        if [zero0, zero1] != [0, 0] {
            return Err(self.bad(
                "magic",
                format!(
                    "found {zero0:02x} {zero1:02x} {element:02x} {rank:02x}, expected 00 00, the \
                     element type and the number of axes; this is no IDX file"
                ),
            ));
        }
        let unsupported = match element {
            0x08 => return self.with_axes(Element::U8, rank),
            0x0c => return self.with_axes(Element::I32, rank),
            0x0d => return self.with_axes(Element::F32, rank),
            0x09 => "i8",
            0x0b => "i16",
            0x0e => "f64",
            _ => "unknown",
        };
        Err(self.bad(
            "magic",
            format!(
                "found element type 0x{element:02x} ({unsupported}); supported are 0x08 (u8), 0x0c \
                 (i32, not negative) and 0x0d (f32)"
            ),
        ))
    }

    fn with_axes(&self, element: Element, rank: u8) -> Result<(Element, usize)> {
        if rank == 0 {
            return Err(self.bad("magic", "found 0 axes, expected at least one"));
        }
        Ok((element, usize::from(rank)))
    }

    /// The shape, and the payload's size in bytes.
    fn dimensions(&mut self, rank: usize, element: Element) -> Result<(Shape, usize)> {
        let header = 4 * rank;
        let bytes = self.up_to(header)?;
        if bytes.len() != header {
            let found = bytes.len();
            let detail =
                format!("the file ends after {found} of the {header} bytes of {rank} extents");
            return Err(self.bad("dimensions", detail));
        }
        let extents = bytes.as_chunks::<4>().0.iter();
        let dims: Vec<usize> = extents.map(|w| u32::from_be_bytes(*w) as usize).collect();
        let width: usize = match element {
            Element::U8 => 1,
            Element::I32 | Element::F32 => 4,
        };
        // The product leaves out empty axes, so that it bounds every stride of the shape too.
        let size = dims.iter().filter(|&&d| d != 0).try_fold(width, |size, &d| size.checked_mul(d));
        let Some(size) = size.filter(|&size| size < isize::MAX as usize) else {
            let detail = format!("{dims:?} is more than this machine can address");
            return Err(self.bad("dimensions", detail));
        };
        let size = if dims.contains(&0) { 0 } else { size };
        Ok((Shape::new(dims), size))
    }

    /// The next `limit` bytes of a header, or fewer if the file ends.
    fn up_to(&mut self, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.reader.by_ref().take(limit as u64).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn broken(&self, error: std::io::Error) -> Error {
        use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        match error.kind() {
            // What the decoder reports; the other kinds come from the file system.
            InvalidData | InvalidInput | UnexpectedEof => {
                let detail = format!("the file is cut short or corrupt ({error}); get it again");
                self.bad("gzip", detail)
            }
            _ => Error::Io { path: self.name.into(), cause: error },
        }
    }

    pub(super) fn bad(&self, field: &str, detail: impl Into<String>) -> Error {
        Error::File { path: self.name.into(), field: field.into(), detail: detail.into() }
    }
}
