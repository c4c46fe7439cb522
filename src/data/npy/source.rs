//! Parsing of `.npy` files.
//!
//! A file is a magic, a version, a header (a Python dict of element type, order and shape) and the
//! elements (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>). `npyz`
//! parses the header and the elements; what it takes on trust is checked here first.

use std::io::Read;

use npyz::{DType as NpyType, NpyFile, NpyHeader, Order, TypeChar};

use crate::error::{Error, Result};
use crate::tensor::{Data, Shape, Tensor};

/// The longest header that is read, in bytes: NumPy's own limit.
const LONGEST_HEADER: usize = 10_000;

/// The most brackets of a header. One of plain elements has two; the parser's time grows threefold
/// with each level of nesting.
const MOST_BRACKETS: usize = 8;

/// Reads a `.npy` file, or the one of the array `array` in an archive.
pub(super) fn parse(path: &str, array: &str, reader: impl Read) -> Result<Tensor> {
    Source { path, array, reader }.tensor()
}

/// A file and the names that its errors carry.
struct Source<'a, R> {
    path: &'a str,
    array: &'a str,
    reader: R,
}

impl<R: Read> Source<'_, R> {
    fn tensor(mut self) -> Result<Tensor> {
        let header = self.header()?;
        let size = match header.dtype() {
            NpyType::Plain(ty) => ty.num_bytes(),
            NpyType::Array(..) | NpyType::Record(_) => None,
        };
        let dims: Option<Vec<usize>> =
            header.shape().iter().map(|&extent| usize::try_from(extent).ok()).collect();
        let (Some(size), Some(dims)) = (size, dims) else { return Err(self.unsupported(&header)) };
        let shape = Shape::new(dims);
        // The header's numbers multiply to less than isize::MAX, so neither product overflows.
        let payload = self.payload(&shape, shape.len() * size)?;
        let file = NpyFile::with_header(header, &payload[..]);
        let fortran = file.header().order() == Order::Fortran;
        let data = self.elements(file)?;
        let data = if fortran { row_major(&shape, data) } else { data };
        Tensor::new(shape, data)
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

    /// The rest of the file, which must be `size` bytes. Memory grows with what the file holds, not
    /// with what its header promises.
    fn payload(&mut self, shape: &Shape, size: usize) -> Result<Vec<u8>> {
        // One byte more tells a file that is too long, and takes an archive to its checksum.
        let bytes = self.up_to(size + 1)?;
        let found = match bytes.len() {
            n if n == size => return Ok(bytes),
            n if n < size => format!("the file ends after {n}"),
            _ => "the file goes on after them".into(),
        };
        Err(self.bad("payload", format!("shape {shape} takes {size} bytes; {found}")))
    }

    /// The elements in the file's order.
    fn elements(&self, file: NpyFile<&[u8]>) -> Result<Data> {
        let ty = match file.header().dtype() {
            NpyType::Plain(ty) => (ty.type_char(), ty.size_field()),
            NpyType::Array(..) | NpyType::Record(_) => return Err(self.unsupported(file.header())),
        };
        match ty {
            (TypeChar::Float, 4) => Ok(Data::F32(self.read(file)?)),
            (TypeChar::Float, 8) => self.rounded(&self.read(file)?),
            (TypeChar::Uint, 1) => Ok(Data::U8(self.read(file)?)),
            (TypeChar::Bool, _) => {
                Ok(Data::U8(self.read::<bool>(file)?.into_iter().map(u8::from).collect()))
            }
            (TypeChar::Uint, 2) => self.counted::<u16>(file),
            (TypeChar::Uint, 4) => self.counted::<u32>(file),
            (TypeChar::Uint, 8) => self.counted::<u64>(file),
            (TypeChar::Int, 1) => self.counted::<i8>(file),
            (TypeChar::Int, 2) => self.counted::<i16>(file),
            (TypeChar::Int, 4) => self.counted::<i32>(file),
            (TypeChar::Int, 8) => self.counted::<i64>(file),
            _ => Err(self.unsupported(file.header())),
        }
    }

    fn read<T: npyz::Deserialize>(&self, file: NpyFile<&[u8]>) -> Result<Vec<T>> {
        file.into_vec().map_err(|error| self.bad("payload", error.to_string()))
    }

    /// f64 as the nearest f32.
    fn rounded(&self, values: &[f64]) -> Result<Data> {
        let lost = |value: &f64| value.is_finite() && !(*value as f32).is_finite();
        if let Some(at) = values.iter().position(lost) {
            let detail = format!("element {at} is {:e}, beyond the range of f32", values[at]);
            return Err(self.bad("payload", detail));
        }
        let changed = |value: &f64| f64::from(*value as f32) != *value;
        if values.iter().all(|value| value.fract() == 0.0)
            && let Some(at) = values.iter().position(changed)
        {
            let (path, array, value) = (self.path, self.array, values[at]);
            log::warn!(
                "{path} {array}: element {at} is {value}, which float32 rounds to {}; if these are \
                 labels or ids, save them with .astype('int64')",
                value as f32
            );
        }
        Ok(Data::F32(values.iter().map(|&value| value as f32).collect()))
    }

    /// Integers as u32.
    fn counted<T>(&self, file: NpyFile<&[u8]>) -> Result<Data>
    where
        T: npyz::Deserialize + Copy + std::fmt::Display + TryInto<u32>,
    {
        let values: Vec<T> = self.read(file)?;
        let convert = |(at, &value): (usize, &T)| {
            value.try_into().map_err(|_| {
                let detail = format!(
                    "element {at} is {value}; integers are read as u32 labels or indices, 0 to \
                     {}. Save features with .astype('float32')",
                    u32::MAX
                );
                self.bad("payload", detail)
            })
        };
        Ok(Data::U32(values.iter().enumerate().map(convert).collect::<Result<_>>()?))
    }

    fn unsupported(&self, header: &NpyHeader) -> Error {
        let found = header.dtype().descr();
        let detail = format!(
            "elements are {found}; float32, float64, bool and the integers are read. Save others \
             with .astype('float32')"
        );
        self.bad("header", detail)
    }

    /// The next `limit` bytes, or fewer where the file ends.
    fn up_to(&mut self, limit: usize) -> Result<Vec<u8>> {
        use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        let mut bytes = Vec::new();
        match self.reader.by_ref().take(limit as u64).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            // What an archive's decoder reports; the other kinds come from the file system.
            Err(e) if matches!(e.kind(), InvalidData | InvalidInput | UnexpectedEof) => {
                Err(self.bad("payload", format!("the archive is cut short or corrupt ({e})")))
            }
            Err(cause) => Err(Error::Io { path: self.path.into(), cause }),
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

/// Checks a header's text before it is parsed: no deep nesting, and no numbers whose product, which
/// bounds the size of any array it describes, overflows.
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

/// Elements that lie first axis first, as they lie in a row-major tensor.
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
