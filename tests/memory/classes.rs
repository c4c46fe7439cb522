//! What a plan announces, class by class.

use super::*;
use std::sync::Arc;
use wgrad::gpu::{Executor, Pool, StepBlock, Store};
use wgrad::graph::Graph;
use wgrad::kernels::STEP_BLOCKS_BYTES;
use wgrad::ops::{Loop, Looped};
use wgrad::passes::Passes;
use wgrad::plan::BufferClass;

const CLASSES: [BufferClass; 5] = [
    BufferClass::Input,
    BufferClass::State,
    BufferClass::Arena,
    BufferClass::Activation,
    BufferClass::Uniform,
];

/// A class whose bytes are not those that were found: `found` gives them, and how many more they may seem.
fn wrong(
    announced: &[(BufferClass, u64)],
    found: impl Fn(BufferClass) -> (u64, u64),
) -> Option<String> {
    CLASSES.into_iter().find_map(|class| {
        let said = announced.iter().filter(|a| a.0 == class).map(|a| a.1).sum::<u64>();
        let (found, more) = found(class);
        let agree = found > 0 && (said..=said + more).contains(&found);
        (!agree).then(|| format!("{class:?}: {said} said, {found} found"))
    })
}

/// Fails unless the classes agree, or if the check would miss that two of them are exchanged, or that a class has some
/// bytes of another.
fn check(
    announced: &[(BufferClass, u64)],
    found: impl Fn(BufferClass) -> (u64, u64),
) -> Result<()> {
    if let Some(wrong) = wrong(announced, &found) {
        anyhow::bail!("{wrong}");
    }
    for (i, j) in (0..announced.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
        let mut exchanged = announced.to_vec();
        (exchanged[i].1, exchanged[j].1) = (exchanged[j].1, exchanged[i].1);
        ensure!(wrong(&exchanged, &found).is_some(), "{i} and {j} look alike");
        let mut moved = announced.to_vec();
        (moved[i].1, moved[j].1) = (moved[i].1 + 2048, moved[j].1 - 2048);
        ensure!(wrong(&moved, &found).is_some(), "2 KiB of {j} go to {i} unnoticed");
    }
    Ok(())
}

#[test]
fn a_plan_announces_what_is_allocated_by_class() -> Result<()> {
    let device = own_device(None)?;
    let trainer = model(37, 70).compile(&device, settings())?;
    announced(&device, step(&trainer, 33)?)
}

/// A step over 200 steps of time, and a loop that draws random numbers: the numbers of its iterations are in a buffer.
#[test]
fn a_plan_with_loops_announces_what_is_allocated() -> Result<()> {
    let device = own_device(None)?;
    // More units than one kernel takes through all steps.
    let model = Sequential::new([200, 5]).add(SimpleRnn::new(72)).add(Dense::new(3));
    let trainer = model.compile(&device, settings())?;
    let x = TensorType { shape: [100, 200, 5].into(), dtype: DType::F32 };
    let y = TensorType { shape: [100].into(), dtype: DType::U32 };
    let plan = trainer.plan(&Batch::new("train", x, y, 33, 3), true)?;
    ensure!(plan.repeats.len() == 2 && plan.iteration_bytes() == 0, "{plan}");
    announced(&device, plan)?;
    let mut g = Graph::new();
    let h = g.state("h", [40, 64], DType::F32);
    let (seed, step) = (g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?);
    let drawing = Loop { carries: &[h], outer: &[seed, step], times: Some(200), ..Loop::default() };
    let result = g.scan(&drawing, |g, now| {
        let drawn = g.random_normal([40, 64], now.outer[0], now.outer[1], 1)?;
        let next = g.add(now.carries[0], drawn)?;
        Ok(Looped { carries: vec![next], stacked: vec![] })
    })?;
    g.update(h, result.carries[0])?;
    let plan = Plan::compile(&g, &Passes::default(), device.caps())?;
    ensure!(plan.iteration_bytes() == 200 * 256, "{plan}");
    let held = held_at_rest(&device)?.bytes;
    let mut store = Store::new(&device);
    plan.buffers
        .iter()
        .filter(|decl| decl.class.is_external())
        .try_for_each(|decl| store.allocate(&decl.name, decl.bytes))?;
    let sum: u64 = plan.memory().iter().map(|(_, bytes)| bytes).sum();
    let mut executor = Executor::new(&device, Arc::new(plan), &store)?;
    executor.run(&[StepBlock::default()])?;
    let bytes = held_at_rest(&device)?.bytes - held;
    ensure!(bytes as u64 == sum, "{bytes} of {sum}");
    Ok(())
}

