//! The three matrix products at six shapes, and the same products through the `gemm` crate on the CPU; on a GPU two
//! large ones before them, without the crate: they are what the goals are about, and time may run out.
//! Criterion prints FLOP/s as elements; a line with the best GFLOP/s of both follows each form.

use anyhow::Result;
use criterion::{BenchmarkId, Throughput};
use std::hint::black_box;
use std::time::{Duration, Instant};
use wgrad::gpu::Device;
use wgrad::graph::Graph;
use wgrad::tensor::DType;
use wgrad_benches::cpu::{Matrix, product};
use wgrad_benches::{Runner, criterion, timed, uniform};

/// m, n, k.
const SHAPES: [[usize; 3]; 6] = [
    [32, 128, 784],
    [64, 128, 784],
    [128, 512, 784],
    [256, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
];
/// For GPUs only: on a processor they take minutes.
const LARGE: [[usize; 3]; 2] = [[2048, 2048, 2048], [4096, 4096, 4096]];
/// Name, and whether A and B are transposed.
const FORMS: [(&str, bool, bool); 3] =
    [("AB", false, false), ("AtB", true, false), ("ABt", false, true)];

fn main() -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let mut criterion = criterion();
    let large = if device.caps().cpu { &[][..] } else { &LARGE };
    for &[m, n, k] in large.iter().chain(&SHAPES) {
        let mut group = criterion.benchmark_group(format!("matmul {m}x{n}x{k}"));
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        for (form, ta, tb) in FORMS {
            let mut g = Graph::new();
            let a = g.input("a", if ta { [k, m] } else { [m, k] }, DType::F32);
            let b = g.input("b", if tb { [n, k] } else { [k, n] }, DType::F32);
            let c = g.matmul_form(a, b, ta, tb)?;
            g.output("c", c);
            let mut runner = Runner::new(&device, &g)?;
            let (mut gpu, mut cpu_best) = (f64::MAX, f64::MAX);
            group.bench_function(BenchmarkId::new("wgrad", form), |bencher| {
                bencher.iter_custom(|steps| best(&mut gpu, steps, timed(runner.time(steps))));
            });
            let rate = |seconds: f64| (2 * m * n * k) as f64 / seconds / 1e9;
            if LARGE.contains(&[m, n, k]) {
                println!("{form} {m}x{n}x{k}: wgrad {:.1} GFLOP/s", rate(gpu));
                continue;
            }
            let (a, b) = (uniform(0, m * k), uniform(1, k * n));
            group.bench_function(BenchmarkId::new("gemm crate", form), |bencher| {
                bencher.iter_custom(|steps| {
                    best(&mut cpu_best, steps, cpu([m, n, k], ta, tb, &a, &b, steps))
                });
            });
            println!(
                "{form} {m}x{n}x{k}: wgrad {:.1} GFLOP/s, gemm crate {:.1} GFLOP/s",
                rate(gpu),
                rate(cpu_best)
            );
        }
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// Keeps the least seconds per step.
fn best(least: &mut f64, steps: u64, took: Duration) -> Duration {
    *least = least.min(took.as_secs_f64() / steps as f64);
    took
}

/// The product through the `gemm` crate, on all cores.
fn cpu(size: [usize; 3], ta: bool, tb: bool, a: &[f32], b: &[f32], steps: u64) -> Duration {
    let mut c = vec![0.0f32; size[0] * size[1]];
    let a = Matrix { values: a, transposed: ta };
    let b = Matrix { values: b, transposed: tb };
    let start = Instant::now();
    for _ in 0..steps {
        product(size, a, b, &mut c);
        black_box(&c);
    }
    start.elapsed()
}
