//! Sums over rows of elementwise programs: the gradients of what broadcasts along rows.

use super::batch_norm::moment_vjp;
use super::map::{numbered, to_u32};
use super::program::{Program, Reg};
use super::row_reads::{RowCode, shows_first_row};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, View, VjpContext};
use crate::graph::{Read, Rows};
use crate::kernels::{
    Bind, DeviceCaps, KernelCall, Source, Template, grid, param_blocks, template,
};
use std::fmt::Write;

param_blocks! {
    /// Sums over chunks of rows.
    ColumnParams {
        /// Rows.
        rows: u32,
        /// Elements per row.
        cols: u32,
        /// Rows per chunk.
        chunk: u32,
        /// Chunks.
        chunks: u32,
    }
}

pub(super) const COLUMN_SUMS: Template = template!("reduce/column_sums", ColumnParams);

/// Σ over rows of each output of a program on the elements: results of the shape of a row.
///
/// The order of additions is fixed. Long sums are cut into chunks of rows, which a second launch adds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ColumnSums {
    /// The shape, and where its rows begin.
    pub rows: Rows,
    /// The inputs of the program.
    pub reads: Vec<Read>,
    /// What is summed.
    pub program: Program,
    /// What its gradient is.
    pub rule: SumRule,
}

/// What column sums are: their gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SumRule {
    /// A part of a gradient, without one.
    None,
    /// Σ share · (x - shift), of the rows that count; operands x, shift, share, mask and zero if it is there.
    Mean {
        /// Whether there is a mask.
        masked: bool,
    },
    /// Σ share · (x - shift - offset)², where shift + offset is the mean; operands x, shift, offset, share, mask and zero
    /// if it is there.
    Variance {
        /// Whether there is a mask.
        masked: bool,
    },
}

/// Lanes along the columns, four of which each takes: on a CPU those that it runs at a time.
fn lanes_of(caps: &DeviceCaps) -> u32 {
    if caps.cpu { caps.lanes() } else { 8 }
}

/// Lines of lanes that share the rows of a chunk, and the most rows of a chunk. A GPU needs many invocations; a CPU pays
/// for workgroup memory.
fn shape_of(caps: &DeviceCaps) -> (u32, usize) {
    let lines = if caps.cpu { 1 } else { (caps.max_invocations / lanes_of(caps)).clamp(1, 32) };
    let lines = 1 << lines.ilog2();
    let longest = if caps.cpu { 32_768 } else { 128 * lines as usize };
    let limit = (caps.max_loop_trips as usize / 2).saturating_mul(lines as usize);
    (lines, longest.min(limit).max(1))
}

impl Op for ColumnSums {
    fn name(&self) -> String {
        "column_sums".into()
    }

    fn attrs(&self) -> String {
        format!("{} rows of {}; {}", self.rows.rows(), self.rows.cols(), self.program)
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.rows.check("column_sums", &self.reads, inputs)?;
        Ok(vec![TensorType::f32(self.rows.inner()); self.program.outputs.len()])
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, upstream, .. } = *cx;
        if let (true, Some(ds)) = (self.rule != SumRule::None, upstream[0]) {
            return moment_vjp(graph, self.rule, inputs, ds);
        }
        Err(Error::not_differentiable(
            self.name(),
            "it is part of a gradient; build it from elementwise functions and sums",
        ))
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let (_, longest) = shape_of(cx.caps);
        let (rows, cols, count) = (self.rows.rows(), self.rows.cols(), self.program.outputs.len());
        if rows <= longest {
            return Ok(self.call(cx, rows, Bind::Output)?.into());
        }
        let chunks = rows.div_ceil(longest);
        if chunks > cx.caps.max_loop_trips as usize / 2 {
            return Err(Error::Limit {
                what: "column_sums: rows".into(),
                needed: rows as u64,
                allowed: longest as u64 * u64::from(cx.caps.max_loop_trips / 2),
                detail: "use a smaller batch".into(),
            });
        }
        let first = self.call(cx, longest, Bind::ScratchWrite)?;
        // The chunks are rows that are summed as they are.
        let joined = Self {
            rows: Rows { shape: [chunks, cols].into(), first: 1 },
            reads: (0..count).map(Read::Element).collect(),
            program: Program {
                inputs: count,
                instrs: vec![],
                outputs: (0..count).map(Reg::Input).collect(),
            },
            rule: SumRule::None,
        };
        let part = (TensorType::f32([chunks, cols]), Source::Buffer);
        let join = LowerContext {
            inputs: vec![part; count],
            views: vec![None; count],
            outputs: cx.outputs.clone(),
            in_place: vec![None; count],
            read: vec![true; count],
            caps: cx.caps,
            iterations: cx.iterations,
        };
        let mut second = joined.call(&join, chunks, Bind::Output)?;
        for bind in &mut second.binds {
            if let Bind::Input(i) = *bind {
                *bind = Bind::ScratchRead(i);
            }
        }
        let scratch = vec![(chunks * cols * 4) as u64; count];
        Ok(Lowered { calls: vec![first, second], scratch })
    }

    fn takes_uniform(&self, input: usize) -> bool {
        self.reads.contains(&Read::Element(input))
    }

    /// One row of a tensor, for all rows.
    fn takes_view(&self, _inputs: &[&TensorType], input: usize, view: &View) -> bool {
        self.reads.contains(&Read::Element(input)) && shows_first_row(view, self.rows.cols())
    }
}

