//! A stable sort of ids with their positions, for ops that need the positions of each id.
//!
//! A radix sort from the lowest digit to the highest (Knuth, "The Art of Computer Programming" 3, section 5.2.5). Its
//! result does not depend on how it is divided among invocations, so a device may choose.

use super::map::to_u32;
use crate::error::Result;
use crate::kernels::{Bind, Define, DeviceCaps, KernelCall, SortParams, Template, grid, template};

pub(super) const RANK: Template = template!("data/sort_rank", SortParams);
pub(super) const COUNT: Template = template!("data/sort_count", SortParams);
pub(super) const SCAN: Template = template!("data/sort_scan", SortParams);
pub(super) const SCATTER: Template = template!("data/sort_scatter", SortParams);

/// Launches that sort operand 0, u32 ids, by (min(id, keys - 1), position).
pub(super) struct Sorted {
    /// The launches.
    pub calls: Vec<KernelCall>,
    /// Bytes of their scratch regions.
    pub scratch: Vec<u64>,
    /// The region that holds the result in the end: pairs of key and position.
    pub at: usize,
}

/// The most ids for which each is compared with every other, in one dispatch instead of three for each digit.
const FEW: usize = 256;

/// How the ids are divided.
struct Division {
    /// Invocations of a workgroup.
    lanes: u32,
    /// Bits of a digit.
    bits: u32,
    /// Passes, of a digit each.
    rounds: u32,
    /// Ids of an invocation.
    chunk: u32,
    /// Workgroups.
    groups: u32,
}

impl Division {
    /// A CPU wants few chunks, each long enough to pay for its counters, and few rounds; a GPU wants many invocations, and
    /// has them count few digits. Both keep the counters to a few words per id, and `sort_scan`, which is one
    /// workgroup, to a few hundred totals per invocation.
    fn new(rows: usize, key_bits: u32, caps: &DeviceCaps) -> Self {
        let (lanes, most_bits, shortest, most_chunks) =
            if caps.cpu { (8, 8, 256, 128) } else { (64, 6, 32, 1 << 16) };
        let rounds = key_bits.div_ceil(most_bits).max(1);
        let bits = key_bits.div_ceil(rounds).max(1);
        // An invocation goes through its chunk, and through the digits twice at most.
        let longest = caps.max_loop_trips.saturating_sub(1024).max(1) as usize;
        let chunk = rows.div_ceil(most_chunks).max(shortest).min(longest);
        let groups = rows.div_ceil(chunk).div_ceil(lanes as usize).max(1);
        Self { lanes, bits, rounds, chunk: chunk as u32, groups: groups as u32 }
    }
}

/// Sorts `rows` ids, operand 0 of the op, into keys below `keys`.
pub(super) fn sort(rows: usize, keys: usize, caps: &DeviceCaps) -> Result<Sorted> {
    let last = to_u32(keys)?.saturating_sub(1);
    let pairs = rows as u64 * 8;
    let params = SortParams { rows: to_u32(rows)?, last, ..SortParams::default() };
    if rows <= FEW {
        let binds = vec![Bind::Input(0), Bind::ScratchWrite(0)];
        let grid = grid("sort", rows.div_ceil(64) as u64, caps)?;
        let call = launch(RANK, vec![("WG", 64.into())], binds, &params, grid);
        return Ok(Sorted { calls: vec![call], scratch: vec![pairs], at: 0 });
    }
    let key_bits = u32::BITS - last.leading_zeros();
    let Division { lanes, bits, rounds, chunk, groups } = Division::new(rows, key_bits, caps);
    let digits = 1u32 << bits;
    let totals = u64::from(digits) * u64::from(groups);
    let run = caps.row_workgroup(totals as usize, 2);
    let whole = grid("sort", groups.into(), caps)?;
    // Regions: counters, totals, and two of pairs, which each round moves from one to the other.
    let (counts, sums, first) = (0, 1, 2);
    let mut scratch = vec![totals * u64::from(lanes) * 4, totals * 4, pairs];
    scratch.extend((rounds > 1).then_some(pairs));
    let mut calls = Vec::new();
    for round in 0..rounds {
        let params = SortParams { chunk, groups, shift: round * bits, ..params };
        let to = first + round as usize % 2;
        let from = match round {
            0 => Bind::Input(0),
            _ => Bind::ScratchRead(first + (round as usize + 1) % 2),
        };
        let (write, read) = (Bind::ScratchWrite, Bind::ScratchRead);
        let defines = |lanes: u32| -> Vec<(&'static str, Define)> {
            vec![("WG", lanes.into()), ("DIGITS", digits.into()), ("FIRST", (round == 0).into())]
        };
        let count = vec![from, write(counts), write(sums)];
        let scatter = vec![from, read(sums), write(counts), write(to)];
        calls.push(launch(COUNT, defines(lanes), count, &params, whole));
        let scan = vec![("WG", run.into()), ("DIGITS", digits.into())];
        calls.push(launch(SCAN, scan, vec![write(sums)], &params, [1, 1, 1]));
        calls.push(launch(SCATTER, defines(lanes), scatter, &params, whole));
    }
    Ok(Sorted { calls, scratch, at: first + (rounds as usize + 1) % 2 })
}

fn launch(
    template: Template,
    defines: Vec<(&'static str, Define)>,
    binds: Vec<Bind>,
    params: &SortParams,
    grid: [u32; 3],
) -> KernelCall {
    let params = params.with_words(&[]);
    KernelCall { text: None, template, defines, binds, params, step: false, grid, flops: 0 }
}
