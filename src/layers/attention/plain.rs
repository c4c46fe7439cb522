//! Attention without projections: of products (Luong) and of sums (Bahdanau).

use super::attend::{self, Attend, Masks};
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::tensor::{Initializer, Shape};

/// How [`Attention`] scores a key for a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ScoreMode {
    /// Their inner product.
    #[default]
    Dot,
    /// A learned factor times Σ tanh(query + key).
    Concat,
}

/// Settings of both layers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Plain {
    use_scale: bool,
    dropout: f32,
    use_causal_mask: bool,
    return_attention_scores: bool,
}

impl Plain {
    const fn new(use_scale: bool) -> Self {
        Self { use_scale, dropout: 0.0, use_causal_mask: false, return_attention_scores: false }
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("use_scale", &mut self.use_scale)?;
        fields.field("dropout", &mut self.dropout)?;
        // Arguments of a call in Keras.
        fields.field("use_causal_mask", &mut self.use_causal_mask)?;
        fields.field("return_attention_scores", &mut self.return_attention_scores)
    }

    fn outputs(&self, op: &str, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        attend::check_rate(self.dropout)?;
        attend::check_sequences(op, inputs)?;
        let (query, value) = (&inputs[0], &inputs[1]);
        let key = inputs.get(2).unwrap_or(value);
        if query.dims()[1] != key.dims()[1] {
            let detail = "query (first) and key (third, or the value) have as many features";
            return Err(Error::shape(op, &inputs.iter().collect::<Vec<_>>(), detail));
        }
        let (queries, keys) = (query.dims()[0], value.dims()[0]);
        let y = TensorType::f32([queries, value.dims()[1]]);
        Ok(match self.return_attention_scores {
            true => vec![y, TensorType::f32([queries, keys])],
            false => vec![y],
        })
    }

    fn masks(&self, graph: &mut Graph, cx: &Context) -> Result<Masks> {
        let masks = Masks { causal: self.use_causal_mask, ..Masks::default() };
        masks.and_keys(graph, cx.masks()[1])
    }

    /// The layer, with these scores `[batch, queries, keys]`.
    fn of_scores(&self, graph: &mut Graph, cx: &Context, scores: Value) -> Result<Outputs> {
        let dims = graph.shape(scores).dims().to_vec();
        let masks = self.masks(graph, cx)?;
        let scores = graph.reshape(scores, [dims[0], 1, dims[1], dims[2]])?;
        let weights = masks.weights(graph, scores)?;
        let weights = graph.reshape(weights, dims)?;
        let random = attend::source(cx, self.dropout);
        let used = attend::dropped(graph, random, self.dropout, weights)?;
        let y = graph.matmul(used, cx.inputs()[1])?;
        Self::outputs_of(graph, cx, y, self.return_attention_scores.then_some(weights))
    }

    /// The layer, with products of queries and keys as scores: attention with one head.
    fn of_products(
        &self,
        graph: &mut Graph,
        cx: &Context,
        [query, key]: [Value; 2],
    ) -> Result<Outputs> {
        let mut one_head = |v: Value| {
            let d = graph.shape(v).dims().to_vec();
            graph.reshape(v, [d[0], d[1], 1, d[2]])
        };
        let (q, k, v) = (one_head(query)?, one_head(key)?, one_head(cx.inputs()[1])?);
        let masks = self.masks(graph, cx)?;
        let (dropout, weights) = (self.dropout, self.return_attention_scores);
        let attend = Attend { scale: 1.0, masks, dropout, weights };
        let (y, weights) = attend.apply(graph, cx, [q, k, v])?;
        let [batch, queries, _, size] = attend::four(graph.shape(y))?;
        let y = graph.reshape(y, [batch, queries, size])?;
        let keys = graph.shape(key).dims()[1];
        let weights = weights.map(|w| graph.reshape(w, [batch, queries, keys])).transpose()?;
        Self::outputs_of(graph, cx, y, weights)
    }

    /// What the layer gives: 0 for queries that are masked.
    fn outputs_of(
        graph: &mut Graph,
        cx: &Context,
        mut y: Value,
        weights: Option<Value>,
    ) -> Result<Outputs> {
        let mask = cx.mask();
        if let Some(mask) = mask {
            let zero = graph.constant(0.0);
            let dims = graph.shape(y).dims().to_vec();
            let rows = graph.reshape(mask, [dims[0], dims[1], 1])?;
            y = graph.select(rows, y, zero)?;
        }
        Ok(match weights {
            Some(weights) => Outputs::from(vec![y, weights]).masks(vec![mask, None]),
            None => Outputs::from(y).mask(mask),
        })
    }
}

/// Query and key; without a key it is the value.
fn query_and_key(cx: &Context) -> [Value; 2] {
    let inputs = cx.inputs();
    [inputs[0], inputs.get(2).copied().unwrap_or(inputs[1])]
}

/// Σ tanh(factor · (query + key)) over the features, each weighed by `weight`.
fn sums(
    graph: &mut Graph,
    [query, key]: [Value; 2],
    factor: Option<Value>,
    weight: Option<Value>,
) -> Result<Value> {
    let ([q, k], d) = ([query, key].map(|v| graph.shape(v).dims().to_vec()), 2);
    let query = graph.reshape(query, [q[0], q[1], 1, q[d]])?;
    let key = graph.reshape(key, [k[0], 1, k[1], k[d]])?;
    let mut sum = graph.add(query, key)?;
    if let Some(factor) = factor {
        sum = graph.mul(sum, factor)?;
    }
    let mut y = graph.unary("tanh", sum, &[])?;
    if let Some(weight) = weight {
        y = graph.mul(y, weight)?;
    }
    graph.sum(y, &[3], false)
}

