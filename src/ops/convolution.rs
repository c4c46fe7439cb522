//! Convolution and its two gradients: the product that it is linear in, once for each of its three tensors.

use crate::error::{Error, Result};
use crate::graph::{
    Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext, Window,
};
use crate::kernels::DeviceCaps;
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// Which of the three tensors of a convolution is computed from the other two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Computes {
    /// y from x and kernel.
    Output,
    /// The gradient of x from dy and kernel: a transposed convolution.
    Input,
    /// The gradient of the kernel from x and dy.
    Kernel,
}

/// `y[s, o, f] = Σ x[s, o·stride + t·dilation - before, c] · kernel[t, c, f]` over taps `t` and the channels `c` of the
/// filter's group, and the gradients of it, which are sums of the same products. x is `[samples, extents.., channels]`,
/// the kernel `[taps.., channels / groups, filters]`, y `[samples, windows.., filters]`.
///
/// It has no kernel: products over views take its place, so that nothing is copied into patches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// How windows slide along each axis.
    pub windows: Vec<Window>,
    /// Groups of channels, each with filters that see no other channels.
    pub groups: usize,
    /// The extents of x.
    pub extents: Vec<usize>,
    /// What is computed.
    pub computes: Computes,
}

impl Convolution {
    /// Windows along each axis of y, if all fit.
    pub(super) fn counts(&self) -> Option<Vec<usize>> {
        self.windows.iter().zip(&self.extents).map(|(w, &extent)| w.count(extent)).collect()
    }

    pub(super) fn taps(&self) -> impl Iterator<Item = usize> + '_ {
        self.windows.iter().map(|w| w.taps)
    }

    /// As many samples as `like`, these extents, and channels.
    pub(super) fn image(&self, samples: usize, extents: &[usize], channels: usize) -> Shape {
        [&[samples], extents, &[channels]].concat().into()
    }

    /// The same convolution, solved for another tensor.
    fn other(&self, graph: &mut Graph, computes: Computes, inputs: [Value; 2]) -> Result<Value> {
        graph.push(Arc::new(Self { computes, ..self.clone() }), &inputs)
    }

    fn refused(&self, shapes: &[&Shape], detail: String) -> Error {
        Error::shape(self.name(), shapes, detail)
    }
}

impl Op for Convolution {
    fn name(&self) -> String {
        match self.computes {
            Computes::Output => "convolution",
            Computes::Input => "convolution_transpose",
            Computes::Kernel => "convolution_kernel",
        }
        .into()
    }

    fn attrs(&self) -> String {
        let each = |of: fn(&Window) -> usize| {
            let numbers: Vec<String> = self.windows.iter().map(|w| of(w).to_string()).collect();
            numbers.join("x")
        };
        let mut text = each(|w| w.taps);
        if self.windows.iter().any(|w| w.stride > 1) {
            text += &format!(" stride {}", each(|w| w.stride));
        }
        if self.windows.iter().any(|w| w.dilation > 1) {
            text += &format!(" dilation {}", each(|w| w.dilation));
        }
        if self.groups > 1 {
            text += &format!(" groups {}", self.groups);
        }
        text
    }

