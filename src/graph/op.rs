//! What an op card implements.

use super::{Class, Graph, Leaf, TensorType, Value, View};
use crate::error::{Error, Result};
use crate::kernels::{DeviceCaps, KernelCall, Source};
use crate::tensor::Exact;
use std::any::Any;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A shared op.
pub type OpRef = Arc<dyn Op>;

/// What an op knows when it is lowered.
#[derive(Debug)]
pub struct LowerContext<'a> {
    /// The types that the op sees of its operands, and the source of each.
    pub inputs: Vec<(TensorType, Source)>,
    /// How each operand is read: `None` is as it is.
    pub views: Vec<Option<View>>,
    /// Result types.
    pub outputs: Vec<TensorType>,
    /// For each output, the input whose buffer it takes over.
    pub in_place: Vec<Option<usize>>,
    /// For each output, whether anything reads it. A kernel need not write what nothing reads; an output that no
    /// launch binds takes no memory.
    pub read: Vec<bool>,
    /// The device.
    pub caps: &'a DeviceCaps,
    /// In the body of a scan, how often the launches are repeated in all: random numbers differ each time.
    pub iterations: Option<u64>,
}

impl LowerContext<'_> {
    /// How operand `input` is read.
    #[must_use]
    pub fn view(&self, input: usize) -> View {
        let whole = || View::whole(&self.inputs[input].0.shape);
        self.views[input].clone().unwrap_or_else(whole)
    }
}

/// What an op knows when its gradient is built.
#[derive(Debug, Clone, Copy)]
pub struct VjpContext<'a> {
    /// Its operands.
    pub inputs: &'a [Value],
    /// Its results.
    pub outputs: &'a [Value],
    /// The gradient of each result; `None` is zero.
    pub upstream: &'a [Option<Value>],
    /// Whether the gradient of each operand is asked for. An op that has none for some of its operands refuses those alone.
    pub needed: &'a [bool],
}

/// An op's launches, in order, and the scratch regions that they share.
#[derive(Debug, Clone, Default)]
pub struct Lowered {
    /// The launches.
    pub calls: Vec<KernelCall>,
    /// Bytes of each scratch region.
    pub scratch: Vec<u64>,
}

impl From<KernelCall> for Lowered {
    fn from(call: KernelCall) -> Self {
        Self { calls: vec![call], scratch: vec![] }
    }
}

/// Equality of ops of any kind. Every card that is `Eq` and `Hash` has it.
pub trait Identity: Any {
    /// Whether the other is an op of the same kind with equal fields.
    fn equals(&self, other: &dyn Any) -> bool;

    /// Feeds kind and fields to a hasher.
    fn hash_into(&self, state: &mut dyn Hasher);
}

impl<T: Any + Eq + Hash> Identity for T {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }

    fn hash_into(&self, mut state: &mut dyn Hasher) {
        self.type_id().hash(&mut state);
        self.hash(&mut state);
    }
}

/// An operation: shapes, gradient and kernels. Two nodes with equal ops and the same operands are the same
/// computation, so every field must count in `Eq` and `Hash`.
pub trait Op: Identity + Debug + Send + Sync {
    /// The op's name, a standard term of the field.
    fn name(&self) -> String;

    /// Attributes, for display.
    fn attrs(&self) -> String {
        String::new()
    }

    /// The structural class.
    fn class(&self) -> Class<'_>;

    /// The fewest operands: [`Op::infer`] may index as many.
    fn min_inputs(&self) -> usize {
        1
    }

    /// Result types from operand types.
    ///
    /// # Errors
    /// Shapes or element types that do not fit.
    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>>;

    /// The gradient with respect to each operand; `None` is zero.
    ///
    /// # Errors
    /// [`Error::NotDifferentiable`], or shape errors of the nodes it builds.
    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>>;

    /// Whether other nodes take the op's place on this device: a composite op has no kernel anywhere, another may have one
    /// that suits some devices.
    fn expands_on(&self, _inputs: &[&TensorType], _caps: &DeviceCaps) -> bool {
        self.class() == Class::Composite
    }

    /// The nodes that take the place of an op that expands on this device, and their values for its results.
    ///
    /// # Errors
    /// Those of the ops it builds.
    fn expand(
        &self,
        _graph: &mut Graph,
        _inputs: &[Value],
        _caps: &DeviceCaps,
    ) -> Result<Vec<Value>> {
        Err(Error::internal(self.name(), "is no composite"))
    }

