//! Straight-line elementwise programs: what a fused kernel or an epilogue computes.

use super::table::{Derivative, Row, STREAM};
use crate::tensor::DType;
use std::fmt::Write;

/// An operand of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reg {
    /// The program's input `i`.
    Input(usize),
    /// The result of instruction `i`.
    Temp(usize),
}

/// One row applied to registers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instr {
    /// The function.
    pub row: &'static Row,
    /// Whether its derivative is meant instead.
    pub derivative: bool,
    /// Parameter words (f32 bits, or raw for a random function's stream).
    pub params: Vec<u32>,
    /// Operands.
    pub args: Vec<Reg>,
}

impl Instr {
    fn wgsl(&self) -> &'static str {
        match (self.derivative, self.row.derivative) {
            (true, Derivative::OfInput(text) | Derivative::OfOutput(text)) => text,
            _ => self.row.wgsl,
        }
    }

    /// The name in a printed plan: `relu`, or `relu'` for its derivative.
    #[must_use]
    pub fn label(&self) -> String {
        let prime = if self.derivative { "'" } else { "" };
        let params: Vec<String> = self
            .params
            .iter()
            .zip(self.row.params)
            .map(|(&bits, (name, _))| match *name {
                STREAM => format!("{name} {bits}"),
                _ => format!("{name} {:?}", f32::from_bits(bits)),
            })
            .collect();
        let params =
            if params.is_empty() { String::new() } else { format!("[{}]", params.join(", ")) };
        format!("{}{prime}{params}", self.row.name)
    }
}

/// A straight-line program over `inputs` operands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    /// How many operands there are.
    pub inputs: usize,
    /// The instructions, each reading inputs and earlier results.
    pub instrs: Vec<Instr>,
    /// The results.
    pub outputs: Vec<Reg>,
}

impl Program {
    /// One instruction over its own operands.
    #[must_use]
    pub fn single(row: &'static Row, derivative: bool, params: Vec<u32>) -> Self {
        let inputs = if derivative { 1 } else { row.arity };
        let args = (0..inputs).map(Reg::Input).collect();
        let instrs = vec![Instr { row, derivative, params, args }];
        Self { inputs, instrs, outputs: vec![Reg::Temp(0)] }
    }

    /// No instruction: the operand itself.
    #[must_use]
    pub fn identity() -> Self {
        Self { inputs: 1, instrs: vec![], outputs: vec![Reg::Input(0)] }
    }

    /// Whether any instruction draws random numbers, and so needs the element index.
    #[must_use]
    pub fn uses_index(&self) -> bool {
        self.instrs.iter().any(|i| i.row.is_random())
    }

    /// Whether an instruction or a result reads input `i`.
    #[must_use]
    pub fn reads(&self, i: usize) -> bool {
        let args = self.instrs.iter().flat_map(|instr| &instr.args);
        args.chain(&self.outputs).any(|reg| *reg == Reg::Input(i))
    }

    /// Appends the instructions of `other`, whose inputs are `inputs`, and returns where its results are.
    pub(crate) fn append(&mut self, other: &Self, inputs: &[Reg]) -> Vec<Reg> {
        let shift = self.instrs.len();
        let moved = |reg: &Reg| match *reg {
            Reg::Input(i) => inputs[i],
            Reg::Temp(t) => Reg::Temp(t + shift),
        };
        for instr in &other.instrs {
            let mut instr = instr.clone();
            instr.args = instr.args.iter().map(moved).collect();
            self.instrs.push(instr);
        }
        other.outputs.iter().map(moved).collect()
    }

