//! Sums and products of all elements up to each one, along an axis.

use super::map::to_u32;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, DeviceCaps, KernelCall, ReduceParams, Template, grid, template};
use crate::tensor::DType;
use std::sync::Arc;

pub(super) const CUMULATIVE: Template = template!("reduce/cumulative", ReduceParams);

const WORKGROUP: u32 = 64;

/// The elements up to each one along an axis, added or multiplied. The order is fixed by the shape and the device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cumulative {
    /// The axis.
    pub axis: usize,
    /// Whether elements are multiplied.
    pub product: bool,
    /// Whether to begin at the end of the axis.
    pub reverse: bool,
    /// Whether to leave the element itself out: the first result is 0, or 1 of a product.
    pub exclusive: bool,
}

/// One level of a divided sum: `[outer, len, inner]` in chunks of `chunk`.
struct Level {
    extents: [usize; 3],
    chunk: usize,
}

impl Level {
    fn chunks(&self) -> usize {
        self.extents[1].div_ceil(self.chunk)
    }
}

/// Elements that one invocation goes through. Long axes are divided, so that enough invocations run at once and none
/// exceeds the loop limit.
fn chunk_len([outer, len, inner]: [usize; 3], caps: &DeviceCaps) -> usize {
    const SHORT: usize = 256;
    let parallel: usize = if caps.cpu { 64 } else { 16_384 };
    let longest = (caps.max_loop_trips as usize / 2).max(1);
    if len <= SHORT.min(longest) {
        return len;
    }
    let wanted = (parallel / (outer * inner)).max(1);
    len.div_ceil(wanted).max(64).min(longest).min(len)
}

impl Op for Cumulative {
    fn name(&self) -> String {
        if self.product { "cumprod" } else { "cumsum" }.into()
    }

    fn attrs(&self) -> String {
        let words = [(self.reverse, ", from the end"), (self.exclusive, ", exclusive")];
        let words: String = words.iter().filter(|w| w.0).map(|w| w.1).collect();
        format!("axis {}{words}", self.axis)
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let ty = inputs[0];
        if ty.dtype != DType::F32 {
            return Err(Error::dtype(self.name(), &[ty.dtype], "only f32 is accumulated"));
        }
        if self.axis >= ty.shape.rank() {
            let detail = format!("there is no axis {}", self.axis);
            return Err(Error::shape(self.name(), &[&ty.shape], detail));
        }
        Ok(vec![ty.clone()])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None]) };
        if self.product {
            return Err(Error::not_differentiable(
                self.name(),
                "it is itself part of the gradient of a product",
            ));
        }
        // Element i is in all results from i on.
        let back = Self { reverse: !self.reverse, ..self.clone() };
        Ok(vec![Some(graph.push(Arc::new(back), &[dy])?)])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let dims = cx.inputs[0].0.shape.dims();
        to_u32(dims.iter().product())?;
        let product = |d: &[usize]| d.iter().product::<usize>();
        let (outer, inner) = (product(&dims[..self.axis]), product(&dims[self.axis + 1..]));
        // The totals of each level's chunks are the values of the next.
        let mut levels = Vec::new();
        let mut len = dims[self.axis];
        loop {
            let extents = [outer, len, inner];
            let level = Level { extents, chunk: chunk_len(extents, cx.caps) };
            let chunks = level.chunks();
            levels.push(level);
            if chunks == 1 {
                break;
            }
            len = chunks;
        }
        // Scratch 2l: the totals of level l. Scratch 2l + 1: what comes before each of its chunks.
        let last = levels.len() - 1;
        let mut lowered = Lowered::default();
        for level in &levels[..last] {
            let bytes = 4 * (outer * level.chunks() * inner) as u64;
            lowered.scratch.extend([bytes, bytes]);
        }
        let values = |l: usize| match l {
            0 => Bind::Input(0),
            _ => Bind::ScratchRead(2 * (l - 1)),
        };
        for (l, level) in levels[..last].iter().enumerate() {
            let binds = vec![values(l), Bind::ScratchWrite(2 * l)];
            lowered.calls.push(self.call(level, l, true, binds, cx.caps)?);
        }
        for (l, level) in levels.iter().enumerate().rev() {
            let mut binds = vec![values(l)];
            if l < last {
                binds.push(Bind::ScratchRead(2 * l + 1));
            }
            binds.push(match l {
                0 => Bind::Output(0),
                _ => Bind::ScratchWrite(2 * (l - 1) + 1),
            });
            lowered.calls.push(self.call(level, l, false, binds, cx.caps)?);
        }
        Ok(lowered)
    }
}

