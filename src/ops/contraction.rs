//! The contraction: C[b,m,n] = f(Σₖ A[b,m,k] B[b,k,n]). One op serves every matrix product, over any views of its
//! operands, with any elementwise epilogue f.

pub use crate::graph::{Contraction, ContractionSpec, VjpContext};

use super::contraction_load::Loads;
use super::contraction_lower::lower_contraction;
use super::layout::Layout;
use super::program::Program;
use crate::error::{Error, Result};
use crate::graph::{Axis, Class, Graph, LowerContext, Lowered, Op, TensorType, Value, View};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

impl ContractionSpec {
    /// The axes of A.
    #[must_use]
    pub const fn a(&self) -> [usize; 3] {
        [self.batch, self.m, self.k]
    }

    /// The axes of B.
    #[must_use]
    pub const fn b(&self) -> [usize; 3] {
        [self.batch, self.k, self.n]
    }
}

impl Contraction {
    /// A contraction that stores its sums.
    #[must_use]
    pub fn plain(spec: ContractionSpec, shape: Shape) -> Self {
        Self { spec, epilogue: Program::identity(), shape, b_sums: false, bytes: [None; 2] }
    }

    /// Strides (batch, row, column) with which the epilogue reads an operand of shape `from`, or `None` if the axes of
    /// batches, of rows or of columns do not walk evenly.
    #[must_use]
    pub fn epilogue_strides(&self, from: &Shape) -> Option<[usize; 3]> {
        let layout = Layout::broadcast(from, &self.shape).ok()?;
        let rank = self.shape.rank();
        let dims = self.shape.dims();
        if !dims.ends_with(&[self.spec.m, self.spec.n]) {
            return self.epilogue_walk(&View::whole(from));
        }
        let outer = &layout.strides[..rank - 2];
        let even = outer.windows(2).zip(&dims[1..]).all(|(s, &d)| s[0] == s[1] * d as isize);
        let batch = outer.last().copied().unwrap_or(0);
        even.then(|| {
            [batch, layout.strides[rank - 2], layout.strides[rank - 1]].map(|s| s as usize)
        })
    }

    /// As [`Contraction::epilogue_strides`], for an operand that is read through a view.
    #[must_use]
    pub fn epilogue_walk(&self, view: &View) -> Option<[usize; 3]> {
        let ContractionSpec { batch, m, n, .. } = self.spec;
        let groups = view.spread(&self.shape)?.groups(&[batch, m, n])?;
        let stride = |axes: &Vec<Axis>| match axes.as_slice() {
            [] => Some(0),
            [axis] => usize::try_from(axis.stride).ok(),
            _ => None,
        };
        let strides = groups.iter().map(stride).collect::<Option<Vec<_>>>()?;
        <[usize; 3]>::try_from(strides).ok().filter(|_| view.guards().is_empty())
    }
}

impl Op for Contraction {
    fn name(&self) -> String {
        "matmul".into()
    }

    fn attrs(&self) -> String {
        let s = &self.spec;
        let batch = if s.batch == 1 { String::new() } else { format!(" batch {}", s.batch) };
        let epilogue = match self.epilogue.instrs.is_empty() {
            true => String::new(),
            false => format!("; {}", self.epilogue),
        };
        let sums = if self.b_sums { "; column sums of B" } else { "" };
        let bytes = ["; bytes of A", "; bytes of B"].into_iter().zip(self.bytes);
        let bytes: String = bytes.filter(|(_, b)| b.is_some()).map(|(text, _)| text).collect();
        format!("{}x{}x{}{batch}{epilogue}{sums}{bytes}", s.m, s.n, s.k)
    }

