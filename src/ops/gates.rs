//! The gates of recurrent units: a program over the parts of rows. A unit's gates meet in one invocation, whatever is
//! computed of them, so a step of time needs one launch beside its product, and so does its gradient.

use super::gate_programs::{self, gradient};
use super::map::to_u32;
use super::program::{Program, Words};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, OpRef, TensorType, Value, VjpContext};
use crate::kernels::{
    Bind, KernelCall, MAX_STORAGE_BUFFERS, Template, grid, param_blocks, template,
};
use crate::tensor::{DType, Shape};
use std::fmt::Write;
use std::sync::Arc;

pub(super) const GATES: Template = template!("elementwise/gates", GateParams);

const WORKGROUP: u32 = 64;

param_blocks! {
    /// Units of a part, and how many groups of four of them there are.
    GateParams {
        /// Units of a part.
        units: u32,
        /// Groups in a row.
        groups: u32,
        /// Groups of all rows.
        total: u32,
        /// Padding.
        pad: u32,
    }
}

/// An elementwise function with its parameters: `("leaky_relu", &[0.2])`.
pub type Function<'a> = (&'a str, &'a [f32]);

/// A program over the parts of rows. An operand `[rows, parts · units]` is a part after the other in each row, and each
/// part is an input of the program; results are made up of its outputs in the same way. An operand of no parts is `[rows]`,
/// a number for all units of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gates {
    pub(super) name: &'static str,
    pub(super) program: Program,
    pub(super) units: usize,
    /// Parts of each operand.
    pub(super) operands: Vec<usize>,
    /// Parts of each result.
    pub(super) results: Vec<usize>,
    /// Whether it is the gradient of the op of this name.
    pub(super) gradient: bool,
}

impl Gates {
    fn shape(&self, rows: usize, parts: usize) -> Shape {
        if parts == 0 { [rows].into() } else { [rows, parts * self.units].into() }
    }
}

impl Op for Gates {
    fn name(&self) -> String {
        format!("{}{}", self.name, if self.gradient { "'" } else { "" })
    }

    fn attrs(&self) -> String {
        format!("{} units; {}", self.units, self.program)
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        self.operands.len()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let shapes = || inputs.iter().map(|ty| &ty.shape).collect::<Vec<_>>();
        if inputs.iter().any(|ty| ty.dtype != DType::F32) {
            let dtypes: Vec<DType> = inputs.iter().map(|ty| ty.dtype).collect();
            return Err(Error::dtype(self.name(), &dtypes, "gates are computed of f32"));
        }
        let rows = inputs[0].shape.dims().first().copied().unwrap_or(0);
        let fits = inputs.len() == self.operands.len()
            && inputs.iter().zip(&self.operands).all(|(ty, &p)| ty.shape == self.shape(rows, p));
        if !fits {
            let parts: Vec<usize> = self.operands.clone();
            let detail = format!(
                "operands are [rows, parts · {}] with {parts:?} parts, of the same rows",
                self.units
            );
            return Err(Error::shape(self.name(), &shapes(), detail));
        }
        Ok(self.results.iter().map(|&p| TensorType::f32(self.shape(rows, p))).collect())
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, outputs, upstream, .. } = *cx;
        if self.gradient {
            return Err(Error::not_differentiable(
                self.name(),
                "second derivatives of gates are not defined",
            ));
        }
        let (mut operands, mut parts) = (inputs.to_vec(), self.operands.clone());
        let mut counts = Vec::new();
        for (i, &dy) in upstream.iter().enumerate() {
            let given = match dy {
                // A sum of two gradients, of the next step and of the output, is computed here.
                Some(dy) => {
                    let node = graph.node(dy);
                    let same = |v: &Value| graph.shape(*v) == graph.shape(dy);
                    match node.op.adds_operands() && node.inputs.iter().all(same) {
                        true => node.inputs.clone(),
                        false => vec![dy],
                    }
                }
                // Without the first result an operand might have no gradient.
                None if i == 0 => {
                    let (zero, shape) = (graph.constant(0.0), graph.shape(outputs[0]).clone());
                    vec![graph.broadcast_to(zero, shape)?]
                }
                None => Vec::new(),
            };
            counts.push(given.len());
            parts.extend(vec![1; given.len()]);
            operands.extend(given);
        }
        let back = Self {
            program: gradient(&self.program, &counts)?,
            operands: parts,
            results: self.operands.clone(),
            gradient: true,
            ..self.clone()
        };
        Ok(graph.push_all(Arc::new(back), &operands)?.into_iter().map(Some).collect())
    }

    fn with_copy(&self, output: usize) -> Option<OpRef> {
        Some(Arc::new(self.copied(output)?))
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let rows = cx.inputs[0].0.shape.dims()[0];
        let (groups, mut words) = (self.units.div_ceil(4), Words::default());
        let whole = self.units.is_multiple_of(4);
        let lanes = if whole { Lanes::Quads } else { Lanes::Four };
        let code = self.code(UnitCode::default(), lanes, "params.units", &cx.read, &mut words);
        let total = to_u32(rows * groups)?;
        self.check_size(rows)?;
        let params = GateParams { units: self.units as u32, groups: groups as u32, total, pad: 0 };
        Ok(KernelCall {
            text: None,
            template: GATES,
            defines: vec![
                ("WG", WORKGROUP.into()),
                ("WIDE", (cx.caps.wide_words && whole).into()),
                ("WORDS", words.vec4s().into()),
                ("BINDINGS", code.bindings.into()),
                ("LOADS", code.loads.into()),
                ("BODY", code.body.into()),
                ("STORES", code.stores.into()),
            ],
            binds: code.binds,
            params: params.with_words(&words.padded()),
            step: false,
            grid: grid("gates", u64::from(total.div_ceil(WORKGROUP)), cx.caps)?,
            flops: (self.program.instrs.len() * rows * self.units) as u64,
        }
        .into())
    }
}

