//! How a large product keeps the units of a GPU busy: its tile, and the parts of its sums.
//!
//! A GPU runs as many workgroups of products at a time as it has units (NVIDIA: streaming multiprocessors). So the
//! workgroups come in rounds, and those of the last round leave the other units idle. The figures are fitted to products of
//! training steps on an NVIDIA H200 (docs/results.md): a kernel reaches its rate in full rounds, and a share of it in others.

use super::tuning::{LEAST_CHUNK, LEAST_SUM, tiled};
use super::{DeviceCaps, MatmulRule, MatmulTile};

/// Units by what an adapter's name contains, from the makers' data sheets.
const UNITS: [(&str, u32); 9] = [
    ("H100 PCIe", 114),
    ("H100", 132),
    ("H200", 132),
    ("A100-", 108),
    ("A100 ", 108),
    ("RTX 5090", 170),
    ("RTX 4090", 128),
    ("RTX 3090", 82),
    ("L40", 142),
];

/// Units of an adapter of another name. A smaller GPU has more and so fuller rounds.
pub const USUAL_UNITS: u32 = 128;

/// Units of an adapter.
pub fn units_of(name: &str) -> u32 {
    UNITS.iter().find(|(part, _)| name.contains(part)).map_or(USUAL_UNITS, |(_, units)| *units)
}

/// The fewest multiply-adds of a product that is worth the look.
pub const LARGE: usize = 1 << 28;

/// Tiles with the time of a multiply-add, in percent of the fastest kernel's, and what a product's first loads take, in
/// percent of a round.
pub const TILES: [(MatmulTile, usize, usize); 3] =
    [(tiled(128), 100, 0), (tiled(64), 125, 20), (tiled(32), 155, 20)];

/// The most parts of a sum.
const MOST_PARTS: usize = 256;
/// What a workgroup takes besides its terms, in terms: its first loads, and its stores.
const BESIDE: usize = 32;
/// What a second kernel, which adds the parts, takes, in multiply-adds: its launch, and a number that is stored and read again.
const LAUNCH: usize = 1 << 26;
const MOVE: usize = 32;

/// The kernel that computes a large product in the least time, by the rounds of its workgroups.
pub fn large_rule(caps: &DeviceCaps, [m, n, k]: [usize; 3]) -> Option<MatmulRule> {
    let units = caps.units.max(1) as usize;
    let most = if k < LEAST_SUM { 1 } else { (k / LEAST_CHUNK).min(MOST_PARTS) };
    let tiles = TILES.into_iter().filter(|(tile, ..)| tile.runs_on(caps));
    let kernels = tiles.flat_map(|kernel| (1..=most).map(move |parts| (kernel, parts)));
    let timed = kernels.map(|((tile, slow, start), parts)| {
        let (rows, columns) = (tile.rows as usize, tile.columns as usize);
        let tiles = m.div_ceil(rows) * n.div_ceil(columns);
        let rounds = 100 * (tiles * parts).div_ceil(units) + start;
        let own = units * rows * columns * (k.div_ceil(parts) + BESIDE);
        let second = if parts > 1 { LAUNCH + MOVE * parts * m * n } else { 0 };
        let rule = MatmulRule { m, n, work: LARGE, tile, fill: tiles * parts };
        (own / 100 * rounds / 100 * slow + second, parts, rule)
    });
    let timed: Vec<_> = timed.collect();
    // Of those that take about as long, the one with the fewest parts, which need memory.
    let least = timed.iter().map(|(time, ..)| *time).min()?;
    let near = timed.into_iter().filter(|(time, ..)| *time <= least + least / 25);
    near.min_by_key(|(time, parts, _)| (*parts, *time)).map(|(.., rule)| rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::chunks_of;

    /// Products of GPT-2 and ResNet-50 on a GPU of 132 units: the tile and the parts that were the fastest there.
    #[test]
    fn rounds_are_full() {
        let caps = DeviceCaps {
            units: units_of("NVIDIA H200"),
            max_workgroup_memory: 48 << 10,
            ..DeviceCaps::webgpu_defaults()
        };
        let chosen = |size: [usize; 3]| {
            let rule = large_rule(&caps, size).unwrap();
            (rule.tile.rows, chunks_of(&caps, &rule, 1, size).count)
        };
        for (size, wanted) in [
            ([50_257, 768, 4096], (128, 1)),
            ([4096, 3072, 768], (128, 1)),
            ([4096, 768, 768], (64, 1)),
            ([4096, 768, 3072], (128, 2)),
            ([12_544, 256, 2304], (128, 2)),
            ([50_176, 128, 1152], (128, 1)),
            ([3136, 512, 4608], (128, 5)),
            ([768, 768, 4096], (128, 7)),
            ([2304, 256, 12_544], (128, 7)),
            ([1152, 128, 50_176], (128, 14)),
            ([1024, 256, 12_544], (128, 8)),
        ] {
            assert_eq!(chosen(size), wanted, "{size:?}");
        }
        // Few columns fill no wide tile.
        assert_ne!(chosen([147, 64, 802_816]).0, 128);
    }

    #[test]
    fn names_tell_the_units() {
        assert_eq!(units_of("NVIDIA H100 80GB HBM3"), 132);
        assert_eq!(units_of("NVIDIA H100 PCIe"), 114);
        assert_eq!(units_of("NVIDIA A100-SXM4-40GB"), 108);
        for other in ["NVIDIA RTX A1000 Laptop GPU", "AMD Radeon RX 7900 XTX", ""] {
            assert_eq!(units_of(other), USUAL_UNITS, "{other}");
        }
    }

    /// A device with little workgroup memory, or few invocations, gets a kernel that it runs, or none.
    #[test]
    fn small_devices_get_what_they_run() {
        let small = DeviceCaps { max_workgroup_memory: 8 << 10, ..DeviceCaps::webgpu_defaults() };
        assert!(large_rule(&small, [4096, 4096, 4096]).is_none_or(|r| r.tile.runs_on(&small)));
    }
}