impl Cumulative {
    /// The launch of level `l`: the totals of its chunks, or its results.
    fn call(
        &self,
        level: &Level,
        l: usize,
        totals: bool,
        binds: Vec<Bind>,
        caps: &DeviceCaps,
    ) -> Result<KernelCall> {
        let [outer, len, inner] = level.extents;
        let chunks = level.chunks();
        let params = ReduceParams {
            outer: outer as u32,
            len: len as u32,
            inner: inner as u32,
            chunk: level.chunk as u32,
            chunks: chunks as u32,
            ..ReduceParams::default()
        };
        // Totals are in the order of addition already, and a chunk begins with what is before it.
        let (reverse, exclusive) = (self.reverse && l == 0, self.exclusive || l > 0);
        Ok(KernelCall {
            text: None,
            template: CUMULATIVE,
            defines: vec![
                ("WG", WORKGROUP.into()),
                ("KIND", u32::from(self.product).into()),
                ("TOTALS", totals.into()),
                ("OFFSETS", (binds.len() == 3).into()),
                ("REVERSE", reverse.into()),
                ("EXCLUSIVE", exclusive.into()),
            ],
            binds,
            params: params.with_words(&[]),
            step: false,
            grid: grid(
                &self.name(),
                (outer * chunks * inner).div_ceil(WORKGROUP as usize) as u64,
                caps,
            )?,
            flops: (outer * len * inner) as u64,
        })
    }
}

impl Graph {
    /// Σ of the elements of `x` up to each one along `axis`, itself among them: as Keras' `cumsum`. The same shape.
    ///
    /// # Errors
    /// [`Error::Shape`] for an axis that `x` does not have; [`Error::DType`] if `x` is not f32.
    pub fn cumsum(&mut self, x: Value, axis: usize) -> Result<Value> {
        self.cumsum_form(x, axis, false, false)
    }

    /// As [`Graph::cumsum`], from the end of the axis if `reverse` is set, and without the element itself if `exclusive`
    /// is.
    ///
    /// # Errors
    /// As [`Graph::cumsum`].
    pub fn cumsum_form(
        &mut self,
        x: Value,
        axis: usize,
        reverse: bool,
        exclusive: bool,
    ) -> Result<Value> {
        self.push(Arc::new(Cumulative { axis, product: false, reverse, exclusive }), &[x])
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::{CUMULATIVE, Cumulative};
    use std::sync::Arc;

    impl Case {
        /// `cumsum` or `cumprod`. `args`: the axis, then whether from the end and whether without the element itself.
        #[must_use]
        pub fn cumulative(
            op: &'static str,
            shape: &[usize],
            axis: usize,
            [reverse, exclusive]: [bool; 2],
        ) -> Self {
            let build: Build = |g, c, x| {
                let (axis, product) = (c.args[0], c.op == "cumprod");
                let (reverse, exclusive) = (c.args[1] == 1, c.args[2] == 1);
                Ok(vec![match product {
                    true => {
                        g.push(Arc::new(Cumulative { axis, product, reverse, exclusive }), x)?
                    }
                    false => g.cumsum_form(x[0], axis, reverse, exclusive)?,
                }])
            };
            let domain = if op == "cumprod" { (0.5, 1.5) } else { (-1.0, 1.0) };
            let args = [axis, usize::from(reverse), usize::from(exclusive)];
            Self::new(op, vec![Sample::f32(shape, domain)], &args, build)
        }
    }

    /// Half a unit of 1 for each term: the rounding of sums below 1, and of products relative to their size.
    fn error(case: &Case) -> f64 {
        let terms = case.inputs[0].shape.dims()[case.args[0]] as f64;
        0.5 * terms * f64::from(f32::EPSILON)
    }

    pub fn cards() -> Vec<Card> {
        let card = |op, gradient| {
            let of = |shape: &[usize], axis, form| Case::cumulative(op, shape, axis, form);
            let cases = vec![
                of(&[7], 0, [false, false]),
                of(&[3, 5, 7], 0, [true, false]),
                of(&[3, 5, 7], 1, [false, true]),
                of(&[3, 5, 7], 2, [true, true]),
                of(&[2, 301], 1, [false, false]),
                of(&[601, 1], 0, [true, true]),
            ];
            Card::new(op, &[CUMULATIVE], gradient, cases)
        };
        let detail = "it is itself part of the gradient of a product";
        vec![
            // Sums of few small whole numbers are exact in any order.
            card("cumsum", Gradient::Checked)
                .within(|c| if c.inputs[0].whole { (0.0, 0.0) } else { (0.0, error(c)) }),
            card("cumprod", Gradient::None(detail)).within(|c| (error(c), 0.0)),
        ]
    }
}
