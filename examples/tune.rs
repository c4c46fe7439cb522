//! Measures the adapter's matrix-product kernels at a few shapes, prints the table, and keeps the fastest kernel
//! of each shape for later runs on this adapter and driver.
//!
//! `cargo run --release --example tune`

use anyhow::{Context, Result};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wgrad::gpu::{Device, DeviceOptions, Executor, StepBlock, Store, block_on};
use wgrad::graph::Graph;
use wgrad::kernels::{DeviceCaps, MatmulRule, MatmulTile, matmul_rule};
use wgrad::passes::Passes;
use wgrad::plan::{BufferClass, Plan};
use wgrad::tensor::{DType, Tensor};

/// Measures matrix-product kernels.
#[derive(Parser)]
struct Args {
    /// Folder of the table; `wgrad` in the user's cache folder where it is not given.
    #[arg(long, env = "WGRAD_CACHE")]
    cache: Option<PathBuf>,
    /// Print only; keep nothing.
    #[arg(long)]
    dry_run: bool,
    /// Rounds over all kernels of a shape; the least time of each counts.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
}

/// m, n, k, largest first: a row of the table holds for products of at least its shape.
const SHAPES: [[usize; 3]; 5] =
    [[1024, 1024, 1024], [512, 512, 512], [128, 512, 512], [64, 128, 784], [32, 32, 128]];
/// Whether A and B are transposed.
const FORMS: [[bool; 2]; 3] = [[false, false], [true, false], [false, true]];
/// A kernel replaces the built-in choice only where it takes less than this share of its time: measurements
/// scatter.
const GAIN: f64 = 0.95;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            let no_adapter = matches!(e.downcast_ref(), Some(wgrad::Error::NoAdapter(_)));
            ExitCode::from(if no_adapter { 3 } else { 1 })
        }
    }
}

fn run(args: &Args) -> Result<()> {
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
    for [m, n, k] in SHAPES {
        let built_in = matmul_rule(&caps, [m, n, k]);
        let mut kernels = tiles
            .iter()
            .map(|&tile| {
                Kernel::new(&device, MatmulRule { m, n, work: m * n * k, tile, ..built_in })
            })
            .collect::<Result<Vec<_>>>()?;
        for _ in 0..args.rounds {
            kernels.iter_mut().try_for_each(|kernel| kernel.measure(&device))?;
        }
        println!("{m}x{n}x{k}");
        for kernel in &kernels {
            let flops = (2 * FORMS.len() * m * n * k) as f64;
            let rate = flops / kernel.least.as_secs_f64() / 1e9;
            println!("  {:<18} {rate:8.1} GFLOP/s", kernel.rule.tile.to_string());
        }
        let usual = kernels.iter().find(|k| k.rule.tile == built_in.tile);
        let best = kernels.iter().min_by_key(|k| k.least).context("no kernel runs here")?;
        let gains = usual.is_none_or(|u| best.least.as_secs_f64() < GAIN * u.least.as_secs_f64());
        let chosen = if gains { best.rule } else { built_in };
        println!("  {}: {}\n", if gains { "chosen" } else { "kept" }, chosen.tile);
        // Every shape gets a row, so that a larger shape's kernel does not slip below it.
        rows.push(MatmulRule { m, n, work: m * n * k, ..chosen });
    }
    match folder.filter(|_| !args.dry_run) {
        Some(folder) => println!("kept in {}", device.save_tuned(&folder, &rows)?.display()),
        None => println!("nothing kept"),
    }
    println!("result: rows={}", rows.len());
    Ok(())
}

/// A kernel bound to products in the three forms.
struct Kernel {
    rule: MatmulRule,
    executor: Executor,
    least: Duration,
}

impl Kernel {
    fn new(device: &Device, rule: MatmulRule) -> Result<Self> {
        let (m, n, k) = (rule.m, rule.n, rule.work / (rule.m * rule.n));
        let mut g = Graph::new();
        for (i, [ta, tb]) in FORMS.into_iter().enumerate() {
            let a = g.input(&format!("a{i}"), if ta { [k, m] } else { [m, k] }, DType::F32);
            let b = g.input(&format!("b{i}"), if tb { [n, k] } else { [k, n] }, DType::F32);
            let c = g.matmul_form(a, b, ta, tb)?;
            g.output(&format!("c{i}"), c);
        }
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
        let mut executor = Executor::new(device, Arc::new(plan), &store)?;
        // The first run compiles.
        executor.run(&[StepBlock::default()])?;
        device.wait()?;
        Ok(Self { rule, executor, least: Duration::MAX })
    }

    fn measure(&mut self, device: &Device) -> Result<()> {
        let start = Instant::now();
        self.executor.run(&[StepBlock::default()])?;
        device.wait()?;
        self.least = self.least.min(start.elapsed());
        Ok(())
    }
}
