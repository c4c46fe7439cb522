//! How a large product keeps the units of a GPU busy: its tile, and the parts of its sums.
//!
//! The model: each unit of a GPU (NVIDIA: streaming multiprocessor) runs one workgroup at a time. So workgroups come in
//! rounds, and those of the last round leave the other units idle. The figures are fitted to products of training steps on
//! an NVIDIA H200 (docs/results.md).

use super::tuning::{LEAST_CHUNK, LEAST_SUM, parts_held, tiled};
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

/// What a name contains if the GPU is another than the one whose name it has.
const VARIANTS: [&str; 4] = ["Laptop", "Max-Q", "90 Ti", "90 D"];

/// Units of an adapter of another name. A GPU with fewer needs more rounds than are counted, and some sums are divided
/// without need.
pub const USUAL_UNITS: u32 = 128;

/// Units of an adapter. A browser tells no name.
pub fn units_of(name: &str) -> u32 {
    if cfg!(target_arch = "wasm32") {
        return USUAL_UNITS;
    }
    let known = UNITS.iter().find(|(part, _)| name.contains(part));
    let variant = VARIANTS.iter().any(|part| name.contains(part));
    known.filter(|_| !variant).map_or(USUAL_UNITS, |(_, units)| *units)
}

/// The fewest multiply-adds of a product that is worth the look.
pub const LARGE: usize = 1 << 28;

/// Tiles with the time of a multiply-add, in percent of the fastest kernel's, and what a product's first loads take, in
/// percent of a round.
pub const TILES: [(MatmulTile, u64, u64); 3] =
    [(tiled(128), 100, 0), (tiled(64), 125, 20), (tiled(32), 155, 20)];

/// The most parts of a sum.
const MOST_PARTS: usize = 256;
/// What a workgroup takes besides its terms, in terms: its first loads, and its stores.
const BESIDE: u64 = 32;
/// What a second kernel, which adds the parts, takes, in multiply-adds: its launch, and a number that is stored and read again.
const LAUNCH: u64 = 1 << 26;
const MOVE: u64 = 32;

/// The kernel that computes a large product in the least time, by the rounds of its workgroups. It is that of one product:
/// a batch of them has the same tile, and fewer parts.
pub fn large_rule(caps: &DeviceCaps, [m, n, k]: [usize; 3]) -> Option<MatmulRule> {
    // In 64 bits: a browser's `usize` has 32.
    let units = u64::from(caps.units.max(1));
    let most = (k / LEAST_CHUNK).min(MOST_PARTS).min(parts_held(caps, m as u64 * n as u64));
    let most = if k < LEAST_SUM { 1 } else { most.max(1) };
    // The time with so many parts, and the workgroups.
    let timed = |(tile, slow, start): (MatmulTile, u64, u64), parts: usize| {
        let (rows, columns) = (tile.rows as usize, tile.columns as usize);
        let fill = m.div_ceil(rows) * n.div_ceil(columns) * parts;
        let rounds = 100 * (fill as u64).div_ceil(units) + start;
        let own = units * (rows * columns) as u64 * (k.div_ceil(parts) as u64 + BESIDE);
        let moved = m as u64 * n as u64 * parts as u64;
        let second = if parts > 1 { LAUNCH + MOVE * moved } else { 0 };
        (own / 100 * rounds / 100 * slow + second, fill)
    };
    let mut best: Option<(u64, MatmulRule)> = None;
    for parts in 1..=most {
        for kernel in TILES.into_iter().filter(|(tile, ..)| tile.runs_on(caps)) {
            let (time, fill) = timed(kernel, parts);
            // More parts, which need memory, must pay.
            if best.as_ref().is_none_or(|(least, _)| time + time / 32 < *least) {
                best = Some((time, MatmulRule { m, n, work: LARGE, tile: kernel.0, fill }));
            }
        }
    }
    best.map(|(_, rule)| rule)
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
        assert_eq!(units_of("NVIDIA GeForce RTX 4090"), 128);
        assert_eq!(units_of("NVIDIA GeForce RTX 3090"), 82);
        for other in [
            "NVIDIA RTX A1000",
            "NVIDIA GeForce RTX 3090 Ti",
            "NVIDIA GeForce RTX 5090 Laptop GPU",
            "AMD Radeon RX 7900 XTX",
            "",
        ] {
            assert_eq!(units_of(other), USUAL_UNITS, "{other}");
        }
    }

    /// A device gets a kernel that it runs, or none, and no more parts than a binding holds. Few units are filled at once.
    #[test]
    fn small_devices_get_what_they_run() {
        let plain = DeviceCaps::webgpu_defaults;
        let size = [768, 768, 4096];
        let parts = |caps: &DeviceCaps| {
            let rule = large_rule(caps, size).unwrap();
            assert!(rule.tile.runs_on(caps));
            chunks_of(caps, &rule, 1, size).count
        };
        assert_eq!(parts(&plain()), 7);
        assert_eq!(parts(&DeviceCaps { units: 4, ..plain() }), 1);
        let two = DeviceCaps { max_binding_bytes: 2 * 4 * 768 * 768, ..plain() };
        assert_eq!(parts(&two), 2);
        assert_eq!(
            large_rule(&DeviceCaps { max_workgroup_memory: 8 << 10, ..plain() }, size),
            None
        );
    }
}
