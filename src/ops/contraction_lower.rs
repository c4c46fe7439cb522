//! Kernel choice and launches of contractions: one kernel, or, for sums that are divided over k, one that sums
//! the chunks and one that adds them.

use super::contraction::Contraction;
use super::contraction_load::Loads;
use super::contraction_store::StoreCode;
use super::map::to_u32;
use crate::error::{Error, Result};
use crate::graph::{LowerContext, Lowered};
use crate::kernels::{
    Bind, Chunks, CombineParams, Define, DeviceCaps, KernelCall, MatmulFamily, MatmulParams,
    MatmulTile, Template, chunks_of, grid, matmul_rule, template,
};

pub(super) const TILED: Template = template!("matmul/tiled", MatmulParams);
pub(super) const BROADCAST: Template = template!("matmul/broadcast", MatmulParams);
pub(super) const COMBINE: Template = template!("matmul/combine", CombineParams);

/// Invocations per workgroup of the kernel that adds chunks.
const COMBINE_WORKGROUP: u32 = 64;

pub(super) fn lower_contraction(op: &Contraction, cx: &LowerContext<'_>) -> Result<Lowered> {
    lower_product(op, cx, true, &|sources| StoreCode::epilogue(op, cx, sources))
}

/// The launches of a product, of which `store` says what becomes of the sums that come from these bindings: in the kernel
/// that multiplies, if it is `joined` and the sums are not divided, else in a second one.
pub(super) fn lower_product(
    op: &Contraction,
    cx: &LowerContext<'_>,
    joined: bool,
    store: &dyn Fn(Vec<Bind>) -> Result<StoreCode>,
) -> Result<Lowered> {
    let s = &op.spec;
    let mut rule = matmul_rule(cx.caps, [s.m, s.n, s.k]);
    rule.tile = rule.tile.fitted(s.m);
    let tile = rule.tile;
    if !tile.runs_on(cx.caps) {
        let (kernel, feature, detail) = match tile.family {
            MatmulFamily::Broadcast => {
                (BROADCAST.path, "subgroups of exactly 4, 8 or 16 lanes", "choose the tiled family")
            }
            MatmulFamily::Tiled | MatmulFamily::Direct => (
                TILED.path,
                "256 invocations and 16 KiB of memory per workgroup",
                "choose another adapter",
            ),
        };
        let (kernel, feature, detail) = (kernel.into(), feature.into(), detail.into());
        return Err(Error::MissingFeature { kernel, feature, detail });
    }
    let chunks = chunks_of(cx.caps, &rule, s.batch, [s.m, s.n, s.k]);
    // Every invocation adds the chunks of its sum, and those of the first row also add four column sums.
    let (needed, allowed) = (5 * chunks.count as u64, u64::from(cx.caps.max_loop_trips));
    if chunks.count > 1 && needed > allowed {
        return Err(Error::Limit {
            what: format!("matmul {}x{}x{}: loop iterations", s.m, s.n, s.k),
            needed,
            allowed,
            detail: "use a shorter summed axis".into(),
        });
    }
    let products = to_u32(s.batch * chunks.count)?;
    if products > cx.caps.max_workgroups {
        return Err(Error::Limit {
            what: "matmul: batches".into(),
            needed: u64::from(products),
            allowed: u64::from(cx.caps.max_workgroups),
            detail: "fold leading axes into the rows".into(),
        });
    }
    to_u32(op.shape.len() * chunks.count)?;
    if chunks.count == 1 && joined {
        let code = store(vec![Bind::Input(0), Bind::Input(1)])?;
        return Ok(product(op, cx, tile, chunks, code)?.into());
    }
    let first = product(op, cx, tile, chunks, StoreCode::chunks(op))?;
    let mut scratch = vec![(op.shape.len() * chunks.count * 4) as u64];
    if op.b_sums {
        scratch.push((s.n * chunks.count * 4) as u64);
    }
    let sources = (0..scratch.len()).map(Bind::ScratchRead).collect();
    let second = combine(op, cx.caps, chunks, &store(sources)?)?;
    Ok(Lowered { calls: vec![first, second], scratch })
}

