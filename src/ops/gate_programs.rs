//! What the gates of recurrent units compute, as programs, and the gradients of such programs.

use super::gates::Function;
use super::program::{Instr, Program, Reg};
use super::row_builder::Code;
use super::table::{Derivative, row};
use crate::error::{Error, Result};
use std::collections::HashMap;

/// What is known of the gradient of each register.
struct Gradients {
    instrs: Vec<Instr>,
    of: HashMap<Reg, Reg>,
}

impl Gradients {
    fn call(
        &mut self,
        name: &'static str,
        derivative: bool,
        params: &[u32],
        args: &[Reg],
    ) -> Result<Reg> {
        let found = row(name).ok_or_else(|| Error::internal("gates", format!("no `{name}`")))?;
        let (params, args) = (params.to_vec(), args.to_vec());
        self.instrs.push(Instr { row: found, derivative, params, args });
        Ok(Reg::Temp(self.instrs.len() - 1))
    }

    fn add(&mut self, of: Reg, d: Reg) -> Result<()> {
        let sum = match self.of.get(&of) {
            Some(&so_far) => self.call("add", false, &[], &[so_far, d])?,
            None => d,
        };
        self.of.insert(of, sum);
        Ok(())
    }
}

/// The gradient of a program of sums, products and functions of one operand, as a program that computes it again. It has
/// further inputs: for each output as many gradients as `upstream` says. Its outputs are the gradients of the inputs.
pub(super) fn gradient(program: &Program, upstream: &[usize]) -> Result<Program> {
    let mut known = Gradients { instrs: program.instrs.clone(), of: HashMap::new() };
    let mut input = program.inputs;
    for (&output, &count) in program.outputs.iter().zip(upstream) {
        for _ in 0..count {
            known.add(output, Reg::Input(input))?;
            input += 1;
        }
    }
    for (t, instr) in program.instrs.iter().enumerate().rev() {
        let Some(&d) = known.of.get(&Reg::Temp(t)) else { continue };
        match (instr.row.name, instr.args.as_slice(), instr.row.derivative) {
            ("add", &[x, y], _) => {
                known.add(x, d)?;
                known.add(y, d)?;
            }
            ("sub", &[x, y], _) => {
                known.add(x, d)?;
                let negative = known.call("neg", false, &[], &[d])?;
                known.add(y, negative)?;
            }
            ("mul", &[x, y], _) => {
                let (of_x, of_y) = (
                    known.call("mul", false, &[], &[d, y])?,
                    known.call("mul", false, &[], &[d, x])?,
                );
                known.add(x, of_x)?;
                known.add(y, of_y)?;
            }
            (_, &[x], Derivative::One | Derivative::StraightThrough) => known.add(x, d)?,
            (name, &[x], Derivative::OfInput(_) | Derivative::OfOutput(_)) => {
                let of_output = matches!(instr.row.derivative, Derivative::OfOutput(_));
                let at = if of_output { Reg::Temp(t) } else { x };
                let slope = known.call(name, true, &instr.params, &[at])?;
                let of_x = known.call("mul", false, &[], &[d, slope])?;
                known.add(x, of_x)?;
            }
            _ => return Err(Error::internal("gates", format!("`{}` in a program", instr.label()))),
        }
    }
    let outputs = (0..program.inputs).map(|i| known.of.get(&Reg::Input(i)).copied());
    let outputs: Option<Vec<Reg>> = outputs.collect();
    let outputs = outputs.ok_or_else(|| Error::internal("gates", "an operand has no gradient"))?;
    Ok(Program { inputs: input, instrs: known.instrs, outputs })
}

/// A program of functions that have a derivative, which `op` is given.
fn functions(
    op: &str,
    named: &[Function<'_>],
    inputs: usize,
    build: impl FnOnce(&mut Code) -> Result<Vec<Reg>>,
) -> Result<Program> {
    for &(name, _) in named {
        use Derivative::{OfInput, OfOutput, One, StraightThrough};
        let known = row(name).filter(|row| row.arity == 1 && row.is_by_name());
        let suits = |d| matches!(d, One | StraightThrough | OfInput(_) | OfOutput(_));
        if known.is_none_or(|row| !suits(row.derivative)) {
            let detail = format!("{op} takes functions of one operand that have a gradient");
            return Err(Error::parameter("function", name, detail));
        }
    }
    let mut code = Code::default();
    let outputs = build(&mut code)?;
    Ok(Program { inputs, instrs: code.instrs(), outputs })
}

/// Long short-term memory: of the parts i, f, g, o and the state c the new h and c.
pub(super) fn lstm(op: &str, gate: Function<'_>, function: Function<'_>) -> Result<Program> {
    functions(op, &[gate, function], 5, |code| {
        let [i, f, g, o, c] = [0, 1, 2, 3, 4].map(Reg::Input);
        let open = |code: &mut Code, x| code.call(gate.0, &[x], gate.1);
        let (i, f, o) = (open(code, i)?, open(code, f)?, open(code, o)?);
        let g = code.call(function.0, &[g], function.1)?;
        let (kept, added) = (code.mul(f, c)?, code.mul(i, g)?);
        let c = code.add(kept, added)?;
        let shown = code.call(function.0, &[c], function.1)?;
        Ok(vec![code.mul(o, shown)?, c])
    })
}

/// Gated recurrent units with the reset after the product: of the parts z, r, x_n, u_n, which are the inputs of these
/// numbers, and of the state h the new h.
pub(super) fn gru(
    op: &str,
    parts: [usize; 4],
    gate: Function<'_>,
    function: Function<'_>,
) -> Result<Program> {
    functions(op, &[gate, function], 5, |code| {
        let ([z, r, x, u], h) = (parts.map(Reg::Input), Reg::Input(4));
        let z = code.call(gate.0, &[z], gate.1)?;
        let r = code.call(gate.0, &[r], gate.1)?;
        let reset = code.mul(r, u)?;
        let sum = code.add(x, reset)?;
        let n = code.call(function.0, &[sum], function.1)?;
        let further = code.sub(h, n)?;
        let kept = code.mul(z, further)?;
        Ok(vec![code.add(n, kept)?])
    })
}

/// The fully connected recurrent layer: of the sum the new h.
pub(super) fn simple(op: &str, function: Function<'_>) -> Result<Program> {
    functions(op, &[function], 1, |code| {
        Ok(vec![code.call(function.0, &[Reg::Input(0)], function.1)?])
    })
}

/// What a step of a recurrence has besides the program of its cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepParts<'a> {
    /// Parts of the sums.
    pub parts: usize,
    pub states: usize,
    /// The state that the cell reads.
    pub own: Option<usize>,
    pub masked: bool,
    /// The states whose gradient goes past the gates, or is that of the cell's own state.
    pub direct: &'a [usize],
}

