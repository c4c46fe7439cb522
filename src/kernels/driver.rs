//! Generations of drivers: what kernels are shaped for, beside what an adapter says that it can do.

use crate::error::{Error, Result};

/// A generation of drivers whose compiled kernels are alike in speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Driver {
    /// Software Vulkan of Mesa up to version 24 (measured: 22.3.6).
    Lavapipe22,
    /// Software Vulkan of Mesa 25.0 (measured: 25.0.7).
    Lavapipe25,
    /// Software Vulkan of Mesa from 25.1 on, which has another code generator (measured: 26.2.6).
    Lavapipe26,
    /// Software Vulkan of Chromium.
    SwiftShader,
    /// Any other driver, of a GPU or of software.
    #[default]
    Other,
}

impl Driver {
    /// Every generation, with its name in tables.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Lavapipe22, "lavapipe-22"),
        (Self::Lavapipe25, "lavapipe-25"),
        (Self::Lavapipe26, "lavapipe-26"),
        (Self::SwiftShader, "swiftshader"),
        (Self::Other, "other"),
    ];

    /// The generation, from the names that a Vulkan driver gives: `llvmpipe` and `Mesa 22.3.6 (LLVM 15.0.6)`.
    #[must_use]
    pub fn of(name: &str, version: &str) -> Self {
        let name = name.to_ascii_lowercase();
        if name.contains("swiftshader") {
            return Self::SwiftShader;
        }
        if !name.contains("llvmpipe") && !name.contains("lavapipe") {
            return Self::Other;
        }
        let numbers = version.split_once("Mesa ").map_or("", |(_, after)| after);
        let mut numbers = numbers.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(25)), Some(Ok(0))) => Self::Lavapipe25,
            (Some(Ok(major)), _) if major < 25 => Self::Lavapipe22,
            (Some(Ok(_)), _) => Self::Lavapipe26,
            _ => Self::Other,
        }
    }

    /// Whether four elements move as two 64-bit words and not as a vector. On Mesa that makes Adam
    /// up to twice as fast, and products on Mesa 26 by a fifth and more (docs/results.md). A driver on which it was not measured
    /// does without, such as WARP, which has such words too.
    #[must_use]
    pub const fn gains_by_wide_words(self) -> bool {
        matches!(self, Self::Lavapipe22 | Self::Lavapipe25 | Self::Lavapipe26)
    }
}

impl std::fmt::Display for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = Self::ALL.iter().find(|(driver, _)| driver == self);
        f.write_str(named.map_or("other", |(_, name)| name))
    }
}

impl std::str::FromStr for Driver {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let named = Self::ALL.iter().find(|(_, name)| *name == text);
        let fail = || Error::internal("table of kernels", format!("`{text}` is no driver"));
        named.map(|(driver, _)| *driver).ok_or_else(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_read_from_what_drivers_say() {
        for (name, version, generation) in [
            ("llvmpipe", "Mesa 22.3.6 (LLVM 15.0.6)", Driver::Lavapipe22),
            ("llvmpipe", "Mesa 24.2.8-1ubuntu1 (LLVM 18.1.3)", Driver::Lavapipe22),
            ("llvmpipe", "Mesa 25.0.7-2+deb13u1 (LLVM 19.1.7)", Driver::Lavapipe25),
            ("llvmpipe", "Mesa 25.1.0 (LLVM 20.1.0)", Driver::Lavapipe26),
            ("llvmpipe", "Mesa 26.2.6-1 (LLVM 22.1.8)", Driver::Lavapipe26),
            ("llvmpipe", "git of today", Driver::Other),
            ("SwiftShader driver", "", Driver::SwiftShader),
            ("NVIDIA", "580.159.04", Driver::Other),
            ("radv", "Mesa 22.3.6", Driver::Other),
            ("", "", Driver::Other),
        ] {
            assert_eq!(Driver::of(name, version), generation, "{name} {version}");
        }
    }

    #[test]
    fn names_survive_as_text() {
        for (driver, name) in Driver::ALL {
            assert_eq!(driver.to_string(), name);
            assert_eq!(name.parse::<Driver>().unwrap(), driver);
        }
        assert!("mesa".parse::<Driver>().is_err());
    }

    #[test]
    fn an_unknown_driver_moves_no_wide_words() {
        assert!(!Driver::of("Microsoft Basic Render Driver", "10.0").gains_by_wide_words());
        assert!(Driver::Lavapipe22.gains_by_wide_words());
    }
}
