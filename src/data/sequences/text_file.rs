//! Texts from files.

use crate::error::{Error, Result};

/// The text of a file's bytes, which are UTF-8; a mark of byte order at the front is left out.
///
/// # Errors
/// [`Error::File`] naming the first byte that is no UTF-8, and for no text.
pub fn parse_text(name: &str, bytes: Vec<u8>) -> Result<String> {
    let bad = |detail: String| Error::File { path: name.into(), field: "text".into(), detail };
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        bad(format!("byte {at} is no UTF-8; convert the file to UTF-8"))
    })?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    if text.is_empty() { Err(bad("there is none; the file is empty".into())) } else { Ok(text) }
}

/// The text of a file in UTF-8.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; as [`parse_text`].
#[cfg(not(target_arch = "wasm32"))]
pub fn read_text(path: impl AsRef<std::path::Path>) -> Result<String> {
    let path = path.as_ref();
    let shown = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => parse_text(&shown, bytes),
        Err(cause) => Err(Error::Io { path: shown, cause }),
    }
}