    fn class(&self) -> Class<'_> {
        Class::Composite
    }

    fn min_inputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let shapes = [&inputs[0].shape, &inputs[1].shape];
        if inputs.iter().any(|ty| ty.dtype != DType::F32) {
            let dtypes: Vec<DType> = inputs.iter().map(|ty| ty.dtype).collect();
            return Err(Error::dtype(self.name(), &dtypes, "operands are f32"));
        }
        let (axes, groups) = (self.windows.len(), self.groups);
        let Some(counts) = self.counts() else {
            let detail = format!("windows {:?} do not fit {:?}", self.windows, self.extents);
            return Err(self.refused(&shapes, detail));
        };
        // An image of these extents: its samples and channels.
        let image = |shape: &Shape, extents: &[usize]| match shape.dims() {
            [samples, inner @ .., channels] if inner == extents => Ok((*samples, *channels)),
            _ => {
                let detail = format!("a tensor [samples, {extents:?}, channels] is expected");
                Err(self.refused(&shapes, detail))
            }
        };
        // A kernel: channels of a group, and filters.
        let kernel = |shape: &Shape| match shape.dims() {
            [taps @ .., channels, filters]
                if taps.iter().copied().eq(self.taps()) && filters.is_multiple_of(groups) =>
            {
                Ok((*channels, *filters))
            }
            _ => {
                let taps: Vec<usize> = self.taps().collect();
                let detail = format!(
                    "a kernel [{taps:?}, channels / {groups}, filters] is expected, with filters a multiple of {groups}"
                );
                Err(self.refused(&shapes, detail))
            }
        };
        let differ = |what: &str, a: usize, b: usize| {
            Err(self.refused(&shapes, format!("the {what} differ: {a} and {b}")))
        };
        if groups == 0 || axes == 0 || axes > 3 || self.extents.len() != axes {
            let detail = "one to three axes, and one group or more, are expected".into();
            return Err(self.refused(&shapes, detail));
        }
        let shape = match self.computes {
            Computes::Output => {
                let (samples, channels) = image(shapes[0], &self.extents)?;
                let (seen, filters) = kernel(shapes[1])?;
                if channels != seen * groups {
                    return differ("channels", channels, seen * groups);
                }
                self.image(samples, &counts, filters)
            }
            Computes::Input => {
                let (samples, filters) = image(shapes[0], &counts)?;
                let (seen, own) = kernel(shapes[1])?;
                if filters != own {
                    return differ("filters", filters, own);
                }
                self.image(samples, &self.extents, seen * groups)
            }
            Computes::Kernel => {
                let (samples, channels) = image(shapes[0], &self.extents)?;
                let (others, filters) = image(shapes[1], &counts)?;
                if samples != others {
                    return differ("samples", samples, others);
                }
                if !channels.is_multiple_of(groups) || !filters.is_multiple_of(groups) {
                    let detail = format!("{groups} groups divide channels and filters");
                    return Err(self.refused(&shapes, detail));
                }
                let taps: Vec<usize> = self.taps().collect();
                [taps, vec![channels / groups, filters]].concat().into()
            }
        };
        Ok(vec![TensorType::f32(shape)])
    }

    /// Each result is linear in each operand: x, the kernel and y are solved for in turn.
    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, upstream, needed, .. } = *cx;
        use Computes::{Input, Kernel, Output};
        let Some(d) = upstream[0] else { return Ok(vec![None; 2]) };
        let (a, b) = (inputs[0], inputs[1]);
        let solved = match self.computes {
            Output => [(Input, [d, b]), (Kernel, [a, d])],
            Input => [(Output, [d, b]), (Kernel, [d, a])],
            Kernel => [(Input, [b, d]), (Output, [a, d])],
        };
        let gradient = |(j, (computes, operands)): (usize, (Computes, [Value; 2]))| {
            needed[j].then(|| self.other(graph, computes, operands)).transpose()
        };
        solved.into_iter().enumerate().map(gradient).collect()
    }

    fn expand(
        &self,
        graph: &mut Graph,
        inputs: &[Value],
        _caps: &DeviceCaps,
    ) -> Result<Vec<Value>> {
        let (a, b) = (inputs[0], inputs[1]);
        let value = match self.computes {
            Computes::Output => self.output(graph, a, b),
            Computes::Input => self.input(graph, a, b),
            Computes::Kernel => self.kernel(graph, a, b),
        };
        Ok(vec![value?])
    }

    fn lower(&self, _cx: &LowerContext<'_>) -> Result<Lowered> {
        Err(Error::internal(self.name(), "other nodes take its place before it is lowered"))
    }
}

impl Graph {
    /// The convolution of images with filters: what deep learning calls so, a cross-correlation.
    ///
    /// `x` is `[samples, extents.., channels]` with one to three axes, one of `windows` for each; `kernel` is
    /// `[taps.., channels / groups, filters]`. The result is `[samples, windows.., filters]`. Filters are divided into
    /// `groups`, each of which sees its part of the channels alone. Nothing is copied into patches.
    ///
    /// ```
    /// use wgrad::graph::{Graph, Window};
    /// use wgrad::tensor::DType;
    ///
    /// // 8 filters of 3 by 3 over images of 28 by 28 in steps of 2.
    /// let mut graph = Graph::new();
    /// let images = graph.input("images", [32, 28, 28, 1], DType::F32);
    /// let kernel = graph.input("kernel", [3, 3, 1, 8], DType::F32);
    /// let window = Window { stride: 2, ..Window::of(3) };
    /// let y = graph.convolution(images, kernel, &[window, window], 1)?;
    /// assert_eq!(graph.shape(y).dims(), [32, 13, 13, 8]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if shapes, windows and groups do not fit each other; [`Error::DType`] if an operand is not f32.
    pub fn convolution(
        &mut self,
        x: Value,
        kernel: Value,
        windows: &[Window],
        groups: usize,
    ) -> Result<Value> {
        self.check("convolution", &[x, kernel])?;
        let op = self.convolution_of(x, windows, groups, Computes::Output);
        self.push(Arc::new(op), &[x, kernel])
    }

