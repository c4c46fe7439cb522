//! Measures the adapter's matrix-product kernels at a few shapes, prints the table, and keeps the fastest kernel
//! of each shape for later runs on this adapter and driver; or prints the rows of the checked-in table for the driver.

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wgrad::gpu::{Device, DeviceOptions, Executor, StepBlock, Store, block_on};
use wgrad::graph::Graph;
use wgrad::kernels::{
    DeviceCaps, MatmulFamily, MatmulRule, MatmulTile, MeasuredRule, chunks_of, matmul_rule,
};
use wgrad::passes::Passes;
use wgrad::plan::{BufferClass, Plan};
use wgrad::tensor::{DType, Tensor};

/// The arguments.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the table; if it is not given, that of WGRAD_CACHE, or else `wgrad` in the user's cache folder
    #[arg(long)]
    cache: Option<PathBuf>,
    /// Print only; keep nothing
    #[arg(long)]
    dry_run: bool,
    /// Rounds over all kernels of a shape; the least time of each counts
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure these products instead, as `MxNxK`, largest first
    #[arg(long, value_delimiter = ',', value_parser = shape)]
    shapes: Vec<[usize; 3]>,
    /// Leave out products with a side above this: a quick look, whose table says nothing of them
    #[arg(long)]
    largest: Option<usize>,
    /// Measure the kernels of every family that pays there, and print the rows of this driver for the table that is checked in
    /// (src/kernels/measured.txt); keep nothing
    #[arg(long)]
    all: bool,
}

/// m, n, k, largest first: a row of the table holds for products of at least its shape.
const SHAPES: [[usize; 3]; 7] = [
    [1024, 1024, 1024],
    [512, 512, 512],
    [128, 128, 8192],
    [128, 512, 512],
    [64, 128, 784],
    [32, 32, 4096],
    [32, 32, 128],
];
/// For GPUs only: on a processor they take minutes.
const LARGE: [[usize; 3]; 4] =
    [[4096, 4096, 4096], [4096, 4096, 1024], [2048, 2048, 2048], [1024, 4096, 784]];
/// Whether A and B are transposed.
const FORMS: [[bool; 2]; 3] = [[false, false], [true, false], [false, true]];
/// Workgroups for which sums are divided, on a GPU. The built-in number of small products comes first: it stays if another divides the sums
/// of the measured shape in the same way, because a row holds for larger products too.
const FILLS: [usize; 5] = [128, 0, 256, 512, 1024];
/// The least time of one measurement: the way to a GPU and back takes as long as many products.
const SAMPLE: Duration = Duration::from_millis(5);
/// A kernel replaces the built-in choice only if it takes less than this share of its time: measurements
/// scatter.
const GAIN: f64 = 0.95;
/// What is within this share of the least time is about as fast.
const ABOUT: f64 = 1.15;

/// A product's sizes.
fn shape(text: &str) -> Result<[usize; 3]> {
    let sides: Vec<usize> = text.split('x').map(str::parse).collect::<Result<_, _>>()?;
    let sides: [usize; 3] = sides.try_into().ok().context("three numbers with `x` between")?;
    ensure!(sides.iter().all(|&side| side > 0), "a side of zero");
    Ok(sides)
}

