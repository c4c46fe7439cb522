//! Panics without their texts.
//!
//! In a browser Rust has no standard error: a panic makes its text, shows it to nobody, and ends in a trap. So a function
//! that never returns and never calls JavaScript becomes the trap alone, and so do the instructions before a call of it,
//! which prepare the text. A program that has panicked is in no state to go on with, so nothing misses what they would have
//! written.

use super::{Code, instructions};
use anyhow::Result;
use std::ops::Range;
use wasmparser::Operator;

/// The body of a function that traps at once: no locals, `unreachable`, `end`.
const TRAP: [u8; 3] = [0x00, 0x00, 0x0b];

/// Makes panics traps. Gives the bytes of the module that held places in source files, which nothing reads any more.
pub fn silence(code: &mut Code, wasm: &[u8]) -> Result<Vec<Range<usize>>> {
    let mut places = Vec::new();
    loop {
        let silent = silent(code)?;
        let mut changed = false;
        for (function, body) in code.bodies.iter_mut().enumerate() {
            let (new, constants) = match silent[function] {
                true => (TRAP.to_vec(), constants(body)?),
                false => shortened(body, |f| {
                    (f as usize).checked_sub(code.imports.len()).is_some_and(|f| silent[f])
                })?,
            };
            changed |= new != *body;
            *body = new;
            places.extend(constants.into_iter().filter_map(|at| place(&code.data, wasm, at)));
        }
        if !changed {
            return Ok(places);
        }
    }
}

/// The constants of a body that may be addresses.
fn constants(body: &[u8]) -> Result<Vec<u32>> {
    let constants =
        instructions(body)?.into_iter().filter_map(|(instruction, _)| match instruction {
            Operator::I32Const { value } => Some(value as u32),
            _ => None,
        });
    Ok(constants.collect())
}

/// Which functions never return and call no function of JavaScript, themselves or through others.
fn silent(code: &Code) -> Result<Vec<bool>> {
    let calls = code.bodies.iter().map(|body| Code::named(body)).collect::<Result<Vec<_>>>()?;
    let mut speaks = vec![false; calls.len()];
    loop {
        let now = |f: &u32| code.own(*f).is_none_or(|f| speaks[f]);
        let next: Vec<bool> = calls.iter().map(|called| called.iter().any(now)).collect();
        if next == speaks {
            break;
        }
        speaks = next;
    }
    let bodies = code.bodies.iter().zip(speaks);
    bodies.map(|(body, speaks)| Ok(!speaks && never_returns(body)?)).collect()
}

/// Whether a body ends in a trap, and is left in no other way.
fn never_returns(body: &[u8]) -> Result<bool> {
    let all = instructions(body)?;
    let (mut depth, mut last) = (0, false);
    for (instruction, _) in &all[..all.len().saturating_sub(1)] {
        last = matches!(instruction, Operator::Unreachable);
        let leaves = match instruction {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                depth += 1;
                false
            }
            Operator::End => {
                depth -= 1;
                false
            }
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                *relative_depth == depth
            }
            Operator::BrTable { targets } => {
                let mut all = targets.targets().collect::<Result<Vec<_>, _>>()?;
                all.push(targets.default());
                all.contains(&depth)
            }
            Operator::Return
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. } => true,
            _ => false,
        };
        if leaves {
            return Ok(false);
        }
    }
    Ok(last)
}

/// Whether what comes before a trap is kept: branches, blocks and calls.
fn is_kept(instruction: &Operator) -> bool {
    matches!(
        instruction,
        Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::Unreachable
    )
}

/// A body with traps for calls of functions that only trap, without what prepares such a call, and the constants of that.
fn shortened(body: &[u8], traps: impl Fn(u32) -> bool) -> Result<(Vec<u8>, Vec<u32>)> {
    let all = instructions(body)?;
    let start = all.first().map_or(body.len(), |(_, bytes)| bytes.start);
    let (mut kept, mut constants): (Vec<(bool, &[u8])>, _) = (Vec::new(), Vec::new());
    // How many blocks of code after a trap are open, which nothing reaches.
    let mut dead: Option<usize> = None;
    for (at, (instruction, bytes)) in all.iter().enumerate() {
        if let Some(open) = dead {
            let within = match instruction {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => open + 1,
                Operator::End if open > 0 => open - 1,
                Operator::End | Operator::Else if open == 0 => {
                    dead = None;
                    kept.push((true, &body[bytes.clone()]));
                    continue;
                }
                _ => open,
            };
            dead = Some(within);
            continue;
        }
        let trap = match instruction {
            Operator::Unreachable => true,
            Operator::Call { function_index } => traps(*function_index),
            _ => false,
        };
        if !trap {
            kept.push((is_kept(instruction), &body[bytes.clone()]));
            continue;
        }
        let mut before = at;
        while kept.pop_if(|(stays, _)| !*stays).is_some() {
            before -= 1;
            if let Operator::I32Const { value } = all[before].0 {
                constants.push(value as u32);
            }
        }
        kept.push((true, &TRAP[1..2]));
        dead = Some(0);
    }
    let mut new = body[..start].to_vec();
    kept.iter().for_each(|(_, bytes)| new.extend_from_slice(bytes));
    Ok((new, constants))
}

