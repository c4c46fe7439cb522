//! Weighted sums of neighbours along an axis: resizing, and means of windows of any lengths.

use super::map::to_u32;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, KernelCall, Template, grid, param_blocks, template};
use crate::tensor::{DType, Exact, Tensor};
use std::sync::Arc;

pub(super) const BANDS: Template = template!("data/bands", BandsParams);

param_blocks! {
    /// Weighted sums along the middle axis of `[outer, from, inner]`.
    BandsParams {
        /// Rows of the result: outer · to.
        rows: u32,
        /// Elements of a row.
        inner: u32,
        /// Lines of the operand.
        extent: u32,
        /// Lines of the result.
        count: u32,
    }
}

const WORKGROUP: u32 = 64;
/// Neighbours in a row that one invocation writes, on a CPU adapter: they share the divisions, which are done lane by
/// lane.
const COLUMNS: u32 = 8;
/// Terms that one invocation adds: a longer band is divided, and its parts are added by a launch more. Well below the
/// loop limit of software Vulkan, and enough invocations for a GPU.
pub(super) const TERMS: usize = 1024;

/// The neighbours of one line: the first, and their weights.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Band {
    /// The first element along the axis.
    pub first: usize,
    /// The weight of each from there on; none gives zero.
    pub weights: Vec<Exact>,
}

impl Band {
    /// `weights` from element `first` on. Zeros at both ends are left out, and what they would multiply is not read; zeros
    /// between others are multiplied.
    #[must_use]
    pub fn new(first: usize, weights: &[f32]) -> Self {
        let zeros = weights.iter().take_while(|w| **w == 0.0).count();
        let end = weights.iter().rposition(|w| *w != 0.0).map_or(zeros, |last| last + 1);
        let weights = weights[zeros..end].iter().map(|&w| w.into()).collect();
        Self { first: first + zeros, weights }
    }

    fn end(&self) -> usize {
        self.first + self.weights.len()
    }
}

/// A product with a matrix `[to, from]` whose rows are zero but for a run of neighbours: y\[o, i, c\] = Σ w\[i, t\] x\[o, t, c\].
///
/// Operands: x `[outer, from, inner]`, and the bands as a tensor of u32 `[to, 3]` (first, count, place of the first
/// weight) and one of all weights. Terms are added in ascending order. Its gradient is the product with the transpose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bands {
    /// Lines of the operand.
    pub from: usize,
    /// One for each line of the result.
    pub bands: Arc<Vec<Band>>,
}

impl Bands {
    fn longest(&self) -> usize {
        self.bands.iter().map(|band| band.weights.len()).max().unwrap_or(0)
    }

    /// The bands of the transpose. Rows that reach an element need not be neighbours: what is between them is zero.
    fn transposed(&self) -> Self {
        let mut rows: Vec<Vec<(usize, f32)>> = vec![Vec::new(); self.from];
        for (i, band) in self.bands.iter().enumerate() {
            for (j, w) in (band.first..).zip(&band.weights) {
                rows[j].push((i, w.get()));
            }
        }
        let band = |row: &Vec<(usize, f32)>| {
            let (first, last) = (row.first().map_or(0, |r| r.0), row.last().map_or(0, |r| r.0));
            let mut weights = vec![0.0; if row.is_empty() { 0 } else { last + 1 - first }];
            row.iter().for_each(|&(i, w)| weights[i - first] = w);
            Band::new(first, &weights)
        };
        Self { from: self.bands.len(), bands: Arc::new(rows.iter().map(band).collect()) }
    }

    /// Two products in place of this one, if it has a band that is too long: parts of bands, and their sums.
    fn divided(&self) -> Option<[Self; 2]> {
        if self.longest() <= TERMS {
            return None;
        }
        let (mut parts, mut sums) = (Vec::new(), Vec::new());
        for band in self.bands.iter() {
            let first = parts.len();
            for (n, weights) in band.weights.chunks(TERMS).enumerate() {
                parts.push(Band { first: band.first + n * TERMS, weights: weights.to_vec() });
            }
            sums.push(Band { first, weights: vec![1.0.into(); parts.len() - first] });
        }
        let count = parts.len();
        let of = |from, bands| Self { from, bands: Arc::new(bands) };
        Some([of(self.from, parts), of(count, sums)])
    }
}

