//! What will run, as plain data: buffers, dispatches in order, and the loops around them. It knows no wgpu; the executor
//! adds nothing.

mod build;
mod display;
mod materialise;
mod order;
mod scan;
mod schedule;
mod storage;
mod verify;

pub use order::{Launch, Launches, Repeat};

use crate::graph::StepParam;
use crate::kernels::{Access, ITERATION_BYTES, KernelCall, STEP_BLOCKS_BYTES};
use crate::sorted;
use crate::tensor::{DType, Shape, SharedTensor};

/// Loops that may be around a dispatch, one inside the other.
pub const MAX_LOOPS: usize = 3;

/// What a buffer holds, which decides who owns it and how long it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BufferClass {
    /// Provided by the caller: datasets, batches.
    Input,
    /// Outlives a run: parameters, optimizer state, metrics.
    State,
    /// A tensor that never changes, with its content in the plan. The store uploads it once for all plans.
    Constant,
    /// Tensors packed side by side, zero between them: gradients.
    Arena,
    /// A buffer that several values share, one after the other.
    Activation,
    /// The parameters of the dispatches, and the words of the steps that share a submit. No dispatch binds it as
    /// storage: it is only in [`PlanData::memory`].
    Uniform,
}

impl BufferClass {
    /// Whether the caller provides buffers of this class.
    #[must_use]
    pub const fn is_external(self) -> bool {
        matches!(self, Self::Input | Self::State)
    }

    /// Whether plans share buffers of this class through their store.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        matches!(self, Self::Input | Self::State | Self::Constant)
    }
}

/// A buffer of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferDecl {
    /// The caller's name for inputs and states; a name of the plan's otherwise.
    pub name: String,
    /// What it holds.
    pub class: BufferClass,
    /// Bytes, a multiple of 256.
    pub bytes: u64,
    /// What a constant holds.
    pub content: Option<SharedTensor>,
}

/// Bytes of one buffer as one dispatch sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Index into [`PlanData::buffers`].
    pub buffer: usize,
    /// First byte, a multiple of 256.
    pub offset: u64,
    /// Bytes: a multiple of 16, or the bytes of the elements alone if a kernel from outside of the library binds it.
    pub bytes: u64,
    /// How the region moves from step to step, if it does.
    pub step_offset: Option<StepOffset>,
    /// Bytes by which the region moves with each iteration of the loops around its dispatch, the outermost first:
    /// multiples of 256, negative from the end to the beginning, 0 if it stays.
    pub loop_strides: [i64; MAX_LOOPS],
}

/// A region that is `stride` bytes further on for each count of a step word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepOffset {
    /// Index into [`PlanData::step_params`].
    pub word: usize,
    /// Bytes between records, a multiple of 256.
    pub stride: u64,
}

/// One kernel launch with its buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The op, with its attributes.
    pub label: String,
    /// The layer that built it, empty for none.
    pub layer: String,
    /// Shapes of operands and results.
    pub shapes: String,
    /// Shader, parameters and grid.
    pub call: KernelCall,
    /// The place of its parameters in the buffer of all parameters.
    pub params_at: u64,
    /// What is bound at 0, 1, 2, ...
    pub bindings: Vec<(Region, Access)>,
    /// Bytes that it reads; for a gather, those of the rows that it takes.
    pub bytes_read: u64,
    /// Bytes that it writes.
    pub bytes_written: u64,
}

/// A value that can be read after a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputDecl {
    /// Its name.
    pub name: String,
    /// The place of its elements.
    pub region: Region,
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
}

/// A compiled step as [`Plan::compile`] made it. All of it can be read; changing it is unsafe, since its kernels
/// run without bounds checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan(PlanData);

impl std::ops::Deref for Plan {
    type Target = PlanData;

    fn deref(&self) -> &PlanData {
        &self.0
    }
}

impl Plan {
    /// What will run, to be changed.
    ///
    /// # Safety
    /// No executor may run the changed plan unless each kernel, as its shader and its parameters say, stays inside the
    /// regions that its dispatch binds and ends its loops. On a device that was opened with
    /// [`crate::gpu::DeviceOptions::checked`] it can only give wrong results.
    pub const unsafe fn data_mut(&mut self) -> &mut PlanData {
        &mut self.0
    }
}

/// What will run: buffers, dispatches in order, loops, and outputs.
///
/// Dispatches and loops are a tree, written down as its leaves in order and the ranges of its inner nodes. So whatever
/// looks at kernels alone sees a list, and [`PlanData::order`] walks the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanData {
    /// The buffers.
    pub buffers: Vec<BufferDecl>,
    /// The dispatches, in order; those inside a loop once.
    pub dispatches: Vec<Dispatch>,
    /// The loops, in the order of their beginnings, an outer one before those inside it.
    pub repeats: Vec<Repeat>,
    /// Values readable after a run.
    pub outputs: Vec<OutputDecl>,
    /// Words of the step block, in order.
    pub step_params: Vec<StepParam>,
    /// Bytes of the buffer with the parameters of all dispatches.
    pub params_bytes: u64,
}

impl PlanData {
    /// Device bytes by class, before anything is allocated: exactly what the caller provides for inputs and states,
    /// and what the executor allocates for all else.
    #[must_use]
    pub fn memory(&self) -> Vec<(BufferClass, u64)> {
        let uniform = self.params_bytes + STEP_BLOCKS_BYTES + self.iteration_bytes();
        let mut totals = vec![(BufferClass::Uniform, uniform)];
        for buffer in &self.buffers {
            match totals.iter_mut().find(|t| t.0 == buffer.class) {
                Some(total) => total.1 += buffer.bytes,
                None => sorted::insert(&mut totals, (buffer.class, buffer.bytes)),
            }
        }
        totals
    }

    /// Device bytes of one class.
    #[must_use]
    pub fn bytes_of(&self, class: BufferClass) -> u64 {
        self.memory().iter().filter(|(c, _)| *c == class).map(|(_, bytes)| bytes).sum()
    }

    /// Floating-point operations of one run.
    #[must_use]
    pub fn flops(&self) -> u64 {
        self.total(|d| d.call.flops)
    }

    /// Bytes of the buffer with the numbers of iterations, which kernels read that draw random numbers in a loop.
    #[must_use]
    pub fn iteration_bytes(&self) -> u64 {
        let reads = self.dispatches.iter().enumerate().filter(|(_, d)| d.call.iteration());
        let most = reads.map(|(i, _)| self.launches_of(i)).max().unwrap_or(0);
        most.saturating_mul(ITERATION_BYTES)
    }

    /// The index of a step parameter.
    #[must_use]
    pub fn step_param(&self, name: &str) -> Option<usize> {
        self.step_params.iter().position(|p| p.name == name)
    }
}
