//! The nodes at the ends of edges.

use super::map::to_u32;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, KernelCall, Template, grid, param_blocks, template};
use crate::tensor::DType;
use std::sync::Arc;

param_blocks! {
    /// Edges and nodes of a batch of graphs.
    EdgeParams {
        /// Edges of all samples.
        edges: u32,
        /// Edges of a sample.
        per_sample: u32,
        /// Nodes of a sample.
        nodes: u32,
        /// The end that comes first: 0 or 1.
        first: u32,
    }
}

const EDGE_ENDS: Template = template!("data/edge_ends", EdgeParams);

/// The node at an end of each edge, or at both, counted over all samples: node v of sample b is `b · nodes + v`.
///
/// Operand: edges `[batch, count, 2]` u32. The result is `[batch · count]` or `[batch · count · 2]` u32, the ends of an edge
/// beside each other. A node past the last of its sample counts as that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EdgeEnds {
    /// Nodes of a sample.
    pub nodes: usize,
    /// The end that is taken, or that comes first: 0 or 1.
    pub first: u32,
    /// Whether both ends are taken.
    pub both: bool,
}

impl Op for EdgeEnds {
    fn name(&self) -> String {
        "edge_ends".into()
    }

    fn attrs(&self) -> String {
        let ends = match (self.first, self.both) {
            (0, true) => "ends 0 and 1",
            (_, true) => "ends 1 and 0",
            (0, false) => "end 0",
            (_, false) => "end 1",
        };
        format!("{ends}, {} nodes", self.nodes)
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let edges = inputs[0];
        if edges.dtype != DType::U32 {
            return Err(Error::dtype("edge_ends", &[edges.dtype], "edges are pairs of u32 nodes"));
        }
        if edges.shape.rank() != 3 || edges.shape.dims()[2] != 2 || edges.shape.is_empty() {
            let detail = "edges are pairs, [batch, count, 2], at least one";
            return Err(Error::shape("edge_ends", &[&edges.shape], detail));
        }
        if self.nodes == 0 || self.first > 1 {
            let detail = "there is at least one node, and an edge has the ends 0 and 1";
            return Err(Error::parameter("nodes", self.nodes, detail));
        }
        let count = edges.shape.len() / if self.both { 1 } else { 2 };
        Ok(vec![TensorType { shape: [count].into(), dtype: DType::U32 }])
    }

    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![None])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let dims = cx.inputs[0].0.shape.dims();
        let ends = if self.both { 2 } else { 1 };
        let edges = dims[0] * dims[1];
        // All nodes have a number.
        to_u32(dims[0] * self.nodes)?;
        to_u32(2 * edges)?;
        let params = EdgeParams {
            edges: edges as u32,
            per_sample: dims[1] as u32,
            nodes: self.nodes as u32,
            first: self.first,
        };
        Ok(KernelCall {
            text: None,
            template: EDGE_ENDS,
            defines: vec![("WG", 64u32.into()), ("ENDS", (ends as u32).into())],
            binds: vec![Bind::Input(0), Bind::Output(0)],
            params: params.with_words(&[]),
            step: false,
            grid: grid("edge_ends", (edges * ends).div_ceil(64) as u64, cx.caps)?,
            flops: 0,
        }
        .into())
    }
}

impl Graph {
    /// The nodes at the ends of edges `[batch, count, 2]` u32, counted over all samples of `nodes` nodes each: those at the
    /// ends `first` alone, `[batch · count]`, or at both, `[batch · count · 2]`, `first` before the other. They are indices
    /// for [`Graph::gather`] and [`Graph::segment_sum`].
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::DType`] for other edges.
    pub fn edge_ends(
        &mut self,
        edges: Value,
        nodes: usize,
        first: u32,
        both: bool,
    ) -> Result<Value> {
        self.push(Arc::new(EdgeEnds { nodes, first, both }), &[edges])
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::EDGE_ENDS;

    impl Case {
        /// The nodes at the ends `columns` of `[batch, count]` edges, as f32. `args`: nodes, then the columns.
        #[must_use]
        pub fn edge_ends([batch, count]: [usize; 2], nodes: usize, columns: &[usize]) -> Self {
            let build: Build = |g, c, x| {
                let (first, both) = (c.args[1] as u32, c.args.len() > 2);
                let ends = g.edge_ends(x[0], c.args[0], first, both)?;
                Ok(vec![g.to_f32(ends)?])
            };
            // Some of the nodes are past the last.
            let edges = Sample::indices([batch, count, 2], nodes + 2);
            Self::new("edge_ends", vec![edges], &[&[nodes], columns].concat(), build)
        }
    }

    pub fn cards() -> Vec<Card> {
        let cases = vec![
            Case::edge_ends([1, 1], 1, &[0]),
            Case::edge_ends([1, 7], 5, &[1]),
            Case::edge_ends([3, 5], 4, &[0, 1]),
            Case::edge_ends([2, 77], 300, &[1, 0]),
        ];
        vec![Card::new("edge_ends", &[EDGE_ENDS], Gradient::Zero, cases)]
    }
}
