//! How a device is chosen and used, by the caller or by environment variables.

use crate::error::{Error, Result};
use crate::kernels::MatmulFamily;

/// How to choose an adapter.
#[derive(Debug, Clone, Default)]
pub struct DeviceOptions {
    /// Take the first adapter whose name contains this text, in any case. `None`: the best available.
    pub adapter: Option<String>,
    /// Use this family of matrix products instead of the one that suits the adapter.
    pub matmul: Option<MatmulFamily>,
    /// Run every shader with bounds, loop and division checks: slower, for finding a defect.
    pub checked: bool,
    /// Bytes of device memory that may be used: a model and batches that take more are refused before anything is
    /// allocated. `None`: what the adapter has, which only Vulkan tells. On Metal, DX12 and WebGPU there is no bound
    /// unless one is given here: too little memory shows only when the driver refuses an allocation.
    pub memory: Option<u64>,
    /// The folder that keeps compiled pipelines and the table that `tune` measured from run to run: one file of each
    /// per adapter and driver. `None`: nothing is read or written.
    #[cfg(not(target_arch = "wasm32"))]
    pub cache: Option<std::path::PathBuf>,
}

impl DeviceOptions {
    /// What the environment says: `WGRAD_ADAPTER` names the adapter, `WGRAD_CHECKED=1` asks for checks,
    /// `WGRAD_MEMORY` gives the bytes of device memory that may be used,
    /// `WGRAD_CACHE` names the folder of files kept from run to run (empty for none) instead of `wgrad` in
    /// the user's cache folder.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `WGRAD_MEMORY` is no whole number, `WGRAD_CHECKED` is neither yes nor no, or one of the
    /// variables is not Unicode.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            adapter: set("WGRAD_ADAPTER")?,
            matmul: None,
            memory: set("WGRAD_MEMORY")?.map(memory_bytes).transpose()?,
            checked: set("WGRAD_CHECKED")?.map_or(Ok(false), yes_or_no)?,
            #[cfg(not(target_arch = "wasm32"))]
            cache: match std::env::var_os("WGRAD_CACHE") {
                Some(folder) if folder.is_empty() => None,
                Some(folder) => Some(folder.into()),
                None => super::cache::folder(),
            },
        })
    }
}

/// The value of `WGRAD_MEMORY`.
fn memory_bytes(text: String) -> Result<u64> {
    text.trim().parse().map_err(|_| Error::Parameter {
        layer: String::new(),
        name: "WGRAD_MEMORY".into(),
        value: text,
        detail: "a whole number of bytes is expected, such as 2000000000".into(),
    })
}

/// An environment variable; an empty one is not set.
fn set(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(value)) => {
            Err(Error::parameter(name, value.display(), "Unicode text is expected"))
        }
    }
}

/// The value of `WGRAD_CHECKED`.
fn yes_or_no(text: String) -> Result<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(Error::parameter("WGRAD_CHECKED", text, "1 asks for checks, 0 for none")),
    }
}

/// Whether the environment asks for checks, for a device that is already open: a mistake is a warning.
pub(super) fn checked_from_env() -> bool {
    let checked = set("WGRAD_CHECKED").and_then(|text| text.map_or(Ok(false), yes_or_no));
    checked.unwrap_or_else(|error| {
        log::warn!("{error}; shaders are checked");
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_whole_number_of_bytes() {
        assert_eq!(memory_bytes(" 2000000000 ".into()).unwrap(), 2_000_000_000);
        for bad in ["2e9", "2GB", "-1"] {
            let error = memory_bytes(bad.into()).unwrap_err().to_string();
            assert!(error.contains("WGRAD_MEMORY") && error.contains(bad), "{error}");
        }
    }

    #[test]
    fn checks_are_asked_for_by_yes_or_no() {
        for (text, checked) in
            [("1", true), ("on", true), ("TRUE", true), ("0", false), ("no", false)]
        {
            assert_eq!(yes_or_no(text.into()).unwrap(), checked, "{text}");
        }
        let error = yes_or_no("maybe".into()).unwrap_err().to_string();
        assert!(error.contains("WGRAD_CHECKED = maybe"), "{error}");
    }
}