/// The bytes in the module of a `core::panic::Location` at this address, if one is there: the address and the length of
/// the name of a file of Rust, a line and a column.
fn place(data: &[(u32, Range<usize>)], wasm: &[u8], at: u32) -> Option<Range<usize>> {
    let within = |at: u32, len: usize| {
        data.iter().find_map(|(address, bytes)| {
            let start = bytes.start + at.checked_sub(*address)? as usize;
            (start + len <= bytes.end).then(|| start..start + len)
        })
    };
    let location = within(at, 16)?;
    let word = |i: usize| -> Option<u32> {
        let at = location.start + 4 * i;
        wasm[at..at + 4].try_into().ok().map(u32::from_le_bytes)
    };
    let (file, len, line, column) = (word(0)?, word(1)?, word(2)?, word(3)?);
    let name = &wasm[within(file, len as usize)?];
    let is_file = name.strip_suffix(&[0]).unwrap_or(name).ends_with(b".rs");
    (is_file && line > 0 && column > 0).then_some(location)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `f(x) { block { br_if 0 (x); memory[x] = 7; call 2 (8); nop } }`, and a panic that is function 2.
    const CALLER: &[u8] = &[
        0, 0x02, 0x40, 0x20, 0, 0x0d, 0, 0x20, 0, 0x41, 7, 0x36, 2, 0, 0x41, 8, 0x10, 2, 0x01,
        0x0b, 0x0b,
    ];

    #[test]
    fn what_prepares_a_panic_is_left_out() {
        let (short, constants) = shortened(CALLER, |f| f == 2).unwrap();
        assert_eq!(short, [0, 0x02, 0x40, 0x20, 0, 0x0d, 0, 0x00, 0x0b, 0x0b]);
        assert_eq!(constants, [8, 7]);
        let (same, constants) = shortened(CALLER, |f| f == 3).unwrap();
        assert_eq!((same.as_slice(), constants.len()), (CALLER, 0));
    }

    #[test]
    fn a_function_that_can_be_left_is_kept() {
        for (body, never) in [
            (&[0, 0x00, 0x0b][..], true),
            // block { br 0 } unreachable; then the same with br 1, and with a table that holds 1.
            (&[0, 0x02, 0x40, 0x0c, 0, 0x0b, 0x00, 0x0b], true),
            (&[0, 0x02, 0x40, 0x0c, 1, 0x0b, 0x00, 0x0b], false),
            (&[0, 0x02, 0x40, 0x41, 0, 0x0e, 1, 1, 0, 0x0b, 0x00, 0x0b], false),
            (&[0, 0x02, 0x40, 0x41, 0, 0x0e, 1, 0, 0, 0x0b, 0x00, 0x0b], true),
            (&[0, 0x0f, 0x00, 0x0b], false),
            (&[0, 0x01, 0x0b], false),
            (&[0, 0x0b], false),
        ] {
            assert_eq!(never_returns(body).unwrap(), never, "{body:?}");
        }
    }

    #[test]
    fn panics_that_speak_to_javascript_stay() {
        let code = |first: u32| Code {
            imports: vec!["throw".into()],
            types: vec![0; 3],
            bodies: vec![
                [&[0, 0x10, first as u8], &[0x00, 0x0b][..]].concat(),
                vec![0, 0x10, 1, 0x00, 0x0b],
                CALLER.to_vec(),
            ],
            roots: vec![3],
            data: Vec::new(),
        };
        assert_eq!(silent(&code(0)).unwrap(), [false; 3]);
        let mut code = code(2);
        assert_eq!(silent(&code).unwrap(), [true, true, false]);
        silence(&mut code, &[]).unwrap();
        assert_eq!(code.bodies[..2], [TRAP, TRAP]);
        assert_eq!(code.bodies[2], [0, 0x02, 0x40, 0x20, 0, 0x0d, 0, 0x00, 0x0b, 0x0b]);
    }

    #[test]
    fn only_places_in_source_files_are_places() {
        let mut wasm = vec![0xff; 4];
        for word in [1040, 4, 12, 5, 1044, 4, 12, 5, 1040, 4, 0, 5] {
            wasm.extend_from_slice(&u32::to_le_bytes(word));
        }
        // Its address is 1000: places at 1000, 1016 and 1032, names from 1048 on.
        wasm.extend_from_slice(b"a.rs");
        let data = vec![(992, 4..4 + 48), (1040, 52..56)];
        assert_eq!(place(&data, &wasm, 992), Some(4..20));
        for other in [993, 1008, 1024, 1040, 5000, 3] {
            assert_eq!(place(&data, &wasm, other), None, "{other}");
        }
    }
}
