//! Recurrences as one kernel for all steps of time, for CPU adapters.

use super::map::to_u32;
use super::program::Words;
use super::recurrence::{Extents, MOST_UNITS, Recurrence, RecurrenceGradient};
use crate::error::Result;
use crate::graph::{LowerContext, Lowered};
use crate::kernels::{
    Bind, Define, DeviceCaps, KernelCall, MatmulFamily, Template, grid, param_blocks, template,
};
use std::fmt::Write;

pub(super) const FORWARD: Template = template!("recurrent/forward", RecurrenceParams);
pub(super) const BACKWARD: Template = template!("recurrent/backward", RecurrenceParams);

param_blocks! {
    /// Extents of a recurrence, and the steps of one launch.
    RecurrenceParams {
        /// Rows of the batch.
        rows: u32,
        /// Units.
        units: u32,
        /// Steps of time.
        times: u32,
        /// The first step of the launch, in the order in which they run.
        first: u32,
        /// Steps of the launch.
        steps: u32,
        /// Padding.
        pad0: u32,
        /// Padding.
        pad1: u32,
        /// Padding.
        pad2: u32,
    }
}

/// How the kernels divide the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    /// Rows of a workgroup.
    rows: usize,
    /// Groups of units that are computed together, forward and backward.
    groups: [usize; 2],
    /// Steps of one launch, forward and backward.
    steps: [usize; 2],
    /// Lanes of a workgroup, each with four units of a group.
    lanes: u32,
    shuffle: bool,
}

impl Tile {
    /// `None` if a loop suits better.
    pub fn of(op: &Recurrence, sizes: Extents, caps: &DeviceCaps) -> Option<Self> {
        if caps.matmul == MatmulFamily::Tiled || op.units > MOST_UNITS {
            return None;
        }
        let (lanes, shuffle) = (caps.lanes(), caps.shuffles());
        let rows = if sizes.rows >= 2 * 16 { 16 } else { 8 };
        let columns = op.units.div_ceil(4 * lanes as usize);
        let groups = [(2 / op.terms()).max(1), 2].map(|most| most.min(columns));
        // Iterations of all loops of an invocation: those of a step, and those of what comes before or after all.
        let around = columns * (rows + 1) + 1;
        let tiles = groups.map(|groups| columns.div_ceil(groups));
        let forward = 1 + tiles[0] * (2 + op.units.div_ceil(4) + rows);
        let backward = around + tiles[1] * (2 + (op.terms() * op.units).div_ceil(4));
        let most = (caps.max_loop_trips as usize).checked_sub(around + 1)?;
        let steps = [forward, backward].map(|trips| (most / trips).min(sizes.times));
        (!steps.contains(&0)).then_some(Self { rows, groups, steps, lanes, shuffle })
    }
}

/// A kernel's bindings, with a load and a store of four neighbouring units for each.
struct Bindings {
    text: String,
    binds: Vec<Bind>,
    whole: bool,
}

impl Bindings {
    fn declare(&mut self, name: &str, bind: Bind, element: &str) {
        let access = if matches!(bind, Bind::Input(_)) { "read" } else { "read_write" };
        let at = self.binds.len();
        let _ = writeln!(
            self.text,
            "@group(0) @binding({at}) var<storage, {access}> {name}: array<{element}>;"
        );
        self.binds.push(bind);
    }

    /// A tensor whose lines are loaded, and stored if it is a result.
    fn lines(&mut self, name: &str, bind: Bind) {
        self.declare(name, bind, if self.whole { "Quad" } else { "f32" });
        let at = |c: usize| format!("{name}[line + min(e + {c}u, last)]");
        let load = match self.whole {
            true => format!("from_quad({name}[(line + e) / 4u])"),
            // The last element is read again past the end; it is never stored.
            false => format!("vec4<f32>({}, {}, {}, {})", at(0), at(1), at(2), at(3)),
        };
        let _ = writeln!(
            self.text,
            "fn load_{name}(line: u32, e: u32, last: u32) -> vec4<f32> {{ return {load}; }}"
        );
        if matches!(bind, Bind::Input(_)) {
            return;
        }
        let one = |c: usize| format!("if e + {c}u < end {{ {name}[line + e + {c}u] = v[{c}]; }}");
        let store = match self.whole {
            true => format!("if e < end {{ {name}[(line + e) / 4u] = to_quad(v); }}"),
            false => (0..4).map(one).collect::<Vec<_>>().join(" "),
        };
        let _ = writeln!(
            self.text,
            "fn store_{name}(line: u32, e: u32, end: u32, v: vec4<f32>) {{ {store} }}"
        );
    }
}

/// What both kernels are given, and the launches for it.
struct Launches<'a> {
    op: &'a Recurrence,
    tile: Tile,
    sizes: Extents,
    bindings: Bindings,
    words: Words,
    body: String,
    /// Of a kernel alone.
    defines: Vec<(&'static str, Define)>,
}

