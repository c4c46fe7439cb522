//! Parsing of `.npy` files.
//!
//! A file is a magic, a version, a header (a Python dict of element type, order and shape) and the elements
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>). `npyz` parses the header; this module
//! first checks what `npyz` does not.

use std::cell::Cell;
use std::io::Read;

use npyz::{DType as NpyType, Endianness, NpyHeader, Order, TypeChar};

use super::super::elements::{Fault, Packed, read_elements};
use crate::error::{Error, Result};
use crate::tensor::{Data, Shape, Tensor};

/// The longest header that is read, in bytes: NumPy's own limit.
const LONGEST_HEADER: usize = 10_000;

/// The most brackets of a header. One of plain elements has two; the parser's time grows threefold
/// with each level of nesting.
const MOST_BRACKETS: usize = 8;

/// Reads a `.npy` file, or the one of the array `array` in an archive, which may be packed.
pub(super) fn parse(
    path: &str,
    array: &str,
    reader: impl Read,
    packed: Option<Packed>,
) -> Result<Tensor> {
    Source { path, array, reader }.tensor(packed)
}

/// A file and the names that its errors carry.
struct Source<'a, R> {
    path: &'a str,
    array: &'a str,
    reader: R,
}

/// Whole numbers that f32 rounds: different ids may become equal.
#[derive(Default)]
struct Rounding {
    elements: Cell<usize>,
    fractions: Cell<bool>,
    first: Cell<Option<(usize, f64)>>,
}

impl Rounding {
    fn see(&self, value: f64) {
        let at = self.elements.replace(self.elements.get() + 1);
        self.fractions.set(self.fractions.get() || value.fract() != 0.0);
        if self.first.get().is_none() && f64::from(value as f32) != value {
            self.first.set(Some((at, value)));
        }
    }

    /// Warns if all elements are whole and one was rounded.
    fn warn(&self, path: &str, array: &str) {
        if let (false, Some((at, value))) = (self.fractions.get(), self.first.get()) {
            log::warn!(
                "{path} {array}: element {at} is {value}, which float32 rounds to {}; if these are \
                 labels or ids, save them with .astype('int64')",
                value as f32
            );
        }
    }
}

/// An element of a tensor, as little-endian bytes of a file give it.
type Decode<const WIDTH: usize, T> = fn([u8; WIDTH]) -> Option<T>;

/// Decodes integers as u32, and says which do not fit.
macro_rules! counted {
    ($self:ident, $count:ident, $big:ident, $integer:ty) => {{
        let decode: Decode<_, u32> = |bytes| <$integer>::from_le_bytes(bytes).try_into().ok();
        let refuse = |bytes| {
            format!(
                "{}; integers are read as u32 labels or indices, 0 to {}. Save features with .astype('float32')",
                <$integer>::from_le_bytes(bytes),
                u32::MAX
            )
        };
        $self.read($count, $big, decode, refuse).map(Data::U32)
    }};
}

