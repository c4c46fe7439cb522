//! Attention that keeps the keys and values of earlier steps.

use super::attend::{Attend, Masks};
use super::heads::{Heads, OUTPUT, READERS};
use super::rotary::RotaryEmbedding;
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::rules::{BIAS, KERNEL, rule_setters};
use crate::layers::{Context, Layer, Outputs, WeightSpec};
use crate::ops::SoftmaxMask;
use crate::tensor::{DType, Shape, Tensor};

/// Causal self-attention over a sequence that comes piece by piece: keys and values of the earlier steps are in a cache, and
/// only those of the new steps are computed. KerasHub's `CachedMultiHeadAttention`, for writing one token at a time.
///
/// Inputs: the new steps `[batch, steps, d]`; the cache `[batch, 2, length, heads, key_dim]`, keys first and then values; and
/// u32 `[batch, 1]`, the place of the first new step, which is at most `length - steps`. Outputs: `[batch, steps, d]`, and the
/// cache with the new steps in their places. Step i attends to all places up to its own; what the cache has behind them does
/// not count, so that a new sequence begins with any cache, at place 0. A mask of the steps is refused.
///
/// Weights are those of [`MultiHeadAttention`](super::MultiHeadAttention) of the same sizes, with the same names: a model
/// that was trained with it writes with this layer.
///
/// ```
/// use wgrad::prelude::*;
///
/// let (x, cache, place) = (input([1, 32]), input([2, 64, 4, 8]), input([1]));
/// let y = merge(CachedMultiHeadAttention::new(4, 8), [&x, &cache, &place]);
/// let model = Model::new([&x, &cache, &place], [&y, &y.output(1)])?;
/// assert_eq!(model.output_shapes(), [Shape::from([1, 32]), Shape::from([2, 64, 4, 8])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CachedMultiHeadAttention {
    heads: Heads,
}

impl CachedMultiHeadAttention {
    /// `num_heads` heads, whose queries, keys and values have `key_dim` numbers.
    #[must_use]
    pub const fn new(num_heads: usize, key_dim: usize) -> Self {
        Self { heads: Heads::new(num_heads, num_heads, key_dim) }
    }

    /// Whether query, key, value and output have a bias.
    #[must_use]
    pub const fn use_bias(mut self, use_bias: bool) -> Self {
        self.heads.use_bias = use_bias;
        self
    }

    /// The rate at which weights of keys drop out while training, in `[0, 1)`.
    #[must_use]
    pub const fn dropout(mut self, rate: f32) -> Self {
        self.heads.dropout = rate;
        self
    }

    /// Turns queries and keys by their places, as [`MultiHeadAttention::rotary`](super::MultiHeadAttention::rotary): a step
    /// is turned by its place in the whole sequence, and the cache has turned keys.
    #[must_use]
    pub const fn rotary(mut self, rotary: RotaryEmbedding) -> Self {
        self.heads.rotary = Some(rotary);
        self
    }

    /// The extents of steps, features and places, if the inputs suit the layer.
    fn check(&self, inputs: &[Shape]) -> Result<()> {
        const OP: &str = "cached_multi_head_attention";
        self.check_inputs(inputs.len())?;
        let refuse =
            |detail: String| Err(Error::shape(OP, &inputs.iter().collect::<Vec<_>>(), detail));
        self.heads.outputs(OP, &inputs[..1])?;
        let (steps, heads, size) =
            (inputs[0].dims()[0], self.heads.query_heads, self.heads.key_dim);
        match inputs[1].dims() {
            &[2, length, h, s] if length > 0 && [h, s] == [heads, size] => {
                if steps > length {
                    return refuse(format!(
                        "{steps} steps are more than the {length} places of the cache"
                    ));
                }
            }
            _ => {
                return refuse(format!(
                    "the cache (second) is [2, length, {heads}, {size}] for a sample: keys and values, places, heads, key_dim"
                ));
            }
        }
        match inputs[2].dims() {
            [1] => Ok(()),
            _ => refuse("the place of the first step (third) is [1] for a sample, u32".into()),
        }
    }
}

rule_setters!(
    [] CachedMultiHeadAttention,
    heads.kernel,
    "all kernels",
    kernel_initializer,
    kernel_regularizer,
    kernel_constraint
);
rule_setters!(
    [] CachedMultiHeadAttention,
    heads.bias,
    "all biases",
    bias_initializer,
    bias_regularizer,
    bias_constraint
);

/// The ids that a cache takes as places for these samples of a sequence and of a cache: those with room for all steps.
pub(super) fn places(sequence: &Shape, cache: &Shape) -> Option<usize> {
    match (sequence.dims(), cache.dims()) {
        (&[steps, _], &[2, length, _, _]) => Some((length + 1).saturating_sub(steps)),
        _ => None,
    }
}

