//! The place of the largest or the smallest element of each row.

use super::softmax::{row_launch, rows_cols};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, KernelCall, RowParams, Template, template};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

pub(super) const POSITION: Template = template!("reduce/position", RowParams);

/// `[...]` u32 from `[..., cols]` f32: where along the last axis the largest element is, the first of equal ones, or the
/// first NaN if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// Whether the smallest element is meant.
    pub smallest: bool,
}

impl Op for Position {
    fn name(&self) -> String {
        if self.smallest { "argmin" } else { "argmax" }.into()
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs[0].dtype != DType::F32 {
            return Err(Error::dtype(self.name(), &[inputs[0].dtype], "the operand is f32"));
        }
        rows_cols(&self.name(), &inputs[0].shape)?;
        let dims = inputs[0].shape.dims();
        Ok(vec![TensorType { shape: Shape::from(&dims[..dims.len() - 1]), dtype: DType::U32 }])
    }

    /// A place is a whole number: its gradient is zero wherever it exists.
    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![None])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let (rows, cols) = rows_cols(&self.name(), &cx.inputs[0].0.shape)?;
        let (mut defines, grid) = row_launch(&self.name(), (rows, cols), 1, cx.caps)?;
        defines.push(("SMALLEST", self.smallest.into()));
        let params = RowParams { rows: rows as u32, cols: cols as u32, pad0: 0, pad1: 0 };
        Ok(KernelCall {
            text: None,
            template: POSITION,
            defines,
            binds: vec![Bind::Input(0), Bind::Output(0)],
            params: params.with_words(&[]),
            step: false,
            grid,
            flops: (rows * cols) as u64,
        }
        .into())
    }
}

impl Graph {
    /// Where the largest element of each row is: `[...]` u32 from `[..., cols]`, usable as ids. The first of equal
    /// ones; the first NaN if there is one, as in NumPy.
    ///
    /// # Errors
    /// [`Error::Shape`] for a scalar; [`Error::DType`] if `x` is not f32.
    pub fn argmax(&mut self, x: Value) -> Result<Value> {
        self.push(Arc::new(Position { smallest: false }), &[x])
    }

    /// Where the smallest element of each row is; as [`Graph::argmax`].
    ///
    /// # Errors
    /// As [`Graph::argmax`].
    pub fn argmin(&mut self, x: Value) -> Result<Value> {
        self.push(Arc::new(Position { smallest: true }), &[x])
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::POSITION;

    impl Case {
        /// `argmax` or `argmin` of rows, as f32.
        #[must_use]
        pub fn position(op: &'static str, shape: &[usize]) -> Self {
            let build: Build = |g, c, x| {
                let place = if c.op == "argmin" { g.argmin(x[0])? } else { g.argmax(x[0])? };
                Ok(vec![g.to_f32(place)?])
            };
            Self::new(op, vec![Sample::f32(shape, (-4.0, 4.0))], &[], build)
        }
    }

    pub fn cards() -> Vec<Card> {
        let card = |op| {
            let shapes: [&[usize]; 4] = [&[3, 5], &[7, 1], &[2, 3, 13], &[2, 300]];
            let cases = shapes.iter().map(|s| Case::position(op, s)).collect();
            Card::new(op, &[POSITION], Gradient::Zero, cases).within(|_| (0.0, 0.0))
        };
        vec![card("argmax"), card("argmin")]
    }
}
