//! Files that outlive a run: compiled pipelines, and tables of measured kernels, one of each per adapter and
//! driver. Losing one costs time and nothing else, so a failure is a warning. One whose checksum is
//! wrong is not used.

#[cfg(not(target_arch = "wasm32"))]
mod files {
    use crate::error::Result;
    use crate::files;
    use std::path::{Path, PathBuf};

    /// Every file begins with this: a change of its layout changes this.
    const MAGIC: &[u8; 8] = b"wgrad 01";

    /// The user's folder for such files.
    pub fn folder() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let base = if cfg!(windows) {
            set("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            set("HOME").map(|home| home.join("Library").join("Caches"))
        } else {
            set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))
        };
        let folder = base.filter(|base| base.is_absolute()).map(|base| base.join("wgrad"));
        if folder.is_none() {
            log::info!(
                "the user has no cache folder: nothing is kept from run to run; WGRAD_CACHE names one"
            );
        }
        folder
    }

    fn checksum(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }

    /// A file name for this adapter and driver.
    pub fn name(info: &wgpu::AdapterInfo, kind: &str) -> String {
        let text = format!(
            "{}|{}|{:x}|{:x}|{}|{}|{}",
            info.backend,
            info.name,
            info.vendor,
            info.device,
            info.driver,
            info.driver_info,
            env!("CARGO_PKG_VERSION")
        );
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = info.name.chars().take(40).map(plain).collect();
        format!("{name}-{:08x}.{kind}", checksum(text.as_bytes()))
    }

    /// The content of a file that [`write`] wrote whole. A file that is there but cannot be used is a warning.
    pub fn read(path: &Path) -> Option<Vec<u8>> {
        let unused = |why: &dyn std::fmt::Display| {
            log::warn!("{}: {why}; the file is not used", path.display());
        };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(cause) => {
                if cause.kind() != std::io::ErrorKind::NotFound {
                    unused(&cause);
                }
                return None;
            }
        };
        let content = whole(&bytes);
        if content.is_none() {
            unused(&"it is damaged, or no file of this version of wgrad");
        }
        content.map(<[u8]>::to_vec)
    }

    /// What follows the head of a file, if the head agrees.
    fn whole(bytes: &[u8]) -> Option<&[u8]> {
        let (sum, content) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        (u32::from_le_bytes(*sum) == checksum(content)).then_some(content)
    }

    /// Replaces a file.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the folder or the file cannot be written.
    pub fn write(path: &Path, content: &[u8]) -> Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(checksum(content).to_le_bytes());
        bytes.extend_from_slice(content);
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder.map_err(|cause| files::io(path, cause))?;
        files::write(path, &bytes)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::collections::HashSet;

        fn adapter() -> wgpu::AdapterInfo {
            wgpu::AdapterInfo {
                name: "Card 7".into(),
                vendor: 1,
                device: 2,
                driver: "driver".into(),
                driver_info: "1.0".into(),
                ..wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan)
            }
        }

        #[test]
        fn each_adapter_driver_and_kind_has_a_file_of_its_own() {
            let own = adapter();
            let others = [
                wgpu::AdapterInfo { backend: wgpu::Backend::Dx12, ..own.clone() },
                // Two names that differ in what a file name does not show.
                wgpu::AdapterInfo { name: "Card-7".into(), ..own.clone() },
                wgpu::AdapterInfo { vendor: 3, ..own.clone() },
                wgpu::AdapterInfo { device: 3, ..own.clone() },
                wgpu::AdapterInfo { driver: "other".into(), ..own.clone() },
                wgpu::AdapterInfo { driver_info: "1.1".into(), ..own.clone() },
            ];
            let mut names: HashSet<String> = others.iter().map(|i| name(i, "matmul")).collect();
            names.insert(name(&own, "matmul"));
            names.insert(name(&own, "pipelines"));
            assert_eq!(names.len(), others.len() + 2, "{names:?}");
            // The same adapter and driver find their file again, whatever else the adapter says.
            let same = wgpu::AdapterInfo { subgroup_max_size: 99, ..own.clone() };
            assert_eq!(name(&same, "matmul"), name(&own, "matmul"));
            assert!(name(&own, "matmul").starts_with("card-7-"));
        }

        #[test]
        fn what_was_written_is_read_and_damage_is_noticed() {
            let folder = std::env::temp_dir().join(format!("wgrad-cache-{}", std::process::id()));
            let path = folder.join("deeper").join("file.pipelines");
            assert_eq!(read(&path), None);
            write(&path, b"content").unwrap();
            assert_eq!(read(&path).as_deref(), Some(&b"content"[..]));
            let whole = std::fs::read(&path).unwrap();
            for at in 0..whole.len() {
                let mut damaged = whole.clone();
                damaged[at] ^= 1;
                std::fs::write(&path, damaged).unwrap();
                assert_eq!(read(&path), None, "byte {at}");
            }
            std::fs::write(&path, &whole[..5]).unwrap();
            assert_eq!(read(&path), None);
            // A folder has the file's name: it is ignored, and nothing is left beside it.
            assert!(write(&folder.join("deeper"), b"content").is_err());
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub(super) use files::{folder, name, read, write};
