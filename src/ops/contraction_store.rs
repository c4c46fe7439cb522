//! What a matrix-product kernel does with its sums: the epilogue and its stores, as WGSL.

use super::contraction::Contraction;
use super::gates::{Gates, Lanes, UnitCode};
use super::layout::word;
use super::map::numbered;
use super::program::{Words, step_operand};
use crate::error::{Error, Result};
use crate::graph::{LowerContext, View};
use crate::kernels::{Access, Bind, Define, Source};
use std::fmt::Write;

/// What a kernel does with its sums.
pub(super) struct StoreCode {
    /// Declarations of the bindings after those that the sums are computed from.
    bindings: String,
    /// The function `store4(acc, batch, row, col, len)`: four neighbouring sums; `len` is (m, n).
    store: String,
    /// All bindings in order.
    pub binds: Vec<Bind>,
    /// Whether the step block is read.
    pub step: bool,
    /// Whether random numbers are drawn.
    random: bool,
    /// Whether they depend on the number of the iteration.
    numbered: bool,
    /// Uniform words that the function reads.
    pub words: Words,
}

impl StoreCode {
    /// The preprocessor's definitions that go with the code.
    pub fn defines(&self, op: &Contraction) -> Vec<(&'static str, Define)> {
        vec![
            ("STEP", self.step.into()),
            ("RANDOM", self.random.into()),
            ("ITERATION", self.numbered.into()),
            ("WORDS", self.words.vec4s().into()),
            ("BINDINGS", self.bindings.clone().into()),
            ("STORE", self.store.clone().into()),
            ("B_SUMS", op.b_sums.into()),
        ]
    }

    /// Stores the chunks of divided sums as they are, one after the other.
    pub fn chunks(op: &Contraction) -> Self {
        let mut code = Self::new(vec![Bind::Input(0), Bind::Input(1)]);
        code.declare("out0", element(op), Bind::ScratchWrite(0));
        if op.b_sums {
            code.declare("b_sums", "f32", Bind::ScratchWrite(1));
        }
        code.finish(op, "", "", &["acc".to_owned()]);
        code
    }

    /// Applies the epilogue and stores its results; `sources` are the bindings that the sums come from.
    pub fn epilogue(op: &Contraction, cx: &LowerContext<'_>, sources: Vec<Bind>) -> Result<Self> {
        let mut code = Self::new(sources);
        code.random = op.epilogue.is_random();
        code.numbered = numbered(code.random, op.shape.len(), cx)?;
        let outputs = op.epilogue.outputs.len();
        for o in 0..outputs {
            code.declare(&format!("out{o}"), element(op), Bind::Output(o));
        }
        if op.b_sums {
            code.declare("b_sums", "f32", Bind::Output(outputs));
        }
        let mut inputs = vec!["acc".to_owned()];
        let mut loads = String::new();
        for j in 2..cx.inputs.len() {
            let load = code.load(op, cx, j)?;
            let _ = writeln!(loads, "    let x{} = {load};", j - 1);
            inputs.push(format!("x{}", j - 1));
        }
        let (body, values) = op.epilogue.wgsl(&inputs, &mut code.words, "    ");
        code.finish(op, &loads, &body, &values);
        Ok(code)
    }

    /// Computes a program over units, whose first operand are the sums: a unit's parts side by side, or the only part of
    /// neighbouring units.
    pub fn gates(gates: &Gates, read: &[bool], sources: Vec<Bind>) -> Self {
        let parts = gates.operands[0];
        let (lanes, first, inputs) = match (parts, gates.units.is_multiple_of(4)) {
            (1, true) => (Lanes::Quads, "col", vec!["acc".to_owned()]),
            (1, false) => (Lanes::Four, "col", vec!["acc".to_owned()]),
            _ => {
                let part = |p: usize| format!("vec4<f32>(acc[{p}])");
                (Lanes::One, "col / 4u", (0..parts).map(part).collect())
            }
        };
        let mut code = Self::new(vec![]);
        let units = code.words.push(gates.units as u32);
        let given = UnitCode { binds: sources, first: inputs, ..UnitCode::default() };
        let made = gates.code(given, lanes, &units, read, &mut code.words);
        (code.bindings, code.binds) = (made.bindings, made.binds);
        code.function(&format!("    let e = {first};"), &made.loads, &made.body, &made.stores);
        code
    }

