//! Device memory: what a plan announces is what is allocated, steps allocate nothing, and what does not fit is
//! refused before the first byte, with the largest batch that does.

#[path = "support/mod.rs"]
mod support;

use anyhow::{Context, Result, ensure};
use std::cell::RefCell;
use std::sync::Arc;
use support::says;
use wgrad::Error;
use wgrad::gpu::{Executor, Pool, StepBlock, Store, block_on};
use wgrad::graph::TensorType;
use wgrad::kernels::DeviceCaps;
use wgrad::plan::BufferClass;
use wgrad::prelude::*;
use wgrad::train::Batch;

/// What wgpu holds on a device.
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

/// A device of the test's own: others would be counted too.
fn own_device(memory: Option<u64>) -> Result<Device> {
    let options = DeviceOptions { memory, cache: None, ..DeviceOptions::from_env()? };
    Ok(block_on(Device::open(&options))?)
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

#[test]
fn a_plan_announces_what_is_allocated_by_class() -> Result<()> {
    let device = own_device(None)?;
    let trainer = model(37, 50).compile(&device, settings())?;
    let x = TensorType { shape: [100, 37].into(), dtype: DType::F32 };
    let y = TensorType { shape: [100].into(), dtype: DType::U32 };
    let plan = Arc::new(trainer.plan(&Batch::new("train", x, y, 33, 3), true)?);
    let announced = |class: BufferClass| plan.bytes_of(class) as isize;
    let start = held_at_rest(&device)?;
    let mut store = Store::new(&device);
    for class in [BufferClass::Input, BufferClass::State] {
        let before = held_at_rest(&device)?;
        for decl in plan.buffers.iter().filter(|b| b.class == class) {
            store.allocate(&decl.name, decl.bytes)?;
        }
        let bytes = held_at_rest(&device)?.bytes - before.bytes;
        ensure!(bytes == announced(class), "{class:?}: {bytes} of {}", announced(class));
        ensure!(bytes > 0, "nothing of {class:?}");
    }
    let before = held_at_rest(&device)?;
    let mut executor = Executor::new(&device, plan.clone(), &store)?;
    executor.run(&[StepBlock::default()])?;
    let bytes = held_at_rest(&device)?.bytes - before.bytes;
    let own = [BufferClass::Arena, BufferClass::Activation, BufferClass::Uniform];
    let own: Vec<isize> = own.into_iter().map(announced).collect();
    ensure!(own.iter().all(|&b| b > 0), "{own:?}");
    ensure!(bytes == own.iter().sum::<isize>(), "{bytes} of {own:?}");
    drop((executor, store));
    ensure!(held_at_rest(&device)?.bytes == start.bytes, "something stays");
    Ok(())
}

#[test]
fn ten_thousand_steps_allocate_nothing() -> Result<()> {
    let device = own_device(None)?;
    let mut trainer = model(4, 8).compile(&device, settings())?;
    let data = samples(2000, 4)?;
    let seen = RefCell::new(Vec::new());
    let fit = || Fit::new().batch_size(2).verbose(Verbose::Silent);
    let watch = |_: &BatchEnd<'_>, _: &mut Control<'_>| -> HookResult {
        seen.borrow_mut().push(held(&device));
        Ok(())
    };
    let watch = Lambda::new().on_batch_end(BatchInterval::Batches(100), watch);
    trainer.fit(&data, fit())?;
    let before = held_at_rest(&device)?;
    trainer.fit(&data, fit().epochs(10).callback(watch))?;
    let after = held_at_rest(&device)?;
    ensure!(trainer.steps() == 11_000, "{} steps", trainer.steps());
    ensure!(before == after, "{before:?}, then {after:?}");
    let seen = seen.into_inner();
    ensure!(seen.len() == 100, "{} counts", seen.len());
    for count in &seen {
        ensure!(count.bind_groups == before.bind_groups, "{count:?}");
        ensure!(count.pipelines == before.pipelines, "{count:?}");
        // The words of the steps under way, and the numbers just read, pass through staging memory.
        ensure!(count.buffers <= before.buffers + 4, "{count:?} after {before:?}");
    }
    Ok(())
}

#[test]
fn executors_that_take_turns_share_activations() -> Result<()> {
    let device = own_device(None)?;
    let trainer = model(37, 50).compile(&device, settings())?;
    let x = TensorType { shape: [100, 37].into(), dtype: DType::F32 };
    let y = TensorType { shape: [100].into(), dtype: DType::U32 };
    let plan = |size| trainer.plan(&Batch::new("train", x.clone(), y.clone(), size, 3), true);
    let (full, rest) = (plan(33)?, plan(1)?);
    let activations = full.bytes_of(BufferClass::Activation);
    let pool = Pool::default();
    let more = pool.bytes_with([&full, &rest]) - activations;
    ensure!(more < rest.bytes_of(BufferClass::Activation), "the rest takes {more} of its own");
    ensure!(pool.bytes_with([&full, &full]) == activations, "the same batch takes more");
    ensure!(pool.bytes_with([&rest]) == rest.bytes_of(BufferClass::Activation), "the rest alone");
    Ok(())
}

#[test]
fn counts_see_an_allocation() -> Result<()> {
    let device = own_device(None)?;
    let before = held_at_rest(&device)?;
    let mut store = Store::new(&device);
    store.allocate("one", 1000)?;
    let after = held_at_rest(&device)?;
    ensure!(after.buffers == before.buffers + 1 && after.bytes == before.bytes + 1024, "{after:?}");
    Ok(())
}

/// The number in "the largest batch that fits has N samples".
fn largest(error: &Error) -> Result<usize> {
    let text = error.to_string();
    let (_, rest) = text.split_once("the largest batch that fits has ").context(text.clone())?;
    Ok(rest.split(' ').next().context("a number")?.parse()?)
}

/// Refuses a batch of `size`, allocates nothing for it, and takes the one that it names, but no larger one.
fn refuses(
    device: &Device,
    trainer: &mut Trainer,
    data: &TensorDataset,
    size: usize,
) -> Result<()> {
    let fit = |size: usize| Fit::new().batch_size(size).verbose(Verbose::Silent);
    let before = held_at_rest(device)?;
    let error = trainer.fit(data, fit(size)).err().context("it fits")?;
    ensure!(matches!(error, Error::Limit { .. }), "{error}");
    let named = largest(&error)?;
    ensure!((1..size).contains(&named), "{error}");
    ensure!(held_at_rest(device)? == before, "something was allocated");
    let error = trainer.fit(data, fit(named + 1)).err().context("one more fits too")?;
    ensure!(largest(&error)? == named, "{error}");
    trainer.fit(data, fit(named))?;
    Ok(())
}

#[test]
fn too_little_memory_is_refused_before_anything_is_allocated() -> Result<()> {
    let device = own_device(Some(1 << 20))?;
    let mut trainer = model(16, 64).compile(&device, settings())?;
    let data = samples(4000, 16)?;
    refuses(&device, &mut trainer, &data, 2000)?;
    // What an earlier call left does not stand in the way of the next one.
    trainer.evaluate(&data)?;
    trainer.fit(&data, Fit::new().batch_size(100).verbose(Verbose::Silent))?;

    let before = held_at_rest(&device)?;
    let error = model(16, 1000).compile(&device, settings()).err().context("it fits")?;
    says(&error, &["bytes of device memory", "1048576", "no batch fits"]);
    ensure!(held_at_rest(&device)? == before, "something was allocated");
    Ok(())
}

#[test]
fn too_large_a_binding_is_refused_with_the_largest_batch() -> Result<()> {
    let device = own_device(None)?;
    let caps = DeviceCaps { max_binding_bytes: 65_536, ..device.caps().clone() };
    let device = device.with_caps(caps);
    let mut trainer = model(4, 100).compile(&device, settings())?;
    refuses(&device, &mut trainer, &samples(1000, 4)?, 1000)
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
