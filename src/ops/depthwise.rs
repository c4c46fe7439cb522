//! Depthwise convolution, and its gradients.

use super::bytes;
use super::map::to_u32;
use super::reduce::sum_of_parts;
use crate::error::{Error, Result};
use crate::graph::{
    Class, Graph, LowerContext, Lowered, Op, Steps, TensorType, Value, VjpContext, Window,
};
use crate::kernels::{Bind, DeviceCaps, KernelCall, Template, grid, param_blocks, template};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

pub(super) const DEPTHWISE: Template = template!("window/depthwise", DepthwiseParams);
pub(super) const DEPTHWISE_INPUT: Template = template!("window/depthwise_input", DepthwiseParams);
pub(super) const DEPTHWISE_KERNEL: Template = template!("window/depthwise_kernel", DepthwiseParams);

const WORKGROUP: u32 = 64;

param_blocks! {
    /// Depthwise convolution and its gradients.
    DepthwiseParams {
        /// Samples.
        samples: u32,
        /// Segments of a chunk.
        chunk: u32,
        /// Chunks.
        chunks: u32,
        /// Windows of a segment.
        segment: u32,
        /// Segments of a line of windows.
        segments: u32,
        /// Factor on bytes.
        factor: f32,
        /// An infinity, below which products with the factor are held.
        limit: f32,
        /// Padding.
        pad0: u32,
    }
}

/// Which of the three tensors of a depthwise convolution is the result. With `y` linear in `x` and in the kernel, each
/// gradient is one of the others, and so is each gradient of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DepthwiseForm {
    /// `y` of `x` and the kernel.
    Forward,
    /// The gradient of `x`, of that of `y` and the kernel.
    Input,
    /// The gradient of the kernel, of `x` and the gradient of `y`.
    Kernel,
}

/// Filters that each see one channel: `y[n, o, c, m]` is the sum over the taps `t` of
/// `x[n, o · stride + t · dilation - before, c] · kernel[t, c, m]`, along one to three axes.
///
/// `x` is `[samples, extents.., channels]`, the kernel `[taps.., channels, multiplier]`, and `y`
/// `[samples, windows.., channels · multiplier]`. The order of additions is fixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Depthwise {
    /// Which tensor is the result.
    pub form: DepthwiseForm,
    /// How windows slide along each axis.
    pub windows: Vec<Window>,
    /// The extents of `x` along these axes.
    pub extents: Vec<usize>,
    /// Filters of each channel.
    pub multiplier: usize,
}

/// Samples and channels.
type Sizes = (usize, usize);

impl Depthwise {
    fn with(&self, form: DepthwiseForm) -> Arc<Self> {
        Arc::new(Self { form, ..self.clone() })
    }

    /// How many windows there are along each axis.
    fn counts(&self) -> Option<Vec<usize>> {
        self.windows.iter().zip(&self.extents).map(|(w, &extent)| w.count(extent)).collect()
    }

    fn taps(&self) -> Vec<usize> {
        self.windows.iter().map(|w| w.taps).collect()
    }

    /// The shapes of `x`, the kernel and `y`.
    fn shapes(&self, (samples, channels): Sizes) -> Option<[Shape; 3]> {
        let filters = channels.checked_mul(self.multiplier)?;
        let x = [&[samples], self.extents.as_slice(), &[channels]].concat();
        let kernel = [self.taps().as_slice(), &[channels, self.multiplier]].concat();
        let y = [&[samples], self.counts()?.as_slice(), &[filters]].concat();
        Some([x, kernel, y].map(Shape::from))
    }

    /// Samples and channels, from the shapes of the operands.
    fn sizes(&self, inputs: [&Shape; 2]) -> Option<Sizes> {
        let [a, b] = inputs.map(Shape::dims);
        let channels = match self.form {
            DepthwiseForm::Forward | DepthwiseForm::Kernel => *a.last()?,
            DepthwiseForm::Input => *b.get(b.len().checked_sub(2)?)?,
        };
        Some((*a.first()?, channels))
    }

    /// Places among `x`, the kernel and `y` of the two operands and the result.
    const fn places(&self) -> [usize; 3] {
        match self.form {
            DepthwiseForm::Forward => [0, 1, 2],
            DepthwiseForm::Input => [2, 1, 0],
            DepthwiseForm::Kernel => [0, 2, 1],
        }
    }

