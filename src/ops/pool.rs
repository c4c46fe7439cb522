//! Pooling: the largest element, or the mean, of windows that slide over a tensor.

use super::bytes;
use super::map::to_u32;
use super::pool_lower::{self, AXES};
use crate::error::{Error, Result};
use crate::graph::{
    Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext, Window,
};
use crate::kernels::Bind;
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// What a window gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// Its largest element, NaN if there is one. Padding never wins.
    Max,
    /// The mean of its elements.
    Average {
        /// Whether padding counts as zeros. Otherwise it does not count: the mean is over the elements inside.
        count_padding: bool,
    },
}

/// The largest element or the mean of each window over a tensor `[samples, extents.., channels]`, for each channel.
///
/// The largest has a second result, the number of the tap that won, so that the gradient reads a word for each window
/// and not the window again: one byte for each channel in vectors of four channels, else one word.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pool {
    /// What a window gives.
    pub kind: PoolKind,
    /// How windows slide along each axis between samples and channels.
    pub windows: Vec<Window>,
}

/// The gradient of a [`Pool`] by its operand, from that of its result and from who won.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolGradient {
    /// The pooling.
    pub pool: Pool,
    /// The shape of its operand.
    pub shape: Shape,
}

/// The most iterations of a loop on every device: software Vulkan drops those past it.
const LONGEST: u64 = 65_535;

impl Pool {
    fn channels_of_winners(&self, channels: usize) -> usize {
        if self.vectors(channels) { channels / 4 } else { channels }
    }

    /// The shape of the result.
    fn result(&self, of: &Shape) -> Result<Shape> {
        let fail = |detail: String| Err(Error::shape(self.name(), &[of], detail));
        let (dims, axes) = (of.dims(), self.windows.len());
        if axes == 0 || axes > AXES {
            return fail(format!("windows slide along 1 to {AXES} axes, not {axes}"));
        }
        if dims.len() != axes + 2 {
            return fail(format!(
                "{axes} windows need a tensor [samples, {axes} extents, channels]"
            ));
        }
        let mut result = dims.to_vec();
        for (axis, (window, &extent)) in self.windows.iter().zip(&dims[1..]).enumerate() {
            let padded = extent.saturating_add(window.before).saturating_add(window.after);
            if padded > 1 << 30 {
                return fail(format!(
                    "axis {} has {padded} elements with its padding; 2^30 at most",
                    axis + 1
                ));
            }
            let Some(count) = window.count(extent) else {
                return fail(format!(
                    "no {window:?} fits the {extent} elements of axis {}",
                    axis + 1
                ));
            };
            let inside = |w: usize| {
                let first = w * window.stride;
                let tap = window.before.saturating_sub(first).div_ceil(window.dilation);
                tap < window.taps && first + tap * window.dilation < extent + window.before
            };
            if let Some(w) = (0..count).find(|&w| !inside(w)) {
                return fail(format!(
                    "window {w} of {window:?} has padding alone along axis {}; pad by less than a window covers",
                    axis + 1
                ));
            }
            result[axis + 1] = count;
        }
        Ok(result.into())
    }
}

impl Op for Pool {
    fn name(&self) -> String {
        match self.kind {
            PoolKind::Max => "max_pool",
            PoolKind::Average { .. } => "average_pool",
        }
        .into()
    }

