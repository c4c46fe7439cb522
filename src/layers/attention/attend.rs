//! What all layers of attention share: masks, the weights of keys, and dropout among them.

use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Leaf, Value};
use crate::layers::{Context, Random};
use crate::ops::attention::LARGEST;
use crate::ops::attention_gradient::products;
use crate::ops::{SoftmaxMask, WeightDropout};
use crate::tensor::{Shape, Tensor};

/// Which keys a query may attend to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Masks {
    /// `[batch, keys]`: 1 for those that count.
    pub keys: Option<Value>,
    /// Whether query i attends to the keys up to i alone.
    pub causal: bool,
    /// A mask of pairs, which broadcasts to `[batch, heads, queries, keys]`.
    pub pairs: Option<(Value, SoftmaxMask)>,
}

impl Masks {
    /// What counts in both masks of keys.
    pub fn and_keys(mut self, graph: &mut Graph, mask: Option<Value>) -> Result<Self> {
        self.keys = match (self.keys, mask) {
            (Some(a), Some(b)) if a != b => Some(graph.mul(a, b)?),
            (one, other) => one.or(other),
        };
        Ok(self)
    }

    /// All masks as one, which broadcasts to scores `[batch, heads, queries, keys]`; that of a causal layer if `causal` is
    /// set.
    fn joined(
        &self,
        graph: &mut Graph,
        [batch, queries, keys]: [usize; 3],
        causal: bool,
    ) -> Result<Option<(Value, SoftmaxMask)>> {
        let both = |graph: &mut Graph, keep: Option<Value>, mask: Value| match keep {
            Some(so_far) => graph.mul(so_far, mask),
            None => Ok(mask),
        };
        let mut keep = match self.keys {
            Some(mask) => Some(graph.reshape(mask, [batch, 1, 1, keys])?),
            None => None,
        };
        if causal {
            let row = |i| (0..keys).map(move |j| if j <= i { 1.0 } else { 0.0 });
            let below: Vec<f32> = (0..queries).flat_map(row).collect();
            let mask = graph.constant_tensor(Tensor::f32([queries, keys], below)?)?;
            keep = Some(both(graph, keep, mask)?);
        }
        match (self.pairs, keep) {
            (None, keep) => Ok(keep.map(|mask| (mask, SoftmaxMask::Keep))),
            (pairs, None) => Ok(pairs),
            (Some((mask, SoftmaxMask::Keep)), keep) => {
                let zero = graph.constant(0.0);
                let mask = graph.binary("greater", mask, zero)?;
                Ok(Some((both(graph, keep, mask)?, SoftmaxMask::Keep)))
            }
            (Some((mask, SoftmaxMask::Additive)), Some(keep)) => {
                let out = graph.constant(f32::MIN);
                Ok(Some((graph.select(keep, mask, out)?, SoftmaxMask::Additive)))
            }
        }
    }

    /// The weights of keys: softmax of `scores` `[batch, heads, queries, keys]` among those that count. A query that may
    /// attend to no key has weights of 0.
    pub fn weights(&self, graph: &mut Graph, scores: Value) -> Result<Value> {
        let [batch, _, queries, keys] = four(graph.shape(scores))?;
        match self.joined(graph, [batch, queries, keys], self.causal)? {
            Some((mask, kind)) => graph.masked_softmax(scores, mask, kind),
            None => graph.softmax(scores),
        }
    }
}

/// The extents of a tensor of four axes.
pub(super) fn four(shape: &Shape) -> Result<[usize; 4]> {
    let dims = <[usize; 4]>::try_from(shape.dims());
    dims.map_err(|_| Error::internal("attention", format!("{shape} has not four axes")))
}

/// The most scores that are stored because products are faster: 16 MiB, so that memory is linear in the lengths.
const MOST_SCORES: usize = 1 << 22;

/// What a layer does with its queries, keys and values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attend {
    /// The factor of scores.
    pub scale: f32,
    pub masks: Masks,
    /// The rate at which weights are 0 in training.
    pub dropout: f32,
    /// Whether the weights are a result.
    pub weights: bool,
}

