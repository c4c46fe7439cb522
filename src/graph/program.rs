//! Straight-line elementwise programs: what a fused kernel or an epilogue computes.

use super::row::{IndexUse, Row};
use crate::tensor::DType;

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
    /// Parameter words: f32 bits, or raw for a function of the element index.
    pub params: Vec<u32>,
    /// Operands.
    pub args: Vec<Reg>,
}

impl Instr {
    /// The name in a printed plan: `relu`, or `relu'` for its derivative.
    #[must_use]
    pub fn label(&self) -> String {
        let prime = if self.derivative { "'" } else { "" };
        let params: Vec<String> = self
            .params
            .iter()
            .zip(self.row.params)
            .map(|(&bits, (name, _))| match self.row.index {
                IndexUse::None => format!("{name} {:?}", f32::from_bits(bits)),
                _ => format!("{name} {bits}"),
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

    /// What the instructions make of the element index.
    #[must_use]
    pub fn index_use(&self) -> IndexUse {
        self.instrs.iter().map(|i| i.row.index).max().unwrap_or(IndexUse::None)
    }

    /// Whether any instruction needs the element index.
    #[must_use]
    pub fn uses_index(&self) -> bool {
        self.index_use() != IndexUse::None
    }

    /// Whether any instruction draws random numbers.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.index_use() == IndexUse::Random
    }

    /// The element type that the instructions read input `i` as; `None` if two differ.
    #[must_use]
    pub fn input_type(&self, i: usize) -> Option<DType> {
        let copied = self.outputs.contains(&Reg::Input(i)).then_some(DType::F32);
        let readers = self.instrs.iter().filter(|instr| instr.args.contains(&Reg::Input(i)));
        let mut types = copied.into_iter().chain(readers.map(|instr| match instr.derivative {
            true => DType::F32,
            false => instr.row.operands,
        }));
        let first = types.next().unwrap_or(DType::F32);
        types.all(|ty| ty == first).then_some(first)
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