    fn attrs(&self) -> String {
        let each = |f: &dyn Fn(&Window) -> String| {
            self.windows.iter().map(f).collect::<Vec<_>>().join("x")
        };
        let mut text =
            format!("{} by {}", each(&|w| w.taps.to_string()), each(&|w| w.stride.to_string()));
        if self.windows.iter().any(|w| w.dilation > 1) {
            text += &format!(", dilation {}", each(&|w| w.dilation.to_string()));
        }
        if self.windows.iter().any(|w| w.before + w.after > 0) {
            text += &format!(", padding {}", each(&|w| format!("{}+{}", w.before, w.after)));
        }
        if self.kind == (PoolKind::Average { count_padding: true }) {
            text += ", padding counts";
        }
        text
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let ty = inputs[0];
        if !bytes::numbers_or_bytes(inputs, 1) {
            return Err(Error::dtype(self.name(), &[ty.dtype], "only f32 is pooled"));
        }
        let result = self.result(&ty.shape)?;
        if self.kind != PoolKind::Max {
            return Ok(vec![TensorType::f32(result)]);
        }
        let mut winners = result.dims().to_vec();
        if let Some(channels) = winners.last_mut() {
            *channels = self.channels_of_winners(*channels);
        }
        let winners = TensorType { shape: winners.into(), dtype: DType::U32 };
        Ok(vec![TensorType::f32(result), winners])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, outputs, upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None]) };
        let shape = graph.shape(inputs[0]).clone();
        let gradient = PoolGradient { pool: self.clone(), shape };
        let operands: Vec<Value> = [dy].into_iter().chain(outputs[1..].iter().copied()).collect();
        Ok(vec![Some(graph.push(Arc::new(gradient), &operands)?)])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let shape = &cx.inputs[0].0.shape;
        let sizes = self.sizes(shape);
        to_u32(shape.len())?;
        let outputs = (0..cx.outputs.len()).map(Bind::Output);
        let binds = [Bind::Input(0)].into_iter().chain(outputs).collect();
        let trips = sizes.trips(|w| w.taps);
        let cells = (shape.dims()[0], sizes.counts);
        let binds = (binds, bytes::factor(cx, 1)?);
        Ok(self.call(pool_lower::POOL, &sizes, cells, trips, binds, cx.caps)?.into())
    }

    fn decodes(&self, _input: usize) -> bool {
        true
    }

    fn takes_uniform(&self, input: usize) -> bool {
        input == 1
    }
}

impl Op for PoolGradient {
    fn name(&self) -> String {
        format!("{}_gradient", self.pool.name())
    }

    fn attrs(&self) -> String {
        format!("{}, of {}", self.pool.attrs(), self.shape)
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        if self.pool.kind == PoolKind::Max { 2 } else { 1 }
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let ty = TensorType::f32(self.shape.clone());
        let results = self.pool.infer(&[&ty])?;
        if let Some((given, want)) =
            inputs.iter().zip(&results).find(|(given, want)| given != &want)
        {
            let detail = format!("an operand is {} {}", want.dtype, want.shape);
            return Err(Error::shape(self.name(), &[&given.shape], detail));
        }
        Ok(vec![ty])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None; self.min_inputs()]) };
        match self.pool.kind {
            // A mean is linear.
            PoolKind::Average { .. } => {
                Ok(vec![Some(graph.push(Arc::new(self.pool.clone()), &[dy])?)])
            }
            PoolKind::Max => {
                Err(Error::not_differentiable(self.name(), "it is itself part of a gradient"))
            }
        }
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let sizes = self.pool.sizes(&self.shape);
        to_u32(cx.inputs[0].0.shape.len())?;
        let binds = (0..cx.inputs.len()).map(Bind::Input).chain([Bind::Output(0)]).collect();
        let (template, each, trips) = match sizes.blocks() {
            Some(blocks) => (pool_lower::SPREAD, blocks, sizes.trips(|w| w.stride)),
            None => {
                let trips = sizes.trips(|w| w.taps.div_ceil(w.steps().tap));
                (pool_lower::GRADIENT, sizes.extents, trips)
            }
        };
        to_u32(self.shape.len())?;
        let cells = (self.shape.dims()[0], each);
        Ok(self.pool.call(template, &sizes, cells, trips, (binds, None), cx.caps)?.into())
    }
}