/// Prints the table and keeps it.
pub fn run(args: &Args) -> Result<()> {
    let from_env = DeviceOptions::from_env()?;
    let folder = args.cache.clone().or(from_env.cache.clone());
    // Without the table of an earlier run.
    let device = block_on(Device::open(&DeviceOptions { cache: None, ..from_env }))?;
    println!("adapter: {}", device.info());
    println!("in {}\n", if device.caps().cpu { "processor time" } else { "time" });
    let caps = device.caps().clone();
    let large = if caps.cpu { &[][..] } else { &LARGE };
    let within =
        |shape: &&[usize; 3]| shape.iter().all(|side| args.largest.is_none_or(|l| *side <= l));
    let usual = large.iter().chain(&SHAPES);
    let shapes =
        if args.shapes.is_empty() { usual.copied().collect() } else { args.shapes.clone() };
    let shapes: Vec<[usize; 3]> = shapes.iter().filter(within).copied().collect();
    if args.all {
        return all(&device, &shapes, args.rounds);
    }
    let mut rows = Vec::new();
    for &[m, n, k] in &shapes {
        let built_in = MatmulRule { m, n, work: m * n * k, ..matmul_rule(&caps, [m, n, k]) };
        let kernels = measured(&device, built_in, caps.matmul, args.rounds)?;
        println!("{m}x{n}x{k}");
        kernels.iter().for_each(|kernel| kernel.print(&caps, [m, n, k]));
        let usual = &kernels[0];
        let best = kernels.iter().min_by_key(|k| k.least).context("no kernel runs here")?;
        let gains = best.least.as_secs_f64() < GAIN * usual.least.as_secs_f64();
        let chosen = if gains { best.rule } else { built_in };
        println!("  {}: {}\n", if gains { "chosen" } else { "kept" }, chosen.tile);
        // Every shape gets a row, so that a smaller shape's kernel does not rise above it. The kernel of a large product on a GPU
        // follows from the product itself: a row, which would decide larger ones too, is for shapes that were asked for.
        if !chosen.is_by_units() || gains && !args.shapes.is_empty() {
            rows.push(chosen);
        }
    }
    match folder.filter(|_| !args.dry_run) {
        Some(folder) => println!("kept in {}", device.save_tuned(&folder, &rows)?.display()),
        None => println!("nothing kept"),
    }
    println!("result: rows={}", rows.len());
    Ok(())
}

/// Measures the kernels of every family at these shapes, and prints the rows of the checked-in table: of one family,
/// whose kernels take the least time over all shapes, each as a share of the best one's.
fn all(device: &Device, shapes: &[[usize; 3]], rounds: u32) -> Result<()> {
    let mut families = Vec::new();
    let mut best = vec![f64::MAX; shapes.len()];
    // Tiles in workgroup memory take 3 to 10 times as long on every software driver.
    let families_here = match device.caps().cpu {
        true => &[MatmulFamily::Broadcast, MatmulFamily::Direct][..],
        false => &[MatmulFamily::Tiled],
    };
    for &family in families_here {
        let device = device.with_caps(DeviceCaps { matmul: family, ..device.caps().clone() });
        let caps = device.caps();
        if !MatmulTile::ALL.iter().any(|tile| tile.family == family && tile.runs_on(caps)) {
            continue;
        }
        let mut rows: Vec<(MatmulRule, f64)> = Vec::new();
        for (&[m, n, k], best) in shapes.iter().zip(&mut best) {
            let built_in = MatmulRule { m, n, work: m * n * k, ..matmul_rule(caps, [m, n, k]) };
            let kernels = measured(&device, built_in, family, rounds)?;
            println!("{m}x{n}x{k}");
            kernels.iter().for_each(|kernel| kernel.print(caps, [m, n, k]));
            let fastest = kernels.iter().map(|k| k.least).min().context("no kernel runs here")?;
            *best = best.min(fastest.as_secs_f64());
            // The least code of those that are about as fast: it compiles sooner.
            let close =
                kernels.iter().filter(|k| k.least.as_secs_f64() <= ABOUT * fastest.as_secs_f64());
            let size = |k: &&Kernel| k.rule.tile.rows * k.rule.tile.columns;
            let chosen = close.min_by_key(size).context("no kernel runs here")?;
            rows.push((chosen.rule, chosen.least.as_secs_f64()));
        }
        families.push(rows);
    }
    let cost = |rows: &[(MatmulRule, f64)]| -> f64 {
        rows.iter().zip(&best).map(|((_, least), best)| least / best).sum()
    };
    let rows = families.iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
    let rows = rows.context("no kernel runs here")?;
    println!("\n# {}", device.info());
    for &(rule, _) in rows {
        let caps = device.caps();
        let (driver, lanes, registers) = (caps.driver, caps.lanes(), caps.vector_registers);
        println!("{}", MeasuredRule { driver, lanes, registers, rule });
    }
    println!("result: rows={}", rows.len());
    Ok(())
}

