//! Attention with heads of queries that share keys and values.

use super::heads::{Heads, head_builders, part_layer};
use crate::error::Result;
use crate::graph::{Graph, TensorType};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs, WeightSpec};
use crate::tensor::{Shape, Tensor};

/// Attention in which neighbouring heads of queries share keys and values. Keras' `GroupQueryAttention` (Ainslie et al.,
/// "GQA: training generalized multi-query transformer models", 2023).
///
/// Inputs, masks and output as those of [`MultiHeadAttention`](super::MultiHeadAttention). With one head of keys and
/// values it is multi-query attention. Nothing is repeated: a head of keys is read once for all queries that it serves.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupedQueryAttention {
    heads: Heads,
}

impl GroupedQueryAttention {
    /// `num_query_heads` heads of `head_dim` numbers, for which there are `num_key_value_heads` heads of keys and values:
    /// a divisor.
    #[must_use]
    pub const fn new(head_dim: usize, num_query_heads: usize, num_key_value_heads: usize) -> Self {
        Self { heads: Heads::new(num_query_heads, num_key_value_heads, head_dim) }
    }
}

head_builders!(GroupedQueryAttention);

impl Settings for GroupedQueryAttention {
    fn blank() -> Self {
        Self::new(0, 0, 0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("head_dim", &mut self.heads.key_dim)?;
        fields.required("num_query_heads", &mut self.heads.query_heads)?;
        fields.required("num_key_value_heads", &mut self.heads.key_heads)?;
        self.heads.settings(fields)
    }
}

impl Layer for GroupedQueryAttention {
    part_layer!("GroupQueryAttention", "grouped_query_attention", heads);
}
