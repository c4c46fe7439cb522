//! The elementwise op: a program over broadcast operands. A single function, a fused chain and a whole
//! optimizer update are all this op.

pub use crate::graph::Map;

use super::layout::{Layout, fours, gather_function, offset_function, whole_vectors, word};
use super::program::{Program, Words, step_operand};
use super::table::{Applied, Derivative};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, View, VjpContext};
use crate::kernels::{Bind, KernelCall, MapParams, Source, Template, grid, template};
use crate::tensor::{DType, Shape};
use std::fmt::Write;
use std::sync::Arc;

pub(super) const MAP: Template = template!("elementwise/map", MapParams);

const WORKGROUP: u32 = 64;

impl Op for Map {
    fn name(&self) -> String {
        match self.program.only() {
            Some(instr) => format!("{}{}", instr.row.name, if instr.derivative { "'" } else { "" }),
            None if self.program.instrs.is_empty() => "copy".into(),
            None => "fused".into(),
        }
    }

    fn attrs(&self) -> String {
        format!("{} -> {}", self.program, self.shape)
    }

    fn class(&self) -> Class<'_> {
        Class::Elementwise(self)
    }

    fn min_inputs(&self) -> usize {
        self.program.inputs
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        for (i, input) in inputs.iter().enumerate() {
            let wanted = self.program.input_type(i);
            // Bytes are whole numbers too.
            let bytes = input.dtype == DType::U8 && wanted == Some(DType::U32);
            if wanted != Some(input.dtype) && !bytes {
                let dtypes: Vec<DType> = inputs.iter().map(|t| t.dtype).collect();
                let detail = match wanted {
                    Some(DType::U32) => "the operands are u32",
                    _ => "elementwise operands are f32; `Graph::to_f32` makes integers so",
                };
                return Err(Error::dtype(self.name(), &dtypes, detail));
            }
            if input.shape.broadcast_strides(&self.shape).is_none() {
                let shapes: Vec<&Shape> = inputs.iter().map(|t| &t.shape).collect();
                return Err(Error::shape(
                    self.name(),
                    &shapes,
                    format!("{} does not broadcast to {}", input.shape, self.shape),
                ));
            }
        }
        if inputs.len() != self.program.inputs {
            return Err(Error::internal(self.name(), format!("{} operands", inputs.len())));
        }
        Ok(vec![TensorType::f32(&self.shape); self.program.outputs.len()])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, outputs, upstream, .. } = *cx;
        let Some(dy) = upstream[0] else { return Ok(vec![None; inputs.len()]) };
        let partials = match self.program.only() {
            None if self.program.instrs.is_empty() => vec![Some(dy)],
            None => {
                return Err(Error::internal("autodiff", "runs before fusion, on single functions"));
            }
            Some(instr) if instr.derivative => {
                return Err(Error::not_differentiable(
                    instr.label(),
                    "second derivatives of elementwise functions are not defined",
                ));
            }
            Some(instr) => {
                let derivative_at = |graph: &mut Graph, at: Value| {
                    let program = Program::single(instr.row, true, instr.params.clone());
                    let shape = graph.shape(at).clone();
                    let slope = graph.push(Arc::new(Self { program, shape }), &[at])?;
                    graph.mul(dy, slope)
                };
                match instr.row.derivative {
                    Derivative::One | Derivative::StraightThrough => vec![Some(dy)],
                    Derivative::Zero => vec![None; inputs.len()],
                    Derivative::OfInput(_) => vec![Some(derivative_at(graph, inputs[0])?)],
                    Derivative::OfOutput(_) => vec![Some(derivative_at(graph, outputs[0])?)],
                    Derivative::Built(partials) => {
                        partials(graph, Applied { inputs, output: outputs[0], upstream: dy })?
                    }
                    Derivative::None(why) => {
                        return Err(Error::not_differentiable(instr.label(), why));
                    }
                }
            }
        };
        partials
            .into_iter()
            .zip(inputs)
            .map(|(d, &input)| {
                let shape = graph.shape(input).clone();
                d.map(|d| graph.sum_to(d, &shape)).transpose()
            })
            .collect()
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let layout = |((ty, _), view): (&(TensorType, Source), &Option<View>)| match view {
            Some(view) => Layout::viewed(view, &self.shape),
            None => Layout::broadcast(&ty.shape, &self.shape),
        };
        let layouts = cx.inputs.iter().zip(&cx.views).map(layout);
        lower_map(&self.program, &self.shape, &layouts.collect::<Result<Vec<_>>>()?, cx)
    }

    fn takes_uniform(&self, _input: usize) -> bool {
        true
    }

    fn takes_view(&self, _inputs: &[&TensorType], _input: usize, view: &View) -> bool {
        view.spread(&self.shape).is_some()
    }

    fn may_overwrite(&self, inputs: &[&TensorType], input: usize, _output: usize) -> bool {
        inputs[input].shape.len() == self.shape.len() && inputs[input].dtype == DType::F32
    }

    fn is_random(&self) -> bool {
        self.program.is_random()
    }

    fn adds_operands(&self) -> bool {
        self.program.only().is_some_and(|instr| instr.row.name == "add" && !instr.derivative)
    }
}