impl Graph {
    /// The largest element of each window over `x`, `[samples, extents.., channels]`, with one [`Window`] for each of its 1
    /// to 3 extents: `[samples, windows.., channels]`. NaN if a window has one. Padding never wins. The first of equal
    /// elements takes the gradient.
    ///
    /// ```
    /// use wgrad::graph::{Graph, Window};
    /// use wgrad::tensor::DType;
    ///
    /// let mut graph = Graph::new();
    /// let images = graph.input("images", [32, 28, 28, 8], DType::F32);
    /// let window = Window { stride: 2, ..Window::of(2) };
    /// let pooled = graph.max_pool(images, &[window, window])?;
    /// assert_eq!(graph.shape(pooled).dims(), [32, 14, 14, 8]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if windows do not fit the tensor, or one has padding alone; [`Error::DType`] if `x` is not f32.
    pub fn max_pool(&mut self, x: Value, windows: &[Window]) -> Result<Value> {
        self.pool(PoolKind::Max, x, windows)
    }

    /// The mean of each window over `x`; shapes as of [`Graph::max_pool`]. Padding does not count, as in Keras; if
    /// `count_padding` is set, it counts as zeros: PyTorch's `count_include_pad`.
    ///
    /// # Errors
    /// As [`Graph::max_pool`].
    pub fn average_pool(
        &mut self,
        x: Value,
        windows: &[Window],
        count_padding: bool,
    ) -> Result<Value> {
        self.pool(PoolKind::Average { count_padding }, x, windows)
    }

    /// One kernel, or one for each axis if a window has more elements than a loop may have iterations. Axis after axis
    /// from the last gives the same: what counts of a window is a box, and the first of equal elements in a line, then
    /// of lines, is the first in the box.
    fn pool(&mut self, kind: PoolKind, x: Value, windows: &[Window]) -> Result<Value> {
        let whole = Pool { kind, windows: windows.to_vec() };
        self.check(&whole.name(), &[x])?;
        whole.infer(&[self.ty(x)])?;
        if windows.len() == 1 || whole.sizes(self.shape(x)).trips(|w| w.taps) <= LONGEST {
            return Ok(self.push_all(Arc::new(whole), &[x])?[0]);
        }
        let mut y = x;
        for axis in (0..windows.len()).rev().filter(|&axis| windows[axis] != Window::of(1)) {
            let mut along = vec![Window::of(1); windows.len()];
            along[axis] = windows[axis];
            y = self.push_all(Arc::new(Pool { kind, windows: along }), &[y])?[0];
        }
        Ok(y)
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::pool_lower::{GRADIENT, POOL, SPREAD};
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::{Graph, Pool, PoolGradient, PoolKind, Result, Value, Window};
    use crate::kernels::Template;
    use std::sync::Arc;

    /// Taps, stride, dilation, padding before and after.
    type Numbers = [usize; 5];

    impl Case {
        /// `max_pool`, `average_pool`, or the gradient of one. `args`: whether padding counts, then the numbers of each axis.
        #[must_use]
        pub fn pool(
            op: &'static str,
            shape: &[usize],
            windows: &[Numbers],
            count_padding: bool,
        ) -> Self {
            let build: Build = |g, c, x| {
                let windows: Vec<Window> = c.windows().collect();
                match c.op {
                    "max_pool" => Ok(vec![g.max_pool(x[0], &windows)?]),
                    "average_pool" => Ok(vec![g.average_pool(x[0], &windows, c.args[0] == 1)?]),
                    _ => gradient(g, c, x, windows),
                }
            };
            let mut args = vec![usize::from(count_padding)];
            args.extend(windows.iter().flatten());
            let mut case = Self::new(op, vec![Sample::f32(shape, (-4.0, 4.0))], &args, build);
            if op.ends_with("gradient") {
                let counts = case.windows().zip(&shape[1..]).map(|(w, &n)| w.count(n).unwrap_or(0));
                let counts = counts.collect::<Vec<_>>();
                let result = [&shape[..1], &counts, &shape[shape.len() - 1..]].concat();
                case.inputs.push(Sample::f32(result, (-1.0, 1.0)));
            }
            case
        }

        /// The windows in the arguments of a case of pooling.
        fn windows(&self) -> impl Iterator<Item = Window> + '_ {
            self.args[1..].chunks_exact(5).map(|w| Window {
                taps: w[0],
                stride: w[1],
                dilation: w[2],
                before: w[3],
                after: w[4],
            })
        }
    }

