//! What the blocks of a transformer share: settings, parts, and how they are applied.

use super::cached::{CachedMultiHeadAttention, places};
use super::multi_head::MultiHeadAttention;
use super::position::check_sequence;
use super::rotary::RotaryEmbedding;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::config::Fields;
use crate::layers::{
    Context, Dense, Dropout, LayerHandle, LayerNormalization, Outputs, WeightSpec,
};
use crate::ops::SoftmaxMask;
use crate::tensor::{Initializer, Shape, Tensor};

/// Settings of both blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Block {
    pub intermediate_dim: usize,
    pub num_heads: usize,
    pub dropout: f32,
    pub activation: Activation,
    pub layer_norm_epsilon: f32,
    pub kernel_initializer: Initializer,
    pub bias_initializer: Initializer,
    pub normalize_first: bool,
    /// How queries and keys of the first attention are turned by their places.
    pub rotary: Option<RotaryEmbedding>,
    /// Whether step i of the first attention sees the steps up to i alone.
    pub causal: bool,
    /// Whether the first attention has a cache of earlier steps.
    pub use_cache: bool,
    /// What the masks of pairs mean, of the first attention and of that to a second sequence.
    pub masks: [Option<SoftmaxMask>; 2],
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

/// What a block is given, samples or values: sequences, then cache and place, then masks of pairs.
struct Given<T> {
    x: T,
    memory: Option<T>,
    /// The cache of earlier steps, and the place of the first step.
    cache: Option<[T; 2]>,
    pairs: [Option<T>; 2],
}

impl<T: Clone> Given<T> {
    /// What the first attention reads besides its sequence.
    fn first(&self) -> Vec<T> {
        self.cache.iter().flatten().chain(&self.pairs[0]).cloned().collect()
    }

    /// What the second attention reads besides, if there is one.
    fn second(&self) -> Option<Vec<T>> {
        let memory = self.memory.as_ref()?;
        Some([memory].into_iter().chain(&self.pairs[1]).cloned().collect())
    }
}

/// A block that is built: its parts, and the graph.
struct Building<'a> {
    block: &'a Block,
    parts: Parts,
    cx: &'a Context,
}

impl Block {
    pub const fn new(intermediate_dim: usize, num_heads: usize) -> Self {
        Self {
            intermediate_dim,
            num_heads,
            dropout: 0.0,
            activation: Activation::Relu,
            layer_norm_epsilon: 1e-5,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
            normalize_first: false,
            rotary: None,
            causal: false,
            use_cache: false,
            masks: [None; 2],
        }
    }

