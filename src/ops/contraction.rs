//! The contraction: C[b,m,n] = f(Σₖ A[b,m,k] B[b,k,n]). One op serves every matrix product, in every
//! transposition, with any elementwise epilogue f.

pub use crate::graph::{Contraction, ContractionSpec, LoadMap};

use super::contraction_lower::lower_contraction;
use super::layout::Layout;
use super::program::Program;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

impl Contraction {
    /// A contraction that stores its sums.
    #[must_use]
    pub fn plain(spec: ContractionSpec, shape: Shape) -> Self {
        Self { spec, epilogue: Program::identity(), shape, b_sums: false }
    }

    /// Strides (batch, row, column) with which the epilogue reads an operand of shape `from`, or `None` if the batch
    /// axes do not walk evenly.
    #[must_use]
    pub fn epilogue_strides(&self, from: &Shape) -> Option<[usize; 3]> {
        let layout = Layout::broadcast(from, &self.shape).ok()?;
        let rank = self.shape.rank();
        let dims = self.shape.dims();
        let outer = &layout.strides[..rank - 2];
        let even = outer.windows(2).zip(&dims[1..]).all(|(s, &d)| s[0] == s[1] * d);
        let batch = outer.last().copied().unwrap_or(0);
        even.then(|| [batch, layout.strides[rank - 2], layout.strides[rank - 1]])
    }
}

impl Op for Contraction {
    fn name(&self) -> String {
        "matmul".into()
    }

    fn attrs(&self) -> String {
        let s = &self.spec;
        let form = format!(
            "{}{}",
            if s.a.k_inner { "A" } else { "Aᵀ" },
            if s.b.k_inner { "Bᵀ" } else { "B" }
        );
        let batch = match (s.batch, s.a.batched, s.b.batched) {
            (1, ..) => String::new(),
            (b, x, y) => format!(
                " batch {b}{}{}",
                if x { "" } else { " shared A" },
                if y { "" } else { " shared B" }
            ),
        };
        let epilogue = match self.epilogue.instrs.is_empty() {
            true => String::new(),
            false => format!("; {}", self.epilogue),
        };
        let sums = if self.b_sums { "; column sums of B" } else { "" };
        format!("{form} {}x{}x{}{batch}{epilogue}{sums}", s.m, s.n, s.k)
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
            DType::F32 => i < 2 || self.epilogue.input_type(i - 1) == Some(DType::F32),
            DType::U32 => {
                i >= 2
                    && ty.shape.rank() == 0
                    && self.epilogue.input_type(i - 1) == Some(DType::U32)
            }
            DType::U8 => false,
        };
        if !inputs.iter().enumerate().all(fits) {
            let dtypes: Vec<DType> = inputs.iter().map(|t| t.dtype).collect();
            return Err(Error::dtype("matmul", &dtypes, "operands are f32"));
        }
        let count =
            |map: LoadMap, lines: usize| if map.batched { s.batch } else { 1 } * lines * s.k;
        let dims = self.shape.dims();
        let fits = inputs[0].shape.len() == count(s.a, s.m)
            && inputs[1].shape.len() == count(s.b, s.n)
            && dims.len() >= 2
            && dims[dims.len() - 2..] == [s.m, s.n]
            && self.shape.len() == s.batch * s.m * s.n
            && (!self.b_sums || s.batch == 1 && !s.b.k_inner)
            && inputs.len() == self.epilogue.inputs + 1
            && inputs[2..].iter().all(|t| self.epilogue_strides(&t.shape).is_some());
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

    fn vjp(
        &self,
        graph: &mut Graph,
        inputs: &[Value],
        _outputs: &[Value],
        upstream: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>> {
        let Some(dc) = upstream[0] else { return Ok(vec![None; inputs.len()]) };
        if !self.epilogue.instrs.is_empty() || self.b_sums {
            return Err(Error::internal("autodiff", "runs before fusion, on plain contractions"));
        }
        let ContractionSpec { batch, m, n, k, a, b } = self.spec;
        // dC is [b, m, n] in memory.
        let dc_map = |k_inner: bool| LoadMap { k_inner, batched: true };
        let flip = |map: LoadMap| LoadMap { k_inner: !map.k_inner, ..map };
        // Each gradient is computed in the memory order of its operand, so none is transposed.
        let (da_spec, da_args) = if a.k_inner {
            let spec = ContractionSpec { batch, m, n: k, k: n, a: dc_map(true), b: flip(b) };
            (spec, [dc, inputs[1]])
        } else {
            let spec = ContractionSpec { batch, m: k, n: m, k: n, a: flip(b), b: dc_map(true) };
            (spec, [inputs[1], dc])
        };
        let (db_spec, db_args) = if b.k_inner {
            let spec = ContractionSpec { batch, m: n, n: k, k: m, a: dc_map(false), b: flip(a) };
            (spec, [dc, inputs[0]])
        } else {
            let spec = ContractionSpec { batch, m: k, n, k: m, a: flip(a), b: dc_map(false) };
            (spec, [inputs[0], dc])
        };
        let mut gradient = |spec: ContractionSpec, args: [Value; 2], map: LoadMap, of: Value| {
            let shape = match batch {
                1 => Shape::from([spec.m, spec.n]),
                _ => Shape::from([batch, spec.m, spec.n]),
            };
            let mut d = graph.push(Arc::new(Self::plain(spec, shape)), &args)?;
            if !map.batched && batch > 1 {
                d = graph.sum(d, &[0], false)?;
            }
            let shape = graph.shape(of).clone();
            graph.reshape(d, shape).map(Some)
        };
        Ok(vec![
            gradient(da_spec, da_args, a, inputs[0])?,
            gradient(db_spec, db_args, b, inputs[1])?,
        ])
    }

    /// A product of two operands whose lines are rows: aᵀ · b.
    fn sums_rows(&self) -> bool {
        let ContractionSpec { batch, a, b, .. } = self.spec;
        let plain = self.epilogue.instrs.is_empty() && !self.b_sums;
        plain && batch == 1 && !a.k_inner && !b.k_inner
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
        let spec = ContractionSpec {
            batch,
            m,
            n,
            k,
            a: LoadMap { k_inner: !trans_a, batched: true },
            b: LoadMap { k_inner: trans_b, batched: !shared_b },
        };
        let flat = if batch == 1 { Shape::from([m, n]) } else { Shape::from(shape.clone()) };
        let product = self.push(Arc::new(Contraction::plain(spec, flat)), &[a, b])?;
        self.reshape(product, shape)
    }

    /// `a · b`; see [`Graph::matmul_form`].
    ///
    /// # Errors
    /// As [`Graph::matmul_form`].
    pub fn matmul(&mut self, a: Value, b: Value) -> Result<Value> {
        self.matmul_form(a, b, false, false)
    }
}
