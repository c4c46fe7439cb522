//! Images sampled through an affine map each: flips, shifts, crops, rotations and zooms.

use super::bytes;
use super::gather::row_grid;
use super::map::to_u32;
use super::segment_sum::SegmentSum;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, Define, DeviceCaps, KernelCall, Template, param_blocks, template};
use crate::tensor::{DType, Exact, Shape};
use std::sync::Arc;

param_blocks! {
    /// Images sampled through affine maps.
    AffineParams {
        /// Lines of all results.
        lines: u32,
        /// Pixels of a line of the result.
        width: u32,
        /// Lines of a result.
        height: u32,
        /// Channels, or vec4s of them.
        channels: u32,
        /// Pixels of a line of the image.
        from_width: u32,
        /// Lines of the image.
        from_height: u32,
        /// Pixels of all results.
        pixels: u32,
        /// What is outside of the image.
        fill: f32,
        /// Factor on bytes.
        factor: f32,
        /// An infinity, below which products with the factor are held.
        limit: f32,
        /// Padding.
        pad0: u32,
        /// Padding.
        pad1: u32,
    }
}

pub(super) const AFFINE: Template = template!("data/affine", AffineParams);

/// What is outside of an image `a b c d`. The names are those of Keras.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FillMode {
    /// One number: `k k k k | a b c d | k k k k`.
    Constant,
    /// The image reflected at its edge: `d c b a | a b c d | d c b a`.
    #[default]
    Reflect,
    /// The image again: `a b c d | a b c d | a b c d`.
    Wrap,
    /// The nearest pixel: `a a a a | a b c d | d d d d`.
    Nearest,
}

/// What an image is between the middles of its pixels, where it is sampled or resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// The mean of the two neighbours along each axis, weighed by their nearness.
    #[default]
    Bilinear,
}

/// How images are sampled through affine maps; see [`Graph::affine`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Affine {
    /// Lines of a result.
    pub height: usize,
    /// Pixels of a line of a result.
    pub width: usize,
    /// What is outside of an image.
    pub fill: FillMode,
    /// The number outside of an image, for [`FillMode::Constant`].
    pub value: Exact,
    /// What is between pixels.
    pub interpolation: Interpolation,
}

/// The pixels that a sample is made of, and the share of each: what the gradient needs.
///
/// Operands: matrices `[b, 6]`. Results: shares `[k, n]`, and places `[k, n]` u32 among all pixels of all images, for the
/// k neighbours of the n samples.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AffinePlaces {
    /// How images are sampled.
    pub affine: Affine,
    /// Height and width of an image.
    pub from: [usize; 2],
}

impl Affine {
    /// Pixels along an axis of an image at most: places between them are still told apart.
    pub(crate) const LARGEST: usize = 1 << 20;

    /// Pixels that a sample is made of.
    const fn neighbours(&self) -> usize {
        match self.interpolation {
            Interpolation::Nearest => 1,
            Interpolation::Bilinear => 4,
        }
    }

    fn words(&self) -> String {
        let Self { height, width, fill, value, interpolation } = self;
        let value = match fill {
            FillMode::Constant => format!(" {:?}", value.get()),
            _ => String::new(),
        };
        format!("{height}x{width}, {interpolation:?}, {fill:?}{value}")
    }

    fn check(&self, shapes: &[&Shape], from: [usize; 2], matrices: &TensorType) -> Result<()> {
        let fail = |detail: String| Err(Error::shape("affine", shapes, detail));
        if matrices.dtype != DType::F32 {
            return Err(Error::dtype("affine", &[matrices.dtype], "matrices are f32"));
        }
        if matrices.shape.rank() != 2 || matrices.shape.dims()[1] != 6 {
            return fail("matrices are [batch, 6]: two rows of three numbers".into());
        }
        let sides = [from, [self.height, self.width]].concat();
        if sides.iter().any(|side| !(1..=Self::LARGEST).contains(side)) {
            let detail =
                format!("an image has 1 to {} pixels along an axis: {sides:?}", Self::LARGEST);
            return fail(detail);
        }
        Ok(())
    }