    fn class(&self) -> Class<'_> {
        Class::Contraction(self)
    }

    fn min_inputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let s = &self.spec;
        // Of integers the epilogue reads step words and constants alone, no buffer.
        let fits = |(i, ty): (usize, &&TensorType)| match ty.dtype {
            DType::F32 if i < 2 => self.bytes[i].is_none(),
            DType::F32 => self.epilogue.input_type(i - 1) == Some(DType::F32),
            DType::U32 => {
                i >= 2
                    && ty.shape.rank() == 0
                    && self.epilogue.input_type(i - 1) == Some(DType::U32)
            }
            DType::U8 => i < 2 && self.bytes[i].is_some(),
        };
        if !inputs.iter().enumerate().all(fits) {
            let dtypes: Vec<DType> = inputs.iter().map(|t| t.dtype).collect();
            return Err(Error::dtype("matmul", &dtypes, "operands are f32"));
        }
        let fits = inputs[0].shape.dims() == s.a()
            && inputs[1].shape.dims() == s.b()
            && self.shape.len() == s.batch * s.m * s.n
            && (!self.b_sums || s.batch == 1)
            && inputs.len() == self.epilogue.inputs + 1
            && inputs[2..].iter().all(|t| t.shape.broadcast_strides(&self.shape).is_some());
        if !fits {
            let shapes: Vec<&Shape> = inputs.iter().map(|t| &t.shape).collect();
            return Err(Error::shape("matmul", &shapes, format!("expected {}", self.attrs())));
        }
        let mut types = vec![TensorType::f32(&self.shape); self.epilogue.outputs.len()];
        if self.b_sums {
            types.push(TensorType::f32([s.n]));
        }
        Ok(types)
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, outputs, upstream, needed } = *cx;
        let Some(dc) = upstream[0] else { return Ok(vec![None; inputs.len()]) };
        if !self.epilogue.instrs.is_empty() || self.b_sums || self.bytes != [None; 2] {
            return Err(Error::internal("autodiff", "runs before fusion, on plain contractions"));
        }
        let s = self.spec;
        let node = graph.node(outputs[0]);
        let views: Vec<View> = (node.views[..2].iter().zip([s.a(), s.b()]))
            .map(|(view, seen)| view.clone().unwrap_or_else(|| View::whole(seen)))
            .collect();
        let turned = |view: &View, extents: [usize; 3]| {
            let turned = view.transposed(extents);
            turned.ok_or_else(|| Error::internal("matmul", format!("{view} is not transposed")))
        };
        let (a, b, c) = (&views[0], &views[1], &View::whole([s.batch, s.m, s.n]));
        let (at, bt) = (&turned(a, s.a())?, &turned(b, s.b())?);
        let ct = &turned(c, [s.batch, s.m, s.n])?;
        // One row or one column runs both ways: a whole operand is read as it is, which lets the gradient of a bias be column sums.
        let along = |input: usize, view: &View| match view.is_whole() {
            true => input == 0,
            false => self.layout(input, view).is_some_and(|layout| layout.along_terms()),
        };
        let (x, y) = (inputs[0], inputs[1]);
        // Each gradient is computed in the memory order of its operand, so none is transposed.
        let da = match along(0, a) {
            _ if !needed[0] => None,
            true => Some(gradient(graph, [(dc, c), (y, bt)], a, x)?),
            false => Some(gradient(graph, [(y, b), (dc, ct)], at, x)?),
        };
        let db = match along(1, b) {
            _ if !needed[1] => None,
            true => Some(gradient(graph, [(dc, ct), (x, a)], bt, y)?),
            false => Some(gradient(graph, [(x, at), (dc, c)], b, y)?),
        };
        Ok(vec![da, db])
    }

    /// A product of two operands whose lines are rows: aᵀ · b.
    fn sums_rows(&self, views: &[Option<View>]) -> bool {
        let plain = self.epilogue.instrs.is_empty() && !self.b_sums;
        let turned = View::strided(self.spec.a(), 0, &[0, 1, self.spec.m as isize]);
        let rows =
            views[0].as_ref() == Some(&turned) && views[1].as_ref().is_none_or(View::is_whole);
        plain && self.spec.batch == 1 && rows
    }

    fn sum_of_runs(&self, graph: &mut Graph, operands: &[Value]) -> Result<Value> {
        let rows = self.spec.k * graph.shape(operands[0]).dims()[0];
        let a = graph.reshape(operands[0], [rows, self.spec.m])?;
        let b = graph.reshape(operands[1], [rows, self.spec.n])?;
        graph.matmul_form(a, b, true, false)
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        lower_contraction(self, cx)
    }

    fn takes_uniform(&self, input: usize) -> bool {
        input >= 2
    }

    fn takes_view(&self, _inputs: &[&TensorType], input: usize, view: &View) -> bool {
        match input {
            0 | 1 => self.layout(input, view).is_some(),
            _ => self.epilogue_walk(view).is_some(),
        }
    }

    fn gains_by_view(&self, _inputs: &[&TensorType], input: usize, view: &View) -> bool {
        // A copy with zeros around it is read in lines, without guards.
        let lines = || self.layout(input, view).is_some_and(|layout| layout.is_fast());
        input >= 2 || view.guards().is_empty() && lines()
    }
}