impl ColumnSums {
    /// The launch that sums chunks of `chunk` rows into `to`.
    fn call(
        &self,
        cx: &LowerContext<'_>,
        chunk: usize,
        to: fn(usize) -> Bind,
    ) -> Result<KernelCall> {
        let (lines, _) = shape_of(cx.caps);
        let (rows, cols) = (self.rows.rows(), self.rows.cols());
        let chunks = rows.div_ceil(chunk);
        to_u32(rows * cols)?;
        let mut code = RowCode::new(&self.rows, &self.reads, cx)?;
        let (index, random) = (self.program.uses_index(), self.program.is_random());
        let (text, values) = self.program.wgsl(&code.names, &mut code.words, "        ");
        let mut body = code.columns(index);
        body.push_str(&code.row.replace("    let", "        let"));
        body.push_str(&code.loads(std::iter::once(&self.program)));
        let _ = writeln!(body, "{text}");
        let (mut declare, mut totals, mut stores) = (String::new(), String::new(), String::new());
        for (o, value) in values.iter().enumerate() {
            let element = code.element();
            code.declare(&format!("sums{o}"), "read_write", element, to(o));
            let _ = writeln!(declare, "    var total{o} = vec4<f32>(0.0);");
            let _ = writeln!(body, "        total{o} += {value};");
            let _ = writeln!(totals, "    let added{o} = add_lines(total{o}, local.x, local.y);");
            stores.push_str(&code.store(
                &format!("sums{o}"),
                "at",
                &format!("added{o}"),
                "        ",
            ));
        }
        let lanes = lanes_of(cx.caps);
        let tiles = cols.div_ceil(4 * lanes as usize);
        let params = ColumnParams {
            rows: to_u32(rows)?,
            cols: to_u32(cols)?,
            chunk: to_u32(chunk)?,
            chunks: to_u32(chunks)?,
        };
        Ok(KernelCall {
            text: None,
            template: COLUMN_SUMS,
            defines: vec![
                ("LANES", lanes.into()),
                ("ROWS", lines.into()),
                ("WIDE", (cx.caps.wide_words && code.whole).into()),
                ("STEP", code.step.into()),
                ("RANDOM", random.into()),
                ("ITERATION", numbered(random, rows * cols, cx)?.into()),
                ("WORDS", code.words.vec4s().into()),
                ("BINDINGS", code.bindings.into()),
                ("FUNCTIONS", code.functions.into()),
                ("DECLARE", declare.into()),
                ("BODY", body.into()),
                ("TOTALS", totals.into()),
                ("STORES", stores.into()),
            ],
            binds: code.binds,
            params: params.with_words(&code.words.padded()),
            step: code.step,
            grid: grid("column_sums", (tiles * chunks) as u64, cx.caps)?,
            flops: (self.program.instrs.len().max(1) * rows * cols) as u64,
        })
    }
}