impl Attend {
    /// softmax(scale · q kᵀ) v for each head, and the weights of keys before dropout, `[batch, heads, queries, keys]`, if
    /// they are asked for.
    ///
    /// `q` `[batch, queries, heads, d]`, `k` `[batch, keys, groups, d]`, `v` `[batch, keys, groups, e]`, where each of the
    /// `groups` serves as many neighbouring heads. Gives `[batch, queries, heads, e]`. Vaswani et al., "Attention is all
    /// you need", 2017, section 3.2.1; groups: Ainslie et al. 2023.
    ///
    /// It is [`Graph::attention`], which stores no scores. It is products if the weights are asked for, if they are faster
    /// ([`Attend::products_are_faster`]), if heads are too large for one kernel, and with dropout in the body of a loop,
    /// whose gradient runs through the iterations backwards and cannot draw again.
    pub fn apply(
        &self,
        graph: &mut Graph,
        cx: &Context,
        [q, k, v]: [Value; 3],
    ) -> Result<(Value, Option<Value>)> {
        let random = source(cx, self.dropout);
        let draws_again = random.is_none_or(|r| [r.seed, r.step].iter().all(|&v| word(graph, v)));
        let [batch, queries, heads, size] = four(graph.shape(q))?;
        let [_, keys, _, value] = four(graph.shape(v))?;
        let size = size.max(value);
        let scores = [batch, heads, queries, keys].into_iter().fold(1, usize::saturating_mul);
        let too_large = size > LARGEST || self.products_are_faster(size, scores);
        if self.weights || too_large || !draws_again {
            let [y, weights] = self.of_products(graph, [q, k, v], random)?;
            return Ok((y, self.weights.then_some(weights)));
        }
        let mask = self.masks.joined(graph, [batch, queries, keys], false)?;
        let dropout = |r: Random| WeightDropout { rate: self.dropout.into(), stream: r.stream };
        let dropped = random.map(|r| (dropout(r), [r.seed, r.step]));
        let y = graph.attention_with([q, k, v], self.scale, self.masks.causal, mask, dropped)?;
        Ok((y, None))
    }

    /// Whether products are faster on CPU adapters: a gradient that stores no scores multiplies seven times instead of
    /// four, and registers hold fewer rows of large heads. No more than [`MOST_SCORES`] are stored, of all samples and
    /// heads together, and for causal layers the kernels leave out half of the pairs (docs/results.md).
    const fn products_are_faster(&self, size: usize, scores: usize) -> bool {
        !self.masks.causal && size > 64 && scores <= MOST_SCORES
    }

    /// By products and a masked softmax over views: heads are not copied, scores are stored.
    fn of_products(
        &self,
        graph: &mut Graph,
        [q, k, v]: [Value; 3],
        random: Option<Random>,
    ) -> Result<[Value; 2]> {
        let [batch, queries, heads, _] = four(graph.shape(q))?;
        let [_, keys, groups, out] = four(graph.shape(v))?;
        let each = heads / groups.max(1);
        let scores = products(graph, q, k)?;
        let scores = graph.scale(scores, self.scale)?;
        let weights = self.masks.weights(graph, scores)?;
        let used = dropped(graph, random, self.dropout, weights)?;
        let used = graph.reshape(used, [batch, groups, each * queries, keys])?;
        let v = graph.transpose(v, &[0, 2, 1, 3])?;
        let y = graph.matmul(used, v)?;
        let y = graph.reshape(y, [batch, groups, each, queries, out])?;
        let y = graph.transpose(y, &[0, 3, 1, 2, 4])?;
        Ok([graph.reshape(y, [batch, queries, heads, out])?, weights])
    }
}

/// Whether a value is a word of the step.
fn word(graph: &Graph, value: Value) -> bool {
    matches!(graph.node(value).op.class(), Class::Leaf(Leaf::Step(_)))
}

/// Weights of keys, of which some are 0 if there is a source of random numbers.
pub(super) fn dropped(
    graph: &mut Graph,
    random: Option<Random>,
    rate: f32,
    x: Value,
) -> Result<Value> {
    let Some(random) = random else { return Ok(x) };
    let dropout = WeightDropout { rate: rate.into(), stream: random.stream };
    let shape = graph.shape(x).clone();
    let factors = dropout.factors(graph, shape, [random.seed, random.step])?;
    graph.mul(x, factors)
}

/// The source of random numbers for dropout of weights: in training, if the rate is not 0.
pub(super) fn source(cx: &Context, rate: f32) -> Option<Random> {
    cx.random().filter(|_| rate > 0.0).map(|random| random.of("dropout"))
}

/// Refuses samples that are no `[queries, ...]`, `[keys, ...]` of as many keys as values.
pub(super) fn check_sequences(op: &str, inputs: &[Shape]) -> Result<()> {
    let all = || inputs.iter().collect::<Vec<_>>();
    if inputs.iter().any(|shape| shape.rank() != 2 || shape.is_empty()) {
        let detail = "samples are sequences [time, features] with a step or more; reshape them, or embed ids first";
        return Err(Error::shape(op, &all(), detail));
    }
    match inputs {
        [_, value, key] if value.dims()[0] != key.dims()[0] => {
            let detail = "value (second) and key (third) have as many steps";
            Err(Error::shape(op, &all(), detail))
        }
        _ => Ok(()),
    }
}

/// Refuses a rate of dropout that is none.
pub(super) fn check_rate(rate: f32) -> Result<()> {
    match (0.0..1.0).contains(&rate) {
        true => Ok(()),
        false => Err(Error::parameter("dropout", rate, "a dropout rate lies in [0, 1)")),
    }
}
