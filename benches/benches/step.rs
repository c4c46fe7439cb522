//! One training step with Adam and accuracy on MNIST shapes: on the adapter, on wgpu's no-op backend for what it costs
//! the host alone, and the same arithmetic on the CPU with products through the `gemm` crate.

use anyhow::Result;
use criterion::Throughput;
use wgrad::gpu::Device;
use wgrad::kernels::DeviceCaps;
use wgrad_benches::cpu::CpuStep;
use wgrad_benches::{Runner, criterion, noop_device, timed, training_step};

fn main() -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let mut criterion = criterion();
    // Given explicitly: the no-op backend would claim a CPU with unlimited limits.
    let noop = noop_device(DeviceCaps::webgpu_defaults());
    let models = [(&[128][..], 32), (&[128], 64), (&[128, 128], 64), (&[512, 512], 128)];
    for (hidden, batch) in models {
        let widths: Vec<String> = hidden.iter().map(ToString::to_string).collect();
        let name = format!("step 784-{}-10 batch {batch}", widths.join("-"));
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(batch as u64));
        for (kind, device) in [("adapter", &device), ("host only", &noop)] {
            let mut runner = Runner::from_plan(device, training_step(device, hidden, batch)?)?;
            println!("{kind}: {} dispatches", runner.plan().dispatches.len());
            group.bench_function(kind, |b| b.iter_custom(|steps| timed(runner.time(steps))));
        }
        let mut cpu = CpuStep::new(hidden, batch);
        group.bench_function("gemm crate", |b| b.iter_custom(|steps| cpu.time(steps)));
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}
