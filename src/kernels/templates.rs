//! The shader files, embedded in the library.

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../shaders/", $path, ".wgsl")))),*]
    };
}

/// Every shader file: path below `shaders/` without its extension, and text.
pub static FILES: &[(&str, &str)] = files![
    "lib/band",
    "lib/class",
    "lib/index",
    "lib/lanes",
    "lib/math",
    "lib/order",
    "lib/quad",
    "lib/segments",
    "lib/step",
    "lib/threefry",
    "elementwise/gates",
    "elementwise/map",
    "matmul/broadcast",
    "matmul/combine",
    "matmul/tiled",
    "reduce/argmax",
    "reduce/column_sums",
    "reduce/columns",
    "reduce/cumulative",
    "reduce/position",
    "reduce/ranges",
    "reduce/row_kernel",
    "reduce/rows",
    "reduce/softmax",
    "loss/sigmoid_cross_entropy",
    "loss/softmax_cross_entropy",
    "data/concatenate",
    "data/fill_ranges",
    "data/gather",
    "data/one_hot",
    "data/segment_blocks",
    "data/segment_bounds",
    "data/segment_sum",
    "data/sort_count",
    "data/sort_rank",
    "data/sort_scan",
    "data/sort_scatter",
];

/// The text of a file.
#[must_use]
pub fn text(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(p, _)| *p == path).map(|(_, t)| *t)
}