/// A step: of the parts of the recurrent product and of the input's, of the states and of the mask, if there is one, the
/// new states and the parts of the sums.
pub(super) fn step(cell: &Program, of: StepParts<'_>) -> Result<Program> {
    let StepParts { parts, states, own, masked, .. } = of;
    let inputs = 2 * parts + states + usize::from(masked);
    let mut code = Code::default();
    let state = |s: usize| Reg::Input(2 * parts + s);
    let mut sums = Vec::new();
    for p in 0..parts {
        sums.push(code.add(Reg::Input(parts + p), Reg::Input(p))?);
    }
    let operands: Vec<Reg> = sums.iter().copied().chain(own.map(state)).collect();
    let mut new = code.append(cell, &operands);
    for (s, new) in new.iter_mut().enumerate().filter(|_| masked) {
        *new = code.call("select", &[Reg::Input(inputs - 1), *new, state(s)], &[])?;
    }
    Ok(Program { inputs, instrs: code.instrs(), outputs: [new, sums].concat() })
}

/// The gradient of a step, for a cell's gradient `back`. Of the product of the next step's gradients with the kernel, of
/// the parts of the sums, of the gradients of the next step's parts and those for the `direct` states, of the own state, of
/// the gradients from outside, of the states for which `given` says so, and of the mask: the gradients of the parts, those
/// for the `direct` states before, and once more those of the parts.
pub(super) fn step_gradient(back: &Program, of: StepParts<'_>, given: &[bool]) -> Result<Program> {
    let StepParts { parts, own, masked, direct, .. } = of;
    let (mut inputs, mut code) = (1, Code::default());
    let mut take = |count: usize| {
        inputs += count;
        (inputs - count..inputs).map(Reg::Input).collect::<Vec<_>>()
    };
    let mut operands = take(parts);
    // The product has read the gradients of the parts.
    let passed = take(parts + direct.len()).split_off(parts);
    let old = take(usize::from(own.is_some()));
    let outside: Vec<Option<Reg>> =
        given.iter().map(|&given| take(usize::from(given)).first().copied()).collect();
    let mask = take(usize::from(masked)).first().copied();
    operands.extend(old);
    let mut upstream = Vec::new();
    for (s, &outside) in outside.iter().enumerate() {
        let passed = direct.iter().position(|&d| d == s).map(|at| passed[at]);
        let product = (s == 0).then_some(Reg::Input(0));
        let mut terms = product.into_iter().chain(passed).chain(outside);
        let first = terms.next().ok_or_else(|| Error::internal("gates", "a state is lost"))?;
        let mut total = first;
        for term in terms {
            total = code.add(total, term)?;
        }
        upstream.push(total);
    }
    operands.extend(&upstream);
    let mut found = code.append(back, &operands);
    let of_own = found.get(parts).copied();
    found.truncate(parts);
    let mut past: Vec<Option<Reg>> =
        direct.iter().map(|&s| of_own.filter(|_| own == Some(s))).collect();
    if let Some(mask) = mask {
        // Zero, whatever the mask is.
        let zero = code.call("less", &[mask, mask], &[])?;
        for d in &mut found {
            *d = code.call("select", &[mask, *d, zero], &[])?;
        }
        for (past, &s) in past.iter_mut().zip(direct) {
            let args = [mask, past.unwrap_or(zero), upstream[s]];
            *past = Some(code.call("select", &args, &[])?);
        }
    }
    let past: Option<Vec<Reg>> = past.into_iter().collect();
    let past = past.ok_or_else(|| Error::internal("gates", "a gradient goes nowhere"))?;
    Ok(Program { inputs, instrs: code.instrs(), outputs: [found.clone(), past, found].concat() })
}