    fn new(binds: Vec<Bind>) -> Self {
        Self {
            bindings: String::new(),
            store: String::new(),
            binds,
            step: false,
            random: false,
            numbered: false,
            words: Words::default(),
        }
    }

    fn declare(&mut self, name: &str, element: &str, bind: Bind) {
        let at = self.binds.len();
        let access = match bind.access() {
            Access::Read => "read",
            Access::ReadWrite => "read_write",
        };
        let _ = writeln!(
            self.bindings,
            "@group(0) @binding({at}) var<storage, {access}> {name}: array<{element}>;"
        );
        self.binds.push(bind);
    }

    /// The expression that reads operand `j` of the epilogue.
    fn load(&mut self, op: &Contraction, cx: &LowerContext<'_>, j: usize) -> Result<String> {
        let (ty, source) = &cx.inputs[j];
        match *source {
            Source::Constant(v) => return Ok(self.words.constant(v, ty.dtype)),
            Source::Step(i) => {
                self.step = true;
                return Ok(step_operand(i, ty.dtype));
            }
            Source::Buffer => {}
        }
        let view = cx.views[j].as_ref();
        let strides = match view {
            Some(view) => op.epilogue_walk(view),
            None => op.epilogue_strides(&ty.shape),
        };
        let strides = strides.ok_or_else(|| {
            Error::shape("matmul", &[&ty.shape, &op.shape], "the epilogue cannot read it")
        })?;
        let offset = view.map_or(0, View::offset);
        let [sb, sr, sc] = strides.map(|s| self.words.push(s as u32));
        let vector = op.spec.n.is_multiple_of(4)
            && strides[2] == 1
            && offset % 4 == 0
            && strides[..2].iter().all(|s| s % 4 == 0);
        let element = if vector { "Quad" } else { "f32" };
        self.declare(&format!("in{j}"), element, Bind::Input(j));
        let mut base = format!("batch * {sb} + row * {sr}");
        if offset != 0 {
            base = format!("{} + {base}", self.words.push(word(offset)));
        }
        let column = |c: u32| format!("in{j}[{base} + min(col + {c}u, len.y - 1u) * {sc}]");
        Ok(match (vector, strides[2]) {
            (true, _) => format!("from_quad(in{j}[({base} + col) / 4u])"),
            (_, 0) => format!("vec4<f32>(in{j}[{base}])"),
            _ => format!("vec4<f32>({})", [0, 1, 2, 3].map(column).join(", ")),
        })
    }

    /// Writes the function.
    fn finish(&mut self, op: &Contraction, loads: &str, body: &str, values: &[String]) {
        let mut stores = String::new();
        for (o, value) in values.iter().enumerate() {
            if op.spec.n.is_multiple_of(4) {
                let _ = writeln!(stores, "    out{o}[e / 4u] = to_quad({value});");
                continue;
            }
            let _ = writeln!(stores, "    let v{o} = {value};\n    out{o}[e] = v{o}[0];");
            for c in 1..4 {
                let store = format!("out{o}[e + {c}u] = v{o}[{c}];");
                let _ = writeln!(stores, "    if col + {c}u < len.y {{ {store} }}");
            }
        }
        let first = match self.numbered {
            true => format!(" + iteration.number.x * {}", self.words.push(op.shape.len() as u32)),
            false => String::new(),
        };
        let places = format!(
            "    let e = (batch * len.x + row) * len.y + col;\n    \
             let index = vec4<u32>(e, e + 1u, e + 2u, e + 3u){first};"
        );
        self.function(&places, loads, body, &stores);
    }

    fn function(&mut self, places: &str, loads: &str, body: &str, stores: &str) {
        let text = format!(
            "fn store4(acc: vec4<f32>, batch: u32, row: u32, col: u32, len: vec2<u32>) {{\n\
             {places}\n{loads}{body}\n{stores}}}"
        );
        self.store = text.replace("params.words[", "store_words[");
    }
}

/// The type that results are bound as.
fn element(op: &Contraction) -> &'static str {
    if op.spec.n.is_multiple_of(4) { "Quad" } else { "f32" }
}
