//! Elements of a binary file on their way into a tensor.

use crate::tensor::Shape;
use std::io::{Error, ErrorKind, Read};

/// Bytes that are decoded at once: whole elements of every width.
const CHUNK: usize = 1 << 16;

/// What is wrong with a file's elements.
pub(super) enum Fault {
    /// The reader failed.
    Io(Error),
    /// The file ends after so many bytes of elements.
    Short(usize),
    /// The file goes on after its elements.
    Long,
    /// An element has no place in the tensor.
    Element(String),
}

impl Fault {
    /// What is wrong with the elements of a tensor of this shape, which take `size` bytes; the reader's error if it
    /// failed.
    pub fn detail(self, shape: &Shape, size: usize) -> Result<String, Error> {
        match self {
            Self::Io(error) => Err(error),
            Self::Element(detail) => Ok(detail),
            Self::Short(found) => {
                Ok(format!("shape {shape} takes {size} bytes; the file ends after {found}"))
            }
            Self::Long => {
                Ok(format!("shape {shape} takes {size} bytes; the file goes on after them"))
            }
        }
    }
}

/// Reads `count` elements of `WIDTH` bytes, after which the file must end. `decode` gives an element, or `None` if a
/// tensor has no place for it; then `refuse` says why.
///
/// Memory grows with what the file holds, not with what its header promises, and stays below twice the elements.
pub(super) fn read_elements<const WIDTH: usize, T: Default>(
    reader: &mut impl Read,
    count: usize,
    decode: impl Fn([u8; WIDTH]) -> Option<T>,
    refuse: impl Fn([u8; WIDTH]) -> String,
) -> Result<Vec<T>, Fault> {
    let mut values = Vec::new();
    let mut bytes = vec![0; CHUNK.min(count.saturating_mul(WIDTH)).max(1)];
    let mut refused = None;
    while values.len() < count {
        let wanted = (count - values.len()).min(CHUNK / WIDTH);
        if values.capacity() - values.len() < wanted {
            // Twice as many as there are, or all.
            values.reserve_exact(values.len().max(wanted).min(count - values.len()));
        }
        let found = fill(reader, &mut bytes[..wanted * WIDTH]).map_err(Fault::Io)?;
        let start = values.len();
        let elements = bytes[..found].as_chunks::<WIDTH>().0.iter().enumerate();
        values.extend(elements.map(|(i, element)| {
            decode(*element).unwrap_or_else(|| {
                refused.get_or_insert((start + i, *element));
                T::default()
            })
        }));
        if found < wanted * WIDTH {
            return Err(Fault::Short(start * WIDTH + found));
        }
    }
    // One more byte shows a file that is too long, and makes an archive check its checksum.
    if fill(reader, &mut bytes[..1]).map_err(Fault::Io)? > 0 {
        return Err(Fault::Long);
    }
    match refused {
        Some((at, element)) => Err(Fault::Element(format!("element {at} is {}", refuse(element)))),
        None => Ok(values),
    }
}

/// Fills `bytes` as far as the reader goes.
fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> Result<usize, Error> {
    let mut found = 0;
    while found < bytes.len() {
        match reader.read(&mut bytes[found..]) {
            Ok(0) => break,
            Ok(read) => found += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// What a packed file may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed {
    /// Its bytes on disk.
    pub bytes: u64,
    /// The most bytes of a tensor, if the caller sets them.
    pub max: Option<u64>,
    /// How the caller sets them, for messages.
    pub remedy: &'static str,
}

impl Packed {
    /// How many times larger than its file a tensor may be.
    const RATIO: u64 = 100;
    /// The bytes that every tensor may have.
    const SMALL: u64 = 64 << 20;

    /// The bound.
    pub fn most(&self) -> u64 {
        let own = self.bytes.saturating_mul(Self::RATIO).max(Self::SMALL);
        self.max.unwrap_or(own)
    }

    /// Refuses to unpack to a tensor of so many bytes if those are more than the bound.
    pub fn check(&self, unpacked: u64) -> Result<(), String> {
        let most = self.most();
        if unpacked <= most {
            return Ok(());
        }
        let (packed, remedy) = (self.bytes, self.remedy);
        let why = match self.max {
            Some(_) => String::new(),
            None => format!(", which is {} times the packed bytes or 64 MiB", Self::RATIO),
        };
        Err(format!(
            "{packed} packed bytes become {unpacked}; the bound `max_unpacked` is {most}{why}. If you trust the file, \
             raise it: `{remedy}.max_unpacked({unpacked})`"
        ))
    }
}
