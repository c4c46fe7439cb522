//! Kernels that read through views: the copies that disappear, and what is computed.

use crate::harness::{NO_PASSES, Ran, execute, families, run_plan};
use crate::products::kernels;
use crate::reference::compare::compare;
use crate::reference::gradient::{STEP, numeric_vjp};
use crate::reference::random::uniform;
use crate::viewed::{Scene, copies, windows};
use wgrad::Error;
use wgrad::autodiff::gradients;
use wgrad::graph::{Axis, Graph, Guard, View};
use wgrad::kernels::DeviceCaps;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

/// Whole numbers, of which sums of products are exact, or numbers between -1 and 1.
fn operands(scene: &Scene, whole: bool) -> Vec<Vec<f32>> {
    let draw = |(shape, seed): (&Vec<usize>, u32)| {
        let x = uniform(seed, shape.iter().product(), -3.0, 4.0);
        x.iter().map(|v| if whole { v.floor() } else { v / 4.0 }).collect()
    };
    scene.shapes.iter().zip(7..).map(draw).collect()
}

fn named(scene: &Scene, x: &[Vec<f32>]) -> Vec<(String, Tensor)> {
    let tensor = |(i, (shape, x)): (usize, (&Vec<usize>, &Vec<f32>))| {
        (format!("in{i}"), Tensor::f32(shape.as_slice(), x.clone()).expect("as many elements"))
    };
    scene.shapes.iter().zip(x).enumerate().map(tensor).collect()
}

fn run(graph: &Graph, passes: &Passes, caps: &DeviceCaps, feeds: &[(String, Tensor)]) -> Ran {
    let feeds: Vec<(&str, Tensor)> = feeds.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    execute(graph, passes, caps, &feeds, &[&[]])
}

const ALL: Passes = Passes::all();
const OFF: Passes = Passes { views: false, ..ALL };
const ALONE: Passes = Passes { views: true, ..NO_PASSES };

