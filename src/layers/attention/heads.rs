//! What the layers of several heads share: settings, weights, and how they are applied.

use super::attend::{self, Attend, Masks};
use super::rotary::{ROTARY, RotaryEmbedding, turn};
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::config::Fields;
use crate::layers::rules::{BIAS, KERNEL, Rules};
use crate::layers::{Context, Outputs, WeightSpec};
use crate::ops::SoftmaxMask;
use crate::tensor::{Initializer, Shape, Tensor};

/// Settings of attention with heads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heads {
    pub query_heads: usize,
    /// Heads of keys and values: each serves as many neighbouring heads of queries.
    pub key_heads: usize,
    pub key_dim: usize,
    pub value_dim: Option<usize>,
    pub output_shape: Option<Shape>,
    pub dropout: f32,
    pub use_bias: bool,
    pub use_causal_mask: bool,
    pub return_attention_scores: bool,
    pub attention_mask: Option<SoftmaxMask>,
    /// How queries and keys are turned by their places.
    pub rotary: Option<RotaryEmbedding>,
    pub kernel: Rules,
    pub bias: Rules,
}

/// The parts that read query, key and value, in the order of their weights.
pub(super) const READERS: [&str; 3] = ["query", "key", "value"];
pub(super) const OUTPUT: &str = "attention_output";

impl Heads {
    /// Keras' defaults.
    pub const fn new(query_heads: usize, key_heads: usize, key_dim: usize) -> Self {
        Self {
            query_heads,
            key_heads,
            key_dim,
            value_dim: None,
            output_shape: None,
            dropout: 0.0,
            use_bias: true,
            use_causal_mask: false,
            return_attention_scores: false,
            attention_mask: None,
            rotary: None,
            kernel: Rules::new(Initializer::GlorotUniform),
            bias: Rules::new(Initializer::Zeros),
        }
    }

