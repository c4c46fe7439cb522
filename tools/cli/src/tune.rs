//! Measures the adapter's matrix-product kernels at a few shapes, prints the table, and keeps the fastest kernel
//! of each shape for later runs on this adapter and driver.

use anyhow::{Context, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wgrad::gpu::{Device, DeviceOptions, Executor, StepBlock, Store, block_on};
use wgrad::graph::Graph;
use wgrad::kernels::{DeviceCaps, MatmulFamily, MatmulRule, MatmulTile, chunks_of, matmul_rule};
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
    /// Leave out products with a side above this: a quick look, whose table says nothing of them
    #[arg(long)]
    largest: Option<usize>,
}

/// m, n, k, largest first: a row of the table holds for products of at least its shape.
const SHAPES: [[usize; 3]; 6] = [
    [1024, 1024, 1024],
    [512, 512, 512],
    [128, 128, 8192],
    [128, 512, 512],
    [64, 128, 784],
    [32, 32, 128],
];
/// For GPUs only: on a processor they take minutes.
const LARGE: [[usize; 3]; 4] =
    [[4096, 4096, 4096], [4096, 4096, 1024], [2048, 2048, 2048], [1024, 4096, 784]];
/// Whether A and B are transposed.
const FORMS: [[bool; 2]; 3] = [[false, false], [true, false], [false, true]];
/// Workgroups for which sums are divided, on a GPU. The built-in number comes first: it stays if another divides the sums
/// of the measured shape in the same way, because a row holds for larger products too.
const FILLS: [usize; 3] = [128, 0, 256];
/// The least time of one measurement: the way to a GPU and back takes as long as many products.
const SAMPLE: Duration = Duration::from_millis(5);
/// A kernel replaces the built-in choice only if it takes less than this share of its time: measurements
/// scatter.
const GAIN: f64 = 0.95;

/// Prints the table and keeps it.
pub fn run(args: &Args) -> Result<()> {
    let from_env = DeviceOptions::from_env()?;
    let folder = args.cache.clone().or(from_env.cache.clone());
    // Without the table of an earlier run.
    let device = block_on(Device::open(&DeviceOptions { cache: None, ..from_env }))?;
    println!("adapter: {}\n", device.info());
    let caps = device.caps().clone();
    let tiles: Vec<MatmulTile> = MatmulTile::ALL
        .into_iter()
        .filter(|tile| tile.family == caps.matmul && tile.runs_on(&caps))
        .collect();
    let mut rows = Vec::new();
    let large = if caps.cpu { &[][..] } else { &LARGE };
    let within =
        |shape: &&[usize; 3]| shape.iter().all(|side| args.largest.is_none_or(|l| *side <= l));
    for &[m, n, k] in large.iter().chain(&SHAPES).filter(within) {
        let built_in = MatmulRule { m, n, work: m * n * k, ..matmul_rule(&caps, [m, n, k]) };
        // The built-in choice first; another fill is another kernel only if it divides the sums differently.
        let mut rules = vec![built_in];
        for &tile in &tiles {
            let fills = if tile.family == MatmulFamily::Tiled { &FILLS[..] } else { &[0] };
            for &fill in fills {
                let rule = MatmulRule { tile, fill, ..built_in };
                let chunks = |r: &MatmulRule| chunks_of(&caps, r, 1, [m, n, k]);
                if !rules.iter().any(|r| r.tile == tile && chunks(r) == chunks(&rule)) {
                    rules.push(rule);
                }
            }
        }
        let mut kernels =
            rules.into_iter().map(|rule| Kernel::new(&device, rule)).collect::<Result<Vec<_>>>()?;
        for _ in 0..args.rounds {
            kernels.iter_mut().try_for_each(|kernel| kernel.measure(&device))?;
        }
        println!("{m}x{n}x{k}");
        for kernel in &kernels {
            let flops = (2 * FORMS.len() * m * n * k) as f64;
            let rate = flops / kernel.least.as_secs_f64() / 1e9;
            let count = chunks_of(&caps, &kernel.rule, 1, [m, n, k]).count;
            let tile = kernel.rule.tile.to_string();
            println!("  {tile:<18} sums in {count:>2} chunks {rate:8.1} GFLOP/s");
        }
        let usual = &kernels[0];
        let best = kernels.iter().min_by_key(|k| k.least).context("no kernel runs here")?;
        let gains = best.least.as_secs_f64() < GAIN * usual.least.as_secs_f64();
        let chosen = if gains { best.rule } else { built_in };
        println!("  {}: {}\n", if gains { "chosen" } else { "kept" }, chosen.tile);
        // Every shape gets a row, so that a larger shape's kernel does not slip below it.
        rows.push(chosen);
    }
    match folder.filter(|_| !args.dry_run) {
        Some(folder) => println!("kept in {}", device.save_tuned(&folder, &rows)?.display()),
        None => println!("nothing kept"),
    }
    println!("result: rows={}", rows.len());
    Ok(())
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

    /// The time of all forms, each as often as it repeats: one product after the other, as in a training step.
    fn run(&mut self, device: &Device) -> Result<Duration> {
        let blocks = vec![StepBlock::default(); self.repeats];
        let mut all = Duration::ZERO;
        for form in &mut self.forms {
            let start = Instant::now();
            form.run(&blocks)?;
            device.wait()?;
            all += start.elapsed();
        }
        Ok(all)
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
