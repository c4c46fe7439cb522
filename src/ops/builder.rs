//! The graph builder's words for elementwise and movement ops.

use super::map::Map;
use super::movement::{ArenaView, Pack, Permute, Reshape};
use super::program::Program;
use super::table::{Row, row};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::Shape;
use std::sync::Arc;

fn find(name: &str) -> Result<&'static Row> {
    row(name).ok_or_else(|| Error::parameter("function", name, "no such elementwise function"))
}

impl Graph {
    /// An elementwise function of one operand, by its name in the table. Missing parameters take their
    /// defaults.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an unknown name or too many parameters.
    pub fn unary(&mut self, name: &str, x: Value, params: &[f32]) -> Result<Value> {
        self.check(name, &[x])?;
        let row = find(name)?;
        if row.arity != 1 || params.len() > row.params.len() {
            return Err(Error::parameter(
                "function",
                name,
                format!("takes {} operands and {} parameters", row.arity, row.params.len()),
            ));
        }
        let given = params.iter().copied();
        let defaults = row.params.iter().skip(params.len()).map(|p| p.1);
        let words = given.chain(defaults).map(f32::to_bits).collect();
        let shape = self.shape(x).clone();
        self.push(Arc::new(Map { program: Program::single(row, false, words), shape }), &[x])
    }

    /// An elementwise function of two operands, which broadcast to a common shape.
    ///
    /// # Errors
    /// [`Error::Shape`] where they do not; [`Error::Parameter`] for an unknown name.
    pub fn binary(&mut self, name: &str, a: Value, b: Value) -> Result<Value> {
        self.check(name, &[a, b])?;
        let row = find(name)?;
        if row.arity != 2 || !row.params.is_empty() {
            return Err(Error::parameter("function", name, "is no function of two operands"));
        }
        let (sa, sb) = (self.shape(a), self.shape(b));
        let shape = sa.broadcast(sb).ok_or_else(|| {
            Error::shape(name, &[sa, sb], "extents are equal or 1, counted from the last axis")
        })?;
        self.push(Arc::new(Map { program: Program::single(row, false, vec![]), shape }), &[a, b])
    }

    /// `yes` where `condition` > 0, else `no`, broadcast. Comparisons and step words give such conditions. Unlike
    /// a sum of products it lets no NaN of the other branch through.
    ///
    /// # Errors
    /// [`Error::Shape`] where the operands do not broadcast to a common shape.
    pub fn select(&mut self, condition: Value, yes: Value, no: Value) -> Result<Value> {
        self.check("select", &[condition, yes, no])?;
        let shapes = [condition, yes, no].map(|v| self.shape(v));
        let shape = shapes[0].broadcast(shapes[1]).and_then(|s| s.broadcast(shapes[2]));
        let shape = shape.ok_or_else(|| {
            let detail = "extents are equal or 1, counted from the last axis";
            Error::shape("select", &shapes, detail)
        })?;
        let program = Program::single(find("select")?, false, vec![]);
        self.push(Arc::new(Map { program, shape }), &[condition, yes, no])
    }

    /// a + b, broadcast.
    ///
    /// # Errors
    /// As [`Graph::binary`].
    pub fn add(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary("add", a, b)
    }

    /// a - b, broadcast.
    ///
    /// # Errors
    /// As [`Graph::binary`].
    pub fn sub(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary("sub", a, b)
    }

    /// a · b elementwise, broadcast.
    ///
    /// # Errors
    /// As [`Graph::binary`].
    pub fn mul(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary("mul", a, b)
    }

    /// a / b, broadcast.
    ///
    /// # Errors
    /// As [`Graph::binary`].
    pub fn div(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary("div", a, b)
    }

    /// -x.
    ///
    /// # Errors
    /// [`Error::DType`] where `x` is not f32.
    pub fn neg(&mut self, x: Value) -> Result<Value> {
        self.unary("neg", x, &[])
    }

