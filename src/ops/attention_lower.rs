//! The kernels of attention and of its gradients.

use super::attention::{Attention, Sizes};
use super::map::to_u32;
use super::program::step_word;
use super::row_softmax::SoftmaxMask;
use crate::error::{Error, Result};
use crate::graph::{LowerContext, Lowered};
use crate::kernels::{Bind, Define, DeviceCaps, KernelCall, Source, Template, grid};
use crate::kernels::{param_blocks, template};
use crate::tensor::Shape;

pub(super) const BROADCAST: Template = template!("attention/broadcast", AttentionParams);
pub(super) const TILED: Template = template!("attention/tiled", AttentionParams);

param_blocks! {
    /// Attention and its gradients.
    AttentionParams {
        /// Samples.
        samples: u32,
        /// Queries of a sample.
        queries: u32,
        /// Keys of a sample.
        keys: u32,
        /// Heads of queries.
        heads: u32,
        /// Heads of keys.
        groups: u32,
        /// Workgroups for the rows of a head.
        tiles: u32,
        /// Elements of the mask from a sample to the next.
        mask_sample: u32,
        /// From a head to the next.
        mask_head: u32,
        /// From a query to the next.
        mask_query: u32,
        /// The factor of scores.
        scale: f32,
        /// The random stream of dropout.
        stream: u32,
        /// Its rate.
        rate: f32,
        /// What the other weights are scaled by.
        kept: f32,
        /// Padding.
        pad0: u32,
        /// Padding.
        pad1: u32,
        /// Padding.
        pad2: u32,
    }
}

/// A tensor of the kernels: its name, the numbers of a line, and whether it is written.
type Lines = (&'static str, usize, bool);

/// A binding, and the function that moves four neighbouring features of a line.
fn binding(at: usize, (name, size, written): Lines) -> String {
    let quads = size.is_multiple_of(4);
    let (element, access) =
        (if quads { "Quad" } else { "f32" }, if written { "read_write" } else { "read" });
    let head =
        format!("@group(0) @binding({at}) var<storage, {access}> {name}: array<{element}>;\n");
    let body = match (written, quads) {
        (false, true) => format!(
            "fn load_{name}(line: u32, f: u32) -> vec4<f32> {{ return from_quad({name}[line / 4u + f]); }}\n"
        ),
        (false, false) => {
            let one = |c: u32| format!("{name}[line + min(4u * f + {c}u, {}u)]", size - 1);
            format!(
                "fn load_{name}(line: u32, f: u32) -> vec4<f32> {{\n    let x = vec4<f32>({}, {}, {}, {});\n    \
                 return select(vec4<f32>(), x, vec4<u32>(0u, 1u, 2u, 3u) + 4u * f < vec4<u32>({size}u));\n}}\n",
                one(0),
                one(1),
                one(2),
                one(3)
            )
        }
        (true, true) => format!(
            "fn store_{name}(line: u32, f: u32, x: vec4<f32>) {{ {name}[line / 4u + f] = to_quad(x); }}\n"
        ),
        (true, false) => {
            let one = |c: u32| {
                format!(
                    "    if 4u * f + {c}u < {size}u {{ {name}[line + 4u * f + {c}u] = x[{c}]; }}\n"
                )
            };
            format!(
                "fn store_{name}(line: u32, f: u32, x: vec4<f32>) {{\n{}}}\n",
                (0..4).map(one).collect::<String>()
            )
        }
    };
    head + &body
}

/// Which kernel: that of the result, or of a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Forward,
    Queries,
    Keys,
}

/// Rows that a lane owns: as many as keep what it holds of them in about as many registers as the products' kernels use,
/// and no more than leave a row for each of so many lanes.
fn rows_of_lane(form: Form, quads: usize, rows: usize, lanes: usize) -> usize {
    let most = match form {
        Form::Forward => 32 / quads.max(1),
        Form::Queries | Form::Keys => 16 / quads.max(1),
    };
    most.clamp(1, 4).min(rows.div_ceil(lanes)).next_power_of_two()
}