impl Op for Bands {
    fn name(&self) -> String {
        "bands".into()
    }

    fn attrs(&self) -> String {
        format!("{} lines from {}, up to {} terms", self.bands.len(), self.from, self.longest())
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        3
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let dtypes = [inputs[0].dtype, inputs[1].dtype, inputs[2].dtype];
        if dtypes != [DType::F32, DType::U32, DType::F32] {
            return Err(Error::dtype("bands", &dtypes, "operands are f32, u32 and f32"));
        }
        let [outer, from, inner] = *inputs[0].shape.dims() else {
            return Err(Error::shape("bands", &[&inputs[0].shape], "[outer, from, inner]"));
        };
        let inside = self.bands.iter().all(|band| band.end() <= from);
        if from != self.from || !inside || self.bands.is_empty() {
            let detail = format!("{} bands over {} lines do not fit", self.bands.len(), self.from);
            return Err(Error::shape("bands", &[&inputs[0].shape], detail));
        }
        Ok(vec![TensorType::f32([outer, self.bands.len(), inner])])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None; 3]) };
        Ok(vec![Some(graph.bands(dy, 1, &self.transposed())?), None, None])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let [outer, to, inner] = *cx.outputs[0].shape.dims() else {
            return Err(Error::internal("bands", "three axes"));
        };
        to_u32(cx.inputs[0].0.shape.len())?;
        to_u32(cx.outputs[0].shape.len())?;
        let columns = if cx.caps.cpu { COLUMNS } else { 1 };
        let trips = columns as usize * (self.longest() + 1);
        if trips > cx.caps.max_loop_trips as usize {
            return Err(Error::Limit {
                what: "bands: terms of a line".into(),
                needed: trips as u64,
                allowed: cx.caps.max_loop_trips.into(),
                detail: "use shorter windows".into(),
            });
        }
        let rows = outer * to;
        let groups = (rows * inner.div_ceil(columns as usize)).div_ceil(WORKGROUP as usize);
        let params = BandsParams {
            rows: rows as u32,
            inner: inner as u32,
            extent: self.from as u32,
            count: to as u32,
        };
        let terms: usize = self.bands.iter().map(|band| band.weights.len()).sum();
        Ok(KernelCall {
            text: None,
            template: BANDS,
            defines: vec![("WG", WORKGROUP.into()), ("COLUMNS", columns.into())],
            binds: vec![Bind::Input(0), Bind::Input(1), Bind::Input(2), Bind::Output(0)],
            params: params.with_words(&[]),
            step: false,
            grid: grid("bands", groups as u64, cx.caps)?,
            flops: 2 * (outer * inner * terms) as u64,
        }
        .into())
    }
}