    /// Kernel launches.
    ///
    /// # Errors
    /// [`Error::Limit`] or [`Error::MissingFeature`] if the device cannot run it.
    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered>;

    /// Bytes of operand `input` that one run reads, for throughput figures: all, unless the op says otherwise.
    fn bytes_read(&self, inputs: &[&TensorType], input: usize) -> u64 {
        inputs[input].bytes()
    }

    /// Whether input `i` may be a constant or a step word instead of a buffer.
    fn takes_uniform(&self, _input: usize) -> bool {
        false
    }

    /// Whether the kernels can read operand `input` through this view. `inputs` are the types that the op sees.
    fn takes_view(&self, _inputs: &[&TensorType], _input: usize, _view: &View) -> bool {
        false
    }

    /// Whether reading through a view that the op takes is faster than reading a copy, which costs a launch.
    fn gains_by_view(&self, _inputs: &[&TensorType], _input: usize, _view: &View) -> bool {
        true
    }

    /// Whether `output` may overwrite `input`: each invocation reads the elements of `input` that it
    /// overwrites, and no other.
    fn may_overwrite(&self, _inputs: &[&TensorType], _input: usize, _output: usize) -> bool {
        false
    }

    /// The op with one result more at the end, result `output` once again; `None` if it cannot give a result twice.
    fn with_copy(&self, _output: usize) -> Option<OpRef> {
        None
    }

    /// The op whose result `output` holds the bytes that are decoded here, and the factor on each; `None` if it decodes
    /// none.
    fn with_bytes(&self, _output: usize, _inputs: &[&TensorType]) -> Option<(OpRef, Exact)> {
        None
    }

    /// Whether the kernels can read operand `input` as bytes, which is true of one operand at most. The op then has one operand
    /// more at the end, the factor on each, a constant.
    fn decodes(&self, _input: usize) -> bool {
        false
    }

    /// Whether the first result is the sum of the operands.
    fn adds_operands(&self) -> bool {
        false
    }

    /// Whether the first result is a sum over rows of the operands, so that its sum over many runs is one sum over the rows
    /// of all: a gradient of a value that each iteration of a loop reads.
    fn sums_rows(&self, _views: &[Option<View>]) -> bool {
        false
    }

    /// The sum over all runs, if the op sums rows. The operands have a new first axis, that of the runs.
    ///
    /// # Errors
    /// Those of the ops it builds.
    fn sum_of_runs(&self, _graph: &mut Graph, _operands: &[Value]) -> Result<Value> {
        Err(Error::internal(self.name(), "sums no rows"))
    }

    /// Whether the op draws random numbers: two such nodes are never merged.
    fn is_random(&self) -> bool {
        false
    }
}

impl PartialEq for dyn Op {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other)
    }
}

impl Eq for dyn Op {}

impl Hash for dyn Op {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash_into(state);
    }
}

/// The op of a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LeafOp {
    pub leaf: Leaf,
    pub ty: TensorType,
}

impl Op for LeafOp {
    fn name(&self) -> String {
        match &self.leaf {
            Leaf::Input(_) => "input",
            Leaf::State(_) => "state",
            Leaf::Constant(_) | Leaf::Tensor(_) => "constant",
            Leaf::Step(_) => "step",
            Leaf::Param(_) => "param",
        }
        .into()
    }

    fn attrs(&self) -> String {
        match &self.leaf {
            Leaf::Input(name) | Leaf::State(name) => name.to_string(),
            Leaf::Constant(v) => format!("{v:?}"),
            Leaf::Tensor(tensor) => tensor.name(),
            Leaf::Step(i) => i.to_string(),
            Leaf::Param(param) => format!("{param:?}"),
        }
    }

    fn class(&self) -> Class<'_> {
        Class::Leaf(&self.leaf)
    }

    fn min_inputs(&self) -> usize {
        0
    }

    fn infer(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![self.ty.clone()])
    }

    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![])
    }

    fn lower(&self, _cx: &LowerContext<'_>) -> Result<Lowered> {
        Err(Error::internal("lower", "a leaf has no kernel"))
    }
}
