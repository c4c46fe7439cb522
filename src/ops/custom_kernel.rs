//! Kernels from outside of the library: WGSL text, with what it binds as data.

use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, DECLARED, KernelCall, MAX_STORAGE_BUFFERS, Template, tokens};
use crate::tensor::{DType, Exact};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// Binding of the uniform block, after those of the tensors.
const PARAMS: u32 = MAX_STORAGE_BUFFERS;

/// A number of the uniform block of a [`CustomKernel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Word {
    /// `f32` in the text.
    F32(Exact),
    /// `u32` in the text.
    U32(u32),
}

impl From<f32> for Word {
    fn from(number: f32) -> Self {
        Self::F32(number.into())
    }
}

impl From<u32> for Word {
    fn from(number: u32) -> Self {
        Self::U32(number)
    }
}

impl Word {
    const fn ty(self) -> &'static str {
        match self {
            Self::F32(_) => "f32",
            Self::U32(_) => "u32",
        }
    }

    const fn bits(self) -> u32 {
        match self {
            Self::F32(number) => number.to_bits(),
            Self::U32(number) => number,
        }
    }
}

/// A kernel of your own: WGSL with an entry point `main`, which [`Graph::kernel`] launches.
///
/// The text declares no bindings. The library appends the declarations, since it knows the shapes:
///
/// - each input as `var<storage, read> NAME: array<f32, N>`, or of `u32`, where N is the number of its elements in
///   row-major order; each output as `var<storage, read_write>`;
/// - each parameter as `params.NAME`, in a uniform block, if there are any;
/// - `const NAME_len: u32` for each tensor whose length the text names so.
///
/// A kernel runs with all run-time checks of wgpu, unlike the library's own: what it reads and writes with a wrong index
/// is without meaning, but no tensor other than its outputs changes. On a device of
/// [`DeviceOptions::checked`](crate::gpu::DeviceOptions::checked), or with `WGRAD_CHECKED=1`, a run with a wrong index is an
/// error that names layer, kernel, tensor and index. A kernel must write every
/// element of its outputs, since they begin with any content, and give the same results each time.
///
/// ```
/// use wgrad::graph::{Graph, TensorType};
/// use wgrad::ops::CustomKernel;
/// use wgrad::tensor::DType;
///
/// let double = CustomKernel::new(
///     "double",
///     "@compute @workgroup_size(64)
///      fn main(@builtin(global_invocation_id) id: vec3u) {
///          if id.x < x_len { y[id.x] = 2.0 * x[id.x]; }
///      }",
/// );
/// let mut g = Graph::new();
/// let x = g.input("x", [3, 5], DType::F32);
/// let kernel = double.input("x").output("y", TensorType::f32([3, 5])).workgroups([1, 1, 1]);
/// let y = g.kernel(&kernel, &[x])?[0];
/// # assert_eq!(g.shape(y).dims(), [3, 5]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CustomKernel {
    name: &'static str,
    text: Arc<str>,
    inputs: Vec<String>,
    outputs: Vec<(String, TensorType)>,
    params: Vec<(String, Word)>,
    workgroups: [u32; 3],
    gradient: Option<(Arc<str>, [u32; 3])>,
    /// Whether it is the gradient of the kernel of this name.
    backward: bool,
}

impl CustomKernel {
    /// A kernel of this text, without tensors, of one workgroup. Errors, plans and profiles show the name.
    #[must_use]
    pub fn new(name: &'static str, wgsl: impl Into<Arc<str>>) -> Self {
        Self {
            name,
            text: wgsl.into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            params: Vec::new(),
            workgroups: [1; 3],
            gradient: None,
            backward: false,
        }
    }

    /// A further operand, under this name in the text: f32 or u32.
    #[must_use]
    pub fn input(mut self, name: impl Into<String>) -> Self {
        self.inputs.push(name.into());
        self
    }

    /// A further result, under this name in the text: f32 or u32.
    #[must_use]
    pub fn output(mut self, name: impl Into<String>, ty: TensorType) -> Self {
        self.outputs.push((name.into(), ty));
        self
    }

    /// A number that the text reads as `params.NAME`: f32 or u32.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<Word>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// How many workgroups run along x, y and z. `@workgroup_size` in the text says how many invocations each has.
    #[must_use]
    pub const fn workgroups(mut self, workgroups: [u32; 3]) -> Self {
        self.workgroups = workgroups;
        self
    }

    /// The text of the gradient, and its workgroups. It has the parameters of this kernel and may read its inputs and
    /// outputs by their names. For an output `y` it reads `d_y`, the gradient of the loss with respect to `y`, and for
    /// an f32 input `x` it writes `d_x`. What it does not name is not bound.
    #[must_use]
    pub fn gradient(mut self, wgsl: impl Into<Arc<str>>, workgroups: [u32; 3]) -> Self {
        self.gradient = Some((wgsl.into(), workgroups));
        self
    }