impl Settings for CachedMultiHeadAttention {
    fn blank() -> Self {
        Self::new(0, 0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("num_heads", &mut self.heads.query_heads)?;
        self.heads.key_heads = self.heads.query_heads;
        fields.required("key_dim", &mut self.heads.key_dim)?;
        fields.field("dropout", &mut self.heads.dropout)?;
        fields.field("use_bias", &mut self.heads.use_bias)?;
        self.heads.kernel.settings(fields, KERNEL)?;
        self.heads.bias.settings(fields, BIAS)?;
        fields.part("rotary", &mut self.heads.rotary)
    }
}

impl Layer for CachedMultiHeadAttention {
    fn kind(&self) -> &'static str {
        "CachedMultiHeadAttention"
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        match count {
            3 => Ok(()),
            _ => {
                let detail = "CachedMultiHeadAttention takes the new steps, the cache and the place of the first step";
                Err(Error::parameter("inputs", count, detail))
            }
        }
    }

    fn takes_indices_of(&self, input: usize, inputs: &[Shape]) -> Option<usize> {
        match input {
            2 => places(&inputs[0], &inputs[1]),
            _ => None,
        }
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.check(inputs)?;
        Ok(inputs[0].clone())
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        self.check(inputs)?;
        Ok(inputs[..2].iter().map(|shape| TensorType::f32(shape.clone())).collect())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        self.heads.weights(&inputs[..1])
    }

    fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        self.heads.tables(inputs[1].dims().get(1).copied().unwrap_or(1))
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let &[x, cache, place] = cx.inputs() else {
            return Err(Error::parameter("inputs", cx.inputs().len(), "three are expected"));
        };
        if graph.ty(place).dtype != DType::U32 {
            let detail = "the place of the first step (third) is u32";
            return Err(Error::dtype(self.kind(), &[graph.ty(place).dtype], detail));
        }
        if cx.masks().iter().any(Option::is_some) {
            let detail = "a cache keeps no masks; give steps without one, as of an `Embedding` without `mask_zero`";
            return Err(Error::parameter("mask", "of the new steps", detail));
        }
        let [batch, steps] = [0, 1].map(|axis| graph.shape(x).dims()[axis]);
        let Heads { query_heads: heads, key_dim: size, .. } = self.heads;
        let length = graph.shape(cache).dims()[2];
        let [q, k, v] = READERS.map(|part| self.heads.project(graph, cx, part, x, 1));
        let [q, k, v] = [q?, k?, v?];

        // The place of each step, and of each entry of the cache.
        let place = graph.to_f32(place)?;
        let first = graph.reshape(place, [batch, 1, 1])?;
        let step = graph.iota([1, length, steps], 2)?;
        let own = graph.add(first, step)?;
        let entry = graph.iota([batch, length, steps], 1)?;
        // 1 for the step that an entry takes: a product with it puts each step in its place, exactly.
        let takes = graph.binary("equal", entry, own)?;
        let taken = graph.max(takes, &[2], true)?;
        let [q, k] = [q, k].map(|x| {
            self.heads.turned(graph, cx, x, |graph, table| {
                let half = size / 2;
                let table = graph.reshape(table, [length, half])?;
                let of_steps = graph.transpose(takes, &[0, 2, 1])?;
                let rows = graph.matmul(of_steps, table)?;
                graph.reshape(rows, [batch, steps, 1, half])
            })
        });
        let (q, k) = (q?, k?);
        let mut kept = [k, v].into_iter().enumerate().map(|(i, new)| -> Result<Value> {
            let rows = graph.reshape(new, [batch, steps, heads * size])?;
            let placed = graph.matmul(takes, rows)?;
            let old = graph.slice(cache, 1, i..i + 1)?;
            let old = graph.reshape(old, [batch, length, heads * size])?;
            let now = graph.select(taken, placed, old)?;
            graph.reshape(now, [batch, length, heads, size])
        });
        let (Some(k), Some(v)) = (kept.next().transpose()?, kept.next().transpose()?) else {
            return Err(Error::internal(self.kind(), "a cache has keys and values"));
        };
        drop(kept);

        // A step sees the entries up to its own place.
        let entry = graph.iota([batch, 1, steps, length], 3)?;
        let step = graph.iota([1, 1, steps, length], 2)?;
        let first = graph.reshape(place, [batch, 1, 1, 1])?;
        let own = graph.add(first, step)?;
        let seen = graph.binary("less_equal", entry, own)?;
        let masks = Masks { pairs: Some((seen, SoftmaxMask::Keep)), ..Masks::default() };
        let scale = 1.0 / (size as f32).sqrt();
        let attend = Attend { scale, masks, dropout: self.heads.dropout, weights: false };
        let (y, _) = attend.apply(graph, cx, [q, k, v])?;
        let y = self.heads.project(graph, cx, OUTPUT, y, 2)?;
        let both = [k, v].map(|t| graph.reshape(t, [batch, 1, length, heads, size]));
        let [k, v] = both;
        let cache = graph.concatenate(&[k?, v?], 1)?;
        Ok(vec![y, cache].into())
    }
}