impl<R: Read> Source<'_, R> {
    fn tensor(mut self, packed: Option<Packed>) -> Result<Tensor> {
        let header = self.header()?;
        let NpyType::Plain(ty) = header.dtype() else { return Err(self.unsupported(&header)) };
        let (kind, width) = (ty.type_char(), ty.size_field());
        let big = ty.endianness() == Endianness::Big;
        let dims: Option<Vec<usize>> =
            header.shape().iter().map(|&extent| usize::try_from(extent).ok()).collect();
        let sized = dims.and_then(|dims| Some((addressable(&dims)?, dims)));
        let Some((count, dims)) = sized else {
            let detail = format!("{:?} is more than this machine can address", header.shape());
            return Err(self.bad("header", detail));
        };
        let shape = Shape::new(dims);
        if let Some(packed) = packed {
            let size =
                if kind == TypeChar::Bool || (kind, width) == (TypeChar::Uint, 1) { 1 } else { 4 };
            packed.check((count * size) as u64).map_err(|detail| self.bad("payload", detail))?;
        }
        let data = match (kind, width) {
            (TypeChar::Float, 4) => {
                let decode: Decode<4, f32> = |bytes| Some(f32::from_le_bytes(bytes));
                self.read(count, big, decode, |_| String::new()).map(Data::F32)
            }
            (TypeChar::Float, 8) => {
                let refuse =
                    |bytes| format!("{:e}, beyond the range of f32", f64::from_le_bytes(bytes));
                let rounding = Rounding::default();
                let decode = |bytes| {
                    rounding.see(f64::from_le_bytes(bytes));
                    nearest(bytes)
                };
                let data = self.read(count, big, decode, refuse).map(Data::F32);
                rounding.warn(self.path, self.array);
                data
            }
            (TypeChar::Uint, 1) => {
                let decode: Decode<1, u8> = |[byte]| Some(byte);
                self.read(count, big, decode, |_| String::new()).map(Data::U8)
            }
            (TypeChar::Bool, 1) => {
                let decode: Decode<1, u8> = |[byte]| (byte < 2).then_some(byte);
                self.read(count, big, decode, |[byte]| format!("{byte}; a bool is 0 or 1"))
                    .map(Data::U8)
            }
            (TypeChar::Uint, 2) => counted!(self, count, big, u16),
            (TypeChar::Uint, 4) => counted!(self, count, big, u32),
            (TypeChar::Uint, 8) => counted!(self, count, big, u64),
            (TypeChar::Int, 1) => counted!(self, count, big, i8),
            (TypeChar::Int, 2) => counted!(self, count, big, i16),
            (TypeChar::Int, 4) => counted!(self, count, big, i32),
            (TypeChar::Int, 8) => counted!(self, count, big, i64),
            _ => return Err(self.unsupported(&header)),
        };
        // The widest element that is read has eight bytes.
        let size = count * width as usize;
        let data = data.map_err(|fault| match fault.detail(&shape, size) {
            Ok(detail) => self.bad("payload", detail),
            Err(error) => self.broken(error),
        })?;
        let fortran = header.order() == Order::Fortran;
        let data = if fortran { row_major(&shape, data) } else { data };
        Tensor::new(shape, data)
    }

    fn read<const WIDTH: usize, T: Default>(
        &mut self,
        count: usize,
        big: bool,
        decode: impl Fn([u8; WIDTH]) -> Option<T>,
        refuse: impl Fn([u8; WIDTH]) -> String,
    ) -> std::result::Result<Vec<T>, Fault> {
        let little = |mut bytes: [u8; WIDTH]| {
            if big {
                bytes.reverse();
            }
            bytes
        };
        read_elements(&mut self.reader, count, |b| decode(little(b)), |b| refuse(little(b)))
    }

    fn header(&mut self) -> Result<NpyHeader> {
        let mut bytes = self.up_to(8)?;
        let [0x93, b'N', b'U', b'M', b'P', b'Y', version, _] = bytes[..] else {
            return Err(
                self.bad("magic", "this is no .npy file: it does not begin with \\x93NUMPY")
            );
        };
        let width = if version == 1 { 2 } else { 4 };
        let mut length = self.up_to(width)?;
        bytes.extend(&length);
        length.resize(4, 0);
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length > LONGEST_HEADER {
            let detail = format!("{length} bytes long; at most {LONGEST_HEADER} are read");
            return Err(self.bad("header", detail));
        }
        let text = self.up_to(length)?;
        if let Err(detail) = check_text(&text) {
            return Err(self.bad("header", detail));
        }
        bytes.extend(text);
        NpyHeader::from_reader(&bytes[..]).map_err(|error| {
            self.bad("header", format!("the file is cut short or corrupt ({error})"))
        })
    }

    fn unsupported(&self, header: &NpyHeader) -> Error {
        let found = header.dtype().descr();
        let detail = format!(
            "elements are {found}; float32, float64, bool and the integers are read. Save others \
             with .astype('float32')"
        );
        self.bad("header", detail)
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
            // What an archive's decoder reports; the other kinds come from the file system.
            InvalidData | InvalidInput | UnexpectedEof => {
                self.bad("payload", format!("the archive is cut short or corrupt ({error})"))
            }
            _ => Error::Io { path: self.path.into(), cause: error },
        }
    }

    fn bad(&self, field: &str, detail: impl Into<String>) -> Error {
        let field = match self.array {
            "" => field.into(),
            array => format!("array `{array}`: {field}"),
        };
        Error::File { path: self.path.into(), field, detail: detail.into() }
    }
}

/// f64 as the nearest f32, unless only infinity is near.
fn nearest(bytes: [u8; 8]) -> Option<f32> {
    let wide = f64::from_le_bytes(bytes);
    let narrow = wide as f32;
    (narrow.is_finite() || !wide.is_finite()).then_some(narrow)
}

/// How many elements these extents have, if eight bytes of each can be addressed. That product leaves out empty axes,
/// so that it bounds every stride too.
fn addressable(dims: &[usize]) -> Option<usize> {
    let mut extents = dims.iter().map(|&extent| extent.max(1));
    let bytes = extents.try_fold(8_usize, |product, extent| product.checked_mul(extent));
    bytes.filter(|&bytes| bytes < isize::MAX as usize)?;
    Some(dims.iter().product())
}

/// Checks a header's text before the parser sees it: no deep nesting, and no numbers with which the parser's own
/// products of extents overflow.
fn check_text(text: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|_| "not text: the file is corrupt")?;
    if text.matches(['(', '[', '{']).count() > MOST_BRACKETS {
        return Err("more brackets than an array of numbers needs".into());
    }
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let mut product: usize = 1;
    for word in words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit())) {
        // Eight bytes for the largest element.
        let factor = word.parse::<usize>().ok().map(|n| n.max(1));
        product = factor
            .and_then(|factor| product.checked_mul(factor))
            .filter(|&product| product < isize::MAX as usize / 8)
            .ok_or_else(|| format!("`{word}` is more than this machine can address"))?;
    }
    Ok(())
}

/// Elements stored first axis first, in the order of a row-major tensor.
fn row_major(shape: &Shape, data: Data) -> Data {
    fn permuted<T: Copy>(dims: &[usize], values: &[T]) -> Vec<T> {
        let mut strides = vec![1; dims.len()];
        for axis in 1..dims.len() {
            strides[axis] = strides[axis - 1] * dims[axis - 1];
        }
        let mut index = vec![0; dims.len()];
        let mut at = 0;
        let mut out = Vec::with_capacity(values.len());
        for _ in 0..values.len() {
            out.push(values[at]);
            // The next index, last axis fastest, and its place.
            for axis in (0..dims.len()).rev() {
                index[axis] += 1;
                at += strides[axis];
                if index[axis] < dims[axis] {
                    break;
                }
                at -= strides[axis] * dims[axis];
                index[axis] = 0;
            }
        }
        out
    }
    match data {
        Data::F32(v) => Data::F32(permuted(shape.dims(), &v)),
        Data::U32(v) => Data::U32(permuted(shape.dims(), &v)),
        Data::U8(v) => Data::U8(permuted(shape.dims(), &v)),
    }
}
