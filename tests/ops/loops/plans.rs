//! Loops of plans: written by hand, divided over submits, and broken on purpose.

use super::*;
use crate::harness::{device, run_plan};
use std::sync::Arc;
use wgrad::gpu::{Executor, StepBlock, Store, block_on};
use wgrad::plan::{Launch, Plan, Repeat};

/// h = h / 2 + x in two buffers, once.
fn once() -> Result<Plan> {
    let mut g = Graph::new();
    let (h, rows) = (g.state("h", [64], DType::F32), g.input("rows", [7 * 64], DType::F32));
    let x = g.view(rows, 0, [64])?;
    let half = g.scale(h, 0.5)?;
    let next = g.add(half, x)?;
    g.output("next", next);
    Plan::compile(&g, &Passes::default(), &families()[0])
}

/// The same over the rows of x, in place of a single one.
fn looped(times: usize, backwards: bool) -> Result<Plan> {
    let mut plan = once()?;
    // SAFETY: the regions move from row to row, and there are as many rows as iterations.
    let data = unsafe { plan.data_mut() };
    let (h, rows, next) =
        (0..data.buffers.len()).fold((0, 0, 0), |found, i| match data.buffers[i].name.as_str() {
            "h" => (i, found.1, found.2),
            "rows" => (found.0, i, found.2),
            _ => (found.0, found.1, i),
        });
    for (region, _) in data.dispatches.iter_mut().flat_map(|d| &mut d.bindings) {
        if region.buffer == rows {
            region.offset = if backwards { 256 * (times as u64 - 1) } else { 0 };
            region.loop_strides[0] = if backwards { -256 } else { 256 };
        }
    }
    let body = 0..data.dispatches.len();
    data.repeats =
        vec![Repeat { body, times, swaps: vec![[h, next]], countdown: false, outer: None }];
    data.outputs[0].region.buffer = if times.is_multiple_of(2) { h } else { next };
    plan.verify(device().caps())?;
    Ok(plan)
}

#[test]
fn a_loop_by_hand_moves_its_regions_and_exchanges_its_buffers() -> Result<()> {
    let (h, rows) = (uniform(1, 64, -1.0, 1.0), uniform(2, 7 * 64, -1.0, 1.0));
    let feeds =
        [("h", Tensor::f32([64], h.clone())?), ("rows", Tensor::f32([7 * 64], rows.clone())?)];
    for times in [1, 2, 3, 6, 7] {
        for backwards in [false, true] {
            let plan = looped(times, backwards)?;
            assert_eq!(plan.dispatches.len(), 1, "{plan}");
            assert_eq!(plan.flops(), times as u64 * plan.dispatches[0].call.flops);
            let ran = run_plan(&plan, &feeds, &[&[]]).unwrap_or_else(|e| panic!("{e}\n{plan}"));
            let mut want = h.clone();
            for i in 0..times {
                let row = if backwards { times - 1 - i } else { i };
                want.iter_mut().zip(&rows[row * 64..]).for_each(|(h, x)| *h = *h * 0.5 + x);
            }
            assert_eq!(ran.f32("next"), want, "{times} {backwards}");
        }
    }
    Ok(())
}

/// A change of a loop and of the stride of its region.
type Break<'a> = &'a dyn Fn(&mut Repeat, &mut i64);

#[test]
fn a_broken_loop_is_found() -> Result<()> {
    let break_it = |change: Break<'_>| -> Result<Plan> {
        let mut plan = looped(6, false)?;
        // SAFETY: only `verify` sees the plan.
        let data = unsafe { plan.data_mut() };
        let regions = data.dispatches.iter_mut().flat_map(|d| &mut d.bindings);
        let stride = regions.map(|(r, _)| &mut r.loop_strides[0]).find(|s| **s != 0);
        change(&mut data.repeats[0], stride.expect("a region that moves"));
        Ok(plan)
    };
    let caps = device().caps();
    assert!(break_it(&|_, _| {})?.verify(caps).is_ok());
    let broken: [Break<'_>; 9] = [
        &|repeat, _| repeat.outer = Some(0),
        &|repeat, _| repeat.times = 0,
        &|repeat, _| repeat.times = 8,
        &|repeat, _| repeat.body = 0..0,
        &|repeat, _| repeat.body = 0..2,
        &|repeat, _| repeat.swaps[0][1] = repeat.swaps[0][0],
        &|repeat, _| repeat.swaps[0][1] = 99,
        &|_, stride| *stride = -256,
        &|_, stride| *stride = 128,
    ];
    for (i, change) in broken.iter().enumerate() {
        assert!(break_it(change)?.verify(caps).is_err(), "{i}");
    }
    // Buffers that stay where they are, and an iteration less, give other numbers.
    let (h, rows) = (uniform(1, 64, -1.0, 1.0), uniform(2, 7 * 64, -1.0, 1.0));
    let feeds = [("h", Tensor::f32([64], h)?), ("rows", Tensor::f32([7 * 64], rows)?)];
    let next = |plan: &Plan| run_plan(plan, &feeds, &[&[]]).map(|ran| ran.f32("next"));
    let right = next(&looped(7, false)?).unwrap_or_else(|e| panic!("{e}"));
    let changes: [fn(&mut Repeat); 2] = [|repeat| repeat.swaps.clear(), |repeat| repeat.times = 6];
    for change in changes {
        let mut plan = looped(7, false)?;
        // SAFETY: all regions stay inside their buffers.
        change(&mut unsafe { plan.data_mut() }.repeats[0]);
        assert!(next(&plan).is_ok_and(|got| got != right) || next(&plan).is_err());
    }
    Ok(())
}

