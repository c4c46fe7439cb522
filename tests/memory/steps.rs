//! Steps allocate nothing: what wgpu has is counted while they run, not only after they end.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wgrad::gpu::{Executor, StepBlock, Store};
use wgrad::kernels::STEP_BLOCKS_BYTES;

/// Submits of an executor that may be under way, each with the words of its steps in staging memory.
const UNDER_WAY: isize = 2;

/// The different counts that a separate thread sees while `work` runs; `work` may look at them too.
fn watching<T>(
    device: &Device,
    work: impl FnOnce(&Mutex<Vec<Held>>) -> Result<T>,
) -> Result<(T, Vec<Held>)> {
    let (seen, done) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let now = held(device);
                let mut seen = seen.lock().unwrap();
                if !seen.contains(&now) {
                    seen.push(now);
                }
                drop(seen);
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        let result = work(&seen);
        done.store(true, Ordering::Relaxed);
        result
    });
    Ok((result?, seen.into_inner().unwrap()))
}

/// Fails if there is more than before, except for so many staging buffers of so many bytes in all.
fn no_more(count: &Held, before: &Held, buffers: isize, bytes: u64) -> Result<()> {
    ensure!(count.bind_groups == before.bind_groups, "{count:?} after {before:?}");
    ensure!(count.pipelines == before.pipelines, "{count:?} after {before:?}");
    ensure!(count.buffers <= before.buffers + buffers, "{count:?} after {before:?}");
    ensure!(count.bytes <= before.bytes + bytes as isize, "{count:?} after {before:?}");
    Ok(())
}

/// What is counted at all.
fn something(count: &Held) -> Result<()> {
    let Held { buffers, bytes, bind_groups, pipelines } = *count;
    ensure!([buffers, bytes, bind_groups, pipelines].into_iter().all(|n| n > 0), "{count:?}");
    Ok(())
}

#[test]
fn ten_thousand_steps_allocate_nothing() -> Result<()> {
    let device = own_device(None)?;
    let mut trainer = model(4, 8).compile(&device, settings())?;
    let data = samples(2000, 4)?;
    let between = Mutex::new(Vec::new());
    let fit = || Fit::new().batch_size(2).verbose(Verbose::Silent);
    let look = |_: &BatchEnd<'_>, _: &mut Control<'_>| -> HookResult {
        between.lock().unwrap().push(held(&device));
        Ok(())
    };
    let look = Lambda::new().on_batch_end(BatchInterval::Batches(100), look);
    trainer.fit(&data, fit())?;
    let before = held_at_rest(&device)?;
    something(&before)?;
    let (_, under_way) =
        watching(&device, |_| Ok(trainer.fit(&data, fit().epochs(10).callback(look))?))?;
    let after = held_at_rest(&device)?;
    ensure!(trainer.steps() == 11_000, "{} steps", trainer.steps());
    ensure!(before == after, "{before:?}, then {after:?}");
    let between = between.into_inner().unwrap();
    ensure!(between.len() == 100, "{} counts", between.len());
    for count in &between {
        ensure!(*count == before, "{count:?} after {before:?}");
    }
    // Staging memory: for the data as `fit` begins, each epoch's order, the words of the submits under way and of the
    // next one, and the numbers of 100 steps.
    let (table, labels) = (2000 * 4 * 4, 2000 * 4);
    let (words, numbers) = ((UNDER_WAY as u64 + 1) * STEP_BLOCKS_BYTES, 100 * 2 * 64 * 4);
    for count in &under_way {
        no_more(count, &before, 3 + 1 + UNDER_WAY + 1 + 1, table + 3 * labels + words + numbers)?;
    }
    ensure!(under_way.len() > 1, "nobody saw the words of a step");
    Ok(())
}