    /// The launch; `channels` is `None` for places, and `factor` that on images of bytes.
    fn call(
        &self,
        batch: usize,
        from: [usize; 2],
        channels: Option<usize>,
        factor: Option<f32>,
        binds: Vec<Bind>,
        caps: &DeviceCaps,
    ) -> Result<KernelCall> {
        let pixels = batch * self.height * self.width;
        let quads = channels.is_some_and(|c| c.is_multiple_of(4));
        let trips = channels.unwrap_or(1) / if quads { 4 } else { 1 };
        to_u32(batch * from[0] * from[1] * channels.unwrap_or(1))?;
        to_u32(pixels * channels.unwrap_or(self.neighbours()))?;
        if trips as u64 > u64::from(caps.max_loop_trips) {
            return Err(Error::Limit {
                what: "affine: channels of an image".into(),
                needed: trips as u64,
                allowed: caps.max_loop_trips.into(),
                detail: "use fewer channels".into(),
            });
        }
        let (along, beside, grid) = row_grid("affine", batch * self.height, self.width, caps)?;
        let fill: u32 = match self.fill {
            FillMode::Constant => 0,
            FillMode::Reflect => 1,
            FillMode::Wrap => 2,
            FillMode::Nearest => 3,
        };
        let defines: Vec<(&'static str, Define)> = vec![
            ("X", along.into()),
            ("Y", beside.into()),
            ("WIDE", caps.wide_words.into()),
            ("FILL", fill.into()),
            ("LINEAR", (self.interpolation == Interpolation::Bilinear).into()),
            ("NEIGHBOURS", (self.neighbours() as u32).into()),
            ("PLACES", channels.is_none().into()),
            ("QUADS", quads.into()),
            ("BYTES", factor.is_some().into()),
        ];
        let params = AffineParams {
            lines: (batch * self.height) as u32,
            width: self.width as u32,
            height: self.height as u32,
            channels: trips as u32,
            from_width: from[1] as u32,
            from_height: from[0] as u32,
            pixels: pixels as u32,
            fill: self.value.get(),
            factor: factor.unwrap_or(1.0),
            limit: f32::INFINITY,
            ..AffineParams::default()
        };
        Ok(KernelCall {
            text: None,
            template: AFFINE,
            defines,
            binds,
            params: params.with_words(&[]),
            step: false,
            grid,
            flops: (pixels * (20 + 2 * self.neighbours() * channels.unwrap_or(0))) as u64,
        })
    }
}

/// Height and width of images `[b, h, w, c]`.
fn sides(images: &Shape) -> [usize; 2] {
    [images.dims()[1], images.dims()[2]]
}

impl Op for Affine {
    fn name(&self) -> String {
        "affine".into()
    }

    fn attrs(&self) -> String {
        self.words()
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (images, matrices) = (inputs[0], inputs[1]);
        let shapes = [&images.shape, &matrices.shape];
        if !bytes::numbers_or_bytes(inputs, 2) {
            return Err(Error::dtype("affine", &[images.dtype], "images are f32"));
        }
        let &[batch, height, width, channels] = images.shape.dims() else {
            return Err(Error::shape(
                "affine",
                &shapes,
                "images are [batch, height, width, channels]",
            ));
        };
        self.check(&shapes, [height, width], matrices)?;
        if batch == 0 || channels == 0 || matrices.shape.dims()[0] != batch {
            return Err(Error::shape("affine", &shapes, "one matrix per image is expected"));
        }
        Ok(vec![TensorType::f32([batch, self.height, self.width, channels])])
    }

    /// Each pixel of an image adds up what the samples that it has a share in pass back, in a fixed order.
    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, upstream, needed, .. } = *cx;
        if needed[1] {
            return Err(Error::not_differentiable(
                self.name(),
                "matrices have no gradient; make them of numbers that are not trained",
            ));
        }
        let Some(dy) = upstream[0] else { return Ok(vec![None, None]) };
        let images = graph.shape(inputs[0]).clone();
        let channels = images.dims()[3];
        let places = AffinePlaces { affine: self.clone(), from: sides(&images) };
        let found = graph.push_all(Arc::new(places), &inputs[1..])?;
        let (k, n) = (self.neighbours(), graph.shape(dy).len() / channels);
        let dy = graph.reshape(dy, [1, n, channels])?;
        let shares = graph.reshape(found[0], [k, n, 1])?;
        let parts = graph.mul(dy, shares)?;
        let parts = graph.reshape(parts, [k * n, channels])?;
        let places = graph.reshape(found[1], [k * n])?;
        let shape = Shape::from([images.len() / channels, channels]);
        let sums = graph.push(Arc::new(SegmentSum { shape }), &[places, parts])?;
        Ok(vec![Some(graph.reshape(sums, images)?), None])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let images = &cx.inputs[0].0.shape;
        let binds = vec![Bind::Input(1), Bind::Input(0), Bind::Output(0)];
        let [batch, _, _, channels] = *images.dims() else {
            return Err(Error::internal("affine", "images have four axes"));
        };
        let factor = bytes::factor(cx, 2)?;
        Ok(self.call(batch, sides(images), Some(channels), factor, binds, cx.caps)?.into())
    }

    fn decodes(&self, input: usize) -> bool {
        input == 0
    }

    fn takes_uniform(&self, input: usize) -> bool {
        input == 2
    }
}

impl Op for AffinePlaces {
    fn name(&self) -> String {
        "affine_places".into()
    }

    fn attrs(&self) -> String {
        self.affine.words()
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let shape = &inputs[0].shape;
        self.affine.check(&[shape], self.from, inputs[0])?;
        let pixels = shape.dims()[0] * self.affine.height * self.affine.width;
        let shape = Shape::from([self.affine.neighbours(), pixels]);
        Ok(vec![TensorType::f32(&shape), TensorType { shape, dtype: DType::U32 }])
    }

    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Err(Error::not_differentiable(self.name(), "it is itself part of the gradient of `affine`"))
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let batch = cx.inputs[0].0.shape.dims()[0];
        let binds = vec![Bind::Input(0), Bind::Output(0), Bind::Output(1)];
        Ok(self.affine.call(batch, self.from, None, None, binds, cx.caps)?.into())
    }
}

