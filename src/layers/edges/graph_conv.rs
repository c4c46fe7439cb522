//! The convolution of graphs.

use super::{Common, Messages, check_count, common_setters, nodes_named, rows};
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::Graph;
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs, WeightSpec};
use crate::tensor::Shape;

/// The graph convolution of Kipf and Welling, "Semi-supervised classification with graph convolutional networks" (2017):
/// activation(D^-1/2 · (A + I) · D^-1/2 · x · kernel + bias), where A has the edges, I an edge from each node to itself,
/// and D the sum of the weights of the edges that lead to each node.
///
/// Inputs: nodes `[batch, nodes, features]`; edges `[batch, edges, 2]` u32, pairs of nodes of their sample; and perhaps
/// a weight for each edge, `[batch, edges]`, 1 if there is none. Output `[batch, nodes, units]`; `kernel` is
/// `[features, units]`, `bias` `[units]`. A pair is an edge in both directions unless the layer is
/// [`directed`](Self::directed); then D counts the edges that arrive. If samples have different numbers of edges, fill
/// them up with edges of weight 0.
///
/// Sums have one order, forward and backward, so results are the same to the bit.
///
/// ```
/// use wgrad::prelude::*;
///
/// // 34 nodes, whose feature is who they are, and 78 edges.
/// let (nodes, edges) = (input([34, 34]), input([78, 2]));
/// let hidden = merge(GraphConv::new(16).activation(Activation::Relu), [&nodes, &edges]);
/// let classes = merge(GraphConv::new(2), [&hidden, &edges]);
/// let model = Model::new([&nodes, &edges], [&classes])?;
/// assert_eq!(model.output_shapes(), [Shape::from([34, 2])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GraphConv {
    common: Common,
    self_loops: bool,
}

impl GraphConv {
    /// A layer of `units` outputs for each node: undirected, with self-loops, linear, Glorot-uniform kernel, zero bias.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        Self { common: Common::new(units), self_loops: true }
    }

    /// Whether each node has an edge of weight 1 to itself besides those that are given.
    #[must_use]
    pub const fn self_loops(mut self, self_loops: bool) -> Self {
        self.self_loops = self_loops;
        self
    }
}

common_setters!(GraphConv);

impl Settings for GraphConv {
    fn blank() -> Self {
        Self::new(0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        self.common.settings(fields)?;
        fields.field("self_loops", &mut self.self_loops)
    }
}

impl Layer for GraphConv {
    fn kind(&self) -> &'static str {
        "GraphConv"
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
        let kernel = self.common.kernel("kernel", inputs);
        [kernel].into_iter().chain(self.common.bias()).collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let messages = Messages::new(graph, self.kind(), cx, self.common.directed)?;
        let mut degrees = messages.degrees(graph)?;
        if self.self_loops {
            let one = graph.constant(1.0);
            degrees = graph.add(degrees, one)?;
        }
        // A node that no edge leads to has no share in anything. The root of 1 in its place keeps the gradient finite.
        let (zero, one) = (graph.constant(0.0), graph.constant(1.0));
        let positive = graph.select(degrees, degrees, one)?;
        let roots = graph.unary("rsqrt", positive, &[])?;
        let scale = graph.select(degrees, roots, zero)?;
        let x = rows(graph, cx.input())?;
        let products = graph.matmul(x, cx.weight("kernel")?)?;
        let scaled = graph.mul(products, scale)?;
        let arriving = messages.along(graph, scaled)?;
        let mut sums = messages.sum(graph, arriving)?;
        if self.self_loops {
            sums = graph.add(sums, scaled)?;
        }
        let y = graph.mul(sums, scale)?;
        let mask = cx.mask();
        Ok(Outputs::from(self.common.finish(graph, cx, y)?).mask(mask))
    }
}