    /// The kernel's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    fn label(&self) -> String {
        format!("kernel `{}`{}", self.name, if self.backward { " (gradient)" } else { "" })
    }

    /// What is wrong with it, whatever its operands are.
    fn check(&self) -> Result<()> {
        let refuse = |name: &str, value: &str, detail: &str| {
            Err(Error::parameter(format!("{}: {name}", self.label()), value, detail))
        };
        let used = words(&self.text);
        if let Some(word) = ["binding", "group"].into_iter().find(|w| has_attribute(&self.text, w))
        {
            let detail = "the library declares the tensors and parameters; remove the declaration and use the names \
                          that the kernel was given";
            return refuse("text", &format!("@{word}"), detail);
        }
        if self.text.contains(DECLARED) {
            return refuse("text", DECLARED, "this line is the library's; remove it");
        }
        if self.outputs.is_empty() {
            return refuse("outputs", "0", "a kernel has a result: call CustomKernel::output");
        }
        let names = || self.inputs.iter().chain(self.outputs.iter().map(|o| &o.0));
        let tensors = names().count();
        if tensors > MAX_STORAGE_BUFFERS as usize {
            let detail = format!("a kernel binds at most {MAX_STORAGE_BUFFERS} tensors");
            return refuse("inputs and outputs", &tensors.to_string(), &detail);
        }
        for (i, name) in names().chain(self.params.iter().map(|p| &p.0)).enumerate() {
            if !is_name(name) {
                let detail = "a name begins with a letter, and has letters, digits and underscores";
                return refuse("name", name, detail);
            }
            // A parameter is a field, beside which a tensor may have the same name.
            let peers = if i < tensors { 0 } else { tensors };
            let all: Vec<&String> = names().chain(self.params.iter().map(|p| &p.0)).collect();
            if all[peers..i].contains(&name) || (i < tensors && name == "params") {
                return refuse("name", name, "the name is taken; rename it");
            }
            if !used.contains(name.as_str()) {
                return refuse("name", name, "the text does not use it; remove it or use it");
            }
        }
        if self.workgroups.contains(&0) {
            let value = format!("{:?}", self.workgroups);
            return refuse("workgroups", &value, "there is at least 1 along each of x, y and z");
        }
        Ok(())
    }

    /// The text with the declarations after it, so that lines count as in the author's text.
    fn source(&self, inputs: &[TensorType]) -> String {
        let used = words(&self.text);
        let mut text = format!("{}\n{DECLARED}\n", self.text);
        let read = self.inputs.iter().zip(inputs).map(|(name, ty)| (name, ty, "read"));
        let written = self.outputs.iter().map(|(name, ty)| (name, ty, "read_write"));
        for (binding, (name, ty, access)) in read.chain(written).enumerate() {
            let (len, dtype) = (ty.shape.len(), ty.dtype);
            // Writing to a string cannot fail.
            _ = writeln!(
                text,
                "@group(0) @binding({binding}) var<storage, {access}> {name}: array<{dtype}, {len}>;"
            );
            if used.contains(format!("{name}_len").as_str()) {
                _ = writeln!(text, "const {name}_len: u32 = {len}u;");
            }
        }
        if !self.params.is_empty() {
            let fields = self.params.iter().map(|(name, word)| format!("{name}: {}", word.ty()));
            let fields = fields.collect::<Vec<_>>().join(", ");
            _ = writeln!(text, "struct KernelParams {{ {fields} }}");
            _ = writeln!(text, "@group(0) @binding({PARAMS}) var<uniform> params: KernelParams;");
        }
        text
    }

    /// The kernel of the gradient: what its text names is bound. Also the inputs whose gradients it writes.
    fn backward(&self, inputs: &[TensorType]) -> Option<(Self, Vec<usize>)> {
        let (text, workgroups) = self.gradient.as_ref()?;
        let used = words(text);
        let named = |name: &String| used.contains(name.as_str());
        let upstream = self.outputs.iter().map(|(name, _)| gradient_of(name));
        let read = self.inputs.iter().chain(self.outputs.iter().map(|o| &o.0)).cloned();
        let mut written = Vec::new();
        let mut outputs = Vec::new();
        for (i, (name, ty)) in self.inputs.iter().zip(inputs).enumerate() {
            if ty.dtype == DType::F32 && named(&gradient_of(name)) {
                written.push(i);
                outputs.push((gradient_of(name), ty.clone()));
            }
        }
        let kernel = Self {
            name: self.name,
            text: text.clone(),
            inputs: read.chain(upstream).filter(named).collect(),
            outputs,
            params: self.params.iter().filter(|(name, _)| named(name)).cloned().collect(),
            workgroups: *workgroups,
            gradient: None,
            backward: true,
        };
        Some((kernel, written))
    }
}

/// The name of a tensor's gradient in the text.
fn gradient_of(name: &str) -> String {
    format!("d_{name}")
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.contains("__")
}

/// The words of a text, without its comments.
fn words(text: &str) -> BTreeSet<&str> {
    let word = |text: &&str| text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    tokens(text).into_iter().map(|at| &text[at]).filter(word).collect()
}

