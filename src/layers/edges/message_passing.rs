//! Messages between neighbours.

use super::{Common, Messages, check_count, common_setters, nodes_named, rows};
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::Graph;
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs, WeightSpec};
use crate::tensor::Shape;

/// How the messages that arrive at a node are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Aggregation {
    /// Their sum.
    #[default]
    Sum,
    /// Their sum divided by that of the weights of their edges.
    Mean,
    /// The largest of each feature. Messages along edges of weight 0 do not count.
    Max,
}

/// Below every message: what an edge that is none sends.
const LOWEST: f32 = f32::MIN;

/// Each node adds what its neighbours send to what it has: activation(x · self_kernel + (⊕ w · x of neighbours) · kernel +
/// bias), where ⊕ is a sum, a mean or a maximum, and w the weight of the edge. A node that nothing arrives at gets zeros.
/// The message passing of Gilmer et al., "Neural message passing for quantum chemistry" (2017), with the update of Hamilton
/// et al., "Inductive representation learning on large graphs" (2017).
///
/// Inputs: nodes `[batch, nodes, features]`; edges `[batch, edges, 2]` u32, pairs of nodes of their sample; and perhaps
/// a weight for each edge, `[batch, edges]`, 1 if there is none. Output `[batch, nodes, units]`; `self_kernel` and `kernel`
/// are `[features, units]`, `bias` `[units]`. A pair is an edge in both directions unless the layer is
/// [`directed`](Self::directed); then the first node sends to the second. If samples have different numbers of edges,
/// fill them up with edges of weight 0.
///
/// Joins have one order, forward and backward, so results are the same to the bit.
///
/// ```
/// use wgrad::layers::Aggregation;
/// use wgrad::prelude::*;
///
/// let (nodes, edges) = (input([5, 3]), input([7, 2]));
/// let layer = MessagePassing::new(4).aggregate(Aggregation::Max).activation(Activation::Relu);
/// let model = Model::new([&nodes, &edges], [&merge(layer, [&nodes, &edges])])?;
/// assert_eq!(model.output_shapes(), [Shape::from([5, 4])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MessagePassing {
    common: Common,
    aggregate: Aggregation,
}

impl MessagePassing {
    /// A layer of `units` outputs for each node: undirected, sums, linear, Glorot-uniform kernels, zero bias.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        Self { common: Common::new(units), aggregate: Aggregation::Sum }
    }

    /// How the messages that arrive at a node are joined.
    #[must_use]
    pub const fn aggregate(mut self, aggregate: Aggregation) -> Self {
        self.aggregate = aggregate;
        self
    }
}

common_setters!(MessagePassing);

impl Settings for MessagePassing {
    fn blank() -> Self {
        Self::new(0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.common.settings(fields)?;
        fields.field("aggregate", &mut self.aggregate)
    }
}

impl Layer for MessagePassing {
    fn kind(&self) -> &'static str {
        "MessagePassing"
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        check_count(self.kind(), count)
    }

    fn takes_indices_of(&self, input: usize, inputs: &[Shape]) -> Option<usize> {
        nodes_named(input, inputs)
    }

    fn activation(&self) -> Option<Activation> {
        Some(self.common.activation)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.common.output_shape(self.kind(), inputs)
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let kernels = ["self_kernel", "kernel"].map(|name| self.common.kernel(name, inputs));
        kernels.into_iter().chain(self.common.bias()).collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let messages = Messages::new(graph, self.kind(), cx, self.common.directed)?;
        let x = rows(graph, cx.input())?;
        let mut sent = messages.along(graph, x)?;
        let zero = graph.constant(0.0);
        let joined = match self.aggregate {
            Aggregation::Sum => messages.sum(graph, sent)?,
            Aggregation::Mean => {
                let sums = messages.sum(graph, sent)?;
                let degrees = messages.degrees(graph)?;
                // Nothing arrives, or nothing that counts.
                let one = graph.constant(1.0);
                let any = graph.binary("not_equal", degrees, zero)?;
                let divisor = graph.select(any, degrees, one)?;
                let mean = graph.div(sums, divisor)?;
                graph.select(any, mean, zero)?
            }
            Aggregation::Max => {
                if let Some(weights) = messages.weights {
                    let counts = graph.binary("not_equal", weights, zero)?;
                    let lowest = graph.constant(LOWEST);
                    sent = graph.select(counts, sent, lowest)?;
                }
                let most = graph.segment_max(messages.to, sent, messages.nodes)?;
                match messages.weights {
                    None => most,
                    Some(_) => {
                        let lowest = graph.constant(LOWEST);
                        let none = graph.binary("equal", most, lowest)?;
                        graph.select(none, zero, most)?
                    }
                }
            }
        };
        let own = graph.matmul(x, cx.weight("self_kernel")?)?;
        let others = graph.matmul(joined, cx.weight("kernel")?)?;
        let y = graph.add(own, others)?;
        let mask = cx.mask();
        Ok(Outputs::from(self.common.finish(graph, cx, y)?).mask(mask))
    }
}
