//! The graph builder's functions for elementwise and movement ops.

use super::map::{Map, to_u32};
use super::movement::{ArenaView, Pack, Permute, Reshape, StopGradient};
use super::names::find;
use super::program::Program;
use super::table::{functions_table, row};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::Shape;
use std::sync::Arc;

impl Graph {
    /// An elementwise function of one operand, by its name. Parameters that are not given take their defaults.
    ///
    /// ```
    /// use wgrad::graph::Graph;
    /// use wgrad::tensor::DType;
    ///
    /// let mut graph = Graph::new();
    /// let x = graph.input("x", [2, 3], DType::F32);
    /// let y = graph.unary("leaky_relu", x, &[0.1])?;
    /// assert_eq!(graph.shape(y), &[2, 3].into());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// All elementwise functions; those of two operands are for [`Graph::binary`]. A gradient of "0" means that
    /// none reaches the operands; "passes through" means that the operand takes the gradient of the result as it is.
    ///
    #[doc = functions_table!()]
    ///
    /// # Errors
    /// [`Error::Parameter`] for an unknown name, with the names near it, and for too many parameters;
    /// [`Error::DType`] if `x` is not f32.
    pub fn unary(&mut self, name: &str, x: Value, params: &[f32]) -> Result<Value> {
        self.check(name, &[x])?;
        let row = find(name, 1)?;
        if params.len() > row.params.len() {
            let known: Vec<&str> = row.params.iter().map(|p| p.0).collect();
            let (taken, given) = (known.len(), params.len());
            let detail = format!("takes {taken} parameters {known:?}; {given} were given");
            return Err(Error::parameter("function", name, detail));
        }
        let given = params.iter().copied();
        let defaults = row.params.iter().skip(params.len()).map(|p| p.1);
        let words = given.chain(defaults).map(f32::to_bits).collect();
        let shape = self.shape(x).clone();
        self.push(Arc::new(Map { program: Program::single(row, false, words), shape }), &[x])
    }

    /// An elementwise function of two operands, which broadcast to a common shape. [`Graph::unary`] lists the names.
    ///
    /// # Errors
    /// [`Error::Shape`] if they do not; [`Error::Parameter`] for an unknown name, with the names near it.
    pub fn binary(&mut self, name: &str, a: Value, b: Value) -> Result<Value> {
        self.check(name, &[a, b])?;
        let row = find(name, 2)?;
        let (sa, sb) = (self.shape(a), self.shape(b));
        let shape = sa.broadcast(sb).ok_or_else(|| {
            Error::shape(name, &[sa, sb], "extents are equal or 1, counted from the last axis")
        })?;
        self.push(Arc::new(Map { program: Program::single(row, false, vec![]), shape }), &[a, b])
    }

    /// `yes` if `condition` > 0, else `no`, broadcast. Comparisons and step words give such conditions. Unlike a sum of
    /// products it lets no NaN of the other branch through.
    ///
    /// # Errors
    /// [`Error::Shape`] if the operands do not broadcast to a common shape.
    pub fn select(&mut self, condition: Value, yes: Value, no: Value) -> Result<Value> {
        self.check("select", &[condition, yes, no])?;
        let shapes = [condition, yes, no].map(|v| self.shape(v));
        let shape = shapes[0].broadcast(shapes[1]).and_then(|s| s.broadcast(shapes[2]));
        let shape = shape.ok_or_else(|| {
            let detail = "extents are equal or 1, counted from the last axis";
            Error::shape("select", &shapes, detail)
        })?;
        let program = Program::single(find("select", 3)?, false, vec![]);
        self.push(Arc::new(Map { program, shape }), &[condition, yes, no])
    }

    /// `factor` · x.
    ///
    /// # Errors
    /// [`Error::DType`] if `x` is not f32.
    pub fn scale(&mut self, x: Value, factor: f32) -> Result<Value> {
        let factor = self.constant(factor);
        self.mul(x, factor)
    }