    /// The transposed convolution: the gradient, with respect to its images, of a convolution of images
    /// `[samples, extents.., channels]` with `kernel`, at `y`, `[samples, windows.., filters]`. No zeros are
    /// multiplied: each residue of the strides is a dense product.
    ///
    /// `windows` and `kernel` (`[taps.., channels / groups, filters]`) are those of the convolution. The result is
    /// `[samples, extents.., channels]`.
    ///
    /// # Errors
    /// As [`Graph::convolution`].
    pub fn convolution_transpose(
        &mut self,
        y: Value,
        kernel: Value,
        windows: &[Window],
        groups: usize,
        extents: &[usize],
    ) -> Result<Value> {
        let (windows, extents) = (windows.to_vec(), extents.to_vec());
        let op = Convolution { windows, groups, extents, computes: Computes::Input };
        self.push(Arc::new(op), &[y, kernel])
    }

    /// The gradient of a convolution's kernel: for images `x`, `[samples, extents.., channels]`, and the gradient `dy` of
    /// their convolution, `[samples, windows.., filters]`. The result is `[taps.., channels / groups, filters]`.
    ///
    /// # Errors
    /// As [`Graph::convolution`].
    pub fn convolution_kernel(
        &mut self,
        x: Value,
        dy: Value,
        windows: &[Window],
        groups: usize,
    ) -> Result<Value> {
        self.check("convolution_kernel", &[x, dy])?;
        let computes = Computes::Kernel;
        let op = self.convolution_of(x, windows, groups, computes);
        self.push(Arc::new(op), &[x, dy])
    }