impl Graph {
    /// Images `[b, h, w, c]`, each sampled through its own affine map: row `a0 a1 a2 b0 b1 b2` of `matrices` `[b, 6]` takes
    /// the sample at column x and line y of the result from column a0·x + a1·y + a2 and line b0·x + b1·y + b2 of the image,
    /// both counted from the centre of the first pixel, as in Keras' `affine_transform`. The result is
    /// `[b, height, width, c]`.
    ///
    /// Images have a gradient, also where several samples share a pixel; matrices have none. Coordinates beyond ±2²² count
    /// as these.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::DType`] if the operands do not fit, or for an image of more than 2²⁰ pixels along an
    /// axis.
    pub fn affine(&mut self, images: Value, matrices: Value, affine: Affine) -> Result<Value> {
        self.push(Arc::new(affine), &[images, matrices])
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::{AFFINE, Affine, AffinePlaces, FillMode, Interpolation};
    use crate::tensor::Tensor;
    use std::sync::Arc;

    const FILLS: [FillMode; 4] =
        [FillMode::Constant, FillMode::Reflect, FillMode::Wrap, FillMode::Nearest];

    impl Case {
        /// `affine`, or of its operands the matrices alone, `affine_places`. `args`: height and width of the result, the
        /// fill mode by its place in the list, 1 for bilinear, then the image's shape. `params`: the fill value, then the
        /// matrices, which are not trained.
        #[must_use]
        pub fn affine(
            op: &'static str,
            image: [usize; 4],
            [height, width]: [usize; 2],
            fill: FillMode,
            linear: bool,
            matrices: &[f32],
        ) -> Self {
            let place = FILLS.iter().position(|&f| f == fill).unwrap_or(0);
            let args = [&[height, width, place, usize::from(linear)], &image[..]].concat();
            let build: Build = |g, c, x| {
                let affine = form(c);
                if c.op == "affine" {
                    let matrices = Tensor::f32([c.args[4], 6], &c.params[1..])?;
                    let matrices = g.constant_tensor(matrices)?;
                    return Ok(vec![g.affine(x[0], matrices, affine)?]);
                }
                let from = [c.args[5], c.args[6]];
                g.push_all(Arc::new(AffinePlaces { affine, from }), x)
            };
            let inputs = match op {
                "affine" => Sample::f32(image, (-1.0, 1.0)),
                _ => Sample::f32([image[0], 6], (-1.5, 1.5)),
            };
            let params = [&[0.75], matrices].concat();
            Self { params, ..Self::new(op, vec![inputs], &args, build) }
        }
    }

    fn form(c: &Case) -> Affine {
        let interpolation = match c.args[3] {
            0 => Interpolation::Nearest,
            _ => Interpolation::Bilinear,
        };
        let (height, width, fill) = (c.args[0], c.args[1], FILLS[c.args[2]]);
        Affine { height, width, fill, value: c.params[0].into(), interpolation }
    }

    /// A matrix per image, of turns, zooms, shears and shifts that leave no sample near a joint.
    fn matrices(batch: usize) -> Vec<f32> {
        let of = |i: usize| {
            let (s, c) = (0.7 * i as f32 - 0.413).sin_cos();
            let zoom = 0.831 + 0.21 * i as f32;
            [zoom * c, -zoom * s, 1.137 + i as f32, s + 0.0713, c, -0.7291 - 0.31 * i as f32]
        };
        (0..batch).flat_map(of).collect()
    }

    pub fn cards() -> Vec<Card> {
        let mut sampled = Vec::new();
        let mut places = Vec::new();
        let shapes = [
            [([2, 5, 7, 3], [5, 7]), ([3, 4, 1, 4], [3, 9])],
            [([1, 1, 6, 1], [8, 2]), ([2, 3, 5, 8], [4, 3])],
        ];
        for (i, fill) in FILLS.into_iter().enumerate() {
            for linear in [true, false] {
                for (image, to) in shapes[(i + usize::from(linear)) % 2] {
                    let m = matrices(image[0]);
                    sampled.push(Case::affine("affine", image, to, fill, linear, &m));
                }
                places.push(Case::affine("affine_places", [2, 5, 7, 1], [6, 3], fill, linear, &[]));
            }
        }
        // Lines of more than one workgroup, a vec4 of channels and not.
        let m = matrices(2);
        let wide =
            |c| Case::affine("affine", [2, 3, 300, c], [3, 300], FillMode::Reflect, true, &m);
        sampled.extend([wide(3), wide(4)]);
        let part = Gradient::None("it is itself part of the gradient of `affine`");
        // A coordinate is off by a few units of 300, and neighbours differ by up to 2.
        vec![
            Card::new("affine", &[AFFINE], Gradient::Checked, sampled).within(|_| (0.0, 2e-4)),
            Card::new("affine_places", &[AFFINE], part, places).within(|_| (0.0, 1e-5)),
        ]
    }
}
