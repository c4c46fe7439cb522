//! The passes change nothing but speed and memory, and no two live values share memory.

use crate::dags::Dag;
use crate::harness::{NO_PASSES, Ran, Words, execute, families, run_plan};
use crate::reference::compare::{compare, widen};
use crate::reference::gradient::{STEP, numeric_gradient};
use crate::steps::{Scene, hazards, network_loss, scenes, step};
use wgrad::graph::{Class, Graph};
use wgrad::kernels::DeviceCaps;
use wgrad::ops::table::{Row, row};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

/// Each pass switched off, and all of them.
fn settings() -> Vec<(&'static str, Passes)> {
    let off = Passes::each().into_iter().map(|(name, without, _)| (name, without));
    off.chain([("every pass", NO_PASSES)]).collect()
}

fn run(scene: &Scene, passes: &Passes, caps: &DeviceCaps) -> Ran {
    let feeds: Vec<(&str, Tensor)> =
        scene.feeds.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let steps: Vec<&Words<'_>> = scene.steps.iter().map(Vec::as_slice).collect();
    execute(&scene.graph, passes, caps, &feeds, &steps)
}

/// The same arithmetic in another order of roundings: a few units in the last place, more if a sum cancels.
#[track_caller]
fn agree(what: &str, got: &Ran, want: &Ran) {
    for name in want.outputs.keys() {
        let (got, want) = (got.f32(name), widen(&want.f32(name)));
        compare(&format!("{what}: {name}"), &got, &want, 1e-5, 1e-6)
            .unwrap_or_else(|e| panic!("{e}"));
    }
    for (name, want) in &want.states {
        compare(&format!("{what}: {name}"), &got.states[name], &widen(want), 1e-5, 1e-6)
            .unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn each_pass_may_be_switched_off() {
    for scene in scenes() {
        for caps in families() {
            let want = run(&scene, &Passes::default(), &caps);
            for (name, passes) in settings() {
                let got = run(&scene, &passes, &caps);
                agree(&format!("{} without {name}", scene.name), &got, &want);
            }
        }
    }
}

/// Ops that differ in nothing but a field are two computations, equal ones are one.
#[test]
fn only_equal_ops_become_one() {
    let sums = |factors: [f32; 2]| {
        let mut g = Graph::new();
        let x = g.input("x", [8], DType::F32);
        for (i, factor) in factors.into_iter().enumerate() {
            let sum = g.sum_ranges(x, &[(0..3, factor), (5..8, 1.0)]).expect("sums");
            g.output(&format!("sums{i}"), sum);
        }
        let plan = Plan::compile(&g, &Passes::default(), &families()[0]).expect("a plan");
        let x = Tensor::f32([8], (0..8).map(|i| i as f32).collect::<Vec<_>>()).expect("a tensor");
        let ran = run_plan(&plan, &[("x", x)], &[&[]]).expect("a run");
        (plan.dispatches.len(), ran.f32("sums0"), ran.f32("sums1"))
    };
    assert_eq!(sums([1.0, 1.0]), (1, vec![3.0, 18.0], vec![3.0, 18.0]));
    assert_eq!(sums([1.0, 2.0]), (2, vec![3.0, 18.0], vec![6.0, 18.0]));
}

#[test]
fn the_same_plan_gives_the_same_bits() {
    for scene in scenes() {
        for caps in families() {
            let first = run(&scene, &Passes::default(), &caps);
            assert_eq!(first, run(&scene, &Passes::default(), &caps), "{}", scene.name);
        }
    }
}

/// The first step of training, against finite differences of the network in f64.
#[test]
fn a_step_has_the_gradient_of_the_network() {
    let mut scene = step().expect("a graph");
    scene.steps.truncate(1);
    let before = scene.feeds.iter().find(|f| f.0 == "p").expect("parameters").1.clone();
    let p = widen(before.as_f32().expect("f32"));
    let want = numeric_gradient(network_loss, &p, STEP);
    for caps in families() {
        let ran = run(&scene, &Passes::default(), &caps);
        compare("gradient", &ran.f32("gradient"), &want, 1e-5, 1e-6).unwrap();
        compare("loss", &ran.f32("loss"), &[network_loss(&p)], 1e-6, 0.0).unwrap();
        assert_eq!(ran.f32("parameters before"), before.as_f32().expect("f32"));
        // The first slot holds a loss per sample; their sum is the batch's.
        let recorded: f32 = ran.states["metrics"][..64].iter().sum();
        compare("record", &[recorded], &[network_loss(&p)], 1e-6, 0.0).unwrap();
        // Adam's first step moves every parameter that has a gradient against it.
        let moved = ran.states["p"].iter().zip(&p).zip(&want);
        assert!(moved.into_iter().all(|((new, old), g)| (f64::from(*new) - old) * g <= 0.0));
    }
}

#[test]
fn states_are_read_before_they_change() {
    let scene = hazards().expect("a graph");
    let feed = |name: &str| {
        let found = scene.feeds.iter().find(|f| f.0 == name).expect("a feed");
        found.1.as_f32().expect("f32").to_vec()
    };
    let (a, b, c, x) = (feed("a"), feed("b"), feed("c"), feed("x"));
    let (f, h) = (feed("f"), feed("h"));
    let product: Vec<f32> = b.iter().zip(&x).map(|(b, x)| b * x).collect();
    let both: Vec<f32> = f.iter().zip(&h).map(|(f, h)| f * h).collect();
    for (name, passes) in settings().into_iter().chain([("nothing", Passes::default())]) {
        let ran = run(&scene, &passes, &families()[0]);
        let what = format!("without {name}");
        assert_eq!(ran.states["a"], a.iter().map(|v| v + v).collect::<Vec<_>>(), "{what}");
        assert_eq!(ran.states["b"], product, "{what}");
        assert_eq!(ran.f32("packed")[..15], product, "{what}");
        assert_eq!(ran.f32("part"), c[64..79], "{what}");
        assert_eq!(ran.states["d"], c[64..79], "{what}");
        assert_eq!(ran.states["c"], c.iter().map(|v| -v).collect::<Vec<_>>(), "{what}");
        let e = feed("e");
        let turned = (0..36).map(|i| e[i] + e[i % 6 * 6 + i / 6]).collect::<Vec<_>>();
        assert_eq!(ran.states["e"], turned, "{what}");
        assert_eq!((&ran.states["f"], &ran.states["h"]), (&both, &both), "{what}");
        let later: Vec<f32> = both.iter().zip(&f).map(|(n, f)| n - f).collect();
        // If fused, the product may be rounded together with the difference.
        compare("later", &ran.f32("later"), &widen(&later), 1e-5, 1e-6).unwrap();
    }
}

fn bounded_functions() -> Vec<&'static Row> {
    // Continuous and of moderate growth: what one rounding changes stays small.
    let names = [
        "add",
        "sub",
        "mul",
        "maximum",
        "minimum",
        "neg",
        "abs",
        "relu",
        "leaky_relu",
        "sigmoid",
        "tanh",
        "softplus",
        "softsign",
        "gelu",
        "silu",
        "clipped_linear",
        "elu",
        "hard_sigmoid",
        "sin",
        "cos",
        "erf",
    ];
    names.map(|n| row(n).expect("a row of the table")).into()
}

fn owned(feeds: &[(String, Tensor)]) -> Vec<(&str, Tensor)> {
    feeds.iter().map(|(n, t)| (n.as_str(), t.clone())).collect()
}

#[test]
fn random_graphs_agree_with_the_oracle_under_every_setting() {
    let functions = bounded_functions();
    for seed in 0..100 {
        let dag = Dag::random(seed, &functions, 14);
        let (graph, feeds, want) = (dag.graph().expect("a graph"), dag.feeds(), dag.evaluate());
        let family = &families()[seed as usize % 2];
        // Every kernel is compiled only for this test, so the graphs take turns with the settings: each meets both
        // families.
        let (settings, at) = (settings(), seed as usize);
        let others = [0, 3].map(|further| settings[(at + further) % settings.len()]);
        for (name, passes) in [others[0], others[1], ("nothing", Passes::default())] {
            let (optimised, _) =
                passes.run(&graph, &DeviceCaps::webgpu_defaults()).expect("passes");
            optimised.verify(name).expect("a sound graph");
            let ran = execute(&graph, &passes, family, &owned(&feeds), &[&[]]);
            for (o, want) in want.iter().enumerate() {
                // Rounding errors grow along the chain with the values in it, which products enlarge.
                let scale = want.iter().fold(1.0f64, |a, v| a.max(v.abs()));
                let what = format!("seed {seed} without {name}: out{o}");
                compare(&what, &ran.f32(&format!("out{o}")), want, 1e-4, 1e-5 * scale)
                    .unwrap_or_else(|e| panic!("{e}\n{graph}"));
            }
        }
    }
}

/// The graph with every computed f32 value as an output: each then lives to the end, in separate memory.
fn unshared(graph: &Graph) -> Graph {
    let mut all = graph.clone();
    for (i, node) in graph.nodes().iter().enumerate() {
        for v in graph.values(i) {
            let leaf = matches!(node.op.class(), Class::Leaf(_));
            if !leaf && graph.ty(v).dtype == DType::F32 {
                all.output(&v.to_string(), v);
            }
        }
    }
    all
}

/// Sharing slots changes no bit.
#[test]
fn no_two_live_values_share_memory() {
    let mut subjects = scenes();
    let functions = bounded_functions();
    subjects.extend((200..240).map(|seed| {
        let dag = Dag::random(seed, &functions, 14);
        let (graph, feeds) = (dag.graph().expect("a graph"), dag.feeds());
        Scene { name: "a random graph", graph, feeds, steps: vec![vec![]] }
    }));
    let caps = &families()[0];
    for scene in subjects {
        for passes in [Passes::default(), NO_PASSES] {
            let (graph, _) =
                passes.run(&scene.graph, &DeviceCaps::webgpu_defaults()).expect("passes");
            let steps: Vec<&Words<'_>> = scene.steps.iter().map(Vec::as_slice).collect();
            let run = |graph: &Graph| {
                let plan = Plan::lower(graph, caps).unwrap_or_else(|e| panic!("{e}\n{graph}"));
                plan.verify(caps).expect("a sound plan");
                run_plan(&plan, &owned(&scene.feeds), &steps).unwrap_or_else(|e| panic!("{e}"))
            };
            let (shared, alone) = (run(&graph), run(&unshared(&graph)));
            for (name, want) in &shared.outputs {
                assert_eq!(alone.outputs[name], *want, "{}: {name}\n{graph}", scene.name);
            }
            assert_eq!(alone.states, shared.states, "{}", scene.name);
        }
    }
}
