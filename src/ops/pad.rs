//! A tensor with a margin around it.

use super::map::to_u32;
use crate::error::{Error, Result};
use crate::graph::{
    Class, Graph, LowerContext, Lowered, Movement, Op, TensorType, Value, VjpContext,
};
use crate::kernels::{Bind, KernelCall, Template, grid, param_blocks, template};
use crate::tensor::{DType, Exact};
use std::sync::Arc;

pub(super) const PAD: Template = template!("data/pad", PadParams);

param_blocks! {
    /// A margin around a tensor: rows of the result, and the part of each that the operand has.
    PadParams {
        /// Rows.
        rows: u32,
        /// Elements of a row.
        cols: u32,
        /// The first that is the operand's.
        first: u32,
        /// Elements of a row of the operand.
        width: u32,
        /// The value of the margin.
        fill: f32,
        /// Padding.
        pad0: u32,
        /// Padding.
        pad1: u32,
        /// Padding.
        pad2: u32,
    }
}

const WORKGROUP: u32 = 64;
/// Neighbours in a row that one invocation writes, on a CPU adapter: they share the divisions, which are done lane by
/// lane.
const COLUMNS: u32 = 8;

/// A tensor with elements of one value before and after it along each axis. Its gradient is a slice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pad {
    /// Elements before and after each axis.
    pub around: Vec<[usize; 2]>,
    /// Their value.
    pub fill: Exact,
}

impl Op for Pad {
    fn name(&self) -> String {
        "pad".into()
    }

    fn attrs(&self) -> String {
        format!("{:?} of {}", self.around, self.fill.get())
    }

    fn class(&self) -> Class<'_> {
        // Guards read zeros, and no other number.
        match self.fill.to_bits() {
            0 => Class::Movement(Movement::Padded { around: self.around.clone() }),
            _ => Class::Opaque,
        }
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let from = &inputs[0].shape;
        if self.around.len() != from.rank() || from.rank() == 0 {
            let detail = format!("{} margins are not one for each axis", self.around.len());
            return Err(Error::shape("pad", &[from], detail));
        }
        if inputs[0].dtype != DType::F32 {
            return Err(Error::dtype("pad", &[inputs[0].dtype], "only f32 is padded"));
        }
        let extent = |(&d, &[before, after]): (&usize, &[usize; 2])| {
            d.saturating_add(before).saturating_add(after)
        };
        let dims = from.dims().iter().zip(&self.around).map(extent);
        Ok(vec![TensorType::f32(dims.collect::<Vec<_>>())])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None]) };
        let dims = graph.shape(inputs[0]).dims();
        let own = dims.iter().zip(&self.around).map(|(d, [before, _])| *before..before + d);
        let own: Vec<_> = own.collect();
        Ok(vec![Some(graph.crop(dy, &own)?)])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let (from, to) = (&cx.inputs[0].0.shape, &cx.outputs[0].shape);
        let len = to_u32(to.len())?;
        // A row is the last axis with a margin, and those inside it.
        let padded = self.around.iter().rposition(|margin| *margin != [0, 0]).unwrap_or(0);
        let inner: usize = from.dims()[padded + 1..].iter().product();
        let cols = to.dims()[padded] * inner;
        let (first, width) = (self.around[padded][0] * inner, from.dims()[padded] * inner);
        // The axes before it, from the inside: extent, margin, extent and stride of the operand.
        let strides = from.strides();
        let mut axes: Vec<[u32; 4]> = Vec::new();
        for axis in (0..padded).rev() {
            let [extent, own] = [to, from].map(|shape| shape.dims()[axis] as u32);
            match axes.last_mut() {
                // Neighbours without a margin are one axis.
                Some(last) if extent == own && last[0] == last[2] => {
                    last[0] *= extent;
                    last[2] *= extent;
                }
                _ => axes.push([extent, self.around[axis][0] as u32, own, strides[axis] as u32]),
            }
        }
        if axes.is_empty() {
            axes.push([1, 0, 1, 0]);
        }
        let columns = if cx.caps.cpu { COLUMNS } else { 1 };
        let rows = to.len() / cols;
        let groups = (rows * cols.div_ceil(columns as usize)).div_ceil(WORKGROUP as usize);
        let params = PadParams {
            rows: rows as u32,
            cols: cols as u32,
            first: first as u32,
            width: width as u32,
            fill: self.fill.get(),
            pad0: 0,
            pad1: 0,
            pad2: 0,
        };
        Ok(KernelCall {
            text: None,
            template: PAD,
            defines: vec![
                ("WG", WORKGROUP.into()),
                ("COLUMNS", columns.into()),
                ("AXES", (axes.len() as u32).into()),
            ],
            binds: vec![Bind::Input(0), Bind::Output(0)],
            params: params.with_words(axes.as_flattened()),
            step: false,
            grid: grid("pad", groups as u64, cx.caps)?,
            flops: u64::from(len),
        }
        .into())
    }
}

impl Graph {
    /// `x` with `around[axis]` elements before and after it along each axis, all of the value `fill`. One kernel.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one margin for each axis; [`Error::DType`] if `x` is not f32.
    pub fn pad(&mut self, x: Value, around: &[[usize; 2]], fill: f32) -> Result<Value> {
        self.check("pad", &[x])?;
        if around.len() == self.shape(x).rank() && around.iter().all(|margin| *margin == [0, 0]) {
            return Ok(x);
        }
        self.push(Arc::new(Pad { around: around.to_vec(), fill: fill.into() }), &[x])
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::PAD;

    impl Case {
        /// A margin of `around` before and after each axis, filled with `fill`.
        #[must_use]
        pub fn pad(shape: &[usize], around: &[[usize; 2]], fill: f32) -> Self {
            let build: Build = |g, c, x| {
                let around: Vec<[usize; 2]> =
                    c.args.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
                Ok(vec![g.pad(x[0], &around, c.params[0])?])
            };
            let inputs = vec![Sample::f32(shape, (-4.0, 4.0))];
            Self::new("pad", inputs, around.as_flattened(), build).with(&[fill], &[])
        }
    }

    pub fn cards() -> Vec<Card> {
        let cases = vec![
            Case::pad(&[7], &[[1, 2]], 0.0),
            Case::pad(&[3, 5], &[[2, 0], [0, 0]], 0.0),
            Case::pad(&[2, 3, 5, 3], &[[0, 0], [1, 2], [3, 0], [0, 0]], 0.5),
            Case::pad(&[2, 3, 4, 2, 5], &[[0, 0], [0, 1], [2, 1], [0, 3], [0, 0]], 0.0),
            Case::pad(&[2, 3, 2, 7], &[[0, 0], [0, 0], [0, 0], [1, 0]], -1.5),
            Case::pad(&[2, 3, 2, 3], &[[1, 0], [0, 0], [0, 0], [0, 1]], 0.0),
        ];
        vec![Card::new("pad", &[PAD], Gradient::Checked, cases).within(|_| (0.0, 0.0))]
    }
}
