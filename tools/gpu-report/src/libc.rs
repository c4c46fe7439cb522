//! The C library that programs need, as their symbol versions tell.

/// The highest version of glibc that a program names, in its parts; none if it names none.
///
/// Versions are in the program's table of strings, each between two zero bytes.
pub fn glibc(program: &[u8]) -> Option<Vec<u32>> {
    let strings = program.split(|byte| *byte == 0);
    let version = |string: &[u8]| -> Option<Vec<u32>> {
        let version = std::str::from_utf8(string.strip_prefix(b"GLIBC_")?).ok()?;
        version.split('.').map(|part| part.parse().ok()).collect()
    };
    strings.filter_map(version).max()
}

/// A version as one writes it.
pub fn written(version: &[u32]) -> String {
    version.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_counts_as_numbers() {
        let program = b"\x7fELF\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0memcpy\0";
        assert_eq!(glibc(program).map(|v| written(&v)).as_deref(), Some("2.34"));
    }

    #[test]
    fn other_text_is_no_version() {
        for program in [&b"\0GLIBC_PRIVATE\0"[..], b"\0see GLIBC_2.99\0", b"\0GLIBC_2.x\0", b""] {
            assert_eq!(glibc(program), None, "{program:?}");
        }
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn programs_of_this_system_name_one() {
        let version = glibc(&std::fs::read("/bin/sh").unwrap()).unwrap();
        assert!(version >= vec![2, 2, 5] && version < vec![3], "{version:?}");
    }
}