/// Fails unless what is allocated for a plan is what it announces, class by class.
fn announced(device: &Device, plan: Plan) -> Result<()> {
    let plan = Arc::new(plan);
    let before = held_at_rest(device)?.bytes;
    let labels_before = by_label(device);
    let mut store = Store::new(device);
    for decl in plan.buffers.iter().filter(|decl| decl.class.is_external()) {
        store.allocate(&decl.name, decl.bytes)?;
    }
    let mut executor = Executor::new(device, plan.clone(), &store)?;
    executor.run(&[StepBlock::default()])?;
    let bytes = held_at_rest(device)?.bytes - before;
    let sum: u64 = plan.memory().iter().map(|(_, bytes)| bytes).sum();
    ensure!(bytes as u64 == sum, "{bytes} of {sum}");
    let labels = by_label(device);
    if device.info().backend == "vulkan" {
        ensure!(labels.is_some(), "Vulkan tells which buffer takes what");
    }
    if let (Some(before), Some(labels)) = (labels_before, labels) {
        let of = |label: &str| {
            let now = labels.get(label).copied().unwrap_or_default();
            let earlier = before.get(label).copied().unwrap_or_default();
            (now.0 - earlier.0, now.1 - earlier.1)
        };
        check(&plan.memory(), |class| {
            let found: Vec<(u64, u64)> = match class {
                BufferClass::Uniform => vec![of("parameters"), of("step blocks"), of("iterations")],
                BufferClass::Activation => vec![of("activation")],
                // The plan's names identify what the store has, and the gradients.
                _ => {
                    let own = plan.buffers.iter().filter(|decl| decl.class == class);
                    own.map(|decl| of(&decl.name)).collect()
                }
            };
            let (count, bytes) = found.iter().fold((0, 0), |sum, f| (sum.0 + f.0, sum.1 + f.1));
            (bytes, 255 * count)
        })?;
    }
    drop((executor, store));
    ensure!(held_at_rest(device)?.bytes == before, "something stays");
    Ok(())
}

#[test]
fn classes_hold_what_their_names_say() -> Result<()> {
    let device = own_device(None)?;
    let trainer = model(37, 70).compile(&device, settings())?;
    let plan = step(&trainer, 33)?;
    let padded = |elements: u64| (elements * 4).next_multiple_of(256);
    let params: u64 = trainer.layout().arenas.iter().map(|arena| arena.len as u64 * 4).sum();
    // Slots of a loss and a hit for each of 33 samples, in rows of 64.
    let metrics = 3 * 2 * 64 * 4;
    let activations = Pool::default().bytes_with([&plan]);
    let bytes = |class| match class {
        BufferClass::Input => padded(100 * 37) + 2 * padded(100),
        // Adam keeps two numbers for each parameter.
        BufferClass::State => 3 * params + metrics,
        BufferClass::Arena => params,
        BufferClass::Activation => activations,
        BufferClass::Uniform => plan.params_bytes + STEP_BLOCKS_BYTES,
        BufferClass::Constant => 0,
    };
    check(&plan.memory(), |class| (bytes(class), 0))
}

#[test]
fn executors_that_take_turns_share_activations() -> Result<()> {
    let device = own_device(None)?;
    let trainer = model(37, 50).compile(&device, settings())?;
    let (full, rest) = (step(&trainer, 33)?, step(&trainer, 1)?);
    let activations = full.bytes_of(BufferClass::Activation);
    let pool = Pool::default();
    let more = pool.bytes_with([&full, &rest]) - activations;
    ensure!(more < rest.bytes_of(BufferClass::Activation), "the rest takes {more} of its own");
    ensure!(pool.bytes_with([&full, &full]) == activations, "the same batch takes more");
    ensure!(pool.bytes_with([&rest]) == rest.bytes_of(BufferClass::Activation), "the rest alone");
    Ok(())
}

/// Each plan announces the constant, which two plans of a store have once.
#[test]
fn plans_have_a_constant_in_common() -> Result<()> {
    let device = own_device(None)?;
    let plan = |rows: usize| -> Result<Arc<Plan>> {
        let mut g = wgrad::graph::Graph::new();
        let x = g.input("x", [rows, 1000], DType::F32);
        let table = g.constant_tensor(Tensor::f32([1000], vec![1.5; 1000])?)?;
        let y = g.mul(x, table)?;
        g.output("y", y);
        Ok(Arc::new(Plan::compile(&g, &Passes::default(), device.caps())?))
    };
    let (one, two) = (plan(1)?, plan(2)?);
    let constant = one.bytes_of(BufferClass::Constant);
    ensure!(constant == 4096 && two.bytes_of(BufferClass::Constant) == constant, "{constant}");
    let mut store = Store::new(&device);
    store.allocate("x", 8000)?;
    let before = held_at_rest(&device)?.bytes as u64;
    let own = |plan: &Plan| -> u64 {
        let memory = plan.memory();
        memory.iter().filter(|(class, _)| !class.is_shared()).map(|(_, bytes)| bytes).sum()
    };
    let executors = [Executor::new(&device, one.clone(), &store)?];
    let first = held_at_rest(&device)?.bytes as u64 - before;
    ensure!(first == own(&one) + constant, "{first} bytes");
    let second = Executor::new(&device, two.clone(), &store)?;
    let both = held_at_rest(&device)?.bytes as u64 - before - first;
    ensure!(both == own(&two), "{both} bytes more");
    drop((executors, second, store));
    Ok(())
}
