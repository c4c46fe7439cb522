//! Sequences: text as ids, lengths made equal, and windows of text and of time series.

mod lengths;
mod timeseries;
mod vectorization;
mod windows;

pub use lengths::{
    Bucket, PadSequences, SequenceElement, SequenceSide, bucket_by_length, pad_sequences,
};
pub use timeseries::{Timeseries, timeseries_dataset_from_array};
#[cfg(not(target_arch = "wasm32"))]
pub use vectorization::read_text;
pub use vectorization::{Standardize, TextSplit, TextVectorization, parse_text};
pub use windows::TextWindows;
