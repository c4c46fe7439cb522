//! The blocks of a transformer.

use super::cached::{CachedMultiHeadAttention, places};
use super::multi_head::MultiHeadAttention;
use super::position::check_sequence;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{
    Context, Dense, Dropout, Layer, LayerHandle, LayerNormalization, Outputs, WeightSpec,
};
use crate::tensor::{Initializer, Shape};

/// Settings of both blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Block {
    intermediate_dim: usize,
    num_heads: usize,
    dropout: f32,
    activation: Activation,
    layer_norm_epsilon: f32,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    normalize_first: bool,
}

const SELF: &str = "self_attention_layer";
const SELF_NORM: &str = "self_attention_layer_norm";
const CROSS: &str = "cross_attention_layer";
const CROSS_NORM: &str = "cross_attention_layer_norm";
const INNER: &str = "feedforward_intermediate_dense";
const OUTER: &str = "feedforward_output_dense";
const FEED_NORM: &str = "feedforward_layer_norm";

/// The parts of a block with the width of what they read, in the order of their weights.
type Parts = Vec<(&'static str, LayerHandle, Vec<Shape>)>;

/// A block that is built: its parts, and the graph.
struct Building<'a> {
    block: &'a Block,
    parts: Parts,
    cx: &'a Context,
}

impl Block {
    const fn new(intermediate_dim: usize, num_heads: usize) -> Self {
        Self {
            intermediate_dim,
            num_heads,
            dropout: 0.0,
            activation: Activation::Relu,
            layer_norm_epsilon: 1e-5,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
            normalize_first: false,
        }
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("intermediate_dim", &mut self.intermediate_dim)?;
        fields.required("num_heads", &mut self.num_heads)?;
        fields.field("dropout", &mut self.dropout)?;
        fields.field("activation", &mut self.activation)?;
        fields.field("layer_norm_epsilon", &mut self.layer_norm_epsilon)?;
        fields.field("kernel_initializer", &mut self.kernel_initializer)?;
        fields.field("bias_initializer", &mut self.bias_initializer)?;
        fields.field("normalize_first", &mut self.normalize_first)
    }

    /// The parts for samples `[time, d]`, and a second sequence if there is one. The first attention is as `first` says.
    fn parts(&self, inputs: &[Shape], first: &First<Shape>) -> Parts {
        let sample = &inputs[0];
        let width = sample.dims().last().copied().unwrap_or(1);
        let head = (width / self.num_heads.max(1)).max(1);
        let attention = |causal| {
            MultiHeadAttention::new(self.num_heads, head)
                .dropout(self.dropout)
                .use_causal_mask(causal)
                .kernel_initializer(self.kernel_initializer)
                .bias_initializer(self.bias_initializer)
                .into()
        };
        let norm = || LayerNormalization::new().epsilon(self.layer_norm_epsilon).into();
        let dense = |units, activation| {
            Dense::new(units)
                .activation(activation)
                .kernel_initializer(self.kernel_initializer)
                .bias_initializer(self.bias_initializer)
                .into()
        };
        let one = || vec![sample.clone()];
        let own = match first {
            First::Whole { causal } => (SELF, attention(*causal), one()),
            First::Cached([cache, place]) => {
                let attention = CachedMultiHeadAttention::new(self.num_heads, head)
                    .kernel_initializer(self.kernel_initializer)
                    .bias_initializer(self.bias_initializer);
                (SELF, attention.into(), vec![sample.clone(), cache.clone(), place.clone()])
            }
        };
        let mut parts: Parts = vec![own, (SELF_NORM, norm(), one())];
        if let Some(memory) = inputs.get(1) {
            parts.push((CROSS, attention(false), vec![sample.clone(), memory.clone()]));
            parts.push((CROSS_NORM, norm(), one()));
        }
        let time = sample.dims().first().copied().unwrap_or(1);
        parts.push((FEED_NORM, norm(), one()));
        parts.push((INNER, dense(self.intermediate_dim, self.activation), one()));
        let inner = Shape::from([time, self.intermediate_dim]);
        parts.push((OUTER, dense(width, Activation::Linear), vec![inner]));
        parts
    }

    fn output_shape(&self, op: &str, inputs: &[Shape], first: &First<Shape>) -> Result<Shape> {
        let [_, width] = check_sequence(op, &inputs[0])?;
        if self.num_heads == 0 || !width.is_multiple_of(self.num_heads) {
            let detail = format!(
                "the {width} features of a step are shared among the heads evenly; give a divisor"
            );
            return Err(Error::parameter("num_heads", self.num_heads, detail));
        }
        if self.intermediate_dim == 0 {
            return Err(Error::parameter("intermediate_dim", 0, "a layer has at least one unit"));
        }
        self.activation.check()?;
        for (_, layer, shapes) in self.parts(inputs, first) {
            layer.layer().outputs(&shapes)?;
        }
        Ok(inputs[0].clone())
    }