/// A gradient of a product, itself a product of two operands, for the operand `of` that is read through `view`.
fn gradient(
    graph: &mut Graph,
    [a, b]: [(Value, &View); 2],
    view: &View,
    of: Value,
) -> Result<Value> {
    let [batch, m, k] = three_axes(a.1)?;
    let [_, _, n] = three_axes(b.1)?;
    let views = [(a.0, a.1.clone()), (b.0, b.1.clone())];
    let (spec, flat) = (ContractionSpec { batch, m, n, k }, flat([batch, m, n]));
    let mut d = graph.contraction(spec, flat, views)?;
    let shape = graph.shape(of).clone();
    let one = View::whole([m, n]);
    if batch > 1 && one.spread(&[batch, m, n].into()).is_some_and(|v| v.same_walk(view)) {
        // What all batches share gets the sum of their gradients.
        d = graph.sum(d, &[0], false)?;
    } else if !view.is_whole() || view.shape().len() != shape.len() {
        return Err(Error::not_differentiable(
            "matmul",
            format!(
                "an operand {shape} is read as {view}; use slice, transpose and reshape, which have gradients"
            ),
        ));
    }
    graph.reshape(d, shape)
}

/// The shape of a product: `[m, n]` if there is one batch, so that functions of a matrix follow it directly.
fn flat([batch, m, n]: [usize; 3]) -> Shape {
    if batch == 1 { [m, n].into() } else { [batch, m, n].into() }
}

/// The extents of the view of an operand.
fn three_axes(view: &View) -> Result<[usize; 3]> {
    let axes = <[usize; 3]>::try_from(view.shape().dims());
    let detail = "views of operands are [batch, m, k] and [batch, k, n]";
    axes.map_err(|_| Error::shape("matmul", &[view.shape()], detail))
}

impl Contraction {
    /// The layout of A (0) or B (1) if it is read through `view`.
    pub(super) fn layout(&self, input: usize, view: &View) -> Option<Loads> {
        let loads = match input {
            0 => Loads::of_a(view, self.spec.a()),
            _ => Loads::of_b(view, self.spec.b()),
        };
        loads.map(|loads| loads.of_bytes(self.bytes[input]))
    }
}

impl Graph {
    /// The matrix product over the last two axes, with either operand transposed.
    ///
    /// Shapes: `a` is `[..., m, k]` (`[..., k, m]` if `trans_a`), `b` is `[..., k, n]` (`[..., n, k]` if `trans_b`);
    /// the result is `[..., m, n]`. Leading axes are equal, or `b` has none and is shared.
    ///
    /// # Errors
    /// [`Error::Shape`] if ranks, inner or leading extents differ, or an extent is zero.
    pub fn matmul_form(
        &mut self,
        a: Value,
        b: Value,
        trans_a: bool,
        trans_b: bool,
    ) -> Result<Value> {
        self.check("matmul", &[a, b])?;
        let (sa, sb) = (self.shape(a).clone(), self.shape(b).clone());
        let fail = |detail: &str| Err(Error::shape("matmul", &[&sa, &sb], detail));
        if sa.rank() < 2 || sb.rank() < 2 {
            return fail(
                "both operands need at least two axes; reshape a vector to [1, k] or [k, 1]",
            );
        }
        if sa.is_empty() || sb.is_empty() {
            return fail("an extent is zero; every extent is 1 or more");
        }
        let (da, db) = (sa.dims(), sb.dims());
        let swap = |d: &[usize], t: bool| {
            let (rows, columns) = (d[d.len() - 2], d[d.len() - 1]);
            if t { (columns, rows) } else { (rows, columns) }
        };
        let ((m, k), (kb, n)) = (swap(da, trans_a), swap(db, trans_b));
        if k != kb {
            return fail(&format!("the inner extents {k} and {kb} differ"));
        }
        let (lead_a, lead_b) = (&da[..da.len() - 2], &db[..db.len() - 2]);
        let shared_b = lead_b.is_empty() && !lead_a.is_empty();
        if !shared_b && lead_a != lead_b {
            return fail("the leading extents differ; broadcast one operand first");
        }
        let mut shape = lead_a.to_vec();
        shape.extend([m, n]);
        let batch: usize = lead_a.iter().product();
        // If all batches share one matrix, their rows are one larger product.
        let (batch, m) = if shared_b && !trans_a { (1, batch * m) } else { (batch, m) };
        let turned = |stored: [usize; 3], trans: bool| match trans {
            true => View::whole(stored).transposed(stored),
            false => Some(View::whole(stored)),
        };
        let view_a = turned(if trans_a { [batch, k, m] } else { [batch, m, k] }, trans_a);
        let view_b = turned(if trans_b { [1, n, k] } else { [1, k, n] }, trans_b);
        let per_batch = turned(if trans_b { [batch, n, k] } else { [batch, k, n] }, trans_b);
        let view_b = match shared_b {
            true => view_b.and_then(|view| view.spread(&Shape::from([batch, k, n]))),
            false => per_batch,
        };
        let (Some(view_a), Some(view_b)) = (view_a, view_b) else {
            return Err(Error::internal("matmul", "its operands have no views"));
        };
        let flat = if batch == 1 { [m, n].into() } else { Shape::from(shape.clone()) };
        let spec = ContractionSpec { batch, m, n, k };
        let product = self.contraction(spec, flat, [(a, view_a), (b, view_b)])?;
        self.reshape(product, shape)
    }