impl Graph {
    /// Weighted sums of neighbours along `axis`: line i of the result is the sum of the elements of band i of `x`, times
    /// their weights. `bands.from` is the extent of that axis. What is in no band is not read, so an infinity there does no harm.
    ///
    /// ```
    /// use wgrad::graph::Graph;
    /// use wgrad::ops::{Band, Bands};
    /// use wgrad::tensor::{DType, Shape};
    ///
    /// let mut graph = Graph::new();
    /// let x = graph.input("x", [2, 3, 5], DType::F32);
    /// // The means of the first two lines, and the last one as it is.
    /// let bands = vec![Band::new(0, &[0.5, 0.5]), Band::new(2, &[1.0])];
    /// let y = graph.bands(x, 1, &Bands { from: 3, bands: bands.into() })?;
    /// assert_eq!(graph.shape(y), &Shape::from([2, 2, 5]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if there is no such axis, if it has another extent, or if a band leaves it; [`Error::DType`] if `x`
    /// is not f32.
    pub fn bands(&mut self, x: Value, axis: usize, bands: &Bands) -> Result<Value> {
        self.check("bands", &[x])?;
        let mut dims = self.shape(x).dims().to_vec();
        if axis >= dims.len() {
            return Err(Error::shape(
                "bands",
                &[self.shape(x)],
                format!("there is no axis {axis}"),
            ));
        }
        if let Some([parts, sums]) = bands.divided() {
            let parts = self.bands(x, axis, &parts)?;
            return self.bands(parts, axis, &sums);
        }
        let (mut lines, mut weights) = (Vec::new(), Vec::new());
        for band in bands.bands.iter() {
            lines.extend([band.first, band.weights.len(), weights.len()].map(|n| n as u32));
            weights.extend(band.weights.iter().map(|w| w.get()));
        }
        if weights.is_empty() {
            // A tensor has one element or more.
            weights.push(0.0);
        }
        let lines = self.constant_tensor(Tensor::u32([lines.len() / 3, 3], lines)?)?;
        let weights = self.constant_tensor(Tensor::f32([weights.len()], weights)?)?;
        let (outer, inner) = (dims[..axis].iter().product(), dims[axis + 1..].iter().product());
        let x = self.reshape(x, [outer, dims[axis], inner])?;
        let y = self.push(Arc::new(bands.clone()), &[x, lines, weights])?;
        dims[axis] = bands.bands.len();
        self.reshape(y, dims)
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::{BANDS, Band, Bands, TERMS};

    impl Case {
        /// Along `axis`, bands given by their first element and their length; weights are in `params`, one after the other.
        #[must_use]
        pub fn bands(shape: &[usize], axis: usize, bands: &[[usize; 2]], weights: &[f32]) -> Self {
            let build: Build = |g, c, x| {
                let mut weights = c.params.as_slice();
                let mut bands = Vec::new();
                for band in c.args[1..].chunks_exact(2) {
                    let (own, rest) = weights.split_at(band[1]);
                    bands.push(Band::new(band[0], own));
                    weights = rest;
                }
                let from = c.inputs[0].shape.dims()[c.args[0]];
                Ok(vec![g.bands(x[0], c.args[0], &Bands { from, bands: bands.into() })?])
            };
            let args = [&[axis], bands.as_flattened()].concat();
            let inputs = vec![Sample::f32(shape, (-4.0, 4.0))];
            Self::new("bands", inputs, &args, build).with(weights, &[])
        }
    }

    pub fn cards() -> Vec<Card> {
        let some: Vec<f32> = (0..TERMS + 7).map(|i| 0.01 + (i % 5) as f32 * 0.002).collect();
        let cases = vec![
            Case::bands(
                &[3, 5, 7],
                1,
                &[[0, 2], [1, 1], [2, 3]],
                &[0.5, 0.5, 2.0, 0.25, -1.0, 3.0],
            ),
            // Lines that nothing reads, a line without terms, neighbours with zeros between them.
            Case::bands(&[2, 9], 1, &[[3, 1], [0, 0], [3, 3]], &[1.5, 1.0, 0.0, -2.0]),
            Case::bands(&[7, 2, 1], 0, &[[6, 1], [0, 7], [0, 1]], &some[..9]),
            Case::bands(&[3, 2, 13], 2, &[[1, 4], [0, 2]], &some[..6]),
            // One that is divided.
            Case::bands(&[1, TERMS + 7, 1], 1, &[[0, TERMS + 7]], &some),
        ];
        // A rounding for each term, of sums up to the number of terms.
        let within = |case: &Case| {
            let longest = case.args[1..].iter().skip(1).step_by(2).max().copied().unwrap_or(1);
            (1e-6, 2e-7 * longest as f64)
        };
        vec![Card::new("bands", &[BANDS], Gradient::Checked, cases).within(within)]
    }
}