    /// The gradient of the operand `x[0]` for the upstream gradient `x[1]`.
    fn gradient(g: &mut Graph, c: &Case, x: &[Value], windows: Vec<Window>) -> Result<Vec<Value>> {
        g.check(c.op, x)?;
        let shape = g.shape(x[0]).clone();
        let max = c.op.starts_with("max");
        let count_padding = c.args[0] == 1;
        let kind = if max { PoolKind::Max } else { PoolKind::Average { count_padding } };
        let pool = Pool { kind, windows };
        let mut operands = vec![x[1]];
        if max {
            operands.push(g.push_all(Arc::new(pool.clone()), &[x[0]])?[1]);
        }
        Ok(vec![g.push(Arc::new(PoolGradient { pool, shape }), &operands)?])
    }

    /// A sum of up to as many terms below 1 as a window has taps, of either sign: partial sums near 1 or 2, each rounded
    /// to half a unit.
    fn rounding(case: &Case) -> (f64, f64) {
        let taps = case.windows().map(|w| w.taps as f64).product::<f64>();
        (2.0 * f64::from(f32::EPSILON), taps.max(8.0) * f64::from(f32::EPSILON))
    }

    pub fn cards() -> Vec<Card> {
        /// Shapes with the windows over them.
        const CASES: &[(&[usize], &[Numbers])] = &[
            (&[2, 6, 6, 8], &[[2, 2, 1, 0, 0], [2, 2, 1, 0, 0]]),
            (&[1, 5, 7, 3], &[[3, 1, 1, 0, 0], [3, 2, 1, 0, 0]]),
            // Windows past each other, and a rest that no window reaches.
            (&[2, 41, 7], &[[2, 3, 1, 0, 0]]),
            // More padding after than before.
            (&[1, 41, 7], &[[4, 3, 1, 1, 2]]),
            (&[1, 4, 5, 4], &[[3, 2, 1, 1, 0], [2, 1, 1, 0, 1]]),
            // Dilation with strides that it shares a divisor with, and that it does not.
            (&[1, 17, 5, 2], &[[3, 2, 3, 2, 3], [2, 4, 2, 1, 1]]),
            (&[1, 41, 4], &[[4, 6, 9, 3, 3]]),
            (&[1, 3, 4, 5, 4], &[[2, 1, 1, 1, 0], [2, 2, 1, 0, 0], [3, 1, 2, 2, 2]]),
            // One window, whatever its stride.
            (&[2, 5, 3], &[[5, 7, 1, 0, 0]]),
            (&[1, 5, 4], &[[1, 9, 1, 0, 0]]),
            (&[1, 17, 4], &[[4, 3, 5, 0, 0]]),
            // Dilation without a second tap.
            (&[1, 6, 3], &[[1, 2, 7, 0, 0]]),
            // More taps than a byte counts.
            (&[1, 20, 17, 4], &[[18, 1, 1, 2, 2], [16, 1, 1, 0, 0]]),
        ];
        let card = |op, templates: &'static [Template], gradient, forms: &[bool]| {
            let of = |&counts| CASES.iter().map(move |(shape, w)| Case::pool(op, shape, w, counts));
            Card::new(op, templates, gradient, forms.iter().flat_map(of).collect())
        };
        let none = Gradient::None("it is itself part of a gradient");
        vec![
            card("max_pool", &[POOL], Gradient::Checked, &[false]).within(|_| (0.0, 0.0)),
            // Half a unit of the largest for each term of a sum, relative to numbers up to 4.
            card("average_pool", &[POOL], Gradient::Checked, &[false, true])
                .within(|_| (2.0 * f64::from(f32::EPSILON), 4.0 * f64::from(f32::EPSILON))),
            card("max_pool_gradient", &[POOL, GRADIENT, SPREAD], none, &[false]).within(rounding),
            card("average_pool_gradient", &[GRADIENT, SPREAD], Gradient::Checked, &[false, true])
                .within(rounding),
        ]
    }
}