    /// `factor` · x.
    ///
    /// # Errors
    /// [`Error::DType`] where `x` is not f32.
    pub fn scale(&mut self, x: Value, factor: f32) -> Result<Value> {
        let factor = self.constant(factor);
        self.mul(x, factor)
    }

    /// Uniform numbers in [0, 1) of this shape, drawn anew each step. `seed` and `step` are u32 step
    /// parameters; `stream` tells draws of one step apart.
    ///
    /// # Errors
    /// [`Error::DType`] where seed or step is not u32.
    pub fn random_uniform(
        &mut self,
        shape: impl Into<Shape>,
        seed: Value,
        step: Value,
        stream: u32,
    ) -> Result<Value> {
        self.random("random_uniform", shape.into(), seed, step, stream)
    }

    /// Standard normal numbers of this shape, drawn anew each step, by the formula of Box and Muller (1958).
    /// Seed, step and stream as in [`Graph::random_uniform`].
    ///
    /// # Errors
    /// As [`Graph::random_uniform`].
    pub fn random_normal(
        &mut self,
        shape: impl Into<Shape>,
        seed: Value,
        step: Value,
        stream: u32,
    ) -> Result<Value> {
        self.random("random_normal", shape.into(), seed, step, stream)
    }

    fn random(
        &mut self,
        name: &str,
        shape: Shape,
        seed: Value,
        step: Value,
        stream: u32,
    ) -> Result<Value> {
        let program = Program::single(find(name)?, false, vec![stream]);
        self.push(Arc::new(Map { program, shape }), &[seed, step])
    }

    /// `x` repeated to `shape`.
    ///
    /// # Errors
    /// [`Error::Shape`] where it does not broadcast.
    pub fn broadcast_to(&mut self, x: Value, shape: impl Into<Shape>) -> Result<Value> {
        self.check("broadcast", &[x])?;
        let shape = shape.into();
        if *self.shape(x) == shape {
            return Ok(x);
        }
        self.push(Arc::new(Map { program: Program::identity(), shape }), &[x])
    }

    /// The same elements under another shape; no copy.
    ///
    /// # Errors
    /// [`Error::Shape`] where the element counts differ.
    pub fn reshape(&mut self, x: Value, shape: impl Into<Shape>) -> Result<Value> {
        self.check("reshape", &[x])?;
        let shape = shape.into();
        if *self.shape(x) == shape {
            return Ok(x);
        }
        self.push(Arc::new(Reshape { shape }), &[x])
    }

    /// Axes in another order: axis i of the result is axis `axes[i]` of `x`.
    ///
    /// # Errors
    /// [`Error::Shape`] where `axes` is no permutation.
    pub fn transpose(&mut self, x: Value, axes: &[usize]) -> Result<Value> {
        self.check("transpose", &[x])?;
        let from = self.shape(x).clone();
        if axes.len() != from.rank() || axes.iter().any(|&a| a >= from.rank()) {
            return Err(Error::shape(
                "transpose",
                &[&from],
                format!("axes {axes:?} are not a permutation of its axes"),
            ));
        }
        self.push(Arc::new(Permute { axes: axes.to_vec(), from }), &[x])
    }

    /// The tensor of `shape` that lies in the flat `arena` from element `offset`; no copy.
    ///
    /// # Errors
    /// [`Error::Shape`] where it does not fit or `offset` is no multiple of 64.
    pub fn view(&mut self, arena: Value, offset: usize, shape: impl Into<Shape>) -> Result<Value> {
        self.push(Arc::new(ArenaView { offset, shape: shape.into() }), &[arena])
    }

    /// Tensors side by side in a flat arena of `len` elements, each from its offset.
    ///
    /// # Errors
    /// [`Error::Shape`] where they do not fit.
    pub fn pack(&mut self, len: usize, offsets: &[usize], tensors: &[Value]) -> Result<Value> {
        self.push(Arc::new(Pack { len, offsets: offsets.to_vec() }), tensors)
    }
}