/// The launch of a program over operands of any layout.
pub(super) fn lower_map(
    program: &Program,
    shape: &Shape,
    layouts: &[Layout],
    cx: &LowerContext<'_>,
) -> Result<Lowered> {
    let len = shape.len();
    let vec_len = len.div_ceil(4);
    let mut words = Words::default();
    let (axes, layouts) = Layout::collapse(shape, layouts);
    let mut code = MapCode::default();
    let mut binds = Vec::new();
    let mut inputs = vec![String::new(); program.inputs];
    for (o, _) in program.outputs.iter().enumerate() {
        code.bind(binds.len(), &format!("out{o}"), "read_write", "Quad");
        binds.push(Bind::Output(o));
    }
    for (j, ((ty, source), layout)) in cx.inputs.iter().zip(&layouts).enumerate() {
        inputs[j] = format!("x{j}");
        let load = match *source {
            Source::Constant(v) => words.constant(v, ty.dtype),
            Source::Step(i) => {
                code.step = true;
                step_operand(i, ty.dtype)
            }
            Source::Buffer => match cx.in_place.iter().position(|&p| p == Some(j)) {
                Some(o) => format!("from_quad(out{o}[i])"),
                None => {
                    let scalar = layout.scalar_binding(&axes);
                    let element = match (ty.dtype, scalar) {
                        (DType::U32, true) | (DType::U8, _) => "u32",
                        (DType::U32, false) => "vec4<u32>",
                        (_, true) => "f32",
                        (_, false) => "Quad",
                    };
                    code.bind(binds.len(), &format!("in{j}"), "read", element);
                    binds.push(Bind::Input(j));
                    code.load(j, ty.dtype, layout, &axes, &mut words)
                }
            },
        };
        let _ = writeln!(code.loads, "    let x{j} = {load};");
    }
    let (body, outputs) = program.wgsl(&inputs, &mut words, "    ");
    let mut stores = String::new();
    let mut tails = String::new();
    for (o, value) in outputs.iter().enumerate() {
        let _ = writeln!(stores, "        out{o}[i] = to_quad({value});");
        // A `let` makes the vector addressable by a dynamic component index.
        let _ =
            writeln!(tails, "            let v{o} = {value};\n            out{o}[i][c] = v{o}[c];");
    }
    let workgroups = vec_len.div_ceil(WORKGROUP as usize) as u64;
    let params = MapParams { len: to_u32(len)?, vec_len: vec_len as u32, pad0: 0, pad1: 0 };
    Ok(KernelCall {
        text: None,
        template: MAP,
        defines: vec![
            ("WG", WORKGROUP.into()),
            ("WIDE", (cx.caps.wide_words && len.is_multiple_of(4)).into()),
            ("STEP", code.step.into()),
            ("RANDOM", program.is_random().into()),
            ("ITERATION", numbered(program.is_random(), len, cx)?.into()),
            ("WORDS", words.vec4s().into()),
            ("BINDINGS", code.bindings.into()),
            ("FUNCTIONS", code.functions.into()),
            ("LOADS", code.loads.into()),
            ("BODY", body.into()),
            ("STORES", stores.into()),
            ("TAIL_STORES", tails.into()),
        ],
        binds,
        params: params.with_words(&words.padded()),
        step: code.step,
        grid: grid("elementwise", workgroups, cx.caps)?,
        flops: (program.instrs.len() * len) as u64,
    }
    .into())
}

/// Whether a kernel over `len` elements reads the number of its iteration: if it draws random numbers in a loop, which
/// differ each time. The elements of all iterations are numbered through, so they are as many as 32 bits count.
pub(super) fn numbered(random: bool, len: usize, cx: &LowerContext<'_>) -> Result<bool> {
    let Some(times) = cx.iterations.filter(|_| random) else { return Ok(false) };
    let all = (len as u64).saturating_mul(times);
    to_u32(usize::try_from(all).unwrap_or(usize::MAX)).map(|_| true)
}

