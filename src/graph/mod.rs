//! The intermediate representation: a list of typed nodes with static shapes.
//!
//! A node applies an [`Op`] to values and yields one or more values. Nodes are in topological order by
//! construction. What differs between ops is behind the [`Op`] trait; passes match on [`Class`], never on a name.

mod class;
mod display;
mod node;
mod op;
mod patches;
mod penalty;
mod program;
mod row;
mod row_kernel;
mod scan;
mod structure;
mod verify;
mod view;

pub use class::{Class, Leaf, Movement};
pub use node::{Node, NodeId, TensorType, Value};
pub use op::{LowerContext, Lowered, Op, OpRef, VjpContext};
pub use patches::Window;
pub(crate) use patches::{Slide, Steps};
pub use program::{Instr, Program, Reg};
pub use row::{Applied, Derivative, IndexUse, Partials, Row};
pub(crate) use row::{answers, computes};
pub use row_kernel::{Phase, Read, RowGradient, RowKernel, RowReduction, RowRule, Rows};
pub use scan::{Body, Param, Scan, Table};
pub use structure::{Contraction, ContractionSpec, Map, Reduce, ReduceKind};
pub use view::{Axis, Guard, View};

use crate::error::{Error, Result};
use crate::kernels::STEP_WORDS;
use crate::tensor::{DType, Shape, SharedTensor};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A named word of the per-step uniform block: learning rates, offsets, seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepParam {
    /// The name that the host sets it by.
    pub name: String,
    /// f32 or u32.
    pub dtype: DType,
}

/// A graph under construction, or between passes.
///
/// ```
/// use wgrad::autodiff::gradients;
/// use wgrad::graph::Graph;
/// use wgrad::tensor::DType;
///
/// // The sum of tanh(x · w), and its gradient with respect to w.
/// let mut graph = Graph::new();
/// let x = graph.input("x", [8, 3], DType::F32);
/// let w = graph.state("w", [3, 2], DType::F32);
/// let product = graph.matmul(x, w)?;
/// let y = graph.unary("tanh", product, &[])?;
/// let sum = graph.sum(y, &[], false)?;
/// let gradient = gradients(&mut graph, sum, &[w])?[0];
/// assert_eq!(graph.shape(gradient), graph.shape(w));
/// graph.output("gradient", gradient);
/// println!("{graph}");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    /// Values that must be readable after a run, with their names.
    outputs: Vec<(String, Value)>,
    /// State transitions: the state leaf, and the value it holds after the run.
    updates: Vec<(Value, Value)>,
    step_params: Vec<StepParam>,
    layer: Option<Arc<str>>,
    /// Inputs, states and constant tensors, so that the same name and type is the same value.
    buffers: HashMap<(Leaf, TensorType), Value>,
    /// Scalars that layers add to the loss.
    penalties: Vec<Value>,
}

impl Graph {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The nodes, in topological order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The id of the node at this position.
    ///
    /// # Panics
    /// If the graph has no such position.
    #[must_use]
    pub fn id(&self, index: usize) -> NodeId {
        self.nodes[index].id
    }

    /// The values of the node at this position.
    ///
    /// # Panics
    /// If the graph has no such position.
    pub fn values(&self, index: usize) -> impl Iterator<Item = Value> + use<> {
        let node = &self.nodes[index];
        let id = node.id;
        (0..node.outputs.len()).map(move |o| Value { node: id, output: o as u16 })
    }

    /// The node that yields `value`.
    ///
    /// # Panics
    /// If `value` is of another graph. All look-ups of a value here panic then; [`Graph::check`] tells before.
    #[must_use]
    pub fn node(&self, value: Value) -> &Node {
        assert!(self.holds(value), "{value} is a value of another graph");
        &self.nodes[value.node.index()]
    }

    /// Whether `value` is one of this graph.
    #[must_use]
    pub fn holds(&self, value: Value) -> bool {
        let node = self.nodes.get(value.node.index()).filter(|n| n.id == value.node);
        node.is_some_and(|n| (value.output as usize) < n.outputs.len())
    }

    /// Refuses values of another graph, as operands of `op`. Every function that builds from values does so.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the op and the first such value.
    pub fn check(&self, op: &str, values: &[Value]) -> Result<()> {
        let Some(foreign) = values.iter().find(|v| !self.holds(**v)) else { return Ok(()) };
        let detail = "is a value of another graph; build all operands in one";
        let error = Error::parameter(format!("operand of {op}"), foreign, detail);
        Err(match self.layer.as_deref() {
            Some(layer) => error.in_layer(layer),
            None => error,
        })
    }

