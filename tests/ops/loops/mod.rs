//! Loops: a plan's own, then scans against the same body written out step by step, in value and gradient.

mod bodies;
mod passes;
mod plans;
mod refusals;

use crate::harness::{Feeds, NO_PASSES, Ran, execute, families};
use crate::reference::compare::{compare, widen};
use crate::reference::random::uniform;
use bodies::{Body, SCENES, Scene};
use wgrad::Result;
use wgrad::autodiff::gradients;
use wgrad::graph::{Graph, Value};
use wgrad::ops::{Iteration, Loop, Looped, Order};
use wgrad::passes::Passes;
use wgrad::tensor::{DType, Shape, Tensor};

/// Orders with numbers of steps, odd and even.
const RUNS: [(Order, usize); 4] =
    [(Order::Forward, 1), (Order::Forward, 5), (Order::Reverse, 4), (Order::Flipped, 3)];

/// The words of the tests' steps.
const WORDS: &[(&str, u32)] = &[("seed", 42), ("step", 7)];

/// A loop by [`Graph::scan`].
fn scanned(g: &mut Graph, what: &Loop<'_>, body: Body) -> Result<Looped> {
    g.scan(what, body)
}

/// The same loop, written out.
fn unrolled(g: &mut Graph, what: &Loop<'_>, body: Body) -> Result<Looped> {
    let times = match what.sequences.first() {
        Some(&v) => g.shape(v).dims()[0],
        None => what.times.unwrap_or(0),
    };
    let mut carries = what.carries.to_vec();
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for i in 0..times {
        let t = if what.order == Order::Forward { i } else { times - 1 - i };
        let mut slices = Vec::new();
        for &v in what.sequences {
            let shape = Shape::from(&g.shape(v).dims()[1..]);
            let slice = g.slice(v, 0, t..t + 1)?;
            slices.push(g.reshape(slice, shape)?);
        }
        let now = Iteration { carries, slices, outer: what.outer.to_vec() };
        let next = body(g, &now)?;
        carries = next.carries;
        rows.push(next.stacked);
    }
    if what.order == Order::Reverse {
        rows.reverse();
    }
    let mut stacked = Vec::new();
    for j in 0..rows[0].len() {
        let mut parts = Vec::new();
        for row in &rows {
            let dims = [&[1], g.shape(row[j]).dims()].concat();
            parts.push(g.reshape(row[j], dims)?);
        }
        stacked.push(g.concatenate(&parts, 0)?);
    }
    Ok(Looped { carries, stacked })
}