/// A count as a shader word.
pub(super) fn to_u32(v: usize) -> Result<u32> {
    u32::try_from(v).map_err(|_| Error::Limit {
        what: "tensor elements".into(),
        needed: v as u64,
        allowed: u64::from(u32::MAX),
        detail: "shaders index with 32 bits; use a smaller tensor".into(),
    })
}

#[derive(Default)]
struct MapCode {
    bindings: String,
    functions: String,
    loads: String,
    step: bool,
}

/// The type of one element in a kernel: a number, or a whole number, which a byte is too.
const fn one_of(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::U32 | DType::U8 => "u32",
    }
}

/// The type of four elements.
const fn four_of(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "vec4<f32>",
        DType::U32 | DType::U8 => "vec4<u32>",
    }
}

/// The element of operand `j` at this place.
fn load_one(j: usize, dtype: DType, at: &str) -> String {
    match dtype {
        DType::U8 => format!("byte{j}({at})"),
        DType::F32 | DType::U32 => format!("in{j}[{at}]"),
    }
}

/// The four elements of operand `j` at this place, counted in fours.
fn load_four(j: usize, dtype: DType, at: &str) -> String {
    match dtype {
        DType::F32 => format!("from_quad(in{j}[{at}])"),
        DType::U32 => format!("(in{j}[{at}])"),
        DType::U8 => format!("unpack4xU8(in{j}[{at}])"),
    }
}

impl MapCode {
    fn bind(&mut self, at: usize, name: &str, access: &str, element: &str) {
        let _ = writeln!(
            self.bindings,
            "@group(0) @binding({at}) var<storage, {access}> {name}: array<{element}>;"
        );
    }

    /// As [`Self::load`], for a view with guards.
    fn guarded(&mut self, j: usize, dtype: DType, view: &View, words: &mut Words) -> String {
        let vec4 = four_of(dtype);
        let (ty, name) = (if fours(view) { vec4 } else { one_of(dtype) }, format!("at{j}"));
        let read = |at: String| match fours(view) {
            true => load_four(j, dtype, &format!("({at}) / 4u")),
            false => load_one(j, dtype, &at),
        };
        let runs = [("e", view.axes())];
        let function =
            gather_function((&name, ty), (view.offset(), view.guards()), &runs, words, read);
        let _ = writeln!(self.functions, "{function}");
        if fours(view) {
            return format!("{name}(e)");
        }
        // As below, the last element is read again past the end.
        let at = |c: u32| format!("{name}(min(e + {c}u, params.len - 1u))");
        format!("{vec4}({}, {}, {}, {})", at(0), at(1), at(2), at(3))
    }

    /// The expression that loads operand `j` for the four elements `e..e + 4`.
    fn load(
        &mut self,
        j: usize,
        dtype: DType,
        layout: &Layout,
        axes: &[usize],
        words: &mut Words,
    ) -> String {
        let four = |at: String| load_four(j, dtype, &at);
        let one = |at: String| load_one(j, dtype, &at);
        let vec4 = four_of(dtype);
        if layout.full {
            return four("i".into());
        }
        if dtype == DType::U8 && layout.scalar_binding(axes) {
            let byte = format!("(in{j}[at / 4u] >> (8u * (at % 4u))) & 255u");
            let _ = writeln!(self.functions, "fn byte{j}(at: u32) -> u32 {{ return {byte}; }}");
        }
        if let Some(view) = &layout.guarded {
            return self.guarded(j, dtype, view, words);
        }
        if layout.strides.iter().all(|&s| s == 0) {
            return format!("{vec4}({})", one(words.push(word(layout.offset))));
        }
        let axes = layout.axes(axes);
        let walk: Vec<(usize, isize)> =
            axes.iter().copied().zip(layout.strides.iter().copied()).collect();
        let function = offset_function(&format!("at{j}"), layout.offset, &walk, words);
        let _ = writeln!(self.functions, "{function}");
        let inner = layout.strides.last().copied().unwrap_or(0);
        match (whole_vectors(axes), inner) {
            (true, 0) => format!("{vec4}({})", one(format!("at{j}(e)"))),
            (true, 1) if layout.vector_aligned() => four(format!("at{j}(e) / 4u")),
            _ => {
                // The last element is read again past the end; it is never stored.
                let at = |c: u32| one(format!("at{j}(min(e + {c}u, params.len - 1u))"));
                format!("{vec4}({}, {}, {}, {})", at(0), at(1), at(2), at(3))
            }
        }
    }
}