    /// Uniform numbers in [0, 1) of this shape, drawn anew each step. `seed` and `step` are u32 step
    /// parameters; `stream` tells draws of one step apart.
    ///
    /// # Errors
    /// [`Error::DType`] if seed or step is not u32.
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
        self.check(name, &[seed, step])?;
        if let Some(other) = [seed, step].iter().find(|v| !self.node(**v).op.class().is_uniform()) {
            let detail = "seed and step are step parameters or constants";
            return Err(Error::shape(name, &[self.shape(*other)], detail));
        }
        self.apply(name, vec![stream], shape, &[seed, step])
    }

    /// A row of the table that has a call of its own name.
    fn apply(
        &mut self,
        name: &str,
        params: Vec<u32>,
        shape: Shape,
        inputs: &[Value],
    ) -> Result<Value> {
        let row = row(name).ok_or_else(|| Error::internal("elementwise function", name))?;
        let program = Program::single(row, false, params);
        self.push(Arc::new(Map { program, shape }), inputs)
    }

    /// The index of each element along `axis`, of this shape: 0, 1, 2, ... as f32. It is computed in the kernels that
    /// read it and never stored, uploaded or differentiated. Two of them make a mask:
    ///
    /// ```
    /// use wgrad::graph::Graph;
    ///
    /// // 1 for the columns that a row may look at: itself and those before.
    /// let mut graph = Graph::new();
    /// let (row, column) = (graph.iota([8, 8], 0)?, graph.iota([8, 8], 1)?);
    /// let causal = graph.binary("greater_equal", row, column)?;
    /// # graph.output("causal", causal);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if `shape` has no such axis, or more than 2²⁴ elements along it: f32 counts no further.
    pub fn iota(&mut self, shape: impl Into<Shape>, axis: usize) -> Result<Value> {
        let shape = shape.into();
        match shape.dims().get(axis) {
            None => Err(Error::shape("iota", &[&shape], format!("there is no axis {axis}"))),
            Some(&extent) if extent > 1 << 24 => {
                Err(Error::shape("iota", &[&shape], "f32 counts up to 2^24 elements of an axis"))
            }
            Some(&extent) => {
                let words = vec![to_u32(shape.strides()[axis])?, extent as u32];
                self.apply("iota", words, shape, &[])
            }
        }
    }

    /// u32 values, such as ids and labels, as f32 numbers: exact up to 2²⁴, and no other becomes 0. So masks can be
    /// built of ids: `to_f32`, then [`Graph::not_equal`] with a constant.
    ///
    /// # Errors
    /// [`Error::DType`] if `x` is not u32.
    pub fn to_f32(&mut self, x: Value) -> Result<Value> {
        self.check("to_f32", &[x])?;
        let shape = self.shape(x).clone();
        self.apply("to_f32", vec![], shape, &[x])
    }

    /// `x` repeated to `shape`.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not broadcast.
    pub fn broadcast_to(&mut self, x: Value, shape: impl Into<Shape>) -> Result<Value> {
        self.check("broadcast", &[x])?;
        let shape = shape.into();
        if *self.shape(x) == shape {
            return Ok(x);
        }
        self.push(Arc::new(Map { program: Program::identity(), shape }), &[x])
    }

    /// `x` as a constant for gradients: none flows into it. No copy. Keras' `ops.stop_gradient`.
    ///
    /// # Errors
    /// As [`Graph::check`].
    pub fn stop_gradient(&mut self, x: Value) -> Result<Value> {
        self.check("stop_gradient", &[x])?;
        self.push(Arc::new(StopGradient), &[x])
    }

    /// The same elements under another shape; no copy.
    ///
    /// # Errors
    /// [`Error::Shape`] if the element counts differ.
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
    /// [`Error::Shape`] if `axes` is no permutation.
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

    /// The tensor of `shape` in the flat `arena` from element `offset`; no copy.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not fit or `offset` is no multiple of 64.
    pub fn view(&mut self, arena: Value, offset: usize, shape: impl Into<Shape>) -> Result<Value> {
        self.push(Arc::new(ArenaView { offset, shape: shape.into() }), &[arena])
    }

    /// Tensors side by side in a flat arena of `len` elements, each from its offset.
    ///
    /// # Errors
    /// [`Error::Shape`] if they do not fit.
    pub fn pack(&mut self, len: usize, offsets: &[usize], tensors: &[Value]) -> Result<Value> {
        self.push(Arc::new(Pack { len, offsets: offsets.to_vec() }), tensors)
    }
}
