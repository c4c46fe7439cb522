//! Entries of a safetensors file's metadata, with a right checksum: a reader is then seen past its first check.

use safetensors::SafeTensors;

/// The text of an entry.
pub fn entry(file: &[u8], key: &str) -> String {
    let (_, header) = SafeTensors::read_metadata(file).unwrap();
    header.metadata().as_ref().unwrap()[key].clone()
}

/// The same tensors with this entry alone, and a right checksum.
pub fn with_entry(file: &[u8], key: &str, text: String) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let metadata = [(key.to_owned(), text)].into_iter().collect();
    sealed(safetensors::serialize(tensors.iter(), Some(metadata)).unwrap(), key)
}

/// The same bytes with a right checksum in the entry, if there is a place for one.
pub fn sealed(mut bytes: Vec<u8>, key: &str) -> Vec<u8> {
    let mark = format!(r#""{key}":"{{\"crc32\":\""#).into_bytes();
    let place = bytes.windows(mark.len()).position(|w| w == mark).map(|at| at + mark.len());
    if let Some(place) = place.filter(|place| place + 8 <= bytes.len()) {
        bytes[place..place + 8].copy_from_slice(b"00000000");
        let digits = format!("{:08x}", crc32fast::hash(&bytes));
        bytes[place..place + 8].copy_from_slice(digits.as_bytes());
    }
    bytes
}
