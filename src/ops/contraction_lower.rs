//! Kernel choice and code of contractions.

use super::contraction::Contraction;
use super::map::to_u32;
use super::program::{Words, step_operand};
use crate::error::{Error, Result};
use crate::graph::{LowerContext, Lowered};
use crate::kernels::{Bind, Define, KernelCall, MatmulFamily, MatmulParams, Source, grid};
use std::fmt::Write;

pub(super) fn lower_contraction(op: &Contraction, cx: &LowerContext<'_>) -> Result<Lowered> {
    let s = &op.spec;
    let mut words = Words::default();
    let code = store_code(op, cx, &mut words)?;
    let family = cx.caps.matmul;
    let (template, tile_m, tile_n, k_step) = match family {
        MatmulFamily::Tiled => ("matmul/tiled", 64, 64, 16),
        MatmulFamily::Broadcast => ("matmul/broadcast", broadcast_rows(s.m, s.n, s.k), 32, 4),
    };
    if family == MatmulFamily::Broadcast && !cx.caps.can_broadcast() {
        return Err(Error::MissingFeature {
            kernel: template.into(),
            feature: "subgroups of exactly 8 lanes".into(),
            detail: "choose the tiled family".into(),
        });
    }
    let trips = (s.k as u64).div_ceil(k_step);
    if trips > u64::from(cx.caps.max_loop_trips) {
        return Err(Error::Limit {
            what: format!("matmul {}x{}x{}: loop iterations", s.m, s.n, s.k),
            needed: trips,
            allowed: u64::from(cx.caps.max_loop_trips),
            detail: "split the summed axis".into(),
        });
    }
    let batch = to_u32(s.batch)?;
    if batch > cx.caps.max_workgroups {
        return Err(Error::Limit {
            what: "matmul: batches".into(),
            needed: u64::from(batch),
            allowed: u64::from(cx.caps.max_workgroups),
            detail: "fold leading axes into the rows".into(),
        });
    }
    let (a_ld, b_ld) = (if s.a.k_inner { s.k } else { s.m }, if s.b.k_inner { s.k } else { s.n });
    let stride = |batched: bool, len: usize| if batched { to_u32(len) } else { Ok(0) };
    let (tiles_m, tiles_n) = (s.m.div_ceil(tile_m), s.n.div_ceil(tile_n));
    let params = MatmulParams {
        m: to_u32(s.m)?,
        n: to_u32(s.n)?,
        k: to_u32(s.k)?,
        a_ld: a_ld as u32,
        b_ld: b_ld as u32,
        a_batch: stride(s.a.batched, s.m * s.k)?,
        b_batch: stride(s.b.batched, s.k * s.n)?,
        tiles_n: tiles_n as u32,
    };
    to_u32(op.shape.len())?;
    let mut grid = grid("matmul", (tiles_m * tiles_n) as u64, cx.caps)?;
    grid[2] = batch;
    let mut defines: Vec<(&'static str, Define)> = vec![
        ("A_KIN", s.a.k_inner.into()),
        ("B_KIN", s.b.k_inner.into()),
        ("STEP", code.step.into()),
        ("RANDOM", op.epilogue.uses_index().into()),
        ("WORDS", words.vec4s().into()),
        ("BINDINGS", code.bindings.into()),
        ("STORE", code.store.into()),
        ("B_SUMS", op.b_sums.into()),
    ];
    if family == MatmulFamily::Broadcast {
        let whole =
            |ld: usize, lines: usize| ld.is_multiple_of(4) && (ld * lines).is_multiple_of(4);
        defines.extend([
            ("TM", (tile_m as u32).into()),
            ("T4", 1u32.into()),
            ("VEC_A", whole(a_ld, 1).into()),
            ("VEC_B", whole(b_ld, 1).into()),
            ("K_TAIL", (!s.k.is_multiple_of(4)).into()),
        ]);
    }
    Ok(KernelCall {
        template,
        defines,
        binds: code.binds,
        params: params.with_words(&words.padded()),
        step: code.step,
        grid,
        flops: 2 * (s.batch * s.m * s.n * s.k) as u64,
    }
    .into())
}