/// The kernels of a family for the shape of a rule, measured: that of the rule first. Another fill is another kernel
/// only if it divides the sums differently.
fn measured(
    device: &Device,
    built_in: MatmulRule,
    family: MatmulFamily,
    rounds: u32,
) -> Result<Vec<Kernel>> {
    let caps = device.caps();
    let shape = [built_in.m, built_in.n, built_in.work / (built_in.m * built_in.n)];
    let mut rules = vec![built_in];
    for tile in MatmulTile::ALL.into_iter().filter(|t| t.family == family && t.runs_on(caps)) {
        let fills = if family == MatmulFamily::Tiled { &FILLS[..] } else { &[built_in.fill] };
        for &fill in fills {
            let rule = MatmulRule { tile, fill, ..built_in };
            let chunks = |r: &MatmulRule| chunks_of(caps, r, 1, shape);
            if !rules.iter().any(|r| r.tile == tile && chunks(r) == chunks(&rule)) {
                rules.push(rule);
            }
        }
    }
    let mut kernels =
        rules.into_iter().map(|rule| Kernel::new(device, rule)).collect::<Result<Vec<_>>>()?;
    for _ in 0..rounds {
        kernels.iter_mut().try_for_each(|kernel| kernel.measure(device))?;
    }
    Ok(kernels)
}

/// What has gone by, on the clock or, if the adapter is the processor and the system counts it (Linux), in processor
/// time of all threads: other programs do not change that.
fn now(device: &Device, start: Instant) -> Duration {
    let used = || {
        let tasks = std::fs::read_dir("/proc/self/task").ok()?;
        let nanoseconds = tasks.map(|task| -> Option<u64> {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse().ok()
        });
        nanoseconds.sum::<Option<u64>>().map(Duration::from_nanos)
    };
    device.caps().cpu.then(used).flatten().unwrap_or_else(|| start.elapsed())
}

/// A kernel bound to a product in each of the three forms.
struct Kernel {
    rule: MatmulRule,
    forms: Vec<Executor>,
    /// Products between two waits.
    repeats: usize,
    /// Least time of a product in each form, together.
    least: Duration,
}

impl Kernel {
    fn new(device: &Device, rule: MatmulRule) -> Result<Self> {
        let forms = FORMS.iter().map(|&form| bound(device, rule, form)).collect::<Result<_>>()?;
        let mut this = Self { rule, forms, repeats: 1, least: Duration::MAX };
        // The first run compiles.
        this.run(device)?;
        while this.run(device)? < SAMPLE && this.repeats < 1 << 12 {
            this.repeats *= 2;
        }
        Ok(this)
    }

    /// A line of the table.
    fn print(&self, caps: &DeviceCaps, [m, n, k]: [usize; 3]) {
        let flops = (2 * FORMS.len() * m * n * k) as f64;
        let rate = flops / self.least.as_secs_f64() / 1e9;
        let count = chunks_of(caps, &self.rule, 1, [m, n, k]).count;
        let tile = self.rule.tile.to_string();
        println!("  {tile:<18} sums in {count:>2} chunks {rate:8.1} GFLOP/s");
    }

    /// The time of all forms, each as often as it repeats: one product after the other, as in a training step.
    fn run(&mut self, device: &Device) -> Result<Duration> {
        let blocks = vec![StepBlock::default(); self.repeats];
        let begin = Instant::now();
        let before = now(device, begin);
        for form in &mut self.forms {
            form.run(&blocks)?;
            device.wait()?;
        }
        Ok(now(device, begin).saturating_sub(before))
    }

    fn measure(&mut self, device: &Device) -> Result<()> {
        let each = self.run(device)? / self.repeats as u32;
        self.least = self.least.min(each);
        Ok(())
    }
}

/// The product of a rule's shape with its kernel, bound to buffers.
fn bound(device: &Device, rule: MatmulRule, [ta, tb]: [bool; 2]) -> Result<Executor> {
    let (m, n, k) = (rule.m, rule.n, rule.work / (rule.m * rule.n));
    let mut g = Graph::new();
    let a = g.input("a", if ta { [k, m] } else { [m, k] }, DType::F32);
    let b = g.input("b", if tb { [n, k] } else { [k, n] }, DType::F32);
    let c = g.matmul_form(a, b, ta, tb)?;
    g.output("c", c);
    let caps = DeviceCaps {
        tuned: vec![MatmulRule { m: 0, n: 0, work: 0, ..rule }],
        ..device.caps().clone()
    };
    let plan = Plan::compile(&g, &Passes::default(), &caps)?;
    let mut store = Store::new(device);
    for decl in plan.buffers.iter().filter(|b| b.class == BufferClass::Input) {
        let len = decl.bytes as usize / 4;
        let values: Vec<f32> = (0..len).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect();
        store.upload(&decl.name, &Tensor::f32([len], values)?)?;
    }
    Ok(Executor::new(device, Arc::new(plan), &store)?)
}