#[test]
fn launches_come_in_the_order_of_the_loops() -> Result<()> {
    let mut plan = once()?;
    // SAFETY: the plan never runs.
    let data = unsafe { plan.data_mut() };
    data.dispatches = vec![data.dispatches[0].clone(); 5];
    let repeat =
        |body, times, outer| Repeat { body, times, swaps: vec![], countdown: false, outer };
    let inner = [repeat(1..2, 2, Some(0)), repeat(2..3, 3, Some(0))];
    data.repeats =
        [vec![repeat(1..4, 2, None)], inner.to_vec(), vec![repeat(4..5, 1, None)]].concat();
    let seen: Vec<(usize, [usize; 2])> =
        plan.order().map(|Launch { dispatch: d, iterations: i }| (d, [i[0], i[1]])).collect();
    let inner = |i| {
        let first = [(1, [i, 0]), (1, [i, 1]), (2, [i, 0]), (2, [i, 1]), (2, [i, 2]), (3, [i, 0])];
        first.to_vec()
    };
    let want = [vec![(0, [0, 0])], inner(0), inner(1), vec![(4, [0, 0])]].concat();
    assert_eq!(seen, want);
    assert_eq!([0, 1, 2, 3, 4].map(|d| plan.launches_of(d)), [1, 4, 6, 2, 1]);
    let each = plan.dispatches[0].call.flops;
    assert_eq!(plan.flops(), 14 * each);
    let caps = device().caps();
    plan.verify(caps)?;
    for (i, body) in [(0, 1..2), (1, 1..5), (2, 3..5), (3, 0..1)] {
        let mut wrong = plan.clone();
        // SAFETY: the plan never runs.
        unsafe { wrong.data_mut() }.repeats[i].body = body.clone();
        assert!(wrong.verify(caps).is_err(), "loop {i} over {body:?}");
    }
    let text = plan.to_string();
    assert!(text.contains("repeat 2 times") && text.contains("    repeat 3 times"), "{text}");
    Ok(())
}

/// A step may be divided anywhere, even in the middle of an iteration.
#[test]
fn a_loop_is_divided_over_submits() -> Result<()> {
    let g = graph(&SCENES[2], 9, Order::Forward, scanned)?;
    let plan = Arc::new(Plan::compile(&g, &Passes::default(), device().caps())?);
    let launches = plan.order().count();
    assert!(launches > 3 * plan.dispatches.len(), "{plan}");
    let mut store = Store::new(device());
    for (name, tensor) in feeds(&g) {
        store.upload(&name, &tensor)?;
    }
    let mut executor = Executor::new(device(), plan.clone(), &store)?;
    let mut run = |submits: usize| -> Result<Vec<Tensor>> {
        executor.set_submits_per_step(submits);
        executor.run(&[StepBlock::default(); 2])?;
        plan.outputs.iter().map(|o| block_on(executor.read(&o.name))).collect()
    };
    let whole = run(1)?;
    for submits in [2, 3, 7, launches - 1, launches, usize::MAX] {
        assert_eq!(run(submits)?, whole, "{submits} submits");
    }
    Ok(())
}

/// Nodes and dispatches are as many for any number of steps, except that long sums are divided; only tables grow.
#[test]
fn nothing_but_tables_grows_with_time() -> Result<()> {
    for scene in SCENES {
        let under = |family: usize, times: usize| -> Result<(usize, usize, usize, u64)> {
            let g = graph(scene, times, Order::Forward, scanned)?;
            let plan = Plan::compile(&g, &Passes::default(), &families()[family])?;
            let bytes = plan.buffers.iter().map(|b| b.bytes).sum();
            Ok((g.nodes().len(), plan.dispatches.len(), plan.buffers.len(), bytes))
        };
        let sizes = |times| under(0, times);
        let (few, many) = (sizes(5)?, sizes(200)?);
        assert_eq!(few.0, many.0, "{}", scene.name);
        assert!(many.1 <= few.1 + 2, "{}: {} and {}", scene.name, few.1, many.1);
        // A GPU divides sums from 1024 terms on: both have more. A CPU adapter divides products from 2^22 additions on.
        assert_eq!(under(1, 1200)?.1, under(1, 3600)?.1, "{}", scene.name);
        assert!(sizes(3600)?.1 <= few.1 + 2, "{}", scene.name);
        assert!(many.3 <= few.3 * 45, "{}: {} and {} bytes", scene.name, few.3, many.3);
    }
    Ok(())
}