    fn weights(&self, inputs: &[Shape], first: &First<Shape>) -> Vec<WeightSpec> {
        let parts = self.parts(inputs, first);
        parts.iter().flat_map(|(name, layer, shapes)| layer.weights_within(name, shapes)).collect()
    }

    fn build<'a>(
        &'a self,
        graph: &Graph,
        cx: &'a Context,
        inputs: &[Value],
        first: First<Value>,
    ) -> Building<'a> {
        let of = |v: Value| Shape::from(&graph.shape(v).dims()[1..]);
        let shapes: Vec<Shape> = inputs.iter().map(|&v| of(v)).collect();
        let parts = match first {
            First::Whole { causal } => self.parts(&shapes, &First::Whole { causal }),
            First::Cached(both) => self.parts(&shapes, &First::Cached(both.map(of))),
        };
        Building { block: self, parts, cx }
    }
}

/// What the first attention of a block reads besides its sequence.
#[derive(Debug, Clone, Copy)]
enum First<T> {
    /// The whole sequence is there; with a causal mask or without.
    Whole { causal: bool },
    /// The cache of earlier steps, and the place of the first step.
    Cached([T; 2]),
}

impl Building<'_> {
    fn part(
        &self,
        graph: &mut Graph,
        name: &str,
        inputs: &[Value],
        masks: &[Option<Value>],
    ) -> Result<Value> {
        Ok(self.outputs(graph, name, inputs, masks)?[0])
    }

    fn outputs(
        &self,
        graph: &mut Graph,
        name: &str,
        inputs: &[Value],
        masks: &[Option<Value>],
    ) -> Result<Vec<Value>> {
        let found = self.parts.iter().find(|(own, ..)| *own == name);
        let (_, layer, _) = found.ok_or_else(|| Error::internal("transformer", name))?;
        let cx = self.cx.part(name, inputs).with_masks(masks);
        Ok(cx.apply(graph, layer)?.values)
    }

    /// x + f(x), with the norm before f or after the sum.
    fn residual(
        &self,
        graph: &mut Graph,
        x: Value,
        [norm, drop]: [&str; 2],
        f: impl FnOnce(&mut Graph, Value) -> Result<Value>,
    ) -> Result<Value> {
        let first = self.block.normalize_first;
        let read = if first { self.part(graph, norm, &[x], &[])? } else { x };
        let y = f(graph, read)?;
        let dropout = LayerHandle::from(Dropout::new(self.block.dropout));
        let y = self.cx.part(drop, &[y]).apply(graph, &dropout)?.values[0];
        let sum = graph.add(x, y)?;
        if first { Ok(sum) } else { self.part(graph, norm, &[sum], &[]) }
    }

    /// The first attention, and what it gives beside its sequence: the cache, if there is one.
    fn attention(
        &self,
        graph: &mut Graph,
        x: Value,
        mask: Option<Value>,
        more: &[Value],
    ) -> Result<(Value, Vec<Value>)> {
        let mut given = Vec::new();
        let y = self.residual(graph, x, [SELF_NORM, "self_attention_dropout"], |graph, x| {
            let all = [&[x], more].concat();
            given = self.outputs(graph, SELF, &all, &[mask])?;
            Ok(given.remove(0))
        })?;
        Ok((y, given))
    }

    fn feedforward(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        self.residual(graph, x, [FEED_NORM, "feedforward_dropout"], |graph, x| {
            let inner = self.part(graph, INNER, &[x], &[])?;
            self.part(graph, OUTER, &[inner], &[])
        })
    }
}

/// The builder functions of [`Block`] for a layer with the field `block`.
macro_rules! block_builders {
    ($layer:ty) => {
        impl $layer {
            /// The rate of dropout, of weights of attention and of what each half adds. In `[0, 1)`.
            #[must_use]
            pub const fn dropout(mut self, rate: f32) -> Self {
                self.block.dropout = rate;
                self
            }

            /// The function of the inner layer.
            #[must_use]
            pub const fn activation(mut self, activation: Activation) -> Self {
                self.block.activation = activation;
                self
            }

            /// What the norms add to a variance.
            #[must_use]
            pub const fn layer_norm_epsilon(mut self, epsilon: f32) -> Self {
                self.block.layer_norm_epsilon = epsilon;
                self
            }

            /// The initial values of all kernels.
            #[must_use]
            pub const fn kernel_initializer(mut self, initializer: Initializer) -> Self {
                self.block.kernel_initializer = initializer;
                self
            }

            /// The initial values of all biases.
            #[must_use]
            pub const fn bias_initializer(mut self, initializer: Initializer) -> Self {
                self.block.bias_initializer = initializer;
                self
            }

            /// Whether a half normalizes what it reads (pre-norm, as GPT-2), or the sum that it gives (post-norm, as the
            /// first transformer). With pre-norm a norm belongs after the last block.
            #[must_use]
            pub const fn normalize_first(mut self, first: bool) -> Self {
                self.block.normalize_first = first;
                self
            }
        }
    };
}

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
}

block_builders!(TransformerEncoder);

