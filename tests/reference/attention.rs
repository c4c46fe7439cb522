//! Attention of several heads: softmax(scale · q kᵀ + mask) v (Vaswani et al. 2017, 3.2.1), query by query.

use super::softmax::{logsumexp, softmax};

/// Extents: samples, queries, keys, heads of queries and of keys, numbers of a key and of a value.
#[derive(Debug, Clone, Copy)]
pub struct Extents {
    pub samples: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub groups: usize,
    pub size: usize,
    pub value: usize,
}

/// What is known of a pair.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// Whether the query attends to the key.
    pub counts: bool,
    /// What is added to the score.
    pub added: f64,
    /// What the weight is multiplied by: dropout.
    pub factor: f64,
}

/// What is known of the pair of a sample, head, query and key.
pub type Pairs<'a> = dyn Fn(usize, usize, usize, usize) -> Pair + 'a;

/// The result `[samples, queries, heads, value]`, and the logarithm of the sum of each softmax. A query that no key counts
/// for has 0 in both. `q` is `[samples, queries, heads, size]`, `k` and `v` `[samples, keys, groups, ..]`.
pub fn attention(
    q: &[f64],
    k: &[f64],
    v: &[f64],
    e: Extents,
    scale: f64,
    pairs: &Pairs<'_>,
) -> [Vec<f64>; 2] {
    let (mut y, mut log_sums) = (Vec::new(), Vec::new());
    for sample in 0..e.samples {
        for query in 0..e.queries {
            for head in 0..e.heads {
                let group = head / (e.heads / e.groups);
                let row = ((sample * e.queries + query) * e.heads + head) * e.size;
                let place = |key: usize| (sample * e.keys + key) * e.groups + group;
                let mut kept = Vec::new();
                let mut z = Vec::new();
                for key in 0..e.keys {
                    let pair = pairs(sample, head, query, key);
                    let line = place(key) * e.size;
                    let products = (0..e.size).map(|f| q[row + f] * k[line + f]);
                    let score = scale * products.sum::<f64>() + pair.added;
                    if pair.counts && score > -1e30 {
                        kept.push((key, pair.factor));
                        z.push(score);
                    }
                }
                let mut sum = vec![0.0; e.value];
                for (&(key, factor), p) in kept.iter().zip(softmax(&z, z.len().max(1))) {
                    let line = place(key) * e.value;
                    sum.iter_mut().zip(&v[line..]).for_each(|(sum, v)| *sum += p * factor * v);
                }
                y.extend(sum);
                log_sums.push(logsumexp(&z, z.len().max(1)).first().copied().unwrap_or(0.0));
            }
        }
    }
    [y, log_sums]
}