/// The builder functions of [`Plain`], and what both layers have of `Layer`.
macro_rules! plain_builders {
    ($layer:ty) => {
        impl $layer {
            /// The rate at which weights of keys are 0 in training; the others are scaled up. In `[0, 1)`.
            #[must_use]
            pub const fn dropout(mut self, rate: f32) -> Self {
                self.plain.dropout = rate;
                self
            }

            /// Whether step i attends to the steps up to i alone. In Keras an argument of the call.
            #[must_use]
            pub const fn use_causal_mask(mut self, causal: bool) -> Self {
                self.plain.use_causal_mask = causal;
                self
            }

            /// Whether the weights of keys, `[queries, keys]` for a sample, are a second output. In Keras an argument of
            /// the call.
            #[must_use]
            pub const fn return_attention_scores(mut self, scores: bool) -> Self {
                self.plain.return_attention_scores = scores;
                self
            }
        }
    };
}

macro_rules! plain_layer {
    ($kind:literal, $op:literal) => {
        fn kind(&self) -> &'static str {
            $kind
        }

        fn check_inputs(&self, count: usize) -> Result<()> {
            match count {
                2 | 3 => Ok(()),
                _ => {
                    let detail = concat!($kind, " takes query and value, or query, value and key");
                    Err(Error::parameter("inputs", count, detail))
                }
            }
        }

        fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
            Ok(self.outputs(inputs)?.swap_remove(0).shape)
        }

        fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
            self.plain.outputs($op, inputs)
        }

        fn config(&self) -> Result<serde_json::Value> {
            config_of(self)
        }
    };
}

/// softmax(query · keyᵀ) value, or with the other [`ScoreMode`]. Keras' `Attention` (Luong et al., "Effective approaches to
/// attention-based neural machine translation", 2015).
///
/// Inputs query `[batch, queries, d]`, value `[batch, keys, e]` and key `[batch, keys, d]`; without a key it is the value.
/// Output `[batch, queries, e]`. A mask of the value takes its steps out; what the query's mask takes out is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    plain: Plain,
    score_mode: ScoreMode,
}

impl Attention {
    /// Attention by inner products.
    #[must_use]
    pub const fn new() -> Self {
        Self { plain: Plain::new(false), score_mode: ScoreMode::Dot }
    }

    /// How a key is scored.
    #[must_use]
    pub const fn score_mode(mut self, mode: ScoreMode) -> Self {
        self.score_mode = mode;
        self
    }

    /// Whether scores, or with [`ScoreMode::Concat`] the sums, have a learned factor `scale`, 1 at first.
    #[must_use]
    pub const fn use_scale(mut self, use_scale: bool) -> Self {
        self.plain.use_scale = use_scale;
        self
    }
}

impl Default for Attention {
    fn default() -> Self {
        Self::new()
    }
}

plain_builders!(Attention);

impl Settings for Attention {
    fn blank() -> Self {
        Self::new()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("score_mode", &mut self.score_mode)?;
        self.plain.settings(fields)
    }
}

impl Layer for Attention {
    plain_layer!("Attention", "attention");

    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        let names = [
            ("scale", self.plain.use_scale),
            ("concat_score_weight", self.score_mode == ScoreMode::Concat),
        ];
        let one = |name| {
            let shape = Shape::from(Vec::new());
            WeightSpec::new(name, shape, Initializer::Constant(1.0), Regularizer::NONE)
        };
        names.into_iter().filter(|(_, has)| *has).map(|(name, _)| one(name)).collect()
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let scale = if self.plain.use_scale { Some(cx.weight("scale")?) } else { None };
        let [query, key] = query_and_key(cx);
        match self.score_mode {
            ScoreMode::Dot => {
                let query = scale.map_or(Ok(query), |scale| graph.mul(query, scale))?;
                self.plain.of_products(graph, cx, [query, key])
            }
            ScoreMode::Concat => {
                let scores = sums(graph, [query, key], scale, None)?;
                let scores = graph.mul(scores, cx.weight("concat_score_weight")?)?;
                self.plain.of_scores(graph, cx, scores)
            }
        }
    }
}

/// Attention by Σ scale · tanh(query + key) over the features. Keras' `AdditiveAttention` (Bahdanau, Cho and Bengio,
/// "Neural machine translation by jointly learning to align and translate", 2015).
///
/// Inputs, masks and output as those of [`Attention`]. The weight `scale` is `[d]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdditiveAttention {
    plain: Plain,
}

impl AdditiveAttention {
    /// Attention by sums with a learned scale.
    #[must_use]
    pub const fn new() -> Self {
        Self { plain: Plain::new(true) }
    }

    /// Whether features have a learned factor each.
    #[must_use]
    pub const fn use_scale(mut self, use_scale: bool) -> Self {
        self.plain.use_scale = use_scale;
        self
    }
}

impl Default for AdditiveAttention {
    fn default() -> Self {
        Self::new()
    }
}

plain_builders!(AdditiveAttention);

impl Settings for AdditiveAttention {
    fn blank() -> Self {
        Self::new()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.plain.settings(fields)
    }
}

impl Layer for AdditiveAttention {
    plain_layer!("AdditiveAttention", "additive_attention");

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let width = inputs[0].dims().last().copied().unwrap_or(1);
        let (initializer, none) = (Initializer::GlorotUniform, Regularizer::NONE);
        match self.plain.use_scale {
            true => vec![WeightSpec::new("scale", [width], initializer, none)],
            false => Vec::new(),
        }
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let scale = if self.plain.use_scale { Some(cx.weight("scale")?) } else { None };
        let scores = sums(graph, query_and_key(cx), None, scale)?;
        self.plain.of_scores(graph, cx, scores)
    }
}