    /// The product `C[b,m,n] = Σₖ A[b,m,k] B[b,k,n]` over views `[b, m, k]` and `[b, k, n]` of the operands, without a
    /// copy of either. The result is `[b, m, n]`. Gradients flow into operands that the views show whole.
    ///
    /// ```
    /// use wgrad::graph::{Axis, Graph, Guard, View};
    /// use wgrad::tensor::DType;
    ///
    /// // A convolution of 100 samples with 8 taps of distance 1 and padding 3: rows are positions, terms are taps.
    /// let mut graph = Graph::new();
    /// let signal = graph.input("signal", [100], DType::F32);
    /// let filters = graph.input("filters", [8, 4], DType::F32);
    /// let axis = |extent| Axis { extent, stride: 0, steps: vec![1] };
    /// let inside = Guard { first: -3, extent: 100, stride: 1 };
    /// let patches = View::new([1, 99, 8], 0, [axis(99), axis(8)], vec![inside]);
    /// let y = graph.contract_views((signal, patches), (filters, View::whole([1, 8, 4])))?;
    /// assert_eq!(graph.shape(y).dims(), [1, 99, 4]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if the views do not fit each other or their operands; [`Error::DType`] for operands that are
    /// not f32.
    pub fn contract_views(&mut self, a: (Value, View), b: (Value, View)) -> Result<Value> {
        self.check("matmul", &[a.0, b.0])?;
        let ([batch, m, k], [batch_b, k_b, n]) = (three_axes(&a.1)?, three_axes(&b.1)?);
        if batch != batch_b || k != k_b {
            let detail = "views of operands are [batch, m, k] and [batch, k, n]";
            return Err(Error::shape("matmul", &[a.1.shape(), b.1.shape()], detail));
        }
        let (spec, flat) = (ContractionSpec { batch, m, n, k }, flat([batch, m, n]));
        let product = self.contraction(spec, flat, [a, b])?;
        self.reshape(product, [batch, m, n])
    }

    fn contraction(
        &mut self,
        spec: ContractionSpec,
        shape: Shape,
        [(a, view_a), (b, view_b)]: [(Value, View); 2],
    ) -> Result<Value> {
        let (op, views) = (Contraction::plain(spec, shape), vec![Some(view_a), Some(view_b)]);
        Ok(self.push_viewed(Arc::new(op), &[a, b], views)?[0])
    }

    /// `a · b`; see [`Graph::matmul_form`].
    ///
    /// # Errors
    /// As [`Graph::matmul_form`].
    pub fn matmul(&mut self, a: Value, b: Value) -> Result<Value> {
        self.matmul_form(a, b, false, false)
    }
}
