//! Layers over graphs: nodes with features, and edges as data.

mod graph_conv;
mod message_passing;

pub use graph_conv::GraphConv;
pub use message_passing::{Aggregation, MessagePassing};

use super::{Context, WeightSpec};
use crate::activations::Activation;

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::layers::config::Fields;
use crate::layers::rules::{BIAS, KERNEL, Rules};
use crate::tensor::{DType, Initializer, Shape};

/// The settings that layers over graphs share.
#[derive(Debug, Clone, PartialEq)]
struct Common {
    units: usize,
    activation: Activation,
    use_bias: bool,
    directed: bool,
    kernel: Rules,
    bias: Rules,
}

/// The methods that set them.
macro_rules! common_setters {
    ($layer:ident) => {
        impl $layer {
            /// Applies `activation` to the sums.
            #[must_use]
            pub const fn activation(mut self, activation: Activation) -> Self {
                self.common.activation = activation;
                self
            }

            /// Whether there is a bias.
            #[must_use]
            pub const fn use_bias(mut self, use_bias: bool) -> Self {
                self.common.use_bias = use_bias;
                self
            }

            /// Whether an edge leads from its first node to its second alone. If not, it leads both ways.
            #[must_use]
            pub const fn directed(mut self, directed: bool) -> Self {
                self.common.directed = directed;
                self
            }
        }

        $crate::layers::rules::rule_setters!(
            [] $layer,
            common.kernel,
            "kernels",
            kernel_initializer,
            kernel_regularizer,
            kernel_constraint
        );
        $crate::layers::rules::rule_setters!(
            [] $layer,
            common.bias,
            "the bias",
            bias_initializer,
            bias_regularizer,
            bias_constraint
        );
    };
}
use common_setters;

impl Common {
    const fn new(units: usize) -> Self {
        Self {
            units,
            activation: Activation::Linear,
            use_bias: true,
            directed: false,
            kernel: Rules::new(Initializer::GlorotUniform),
            bias: Rules::new(Initializer::Zeros),
        }
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("units", &mut self.units)?;
        fields.field("activation", &mut self.activation)?;
        fields.field("use_bias", &mut self.use_bias)?;
        fields.field("directed", &mut self.directed)?;
        self.kernel.settings(fields, KERNEL)?;
        self.bias.settings(fields, BIAS)
    }

    /// The shape of the output, if the settings and the inputs suit.
    fn output_shape(&self, kind: &str, inputs: &[Shape]) -> Result<Shape> {
        if self.units == 0 {
            return Err(Error::parameter("units", 0, "a layer has at least one unit"));
        }
        self.activation.check()?;
        let shapes: Vec<&Shape> = inputs.iter().collect();
        let fail = |detail: &str| Err(Error::shape(kind, &shapes, detail));
        let &[nodes, features] = inputs[0].dims() else {
            return fail("the first input is the nodes, [nodes, features] a sample");
        };
        if nodes == 0 || features == 0 {
            return fail("there is at least one node, with at least one feature");
        }
        let &[edges, 2] = inputs[1].dims() else {
            return fail("the second input is the edges, [edges, 2] a sample: pairs of nodes");
        };
        if edges == 0 {
            return fail("there is at least one edge: a graph without any needs no such layer");
        }
        if inputs.get(2).is_some_and(|weights| weights.dims() != [edges]) {
            return fail("the third input is a weight for each edge, [edges] a sample");
        }
        Ok([nodes, self.units].into())
    }

    fn kernel(&self, name: &str, inputs: &[Shape]) -> WeightSpec {
        let features = inputs[0].dims().last().copied().unwrap_or(1);
        self.kernel.spec(name, [features, self.units])
    }

    fn bias(&self) -> Option<WeightSpec> {
        self.use_bias.then(|| self.bias.spec("bias", [self.units]))
    }

    /// activation(y + bias) of all nodes, as samples.
    fn finish(&self, graph: &mut Graph, cx: &Context, y: Value) -> Result<Value> {
        let dims = graph.shape(cx.input()).dims()[..2].to_vec();
        let mut y = graph.reshape(y, [&dims, &[self.units][..]].concat())?;
        if self.use_bias {
            y = graph.add(y, cx.weight("bias")?)?;
        }
        self.activation.apply(graph, y)
    }
}

/// Refuses another number of inputs than nodes, edges and perhaps weights.
fn check_count(kind: &str, count: usize) -> Result<()> {
    match count {
        2 | 3 => Ok(()),
        _ => {
            let detail =
                format!("{kind} takes nodes and edges, and a weight for each edge if you have one");
            Err(Error::parameter("inputs", count, detail))
        }
    }
}

/// How many nodes an input may name, if it is the edges.
fn nodes_named(input: usize, inputs: &[Shape]) -> Option<usize> {
    (input == 1).then(|| inputs.first().and_then(|nodes| nodes.dims().first().copied())).flatten()
}

/// The messages of a batch: where each comes from and goes to, counted over the nodes of all samples.
struct Messages {
    /// `[messages]` u32.
    from: Value,
    /// `[messages]` u32.
    to: Value,
    /// `[messages, 1]`, if edges have weights.
    weights: Option<Value>,
    /// Nodes of all samples.
    nodes: usize,
}

impl Messages {
    /// One message along each edge of the inputs `[batch, nodes, features]`, `[batch, edges, 2]` and perhaps `[batch,
    /// edges]`; if the graph is not `directed`, one back as well.
    fn new(graph: &mut Graph, kind: &str, cx: &Context, directed: bool) -> Result<Self> {
        let (x, edges) = (cx.inputs()[0], cx.inputs()[1]);
        if graph.ty(edges).dtype != DType::U32 {
            let detail = "edges are pairs of u32 nodes";
            return Err(Error::dtype(kind, &[graph.ty(edges).dtype], detail));
        }
        let (batch, nodes) = (graph.shape(x).dims()[0], graph.shape(x).dims()[1]);
        let from = graph.edge_ends(edges, nodes, 0, !directed)?;
        let to = graph.edge_ends(edges, nodes, 1, !directed)?;
        let weights = match cx.inputs().get(2) {
            None => None,
            Some(&weights) => {
                let all = graph.shape(weights).len();
                let ways = if directed { 1 } else { 2 };
                let column = graph.reshape(weights, [all, 1])?;
                let each = graph.broadcast_to(column, [all, ways])?;
                Some(graph.reshape(each, [all * ways, 1])?)
            }
        };
        Ok(Self { from, to, weights, nodes: batch * nodes })
    }

    /// What arrives: rows of `x`, `[all nodes, width]`, each times its edge's weight.
    fn along(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let messages = graph.gather(x, self.from)?;
        match self.weights {
            Some(weights) => graph.mul(messages, weights),
            None => Ok(messages),
        }
    }

    /// The sum of messages at each node.
    fn sum(&self, graph: &mut Graph, messages: Value) -> Result<Value> {
        graph.segment_sum(self.to, messages, self.nodes)
    }

    /// The sum of the weights of the edges that lead to each node, `[all nodes, 1]`; their number if they have none.
    fn degrees(&self, graph: &mut Graph) -> Result<Value> {
        let weights = match self.weights {
            Some(weights) => weights,
            None => {
                let one = graph.constant(1.0);
                let count = graph.shape(self.from).len();
                graph.broadcast_to(one, [count, 1])?
            }
        };
        self.sum(graph, weights)
    }
}

/// The nodes of all samples as rows.
fn rows(graph: &mut Graph, x: Value) -> Result<Value> {
    let dims = graph.shape(x).dims();
    let (count, width) = (dims[0] * dims[1], dims[2]);
    graph.reshape(x, [count, width])
}
