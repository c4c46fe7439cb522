//! The gradients of attention.

use super::attention::{Attention, WeightDropout};
use super::row_builder::RowBuilder;
use super::row_softmax::OUT;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, RowReduction, RowRule, VjpContext};
use crate::graph::{TensorType, Value};
use crate::tensor::Shape;

/// A gradient of [`Attention`]. Operands: its own, the gradient of its result, and two numbers for each query of each
/// head, `[batch, queries, heads, 2]`: the logarithm of its sum, and Σ dy y.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttentionGradient {
    /// The op.
    pub attention: Attention,
    /// Whether it gives the gradients of keys and of values, else that of queries.
    pub keys: bool,
}

/// What the gradients need of each query of each head: the logarithm of its sum, and Σ dy y, from which the gradient of
/// that logarithm is taken if there is one.
pub(super) fn known(
    graph: &mut Graph,
    outputs: &[Value],
    dy: Value,
    of_sum: Option<Value>,
) -> Result<Value> {
    let shape = graph.shape(outputs[0]).clone();
    let rows = [&shape.dims()[..3], &[1]].concat();
    let log_sums = graph.reshape(outputs[1], rows.clone())?;
    let of_sum = of_sum.map(|v| graph.reshape(v, rows)).transpose()?;
    let mut kernel = RowBuilder::new(&shape, 3);
    let [y, dy] = [outputs[0], dy].map(|v| kernel.element(v));
    let [log_sum] = kernel.values(log_sums);
    let of_sum = of_sum.map(|v| kernel.values::<1>(v)[0]);
    let log_sum = kernel.reduce(RowReduction::Max, |_| Ok(log_sum), |_, value| Ok(value))?;
    let common = kernel.reduce(
        RowReduction::Sum,
        |code| code.mul(dy, y),
        |code, sum| of_sum.map_or(Ok(sum), |d| code.sub(sum, d)),
    )?;
    let rule = RowRule::gradient("attention_rows_gradient");
    Ok(kernel.push(graph, rule, |_| Ok(vec![]), &[&[log_sum, common]])?[0])
}

/// The products of each query and each key of a head, `[batch, heads, queries, keys]`. `q` is `[batch, queries, heads,
/// size]` and `k` `[batch, keys, groups, size]`. Heads are views: nothing is copied.
pub(crate) fn products(graph: &mut Graph, q: Value, k: Value) -> Result<Value> {
    let four = |graph: &Graph, v| {
        let shape = graph.shape(v);
        let dims = <[usize; 4]>::try_from(shape.dims());
        dims.map_err(|_| Error::internal("attention", format!("{shape} has not four axes")))
    };
    let [batch, queries, heads, size] = four(graph, q)?;
    let [_, keys, groups, _] = four(graph, k)?;
    let each = heads / groups.max(1);
    let q = graph.reshape(q, [batch, queries, groups, each, size])?;
    let q = graph.transpose(q, &[0, 2, 3, 1, 4])?;
    let q = graph.reshape(q, [batch, groups, each * queries, size])?;
    let k = graph.transpose(k, &[0, 2, 1, 3])?;
    let scores = graph.matmul_form(q, k, false, true)?;
    graph.reshape(scores, [batch, heads, queries, keys])
}

impl Attention {
    /// The gradient of a mask that is added, of the shape of scores at least: dz = p (dy vᵀ - Σ dy y), summed to the
    /// mask's shape. It is asked for by masks that are trained, which are of that shape themselves.
    pub(super) fn of_mask(
        &self,
        graph: &mut Graph,
        inputs: &[Value],
        dy: Value,
        known: Value,
    ) -> Result<Value> {
        let z = products(graph, inputs[0], inputs[1])?;
        let z = graph.scale(z, self.scale.get())?;
        let z = graph.add(z, inputs[3])?;
        let mut dp = products(graph, dy, inputs[2])?;
        if let Some(dropout) = &self.dropout {
            let words = [inputs[4], inputs[5]];
            let factors = dropout.factors(graph, graph.shape(dp).clone(), words)?;
            dp = graph.mul(dp, factors)?;
        }
        let rows = graph.transpose(known, &[0, 2, 1, 3])?;
        let log_sum = graph.slice(rows, 3, 0..1)?;
        let common = graph.slice(rows, 3, 1..2)?;
        let power = graph.sub(z, log_sum)?;
        let p = graph.unary("exp", power, &[])?;
        let dz = graph.sub(dp, common)?;
        let dz = graph.mul(p, dz)?;
        let (zero, out) = (graph.constant(0.0), graph.constant(OUT));
        let taken_out = graph.binary("less_equal", z, out)?;
        // By its bits, as in the kernel forward: a compiler may take it that the comparison meets no NaN.
        let nan = graph.unary("is_nan", z, &[])?;
        let taken_out = graph.select(nan, zero, taken_out)?;
        let mut dz = graph.select(taken_out, zero, dz)?;
        if self.causal {
            let shape = graph.shape(z).dims().to_vec();
            let query = graph.iota(&shape[2..], 0)?;
            let key = graph.iota(&shape[2..], 1)?;
            let seen = graph.binary("greater_equal", query, key)?;
            dz = graph.select(seen, dz, zero)?;
        }
        let shape = graph.shape(inputs[3]).clone();
        graph.sum_to(dz, &shape)
    }
}

impl WeightDropout {
    /// 0 for weights that drop out, and what the others are scaled by.
    pub(crate) fn factors(
        &self,
        graph: &mut Graph,
        shape: Shape,
        [seed, step]: [Value; 2],
    ) -> Result<Value> {
        let drawn = graph.random_uniform(shape, seed, step, self.stream)?;
        let least = graph.constant(self.rate.get());
        let kept = graph.binary("greater_equal", drawn, least)?;
        graph.scale(kept, 1.0 / (1.0 - self.rate.get()))
    }
}

impl Op for AttentionGradient {
    fn name(&self) -> String {
        if self.keys { "attention_gradient_of_keys" } else { "attention_gradient_of_queries" }
            .into()
    }

    fn attrs(&self) -> String {
        self.attention.attrs()
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        self.attention.operands() + 2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let count = self.min_inputs();
        let s = self.attention.check(&self.name(), inputs, count)?;
        let [dy, known] = [2, 1].map(|back| &inputs[count - back].shape);
        let rows = [s.samples, s.queries, s.heads];
        if dy.dims() != [rows.as_slice(), &[s.value]].concat()
            || known.dims() != [rows.as_slice(), &[2]].concat()
        {
            let detail =
                "the gradient has the shape of the result, and two numbers are known of each row";
            return Err(Error::shape(self.name(), &[dy, known], detail));
        }
        Ok(if self.keys { inputs[1..3].to_vec() } else { inputs[..1].to_vec() }
            .into_iter()
            .cloned()
            .collect())
    }

    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Err(Error::not_differentiable(self.name(), "it is itself part of a gradient"))
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        self.attention.call(cx, Some(self.keys))
    }

    fn takes_uniform(&self, input: usize) -> bool {
        self.attention.takes_uniform(input)
    }
}