    /// The settings that all have.
    pub fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("dropout", &mut self.dropout)?;
        fields.field("use_bias", &mut self.use_bias)?;
        self.kernel.settings(fields, KERNEL)?;
        self.bias.settings(fields, BIAS)?;
        // Arguments of a call in Keras.
        fields.field("use_causal_mask", &mut self.use_causal_mask)?;
        fields.field("return_attention_scores", &mut self.return_attention_scores)?;
        fields.field("attention_mask", &mut self.attention_mask)?;
        fields.part("rotary", &mut self.rotary)
    }

    const fn value_size(&self) -> usize {
        match self.value_dim {
            Some(size) => size,
            None => self.key_dim,
        }
    }

    /// Query, value, key and the mask of pairs, of what the layer is given.
    fn given<T: Clone>(&self, all: &[T]) -> ([T; 3], Option<T>) {
        let (sequences, mask) = match self.attention_mask {
            Some(_) => (&all[..all.len() - 1], all.last().cloned()),
            None => (all, None),
        };
        let value = sequences.get(1).unwrap_or(&sequences[0]);
        let key = sequences.get(2).unwrap_or(value);
        ([sequences[0].clone(), value.clone(), key.clone()], mask)
    }

    pub fn check_inputs(&self, kind: &str, count: usize) -> Result<()> {
        let mask = usize::from(self.attention_mask.is_some());
        if (1 + mask..=3 + mask).contains(&count) {
            return Ok(());
        }
        let more = if mask == 1 { ", then the attention mask" } else { "" };
        let detail =
            format!("{kind} takes query, value and key, or query and value, or one for all{more}");
        Err(Error::parameter("inputs", count, detail))
    }

    /// The types of the outputs for these samples.
    pub fn outputs(&self, op: &str, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        let sizes = [
            ("num_heads", self.query_heads),
            ("key_dim", self.key_dim),
            ("value_dim", self.value_size()),
        ];
        for (name, size) in sizes {
            if size == 0 {
                return Err(Error::parameter(
                    name,
                    0,
                    "attention has a head of one number or more",
                ));
            }
        }
        if self.key_heads == 0 || !self.query_heads.is_multiple_of(self.key_heads) {
            let detail = format!(
                "the {} heads of queries are shared among them evenly; give a divisor",
                self.query_heads
            );
            return Err(Error::parameter("num_key_value_heads", self.key_heads, detail));
        }
        attend::check_rate(self.dropout)?;
        if let Some(rotary) = self.rotary {
            rotary.check()?;
            if !self.key_dim.is_multiple_of(2) {
                let detail = "`rotary` turns the numbers of a head in pairs; give an even number";
                return Err(Error::parameter("key_dim", self.key_dim, detail));
            }
        }
        let (sequences, mask) = self.given(inputs);
        attend::check_sequences(op, &sequences)?;
        let [queries, keys] = [0, 1].map(|i| sequences[i].dims()[0]);
        if let Some(mask) = mask {
            let fits = match mask.dims() {
                [q, k] => [*q, *k] == [queries, keys],
                [heads, q, k] => {
                    [1, self.query_heads].contains(heads) && [*q, *k] == [queries, keys]
                }
                _ => false,
            };
            if !fits {
                let detail = format!(
                    "the attention mask (last) is [{queries}, {keys}] or [{}, {queries}, {keys}] for a sample: queries \
                     by keys",
                    self.query_heads
                );
                return Err(Error::shape(op, &inputs.iter().collect::<Vec<_>>(), detail));
            }
        }
        let out = self.out(&sequences[0]);
        if out.is_empty() {
            let detail = "the output has one number or more";
            return Err(Error::parameter("output_shape", out, detail));
        }
        let y = TensorType::f32([&[queries], out.dims()].concat());
        let scores = TensorType::f32([self.query_heads, queries, keys]);
        Ok(match self.return_attention_scores {
            true => vec![y, scores],
            false => vec![y],
        })
    }

    /// The shape of the output at one step.
    fn out(&self, query: &Shape) -> Shape {
        let width = || query.dims().last().copied().unwrap_or(0);
        self.output_shape.clone().unwrap_or_else(|| [width()].into())
    }

    pub fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let ([query, value, key], _) = self.given(inputs);
        let features = [&query, &key, &value].map(|s| s.dims().last().copied().unwrap_or(1));
        let heads = [self.query_heads, self.key_heads, self.key_heads];
        let sizes = [self.key_dim, self.key_dim, self.value_size()];
        let mut specs = Vec::new();
        for i in 0..3 {
            self.part(&mut specs, READERS[i], &[features[i]], &[heads[i], sizes[i]]);
        }
        let out = self.out(&query);
        self.part(&mut specs, OUTPUT, &[self.query_heads, self.value_size()], out.dims());
        specs
    }

    fn part(&self, specs: &mut Vec<WeightSpec>, part: &str, from: &[usize], to: &[usize]) {
        let [terms, width] = [from, to].map(|axes| Shape::from(axes).len());
        let kernel = self.kernel.spec("kernel", [from, to].concat());
        specs.push(kernel.projection([terms, width]).within(part));
        if self.use_bias {
            specs.push(self.bias.spec("bias", to).projection([width]).within(part));
        }
    }

    /// x · kernel + bias of a part, over the last `axes` axes of `x`, with the kernel's other axes in their place.
    pub fn project(
        &self,
        graph: &mut Graph,
        cx: &Context,
        part: &str,
        x: Value,
        axes: usize,
    ) -> Result<Value> {
        let cx = cx.part(part, &[x]);
        let kernel = cx.weight("kernel")?;
        let (dims, to) = (graph.shape(x).dims().to_vec(), graph.shape(kernel).dims().to_vec());
        let (lead, from) = dims.split_at(dims.len() - axes);
        let to = &to[axes..];
        let (terms, width) = (from.iter().product(), to.iter().product());
        let x = graph.reshape(x, [lead, &[terms]].concat())?;
        let kernel = graph.reshape(kernel, [terms, width])?;
        let mut y = graph.matmul(x, kernel)?;
        if self.use_bias {
            let bias = graph.reshape(cx.weight("bias")?, [width])?;
            y = graph.add(y, bias)?;
        }
        graph.reshape(y, [lead, to].concat())
    }

    /// The tables of [`Heads::turned`] for the steps of queries and keys, if places turn these.
    pub fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let ([query, _, key], _) = self.given(inputs);
        let steps = [query, key].into_iter().filter_map(|shape| shape.dims().first().copied());
        self.tables(steps.max().unwrap_or(1))
    }

    /// As [`Heads::constants`], for `time` places.
    pub fn tables(&self, time: usize) -> Vec<(String, Tensor)> {
        let tables = self.rotary.map(|rotary| rotary.tables(&[time, 1, self.key_dim]));
        let own = tables.into_iter().flatten();
        own.map(|(name, table)| (format!("{ROTARY}/{name}"), table)).collect()
    }

    /// Queries or keys `[batch, time, heads, key_dim]` turned by their places. `of` gives the rows for their steps, of the
    /// cosines and of the sines of all places `[places, 1, key_dim / 2]`.
    pub fn turned(
        &self,
        graph: &mut Graph,
        cx: &Context,
        x: Value,
        of: impl Fn(&mut Graph, Value) -> Result<Value>,
    ) -> Result<Value> {
        if self.rotary.is_none() {
            return Ok(x);
        }
        let cx = cx.part(ROTARY, &[x]);
        let angles = [of(graph, cx.constant("cos")?)?, of(graph, cx.constant("sin")?)?];
        turn(graph, x, angles)
    }

    pub fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let ([query, value, key], pairs) = self.given(cx.inputs());
        let ([query_mask, value_mask, key_mask], _) = self.given(cx.masks());
        let q = self.project(graph, cx, READERS[0], query, 1)?;
        let k = self.project(graph, cx, READERS[1], key, 1)?;
        let v = self.project(graph, cx, READERS[2], value, 1)?;
        let [q, k] = [q, k].map(|x| {
            let time = graph.shape(x).dims()[1];
            self.turned(graph, cx, x, |graph, table| graph.slice(table, 0, 0..time))
        });
        let (q, k) = (q?, k?);
        let mut masks = Masks { keys: None, causal: self.use_causal_mask, pairs: None };
        masks = masks.and_keys(graph, value_mask)?.and_keys(graph, key_mask)?;
        if let (Some(mask), Some(kind)) = (pairs, self.attention_mask) {
            let dims = graph.shape(mask).dims().to_vec();
            let mask = match dims.as_slice() {
                &[batch, queries, keys] => graph.reshape(mask, [batch, 1, queries, keys])?,
                _ => mask,
            };
            masks.pairs = Some((mask, kind));
        }
        let scale = 1.0 / (self.key_dim as f32).sqrt();
        let (dropout, weights) = (self.dropout, self.return_attention_scores);
        let attend = Attend { scale, masks, dropout, weights };
        let (y, weights) = attend.apply(graph, cx, [q, k, v])?;
        let y = self.project(graph, cx, OUTPUT, y, 2)?;
        Ok(match weights {
            Some(weights) => Outputs::from(vec![y, weights]).masks(vec![query_mask, None]),
            None => Outputs::from(y).mask(query_mask),
        })
    }
}