#[test]
fn steps_under_way_hold_nothing_but_their_words() -> Result<()> {
    let device = own_device(None)?;
    let trainer = model(37, 50).compile(&device, settings())?;
    let plan = Arc::new(step(&trainer, 33)?);
    let mut store = Store::new(&device);
    for decl in plan.buffers.iter().filter(|decl| decl.class.is_external()) {
        store.allocate(&decl.name, decl.bytes)?;
    }
    let mut executor = Executor::new(&device, plan, &store)?;
    executor.run(&[StepBlock::default(); 3])?;
    let before = held_at_rest(&device)?;
    something(&before)?;
    let mut under_way = 0;
    for _ in 0..100 {
        executor.run(&[StepBlock::default(); 100])?;
        let count = held(&device);
        under_way = under_way.max(count.buffers - before.buffers);
        no_more(&count, &before, UNDER_WAY, UNDER_WAY as u64 * STEP_BLOCKS_BYTES)?;
    }
    ensure!(under_way > 0, "the counts were read after the steps had ended");
    ensure!(held_at_rest(&device)? == before, "something stays");
    Ok(())
}

/// A pipeline that does nothing to a buffer, and the buffer.
fn nothing(device: &Device) -> (wgpu::ComputePipeline, wgpu::Buffer) {
    let device = device.wgpu().0;
    let text = "@group(0) @binding(0) var<storage, read_write> a: array<f32>;
        @compute @workgroup_size(1) fn main() { a[0] = 1.0; }";
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 256,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    (pipeline, buffer)
}

/// Runs the pipeline once, with a bind group that nobody keeps.
fn run_once(device: &Device, pipeline: &wgpu::ComputePipeline, buffer: &wgpu::Buffer) {
    let (device, queue) = device.wgpu();
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(1, 1, 1);
    drop(pass);
    queue.submit([encoder.finish()]);
}

#[test]
fn what_a_step_makes_and_drops_is_seen() -> Result<()> {
    let device = own_device(None)?;
    let before = held_at_rest(&device)?;
    let (pipeline, buffer) = nothing(&device);
    let made = held_at_rest(&device)?;
    ensure!(made.pipelines == before.pipelines + 1, "{made:?} after {before:?}");
    let (_, seen) = watching(&device, |seen| {
        let began = Instant::now();
        // A bind group for each step, which is gone when the device rests.
        while !seen.lock().unwrap().iter().any(|c| c.bind_groups > made.bind_groups) {
            ensure!(began.elapsed() < Duration::from_secs(20), "nobody saw a bind group");
            run_once(&device, &pipeline, &buffer);
            ensure!(held_at_rest(&device)? == made, "it stays");
        }
        Ok(())
    })?;
    ensure!(seen.iter().any(|count| no_more(count, &made, 100, 1 << 40).is_err()), "{seen:?}");
    // A pipeline, or a buffer, for each step.
    let more = Held { pipelines: made.pipelines + 1, ..made };
    ensure!(no_more(&more, &made, 100, 1 << 20).is_err());
    let more = Held { buffers: made.buffers + 1, ..made };
    ensure!(no_more(&more, &made, 0, 1 << 20).is_err() && no_more(&more, &made, 1, 0).is_ok());
    Ok(())
}

#[test]
fn one_more_buffer_of_a_step_is_too_many() -> Result<()> {
    let device = own_device(None)?;
    let before = held_at_rest(&device)?;
    // As many as the words of the submits under way, and one more.
    let small = wgpu::BufferDescriptor {
        label: None,
        size: 256,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    };
    let make = |n: isize| (0..n).map(|_| device.wgpu().0.create_buffer(&small)).collect::<Vec<_>>();
    let check =
        |count: &Held| no_more(count, &before, UNDER_WAY, UNDER_WAY as u64 * STEP_BLOCKS_BYTES);
    let buffers = make(UNDER_WAY);
    check(&held(&device))?;
    let more = make(1);
    ensure!(check(&held(&device)).is_err(), "{:?} after {before:?}", held(&device));
    drop((buffers, more));
    Ok(())
}
