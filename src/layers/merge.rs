//! Layers that join tensors.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::Shape;

/// Refuses fewer than two tensors.
pub(super) fn at_least_two(kind: &str, count: usize) -> Result<()> {
    match count {
        0 | 1 => {
            let detail = format!("{kind} joins two tensors or more");
            Err(Error::parameter("inputs", count, detail))
        }
        _ => Ok(()),
    }
}

/// The shape that samples of all inputs broadcast to, aligned at the last axis as in NumPy.
fn broadcast(kind: &str, inputs: &[Shape]) -> Result<Shape> {
    let rank = inputs.iter().map(Shape::rank).max().unwrap_or(0);
    if inputs.iter().any(|s| s.rank() != rank) {
        let detail = "samples of one rank are expected; reshape one";
        return Err(Error::shape(kind, &inputs.iter().collect::<Vec<_>>(), detail));
    }
    let mut dims = vec![1; rank];
    for input in inputs {
        for (have, &dim) in dims.iter_mut().zip(input.dims()) {
            match (*have, dim) {
                (a, b) if a == b || b == 1 => {}
                (1, b) => *have = b,
                _ => {
                    let detail = "extents are equal or 1";
                    return Err(Error::shape(kind, &inputs.iter().collect::<Vec<_>>(), detail));
                }
            }
        }
    }
    Ok(dims.into())
}

/// `f` over the tensors, from the first to the last.
fn fold(
    graph: &mut Graph,
    inputs: &[Value],
    f: impl Fn(&mut Graph, Value, Value) -> Result<Value>,
) -> Result<Value> {
    inputs[1..].iter().try_fold(inputs[0], |sum, &x| f(graph, sum, x))
}

/// Refuses another number of tensors than two.
pub(super) fn exactly_two(kind: &str, count: usize) -> Result<()> {
    match count {
        2 => Ok(()),
        _ => {
            let detail = format!("{kind} takes exactly two tensors");
            Err(Error::parameter("inputs", count, detail))
        }
    }
}

/// What counts in any of the tensors: none, if one of them has no mask. Keras' rule for layers that merge.
pub(super) fn any_mask(graph: &mut Graph, cx: &Context) -> Result<Option<Value>> {
    let masks: Option<Vec<Value>> = cx.masks().iter().copied().collect();
    let Some(masks) = masks.filter(|masks| !masks.is_empty()) else { return Ok(None) };
    let larger = |g: &mut Graph, a, b| g.binary("maximum", a, b);
    fold(graph, &masks, larger).map(Some)
}

/// A layer that combines broadcast samples elementwise.
macro_rules! elementwise_merge {
    ($(#[$doc:meta])* $name:ident, $count:ident, $build:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name;

        impl Settings for $name {
            fn blank() -> Self {
                Self
            }

            fn settings(&mut self, _: &mut Fields<'_>) -> Result<()> {
                Ok(())
            }
        }

        impl Layer for $name {
            fn kind(&self) -> &'static str {
                stringify!($name)
            }

            fn check_inputs(&self, count: usize) -> Result<()> {
                $count(self.kind(), count)
            }

            fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
                broadcast(stringify!($name), inputs)
            }

            fn config(&self) -> Result<serde_json::Value> {
                config_of(self)
            }

            fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
                let build: fn(&mut Graph, &[Value]) -> Result<Value> = $build;
                let y = build(graph, cx.inputs())?;
                Ok(Outputs::from(y).mask(any_mask(graph, cx)?))
            }
        }
    };
}

elementwise_merge!(
    /// The sum of tensors whose samples broadcast: residual connections.
    Add,
    at_least_two,
    |graph, inputs| fold(graph, inputs, Graph::add)
);

elementwise_merge!(
    /// The first of two tensors less the second; their samples broadcast.
    Subtract,
    exactly_two,
    |graph, inputs| graph.sub(inputs[0], inputs[1])
);

elementwise_merge!(
    /// The product of tensors whose samples broadcast.
    Multiply,
    at_least_two,
    |graph, inputs| fold(graph, inputs, Graph::mul)
);

elementwise_merge!(
    /// The mean of tensors whose samples broadcast.
    Average,
    at_least_two,
    |graph, inputs| {
        let sum = fold(graph, inputs, Graph::add)?;
        graph.scale(sum, 1.0 / inputs.len() as f32)
    }
);

elementwise_merge!(
    /// The largest element of tensors whose samples broadcast. Of equal ones the first has the gradient.
    Maximum,
    at_least_two,
    |graph, inputs| fold(graph, inputs, |g, a, b| g.binary("maximum", a, b))
);

elementwise_merge!(
    /// The smallest element of tensors whose samples broadcast. Of equal ones the first has the gradient.
    Minimum,
    at_least_two,
    |graph, inputs| fold(graph, inputs, |g, a, b| g.binary("minimum", a, b))
);
