//! Attention as one op: softmax(scale · q kᵀ) v without stored scores, and its gradients.

use super::attention_gradient::{AttentionGradient, known};
use super::row_softmax::SoftmaxMask;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::tensor::{DType, Exact, Shape};
use std::sync::Arc;

/// softmax(scale · q kᵀ + mask) v for each head.
///
/// Operands q `[batch, queries, heads, size]`, k `[batch, keys, groups, size]` and v `[batch, keys, groups, value size]`,
/// where each of the `groups` serves as many neighbouring heads; then the mask, if there is one, `[batch, heads, queries,
/// keys]`, of which all axes but the last may be 1; then seed and step of the generator, if weights drop out. Results: `[batch, queries, heads, value size]`, and the logarithm of
/// the sum of each softmax, `[batch, queries, heads]`. A query that no key is left for has 0 in both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attention {
    /// The factor of scores.
    pub scale: Exact,
    /// Whether query i attends to the keys up to i alone.
    pub causal: bool,
    /// What the mask means.
    pub mask: Option<SoftmaxMask>,
    /// Whether some weights are 0.
    pub dropout: Option<WeightDropout>,
}

/// Weights of [`Attention`] of which some are 0 and the others scaled up by 1 / (1 - rate): those for which the number
/// that [`Graph::random_uniform`] draws for a tensor of all weights, `[batch, heads, queries, keys]`, is below the rate.
/// The gradients draw the same numbers again. Past 2^32 weights the numbers repeat.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WeightDropout {
    /// The rate.
    pub rate: Exact,
    /// The random stream.
    pub stream: u32,
}

/// [`WeightDropout`] with the step words of its generator, seed and count of steps.
pub(crate) type Dropped = (WeightDropout, [Value; 2]);

/// The most numbers of a key or a value: an invocation holds a part of each in registers.
pub(crate) const LARGEST: usize = 128;

/// Extents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub samples: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub groups: usize,
    pub size: usize,
    pub value: usize,
    /// Elements from one sample's, head's and query's mask to the next.
    pub mask: [usize; 3],
}

impl Attention {
    /// q, k, v, and the mask if there is one.
    pub(super) const fn tensors(&self) -> usize {
        if self.mask.is_some() { 4 } else { 3 }
    }

    /// The operands.
    pub(super) const fn operands(&self) -> usize {
        self.tensors() + if self.dropout.is_some() { 2 } else { 0 }
    }

    pub(super) fn sizes(&self, op: &str, shapes: &[&Shape]) -> Result<Sizes> {
        let fail = |detail: String| Err(Error::shape(op, shapes, detail));
        let four = |i: usize| <[usize; 4]>::try_from(shapes[i].dims()).ok();
        let (Some(q), Some(k), Some(v)) = (four(0), four(1), four(2)) else {
            return fail("q, k and v are [batch, time, heads, size]".into());
        };
        let [samples, queries, heads, size] = q;
        let [_, keys, groups, value] = v;
        if shapes.iter().any(|shape| shape.is_empty()) {
            return fail("no axis is of length 0".into());
        }
        if k != [samples, keys, groups, size] || v[0] != samples {
            return fail(
                "k has the batch and the size of q, and v the batch, time and heads of k".into(),
            );
        }
        if !heads.is_multiple_of(groups) {
            return fail(format!("the {groups} heads of keys divide the {heads} heads of queries"));
        }
        if size > LARGEST || value > LARGEST {
            return fail(format!(
                "a head has at most {LARGEST} numbers; build larger ones of products and a masked softmax"
            ));
        }
        let mut mask = [0; 3];
        if self.mask.is_some() {
            let axes = [samples, heads, queries];
            let dims = four(3).filter(|dims| dims[3] == keys);
            let fits = |dims: &[usize; 4]| (0..3).all(|a| dims[a] == 1 || dims[a] == axes[a]);
            let Some(dims) = dims.filter(fits) else {
                return fail(format!(
                    "the mask is [{samples}, {heads}, {queries}, {keys}], of which all axes but the last may be 1"
                ));
            };
            let mut stride = keys;
            for axis in (0..3).rev() {
                mask[axis] = if dims[axis] == 1 { 0 } else { stride };
                stride *= dims[axis];
            }
        }
        Ok(Sizes { samples, queries, keys, heads, groups, size, value, mask })
    }

    pub(super) fn check(&self, op: &str, inputs: &[&TensorType], count: usize) -> Result<Sizes> {
        let shapes: Vec<&Shape> = inputs.iter().map(|ty| &ty.shape).collect();
        if inputs.len() != count {
            return Err(Error::shape(op, &shapes, format!("it has {count} operands")));
        }
        let words = self.tensors()..self.operands();
        let wanted = |i: usize| if words.contains(&i) { DType::U32 } else { DType::F32 };
        if inputs.iter().enumerate().any(|(i, ty)| ty.dtype != wanted(i)) {
            let dtypes: Vec<DType> = inputs.iter().map(|ty| ty.dtype).collect();
            return Err(Error::dtype(op, &dtypes, "all operands are f32, but seed and step"));
        }
        self.sizes(op, &shapes[..self.tensors()])
    }
}