    /// The value whose storage holds `v`: `v` itself, or what it is an alias of.
    #[must_use]
    pub fn storage_root(&self, mut v: Value) -> Value {
        while let Class::Movement(Movement::Alias { .. }) = self.node(v).op.class() {
            v = self.node(v).inputs[0];
        }
        v
    }

    /// Whether `v` is a leaf's buffer or a part of it.
    pub(crate) fn lies_in_leaf(&self, v: Value) -> bool {
        matches!(self.node(self.storage_root(v)).op.class(), Class::Leaf(_))
    }

    /// The value whose elements `v` shows under another shape: `v` itself, if it is no reshape.
    pub(crate) fn unaliased(&self, mut v: Value) -> Value {
        while let Class::Movement(Movement::Alias { offset: 0 }) = self.node(v).op.class() {
            let inner = self.node(v).inputs[0];
            if self.shape(inner).len() != self.shape(v).len() {
                break;
            }
            v = inner;
        }
        v
    }

    /// The type of `value`.
    #[must_use]
    pub fn ty(&self, value: Value) -> &TensorType {
        &self.node(value).outputs[value.output as usize]
    }

    /// The shape of `value`.
    #[must_use]
    pub fn shape(&self, value: Value) -> &Shape {
        &self.ty(value).shape
    }

    /// Named outputs.
    #[must_use]
    pub fn outputs(&self) -> &[(String, Value)] {
        &self.outputs
    }

    /// State transitions: (state leaf, value after the run).
    #[must_use]
    pub fn updates(&self) -> &[(Value, Value)] {
        &self.updates
    }

    /// The words of the step block, in order.
    #[must_use]
    pub fn step_params(&self) -> &[StepParam] {
        &self.step_params
    }

    /// Appends a node and returns its first value.
    ///
    /// # Errors
    /// What the op's shape inference finds, naming the current layer; [`Error::Limit`] for a result of
    /// more elements than 32 bits count.
    pub(crate) fn push(&mut self, op: OpRef, inputs: &[Value]) -> Result<Value> {
        Ok(self.push_all(op, inputs)?[0])
    }

    /// Appends a node and returns all its values.
    ///
    /// # Errors
    /// As [`Graph::push`].
    pub(crate) fn push_all(&mut self, op: OpRef, inputs: &[Value]) -> Result<Vec<Value>> {
        self.push_viewed(op, inputs, vec![None; inputs.len()])
    }

    /// Appends a node that reads its operands through these views, and returns all its values.
    ///
    /// # Errors
    /// As [`Graph::push`]; [`Error::Shape`] for a view that leaves its operand.
    pub(crate) fn push_viewed(
        &mut self,
        op: OpRef,
        inputs: &[Value],
        views: Vec<Option<View>>,
    ) -> Result<Vec<Value>> {
        self.check(&op.name(), inputs)?;
        if inputs.len() < op.min_inputs() {
            let detail = format!("{} operands of {}", inputs.len(), op.min_inputs());
            return Err(Error::internal(op.name(), detail));
        }
        let in_layer = |e: Error| match self.layer.as_deref() {
            Some(layer) => e.in_layer(layer),
            None => e,
        };
        let own: Vec<&TensorType> = inputs.iter().map(|&v| self.ty(v)).collect();
        full(&op.name(), &own).map_err(in_layer)?;
        let seen = seen_by(&own, &views);
        let types: Vec<&TensorType> = seen.iter().map(AsRef::as_ref).collect();
        full(&op.name(), &types).map_err(in_layer)?;
        let outputs = op.infer(&types).map_err(in_layer)?;
        check_views(op.as_ref(), &own, &types, &views).map_err(in_layer)?;
        full(&op.name(), &outputs.iter().collect::<Vec<_>>()).map_err(in_layer)?;
        if let Some(large) = outputs.iter().find(|o| u32::try_from(o.shape.len()).is_err()) {
            let layer = self.layer.as_deref().map(|l| format!("layer `{l}`: ")).unwrap_or_default();
            return Err(Error::Limit {
                what: format!("{layer}{} {large}: elements", op.name()),
                needed: large.shape.len() as u64,
                allowed: u64::from(u32::MAX),
                detail: "shaders index with 32 bits; use a smaller batch or a smaller layer".into(),
            });
        }
        let id = NodeId::new(self.nodes.len());
        let (inputs, layer) = (inputs.to_vec(), self.layer.clone());
        self.nodes.push(Node { id, op, inputs, views, outputs, layer });
        Ok(self.values(id.index()).collect())
    }

