//! Attention with several heads.

use super::heads::{Heads, head_builders, part_layer};
use crate::error::Result;
use crate::graph::{Graph, TensorType};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs, WeightSpec};
use crate::tensor::{Shape, Tensor};

/// Attention with `num_heads` heads, each of them softmax(q kᵀ / √key_dim) v of its own projections. Keras'
/// `MultiHeadAttention` (Vaswani et al., "Attention is all you need", 2017).
///
/// Inputs as in Keras: query `[batch, queries, d]`, then value and key `[batch, keys, ...]`. One input is all three; two
/// are query and value, which is the key too. Output `[batch, queries, d]`, or of [`MultiHeadAttention::output_shape`].
/// Weights are `query/kernel` `[d, heads, key_dim]`, `key/kernel`, `value/kernel` and `attention_output/kernel` `[heads,
/// value_dim, d]`, each followed by its bias.
///
/// A mask of value or key takes its steps out. The output has the query's mask; at a step that the query's mask takes out,
/// the output is that of any other step, where Keras has the mean of all values. A query that may attend to no key has
/// weights of 0.
///
/// ```
/// use wgrad::prelude::*;
///
/// let x = input([16, 32]);
/// let y = x.then(MultiHeadAttention::new(4, 8).use_causal_mask(true));
/// let memory = input([10, 24]);
/// let z = merge(MultiHeadAttention::new(4, 8), [&y, &memory]);
/// let model = Model::new([&x, &memory], [&z])?;
/// assert_eq!(model.output_shapes(), [Shape::from([16, 32])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MultiHeadAttention {
    heads: Heads,
}

impl MultiHeadAttention {
    /// `num_heads` heads, whose queries and keys have `key_dim` numbers, and values as many.
    #[must_use]
    pub const fn new(num_heads: usize, key_dim: usize) -> Self {
        Self { heads: Heads::new(num_heads, num_heads, key_dim) }
    }

    /// The numbers in a head's value; by default `key_dim`.
    #[must_use]
    pub const fn value_dim(mut self, value_dim: usize) -> Self {
        self.heads.value_dim = Some(value_dim);
        self
    }

    /// The shape of the output at one step; by default the width of the query.
    #[must_use]
    pub fn output_shape(mut self, shape: impl Into<Shape>) -> Self {
        self.heads.output_shape = Some(shape.into());
        self
    }
}

head_builders!(MultiHeadAttention);

impl Settings for MultiHeadAttention {
    fn blank() -> Self {
        Self::new(0, 0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("num_heads", &mut self.heads.query_heads)?;
        self.heads.key_heads = self.heads.query_heads;
        fields.required("key_dim", &mut self.heads.key_dim)?;
        fields.field("value_dim", &mut self.heads.value_dim)?;
        fields.field("output_shape", &mut self.heads.output_shape)?;
        // A sequence has one axis to attend along here.
        fields.only("attention_axes", &[1.into(), vec![1].into()])?;
        self.heads.settings(fields)
    }
}

impl Layer for MultiHeadAttention {
    part_layer!("MultiHeadAttention", "multi_head_attention", heads);
}
