//! What all layers of attention share: masks, the weights of keys, and dropout among them.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::layers::Context;
use crate::ops::SoftmaxMask;
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

    /// All masks as one, which broadcasts to scores `[batch, heads, queries, keys]`.
    fn joined(&self, graph: &mut Graph, scores: &Shape) -> Result<Option<(Value, SoftmaxMask)>> {
        let [batch, _, queries, keys] = four(scores)?;
        let mut keep = None;
        let mut also = |graph: &mut Graph, mask: Value| -> Result<()> {
            keep = Some(match keep {
                Some(so_far) => graph.mul(so_far, mask)?,
                None => mask,
            });
            Ok(())
        };
        if let Some(mask) = self.keys {
            let mask = graph.reshape(mask, [batch, 1, 1, keys])?;
            also(graph, mask)?;
        }
        if self.causal {
            let row = |i| (0..keys).map(move |j| if j <= i { 1.0 } else { 0.0 });
            let below: Vec<f32> = (0..queries).flat_map(row).collect();
            let mask = graph.constant_tensor(Tensor::f32([queries, keys], below)?)?;
            also(graph, mask)?;
        }
        match self.pairs {
            None => Ok(keep.map(|mask| (mask, SoftmaxMask::Keep))),
            Some((mask, SoftmaxMask::Keep)) => {
                let zero = graph.constant(0.0);
                let mask = graph.binary("greater", mask, zero)?;
                also(graph, mask)?;
                Ok(keep.map(|mask| (mask, SoftmaxMask::Keep)))
            }
            Some((mask, SoftmaxMask::Additive)) => {
                let out = graph.constant(f32::MIN);
                let mask = match keep {
                    Some(keep) => graph.select(keep, mask, out)?,
                    None => mask,
                };
                Ok(Some((mask, SoftmaxMask::Additive)))
            }
        }
    }

    /// The weights of keys: softmax of `scores` `[batch, heads, queries, keys]` among those that count. A query that may
    /// attend to no key has weights of 0.
    pub fn weights(&self, graph: &mut Graph, scores: Value) -> Result<Value> {
        let shape = graph.shape(scores).clone();
        match self.joined(graph, &shape)? {
            Some((mask, kind)) => graph.masked_softmax(scores, mask, kind),
            None => graph.softmax(scores),
        }
    }
}

/// The extents of a tensor of four axes.
fn four(shape: &Shape) -> Result<[usize; 4]> {
    let dims = <[usize; 4]>::try_from(shape.dims());
    dims.map_err(|_| Error::internal("attention", format!("{shape} has not four axes")))
}

/// softmax(scale · q kᵀ) v for each head, as products and a masked softmax over views: heads are not copied.
///
/// `q` `[batch, queries, heads, d]`, `k` `[batch, keys, groups, d]`, `v` `[batch, keys, groups, e]`, where each of the
/// `groups` serves as many neighbouring heads. Gives `[batch, queries, heads, e]`, and the weights
/// `[batch, heads, queries, keys]` before dropout. Vaswani et al., "Attention is all you need", 2017, section 3.2.1;
/// groups: Ainslie et al. 2023.
pub(super) fn composite(
    graph: &mut Graph,
    [q, k, v]: [Value; 3],
    scale: f32,
    masks: &Masks,
    drop: impl FnOnce(&mut Graph, Value) -> Result<Value>,
) -> Result<[Value; 2]> {
    let [batch, queries, heads, size] = four(graph.shape(q))?;
    let [_, keys, groups, out] = four(graph.shape(v))?;
    let each = heads / groups.max(1);
    let q = graph.reshape(q, [batch, queries, groups, each, size])?;
    let q = graph.transpose(q, &[0, 2, 3, 1, 4])?;
    let q = graph.reshape(q, [batch, groups, each * queries, size])?;
    let k = graph.transpose(k, &[0, 2, 1, 3])?;
    let v = graph.transpose(v, &[0, 2, 1, 3])?;
    let scores = graph.matmul_form(q, k, false, true)?;
    let scores = graph.scale(scores, scale)?;
    let scores = graph.reshape(scores, [batch, heads, queries, keys])?;
    let weights = masks.weights(graph, scores)?;
    let used = drop(graph, weights)?;
    let used = graph.reshape(used, [batch, groups, each * queries, keys])?;
    let y = graph.matmul(used, v)?;
    let y = graph.reshape(y, [batch, groups, each, queries, out])?;
    let y = graph.transpose(y, &[0, 3, 1, 2, 4])?;
    Ok([graph.reshape(y, [batch, queries, heads, out])?, weights])
}

/// Weights of keys with some of them 0 in training, at this rate.
pub(super) fn dropped(graph: &mut Graph, cx: &Context, rate: f32, x: Value) -> Result<Value> {
    let Some(random) = cx.random().filter(|_| rate > 0.0) else { return Ok(x) };
    let shape = graph.shape(x).clone();
    let drawn = random.of("dropout").uniform(graph, shape)?;
    let least = graph.constant(rate);
    let kept = graph.binary("greater_equal", drawn, least)?;
    let mask = graph.scale(kept, 1.0 / (1.0 - rate))?;
    graph.mul(x, mask)
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