    /// The leaf of a named buffer: the same name and type is the same value.
    fn buffer(&mut self, leaf: Leaf, ty: TensorType) -> Value {
        let key = (leaf.clone(), ty.clone());
        if let Some(&value) = self.buffers.get(&key) {
            return value;
        }
        let value = self.leaf(leaf, ty);
        self.buffers.insert(key, value);
        value
    }

    fn leaf(&mut self, leaf: Leaf, ty: TensorType) -> Value {
        let id = NodeId::new(self.nodes.len());
        let op = Arc::new(op::LeafOp { leaf, ty: ty.clone() });
        let layer = self.layer.clone();
        let (inputs, views, outputs) = (vec![], vec![], vec![ty]);
        self.nodes.push(Node { id, op, inputs, views, outputs, layer });
        Value { node: id, output: 0 }
    }

    /// A buffer that the caller provides and the graph reads. Every extent is 1 or more: an op that reads an empty one
    /// is refused.
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>, dtype: DType) -> Value {
        self.buffer(Leaf::Input(name.into()), TensorType { shape: shape.into(), dtype })
    }

    /// A buffer that outlives a run and may be given a new value by [`Graph::update`]. Every extent is 1 or more, as in
    /// [`Graph::input`].
    pub fn state(&mut self, name: &str, shape: impl Into<Shape>, dtype: DType) -> Value {
        self.buffer(Leaf::State(name.into()), TensorType { shape: shape.into(), dtype })
    }

    /// A scalar constant; it broadcasts.
    pub fn constant(&mut self, value: f32) -> Value {
        let ty = TensorType { shape: Shape::scalar(), dtype: DType::F32 };
        self.leaf(Leaf::Constant(value.into()), ty)
    }

    /// A u32 scalar constant, for ops that take indices or offsets.
    pub fn constant_u32(&mut self, value: u16) -> Value {
        let ty = TensorType { shape: Shape::scalar(), dtype: DType::U32 };
        self.leaf(Leaf::Constant(f32::from(value).into()), ty)
    }

    /// A tensor that never changes: a table of positions, a fixed filter. Bytes are read by gathers. It is uploaded once per
    /// [`crate::gpu::Store`], and equal ones are one. A [`SharedTensor`] that is used again is not looked through again.
    ///
    /// ```
    /// use wgrad::graph::Graph;
    /// use wgrad::tensor::{DType, Tensor};
    ///
    /// let mut graph = Graph::new();
    /// let x = graph.input("x", [2, 3], DType::F32);
    /// let weights = graph.constant_tensor(Tensor::f32([3], [0.25, 0.5, 0.25])?)?;
    /// let weighted = graph.mul(x, weights)?;
    /// # graph.output("weighted", weighted);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] for a tensor without elements.
    pub fn constant_tensor(&mut self, tensor: impl Into<SharedTensor>) -> Result<Value> {
        let tensor = tensor.into();
        let ty = TensorType { shape: tensor.shape().clone(), dtype: tensor.dtype() };
        let in_layer = |e: Error| match self.layer.as_deref() {
            Some(layer) => e.in_layer(layer),
            None => e,
        };
        full("constant_tensor", &[&ty]).map_err(in_layer)?;
        Ok(self.buffer(Leaf::Tensor(tensor), ty))
    }

    /// A scalar word of the step block, set by the host for each step. The same name is the same word.
    ///
    /// # Errors
    /// [`Error::Limit`] past 64 words; [`Error::DType`] for u8, or if the name has another type.
    pub fn step_param(&mut self, name: &str, dtype: DType) -> Result<Value> {
        if dtype == DType::U8 {
            return Err(Error::dtype("step_param", &[dtype], "step parameters are f32 or u32"));
        }
        let index = match self.step_params.iter().position(|p| p.name == name) {
            Some(i) if self.step_params[i].dtype != dtype => {
                let dtypes = [self.step_params[i].dtype, dtype];
                return Err(Error::dtype(
                    "step_param",
                    &dtypes,
                    format!("`{name}` exists with another type"),
                ));
            }
            Some(i) => i,
            None => {
                self.step_params.push(StepParam { name: name.into(), dtype });
                self.step_params.len() - 1
            }
        };
        if index >= STEP_WORDS {
            return Err(Error::Limit {
                what: "step parameters".into(),
                needed: index as u64 + 1,
                allowed: STEP_WORDS as u64,
                detail: "put the values into a state buffer".into(),
            });
        }
        Ok(self.leaf(Leaf::Step(index), TensorType { shape: Shape::scalar(), dtype }))
    }

    /// Puts `prefix` before the names of the step words from the `first`-th on, so that two rules in one graph may have
    /// words of one name.
    pub(crate) fn prefix_step_params(&mut self, first: usize, prefix: &str) {
        for param in &mut self.step_params[first..] {
            param.name.insert_str(0, prefix);
        }
    }

    /// Marks `value` as readable after a run. A value of another graph is refused when the graph is compiled.
    pub fn output(&mut self, name: &str, value: Value) {
        self.outputs.push((name.into(), value));
    }

    /// States that after a run the buffer of `state` holds `new`.
    ///
    /// # Errors
    /// If `state` is not a state leaf, already has a new value, or the types differ; as [`Graph::check`].
    pub fn update(&mut self, state: Value, new: Value) -> Result<()> {
        self.check("update", &[state, new])?;
        if !matches!(self.node(state).op.class(), Class::Leaf(Leaf::State(_))) {
            return Err(Error::internal("update", format!("{state} is not a state")));
        }
        if self.updates.iter().any(|&(s, _)| s == state) {
            return Err(Error::internal("update", format!("{state} is updated twice")));
        }
        if self.ty(state) != self.ty(new) {
            return Err(Error::shape(
                "update",
                &[self.shape(state), self.shape(new)],
                "a state and its new value have the same type",
            ));
        }
        self.updates.push((state, new));
        Ok(())
    }

    /// Runs `build` with every node and error attributed to the layer `name`.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn in_layer<T>(
        &mut self,
        name: &str,
        build: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let outer = self.layer.replace(name.into());
        let result = build(self).map_err(|e| e.in_layer(name));
        self.layer = outer;
        result
    }

    /// Values that must stay alive: outputs and new states.
    pub fn roots(&self) -> impl Iterator<Item = Value> + '_ {
        self.outputs.iter().map(|(_, v)| *v).chain(self.updates.iter().map(|(_, v)| *v))
    }

    /// An empty graph with the same step block, for a pass to fill.
    pub(crate) fn rebuilt(&self) -> Self {
        Self { step_params: self.step_params.clone(), ..Self::default() }
    }

    /// Appends a node as it is, with another graph's op and layer.
    pub(crate) fn push_node(
        &mut self,
        op: OpRef,
        inputs: &[Value],
        views: Vec<Option<View>>,
        layer: Option<Arc<str>>,
    ) -> Result<Vec<Value>> {
        let outer = std::mem::replace(&mut self.layer, layer);
        let values = self.push_viewed(op, inputs, views);
        self.layer = outer;
        values
    }

    /// Replaces the outputs.
    pub(crate) fn set_outputs(&mut self, outputs: Vec<(String, Value)>) {
        self.outputs = outputs;
    }

    /// Replaces the updates.
    pub(crate) fn set_updates(&mut self, updates: Vec<(Value, Value)>) {
        self.updates = updates;
    }

    /// Copies outputs and updates of `from` through `map`.
    pub(crate) fn copy_roots(&mut self, from: &Self, map: impl Fn(Value) -> Value) {
        self.outputs = from.outputs.iter().map(|(n, v)| (n.clone(), map(*v))).collect();
        self.updates = from.updates.iter().map(|&(s, v)| (map(s), map(v))).collect();
    }
}

