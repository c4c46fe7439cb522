//! Which matrix-product kernel runs: the first row of a table that fits the product. The rows of
//! [`DeviceCaps::tuned`] go first, then those measured on the adapter's generation of drivers, then the table that is
//! built in.

use super::units::{LARGE, large_rule};
use super::{DeviceCaps, measured};
use crate::error::{Error, Result};

/// The families of matrix-product kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatmulFamily {
    /// Workgroup-memory tiles with a register block per invocation: GPUs.
    Tiled,
    /// Rows of A broadcast through a subgroup of 4, 8 or 16 lanes, no workgroup memory: CPU adapters.
    Broadcast,
    /// As broadcast, but every lane reads the rows of A itself: CPU adapters whose shuffles are slow, or without any, as
    /// in a browser.
    Direct,
}

/// A kernel of a family, by the outputs that a workgroup computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MatmulTile {
    /// The family.
    pub family: MatmulFamily,
    /// Rows of the tile.
    pub rows: u32,
    /// Columns of the tile.
    pub columns: u32,
}

pub(super) const fn tiled(side: u32) -> MatmulTile {
    MatmulTile { family: MatmulFamily::Tiled, rows: side, columns: side }
}

const fn broadcast(rows: u32, columns: u32) -> MatmulTile {
    MatmulTile { family: MatmulFamily::Broadcast, rows, columns }
}

const fn direct(rows: u32, columns: u32) -> MatmulTile {
    MatmulTile { family: MatmulFamily::Direct, rows, columns }
}

impl MatmulTile {
    /// Every tile that there is a kernel for.
    pub const ALL: [Self; 14] = [
        tiled(128),
        tiled(64),
        tiled(32),
        broadcast(64, 64),
        broadcast(32, 64),
        broadcast(16, 64),
        broadcast(8, 64),
        broadcast(32, 32),
        broadcast(16, 32),
        broadcast(8, 32),
        direct(16, 64),
        direct(16, 32),
        direct(8, 64),
        direct(8, 32),
    ];

    /// Terms of the sums that one loop iteration adds.
    #[must_use]
    pub const fn k_step(self, caps: &DeviceCaps) -> usize {
        match (self.family, self.rows) {
            (MatmulFamily::Broadcast | MatmulFamily::Direct, _) => 4,
            // Two buffers of each operand fill the 16 KiB of workgroup memory that every device has. Twice as many terms cost
            // half as many barriers; GPUs that give a workgroup 48 KiB have room for more than one of 32.
            (MatmulFamily::Tiled, 128) if caps.max_workgroup_memory < 48 << 10 => 8,
            (MatmulFamily::Tiled, 64 | 128) => 16,
            (MatmulFamily::Tiled, _) => 32,
        }
    }

    /// Groups of invocations that share the terms of a tiled kernel's sums: a small product takes as long as its
    /// iterations one after the other.
    #[must_use]
    pub const fn slices(self) -> u32 {
        match (self.family, self.rows) {
            (MatmulFamily::Tiled, 32) => 4,
            _ => 1,
        }
    }

    /// Invocations of a workgroup.
    #[must_use]
    pub fn invocations(self, caps: &DeviceCaps) -> u32 {
        match self.family {
            MatmulFamily::Broadcast | MatmulFamily::Direct => caps.lanes(),
            MatmulFamily::Tiled => {
                (self.rows / self.block()) * (self.columns / self.block()) * self.slices()
            }
        }
    }

    /// The most terms of the sums that an invocation adds, in this many loop iterations.
    #[must_use]
    pub const fn terms_within(self, trips: usize, caps: &DeviceCaps) -> usize {
        let step = self.k_step(caps);
        match self.family {
            MatmulFamily::Broadcast | MatmulFamily::Direct => trips.saturating_mul(step),
            // One iteration loads only.
            MatmulFamily::Tiled => trips.saturating_sub(1).saturating_mul(step),
        }
    }

    /// Rows and columns of outputs that one invocation of a tiled kernel computes.
    #[must_use]
    pub const fn block(self) -> u32 {
        if self.rows == 128 { 8 } else { 4 }
    }

    /// The kernel of this family and width that computes `m` rows in the least time: no taller than this one, and
    /// with fewer rows if the last tile would be mostly empty.
    #[must_use]
    pub fn fitted(self, m: usize) -> Self {
        // What a tile of the broadcast kernel costs besides its rows, in rows: the loads of B, measured.
        let beside = 8;
        let cost = |rows: &u32| m.div_ceil(*rows as usize) * (rows + beside) as usize;
        match self.family {
            // The taller one among equals: it reads B less often.
            MatmulFamily::Broadcast => {
                let rows = (8..=self.rows).rev().filter(|r| r.is_multiple_of(8)).min_by_key(cost);
                Self { rows: rows.unwrap_or(self.rows), ..self }
            }
            MatmulFamily::Tiled | MatmulFamily::Direct => self,
        }
    }