impl Op for Attention {
    fn name(&self) -> String {
        "attention".into()
    }

    fn attrs(&self) -> String {
        let mut text = format!("scale {:?}", self.scale);
        if self.causal {
            text += ", causal";
        }
        if let Some(dropout) = &self.dropout {
            text += &format!(", dropout {:?}", dropout.rate);
        }
        match self.mask {
            Some(SoftmaxMask::Keep) => text + ", masked",
            Some(SoftmaxMask::Additive) => text + ", mask added",
            None => text,
        }
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        self.operands()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let sizes = self.check(&self.name(), inputs, self.operands())?;
        let rows = [sizes.samples, sizes.queries, sizes.heads];
        Ok(vec![
            TensorType::f32([rows.as_slice(), &[sizes.value]].concat()),
            TensorType::f32(rows.to_vec()),
        ])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, outputs, upstream, needed } = *cx;
        let mut gradients = vec![None; inputs.len()];
        if upstream.iter().all(Option::is_none) {
            return Ok(gradients);
        }
        let dy = match upstream[0] {
            Some(dy) => dy,
            None => {
                let (zero, shape) = (graph.constant(0.0), graph.shape(outputs[0]).clone());
                graph.broadcast_to(zero, shape)?
            }
        };
        let known = known(graph, outputs, dy, upstream[1])?;
        let operands = [inputs, &[dy, known]].concat();
        let op = |keys| Arc::new(AttentionGradient { attention: self.clone(), keys });
        if needed[0] {
            gradients[0] = Some(graph.push(op(false), &operands)?);
        }
        if needed[1] || needed[2] {
            let both = graph.push_all(op(true), &operands)?;
            (gradients[1], gradients[2]) = (Some(both[0]), Some(both[1]));
        }
        if self.mask == Some(SoftmaxMask::Additive) && needed[3] {
            gradients[3] = Some(self.of_mask(graph, inputs, dy, known)?);
        }
        Ok(gradients)
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        self.call(cx, None)
    }

    fn takes_uniform(&self, input: usize) -> bool {
        (self.tensors()..self.operands()).contains(&input)
    }

    fn is_random(&self) -> bool {
        self.dropout.is_some()
    }
}

impl Graph {
    /// softmax(scale · q kᵀ) v for each head, in one kernel forward and two backward. Scores are not stored: memory is
    /// linear in the lengths.
    ///
    /// `q` is `[batch, queries, heads, size]`, `k` `[batch, keys, groups, size]` and `v` `[batch, keys, groups, value
    /// size]`, where each of the `groups` serves as many neighbouring heads of queries; a size is 128 at most. If
    /// `causal` is set, query i attends to the keys up to i alone. `mask` is `[batch, heads, queries, keys]`, of which all
    /// axes but the last may be 1; see [`SoftmaxMask`]. A mask that is added has a gradient. Gives `[batch, queries, heads,
    /// value size]`, with zeros for a query that no key is left for.
    ///
    /// Vaswani et al., "Attention is all you need", 2017, section 3.2.1; groups: Ainslie et al. 2023; the running maximum:
    /// Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; gradients without stored scores: Dao et
    /// al., "FlashAttention", 2022.
    ///
    /// ```
    /// use wgrad::graph::Graph;
    /// use wgrad::tensor::DType;
    ///
    /// let mut graph = Graph::new();
    /// let q = graph.input("q", [2, 64, 8, 32], DType::F32);
    /// let k = graph.input("k", [2, 48, 4, 32], DType::F32);
    /// let v = graph.input("v", [2, 48, 4, 16], DType::F32);
    /// let y = graph.attention([q, k, v], 32f32.sqrt().recip(), false, None)?;
    /// assert_eq!(graph.shape(y).dims(), [2, 64, 8, 16]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] for shapes that do not fit together; [`Error::DType`] if one is not f32.
    pub fn attention(
        &mut self,
        [q, k, v]: [Value; 3],
        scale: f32,
        causal: bool,
        mask: Option<(Value, SoftmaxMask)>,
    ) -> Result<Value> {
        self.check("attention", &[q, k, v])?;
        self.attention_with([q, k, v], scale, causal, mask, None)
    }