/// The units that an invocation computes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lanes {
    /// Four neighbours, which are whole vec4s in memory.
    Quads,
    /// Four neighbours, some of them past the last unit.
    Four,
    /// One, in all places of a vec4.
    One,
}

impl Lanes {
    const fn element(self) -> &'static str {
        match self {
            Self::Quads => "Quad",
            Self::Four | Self::One => "f32",
        }
    }
}

/// A program over units as WGSL, for a kernel that knows `row`, and `e`, the first unit.
#[derive(Debug, Default)]
pub(super) struct UnitCode {
    pub bindings: String,
    pub loads: String,
    pub body: String,
    pub stores: String,
    /// All bindings in order.
    pub binds: Vec<Bind>,
    /// The expressions of the first operand's parts, if it is not in a buffer. The node's operands begin with two others.
    pub first: Vec<String>,
}

impl UnitCode {
    fn declare(&mut self, name: &str, access: &str, element: &str, bind: Bind) {
        let at = self.binds.len();
        let _ = writeln!(
            self.bindings,
            "@group(0) @binding({at}) var<storage, {access}> {name}: array<{element}>;"
        );
        self.binds.push(bind);
    }
}

impl Gates {
    /// Refuses more elements of an operand or a result than an index counts.
    pub(super) fn check_size(&self, rows: usize) -> Result<()> {
        let longest = self.operands.iter().chain(&self.results).max().copied().unwrap_or(1);
        to_u32(rows * longest * self.units)?;
        Ok(())
    }

    /// The gates with one result more, result `output` once again; `None` if a kernel cannot bind as many.
    pub(super) fn copied(&self, output: usize) -> Option<Self> {
        if self.operands.len() + self.results.len() >= MAX_STORAGE_BUFFERS as usize {
            return None;
        }
        let mut more = self.clone();
        let first: usize = self.results[..output].iter().sum();
        let regs = &self.program.outputs[first..first + self.results[output]];
        more.program.outputs.extend_from_slice(regs);
        more.results.push(self.results[output]);
        Some(more)
    }

    /// Adds to `code` what reads the operands, computes and writes the results that are `read`. `units` is the WGSL of
    /// their number.
    pub(super) fn code(
        &self,
        mut code: UnitCode,
        lanes: Lanes,
        units: &str,
        read: &[bool],
        words: &mut Words,
    ) -> UnitCode {
        let place = |parts: usize, part: usize| format!("(row * {parts}u + {part}u) * {units} + e");
        let mut inputs = std::mem::take(&mut code.first);
        let given = usize::from(!inputs.is_empty());
        for (j, &parts) in self.operands.iter().enumerate().skip(given) {
            let numbers = inputs.len()..inputs.len() + parts.max(1);
            if !numbers.clone().any(|i| self.program.reads(i)) {
                inputs.extend(numbers.map(|_| String::new()));
                continue;
            }
            let element = if parts == 0 { "f32" } else { lanes.element() };
            code.declare(&format!("in{j}"), "read", element, Bind::Input(j + given));
            for part in 0..parts.max(1) {
                let (x, at) = (inputs.len(), place(parts, part));
                let load = match lanes {
                    _ if parts == 0 => format!("vec4<f32>(in{j}[row])"),
                    Lanes::Quads => format!("from_quad(in{j}[({at}) / 4u])"),
                    Lanes::One => format!("vec4<f32>(in{j}[{at}])"),
                    Lanes::Four => {
                        // The last unit is read again past the end; it is never stored.
                        let one = |c: u32| format!("in{j}[{at} + min({c}u, {units} - 1u - e)]");
                        format!("vec4<f32>({}, {}, {}, {})", one(0), one(1), one(2), one(3))
                    }
                };
                let _ = writeln!(code.loads, "    let x{x} = {load};");
                inputs.push(format!("x{x}"));
            }
        }
        let (body, outputs) = self.program.wgsl(&inputs, words, "    ");
        code.body = body;
        let mut output = outputs.iter();
        for (o, &parts) in self.results.iter().enumerate() {
            let values = output.by_ref().take(parts);
            if !read[o] {
                values.for_each(drop);
                continue;
            }
            code.declare(&format!("out{o}"), "read_write", lanes.element(), Bind::Output(o));
            for (part, value) in values.enumerate() {
                let at = place(parts, part);
                let _ = match lanes {
                    Lanes::Quads => {
                        writeln!(code.stores, "    out{o}[({at}) / 4u] = to_quad({value});")
                    }
                    Lanes::One => writeln!(code.stores, "    out{o}[{at}] = ({value}).x;"),
                    Lanes::Four => writeln!(
                        code.stores,
                        "    {{\n        let v = {value};\n        for (var c = 0u; c < 4u && e + c < {units}; c++) \
                         {{ out{o}[{at} + c] = v[c]; }}\n    }}"
                    ),
                };
            }
        }
        code
    }
}

