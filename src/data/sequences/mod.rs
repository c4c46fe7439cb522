//! Sequences: text as ids, lengths made equal, and windows of text and of time series.

mod bag;
mod lengths;
mod text_file;
mod timeseries;
mod vectorization;
mod windows;

pub use bag::TextOutput;
pub use lengths::{
    Bucket, PadSequences, SequenceElement, SequenceSide, bucket_by_length, pad_sequences,
};
pub use text_file::parse_text;
#[cfg(not(target_arch = "wasm32"))]
pub use text_file::read_text;
pub use timeseries::{Timeseries, timeseries_dataset_from_array};
pub use vectorization::{Standardize, TextSplit, TextVectorization};
pub use windows::TextWindows;
