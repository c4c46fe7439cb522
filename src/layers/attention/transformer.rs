//! The blocks of a transformer.

use super::block::{Block, block_builders};
use super::heads::part_layer;
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{Graph, TensorType};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs, WeightSpec};
use crate::ops::SoftmaxMask;
use crate::tensor::{Initializer, Shape, Tensor};

/// A block of a transformer's encoder: attention of a sequence to itself, then two dense layers at each step, each with a
/// residual connection and a layer norm. KerasHub's `TransformerEncoder` (Vaswani et al. 2017, section 3.1).
///
/// Input and output `[batch, time, d]`, where `num_heads` divides d. A mask of the input takes its steps out.
/// Weights have the names of KerasHub's parts: `self_attention_layer/query/kernel`.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([16])
///     .add(Embedding::new(50, 32).mask_zero(true))
///     .add(TransformerEncoder::new(64, 4).normalize_first(true))
///     .add(GlobalAveragePooling1D::new())
///     .add(Dense::new(1));
/// model.build()?;
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransformerEncoder {
    block: Block,
}

impl TransformerEncoder {
    /// A block with `intermediate_dim` inner units and `num_heads` heads: relu, post-norm, without dropout.
    #[must_use]
    pub const fn new(intermediate_dim: usize, num_heads: usize) -> Self {
        Self { block: Block::new(intermediate_dim, num_heads) }
    }

    /// The last input is a mask of pairs, `[time, time]` or `[num_heads, time, time]` for a sample, of this kind: of 1 and
    /// 0, or added to the scores. In KerasHub an argument of the call.
    #[must_use]
    pub const fn attention_mask(mut self, kind: SoftmaxMask) -> Self {
        self.block.masks[0] = Some(kind);
        self
    }
}

block_builders!(TransformerEncoder);

impl Settings for TransformerEncoder {
    fn blank() -> Self {
        Self::new(0, 0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.block.settings(fields)?;
        fields.field("attention_mask", &mut self.block.masks[0])
    }
}

impl Layer for TransformerEncoder {
    part_layer!("TransformerEncoder", "transformer_encoder", block, 1);
}

/// A block of a transformer's decoder: causal attention of a sequence to itself; attention to a second sequence, if there
/// is one; then two dense layers at each step. KerasHub's `TransformerDecoder` (Vaswani et al. 2017, section 3.1).
///
/// Inputs: the decoder's sequence `[batch, time, d]`, where `num_heads` divides d, and, for a model with an encoder, its
/// output `[batch, keys, e]`. With one input it is a block of GPT. Output `[batch, time, d]`. Masks take steps out.
/// [`TransformerDecoder::use_cache`] is for models that write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransformerDecoder {
    block: Block,
}

impl TransformerDecoder {
    /// A block with `intermediate_dim` inner units and `num_heads` heads: relu, post-norm, without dropout.
    #[must_use]
    pub const fn new(intermediate_dim: usize, num_heads: usize) -> Self {
        Self { block: Block { causal: true, ..Block::new(intermediate_dim, num_heads) } }
    }

    /// Whether step i attends to the steps up to i alone, as by default. In KerasHub an argument of the call.
    #[must_use]
    pub const fn use_causal_mask(mut self, causal: bool) -> Self {
        self.block.causal = causal;
        self
    }

    /// Whether the sequence comes piece by piece, and keys and values of earlier steps are in a cache. Two inputs come after
    /// the others then, and a second output, as those of [`CachedMultiHeadAttention`](super::CachedMultiHeadAttention): the cache `[batch, 2, length,
    /// num_heads, d / num_heads]`, and the u32 place `[batch, 1]` of the first step; the new cache. Weights are the same with
    /// and without. In KerasHub arguments of the call.
    #[must_use]
    pub const fn use_cache(mut self, use_cache: bool) -> Self {
        self.block.use_cache = use_cache;
        self
    }

    /// A mask of pairs for the attention of the sequence to itself, `[time, time]` or `[num_heads, time, time]` for a
    /// sample, of this kind: it counts besides the causal mask. It is the last input but for that of
    /// [`TransformerDecoder::encoder_attention_mask`]. In KerasHub an argument of the call.
    #[must_use]
    pub const fn decoder_attention_mask(mut self, kind: SoftmaxMask) -> Self {
        self.block.masks[0] = Some(kind);
        self
    }

    /// The last input is a mask of pairs for the attention to an encoder's output, `[time, keys]` or `[num_heads, time,
    /// keys]` for a sample, of this kind. In KerasHub an argument of the call.
    #[must_use]
    pub const fn encoder_attention_mask(mut self, kind: SoftmaxMask) -> Self {
        self.block.masks[1] = Some(kind);
        self
    }
}

block_builders!(TransformerDecoder);

impl Settings for TransformerDecoder {
    fn blank() -> Self {
        Self::new(0, 0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.block.settings(fields)?;
        fields.field("use_causal_mask", &mut self.block.causal)?;
        fields.field("use_cache", &mut self.block.use_cache)?;
        let [own, encoder] = &mut self.block.masks;
        fields.field("decoder_attention_mask", own)?;
        fields.field("encoder_attention_mask", encoder)?;
        // What KerasHub was built for.
        fields.unused("decoder_sequence_shape");
        fields.unused("encoder_sequence_shape");
        Ok(())
    }
}

impl Layer for TransformerDecoder {
    part_layer!("TransformerDecoder", "transformer_decoder", block, 2);

    fn takes_indices_of(&self, input: usize, inputs: &[Shape]) -> Option<usize> {
        self.block.takes_indices_of(input, inputs)
    }
}