#[track_caller]
fn agrees(scene: &Scene, what: &str, ran: &Ran, x: &[Vec<f32>]) {
    let wide: Vec<Vec<f64>> = x.iter().map(|x| x.iter().map(|&v| f64::from(v)).collect()).collect();
    let name = format!("{}, {what}", scene.name);
    compare(&name, &ran.f32("out0"), &(scene.want)(&wide), 1e-5, 1e-5)
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn copies_disappear_and_change_no_bit() {
    for scene in copies() {
        let graph = scene.graph().unwrap_or_else(|e| panic!("{}: {e}", scene.name)).0;
        let x = operands(&scene, false);
        let feeds = named(&scene, &x);
        for caps in families() {
            let plans =
                [OFF, ALL].map(|passes| Plan::compile(&graph, &passes, &caps).expect("a plan"));
            let count = (plans[0].dispatches.len(), plans[1].dispatches.len());
            assert_eq!(
                count, scene.dispatches,
                "{}: dispatches\n{graph}\n{}",
                scene.name, plans[1]
            );
            let want = run(&graph, &OFF, &caps, &feeds);
            agrees(&scene, "copied", &want, &x);
            let got = run(&graph, &ALL, &caps, &feeds);
            agrees(&scene, "through views", &got, &x);
            if plans[1].dispatches.iter().all(|d| !d.call.name().starts_with("matmul/")) {
                assert_eq!(got, want, "{}: other bits", scene.name);
            }
            agrees(&scene, "the pass alone", &run(&graph, &ALONE, &caps, &feeds), &x);
            for _ in 0..10 {
                assert_eq!(run(&graph, &ALL, &caps, &feeds), got, "{}", scene.name);
            }
        }
    }
}

/// Whole numbers: every sum is exact, so that an element read from a wrong place shows.
#[test]
fn windows_are_products() {
    for scene in windows() {
        let graph = scene.graph().unwrap_or_else(|e| panic!("{}: {e}", scene.name)).0;
        let x = operands(&scene, true);
        let wide: Vec<Vec<f64>> =
            x.iter().map(|x| x.iter().map(|&v| f64::from(v)).collect()).collect();
        for caps in families() {
            let ran = run(&graph, &ALL, &caps, &named(&scene, &x));
            compare(&scene.name, &ran.f32("out0"), &(scene.want)(&wide), 0.0, 0.0)
                .unwrap_or_else(|e| panic!("{:?}: {e}", caps.matmul));
            // Long sums are divided, but nothing is copied.
            let plan = Plan::compile(&graph, &ALL, &caps).expect("a plan");
            let products = plan.dispatches.iter().all(|d| d.call.name().starts_with("matmul/"));
            assert!(products, "{plan}");
        }
    }
}

/// Every tile gathers, with sums in one piece and divided; each takes other steps along the terms.
#[test]
fn every_tile_reads_any_view() {
    let scenes: Vec<Scene> =
        windows().into_iter().filter(|s| s.name.contains("extent: 1")).collect();
    assert!(scenes.len() > 3, "{}", scenes.len());
    for (tile, caps) in kernels(8) {
        for scene in &scenes {
            // Single elements and whole vec4s; as A and as B.
            let graph = scene.graph().expect("a graph").0;
            let x = operands(scene, true);
            let wide: Vec<Vec<f64>> =
                x.iter().map(|x| x.iter().map(|&v| f64::from(v)).collect()).collect();
            let ran = run(&graph, &ALL, &caps, &named(scene, &x));
            compare(&scene.name, &ran.f32("out0"), &(scene.want)(&wide), 0.0, 0.0)
                .unwrap_or_else(|e| panic!("{tile}: {e}"));
        }
    }
}

/// Gradients flow through the copies as if they were made, and their kernels read through views too.
#[test]
fn gradients_through_views() {
    for scene in copies().into_iter().filter(|s| s.shapes.iter().flatten().max() < Some(&50)) {
        let (mut g, inputs, y) = scene.graph().expect("a graph");
        let upstream = g.input("upstream", g.shape(y).clone(), DType::F32);
        let weighted = g.mul(y, upstream).expect("a product");
        let loss = g.sum(weighted, &[], false).expect("a sum");
        let grads =
            gradients(&mut g, loss, &inputs).unwrap_or_else(|e| panic!("{}: {e}", scene.name));
        grads.iter().enumerate().for_each(|(i, &d)| g.output(&format!("grad{i}"), d));
        let x = operands(&scene, false);
        let mut feeds = named(&scene, &x);
        let up = uniform(99, g.shape(y).len(), -1.0, 1.0);
        feeds.push((
            "upstream".into(),
            Tensor::f32(g.shape(y).clone(), up.clone()).expect("a tensor"),
        ));
        let wide = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let operands: Vec<Vec<f64>> = x.iter().map(|x| wide(x)).collect();
        // A maximum has no derivative where two elements are equal; none are here.
        let want: Vec<Vec<f64>> = (0..x.len())
            .map(|i| {
                let f = |at: &[f64]| {
                    let mut x = operands.clone();
                    x[i] = at.to_vec();
                    (scene.want)(&x)
                };
                numeric_vjp(f, &operands[i], &wide(&up), STEP)
            })
            .collect();
        assert!(
            want.iter().all(|d| d.iter().any(|v| v.abs() > 1e-3)),
            "{}: no gradient",
            scene.name
        );
        for caps in families() {
            for passes in [OFF, ALL, ALONE] {
                let ran = run(&g, &passes, &caps, &feeds);
                for (i, want) in want.iter().enumerate() {
                    let scale = want.iter().fold(1.0f64, |a, v| a.max(v.abs()));
                    let name = format!("{}: gradient {i}, views {}", scene.name, passes.views);
                    compare(&name, &ran.f32(&format!("grad{i}")), want, 1e-4, 1e-5 * scale)
                        .unwrap_or_else(|e| panic!("{e}"));
                }
            }
        }
    }
}

/// The gradient of filters reads the windows as they are; that of what the windows show is refused.
#[test]
fn filters_have_gradients() {
    for scene in windows().into_iter().filter(|s| s.name.starts_with("product")) {
        let (mut g, inputs, y) = scene.graph().expect("a graph");
        let shape = g.shape(y).clone();
        let upstream = g.input("upstream", shape.clone(), DType::F32);
        let weighted = g.mul(y, upstream).expect("a product");
        let loss = g.sum(weighted, &[], false).expect("a sum");
        let refused = gradients(&mut g.clone(), loss, &inputs[..1]).expect_err("no gradient");
        assert!(matches!(refused, Error::NotDifferentiable { .. }), "{refused}");
        let d = gradients(&mut g, loss, &inputs[1..]).expect("a gradient")[0];
        g.output("grad1", d);
        let x = operands(&scene, true);
        let up: Vec<f32> = uniform(98, shape.len(), -3.0, 4.0).iter().map(|v| v.floor()).collect();
        let mut feeds = named(&scene, &x);
        feeds.push(("upstream".into(), Tensor::f32(shape, up.clone()).expect("a tensor")));
        let wide = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let (signal, up) = (wide(&x[0]), wide(&up));
        // The product is linear in the filters: each one's gradient is what it adds.
        let filters = x[1].len();
        let want = (0..filters).map(|i| {
            let mut unit = vec![0.0; filters];
            unit[i] = 1.0;
            let y = (scene.want)(&[signal.clone(), unit]);
            y.iter().zip(&up).map(|(y, up)| y * up).sum()
        });
        let want: Vec<f64> = want.take(40).collect();
        assert!(want.iter().any(|v| v.abs() > 0.5), "{}: no gradient", scene.name);
        for caps in families() {
            let got = run(&g, &ALL, &caps, &feeds).f32("grad1");
            compare(&scene.name, &got[..want.len()], &want, 0.0, 0.0)
                .unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

/// A state that is read through a view and written by the same step: the view reads the old value.
#[test]
fn views_read_a_state_before_it_changes() {
    let mut g = Graph::new();
    let s = g.state("s", [6, 6], DType::F32);
    let t = g.transpose(s, &[1, 0]).expect("a transpose");
    let half = g.slice(s, 0, 1..4).expect("a slice");
    let new = g.add(s, t).expect("a sum");
    g.update(s, new).expect("an update");
    // This one reads the new value beside the old: the copy of the old stays.
    let part = g.slice(new, 0, 0..3).expect("a slice");
    let both = g.sub(part, half).expect("a difference");
    g.output("both", both);
    let x: Vec<f32> = (0..36).map(|i| (i * i % 17) as f32).collect();
    let new: Vec<f32> = (0..36).map(|i| x[i] + x[i % 6 * 6 + i / 6]).collect();
    let both: Vec<f32> = (0..18).map(|i| new[i] - x[i + 6]).collect();
    for passes in [OFF, ALL, ALONE, NO_PASSES] {
        let feeds = [("s", Tensor::f32([6, 6], x.clone()).expect("a tensor"))];
        let ran = execute(&g, &passes, &families()[0], &feeds, &[&[]]);
        assert_eq!((&ran.states["s"], &ran.f32("both")), (&new, &both), "{passes:?}");
    }
}

/// A view that begins one element later, or whose guard lets one more element in, gives other numbers.
#[test]
fn a_wrong_view_is_noticed() {
    let x: Vec<f32> = (0..40).map(|i| (i * i % 23) as f32).collect();
    let product = |view: View| {
        let mut g = Graph::new();
        let a = g.input("a", [40], DType::F32);
        let w = g.input("w", [3, 2], DType::F32);
        let y = g.contract_views((a, view), (w, View::whole([1, 3, 2])))?;
        g.output("y", y);
        let feeds = [
            ("a", Tensor::f32([40], x.clone())?),
            ("w", Tensor::f32([3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?),
        ];
        Ok::<_, Error>(families().map(|caps| execute(&g, &ALL, &caps, &feeds, &[&[]]).f32("y")))
    };
    let patches = |first: isize, extent: usize| {
        let axis = |extent| Axis { extent, stride: 0, steps: vec![1] };
        View::new([1, 36, 3], 0, [axis(36), axis(3)], vec![Guard { first, extent, stride: 1 }])
    };
    let strided = |offset: isize| View::strided([1, 9, 3], offset, &[0, 4, 2]);
    let right = (product(patches(-1, 36)).expect("a run"), product(strided(3)).expect("a run"));
    for wrong in [patches(0, 36), patches(-1, 35), patches(-2, 36)] {
        assert!(product(wrong).expect("a run").iter().zip(&right.0).all(|(a, b)| a != b));
    }
    assert!(product(strided(2)).expect("a run").iter().zip(&right.1).all(|(a, b)| a != b));
    // What leaves the operand is refused when the graph is built.
    for outside in [patches(-1, 41), strided(4), strided(-1)] {
        let error = product(outside).expect_err("outside").to_string();
        assert!(error.contains("matmul") && error.contains("[40]"), "{error}");
    }
    let error = product(View::strided([1, 9, 4], 0, &[0, 1, 1])).expect_err("four terms of three");
    assert!(error.to_string().contains("[batch, m, k]"), "{error}");
}

/// One row more of a reduction and of a product that read through views: guard words notice.
#[test]
fn a_forged_kernel_that_reads_through_a_view_is_noticed() {
    for name in ["permute [1, 2, 0], sum over [2]", "steps of sequences, product", "transpose, add"]
    {
        let scene = copies().into_iter().find(|s| s.name == name).expect("a scene");
        let graph = scene.graph().expect("a graph").0;
        let feeds = named(&scene, &operands(&scene, true));
        let feeds: Vec<(&str, Tensor)> =
            feeds.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
        for caps in families() {
            let mut plan = Plan::compile(&graph, &ALL, &caps).expect("a plan");
            assert!(run_plan(&plan, &feeds, &[&[]]).is_ok());
            // SAFETY: what a forged kernel touches past its end are guard words.
            let data = unsafe { plan.data_mut() };
            let call = &mut data.dispatches[0].call;
            let more = u32::from_le_bytes([
                call.params[0],
                call.params[1],
                call.params[2],
                call.params[3],
            ]) + 1;
            call.params[..4].copy_from_slice(&more.to_le_bytes());
            if call.name() == "reduce/rows" {
                call.grid[0] += 1;
            }
            let error = run_plan(&plan, &feeds, &[&[]]).err().unwrap_or_default();
            assert!(error.starts_with("guard: byte"), "{name}, {:?}: `{error}`", caps.matmul);
        }
    }
}

/// An operand that is read in part has no gradient here; slices and transposes have.
#[test]
fn a_view_without_a_gradient_says_so() {
    let mut g = Graph::new();
    let a = g.input("a", [40], DType::F32);
    let w = g.input("w", [3, 2], DType::F32);
    let view = View::strided([1, 9, 3], 3, &[0, 4, 2]);
    let y = g.contract_views((a, view), (w, View::whole([1, 3, 2]))).expect("a product");
    let loss = g.sum(y, &[], false).expect("a sum");
    let error = gradients(&mut g, loss, &[a]).expect_err("no gradient");
    assert!(matches!(error, Error::NotDifferentiable { .. }), "{error}");
}