    pub fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("intermediate_dim", &mut self.intermediate_dim)?;
        fields.required("num_heads", &mut self.num_heads)?;
        fields.field("dropout", &mut self.dropout)?;
        fields.field("activation", &mut self.activation)?;
        fields.field("layer_norm_epsilon", &mut self.layer_norm_epsilon)?;
        fields.field("kernel_initializer", &mut self.kernel_initializer)?;
        fields.field("bias_initializer", &mut self.bias_initializer)?;
        fields.field("normalize_first", &mut self.normalize_first)?;
        fields.part("rotary", &mut self.rotary)
    }

    /// All inputs, by what they are.
    fn given<T: Clone>(&self, all: &[T]) -> Given<T> {
        let mut rest = all[1..].iter().cloned();
        let [second, first] = [1, 0].map(|i| self.masks[i].and_then(|_| rest.next_back()));
        let place = if self.use_cache { rest.next_back() } else { None };
        let cache = place.and_then(|place| Some([rest.next_back()?, place]));
        Given { x: all[0].clone(), memory: rest.next(), cache, pairs: [first, second] }
    }

    /// Refuses a number of inputs that is not that of `sequences` sequences and what comes with them.
    pub fn check_inputs(&self, kind: &str, most: usize, count: usize) -> Result<()> {
        let least = if self.masks[1].is_some() { 2 } else { 1 };
        let masks = self.masks.iter().flatten().count();
        let more = masks + if self.use_cache { 2 } else { 0 };
        if (least + more..=most + more).contains(&count) {
            return Ok(());
        }
        let sequences = match (most, least) {
            (1, _) => "",
            (_, 1) => ", that of an encoder if there is one",
            _ => ", that of an encoder",
        };
        let cache = match self.use_cache {
            true => ", with `use_cache` the cache and the place of the first step",
            false => "",
        };
        let masks = ["", ", the attention mask", ", both attention masks"][masks];
        let detail = format!("{kind} takes a sequence{sequences}{cache}{masks}, in this order");
        Err(Error::parameter("inputs", count, detail))
    }

    /// As [`takes_indices_of`](crate::layers::Layer::takes_indices_of): the place of the first step is an id among those of the cache.
    pub fn takes_indices_of(&self, input: usize, inputs: &[Shape]) -> Option<usize> {
        let given = self.given(inputs);
        let place = 2 + usize::from(given.memory.is_some());
        let [cache, _] = given.cache.filter(|_| input == place)?;
        places(&given.x, &cache)
    }

    /// The parts for samples `[time, d]`, and a second sequence if there is one.
    fn parts(&self, inputs: &[Shape]) -> Parts {
        let given = self.given(inputs);
        let sample = &given.x;
        let width = sample.dims().last().copied().unwrap_or(1);
        let head = (width / self.num_heads.max(1)).max(1);
        let attention = |mask: Option<SoftmaxMask>| {
            let layer = MultiHeadAttention::new(self.num_heads, head)
                .dropout(self.dropout)
                .kernel_initializer(self.kernel_initializer)
                .bias_initializer(self.bias_initializer);
            match mask {
                Some(kind) => layer.attention_mask(kind),
                None => layer,
            }
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
        let first: LayerHandle = if self.use_cache {
            let layer = CachedMultiHeadAttention::new(self.num_heads, head)
                .dropout(self.dropout)
                .kernel_initializer(self.kernel_initializer)
                .bias_initializer(self.bias_initializer);
            self.rotary.map_or_else(|| layer.clone(), |by| layer.clone().rotary(by)).into()
        } else {
            let layer = attention(self.masks[0]).use_causal_mask(self.causal);
            self.rotary.map_or_else(|| layer.clone(), |by| layer.clone().rotary(by)).into()
        };
        let mut parts: Parts =
            vec![(SELF, first, [one(), given.first()].concat()), (SELF_NORM, norm(), one())];
        if let Some(more) = given.second() {
            parts.push((CROSS, attention(self.masks[1]).into(), [one(), more].concat()));
            parts.push((CROSS_NORM, norm(), one()));
        }
        let time = sample.dims().first().copied().unwrap_or(1);
        parts.push((FEED_NORM, norm(), one()));
        parts.push((INNER, dense(self.intermediate_dim, self.activation), one()));
        let inner = Shape::from([time, self.intermediate_dim]);
        parts.push((OUTER, dense(width, Activation::Linear), vec![inner]));
        parts
    }

    /// The types of the outputs: the sequence, and the new cache if there is one.
    pub fn outputs(&self, op: &str, inputs: &[Shape]) -> Result<Vec<TensorType>> {
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
        if self.use_cache && !self.causal {
            let detail = "a step of a sequence that comes piece by piece cannot see later ones; keep the causal mask";
            return Err(Error::parameter("use_causal_mask", false, detail));
        }
        if let (true, Some(kind)) = (self.use_cache, self.masks[0]) {
            let detail = "a cache keeps no masks, so that of the decoder is for whole sequences; leave it out";
            return Err(Error::parameter("decoder_attention_mask", format!("{kind:?}"), detail));
        }
        for (_, layer, shapes) in self.parts(inputs) {
            layer.layer().outputs(&shapes)?;
        }
        let cache = self.given(inputs).cache.map(|[cache, _]| cache);
        Ok([inputs[0].clone()].into_iter().chain(cache).map(TensorType::f32).collect())
    }

    pub fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let parts = self.parts(inputs);
        parts.iter().flat_map(|(name, layer, shapes)| layer.weights_within(name, shapes)).collect()
    }

    pub fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let parts = self.parts(inputs);
        let own = parts.iter().flat_map(|(name, layer, shapes)| {
            let own = layer.layer().constants(shapes).into_iter();
            own.map(move |(inner, tensor)| (format!("{name}/{inner}"), tensor))
        });
        own.collect()
    }

    pub fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let of = |&v: &Value| Shape::from(&graph.shape(v).dims()[1..]);
        let parts = self.parts(&cx.inputs().iter().map(of).collect::<Vec<_>>());
        let building = Building { block: self, parts, cx };
        let given = self.given(cx.inputs());
        let (mut x, cache) = building.attention(graph, given.x, cx.mask(), &given.first())?;
        if let Some(more) = given.second() {
            let masks = [cx.mask(), cx.masks()[1]];
            let names = [CROSS_NORM, "cross_attention_dropout"];
            x = building.residual(graph, x, names, |graph, x| {
                building.part(graph, CROSS, &[&[x], more.as_slice()].concat(), &masks)
            })?;
        }
        let values = [vec![building.feedforward(graph, x)?], cache].concat();
        let masks = [cx.mask(), None].into_iter().take(values.len()).collect();
        Ok(Outputs::from(values).masks(masks))
    }
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

            /// Turns queries and keys of the attention of the sequence to itself by their places, as
            /// [`MultiHeadAttention::rotary`](crate::layers::MultiHeadAttention::rotary): no places are added to the input
            /// then. A head has an even number of features.
            #[must_use]
            pub const fn rotary(mut self, rotary: $crate::layers::RotaryEmbedding) -> Self {
                self.block.rotary = Some(rotary);
                self
            }
        }
    };
}
pub(super) use block_builders;
