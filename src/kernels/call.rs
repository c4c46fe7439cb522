//! One kernel launch as data.

use super::{DeviceCaps, Template};
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::sync::Arc;

/// Words of the per-step uniform block.
pub const STEP_WORDS: usize = 64;
/// Bytes of the per-step uniform block: one dynamic offset apart.
pub const STEP_BYTES: usize = STEP_WORDS * 4;

/// Steps whose words are uploaded at once: the most that share a submit.
pub const STEPS_PER_SUBMIT: usize = 64;

/// Bytes of the buffer with the words of the steps that share a submit.
pub const STEP_BLOCKS_BYTES: u64 = (STEPS_PER_SUBMIT * STEP_BYTES) as u64;

/// Bytes of the block with the number of an iteration: one dynamic offset apart.
pub const ITERATION_BYTES: u64 = 256;

/// Storage bindings with a dynamic offset that every WebGPU device allows a kernel.
pub const DYNAMIC_BINDINGS: usize = 4;

/// Storage buffers that a kernel may bind, as on every WebGPU device; the uniform blocks follow them.
pub const MAX_STORAGE_BUFFERS: u32 = 8;

/// The line of a kernel's text after which the library's declarations for it stand, if it comes from outside.
pub const DECLARED: &str = "// The library declares:";

/// A value that the preprocessor puts into a shader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Define {
    /// A number, usable in expressions.
    Int(i64),
    /// Text, put in verbatim.
    Text(String),
}

impl From<u32> for Define {
    fn from(v: u32) -> Self {
        Self::Int(i64::from(v))
    }
}

impl From<bool> for Define {
    fn from(v: bool) -> Self {
        Self::Int(i64::from(v))
    }
}

impl From<String> for Define {
    fn from(v: String) -> Self {
        Self::Text(v)
    }
}

impl From<&str> for Define {
    fn from(v: &str) -> Self {
        Self::Text(v.to_owned())
    }
}

/// How a dispatch uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`: written, or updated in place by the invocation that owns the element.
    ReadWrite,
}

/// What a storage binding is bound to, in terms of the op's operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bind {
    /// Input `i`, read.
    Input(usize),
    /// Output `i`, written. If the planner lets an output take an input's place, this is that buffer.
    Output(usize),
    /// Scratch region `i` of this op, written.
    ScratchWrite(usize),
    /// Scratch region `i` of this op, read.
    ScratchRead(usize),
}

impl Bind {
    /// The access mode that the shader declares.
    #[must_use]
    pub const fn access(self) -> Access {
        match self {
            Self::Input(_) | Self::ScratchRead(_) => Access::Read,
            Self::Output(_) | Self::ScratchWrite(_) => Access::ReadWrite,
        }
    }
}

/// The source of an op's input at run time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    /// A buffer region.
    Buffer,
    /// A word of the step block.
    Step(usize),
    /// A constant, the same for every element.
    Constant(f32),
}

/// One launch: shader template and defines, bindings in order, uniform words, grid.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelCall {
    /// The shader; of a kernel from outside of the library its name alone.
    pub template: Template,
    /// The whole WGSL of a kernel from outside of the library, which runs with all run-time checks. `None`: it is the
    /// template, filled in.
    pub text: Option<Arc<str>>,
    /// The preprocessor's definitions.
    pub defines: Vec<(&'static str, Define)>,
    /// Storage bindings 0, 1, 2, ... of group 0.
    pub binds: Vec<Bind>,
    /// The uniform block at binding 8.
    pub params: Vec<u8>,
    /// Whether the step block is bound at binding 9.
    pub step: bool,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Floating-point operations, for throughput figures.
    pub flops: u64,
}

impl KernelCall {
    /// The template's path, or the name of a kernel from outside of the library.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.template.path
    }

    /// The WGSL.
    ///
    /// # Errors
    /// [`Error::Internal`] for a template that does not fit its definitions.
    pub fn source(&self) -> Result<Cow<'_, str>> {
        match &self.text {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => super::preprocess(&self.template, &self.defines).map(Cow::Owned),
        }
    }

    /// Whether the number of the iteration is bound at binding 10: if its text reads it.
    #[must_use]
    pub fn iteration(&self) -> bool {
        self.defines.contains(&("ITERATION", Define::Int(1)))
    }
}

/// A grid of `workgroups` in all, folded over x and y to respect the per-dimension limit. Kernels
/// recover the linear workgroup index with `workgroup_index()` of `lib/index` and ignore the surplus.
///
/// # Errors
/// [`Error::Limit`] if even the folded grid is too large.
pub fn grid(what: &str, workgroups: u64, caps: &DeviceCaps) -> Result<[u32; 3]> {
    let max = u64::from(caps.max_workgroups);
    let rows = workgroups.div_ceil(max).max(1);
    if rows > max {
        return Err(Error::Limit {
            what: format!("{what}: workgroups"),
            needed: workgroups,
            allowed: max * max,
            detail: "use a smaller batch or a smaller tensor".into(),
        });
    }
    let columns = workgroups.div_ceil(rows).max(1);
    Ok([columns as u32, rows as u32, 1])
}