/// Whether a text has the attribute `@word`, outside of comments. A variable may have the word as its name.
fn has_attribute(text: &str, word: &str) -> bool {
    let tokens = tokens(text);
    tokens.windows(2).any(|pair| &text[pair[0].clone()] == "@" && &text[pair[1].clone()] == word)
}

impl Op for CustomKernel {
    fn name(&self) -> String {
        if self.backward { format!("{}_gradient", self.name) } else { self.name.into() }
    }

    fn attrs(&self) -> String {
        let show = |(name, word): &(String, Word)| match word {
            Word::F32(number) => format!("{name} {number:?}"),
            Word::U32(number) => format!("{name} {number}"),
        };
        self.params.iter().map(show).collect::<Vec<_>>().join(", ")
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        0
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != self.inputs.len() {
            let (name, names) = (format!("{}: operands", self.label()), self.inputs.join(", "));
            let detail = format!("one for each of its inputs: {names}");
            return Err(Error::parameter(name, inputs.len(), detail));
        }
        let outputs = self.outputs.iter().map(|(_, ty)| ty);
        let all = inputs.iter().copied().chain(outputs);
        if let Some(ty) = all.into_iter().find(|ty| !matches!(ty.dtype, DType::F32 | DType::U32)) {
            let detail = "the tensors of a kernel are f32 or u32: convert this one before";
            return Err(Error::dtype(self.label(), &[ty.dtype], detail));
        }
        Ok(self.outputs.iter().map(|(_, ty)| ty.clone()).collect())
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, outputs, upstream, needed } = *cx;
        let mut gradients = vec![None; inputs.len()];
        if upstream.iter().all(Option::is_none) {
            return Ok(gradients);
        }
        let refuse = |detail: String| Err(Error::not_differentiable(self.label(), detail));
        let types: Vec<TensorType> = inputs.iter().map(|&v| graph.ty(v).clone()).collect();
        let Some((kernel, written)) = self.backward(&types) else {
            let detail = match self.backward {
                true => "a gradient kernel is not differentiated again",
                false => "give it one with CustomKernel::gradient",
            };
            return refuse(detail.into());
        };
        let f32 = |i: &usize| types[*i].dtype == DType::F32;
        let missing = (0..inputs.len()).filter(f32).find(|i| needed[*i] && !written.contains(i));
        if let Some(i) = missing {
            let gradient = gradient_of(&self.inputs[i]);
            return refuse(format!("the text of its gradient writes no `{gradient}`"));
        }
        if written.is_empty() {
            return Ok(gradients);
        }
        let mut operands = Vec::new();
        for name in &kernel.inputs {
            let place = |names: &[String]| names.iter().position(|n| n == name);
            let results: Vec<String> = self.outputs.iter().map(|o| o.0.clone()).collect();
            let upstreams: Vec<String> = results.iter().map(|n| gradient_of(n)).collect();
            operands.push(if let Some(i) = place(&self.inputs) {
                inputs[i]
            } else if let Some(o) = place(&results) {
                outputs[o]
            } else {
                let o = place(&upstreams).unwrap_or_default();
                let zeros = graph.constant(0.0);
                let shape = graph.shape(outputs[o]).clone();
                match upstream[o] {
                    Some(gradient) => gradient,
                    None => graph.broadcast_to(zeros, shape)?,
                }
            });
        }
        for (i, gradient) in written.into_iter().zip(graph.kernel(&kernel, &operands)?) {
            gradients[i] = Some(gradient);
        }
        Ok(gradients)
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        if let Some(&most) = self.workgroups.iter().max()
            && most > cx.caps.max_workgroups
        {
            return Err(Error::Limit {
                what: format!("{}: workgroups along an axis", self.label()),
                needed: most.into(),
                allowed: cx.caps.max_workgroups.into(),
                detail: "share them out over x, y and z, or let each invocation do more".into(),
            });
        }
        let inputs: Vec<TensorType> = cx.inputs.iter().map(|(ty, _)| ty.clone()).collect();
        let binds = (0..inputs.len()).map(Bind::Input);
        let words = self.params.iter().flat_map(|(_, word)| word.bits().to_le_bytes());
        let mut params: Vec<u8> = words.collect();
        params.resize(params.len().next_multiple_of(16).max(16), 0);
        Ok(KernelCall {
            text: Some(self.source(&inputs).into()),
            template: Template { path: self.name, text: "", block: None },
            defines: vec![],
            binds: binds.chain((0..self.outputs.len()).map(Bind::Output)).collect(),
            params,
            step: false,
            grid: self.workgroups,
            flops: 0,
        }
        .into())
    }
}

impl Graph {
    /// The results of a kernel from outside of the library, with an operand for each of its inputs. Its text is compiled
    /// when the model is compiled: an error there names the kernel and the line.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of operands, names that the text does not use or that are taken, bindings
    /// that the text declares, and workgroups of 0; [`Error::DType`] for an operand that is neither f32 nor u32.
    pub fn kernel(&mut self, kernel: &CustomKernel, operands: &[Value]) -> Result<Vec<Value>> {
        kernel.check()?;
        self.push_all(Arc::new(kernel.clone()), operands)
    }
}
