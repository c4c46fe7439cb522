//! Texts as rows of numbers, one for each entry of a vocabulary.

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// What [`TextVectorization::transform`](super::TextVectorization::transform) makes of a text. Keras' `output_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TextOutput {
    /// A row of ids, in the order of the text.
    #[default]
    Int,
    /// A number for each entry of the vocabulary: 1 for those that the text has.
    MultiHot,
    /// How often the text has each entry.
    Count,
    /// That times the weight of the entry, log(1 + texts / (1 + texts with it)) over the texts of `adapt`: entries that
    /// every text has weigh less. The entry of what is unknown has the mean weight.
    TfIdf,
}

/// The weight of each token that `with` of `texts` have, and in front of them their mean.
pub(super) fn inverse_frequencies(texts: u64, with: impl Iterator<Item = u64>) -> Vec<f32> {
    let weight = |with: u64| (1.0 + texts as f64 / (1.0 + with as f64)).ln() as f32;
    with_mean(with.map(weight).collect())
}

/// The weights of tokens, and in front of them their mean.
pub(super) fn with_mean(weights: Vec<f32>) -> Vec<f32> {
    let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    [vec![(sum / weights.len().max(1) as f64) as f32], weights].concat()
}

/// A row of `width` numbers for each text, whose tokens are columns. `weights` are those of [`TextOutput::TfIdf`].
pub(super) fn rows(
    texts: &[Vec<usize>],
    width: usize,
    mode: TextOutput,
    weights: &[f32],
) -> Result<Tensor> {
    if texts.is_empty() {
        return Err(Error::data("texts", "there are none; give at least one"));
    }
    let mut all: Vec<f32> = Vec::new();
    let fits = texts.len().checked_mul(width).is_some_and(|n| all.try_reserve_exact(n).is_ok());
    if !fits {
        let detail = format!(
            "{} rows of {width} numbers do not fit into memory; set max_tokens",
            texts.len()
        );
        return Err(Error::data("texts", detail));
    }
    for text in texts {
        let start = all.len();
        all.resize(start + width, 0.0);
        let row = &mut all[start..];
        for &column in text {
            row[column] = if mode == TextOutput::MultiHot { 1.0 } else { row[column] + 1.0 };
        }
        if mode == TextOutput::TfIdf {
            row.iter_mut().zip(weights).for_each(|(count, weight)| *count *= weight);
        }
    }
    Tensor::f32([texts.len(), width], all)
}
