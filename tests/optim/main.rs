//! The parts around an update rule: learning-rate schedules, clipping, accumulation over several steps.

mod accumulation;
mod clipping;
#[path = "../reference/mod.rs"]
mod reference;
mod schedules;
#[path = "../support/mod.rs"]
mod support;
mod training;

use reference::random::uniform;
use std::sync::Arc;
use support::device;
use wgrad::Result;
use wgrad::gpu::{Executor, StepBlock, Store, block_on};
use wgrad::graph::Graph;
use wgrad::optim::{ArenaGradients, GradientTransform};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::prelude::*;

/// The shapes of the tensors in each arena.
type Shapes<'a> = &'a [&'a [&'a [usize]]];

/// Two arenas of odd shapes.
const ODD: Shapes<'static> = &[&[&[3, 5], &[7], &[1]], &[&[130], &[2, 3, 4]]];

/// The lengths of all tensors, arena after arena.
fn lengths(shapes: Shapes<'_>) -> Vec<usize> {
    shapes.iter().flat_map(|arena| arena.iter().map(|s| s.iter().product())).collect()
}

/// Numbers for all tensors, each tensor with a different magnitude, between -scale and scale, with `scale` growing from
/// tensor to tensor.
fn numbers(shapes: Shapes<'_>, seed: u32) -> Vec<f32> {
    let tensor = |(i, n): (usize, usize)| {
        let scale = 0.05 * 3.0f32.powi(i as i32);
        uniform(seed + i as u32, n, -scale, scale)
    };
    lengths(shapes).into_iter().enumerate().flat_map(tensor).collect()
}

/// One list per tensor.
fn by_tensor<T: Clone>(all: &[T], shapes: Shapes<'_>) -> Vec<Vec<T>> {
    let mut rest = all;
    let mut take = |n: usize| {
        let (own, after) = rest.split_at(n);
        rest = after;
        own.to_vec()
    };
    lengths(shapes).into_iter().map(&mut take).collect()
}

/// What updates leave behind after each step: every parameter, and every accumulated gradient if there is one.
struct Trace {
    params: Vec<Vec<f32>>,
    accumulated: Vec<Vec<f32>>,
    dispatches: usize,
}

/// Builds the update over arenas of these shapes and runs a step for each list of gradients, as the trainer does.
fn run(
    transform: &GradientTransform,
    rule: &dyn Optimizer,
    shapes: Shapes<'_>,
    initial: &[f32],
    gradients: &[Vec<f32>],
) -> Result<Trace> {
    transform.check()?;
    rule.check()?;
    let mut g = Graph::new();
    let mut store = Store::new(device());
    let mut arenas = Vec::new();
    let mut initial = by_tensor(initial, shapes).into_iter();
    for (a, tensors) in shapes.iter().enumerate() {
        let sizes = tensors.iter().map(|s| s.iter().product::<usize>().next_multiple_of(64));
        let offsets: Vec<usize> =
            sizes.clone().scan(0, |end, n| std::mem::replace(end, *end + n).into()).collect();
        let len: usize = sizes.sum();
        let params = g.state(&format!("params/{a}"), [len], DType::F32);
        let mut values = vec![0.0; len];
        let mut own = Vec::new();
        for (t, (shape, &offset)) in tensors.iter().zip(&offsets).enumerate() {
            let first = initial.next().expect("as many lists as tensors");
            values[offset..offset + first.len()].copy_from_slice(&first);
            own.push(g.input(&format!("gradient/{a}/{t}"), *shape, DType::F32));
        }
        store.upload(&format!("params/{a}"), &Tensor::f32([len], values)?)?;
        for slot in transform.slots(rule) {
            let values = Tensor::f32([len], vec![slot.initial; len])?;
            store.upload(&format!("{}/{a}", slot.name), &values)?;
        }
        arenas.push((
            len,
            ArenaGradients {
                arena: a,
                params,
                offsets,
                gradients: own,
                penalty: None,
                constraints: vec![],
            },
        ));
    }
    let built: Vec<ArenaGradients> = arenas.iter().map(|(_, arena)| arena.clone()).collect();
    transform.build(&mut g, rule, &built)?;
    let plan = Arc::new(Plan::compile(&g, &Passes::default(), device().caps())?);
    let mut executor = None;
    let mut trace =
        Trace { params: vec![], accumulated: vec![], dispatches: plan.dispatches.len() };
    for (step, gradient) in gradients.iter().enumerate() {
        let mut values = by_tensor(gradient, shapes).into_iter();
        for (a, tensors) in shapes.iter().enumerate() {
            for (t, shape) in tensors.iter().enumerate() {
                let own = values.next().expect("as many lists as tensors");
                store.upload(&format!("gradient/{a}/{t}"), &Tensor::f32(*shape, own)?)?;
            }
        }
        let mut block = StepBlock::default();
        for (name, value) in transform.step_values(rule, step as u64, None) {
            block.set_f32(&plan, name, value)?;
        }
        let executor = match &mut executor {
            Some(executor) => executor,
            None => executor.insert(Executor::new(device(), plan.clone(), &store)?),
        };
        executor.run(&[block])?;
        trace.params.push(tensors(&store, "params", &arenas, shapes)?);
        if store.contains("accumulated/0") {
            trace.accumulated.push(tensors(&store, "accumulated", &arenas, shapes)?);
        }
    }
    Ok(trace)
}

/// The tensors of a state, without the padding between them, which must be zero.
fn tensors(
    store: &Store,
    state: &str,
    arenas: &[(usize, ArenaGradients)],
    shapes: Shapes<'_>,
) -> Result<Vec<f32>> {
    let mut all = Vec::new();
    for (a, (len, arena)) in arenas.iter().enumerate() {
        let bytes = block_on(store.read(&format!("{state}/{a}"), len * 4))?;
        let mut values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        for (shape, &offset) in shapes[a].iter().zip(&arena.offsets) {
            let own = &mut values[offset..offset + shape.iter().product::<usize>()];
            all.extend_from_slice(own);
            own.fill(0.0);
        }
        // A norm that is not finite makes the padding of parameters NaN too: 0 · NaN.
        let finite = all.iter().all(|v| v.is_finite());
        assert!(!finite || values.iter().all(|&v| v == 0.0), "{state}/{a}: padding");
    }
    Ok(all)
}

/// The bits, so that -0 differs from 0 and NaN equals itself.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// A list with `$of` of every rule in every form, with rates that change and without.
macro_rules! each_rule {
    ($of:path) => {
        vec![
            $of(Sgd::new(0.1)),
            $of(Sgd { momentum: 0.9, ..Sgd::new(ExponentialDecay::new(0.1, 2, 0.5)) }),
            $of(Sgd { momentum: 0.9, nesterov: true, decay: 0.1, ..Sgd::new(0.1) }),
            $of(RmsProp::new(0.01)),
            $of(RmsProp { momentum: 0.5, centered: true, ..RmsProp::new(0.01) }),
            $of(Adagrad::new(InverseTimeDecay::new(0.1, 1, 0.5))),
            $of(Adam::new(0.01)),
            $of(AdamW::new(CosineDecay::new(0.01, 5), 0.1)),
        ]
    };
}
use each_rule;

fn boxed(rule: impl Optimizer + 'static) -> Box<dyn Optimizer> {
    Box::new(rule)
}

fn rules() -> Vec<Box<dyn Optimizer>> {
    each_rule!(boxed)
}