    /// The constants of `lib/sliding` for three axes, of which the first have one element if there are fewer.
    fn axes(&self) -> Result<[Axis; 3]> {
        let mut axes = [axis(Window::of(1), 1)?; 3];
        let last = &mut axes[3 - self.windows.len()..];
        for (own, (window, &extent)) in last.iter_mut().zip(self.windows.iter().zip(&self.extents))
        {
            *own = axis(*window, extent)?;
        }
        Ok(axes)
    }

    /// How the sum over windows is divided: a chunk is some segments of lines.
    fn divide(
        &self,
        params: &mut DepthwiseParams,
        [a, b, line]: [u64; 3],
        parallel: u64,
        caps: &DeviceCaps,
    ) -> Result<()> {
        let windows = u64::from(params.samples) * a * b * line;
        let trips = u64::from(caps.max_loop_trips);
        let longest = (trips / 2).max(1);
        let wanted = if caps.cpu { 64 } else { 16_384 } / parallel;
        let chunk = windows.div_ceil(wanted.clamp(1, 512)).max(256);
        // Sums of some thousand terms keep the error of rounding small.
        let chunk = chunk.min(4096).max(windows.div_ceil(trips / 2)).min(longest);
        let segment = line.min(chunk);
        let segments = line.div_ceil(segment);
        let pieces = segments * a * b * u64::from(params.samples);
        let per_chunk = (chunk / segment).max(1);
        let chunks = pieces.div_ceil(per_chunk);
        if chunks > trips / 2 {
            return Err(Error::Limit {
                what: format!("{}: windows", self.name()),
                needed: windows,
                allowed: trips / 2 * longest,
                detail: "use a smaller batch or smaller images".into(),
            });
        }
        (params.segment, params.segments) = (segment as u32, segments as u32);
        (params.chunk, params.chunks) = (per_chunk as u32, chunks as u32);
        Ok(())
    }
}

/// The longest stride, without what it has in common with the dilation: its square is below 2^32 in the kernels.
const LONGEST_STRIDE: usize = 1 << 15;

/// Extent, windows, taps, stride, dilation, zeros before, and the numbers that follow from stride and dilation: the
/// struct `Axis` of `lib/sliding`, which has the meaning of each.
type Axis = [usize; 10];

fn axis(window: Window, extent: usize) -> Result<Axis> {
    let Window { taps, dilation, before, .. } = window;
    let count = window.count(extent).unwrap_or(0);
    // One window has no next one.
    let stride = if count == 1 { 1 } else { window.stride };
    let steps = Window { stride, ..window }.steps();
    let reach = extent as u64 + before as u64 + window.after as u64;
    let allowed = u64::from(u32::MAX / 4);
    let limit = |what: &str, needed, allowed, detail: &str| {
        let (what, detail) = (format!("depthwise_convolution: {what}"), detail.into());
        Err(Error::Limit { what, needed, allowed, detail })
    };
    if reach > allowed {
        let detail = "cut the samples into shorter ones";
        return limit("padded elements along an axis", reach, allowed, detail);
    }
    if steps.tap > LONGEST_STRIDE {
        let (needed, allowed) = (steps.tap as u64, LONGEST_STRIDE as u64);
        let detail = "use a smaller stride, or pool before the convolution";
        return limit("the stride along an axis", needed, allowed, detail);
    }
    let Steps { common, tap, window } = steps;
    Ok([extent, count, taps, stride, dilation, before, common, tap, window, steps.inverse()])
}

/// The numbers as arguments in WGSL.
fn listed(axis: Axis) -> String {
    axis.map(|number| format!("{number}u")).join(", ")
}

impl Op for Depthwise {
    fn name(&self) -> String {
        match self.form {
            DepthwiseForm::Forward => "depthwise_convolution",
            DepthwiseForm::Input => "depthwise_convolution_input",
            DepthwiseForm::Kernel => "depthwise_convolution_kernel",
        }
        .into()
    }