    /// The convolution of images `x`.
    fn convolution_of(
        &self,
        x: Value,
        windows: &[Window],
        groups: usize,
        computes: Computes,
    ) -> Convolution {
        let dims = self.shape(x).dims();
        let extents = dims.get(1..dims.len().saturating_sub(1)).unwrap_or_default().to_vec();
        Convolution { windows: windows.to_vec(), groups, extents, computes }
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::contraction_lower::{BROADCAST, TILED};
    use super::super::pad::PAD;
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::{Computes, Convolution};
    use crate::graph::Window;
    use crate::kernels::Template;
    use std::sync::Arc;

    const NAMES: [(&str, Computes); 3] = [
        ("convolution", Computes::Output),
        ("convolution_transpose", Computes::Input),
        ("convolution_kernel", Computes::Kernel),
    ];

    impl Case {
        /// A convolution, or the gradient of one of its operands. `args`: groups, then taps, stride, dilation, zeros before
        /// and after, and the extent of each axis.
        #[must_use]
        pub fn convolution(
            op: &'static str,
            [samples, channels, filters, groups]: [usize; 4],
            axes: &[(Window, usize)],
        ) -> Self {
            let build: Build = |g, c, x| {
                let computes = NAMES.iter().find(|n| n.0 == c.op).map_or(Computes::Output, |n| n.1);
                let axes = c.args[1..].chunks_exact(6);
                let windows = axes.clone().map(|a| Window {
                    taps: a[0],
                    stride: a[1],
                    dilation: a[2],
                    before: a[3],
                    after: a[4],
                });
                let extents = axes.clone().map(|a| a[5]).collect();
                let windows = windows.collect();
                let op = Convolution { windows, groups: c.args[0], extents, computes };
                Ok(vec![g.push(Arc::new(op), x)?])
            };
            let sample = |dims: &[&[usize]]| Sample::f32(dims.concat(), (-1.0, 1.0));
            let extents: Vec<usize> = axes.iter().map(|a| a.1).collect();
            let counts: Vec<usize> =
                axes.iter().map(|(window, extent)| window.count(*extent).unwrap_or(0)).collect();
            let taps: Vec<usize> = axes.iter().map(|a| a.0.taps).collect();
            let x = sample(&[&[samples], &extents, &[channels]]);
            let y = sample(&[&[samples], &counts, &[filters]]);
            let kernel = sample(&[&taps, &[channels / groups, filters]]);
            let inputs = match op {
                "convolution" => vec![x, kernel],
                "convolution_transpose" => vec![y, kernel],
                _ => vec![x, y],
            };
            let sizes = axes
                .iter()
                .flat_map(|(w, extent)| [w.taps, w.stride, w.dilation, w.before, w.after, *extent]);
            let args: Vec<usize> = [groups].into_iter().chain(sizes).collect();
            Self::new(op, inputs, &args, build)
        }
    }

    /// A rounding for each product of a sum, at most as many as the smaller operand or a window has.
    fn error(case: &Case) -> (f64, f64) {
        let axes = case.args[1..].chunks_exact(6);
        let taps: usize = axes.map(|a| a[0]).product();
        let dims: Vec<&[usize]> = case.inputs.iter().map(|s| s.shape.dims()).collect();
        let terms = match case.op {
            "convolution_kernel" => dims[1][..dims[1].len() - 1].iter().product(),
            _ => taps * dims[0].last().copied().unwrap_or(1),
        };
        let unit = f64::from(f32::EPSILON);
        (unit, unit * terms as f64)
    }

    pub fn cards() -> Vec<Card> {
        let window = |taps, stride, dilation, [before, after]: [usize; 2]| Window {
            taps,
            stride,
            dilation,
            before,
            after,
        };
        let plain = |taps| Window::of(taps);
        let plain_by = |taps| window(taps, taps, 1, [0, 0]);
        let same = |taps: usize| window(taps, 1, 1, [(taps - 1) / 2, taps / 2]);
        NAMES
            .iter()
            .map(|&(name, computes)| {
                let of = |sizes, axes: &[(Window, usize)]| Case::convolution(name, sizes, axes);
                let cases = vec![
                    // Few and many channels, without and with padding.
                    of([2, 1, 4, 1], &[(plain(3), 6), (plain(3), 5)]),
                    of([2, 4, 8, 1], &[(same(3), 5), (same(3), 4)]),
                    of([1, 7, 3, 1], &[(same(2), 4), (plain(2), 41)]),
                    of([3, 8, 5, 1], &[(plain(1), 3), (plain(1), 2)]),
                    // Strides, with and without taps for each residue, extents that they do not divide.
                    of([2, 3, 4, 1], &[(window(3, 2, 1, [1, 1]), 7), (window(3, 2, 1, [0, 1]), 6)]),
                    of([1, 4, 4, 1], &[(window(1, 2, 1, [0, 0]), 5), (window(2, 3, 1, [0, 0]), 8)]),
                    of([1, 2, 3, 1], &[(window(5, 4, 1, [2, 3]), 3), (window(3, 5, 1, [2, 2]), 4)]),
                    // Dilation beside stride, causal padding, a window larger than the image.
                    of([1, 2, 3, 1], &[(window(3, 2, 3, [3, 2]), 9)]),
                    of([1, 7, 3, 1], &[(window(3, 2, 3, [3, 3]), 41)]),
                    of([2, 4, 4, 1], &[(window(3, 4, 2, [1, 4]), 11)]),
                    of([2, 3, 2, 1], &[(window(3, 1, 4, [8, 0]), 7)]),
                    // Groups.
                    of([2, 6, 9, 3], &[(same(3), 4), (plain(2), 5)]),
                    of([2, 8, 8, 2], &[(window(3, 2, 1, [1, 1]), 7)]),
                    // Large strides: windows that meet, leave gaps and overlap; padding; groups.
                    of([2, 3, 4, 1], &[(plain_by(5), 10), (plain_by(4), 9)]),
                    of([1, 3, 2, 1], &[(window(3, 17, 1, [1, 2]), 37)]),
                    of(
                        [1, 4, 6, 2],
                        &[(window(7, 5, 1, [2, 3]), 14), (window(2, 4, 1, [0, 1]), 6)],
                    ),
                    of(
                        [1, 2, 3, 1],
                        &[(window(11, 5, 1, [3, 0]), 13), (window(9, 4, 1, [0, 2]), 12)],
                    ),
                    // Three axes.
                    of([1, 2, 3, 1], &[(plain(2), 3), (same(3), 4), (window(2, 2, 1, [0, 0]), 5)]),
                    // Dilation, beside stride too, and groups.
                    of(
                        [1, 4, 6, 2],
                        &[
                            (window(2, 1, 2, [1, 0]), 3),
                            (window(2, 2, 3, [1, 2]), 4),
                            (window(3, 1, 2, [2, 2]), 5),
                        ],
                    ),
                ];
                let templates: &'static [Template] = match computes {
                    // Columns are laid side by side.
                    Computes::Input => &[TILED, BROADCAST, PAD],
                    _ => &[TILED, BROADCAST],
                };
                Card::new(name, templates, Gradient::Checked, cases).within(error)
            })
            .collect()
    }
}
