//! Ops that move elements: reshape, permute, views of arenas, and their inverse.

use super::layout::Layout;
use super::map::lower_map;
use super::program::Program;
use crate::error::{Error, Result};
use crate::graph::{
    Class, Graph, LowerContext, Lowered, Movement, Op, TensorType, Value, VjpContext,
};
use crate::tensor::Shape;
use std::sync::Arc;

pub(super) fn no_kernel(name: &str) -> Error {
    Error::internal(name, "an alias has no kernel")
}

/// The same elements under another shape. No copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// The new shape.
    pub shape: Shape,
}

impl Op for Reshape {
    fn name(&self) -> String {
        "reshape".into()
    }

    fn attrs(&self) -> String {
        self.shape.to_string()
    }

    fn class(&self) -> Class<'_> {
        Class::Movement(Movement::Alias { offset: 0 })
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs[0].shape.len() != self.shape.len() {
            return Err(Error::shape(
                "reshape",
                &[&inputs[0].shape, &self.shape],
                "the element counts differ",
            ));
        }
        Ok(vec![TensorType { shape: self.shape.clone(), dtype: inputs[0].dtype }])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, upstream, .. } = *cx;
        let shape = graph.shape(inputs[0]).clone();
        Ok(vec![upstream[0].map(|dy| graph.reshape(dy, shape)).transpose()?])
    }

    fn lower(&self, _cx: &LowerContext<'_>) -> Result<Lowered> {
        Err(no_kernel("reshape"))
    }
}

/// The same tensor, through which no gradient flows. No copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StopGradient;

impl Op for StopGradient {
    fn name(&self) -> String {
        "stop_gradient".into()
    }

    fn class(&self) -> Class<'_> {
        Class::Movement(Movement::Alias { offset: 0 })
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0].clone()])
    }

    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![None])
    }

    fn lower(&self, _cx: &LowerContext<'_>) -> Result<Lowered> {
        Err(no_kernel("stop_gradient"))
    }
}

/// Axes in another order: output axis i is input axis `axes[i]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Permute {
    /// The input axis of each output axis.
    pub axes: Vec<usize>,
    /// The operand's shape.
    pub from: Shape,
}

impl Permute {
    fn shape(&self) -> Shape {
        Shape::new(self.axes.iter().map(|&a| self.from.dims()[a]).collect::<Vec<_>>())
    }

    fn strides(&self) -> Vec<usize> {
        let own = self.from.strides();
        self.axes.iter().map(|&a| own[a]).collect()
    }
}

impl Op for Permute {
    fn name(&self) -> String {
        "transpose".into()
    }

    fn attrs(&self) -> String {
        format!("{:?}", self.axes)
    }

    fn class(&self) -> Class<'_> {
        Class::Movement(Movement::Strided { offset: 0, strides: self.strides() })
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if inputs[0].shape != self.from || sorted != (0..self.from.rank()).collect::<Vec<_>>() {
            return Err(Error::shape(
                "transpose",
                &[&inputs[0].shape],
                format!("axes {:?} are not a permutation of its axes", self.axes),
            ));
        }
        if inputs[0].dtype != crate::tensor::DType::F32 {
            return Err(Error::dtype("transpose", &[inputs[0].dtype], "only f32 is transposed"));
        }
        Ok(vec![TensorType::f32(self.shape())])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { upstream, .. } = *cx;
        let mut inverse = vec![0; self.axes.len()];
        for (to, &from) in self.axes.iter().enumerate() {
            inverse[from] = to;
        }
        Ok(vec![upstream[0].map(|dy| graph.transpose(dy, &inverse)).transpose()?])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let shape = self.shape();
        let layout = Layout::strided(&self.strides(), 0, &shape);
        lower_map(&Program::identity(), &shape, &[layout], cx)
    }
}

/// A tensor inside a flat arena, from element `offset`. No copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArenaView {
    /// First element: a multiple of 64 (256 bytes), so that it can be bound.
    pub offset: usize,
    /// The tensor's shape.
    pub shape: Shape,
}

impl Op for ArenaView {
    fn name(&self) -> String {
        "view".into()
    }

    fn attrs(&self) -> String {
        format!("{} at {}", self.shape, self.offset)
    }

    fn class(&self) -> Class<'_> {
        Class::Movement(Movement::Alias { offset: self.offset })
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let arena = &inputs[0].shape;
        let fits = self.offset + self.shape.len() <= arena.len();
        if arena.rank() != 1 || !fits || !self.offset.is_multiple_of(64) {
            return Err(Error::shape(
                "view",
                &[arena, &self.shape],
                format!("an arena is flat and holds the tensor from element {}", self.offset),
            ));
        }
        Ok(vec![TensorType { shape: self.shape.clone(), dtype: inputs[0].dtype }])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, upstream, .. } = *cx;
        let len = graph.shape(inputs[0]).len();
        let Some(dy) = upstream[0] else { return Ok(vec![None]) };
        let pack = Pack { len, offsets: vec![self.offset] };
        Ok(vec![Some(graph.push(Arc::new(pack), &[dy])?)])
    }

    fn lower(&self, _cx: &LowerContext<'_>) -> Result<Lowered> {
        Err(no_kernel("view"))
    }
}

/// Tensors side by side in a flat arena of `len` elements, zero between them. Their kernels write straight
/// into it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pack {
    /// Elements of the arena.
    pub len: usize,
    /// First element of each tensor: ascending multiples of 64.
    pub offsets: Vec<usize>,
}

impl Op for Pack {
    fn name(&self) -> String {
        "pack".into()
    }

    fn attrs(&self) -> String {
        format!("{} at {:?}", self.len, self.offsets)
    }

    fn class(&self) -> Class<'_> {
        Class::Movement(Movement::Pack { offsets: self.offsets.clone() })
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let mut end = 0;
        let fits = inputs.len() == self.offsets.len()
            && inputs.iter().zip(&self.offsets).all(|(ty, &offset)| {
                let follows = offset >= end && offset.is_multiple_of(64);
                end = offset + ty.shape.len();
                follows && end <= self.len && ty.dtype == crate::tensor::DType::F32
            });
        if !fits {
            let shapes: Vec<&Shape> = inputs.iter().map(|t| &t.shape).collect();
            return Err(Error::shape(
                "pack",
                &shapes,
                format!("f32 tensors at {:?} do not fit {} elements", self.offsets, self.len),
            ));
        }
        Ok(vec![TensorType::f32([self.len])])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None; inputs.len()]) };
        let views = inputs.iter().zip(&self.offsets).map(|(&input, &offset)| {
            let shape = graph.shape(input).clone();
            graph.push(Arc::new(ArenaView { offset, shape }), &[dy]).map(Some)
        });
        views.collect()
    }

    fn lower(&self, _cx: &LowerContext<'_>) -> Result<Lowered> {
        Err(no_kernel("pack"))
    }
}
