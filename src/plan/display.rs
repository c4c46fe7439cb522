//! The plan as text.

use super::{Dispatch, Plan, Repeat};
use crate::kernels::Access;
use std::fmt::{Display, Formatter, Result};

fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.2} MiB", n as f64 / 1_048_576.0),
    }
}

/// A loop's first line.
fn head(repeat: &Repeat) -> String {
    let swaps = repeat.swaps.iter().map(|[a, b]| format!(", b{a} and b{b} change places"));
    format!("repeat {} times{}", repeat.times, swaps.collect::<String>())
}

fn write_dispatch(f: &mut Formatter<'_>, i: usize, d: &Dispatch, indent: &str) -> Result {
    let layer = if d.layer.is_empty() { String::new() } else { format!("  // {}", d.layer) };
    writeln!(f, "{indent}  {i:>3} {}{layer}", d.label)?;
    let (template, grid, flops) = (d.call.name(), d.call.grid, d.call.flops);
    let own = if d.call.text.is_some() { " (from outside, checked)" } else { "" };
    writeln!(f, "{indent}      kernel {template}{own}  workgroups {grid:?}  {flops} FLOP")?;
    writeln!(f, "{indent}      shapes {}", d.shapes)?;
    for access in [Access::Read, Access::ReadWrite] {
        let list: Vec<String> = d
            .bindings
            .iter()
            .filter(|b| b.1 == access)
            .map(|(r, _)| {
                let step = r.step_offset.map(|s| format!("+s{}*{}", s.word, s.stride));
                let loops = r.loop_strides.iter().enumerate().filter(|(_, stride)| **stride != 0);
                let loops = loops.map(|(level, stride)| format!("{stride:+}*i{level}"));
                let moves = step.into_iter().chain(loops).collect::<String>();
                format!("b{}+{}{moves} {}", r.buffer, r.offset, bytes(r.bytes))
            })
            .collect();
        let word = if access == Access::Read { "reads " } else { "writes" };
        writeln!(f, "{indent}      {word} {}", list.join(", "))?;
    }
    Ok(())
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "buffers")?;
        for (i, b) in self.buffers.iter().enumerate() {
            let class = format!("{:?}", b.class).to_ascii_lowercase();
            writeln!(f, "  b{i:<3} {class:<10} {:<16} {:>12}", b.name, bytes(b.bytes))?;
        }
        if !self.step_params.is_empty() {
            writeln!(f, "step block")?;
            for (i, p) in self.step_params.iter().enumerate() {
                writeln!(f, "  s{i:<3} {:<10} {}", p.dtype.to_string(), p.name)?;
            }
        }
        writeln!(f, "dispatches")?;
        for (i, d) in self.dispatches.iter().enumerate() {
            let loops = self.loops_of(i);
            for (level, repeat) in loops.iter().enumerate() {
                if repeat.body.start == i {
                    writeln!(f, "  {}{}", "  ".repeat(level), head(repeat))?;
                }
            }
            write_dispatch(f, i, d, &"  ".repeat(loops.len()))?;
        }
        for o in &self.outputs {
            writeln!(
                f,
                "output {} = b{}+{} {}{}",
                o.name, o.region.buffer, o.region.offset, o.dtype, o.shape
            )?;
        }
        let memory: Vec<String> = self
            .memory()
            .iter()
            .map(|(class, n)| {
                format!("{} {}", format!("{class:?}").to_ascii_lowercase(), bytes(*n))
            })
            .collect();
        writeln!(f, "memory  {}", memory.join(", "))?;
        write!(f, "{} dispatches, {} FLOP", self.dispatches.len(), self.flops())
    }
}
