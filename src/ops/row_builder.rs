//! Builds row kernels and column sums: operands first, then reductions, then results.

use super::column_sums::{ColumnSums, SumRule};
use super::names::find;
use super::program::{Instr, Program, Reg};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::graph::{Phase, RowKernel, RowReduction, RowRule};
use crate::graph::{Read, Rows};
use crate::tensor::Shape;
use std::sync::Arc;

/// A program under construction.
#[derive(Default)]
pub(super) struct Code(Vec<Instr>);

impl Code {
    /// Applies a function of the table; parameters that are not given take their defaults.
    pub fn call(&mut self, name: &str, args: &[Reg], params: &[f32]) -> Result<Reg> {
        let row = find(name, args.len())?;
        let defaults = row.params.iter().skip(params.len()).map(|p| p.1);
        let params = params.iter().copied().chain(defaults).map(f32::to_bits).collect();
        self.0.push(Instr { row, derivative: false, params, args: args.to_vec() });
        Ok(Reg::Temp(self.0.len() - 1))
    }

    /// Applies a program to `inputs`; gives its results.
    pub fn append(&mut self, program: &Program, inputs: &[Reg]) -> Vec<Reg> {
        let instrs = std::mem::take(&mut self.0);
        let mut all = Program { inputs: 0, instrs, outputs: vec![] };
        let results = all.append(program, inputs);
        self.0 = all.instrs;
        results
    }

    /// The instructions.
    pub fn instrs(self) -> Vec<Instr> {
        self.0
    }

    /// x + y.
    pub fn add(&mut self, x: Reg, y: Reg) -> Result<Reg> {
        self.call("add", &[x, y], &[])
    }

    /// x - y.
    pub fn sub(&mut self, x: Reg, y: Reg) -> Result<Reg> {
        self.call("sub", &[x, y], &[])
    }

    /// x · y.
    pub fn mul(&mut self, x: Reg, y: Reg) -> Result<Reg> {
        self.call("mul", &[x, y], &[])
    }

    /// x · y, or x if there is no y.
    pub fn scaled(&mut self, x: Reg, y: Option<Reg>) -> Result<Reg> {
        y.map_or(Ok(x), |y| self.mul(x, y))
    }
}

/// A row kernel under construction. Operands are named before the first reduction.
pub(super) struct RowBuilder {
    rows: Rows,
    operands: Vec<Value>,
    reads: Vec<Read>,
    phases: Vec<Phase>,
}

/// A program with its outputs, whose inputs are counted when the kernel is whole.
fn program(build: impl FnOnce(&mut Code) -> Result<Vec<Reg>>) -> Result<Program> {
    let mut code = Code::default();
    let outputs = build(&mut code)?;
    Ok(Program { inputs: 0, instrs: code.0, outputs })
}

impl RowBuilder {
    /// A kernel over the rows of `shape`, whose columns are axes `first..`.
    pub fn new(shape: &Shape, first: usize) -> Self {
        let rows = Rows { shape: shape.clone(), first };
        Self { rows, operands: Vec::new(), reads: Vec::new(), phases: Vec::new() }
    }

    /// The kernel's input that reads `operand` element by element.
    pub fn element(&mut self, operand: Value) -> Reg {
        let j = self.operand(operand);
        self.read(Read::Element(j))
    }

    /// The kernel's inputs that read the `N` numbers of each row.
    pub fn values<const N: usize>(&mut self, operand: Value) -> [Reg; N] {
        let operand = self.operand(operand);
        std::array::from_fn(|place| self.read(Read::Value { operand, place }))
    }

    /// A constant input.
    pub fn constant(&mut self, graph: &mut Graph, value: f32) -> Reg {
        let value = graph.constant(value);
        self.element(value)
    }

    /// 1 over the elements of a row, as a constant input.
    pub fn share(&mut self, graph: &mut Graph) -> Reg {
        self.constant(graph, 1.0 / self.rows.cols() as f32)
    }