    /// Whether each of so many lanes has whole groups of four columns, and no more outputs than its unrolled code can
    /// hold.
    const fn suits(self, lanes: u32) -> bool {
        self.columns.is_multiple_of(4 * lanes) && self.rows * self.columns <= 256 * lanes
    }

    /// Whether the device can run it.
    #[must_use]
    pub fn runs_on(self, caps: &DeviceCaps) -> bool {
        match self.family {
            MatmulFamily::Broadcast => caps.can_broadcast() && self.suits(caps.lanes()),
            MatmulFamily::Direct => self.suits(caps.lanes()),
            MatmulFamily::Tiled => {
                // Two buffers, two operands, four bytes.
                let memory = 4 * 4 * self.rows * self.k_step(caps) as u32;
                self.invocations(caps) <= caps.max_invocations
                    && memory <= caps.max_workgroup_memory
            }
        }
    }
}

impl std::fmt::Display for MatmulTile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = match self.family {
            MatmulFamily::Tiled => "tiled",
            MatmulFamily::Broadcast => "broadcast",
            MatmulFamily::Direct => "direct",
        };
        write!(f, "{family} {}x{}", self.rows, self.columns)
    }
}

/// A row of the table: products of at least this size run this kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MatmulRule {
    /// Least rows of the product.
    pub m: usize,
    /// Least columns of the product.
    pub n: usize,
    /// Least multiply-adds of one product, m · n · k.
    pub work: usize,
    /// The kernel.
    pub tile: MatmulTile,
    /// Workgroups that a device wants. If there are half as many tiles or fewer, the sums over k are divided into
    /// `fill / tiles` chunks.
    pub fill: usize,
}

impl MatmulRule {
    /// Whether the built-in choice for products of this size follows from the units of a GPU, product by product.
    #[must_use]
    pub const fn is_by_units(&self) -> bool {
        matches!(self.tile.family, MatmulFamily::Tiled) && self.work >= LARGE
    }
}

/// A row as text: `M N WORK FILL FAMILY ROWSxCOLUMNS`.
impl std::fmt::Display for MatmulRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {} {}", self.m, self.n, self.work, self.fill, self.tile)
    }
}

impl std::str::FromStr for MatmulRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fail = || Error::internal("table of kernels", format!("`{text}` is no row"));
        let (numbers, tile) = text.splitn(5, ' ').collect::<Vec<_>>().split_last_chunk().map_or(
            (Vec::new(), String::new()),
            |(numbers, [tile])| {
                (numbers.iter().filter_map(|v| v.parse().ok()).collect(), (*tile).to_owned())
            },
        );
        let tile = MatmulTile::ALL.into_iter().find(|t| t.to_string() == tile);
        match (numbers.as_slice(), tile) {
            (&[m, n, work, fill], Some(tile)) => Ok(Self { m, n, work, tile, fill }),
            _ => Err(fail()),
        }
    }
}

const fn rule(m: usize, n: usize, work: usize, tile: MatmulTile, fill: usize) -> MatmulRule {
    MatmulRule { m, n, work, tile, fill }
}

/// The built-in table. Tiles taller than a small product waste rows, and software Vulkan takes long to compile their
/// unrolled code, so they are for products that repay it. A larger tile on a GPU loads less for each product and gives
/// fewer workgroups: [`large_rule`] decides for large products.
const RULES: [MatmulRule; 18] = [
    rule(1024, 2048, 0, tiled(128), 0),
    rule(2048, 1024, 0, tiled(128), 0),
    LAST_TILED,
    rule(9, 64, 1 << 24, broadcast(32, 64), 32),
    rule(17, 0, SHARED, broadcast(32, 32), 32),
    rule(17, 0, 1 << 19, broadcast(32, 32), 0),
    rule(9, 0, SHARED, broadcast(16, 32), 32),
    rule(9, 0, 1 << 15, broadcast(16, 32), 0),
    rule(0, 0, SHARED, broadcast(8, 32), 32),
    LAST_BROADCAST,
    // Sixteen lanes have 64 columns at least.
    rule(9, 0, SHARED, broadcast(16, 64), 32),
    rule(9, 0, 1 << 15, broadcast(16, 64), 0),
    rule(0, 0, SHARED, broadcast(8, 64), 32),
    rule(0, 0, 0, broadcast(8, 64), 0),
    rule(0, 0, SHARED, direct(8, 32), 32),
    LAST_DIRECT,
    rule(0, 0, SHARED, direct(8, 64), 32),
    rule(0, 0, 0, direct(8, 64), 0),
];

/// The fewest multiply-adds of a product that is divided among the cores of a CPU adapter: a launch takes as long as half a
/// million of them.
const SHARED: usize = 1 << 22;

