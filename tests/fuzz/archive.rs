//! Gzip files and zip archives with right checksums, with any content.

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use std::io::Write;

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A zip archive with one file.
pub fn zip(name: &str, content: &[u8], packed: bool) -> Vec<u8> {
    let crc = crc32fast::hash(content).to_le_bytes();
    let stored = if packed {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    } else {
        content.to_vec()
    };
    let number = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let (size, full) = (number(stored.len()), number(content.len()));
    let length = u16::try_from(name.len()).unwrap().to_le_bytes();
    let method = if packed { 8 } else { 0 };
    let start = [10, 0, 0, 0, method, 0, 0, 0, 0x21, 0];
    let common = [&start[..], &crc, &size, &full, &length, &[0, 0]].concat();
    let local = [&b"PK\x03\x04"[..], &common, name.as_bytes(), &stored].concat();
    let central = [&b"PK\x01\x02\x0a\x00"[..], &common, &[0; 14], name.as_bytes()].concat();
    let count = [0, 0, 0, 0, 1, 0, 1, 0];
    let place = [number(central.len()), number(local.len())].concat();
    let end = [&b"PK\x05\x06"[..], &count, &place, &[0, 0]].concat();
    [local, central, end].concat()
}

/// A `.npy` file.
pub fn npy(kind: &str, fortran: bool, shape: &str, payload: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let text = format!("{header:<0$}\n", length - 1);
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), payload].concat()
}

/// An IDX file.
pub fn idx(element: u8, extents: &[u32], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, element, u8::try_from(extents.len()).unwrap()];
    bytes.extend(extents.iter().flat_map(|e| e.to_be_bytes()));
    bytes.extend(payload);
    bytes
}