impl Graph {
    /// A step of long short-term memory after its products: of `sums` `[rows, 4 · units]`, the parts i, f, g, o in Keras'
    /// order, and the state `c` `[rows, units]` the new h and c,
    ///
    /// c = σ(f) · c + σ(i) · φ(g), h = σ(o) · φ(c),
    ///
    /// where `gate` is σ and `function` φ. One launch, and one for the gradient. Hochreiter and Schmidhuber 1997.
    ///
    /// # Errors
    /// [`Error::Shape`] for other shapes; [`Error::DType`] if an operand is not f32; [`Error::Parameter`] for a function
    /// that is not known, or has no gradient.
    pub fn lstm_gates(
        &mut self,
        sums: Value,
        c: Value,
        gate: Function<'_>,
        function: Function<'_>,
    ) -> Result<[Value; 2]> {
        let program = gate_programs::lstm("lstm_gates", gate, function)?;
        let new = self.gates("lstm_gates", program, sums, c, 2)?;
        Ok([new[0], new[1]])
    }

    /// A step of gated recurrent units after their products, with the reset after the product: of `sums` `[rows, 4 ·
    /// units]`, the parts z, r, x_n, u_n, and the state `h` `[rows, units]` the new h,
    ///
    /// n = φ(x_n + σ(r) · u_n), h = n + σ(z) · (h - n),
    ///
    /// where `gate` is σ and `function` φ. One launch, and one for the gradient. Cho et al. 2014.
    ///
    /// # Errors
    /// As [`Graph::lstm_gates`].
    pub fn gru_gates(
        &mut self,
        sums: Value,
        h: Value,
        gate: Function<'_>,
        function: Function<'_>,
    ) -> Result<Value> {
        let program = gate_programs::gru("gru_gates", [0, 1, 2, 3], gate, function)?;
        Ok(self.gates("gru_gates", program, sums, h, 1)?[0])
    }

    fn gates(
        &mut self,
        name: &'static str,
        program: Program,
        sums: Value,
        state: Value,
        results: usize,
    ) -> Result<Vec<Value>> {
        self.check(name, &[sums, state])?;
        let units = self.shape(state).dims().last().copied().unwrap_or(0);
        let (operands, results) = (vec![4, 1], vec![1; results]);
        let op = Gates { name, program, units, operands, results, gradient: false };
        self.push_all(Arc::new(op), &[sums, state])
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::registry::{Build, Card, Case, Gradient, Sample};
    use super::GATES;

    impl Case {
        /// `lstm_gates` or `gru_gates` with sigmoid and tanh.
        #[must_use]
        pub fn gates(op: &'static str, rows: usize, units: usize) -> Self {
            let build: Build = |g, c, x| {
                let (gate, function) = (("sigmoid", [].as_slice()), ("tanh", [].as_slice()));
                Ok(match c.op {
                    "lstm_gates" => g.lstm_gates(x[0], x[1], gate, function)?.to_vec(),
                    _ => vec![g.gru_gates(x[0], x[1], gate, function)?],
                })
            };
            let sample = |width| Sample::f32([rows, width], (-2.0, 2.0));
            Self::new(op, vec![sample(4 * units), sample(units)], &[], build)
        }
    }

    pub fn cards() -> Vec<Card> {
        let card = |op| {
            let sizes = [[1, 1], [3, 5], [2, 8], [70, 4], [5, 67]];
            let cases = sizes.map(|[rows, units]| Case::gates(op, rows, units)).to_vec();
            Card::new(op, &[GATES], Gradient::Checked, cases)
        };
        vec![card("lstm_gates"), card("gru_gates")]
    }
}