type Unroll = fn(&mut Graph, &Loop<'_>, Body) -> Result<Looped>;

/// The scene as a graph: results, and the gradients of Σ result · weight by every operand.
fn graph(scene: &Scene, times: usize, order: Order, run: Unroll) -> Result<Graph> {
    let mut g = Graph::new();
    let mut operands = |prefix: &str, shapes: &[Vec<usize>]| -> Vec<Value> {
        let shapes = shapes.iter().enumerate();
        shapes.map(|(i, s)| g.input(&format!("{prefix}{i}"), s.clone(), DType::F32)).collect()
    };
    let carries = operands("carry", &scene.carries());
    let sequences = operands("sequence", &scene.sequences(times));
    let outer = operands("outer", &scene.outer());
    let what =
        Loop { carries: &carries, sequences: &sequences, outer: &outer, times: Some(times), order };
    let result = run(&mut g, &what, scene.body)?;
    let mut total = g.constant(0.0);
    for (i, v) in result.carries.iter().chain(&result.stacked).enumerate() {
        g.output(&format!("result{i}"), *v);
        let shape = g.shape(*v).clone();
        let weight = g.input(&format!("weight{i}"), shape, DType::F32);
        let weighted = g.mul(*v, weight)?;
        let sum = g.sum(weighted, &[], false)?;
        total = g.add(total, sum)?;
    }
    let wrt = [carries, sequences, outer].concat();
    for (i, d) in gradients(&mut g, total, &wrt)?.into_iter().enumerate() {
        g.output(&format!("gradient{i}"), d);
    }
    Ok(g)
}

/// A tensor for every input of a graph, by its name.
fn feeds(g: &Graph) -> Vec<(String, Tensor)> {
    let mut feeds = Vec::new();
    for (i, node) in g.nodes().iter().enumerate() {
        if node.op.name() == "input" {
            let (name, shape) = (node.op.attrs(), g.nodes()[i].outputs[0].shape.clone());
            let seed = name.bytes().fold(7u32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
            // Weights that let neither values nor rounding errors grow from step to step.
            let most = if name.starts_with("outer") { 0.25 } else { 1.0 };
            let x = uniform(seed, shape.len(), -most, most);
            feeds.push((name, Tensor::f32(shape, x).expect("its own shape")));
        }
    }
    feeds
}

fn ran(g: &Graph, passes: &Passes, caps: &wgrad::kernels::DeviceCaps) -> Ran {
    let named = feeds(g);
    let feeds: Vec<(&str, Tensor)> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    execute(g, passes, caps, &feeds as &Feeds<'_>, &[WORDS])
}

/// What differs between two runs. Kernels may sum in another order.
fn differences(got: &Ran, want: &Ran) -> Vec<String> {
    let mut names: Vec<&String> = want.outputs.keys().collect();
    names.sort();
    assert_eq!(got.outputs.len(), names.len());
    let differs =
        |name: &&String| compare(name, &got.f32(name), &widen(&want.f32(name)), 2e-5, 2e-6).err();
    names.iter().filter_map(differs).collect()
}

#[test]
fn scans_are_their_bodies_written_out() -> Result<()> {
    for scene in SCENES {
        for (order, times) in RUNS {
            let got = graph(scene, times, order, scanned)?;
            let want = graph(scene, times, order, unrolled)?;
            let want = ran(&want, &Passes::default(), &families()[0]);
            for caps in families() {
                let got = ran(&got, &Passes::default(), &caps);
                let wrong = differences(&got, &want);
                assert!(wrong.is_empty(), "{} {order:?} {times}: {wrong:?}", scene.name);
            }
            let zero = |name: &String| want.f32(name).iter().all(|&d| d == 0.0);
            let zeros: Vec<&String> = want.outputs.keys().filter(|n| zero(n)).collect();
            assert!(zeros.is_empty(), "{}: {zeros:?} are zero", scene.name);
        }
    }
    Ok(())
}

#[test]
fn scans_agree_with_each_pass_off_and_alone() -> Result<()> {
    for scene in SCENES {
        let g = graph(scene, 3, Order::Forward, scanned)?;
        let want = ran(&g, &Passes::default(), &families()[0]);
        let each = Passes::each().into_iter().flat_map(|(_, without, alone)| [without, alone]);
        for passes in each.chain([NO_PASSES]) {
            let wrong = differences(&ran(&g, &passes, &families()[0]), &want);
            assert!(wrong.is_empty(), "{} {passes:?}: {wrong:?}", scene.name);
        }
    }
    Ok(())
}

#[test]
fn the_same_bits_come_ten_times() -> Result<()> {
    for scene in SCENES {
        let g = graph(scene, 5, Order::Reverse, scanned)?;
        let want = ran(&g, &Passes::default(), &families()[0]);
        for _ in 0..10 {
            let got = ran(&g, &Passes::default(), &families()[0]);
            for name in want.outputs.keys() {
                let bits =
                    |ran: &Ran| ran.f32(name).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&got), bits(&want), "{} {name}", scene.name);
            }
        }
    }
    Ok(())
}

/// Each comparison above would find one wrong number.
#[test]
fn a_wrong_number_is_found() -> Result<()> {
    let g = graph(&SCENES[0], 3, Order::Forward, scanned)?;
    let want = ran(&g, &Passes::default(), &families()[0]);
    for name in want.outputs.keys() {
        let mut outputs = want.outputs.clone();
        let mut x = want.f32(name);
        *x.last_mut().expect("an element") += 1e-3;
        outputs.insert(name.clone(), Tensor::f32(want.outputs[name].shape(), x)?);
        let got = Ran { outputs, states: want.states.clone() };
        assert_eq!(differences(&got, &want).len(), 1, "{name}");
    }
    Ok(())
}

/// A dropout mask in a loop is other numbers in each iteration: those that one draw over all steps has. The gradient
/// has the same mask.
#[test]
fn each_iteration_draws_other_numbers_and_the_gradient_the_same() -> Result<()> {
    fn mask(g: &mut Graph, drawn: Value) -> Result<Value> {
        let rate = g.constant(0.5);
        g.binary("greater_equal", drawn, rate)
    }
    let build = |inside: bool, norm: bool, order: Order, shape: [usize; 2]| -> Result<Graph> {
        let (times, [rows, columns]) = (5, shape);
        let mut g = Graph::new();
        let x = g.input("sequence0", [times, rows, columns], DType::F32);
        let h = g.input("carry0", [rows, columns], DType::F32);
        let w = g.input("outer0", [columns, columns], DType::F32);
        let (seed, step) = (g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?);
        let drawn = g.random_uniform([times, rows, columns], seed, step, 3)?;
        let what = Loop {
            carries: &[h],
            sequences: if inside { &[x] } else { &[x, drawn] },
            outer: &[w, seed, step],
            order,
            times: None,
        };
        let result = g.scan(&what, |g, now| {
            let mut product = g.matmul(now.carries[0], now.outer[0])?;
            let shape = g.shape(product).clone();
            if norm {
                product = g.layer_norm(product, None, None, 1, 0.5)?;
            }
            let drawn = match now.slices.get(1) {
                Some(&drawn) => drawn,
                None => g.random_uniform(shape, now.outer[1], now.outer[2], 3)?,
            };
            let kept = mask(g, drawn)?;
            let dropped = g.mul(product, kept)?;
            let sum = g.add(dropped, now.slices[0])?;
            let h = g.unary("tanh", sum, &[])?;
            Ok(Looped { carries: vec![h], stacked: vec![h, kept] })
        })?;
        g.output("masks", result.stacked[1]);
        g.output("h", result.stacked[0]);
        let sum = g.sum(result.stacked[0], &[], false)?;
        for (i, d) in gradients(&mut g, sum, &[h, x, w])?.into_iter().enumerate() {
            g.output(&format!("gradient{i}"), d);
        }
        Ok(g)
    };
    // A row kernel takes the mask in, a product, and an elementwise kernel.
    for (order, norm) in [(Order::Forward, false), (Order::Reverse, false), (Order::Reverse, true)]
    {
        for shape in [[3, 5], [8, 16], [7, 64]] {
            let want = ran(&build(false, norm, order, shape)?, &Passes::default(), &families()[0]);
            for caps in families() {
                for passes in [Passes::default(), NO_PASSES] {
                    let got = ran(&build(true, norm, order, shape)?, &passes, &caps);
                    let wrong = differences(&got, &want);
                    assert!(wrong.is_empty(), "{order:?} {shape:?} {passes:?}: {wrong:?}");
                }
            }
            let masks = want.f32("masks");
            let steps: Vec<&[f32]> = masks.chunks(masks.len() / 5).collect();
            assert!(steps.windows(2).all(|w| w[0] != w[1]), "the same mask twice");
        }
    }
    Ok(())
}