/// The last row of each family, which fits every product.
const LAST_TILED: MatmulRule = rule(0, 0, 0, tiled(32), 128);
const LAST_BROADCAST: MatmulRule = rule(0, 0, 0, broadcast(8, 32), 0);
const LAST_DIRECT: MatmulRule = rule(0, 0, 0, direct(8, 32), 0);

/// The row for an m by n by k product on a device: the first of its family that fits.
#[must_use]
pub fn matmul_rule(caps: &DeviceCaps, [m, n, k]: [usize; 3]) -> MatmulRule {
    // A browser's `usize` has 32 bits.
    let work = m.saturating_mul(n).saturating_mul(k);
    let fits = |r: &MatmulRule| {
        r.tile.family == caps.matmul
            && MatmulTile::ALL.contains(&r.tile)
            && m >= r.m
            && n >= r.n
            && work >= r.work
            && r.tile.runs_on(caps)
    };
    let last = match caps.matmul {
        MatmulFamily::Tiled => LAST_TILED,
        MatmulFamily::Broadcast => LAST_BROADCAST,
        MatmulFamily::Direct => LAST_DIRECT,
    };
    let large = caps.matmul == MatmulFamily::Tiled && work >= LARGE;
    // What was measured of a small product says nothing of a large one. A row without a least size is for all.
    let tells = |r: &MatmulRule| !large || r.work == 0 || r.work >= LARGE;
    let known = caps.tuned.iter().copied().chain(measured(caps).copied()).filter(tells);
    let by_units = large.then(|| large_rule(caps, [m, n, k])).flatten();
    known.chain(by_units).chain(RULES).find(fits).unwrap_or(last)
}

/// The fewest terms of a sum that is divided to fill a device, and of each part of it: the second kernel, which adds
/// the chunks, must pay.
pub(super) const LEAST_SUM: usize = 1024;
pub(super) const LEAST_CHUNK: usize = 256;

/// How the k terms of each sum are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    /// Parts, each summed by separate workgroups.
    pub count: usize,
    /// Terms of a part, a multiple of the kernel's step; the last part may have fewer.
    pub terms: usize,
}

/// Partial sums of so many results that fit in one binding.
pub(super) fn parts_held(caps: &DeviceCaps, results: u64) -> usize {
    (caps.max_binding_bytes / (4 * results).max(1)) as usize
}