    fn attrs(&self) -> String {
        let axis = |w: &Window| {
            let Window { taps, stride, dilation, before, after } = w;
            format!(
                "{taps} taps, stride {stride}, dilation {dilation}, padding {before} and {after}"
            )
        };
        self.windows.iter().map(axis).collect::<Vec<_>>().join("; ")
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (a, b) = (inputs[0], inputs[1]);
        let dtypes = [a.dtype, b.dtype];
        let reads = self.decodes(0) && bytes::numbers_or_bytes(inputs, 2);
        if (a.dtype != DType::F32 && !reads) || b.dtype != DType::F32 {
            return Err(Error::dtype(self.name(), &dtypes, "both operands are f32"));
        }
        let fail = |detail: String| Err(Error::shape(self.name(), &[&a.shape, &b.shape], detail));
        let axes = self.windows.len();
        if !(1..=3).contains(&axes) || self.extents.len() != axes {
            return fail(format!("windows along one to three axes are wanted, not along {axes}"));
        }
        let sizes = self.sizes([&a.shape, &b.shape]).filter(|s| s.0 > 0 && s.1 > 0);
        let shapes = sizes.and_then(|sizes| self.shapes(sizes)).filter(|_| self.multiplier > 0);
        let Some(shapes) = shapes else {
            return fail(format!(
                "the operands are [samples, {axes} extents, channels] and [{axes} taps, channels, multiplier], none \
                 of them zero, and a window of {:?} fits {:?} elements",
                self.windows, self.extents
            ));
        };
        let [first, second, result] = self.places().map(|place| &shapes[place]);
        if a.shape != *first || b.shape != *second {
            return fail(format!("operands {first} and {second} fit together"));
        }
        Ok(vec![TensorType::f32(result.clone())])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, upstream, .. } = *cx;
        let Some(d) = upstream[0] else { return Ok(vec![None; 2]) };
        let mut tensors = [None; 3];
        let places = self.places();
        (tensors[places[0]], tensors[places[1]]) = (Some(inputs[0]), Some(inputs[1]));
        tensors[places[2]] = Some(d);
        let of = |graph: &mut Graph, place: usize| {
            let form = [DepthwiseForm::Input, DepthwiseForm::Kernel, DepthwiseForm::Forward][place];
            let op = self.with(form);
            let [a, b, _] = op.places().map(|place| tensors[place]);
            let operands = [a, b].into_iter().flatten().collect::<Vec<_>>();
            graph.push(op, &operands).map(Some)
        };
        Ok(vec![of(graph, places[0])?, of(graph, places[1])?])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let [a, b] = [0, 1].map(|i| &cx.inputs[i].0.shape);
        let wrong = || Error::internal(self.name(), "operands that do not fit");
        let sizes = self.sizes([a, b]).ok_or_else(wrong)?;
        let shapes = self.shapes(sizes).ok_or_else(wrong)?;
        for shape in &shapes {
            to_u32(shape.len())?;
        }
        let (channels, filters) = (sizes.1, sizes.1 * self.multiplier);
        let taps: usize = self.taps().iter().product();
        let axes = self.axes()?;
        let factor = bytes::factor(cx, 2)?;
        let mut params = DepthwiseParams {
            samples: sizes.0 as u32,
            factor: factor.unwrap_or(1.0),
            limit: f32::INFINITY,
            ..DepthwiseParams::default()
        };
        let x_quads =
            channels % 4 == 0 && (self.multiplier == 1 || self.form == DepthwiseForm::Input);
        let y_quads =
            filters % 4 == 0 && (self.multiplier == 1 || self.form != DepthwiseForm::Input);
        let lanes = |channels: usize| channels.div_ceil(4);
        let (template, invocations) = match self.form {
            DepthwiseForm::Forward => (DEPTHWISE, shapes[2].len() / filters * lanes(filters)),
            DepthwiseForm::Input => (DEPTHWISE_INPUT, shapes[0].len() / channels * lanes(channels)),
            DepthwiseForm::Kernel => {
                let parallel = taps * lanes(filters);
                let counts = axes.map(|axis| axis[1] as u64);
                self.divide(&mut params, counts, parallel as u64, cx.caps)?;
                (DEPTHWISE_KERNEL, parallel * params.chunks as usize)
            }
        };
        // The loops of three axes, each with the ends of the lines in it.
        let trips = 3 * taps * if self.form == DepthwiseForm::Input { self.multiplier } else { 1 };
        if self.form != DepthwiseForm::Kernel && trips > cx.caps.max_loop_trips as usize {
            return Err(Error::Limit {
                what: format!("{}: taps of a window", self.name()),
                needed: taps as u64,
                allowed: (cx.caps.max_loop_trips as usize / (trips / taps)) as u64,
                detail: "one invocation goes through all of them; use a smaller kernel".into(),
            });
        }
        let chunks = params.chunks as usize;
        let output = if chunks > 1 { Bind::ScratchWrite(0) } else { Bind::Output(0) };
        let call = KernelCall {
            text: None,
            template,
            defines: vec![
                ("WG", WORKGROUP.into()),
                ("WIDE", (cx.caps.wide_words && (x_quads || y_quads)).into()),
                ("X_QUADS", x_quads.into()),
                ("BYTES", factor.is_some().into()),
                ("Y_QUADS", y_quads.into()),
                ("SINGLE", (self.multiplier == 1).into()),
                ("A", listed(axes[0]).into()),
                ("B", listed(axes[1]).into()),
                ("C", listed(axes[2]).into()),
                ("CHANNELS", (channels as u32).into()),
                ("MULTIPLIER", (self.multiplier as u32).into()),
            ],
            binds: vec![Bind::Input(0), Bind::Input(1), output],
            params: params.with_words(&[]),
            step: false,
            grid: grid(&self.name(), invocations.div_ceil(WORKGROUP as usize) as u64, cx.caps)?,
            flops: 2 * (shapes[2].len() * taps) as u64,
        };
        if chunks <= 1 {
            return Ok(call.into());
        }
        let len = shapes[1].len();
        let join = sum_of_parts(cx.caps, (chunks, len), Bind::ScratchRead(0), Bind::Output(0))?;
        Ok(Lowered { calls: vec![call, join], scratch: vec![(4 * chunks * len) as u64] })
    }

    fn decodes(&self, input: usize) -> bool {
        input == 0 && self.form != DepthwiseForm::Input
    }

    fn takes_uniform(&self, input: usize) -> bool {
        input == 2
    }
}