impl Attention {
    /// The launch for the result, or for the gradient of queries or of keys.
    pub(super) fn call(&self, cx: &LowerContext<'_>, gradient: Option<bool>) -> Result<Lowered> {
        let form = match gradient {
            None => Form::Forward,
            Some(false) => Form::Queries,
            Some(true) => Form::Keys,
        };
        let shapes: Vec<&Shape> = cx.inputs.iter().map(|input| &input.0.shape).collect();
        let s = self.sizes("attention", &shapes[..self.tensors()])?;
        for shape in &shapes {
            to_u32(shape.len())?;
        }
        let (cpu, lanes) = (cx.caps.cpu, cx.caps.lanes());
        let [d4, e4] = [s.size, s.value].map(|size| size.div_ceil(4));
        let (rows, columns, own_heads, turns) = match form {
            Form::Keys => (s.keys, s.queries, s.groups, s.heads / s.groups),
            _ => (s.queries, s.keys, s.heads, 1),
        };
        let lane_rows = rows_of_lane(form, d4.max(e4), rows, lanes as usize);
        let (template, tile) =
            if cpu { (BROADCAST, lanes as usize * lane_rows) } else { (TILED, 32) };
        let tiles = rows.div_ceil(tile);
        let trips = match cpu {
            true => turns * (columns.div_ceil(4) + 1),
            false => turns * (columns.div_ceil(32) * tile_trips(form, d4, e4) + 1),
        };
        check_trips(form, columns, trips, cx.caps)?;
        let workgroups = (tiles * own_heads) as u64 * s.samples as u64;
        let pairs = s.samples as u64 * s.heads as u64 * s.queries as u64 * s.keys as u64;
        let products = match form {
            Form::Forward => s.size + s.value,
            Form::Queries => 2 * s.size + s.value,
            Form::Keys => 2 * (s.size + s.value),
        };
        let rate = self.dropout.as_ref().map_or(0.0, |dropout| dropout.rate.get());
        let params = AttentionParams {
            samples: to_u32(s.samples)?,
            queries: s.queries as u32,
            keys: s.keys as u32,
            heads: s.heads as u32,
            groups: s.groups as u32,
            tiles: tiles as u32,
            mask_sample: s.mask[0] as u32,
            mask_head: s.mask[1] as u32,
            mask_query: s.mask[2] as u32,
            scale: self.scale.get(),
            stream: self.dropout.as_ref().map_or(0, |dropout| dropout.stream),
            rate,
            kept: 1.0 / (1.0 - rate),
            ..AttentionParams::default()
        };
        let (words, step) = self.words(cx)?;
        let (binds, mut defines) = self.text(form, &s);
        defines.extend([
            ("WIDE", Define::from(cx.caps.wide_words && (s.size % 4 == 0 || s.value % 4 == 0))),
            ("D4", (d4 as u32).into()),
            ("E4", (e4 as u32).into()),
            ("D_CHUNKS", (d4.div_ceil(8) as u32).into()),
            ("E_CHUNKS", (e4.div_ceil(8) as u32).into()),
            ("SHUFFLE", cx.caps.shuffles().into()),
            ("LANES", lanes.into()),
            ("D_LOADS", (4 * d4 as u32).div_ceil(lanes).into()),
            ("E_LOADS", (4 * e4 as u32).div_ceil(lanes).into()),
            ("R", (lane_rows as u32).into()),
            ("DROPS", self.dropout.is_some().into()),
            ("ITERATION", false.into()),
        ]);
        defines.extend(["SEED", "STEP_COUNT"].into_iter().zip(words));
        Ok(KernelCall {
            text: None,
            template,
            defines,
            binds,
            params: params.with_words(&[]),
            step,
            grid: grid("attention", workgroups, cx.caps)?,
            flops: 2 * pairs * products as u64 / if self.causal { 2 } else { 1 },
        }
        .into())
    }

    /// The WGSL of seed and count of steps, and whether one of them is a word of the step.
    fn words(&self, cx: &LowerContext<'_>) -> Result<([Define; 2], bool)> {
        let mut words = [0, 0].map(|_| Define::from("0u"));
        let mut step = false;
        if self.dropout.is_none() {
            return Ok((words, step));
        }
        for (word, input) in words.iter_mut().zip(&cx.inputs[self.tensors()..]) {
            *word = match input.1 {
                Source::Step(i) => {
                    step = true;
                    step_word(i).into()
                }
                Source::Constant(v) => format!("{}u", v as u32).into(),
                Source::Buffer => {
                    let detail = "seed and step are words of the step";
                    return Err(Error::internal("attention", detail));
                }
            };
        }
        Ok((words, step))
    }