/// The builder functions of [`Heads`] for a layer with the field `heads`.
macro_rules! head_builders {
    ($layer:ty) => {
        impl $layer {
            /// The rate at which weights of keys are 0 in training; the others are scaled up. In `[0, 1)`.
            #[must_use]
            pub const fn dropout(mut self, rate: f32) -> Self {
                self.heads.dropout = rate;
                self
            }

            /// Whether query, key, value and output have a bias.
            #[must_use]
            pub const fn use_bias(mut self, use_bias: bool) -> Self {
                self.heads.use_bias = use_bias;
                self
            }

            /// Whether step i attends to the steps up to i alone. In Keras an argument of the call.
            #[must_use]
            pub const fn use_causal_mask(mut self, causal: bool) -> Self {
                self.heads.use_causal_mask = causal;
                self
            }

            /// Whether the weights of keys, `[heads, queries, keys]` for a sample, are a second output. In Keras an
            /// argument of the call.
            #[must_use]
            pub const fn return_attention_scores(mut self, scores: bool) -> Self {
                self.heads.return_attention_scores = scores;
                self
            }

            /// The last input is a mask of pairs, `[queries, keys]` or `[heads, queries, keys]` for a sample, of this
            /// kind: of 1 and 0, or added to the scores. In Keras an argument of the call.
            #[must_use]
            pub const fn attention_mask(mut self, kind: $crate::ops::SoftmaxMask) -> Self {
                self.heads.attention_mask = Some(kind);
                self
            }

            /// Turns the projected queries and keys by their places, the first of each at 0, so that scores depend on
            /// distances. `key_dim` is even then. In Keras a layer of one's own.
            #[must_use]
            pub const fn rotary(mut self, rotary: $crate::layers::RotaryEmbedding) -> Self {
                self.heads.rotary = Some(rotary);
                self
            }
        }

        $crate::layers::rules::rule_setters!(
            [] $layer,
            heads.kernel,
            "all kernels",
            kernel_initializer,
            kernel_regularizer,
            kernel_constraint
        );
        $crate::layers::rules::rule_setters!(
            [] $layer,
            heads.bias,
            "all biases",
            bias_initializer,
            bias_regularizer,
            bias_constraint
        );
    };
}
pub(super) use head_builders;

/// The functions of [`Layer`](crate::layers::Layer) that all layers have whose part, in this field, has the same ones; `$most`
/// is the number of sequences that it takes, if that is not the part's own.
macro_rules! part_layer {
    ($kind:literal, $op:literal, $part:ident $(, $most:literal)?) => {
        fn kind(&self) -> &'static str {
            $kind
        }

        fn check_inputs(&self, count: usize) -> Result<()> {
            self.$part.check_inputs($kind, $($most,)? count)
        }

        fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
            Ok(self.outputs(inputs)?.swap_remove(0).shape)
        }

        fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
            self.$part.outputs($op, inputs)
        }

        fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
            self.$part.weights(inputs)
        }

        fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
            self.$part.constants(inputs)
        }

        fn config(&self) -> Result<serde_json::Value> {
            config_of(self)
        }

        fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
            graph.check(self.kind(), cx.inputs())?;
            self.$part.apply(graph, cx)
        }
    };
}
pub(super) use part_layer;
