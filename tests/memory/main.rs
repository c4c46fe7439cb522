//! Device memory: what a plan announces is what is allocated, steps allocate nothing, and what does not fit is
//! refused before the first byte, with the largest batch that does.

mod classes;
mod refusals;
mod steps;
#[path = "../support/mod.rs"]
mod support;

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use support::says;
use wgrad::Error;
use wgrad::graph::TensorType;
use wgrad::plan::Plan;
use wgrad::prelude::*;
use wgrad::train::Batch;

/// What wgpu has on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    buffers: isize,
    bytes: isize,
    bind_groups: isize,
    pipelines: isize,
}

fn held(device: &Device) -> Held {
    let hal = device.wgpu().0.get_internal_counters().hal;
    Held {
        buffers: hal.buffers.read(),
        bytes: hal.buffer_memory.read(),
        bind_groups: hal.bind_groups.read(),
        pipelines: hal.compute_pipelines.read(),
    }
}

/// As [`held`], once everything under way has ended and its staging memory is free.
fn held_at_rest(device: &Device) -> Result<Held> {
    device.wgpu().1.submit([]);
    device.wait()?;
    Ok(held(device))
}

/// The number and the bytes of the buffers of each label, if the backend tells. A buffer may seem up to 255 bytes
/// larger than it is: the gap before the next one is counted with it.
fn by_label(device: &Device) -> Option<BTreeMap<String, (u64, u64)>> {
    let mut labels: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for allocation in device.wgpu().0.generate_allocator_report()?.allocations {
        let (count, bytes) = labels.entry(allocation.name).or_default();
        (*count, *bytes) = (*count + 1, *bytes + allocation.size);
    }
    Some(labels)
}

/// A separate device for the test, since other tests would be counted too.
fn own_device(memory: Option<u64>) -> Result<Device> {
    let options = DeviceOptions { memory, ..support::options()? };
    Ok(support::family::open(&options)?)
}

/// A network with two hidden layers on `width` numbers.
fn model(width: usize, hidden: usize) -> Sequential {
    let layer = || Dense::new(hidden).activation(Activation::Relu);
    Sequential::new([width]).add(layer()).add(Dropout::new(0.2)).add(layer()).add(Dense::new(3))
}

fn settings() -> Compile {
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    Compile::new(Adam::default(), loss).metrics([Metric::Accuracy])
}

fn samples(n: usize, width: usize) -> Result<TensorDataset> {
    let x = (0..n * width).map(|i| (i % 13) as f32 / 13.0).collect::<Vec<_>>();
    let y = (0..n as u32).map(|i| i % 3).collect::<Vec<_>>();
    Ok(TensorDataset::new(Tensor::f32([n, width], x)?, Tensor::u32([n], y)?)?)
}

/// The plan of a training step on `size` of 100 samples of 37 numbers, with the numbers of 3 steps kept.
fn step(trainer: &Trainer, size: usize) -> Result<Plan> {
    let x = TensorType { shape: [100, 37].into(), dtype: DType::F32 };
    let y = TensorType { shape: [100].into(), dtype: DType::U32 };
    Ok(trainer.plan(&Batch::new("train", x, y, size, 3), true)?)
}

#[test]
fn counts_see_an_allocation() -> Result<()> {
    let device = own_device(None)?;
    let before = held_at_rest(&device)?;
    let mut store = wgrad::gpu::Store::new(&device);
    store.allocate("one", 1000)?;
    let after = held_at_rest(&device)?;
    ensure!(after.buffers == before.buffers + 1 && after.bytes == before.bytes + 1024, "{after:?}");
    if let Some(labels) = by_label(&device) {
        let (count, bytes) = labels.get("one").context("no buffer `one`")?;
        ensure!(*count == 1 && (1024..1280).contains(bytes), "{labels:?}");
    }
    Ok(())
}

#[test]
fn the_adapter_tells_its_memory() -> Result<()> {
    let device = own_device(None)?;
    if device.info().backend == "vulkan" {
        let bytes = device.caps().memory_bytes.context("Vulkan tells")?;
        ensure!(bytes > 1 << 28, "{bytes} bytes");
    }
    Ok(())
}
