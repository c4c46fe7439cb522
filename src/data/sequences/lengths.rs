//! Sequences of different lengths made equal.

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Which end of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SequenceSide {
    /// The beginning.
    #[default]
    Pre,
    /// The end.
    Post,
}

/// How [`pad_sequences`] makes lengths equal. Defaults are those of Keras: the longest, at the beginning, with 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PadSequences<T = u32> {
    /// The length of all rows; `None` for that of the longest sequence.
    pub maxlen: Option<usize>,
    /// Where shorter sequences are filled up.
    pub padding: SequenceSide,
    /// Where longer sequences lose elements.
    pub truncating: SequenceSide,
    /// What fills them up.
    pub value: T,
}

/// What sequences consist of: u32 ids or f32 numbers.
pub trait SequenceElement: Copy + sealed::Element {}

impl SequenceElement for u32 {}
impl SequenceElement for f32 {}

mod sealed {
    use super::{Result, Tensor};

    pub trait Element: Sized {
        fn tensor(shape: [usize; 2], values: Vec<Self>) -> Result<Tensor>;
    }

    impl Element for u32 {
        fn tensor(shape: [usize; 2], values: Vec<Self>) -> Result<Tensor> {
            Tensor::u32(shape, values)
        }
    }

    impl Element for f32 {
        fn tensor(shape: [usize; 2], values: Vec<Self>) -> Result<Tensor> {
            Tensor::f32(shape, values)
        }
    }
}

/// Sequences as rows of one length: `[sequences, length]`. Keras' `pad_sequences`.
///
/// ```
/// use wgrad::data::{PadSequences, SequenceSide, pad_sequences};
/// use wgrad::tensor::Tensor;
///
/// let sequences = [vec![1, 2, 3], vec![4]];
/// let before = pad_sequences(&sequences, &PadSequences::default())?;
/// assert_eq!(before, Tensor::u32([2, 3], [1, 2, 3, 0, 0, 4])?);
/// let side = SequenceSide::Post;
/// let pad = PadSequences { maxlen: Some(2), padding: side, truncating: side, value: 9 };
/// assert_eq!(pad_sequences(&sequences, &pad)?, Tensor::u32([2, 2], [1, 2, 4, 9])?);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Data`] for no sequences, and for one of length zero: its row would be padding alone, and a mask would leave
/// nothing of it. [`Error::Parameter`] for a length of 0, or more elements than memory can hold.
pub fn pad_sequences<T: SequenceElement>(
    sequences: &[impl AsRef<[T]>],
    pad: &PadSequences<T>,
) -> Result<Tensor> {
    let lengths = || sequences.iter().map(|s| s.as_ref().len());
    let Some(longest) = lengths().max() else {
        return Err(Error::data("sequences", "there are none; give at least one"));
    };
    if let Some(i) = lengths().position(|length| length == 0) {
        let detail = format!("sequence {i} of {} has length 0; leave it out", sequences.len());
        return Err(Error::data("sequences", detail));
    }
    let length = pad.maxlen.unwrap_or(longest);
    if length == 0 {
        return Err(Error::parameter("maxlen", 0, "a row has at least one element"));
    }
    let mut rows = Vec::new();
    let len = sequences.len().saturating_mul(length);
    if rows.try_reserve_exact(len).is_err() {
        let detail = format!("{} rows take more than memory can hold", sequences.len());
        return Err(Error::parameter("maxlen", length, detail));
    }
    for sequence in sequences {
        let all = sequence.as_ref();
        let kept = all.len().min(length);
        let kept = match pad.truncating {
            SequenceSide::Pre => &all[all.len() - kept..],
            SequenceSide::Post => &all[..kept],
        };
        let fill = std::iter::repeat_n(pad.value, length - kept.len());
        match pad.padding {
            SequenceSide::Pre => rows.extend(fill.chain(kept.iter().copied())),
            SequenceSide::Post => rows.extend(kept.iter().copied().chain(fill)),
        }
    }
    T::tensor([sequences.len(), length], rows)
}

/// Sequences of similar lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The longest that a sequence of it may be: the `maxlen` of its [`PadSequences`].
    pub length: usize,
    /// Which sequences it has, ascending.
    pub rows: Vec<u32>,
}

/// Groups sequences by length, so that few elements are padding: a bucket for the lengths up to each boundary, and one for
/// longer ones, as long as the longest. Buckets without sequences are left out.
///
/// ```
/// use wgrad::data::bucket_by_length;
///
/// let buckets = bucket_by_length(&[3, 9, 4, 21, 10], &[4, 10])?;
/// let rows: Vec<&[u32]> = buckets.iter().map(|bucket| &bucket.rows[..]).collect();
/// assert_eq!(rows, [&[0, 2][..], &[1, 4], &[3]]);
/// assert_eq!(buckets.iter().map(|bucket| bucket.length).collect::<Vec<_>>(), [4, 10, 21]);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// A model has one length; models of the same layers share their weights.
///
/// # Errors
/// [`Error::Data`] for no sequences, one of length zero, and more than a u32 counts; [`Error::Parameter`] for boundaries
/// that do not ascend from 1.
pub fn bucket_by_length(lengths: &[usize], boundaries: &[usize]) -> Result<Vec<Bucket>> {
    if boundaries.first() == Some(&0) || boundaries.windows(2).any(|pair| pair[0] >= pair[1]) {
        let detail = "boundaries ascend, from at least 1";
        return Err(Error::parameter("boundaries", format!("{boundaries:?}"), detail));
    }
    let Some(&longest) = lengths.iter().max() else {
        return Err(Error::data("sequences", "there are none; give at least one"));
    };
    if let Some(i) = lengths.iter().position(|&length| length == 0) {
        let detail = format!("sequence {i} of {} has length 0; leave it out", lengths.len());
        return Err(Error::data("sequences", detail));
    }
    if u32::try_from(lengths.len()).is_err() {
        return Err(Error::data("sequences", "there are more than 32 bits count"));
    }
    let ends = boundaries.iter().copied().chain([longest.max(1)]);
    let mut buckets: Vec<Bucket> = ends.map(|length| Bucket { length, rows: Vec::new() }).collect();
    for (row, length) in lengths.iter().enumerate() {
        let place = boundaries.partition_point(|boundary| boundary < length);
        buckets[place].rows.push(row as u32);
    }
    buckets.retain(|bucket| !bucket.rows.is_empty());
    Ok(buckets)
}