/// The kernel that multiplies.
fn product(
    op: &Contraction,
    cx: &LowerContext<'_>,
    tile: MatmulTile,
    chunks: Chunks,
    mut code: StoreCode,
) -> Result<KernelCall> {
    let (s, caps) = (&op.spec, cx.caps);
    let loads = |input: usize| {
        let view = cx.view(input);
        let loads = op.layout(input, &view);
        loads.ok_or_else(|| Error::internal("matmul", format!("no kernel reads {view}")))
    };
    let (a, b) = (loads(0)?, loads(1)?);
    let tiles_m = s.m.div_ceil(tile.rows as usize);
    let tiles_n = s.n.div_ceil(tile.columns as usize);
    let params = MatmulParams {
        m: to_u32(s.m)?,
        n: to_u32(s.n)?,
        k: to_u32(s.k)?,
        a_ld: to_u32(a.ld())?,
        b_ld: to_u32(b.ld())?,
        a_batch: to_u32(a.batch_stride())?,
        b_batch: to_u32(b.batch_stride())?,
        tiles_n: tiles_n as u32,
        tiles_m: tiles_m as u32,
        batch: to_u32(s.batch)?,
        k_chunk: to_u32(chunks.terms)?,
        pad0: 0,
    };
    let mut grid = grid("matmul", (tiles_m * tiles_n) as u64, caps)?;
    grid[2] = (s.batch * chunks.count) as u32;
    let mut defines: Vec<(&'static str, Define)> = vec![("WIDE", caps.wide_words.into())];
    defines.extend(a.defines(true, tile.k_step(caps), &mut code.words));
    defines.extend(b.defines(false, tile.k_step(caps), &mut code.words));
    defines.extend(code.defines(op));
    let template = match tile.family {
        MatmulFamily::Broadcast | MatmulFamily::Direct => {
            let shuffle = tile.family == MatmulFamily::Broadcast;
            defines.extend([
                ("SHUFFLE", shuffle.into()),
                ("LANES", tile.invocations(caps).into()),
                ("A_STEP", if shuffle { tile.invocations(caps) } else { 1 }.into()),
                ("TM", tile.rows.into()),
                ("T4", (tile.columns / (4 * tile.invocations(caps))).into()),
                ("K_TAIL", (!s.k.is_multiple_of(4)).into()),
            ]);
            BROADCAST
        }
        MatmulFamily::Tiled => {
            let step = tile.k_step(caps) as u32 / tile.slices();
            let lanes = tile.invocations(caps) / tile.slices();
            let loads = step * tile.rows / 4 / lanes;
            let terms = |operand: &Loads| if operand.along_terms() { 1 } else { loads };
            defines.extend([
                ("TILE", tile.rows.into()),
                ("SLICES", tile.slices().into()),
                ("KB", step.into()),
                ("HALVES", (tile.block() / 4).into()),
                ("WG", tile.invocations(caps).into()),
                ("LANES", lanes.into()),
                ("LOADS", loads.into()),
                ("A_TERMS", terms(&a).into()),
                ("B_TERMS", terms(&b).into()),
                ("SWAP", (32 / step).into()),
            ]);
            TILED
        }
    };
    Ok(KernelCall {
        text: None,
        template,
        defines,
        params: params.with_words(&code.words.padded()),
        step: code.step,
        binds: code.binds,
        grid,
        flops: 2 * [s.batch, s.m, s.n, s.k].iter().map(|&side| side as u64).product::<u64>(),
    })
}

/// The kernel that adds the chunks of divided sums.
fn combine(
    op: &Contraction,
    caps: &DeviceCaps,
    chunks: Chunks,
    code: &StoreCode,
) -> Result<KernelCall> {
    let s = &op.spec;
    let params = CombineParams {
        m: to_u32(s.m)?,
        n: to_u32(s.n)?,
        batch: to_u32(s.batch)?,
        chunks: to_u32(chunks.count)?,
    };
    let workgroup = COMBINE_WORKGROUP.min(caps.max_invocations);
    let quads = s.batch * s.m * s.n.div_ceil(4);
    let mut defines: Vec<(&'static str, Define)> = vec![
        ("WG", workgroup.into()),
        ("WIDE", caps.wide_words.into()),
        ("VEC", s.n.is_multiple_of(4).into()),
    ];
    defines.extend(code.defines(op));
    Ok(KernelCall {
        text: None,
        template: COMBINE,
        defines,
        binds: code.binds.clone(),
        params: params.with_words(&code.words.padded()),
        step: code.step,
        grid: grid("matmul", quads.div_ceil(workgroup as usize) as u64, caps)?,
        flops: (op.shape.len() * chunks.count) as u64,
    })
}