/// Divides the sums of `batch` products if a device's loop limit demands it, or if too few tiles would
/// leave a device idle.
#[must_use]
pub fn chunks_of(
    caps: &DeviceCaps,
    rule: &MatmulRule,
    batch: usize,
    [m, n, k]: [usize; 3],
) -> Chunks {
    let step = rule.tile.k_step(caps);
    let tiles =
        batch * m.div_ceil(rule.tile.rows as usize) * n.div_ceil(rule.tile.columns as usize);
    let bound = k.div_ceil(rule.tile.terms_within(caps.max_loop_trips as usize, caps).max(step));
    let fill = if k < LEAST_SUM { 1 } else { (rule.fill / tiles).min(k / LEAST_CHUNK) };
    let count = fill.min(parts_held(caps, (batch * m * n) as u64)).max(bound).max(1);
    let terms = k.div_ceil(count).next_multiple_of(step);
    Chunks { count: k.div_ceil(terms), terms }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::measured::measured_tiles;

    #[test]
    fn every_product_has_a_kernel_that_the_device_runs() {
        let gpu = DeviceCaps::webgpu_defaults();
        let cpu =
            DeviceCaps { subgroup: Some((8, 8)), matmul: MatmulFamily::Broadcast, ..gpu.clone() };
        let browser = DeviceCaps { cpu: true, matmul: MatmulFamily::Direct, ..gpu.clone() };
        let lanes = [4, 16].into_iter().flat_map(|lanes| {
            let subgroup = Some((lanes, lanes));
            [MatmulFamily::Broadcast, MatmulFamily::Direct].map(|matmul| DeviceCaps {
                cpu: true,
                subgroup,
                matmul,
                ..gpu.clone()
            })
        });
        let lanes: Vec<_> = lanes.collect();
        for caps in [gpu, cpu, browser].into_iter().chain(lanes) {
            for size in [1, 9, 17, 33, 64, 600].map(|s| [s, s, s]) {
                let tile = matmul_rule(&caps, size).tile;
                assert!(tile.family == caps.matmul && tile.runs_on(&caps), "{size:?}: {tile}");
            }
        }
    }

    /// Products of training steps on a GPU: the tile, the chunks of the sums, and the workgroups.
    #[test]
    fn products_of_a_training_step_fill_a_gpu() {
        let caps = DeviceCaps::webgpu_defaults();
        let chosen = |[m, n, k]: [usize; 3]| {
            let rule = matmul_rule(&caps, [m, n, k]);
            let side = rule.tile.rows as usize;
            let count = chunks_of(&caps, &rule, 1, [m, n, k]).count;
            (side, count, m.div_ceil(side) * n.div_ceil(side) * count)
        };
        // 784-128-10 at batch 64 takes no dispatch for the addition of chunks.
        assert_eq!(chosen([64, 128, 784]), (32, 1, 8));
        assert_eq!(chosen([784, 128, 64]), (32, 1, 100));
        assert_eq!(chosen([128, 512, 784]), (32, 1, 64));
        assert_eq!(chosen([784, 512, 128]), (32, 1, 400));
        assert_eq!(chosen([784, 128, 8192]), (128, 18, 126));
        assert_eq!(chosen([64, 64, 4096]), (32, 16, 64));
        assert_eq!(chosen([512, 512, 512]), (32, 1, 256));
        assert_eq!(chosen([1024, 1024, 1024]), (128, 2, 128));
        assert_eq!(chosen([1024, 4096, 784]), (128, 1, 256));
        assert_eq!(chosen([4096, 4096, 1024]), (128, 1, 1024));
    }

    /// A row of `tune` for a small product leaves large ones to the units; a row for a large one does not.
    #[test]
    fn rows_of_small_products_leave_large_ones_alone() {
        let tile = tiled(32);
        let row = |work| MatmulRule { m: 128, n: 128, work, tile, fill: 7 };
        let chosen = |work, size| {
            let tuned = vec![row(work)];
            matmul_rule(&DeviceCaps { tuned, ..DeviceCaps::webgpu_defaults() }, size)
        };
        let (small, large) = ([128, 128, 8192], [2048, 2048, 2048]);
        assert_eq!(chosen(1 << 27, small), row(1 << 27));
        assert_eq!(chosen(1 << 27, large).tile, tiled(128));
        assert_eq!(chosen(1 << 30, large), row(1 << 30));
    }

    /// The gradient of a small kernel of a convolution is a long sum with few results.
    #[test]
    fn long_sums_are_divided_among_the_cores_of_a_cpu() {
        let gpu = DeviceCaps::webgpu_defaults();
        let caps = DeviceCaps { subgroup: Some((8, 8)), matmul: MatmulFamily::Broadcast, ..gpu };
        let count = |size| chunks_of(&caps, &matmul_rule(&caps, size), 1, size).count;
        assert_eq!([count([9, 32, 86_528]), count([288, 32, 65_536])], [32, 3]);
        assert_eq!([count([576, 64, 16_384]), count([9, 32, 4096]), count([64, 128, 784])], [1; 3]);
    }

    #[test]
    fn tiles_fit_the_rows_and_keep_their_family() {
        for (m, rows) in
            [(1, 8), (8, 8), (9, 16), (40, 24), (64, 32), (65, 24), (200, 32), (784, 32)]
        {
            assert_eq!(broadcast(32, 64).fitted(m), broadcast(rows, 64), "{m} rows");
        }
        assert_eq!(tiled(64).fitted(65), tiled(64));
    }

    #[test]
    fn rows_survive_as_text() {
        for row in RULES {
            assert_eq!(row.to_string().parse::<MatmulRule>().unwrap(), row);
        }
        for bad in ["", "1 2 3 tiled 64x64", "1 2 3 4 tiled 65x65", "1 2 x 4 tiled 64x64"] {
            assert!(bad.parse::<MatmulRule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_tile_stands_in_a_table() {
        let large = crate::kernels::units::TILES.iter().map(|(tile, ..)| *tile);
        let tiles: Vec<_> =
            RULES.iter().map(|r| r.tile).chain(measured_tiles()).chain(large).collect();
        for tile in MatmulTile::ALL {
            assert!(tiles.contains(&tile), "nothing chooses {tile}");
        }
        assert!(RULES.iter().all(|r| MatmulTile::ALL.contains(&r.tile)));
    }

    #[test]
    fn chunks_cover_all_terms_and_keep_the_loop_limit() {
        let caps = DeviceCaps { max_loop_trips: 100, ..DeviceCaps::webgpu_defaults() };
        for k in [1, 15, 16, 17, 1599, 1600, 1601, 3200, 100_003] {
            for tile in MatmulTile::ALL {
                let rule = MatmulRule { m: 0, n: 0, work: 0, tile, fill: 8 };
                let Chunks { count, terms } = chunks_of(&caps, &rule, 1, [3, 5, k]);
                assert!(count * terms >= k && (count - 1) * terms < k, "{tile}, {k}");
                let most = tile.terms_within(100, &caps);
                assert!(terms <= most && terms % tile.k_step(&caps) == 0, "{tile}, {k}");
            }
        }
    }
}