/// The types that an op sees of its operands, whose own types are `own`.
fn seen_by<'a>(own: &[&'a TensorType], views: &[Option<View>]) -> Vec<Cow<'a, TensorType>> {
    let seen = own.iter().zip(views).map(|(&ty, view)| match view {
        Some(view) => Cow::Owned(node::seen(view, ty)),
        None => Cow::Borrowed(ty),
    });
    seen.collect()
}

/// Refuses views that leave their operands, and those that no kernel of the op reads.
fn check_views(
    op: &dyn Op,
    own: &[&TensorType],
    seen: &[&TensorType],
    views: &[Option<View>],
) -> Result<()> {
    for (j, view) in views.iter().enumerate() {
        let Some(view) = view else { continue };
        let fail = |detail: String| Err(Error::shape(op.name(), &[&own[j].shape], detail));
        if !view.fits(own[j].shape.len()) {
            return fail(format!("operand {j} is read as {view}, which leaves it"));
        }
        if own[j].dtype == DType::U32 || !op.takes_view(seen, j, view) {
            return fail(format!("operand {j} cannot be read as {view}; copy it first"));
        }
    }
    Ok(())
}

/// Refuses a type without elements: no kernel could read one, and shaders run without bounds checks.
fn full(op: &str, types: &[&TensorType]) -> Result<()> {
    if types.iter().all(|ty| !ty.shape.is_empty()) {
        return Ok(());
    }
    let shapes: Vec<&Shape> = types.iter().map(|ty| &ty.shape).collect();
    Err(Error::shape(op, &shapes, "an extent is zero; every extent is 1 or more"))
}