    /// [`Graph::attention`] with weights that drop out. Seed and step are words of the step: the gradients draw again, and
    /// in a loop they would do so in another iteration.
    pub(crate) fn attention_with(
        &mut self,
        of: [Value; 3],
        scale: f32,
        causal: bool,
        mask: Option<(Value, SoftmaxMask)>,
        dropped: Option<Dropped>,
    ) -> Result<Value> {
        let (dropout, words) = dropped.unzip();
        let kind = mask.map(|(_, kind)| kind);
        let op = Attention { scale: scale.into(), causal, mask: kind, dropout };
        let tensors = of.into_iter().chain(mask.map(|m| m.0));
        let operands: Vec<Value> = tensors.chain(words.into_iter().flatten()).collect();
        self.check("attention", &operands)?;
        Ok(self.push_all(Arc::new(op), &operands)?[0])
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::attention_lower::{BROADCAST, TILED};
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::{Attention, SoftmaxMask, WeightDropout};
    use crate::tensor::DType;
    use std::sync::Arc;

    impl Case {
        /// Attention of `[batch, queries, keys]`, `[heads, groups]` and `[size, value size]`. `args`: whether it is causal,
        /// and what the mask of shape `mask` means: 1 keeps, 2 is added. `params`: the scale, and the rate of dropout if there
        /// is one. Results: y, and the logarithm of each sum.
        #[must_use]
        pub fn attention(
            [batch, queries, keys]: [usize; 3],
            [heads, groups]: [usize; 2],
            [size, value]: [usize; 2],
            causal: bool,
            mask: Option<(&[usize], SoftmaxMask)>,
        ) -> Self {
            let build: Build = |g, c, x| {
                let mask = [None, Some(SoftmaxMask::Keep), Some(SoftmaxMask::Additive)][c.args[1]];
                let dropout =
                    c.params.get(1).map(|&rate| WeightDropout { rate: rate.into(), stream: 3 });
                let mut operands = x.to_vec();
                for (word, _) in &c.words {
                    operands.push(g.step_param(word, DType::U32)?);
                }
                let (scale, causal) = (c.params[0].into(), c.args[0] == 1);
                g.push_all(Arc::new(Attention { scale, causal, mask, dropout }), &operands)
            };
            let unit = (-1.0, 1.0);
            let mut inputs = vec![
                Sample::f32([batch, queries, heads, size], unit),
                Sample::f32([batch, keys, groups, size], unit),
                Sample::f32([batch, keys, groups, value], unit),
            ];
            inputs.extend(mask.map(|(shape, _)| Sample::f32(shape, (-1.0, 2.0))));
            let kind = match mask {
                None => 0,
                Some((_, SoftmaxMask::Keep)) => 1,
                Some((_, SoftmaxMask::Additive)) => 2,
            };
            let scale = 2.0 / (size as f32).sqrt();
            Self::new("attention", inputs, &[usize::from(causal), kind], build).with(&[scale], &[])
        }
    }

    impl Case {
        /// The case with weights that drop out at this rate.
        #[must_use]
        pub fn dropping(self, rate: f32) -> Self {
            let params = [self.params[0], rate];
            self.with(&params, &[("seed", 42), ("step", 5)])
        }
    }

    /// A score is a sum of `size` products, each rounded; its error is the relative one of a weight. The sums of weights and
    /// of weighted values have an error of some units in the last place.
    fn error(case: &Case) -> (f64, f64) {
        let size = case.inputs[0].shape.dims()[3] as f64;
        let epsilon = f64::from(f32::EPSILON);
        (8.0 * epsilon, (8.0 + size) * epsilon)
    }

    pub fn cards() -> Vec<Card> {
        use SoftmaxMask::{Additive, Keep};
        let of = Case::attention;
        let cases = vec![
            of([2, 5, 7], [2, 2], [3, 5], false, None),
            of([1, 7, 5], [4, 2], [4, 8], false, None),
            of([1, 6, 6], [2, 1], [5, 4], true, None),
            // More queries than keys, and fewer.
            of([1, 9, 4], [1, 1], [4, 4], true, None),
            of([1, 4, 9], [2, 2], [4, 3], true, None),
            of([2, 5, 6], [2, 1], [4, 4], false, Some((&[2, 1, 1, 6], Keep))),
            of([2, 5, 5], [2, 2], [4, 3], true, Some((&[2, 2, 5, 5], Keep))),
            of([1, 5, 6], [2, 1], [4, 4], false, Some((&[1, 2, 5, 6], Additive))),
            of([2, 4, 4], [2, 2], [3, 4], true, Some((&[1, 2, 1, 4], Additive))),
            of([1, 1, 1], [1, 1], [1, 1], false, None),
            of([2, 5, 6], [2, 1], [4, 3], false, None).dropping(0.3),
            of([1, 5, 5], [2, 2], [4, 4], true, Some((&[1, 2, 5, 5], Additive))).dropping(0.4),
            of([1, 70, 67], [2, 1], [33, 40], true, Some((&[1, 1, 70, 67], Keep))),
            of([1, 37, 41], [2, 2], [64, 128], false, Some((&[1, 1, 1, 41], Additive))),
        ];
        let templates = &[TILED, BROADCAST];
        vec![Card::new("attention", templates, Gradient::Checked, cases).within(error)]
    }
}