    fn operand(&mut self, value: Value) -> usize {
        self.operands.push(value);
        self.operands.len() - 1
    }

    fn read(&mut self, read: Read) -> Reg {
        self.reads.push(read);
        Reg::Input(self.reads.len() - 1)
    }

    /// Adds a reduction and returns its value: `before` gives what is reduced, `after` what becomes of the result.
    pub fn reduce(
        &mut self,
        reduction: RowReduction,
        before: impl FnOnce(&mut Code) -> Result<Reg>,
        after: impl FnOnce(&mut Code, Reg) -> Result<Reg>,
    ) -> Result<Reg> {
        let value = Reg::Input(self.reads.len() + self.phases.len());
        let before = program(|code| Ok(vec![before(code)?]))?;
        let after = program(|code| Ok(vec![after(code, value)?]))?;
        self.phases.push(Phase { reduction, before, after });
        Ok(value)
    }

    /// Pushes the kernel. `elements` gives the results of the full shape; each entry of `kept` are values that a result
    /// `[rows..., values]` holds.
    pub fn push(
        mut self,
        graph: &mut Graph,
        rule: RowRule,
        elements: impl FnOnce(&mut Code) -> Result<Vec<Reg>>,
        kept: &[&[Reg]],
    ) -> Result<Vec<Value>> {
        let inputs = self.reads.len() + self.phases.len();
        let elements = Program { inputs, ..program(elements)? };
        for phase in &mut self.phases {
            phase.before.inputs = inputs;
            phase.after.inputs = inputs;
        }
        let phase = |reg: &Reg| match *reg {
            Reg::Input(i) if i >= self.reads.len() => Ok(i - self.reads.len()),
            _ => Err(Error::internal("row kernel", "only a phase's value is kept")),
        };
        let kept =
            kept.iter().map(|values| values.iter().map(phase).collect::<Result<Vec<usize>>>());
        let kept = kept.collect::<Result<Vec<_>>>()?;
        let Self { rows, operands, reads, phases } = self;
        let card = RowKernel { rule, rows, reads, phases, elements, kept };
        graph.push_all(Arc::new(card), &operands)
    }

    /// Pushes sums over the rows of what `summed` gives.
    pub fn push_sums(
        self,
        graph: &mut Graph,
        summed: impl FnOnce(&mut Code) -> Result<Vec<Reg>>,
    ) -> Result<Vec<Value>> {
        self.push_sums_as(graph, SumRule::None, summed)
    }

    /// [`RowBuilder::push_sums`] with a gradient.
    pub fn push_sums_as(
        self,
        graph: &mut Graph,
        rule: SumRule,
        summed: impl FnOnce(&mut Code) -> Result<Vec<Reg>>,
    ) -> Result<Vec<Value>> {
        let program = Program { inputs: self.reads.len(), ..program(summed)? };
        let card = ColumnSums { rows: self.rows, reads: self.reads, program, rule };
        graph.push_all(Arc::new(card), &self.operands)
    }

    /// The program alone, with its operands, which are read element by element.
    pub fn program(
        self,
        results: impl FnOnce(&mut Code) -> Result<Vec<Reg>>,
    ) -> Result<(Program, Vec<Value>)> {
        Ok((Program { inputs: self.reads.len(), ..program(results)? }, self.operands))
    }
}

/// The first of the last `axes` axes of `shape`.
pub(super) fn first_of_last(op: &str, shape: &Shape, axes: usize) -> Result<usize> {
    shape.rank().checked_sub(axes).filter(|_| axes > 0).ok_or_else(|| {
        let detail = format!("a row is the last {axes} axes; the operand has {}", shape.rank());
        Error::shape(op, &[shape], detail)
    })
}

/// Refuses a number that is added to a variance and is not finite or below zero.
pub(super) fn check_epsilon(epsilon: f32) -> Result<()> {
    if epsilon.is_finite() && epsilon >= 0.0 {
        return Ok(());
    }
    Err(Error::parameter("epsilon", epsilon, "a finite number, 0 or more"))
}