impl Graph {
    /// Depthwise convolution: each channel has separate filters, as in Keras' `DepthwiseConv2D`. `x` is
    /// `[samples, extents.., channels]`, `kernel` `[taps.., channels, multiplier]`, with one [`Window`] for each of one
    /// to three axes; the result is `[samples, windows.., channels · multiplier]`.
    ///
    /// ```
    /// use wgrad::graph::{Graph, Window};
    /// use wgrad::tensor::DType;
    ///
    /// let mut graph = Graph::new();
    /// let images = graph.input("images", [32, 28, 28, 4], DType::F32);
    /// let kernel = graph.input("kernel", [3, 3, 4, 2], DType::F32);
    /// let y = graph.depthwise_convolution(images, kernel, &[Window::of(3), Window::of(3)])?;
    /// assert_eq!(graph.shape(y).dims(), [32, 26, 26, 8]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] for operands or windows that do not fit together; [`Error::DType`] if one is not f32.
    pub fn depthwise_convolution(
        &mut self,
        x: Value,
        kernel: Value,
        windows: &[Window],
    ) -> Result<Value> {
        self.check("depthwise_convolution", &[x, kernel])?;
        let (of, taps) = (self.shape(x).clone(), self.shape(kernel).clone());
        let extents = of.dims().get(1..=windows.len()).unwrap_or_default().to_vec();
        let multiplier = taps.dims().last().copied().unwrap_or(0);
        let form = DepthwiseForm::Forward;
        let op = Depthwise { form, windows: windows.to_vec(), extents, multiplier };
        self.push(Arc::new(op), &[x, kernel])
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::reduce::COLUMNS;
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::{DEPTHWISE, DEPTHWISE_INPUT, DEPTHWISE_KERNEL, Depthwise, DepthwiseForm, Window};
    use crate::kernels::Template;
    use std::sync::Arc;

    const FORMS: [(&str, DepthwiseForm); 3] = [
        ("depthwise_convolution", DepthwiseForm::Forward),
        ("depthwise_convolution_input", DepthwiseForm::Input),
        ("depthwise_convolution_kernel", DepthwiseForm::Kernel),
    ];

    impl Case {
        /// A depthwise convolution of `x` `[samples, extents.., channels]`, or one of its gradients. `args`: the
        /// multiplier, then taps, stride, dilation, zeros before and after, and the extent of each axis.
        #[must_use]
        pub fn depthwise(
            op: &'static str,
            x: &[usize],
            multiplier: usize,
            windows: &[[usize; 5]],
        ) -> Self {
            let build: Build = |g, c, x| Ok(vec![g.push(Arc::new(depthwise(c)), x)?]);
            let axes = windows.iter().zip(&x[1..]);
            let axes = axes.flat_map(|(window, &extent)| window.iter().copied().chain([extent]));
            let args: Vec<usize> = [multiplier].into_iter().chain(axes).collect();
            let mut case = Self::new(op, vec![], &args, build);
            let op = depthwise(&case);
            let shapes = op.shapes((x[0], x[x.len() - 1])).expect("windows that fit");
            let [a, b, _] = op.places();
            case.inputs = [a, b].map(|i| Sample::f32(shapes[i].clone(), (-1.0, 1.0))).to_vec();
            case
        }
    }

    fn depthwise(case: &Case) -> Depthwise {
        let axes = case.args[1..].chunks_exact(6);
        let windows = axes.clone().map(|a| Window {
            taps: a[0],
            stride: a[1],
            dilation: a[2],
            before: a[3],
            after: a[4],
        });
        let form = FORMS.iter().find(|f| f.0 == case.op).expect("a form").1;
        let (windows, extents) = (windows.collect(), axes.clone().map(|a| a[5]).collect());
        Depthwise { form, windows, extents, multiplier: case.args[0] }
    }

    /// A sum of k products up to 1 has partial sums near sqrt(k)/3, each rounded: a standard error of about k EPS / 8, and
    /// eight of those are allowed. Sums of small whole numbers are exact.
    fn error(case: &Case) -> (f64, f64) {
        let op = depthwise(case);
        let taps: usize = op.taps().iter().product();
        let terms = match op.form {
            DepthwiseForm::Forward => taps,
            DepthwiseForm::Input => taps * op.multiplier,
            DepthwiseForm::Kernel => {
                let y = case.inputs[1].shape.dims();
                y[..y.len() - 1].iter().product()
            }
        };
        let exact = case.inputs.iter().all(|s| s.whole);
        let epsilon = if exact { 0.0 } else { f64::from(f32::EPSILON) };
        (epsilon, epsilon * terms as f64)
    }

    pub fn cards() -> Vec<Card> {
        let card = |(op, form): (&'static str, DepthwiseForm)| {
            let of = |x: &[usize], multiplier, windows: &[[usize; 5]]| {
                Case::depthwise(op, x, multiplier, windows)
            };
            let cases = vec![
                // Widths that no vector divides, with every option apart from the others and beside them.
                of(&[2, 41, 7], 1, &[[3, 1, 1, 0, 0]]),
                of(&[1, 41, 7], 2, &[[3, 2, 3, 6, 0]]),
                of(&[2, 5, 6, 3], 1, &[[3, 1, 1, 1, 1], [3, 1, 1, 1, 1]]),
                of(&[1, 7, 9, 3], 2, &[[3, 2, 3, 3, 3], [2, 3, 2, 0, 1]]),
                of(&[1, 6, 5, 4], 1, &[[3, 2, 1, 0, 1], [3, 2, 1, 1, 1]]),
                of(&[1, 4, 5, 4], 3, &[[2, 2, 1, 0, 0], [3, 4, 2, 1, 3]]),
                of(&[2, 3, 4, 2], 2, &[[2, 1, 1, 0, 1], [1, 6, 4, 0, 0]]),
                of(&[1, 3, 5, 4, 2], 1, &[[2, 1, 1, 1, 0], [3, 2, 1, 1, 1], [2, 1, 3, 0, 0]]),
                // A window larger than the tensor, and more zeros than it reaches.
                of(&[1, 2, 2, 5], 1, &[[5, 1, 1, 2, 2], [1, 1, 1, 3, 2]]),
                // Many windows: the gradient of the kernel is divided.
                of(&[3, 31, 41, 7], 1, &[[3, 1, 1, 1, 1], [3, 1, 1, 1, 1]]),
                of(&[1, 9001, 4], 1, &[[3, 1, 1, 2, 0]]),
            ];
            let templates: &'static [Template] = match form {
                DepthwiseForm::Forward => &[DEPTHWISE],
                DepthwiseForm::Input => &[DEPTHWISE_INPUT],
                DepthwiseForm::Kernel => &[DEPTHWISE_KERNEL, COLUMNS],
            };
            Card::new(op, templates, Gradient::Checked, cases).within(error)
        };
        FORMS.map(card).to_vec()
    }
}