impl Launches<'_> {
    fn calls(self, template: Template, cx: &LowerContext<'_>) -> Result<Lowered> {
        let Self { op, tile, sizes, bindings, words, body, defines } = self;
        let backward = usize::from(template == BACKWARD);
        let Extents { times, rows } = sizes;
        to_u32((times + 1) * rows * op.units * op.parts)?;
        let after_last = if op.reverse { "params.times" } else { "0u" };
        let mut all = vec![
            ("TM", (tile.rows as u32).into()),
            ("LANES", tile.lanes.into()),
            ("GROUP", (4 * tile.lanes).into()),
            ("A_STEP", if tile.shuffle { tile.lanes } else { 1 }.into()),
            ("T4", (tile.groups[backward] as u32).into()),
            ("TERMS", (op.terms() as u32).into()),
            ("FIRST", (op.first as u32).into()),
            ("STATES", (op.states as u32).into()),
            ("SHUFFLE", tile.shuffle.into()),
            ("VEC", bindings.whole.into()),
            ("WIDE", (bindings.whole && cx.caps.wide_words).into()),
            ("REVERSE", op.reverse.into()),
            ("MASKED", op.masked.into()),
            ("INITIAL", after_last.into()),
            ("WORDS", words.vec4s().into()),
            ("BINDINGS", bindings.text.into()),
            ("BODY", body.into()),
        ];
        all.extend(defines);
        let mut calls = Vec::new();
        let steps = tile.steps[backward];
        for first in (0..times).step_by(steps) {
            let steps = steps.min(times - first);
            let params = RecurrenceParams {
                rows: rows as u32,
                units: op.units as u32,
                times: times as u32,
                first: first as u32,
                steps: steps as u32,
                ..RecurrenceParams::default()
            };
            let product = 2 * rows * op.units * op.units * op.terms();
            calls.push(KernelCall {
                text: None,
                template,
                defines: all.clone(),
                binds: bindings.binds.clone(),
                params: params.with_words(&words.padded()),
                step: false,
                grid: grid(op.name, rows.div_ceil(tile.rows) as u64, cx.caps)?,
                flops: (steps * product) as u64,
            });
        }
        Ok(Lowered { calls, scratch: vec![] })
    }
}

fn launches<'a>(op: &'a Recurrence, cx: &LowerContext<'_>) -> Result<Launches<'a>> {
    let sizes = op.extents(&cx.inputs[0].0.shape);
    let tile = Tile::of(op, sizes, cx.caps).ok_or_else(|| {
        crate::error::Error::internal(op.name, "is a loop on this device, but was not expanded")
    })?;
    let whole = op.units.is_multiple_of(4);
    let bindings = Bindings { text: String::new(), binds: vec![], whole };
    let (words, body, defines) = (Words::default(), String::new(), vec![]);
    Ok(Launches { op, tile, sizes, bindings, words, body, defines })
}

fn named(name: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |i| format!("{name}{i}"))
}

pub(super) fn forward(op: &Recurrence, cx: &LowerContext<'_>) -> Result<Lowered> {
    let mut all = launches(op, cx)?;
    let mut inputs = 0..;
    let mut input = || Bind::Input(inputs.next().unwrap_or_default());
    all.bindings.lines("products", input());
    all.bindings.lines("kernel", input());
    for name in named("initial", op.states) {
        all.bindings.lines(&name, input());
    }
    if op.masked {
        all.bindings.declare("mask", input(), "f32");
    }
    for (s, name) in named("state", op.states).enumerate() {
        all.bindings.lines(&name, Bind::Output(s));
    }
    all.bindings.lines("sums", Bind::Output(op.states));
    let mut operands: Vec<String> = named("x", op.parts).collect();
    operands.extend(op.own.map(|own| format!("old{own}")));
    let (mut body, new) = op.program.wgsl(&operands, &mut all.words, "");
    for (s, new) in new.iter().enumerate() {
        let _ = write!(body, "\nlet new{s} = {new};");
    }
    all.body = body;
    all.calls(FORWARD, cx)
}

pub(super) fn backward(back: &RecurrenceGradient, cx: &LowerContext<'_>) -> Result<Lowered> {
    let op = &back.of;
    let mut all = launches(op, cx)?;
    let mut inputs = 0..;
    let mut input = || Bind::Input(inputs.next().unwrap_or_default());
    all.bindings.lines("sums", input());
    all.bindings.lines("kernel", input());
    if op.own.is_some() {
        all.bindings.lines("old", input());
    }
    if op.masked {
        all.bindings.declare("mask", input(), "f32");
    }
    let mut upstream = String::new();
    for (s, name) in named("up", op.states).enumerate().filter(|(s, _)| back.upstream[*s]) {
        all.bindings.lines(&name, input());
        let _ = writeln!(upstream, "d{s} += load_{name}(new_line, e, last);");
    }
    all.bindings.lines("d_sums", Bind::Output(0));
    all.bindings.lines("carry", Bind::Output(1));
    let mut operands: Vec<String> = named("x", op.parts).collect();
    operands.extend(op.own.map(|_| "old".to_owned()));
    operands.extend(named("d", op.states));
    let (mut body, found) = back.program.wgsl(&operands, &mut all.words, "");
    for (p, d) in found[..op.parts].iter().enumerate() {
        let _ = write!(body, "\nlet dx{p} = {d};");
    }
    for s in 0..op.states {
        let zero = "vec4<f32>()".to_owned();
        let direct = if op.own == Some(s) { &found[op.parts] } else { &zero };
        let _ = write!(body, "\nlet direct{s} = {direct};");
    }
    all.body = body;
    let last = if all.bindings.whole { "units - 4u" } else { "last" };
    all.defines = vec![
        ("READS", op.own.is_some().into()),
        ("DIRECT", (op.masked || op.own == Some(0)).into()),
        ("LAST_QUAD", last.into()),
        ("UPSTREAM", upstream.into()),
        ("UPSTREAMS", back.upstream.contains(&true).into()),
    ];
    all.calls(BACKWARD, cx)
}