/// Rows per tile of the broadcast kernel. Tall tiles reuse B more, but waste rows past the edge, and their
/// unrolled text takes longer to compile: small products, where nothing is won, take the shortest.
fn broadcast_rows(m: usize, n: usize, k: usize) -> usize {
    match m {
        _ if m * n * k < 1 << 19 => 8,
        0..=8 => 8,
        9..=16 => 16,
        // A tall tile pays where there are enough tiles for every core.
        256.. if n >= 256 => 64,
        _ => 32,
    }
}

struct StoreCode {
    bindings: String,
    store: String,
    binds: Vec<Bind>,
    step: bool,
}

/// `store4(acc, batch, row, col)`: the epilogue on four neighbouring sums, and its stores.
fn store_code(op: &Contraction, cx: &LowerContext<'_>, words: &mut Words) -> Result<StoreCode> {
    let vectors = op.spec.n.is_multiple_of(4);
    let mut binds = vec![Bind::Input(0), Bind::Input(1)];
    let mut bindings = String::new();
    let mut loads = String::new();
    let mut step = false;
    let outputs = op.epilogue.outputs.len();
    let element = if vectors { "vec4<f32>" } else { "f32" };
    for o in 0..outputs {
        let at = binds.len();
        let _ = writeln!(
            bindings,
            "@group(0) @binding({at}) var<storage, read_write> out{o}: array<{element}>;"
        );
        binds.push(Bind::Output(o));
    }
    if op.b_sums {
        let at = binds.len();
        let _ = writeln!(
            bindings,
            "@group(0) @binding({at}) var<storage, read_write> b_sums: array<f32>;"
        );
        binds.push(Bind::Output(outputs));
    }
    let mut inputs = vec!["acc".to_owned()];
    for (j, (ty, source)) in cx.inputs.iter().enumerate().skip(2) {
        let load = match *source {
            Source::Constant(v) => words.constant(v, ty.dtype),
            Source::Step(i) => {
                step = true;
                step_operand(i, ty.dtype)
            }
            Source::Buffer => {
                let strides = op.epilogue_strides(&ty.shape).ok_or_else(|| {
                    Error::shape("matmul", &[&ty.shape, &op.shape], "the epilogue cannot read it")
                })?;
                let [sb, sr, sc] = strides.map(|s| words.push(s as u32));
                let vector = vectors && strides[2] == 1 && strides[..2].iter().all(|s| s % 4 == 0);
                let element = if vector { "vec4<f32>" } else { "f32" };
                let at = binds.len();
                let _ = writeln!(
                    bindings,
                    "@group(0) @binding({at}) var<storage, read> in{j}: array<{element}>;"
                );
                binds.push(Bind::Input(j));
                let base = format!("batch * {sb} + row * {sr}");
                let column =
                    |c: u32| format!("in{j}[{base} + min(col + {c}u, params.n - 1u) * {sc}]");
                match (vector, strides[2]) {
                    (true, _) => format!("in{j}[({base} + col) / 4u]"),
                    (_, 0) => format!("vec4<f32>(in{j}[{base}])"),
                    _ => format!(
                        "vec4<f32>({}, {}, {}, {})",
                        column(0),
                        column(1),
                        column(2),
                        column(3)
                    ),
                }
            }
        };
        let _ = writeln!(loads, "    let x{} = {load};", j - 1);
        inputs.push(format!("x{}", j - 1));
    }
    let (body, values) = op.epilogue.wgsl(&inputs, words, "    ");
    let mut stores = String::new();
    for (o, value) in values.iter().enumerate() {
        if vectors {
            let _ = writeln!(stores, "    out{o}[e / 4u] = {value};");
        } else {
            let _ = writeln!(stores, "    let v{o} = {value};\n    out{o}[e] = v{o}[0];");
            for c in 1..4 {
                let _ = writeln!(
                    stores,
                    "    if col + {c}u < params.n {{ out{o}[e + {c}u] = v{o}[{c}]; }}"
                );
            }
        }
    }
    let store = format!(
        "fn store4(acc: vec4<f32>, batch: u32, row: u32, col: u32) {{\n    \
         let e = (batch * params.m + row) * params.n + col;\n    \
         let index = vec4<u32>(e, e + 1u, e + 2u, e + 3u);\n{loads}{body}\n{stores}}}"
    );
    Ok(StoreCode { bindings, store, binds, step })
}
