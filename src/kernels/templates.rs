//! Shaders, embedded in the library: a template is declared by the card that launches it, files that templates import
//! are listed here.

use super::ParamBlock;

/// A shader of the library, as its card declares it with `template!`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// The path below `shaders/` without its extension; the name of a kernel from outside of the library.
    pub path: &'static str,
    /// What the preprocessor fills in. Empty for a kernel from outside, which is whole.
    pub text: &'static str,
    /// What its `Params` begins with; `None` for a kernel from outside.
    pub block: Option<&'static ParamBlock>,
}

/// The template at this path below `shaders/`, whose `Params` begins with this block.
macro_rules! template {
    ($path:literal, $params:ty) => {
        $crate::kernels::Template {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path, ".wgsl")),
            block: Some(&<$params>::BLOCK),
        }
    };
}
pub(crate) use template;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../shaders/", $path, ".wgsl")))),*]
    };
}

/// The files that templates import: path below `shaders/` without its extension, and text.
pub static LIBRARY: &[(&str, &str)] = files![
    "lib/attention",
    "lib/band",
    "lib/class",
    "lib/depthwise",
    "lib/depthwise_x",
    "lib/index",
    "lib/lanes",
    "lib/math",
    "lib/order",
    "lib/pool",
    "lib/pool_upstream",
    "lib/quad",
    "lib/segments",
    "lib/sliding",
    "lib/step",
    "lib/threefry",
];