    /// The bindings, and what the text depends on.
    fn text(&self, form: Form, s: &Sizes) -> (Vec<Bind>, Vec<(&'static str, Define)>) {
        let operands = self.operands();
        let (dy, known) = (Bind::Input(operands), Bind::Input(operands + 1));
        let (d, e) = (s.size, s.value);
        let mut binds = [0, 1, 2].map(Bind::Input).to_vec();
        let mut lines: Vec<Lines> = vec![("q", d, false), ("k", d, false), ("v", e, false)];
        // The rows' two operands, the columns', and what is summed of their features.
        let names = match form {
            Form::Forward => {
                binds.extend([Bind::Output(0), Bind::Output(1)]);
                lines.push(("y", e, true));
                ["q", "", "k", "v", ""]
            }
            Form::Queries => {
                binds.extend([dy, Bind::Output(0), known]);
                lines.extend([("dy", e, false), ("dq", d, true)]);
                ["q", "dy", "k", "v", "dq"]
            }
            Form::Keys => {
                binds.extend([dy, Bind::Output(0), Bind::Output(1), known]);
                lines.extend([("dy", e, false), ("dk", d, true), ("dv", e, true)]);
                ["k", "v", "q", "dy", "dk"]
            }
        };
        let mut text: String = lines.into_iter().enumerate().map(|(i, l)| binding(i, l)).collect();
        let at = binds.len() - 1;
        text += &match form {
            Form::Forward => {
                format!("@group(0) @binding({at}) var<storage, read_write> log_sums: array<f32>;\n")
            }
            _ => format!("@group(0) @binding({at}) var<storage, read> known: array<vec2<f32>>;\n"),
        };
        if self.mask.is_some() {
            let at = binds.len();
            text += &format!("@group(0) @binding({at}) var<storage, read> mask: array<f32>;\n");
            binds.push(Bind::Input(3));
        }
        let (mask, floor) = match self.mask {
            None => (0u32, "-3.4028234e+38"),
            Some(SoftmaxMask::Keep) => (1, "-3.4028234e+38"),
            Some(SoftmaxMask::Additive) => (2, "OUT"),
        };
        let defines = vec![
            ("BINDINGS", Define::from(text)),
            ("FORWARD", (form == Form::Forward).into()),
            ("KEYS", (form == Form::Keys).into()),
            ("CAUSAL", self.causal.into()),
            ("MASK", mask.into()),
            ("PAIRS", (s.mask[2] > 0).into()),
            ("FLOOR", floor.into()),
            ("D", (d as u32).into()),
            ("E", (e as u32).into()),
            ("ROW1", names[0].into()),
            ("ROW2", names[1].into()),
            ("COLUMN1", names[2].into()),
            ("COLUMN2", names[3].into()),
            ("SUM1", names[4].into()),
        ];
        (binds, defines)
    }
}

/// TRIPS: iterations of the tiled kernel for 32 columns. A chunk of 32 features is one and 8 for scores, and 8 for sums.
fn tile_trips(form: Form, d4: usize, e4: usize) -> usize {
    let (d, e) = (d4.div_ceil(8), e4.div_ceil(8));
    1 + match form {
        Form::Forward => 9 * d + 8 * e + 4 * 8,
        Form::Queries => 9 * (d + e) + 8 * d,
        Form::Keys => 9 * (d + e) + 8 * (d + e),
    }
}

fn check_trips(form: Form, columns: usize, trips: usize, caps: &DeviceCaps) -> Result<()> {
    let allowed = (caps.max_loop_trips as usize).saturating_sub(64);
    if trips <= allowed {
        return Ok(());
    }
    let what = if form == Form::Keys { "queries" } else { "keys" };
    Err(Error::Limit {
        what: format!("attention: {what} of a sequence, for which one invocation loops"),
        needed: columns as u64,
        allowed: (columns * allowed / trips) as u64,
        detail: "use shorter sequences".into(),
    })
}