impl Settings for TransformerEncoder {
    fn blank() -> Self {
        Self::new(0, 0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.block.settings(fields)
    }
}

impl Layer for TransformerEncoder {
    fn kind(&self) -> &'static str {
        "TransformerEncoder"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.block.output_shape("transformer_encoder", inputs, &First::Whole { causal: false })
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        self.block.weights(inputs, &First::Whole { causal: false })
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let first = First::Whole { causal: false };
        let building = self.block.build(graph, cx, cx.inputs(), first);
        let (x, _) = building.attention(graph, cx.input(), cx.mask(), &[])?;
        Ok(Outputs::from(building.feedforward(graph, x)?).mask(cx.mask()))
    }
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
    use_causal_mask: bool,
    use_cache: bool,
}

impl TransformerDecoder {
    /// A block with `intermediate_dim` inner units and `num_heads` heads: relu, post-norm, without dropout.
    #[must_use]
    pub const fn new(intermediate_dim: usize, num_heads: usize) -> Self {
        let block = Block::new(intermediate_dim, num_heads);
        Self { block, use_causal_mask: true, use_cache: false }
    }

    /// Whether step i attends to the steps up to i alone, as by default. In KerasHub an argument of the call.
    #[must_use]
    pub const fn use_causal_mask(mut self, causal: bool) -> Self {
        self.use_causal_mask = causal;
        self
    }

    /// Whether the sequence comes piece by piece, and keys and values of earlier steps are in a cache. Two inputs come after
    /// the others then, and a second output, as those of [`CachedMultiHeadAttention`]: the cache `[batch, 2, length,
    /// num_heads, d / num_heads]`, and the u32 place `[batch, 1]` of the first step; the new cache. Weights are the same with
    /// and without. In KerasHub arguments of the call.
    #[must_use]
    pub const fn use_cache(mut self, use_cache: bool) -> Self {
        self.use_cache = use_cache;
        self
    }

    /// The sequences among the inputs, and what the first attention reads besides.
    fn given<'a, T: Clone>(&self, all: &'a [T]) -> (&'a [T], First<T>) {
        match (self.use_cache, all) {
            (true, [sequences @ .., cache, place]) if !sequences.is_empty() => {
                (sequences, First::Cached([cache.clone(), place.clone()]))
            }
            _ => (all, First::Whole { causal: self.use_causal_mask }),
        }
    }
}

block_builders!(TransformerDecoder);

impl Settings for TransformerDecoder {
    fn blank() -> Self {
        Self::new(0, 0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.block.settings(fields)?;
        fields.field("use_causal_mask", &mut self.use_causal_mask)?;
        fields.field("use_cache", &mut self.use_cache)
    }
}

impl Layer for TransformerDecoder {
    fn kind(&self) -> &'static str {
        "TransformerDecoder"
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        let detail = match (self.use_cache, count) {
            (false, 1 | 2) | (true, 3 | 4) => return Ok(()),
            (false, _) => "TransformerDecoder takes a sequence, or it and that of an encoder",
            (true, _) => {
                "TransformerDecoder with `use_cache` takes a sequence, that of an encoder if there is one, the cache and \
                 the place of the first step"
            }
        };
        Err(Error::parameter("inputs", count, detail))
    }

    fn takes_indices_of(&self, input: usize, inputs: &[Shape]) -> Option<usize> {
        match self.given(inputs) {
            (sequences, First::Cached([cache, _])) if input == sequences.len() + 1 => {
                places(&sequences[0], &cache)
            }
            _ => None,
        }
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self.use_cache && !self.use_causal_mask {
            let detail = "a step of a sequence that comes piece by piece cannot see later ones; keep the causal mask";
            return Err(Error::parameter("use_causal_mask", false, detail));
        }
        let (sequences, first) = self.given(inputs);
        self.block.output_shape("transformer_decoder", sequences, &first)
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        let y = TensorType::f32(self.output_shape(inputs)?);
        Ok(match self.given(inputs).1 {
            First::Whole { .. } => vec![y],
            First::Cached([cache, _]) => vec![y, TensorType::f32(cache)],
        })
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let (sequences, first) = self.given(inputs);
        self.block.weights(sequences, &first)
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let (sequences, first) = self.given(cx.inputs());
        let building = self.block.build(graph, cx, sequences, first);
        let more = &cx.inputs()[sequences.len()..];
        let (mut x, cache) = building.attention(graph, cx.input(), cx.mask(), more)?;
        if let Some(&memory) = sequences.get(1) {
            let masks = [cx.mask(), cx.masks()[1]];
            x = building.residual(
                graph,
                x,
                [CROSS_NORM, "cross_attention_dropout"],
                |graph, x| building.part(graph, CROSS, &[x, memory], &masks),
            )?;
        }
        let values = [vec![building.feedforward(graph, x)?], cache].concat();
        let masks = [cx.mask(), None].into_iter().take(values.len()).collect();
        Ok(Outputs::from(values).masks(masks))
    }
}
