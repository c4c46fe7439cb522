//! The launch of a row kernel: its loops over the row, as WGSL.

use super::map::{numbered, to_u32};
use super::program::Program;
use super::row_reads::RowCode;
use super::softmax::row_launch_by;
use crate::error::Result;
use crate::graph::{LowerContext, Lowered, Op};
use crate::graph::{Phase, RowKernel, RowReduction};
use crate::kernels::{Bind, KernelCall, RowParams, Template, template};
use std::fmt::Write;
use std::ops::Range;

pub(super) const ROW_KERNEL: Template = template!("reduce/row_kernel", RowParams);

/// Where a maximum starts: -`f32::MAX`.
const LOWEST: &str = "vec4<f32>(-3.4028234e+38f)";

pub(super) fn lower_row_kernel(op: &RowKernel, cx: &LowerContext<'_>) -> Result<Lowered> {
    let (rows, cols) = (op.rows.rows(), op.rows.cols());
    let mut code = RowCode::new(&op.rows, &op.reads, cx)?;
    let values = (0..op.phases.len()).map(|k| format!("value{k}"));
    code.names.extend(values.collect::<Vec<_>>());
    let mut body = String::new();
    let mut loops = 0;
    for group in loops_of(op) {
        if op.phases[group.start].reduction != RowReduction::First {
            loops += 1;
        }
        reduce(op, group, &mut code, &mut body);
    }
    for o in 0..op.elements.outputs.len() {
        let element = code.element();
        code.declare(&format!("out{o}"), "read_write", element, Bind::Output(o));
    }
    if !op.elements.outputs.is_empty() {
        loops += 1;
        let (text, results) = op.elements.wgsl(&code.names, &mut code.words, "        ");
        let _ = writeln!(body, "    for (var c = 4u * lane; c < cols; c += STRIDE) {{");
        body.push_str(&code.columns(op.elements.uses_index()));
        body.push_str(&code.loads(std::iter::once(&op.elements)));
        let _ = writeln!(body, "{text}");
        for (o, value) in results.iter().enumerate() {
            body.push_str(&code.store(&format!("out{o}"), "start + c", value, "        "));
        }
        body.push_str("    }\n");
    }
    for (i, values) in op.kept.iter().enumerate() {
        let bind = Bind::Output(op.elements.outputs.len() + i);
        code.declare(&format!("kept{i}"), "read_write", "f32", bind);
        body.push_str("    if live && lane == 0u {\n");
        for (place, value) in values.iter().enumerate() {
            let count = values.len();
            let _ = writeln!(body, "        kept{i}[row * {count}u + {place}u] = value{value}.x;");
        }
        body.push_str("    }\n");
    }
    let (mut defines, grid) = row_launch_by(&op.name(), (rows, cols), 4, loops.max(1), cx.caps)?;
    let programs = op.phases.iter().flat_map(|p| [&p.before, &p.after]).chain([&op.elements]);
    let instrs: usize = programs.clone().map(|p| p.instrs.len().max(1)).sum();
    let random = programs.clone().any(Program::is_random);
    defines.extend([
        ("WIDE", (cx.caps.wide_words && code.whole).into()),
        ("STEP", code.step.into()),
        ("RANDOM", random.into()),
        ("ITERATION", numbered(random, rows * cols, cx)?.into()),
        ("WORDS", code.words.vec4s().into()),
        ("BINDINGS", code.bindings.into()),
        ("FUNCTIONS", code.functions.into()),
        ("ROW", code.row.into()),
        ("BODY", body.into()),
    ]);
    let params = RowParams { rows: to_u32(rows)?, cols: to_u32(cols)?, pad0: 0, pad1: 0 };
    Ok(KernelCall {
        text: None,
        template: ROW_KERNEL,
        defines,
        binds: code.binds,
        params: params.with_words(&code.words.padded()),
        step: code.step,
        grid,
        flops: (instrs * rows * cols) as u64,
    }
    .into())
}

/// Runs of phases that share a loop: none reads the value of another one in its run.
fn loops_of(op: &RowKernel) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let first = |k: usize| op.phases[k].reduction == RowReduction::First;
    for (k, phase) in op.phases.iter().enumerate() {
        match runs.last_mut() {
            Some(run)
                if !first(k)
                    && !first(run.start)
                    && !run.clone().any(|v| phase.before.reads(op.reads.len() + v)) =>
            {
                run.end = k + 1;
            }
            _ => runs.push(k..k + 1),
        }
    }
    runs
}

/// Writes one loop over the row with these phases, and their values.
fn reduce(op: &RowKernel, group: Range<usize>, code: &mut RowCode, body: &mut String) {
    let phases: Vec<(usize, &Phase)> = group.map(|k| (k, &op.phases[k])).collect();
    let first = phases[0].1.reduction == RowReduction::First;
    for (k, phase) in &phases {
        let start = match phase.reduction {
            RowReduction::Max => LOWEST,
            _ => "vec4<f32>(0.0)",
        };
        let _ = writeln!(body, "    var reduced{k} = {start};");
    }
    body.push_str(match first {
        true => "    {\n        let c = 0u;\n",
        false => "    for (var c = 4u * lane; c < cols; c += STRIDE) {\n",
    });
    let random = phases.iter().any(|(_, p)| p.before.uses_index());
    body.push_str(&code.columns(random));
    body.push_str(&code.loads(phases.iter().map(|(_, p)| &p.before)));
    if !code.whole && !first {
        body.push_str(
            "        let inside = vec4<u32>(c, c + 1u, c + 2u, c + 3u) < vec4<u32>(cols);\n",
        );
    }
    for (k, phase) in &phases {
        let (text, results) = phase.before.wgsl(&code.names, &mut code.words, "            ");
        let (value, old) = (&results[0], format!("reduced{k}"));
        let joined = match phase.reduction {
            RowReduction::First => format!("vec4<f32>(({value}).x)"),
            RowReduction::Sum if code.whole => format!("{old} + {value}"),
            RowReduction::Sum => format!("{old} + select(vec4<f32>(0.0), {value}, inside)"),
            RowReduction::Max if code.whole => format!("max({old}, {value})"),
            RowReduction::Max => format!("max({old}, select({old}, {value}, inside))"),
        };
        let _ = writeln!(body, "        {{\n{text}\n            {old} = {joined};\n        }}");
    }
    body.push_str("    }\n");
    for (k, phase) in &phases {
        let v = format!("reduced{k}");
        let total = match phase.reduction {
            RowReduction::First => v,
            RowReduction::Sum => {
                format!("vec4<f32>(lanes_sum(({v}.x + {v}.y) + ({v}.z + {v}.w), lane))")
            }
            RowReduction::Max => {
                format!("vec4<f32>(lanes_max(max(max({v}.x, {v}.y), max({v}.z, {v}.w)), lane))")
            }
        };
        let _ = writeln!(body, "    var value{k} = {total};");
        if !phase.after.instrs.is_empty() {
            let (text, results) = phase.after.wgsl(&code.names, &mut code.words, "        ");
            let _ = writeln!(body, "    {{\n{text}\n        value{k} = {};\n    }}", results[0]);
        }
    }
}