    /// The only instruction, if there is just one.
    #[must_use]
    pub fn only(&self) -> Option<&Instr> {
        match self.instrs.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The body as WGSL `let`s, and the expression of each output. `inputs` are expressions of type
    /// `vec4<f32>` (u32 for step words of random functions).
    pub(super) fn wgsl(
        &self,
        inputs: &[String],
        words: &mut Words,
        indent: &str,
    ) -> (String, Vec<String>) {
        let name = |reg: &Reg| match reg {
            Reg::Input(i) => inputs[*i].clone(),
            Reg::Temp(i) => format!("t{i}"),
        };
        let mut body = String::new();
        for (i, instr) in self.instrs.iter().enumerate() {
            let args: Vec<String> = instr.args.iter().map(name).collect();
            let params: Vec<String> = instr.params.iter().map(|&w| words.push(w)).collect();
            let expression = substitute(instr.wgsl(), &args, &params);
            let _ = writeln!(body, "{indent}let t{i} = {expression};");
        }
        (body.trim_end_matches('\n').to_owned(), self.outputs.iter().map(name).collect())
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |reg: &Reg| match reg {
            Reg::Input(i) => format!("x{i}"),
            Reg::Temp(i) => format!("t{i}"),
        };
        for (i, instr) in self.instrs.iter().enumerate() {
            let args: Vec<String> = instr.args.iter().map(name).collect();
            write!(f, "t{i} = {}({}); ", instr.label(), args.join(", "))?;
        }
        write!(f, "{}", self.outputs.iter().map(name).collect::<Vec<_>>().join(", "))
    }
}

/// Uniform words that generated code reads by constant index.
#[derive(Debug, Default)]
pub(super) struct Words(Vec<u32>);

impl Words {
    /// Stores a word and returns the WGSL that reads it as u32.
    pub fn push(&mut self, word: u32) -> String {
        let at = self.0.iter().position(|&w| w == word).unwrap_or_else(|| {
            self.0.push(word);
            self.0.len() - 1
        });
        format!("params.words[{}][{}]", at / 4, at % 4)
    }

    /// Stores an f32 and returns the WGSL that reads it.
    pub fn push_f32(&mut self, value: f32) -> String {
        format!("bitcast<f32>({})", self.push(value.to_bits()))
    }

    /// A constant operand of a program: a `vec4<f32>`, or a u32 for a random function.
    pub(super) fn constant(&mut self, value: f32, dtype: DType) -> String {
        match dtype {
            DType::U32 => self.push(value as u32),
            _ => format!("vec4<f32>({})", self.push_f32(value)),
        }
    }

    /// How many vec4s the shader declares: at least one.
    #[must_use]
    pub fn vec4s(&self) -> u32 {
        self.0.len().div_ceil(4).max(1) as u32
    }

    /// The words, padded to [`Words::vec4s`].
    #[must_use]
    pub fn padded(&self) -> Vec<u32> {
        let mut words = self.0.clone();
        words.resize(self.vec4s() as usize * 4, 0);
        words
    }
}

/// The WGSL that reads word `i` of the step block.
pub(super) fn step_word(i: usize) -> String {
    format!("step_block.words[{}][{}]", i / 4, i % 4)
}

/// A step word as an operand of a program: a `vec4<f32>`, or a u32 for a random function.
pub(super) fn step_operand(i: usize, dtype: DType) -> String {
    match dtype {
        DType::U32 => step_word(i),
        _ => format!("vec4<f32>(bitcast<f32>({}))", step_word(i)),
    }
}

/// Replaces the identifiers `x`, `y`, `z`, `p0`, `p1`, `q0` that are not members (`v.x`).
fn substitute(expression: &str, args: &[String], params: &[String]) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in expression.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        let member = out.ends_with('.');
        match word.as_str() {
            "x" if !member => out.push_str(&args[0]),
            "y" if !member => out.push_str(&args[1]),
            "z" if !member => out.push_str(&args[2]),
            "p0" => out.push_str(&format!("bitcast<f32>({})", params[0])),
            "p1" => out.push_str(&format!("bitcast<f32>({})", params[1])),
            "q0" => out.push_str(&params[0]),
            other => out.push_str(other),
        }
        word.clear();
        out.push(c);
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substitution_spares_members_and_longer_names() {
        let args = ["a".to_owned(), "b".to_owned()];
        assert_eq!(substitute("exp(x) + v.x * y", &args, &[]), "exp(a) + v.x * b");
    }

    #[test]
    fn equal_words_share_a_place() {
        let mut words = Words::default();
        assert_eq!(words.push(7), words.push(7));
        assert_eq!(words.padded(), vec![7, 0, 0, 0]);
    }
}
