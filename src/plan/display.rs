//! The plan as text.

use super::Plan;
use crate::kernels::Access;
use std::fmt::{Display, Formatter, Result};

fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.2} MiB", n as f64 / 1_048_576.0),
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "buffers")?;
        for (i, b) in self.buffers.iter().enumerate() {
            let class = format!("{:?}", b.class).to_lowercase();
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
            let layer =
                if d.layer.is_empty() { String::new() } else { format!("  // {}", d.layer) };
            writeln!(f, "  {i:>3} {}{layer}", d.label)?;
            writeln!(
                f,
                "      kernel {}  workgroups {:?}  {} FLOP",
                d.call.template, d.call.grid, d.call.flops
            )?;
            writeln!(f, "      shapes {}", d.shapes)?;
            for access in [Access::Read, Access::ReadWrite] {
                let list: Vec<String> = d
                    .bindings
                    .iter()
                    .filter(|b| b.1 == access)
                    .map(|(r, _)| {
                        let moves = r.step_offset.map(|s| format!("+s{}*{}", s.word, s.stride));
                        let moves = moves.unwrap_or_default();
                        format!("b{}+{}{moves} {}", r.buffer, r.offset, bytes(r.bytes))
                    })
                    .collect();
                let word = if access == Access::Read { "reads " } else { "writes" };
                writeln!(f, "      {word} {}", list.join(", "))?;
            }
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
            .map(|(class, n)| format!("{} {}", format!("{class:?}").to_lowercase(), bytes(*n)))
            .collect();
        writeln!(f, "memory  {}", memory.join(", "))?;
        write!(f, "{} dispatches, {} FLOP", self.dispatches.len(), self.flops())
    }
}
