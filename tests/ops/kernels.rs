//! Kernels from outside of the library: results and gradients against f64, guard words, and what wild text may do.

use crate::harness::{NO_PASSES, execute, families, run_plan};
use crate::reference::compare::compare;
use crate::reference::random::uniform;
use std::sync::Arc;
use wgrad::autodiff::gradients;
use wgrad::gpu::DeviceOptions;
use wgrad::graph::{Graph, TensorType};
use wgrad::ops::{CustomKernel, Iteration, Loop, Looped};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

/// p = x · factor[label], q = x² in one launch.
const FORWARD: &str = "
@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let at = id.y * params.cols + id.x;
    if id.x >= params.cols || at >= x_len { return; }
    p[at] = x[at] * params.scale * f32(1u + labels[id.y]);
    q[at] = x[at] * x[at];
}
";

const BACKWARD: &str = "
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x < x_len {
        let row = id.x / params.cols;
        d_x[id.x] = d_p[id.x] * params.scale * f32(1u + labels[row]) + d_q[id.x] * 2.0 * x[id.x];
    }
}
";

fn kernel(rows: usize, cols: usize) -> CustomKernel {
    let ty = TensorType::f32([rows, cols]);
    let groups = |n: usize, of: usize| n.div_ceil(of) as u32;
    CustomKernel::new("pair", FORWARD)
        .input("x")
        .input("labels")
        .output("p", ty.clone())
        .output("q", ty)
        .param("cols", cols as u32)
        .param("scale", 0.5f32)
        .workgroups([groups(cols, 8), groups(rows, 4), 1])
        .gradient(BACKWARD, [groups(rows * cols, 64), 1, 1])
}

/// `weights · p + q`, summed if `both`, else of `p` alone; with its gradient.
fn graph(rows: usize, cols: usize, both: bool) -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", [rows, cols], DType::F32);
    let labels = g.input("labels", [rows], DType::U32);
    let weights = g.input("weights", [rows, cols], DType::F32);
    let results = g.kernel(&kernel(rows, cols), &[x, labels]).unwrap();
    let mut sum = g.mul(results[0], weights).unwrap();
    if both {
        sum = g.add(sum, results[1]).unwrap();
    }
    let loss = g.sum(sum, &[], false).unwrap();
    let gradient = gradients(&mut g, loss, &[x]).unwrap()[0];
    for (name, v) in [("p", results[0]), ("q", results[1]), ("gradient", gradient)] {
        g.output(name, v);
    }
    g
}

#[test]
fn results_and_gradients_are_those_of_f64() {
    for (rows, cols) in [(1, 1), (3, 5), (7, 33), (64, 64), (130, 3)] {
        let x = uniform(3, rows * cols, -2.0, 2.0);
        let weights = uniform(4, rows * cols, -1.0, 1.0);
        let labels: Vec<u32> = (0..rows as u32).map(|i| i % 5).collect();
        let feeds = [
            ("x", Tensor::f32([rows, cols], x.clone()).unwrap()),
            ("labels", Tensor::u32([rows], labels.clone()).unwrap()),
            ("weights", Tensor::f32([rows, cols], weights.clone()).unwrap()),
        ];
        for both in [true, false] {
            let g = graph(rows, cols, both);
            let at = |i: usize| (f64::from(x[i]), 0.5 * f64::from(1 + labels[i / cols]));
            let all = 0..rows * cols;
            let p: Vec<f64> = all.clone().map(|i| at(i).0 * at(i).1).collect();
            let q: Vec<f64> = all.clone().map(|i| at(i).0.powi(2)).collect();
            let own = |i: usize| if both { 2.0 * at(i).0 } else { 0.0 };
            let gradient: Vec<f64> =
                all.map(|i| f64::from(weights[i]) * at(i).1 + own(i)).collect();
            assert!(gradient.iter().all(|d| *d != 0.0));
            for caps in families() {
                for passes in [Passes::default(), NO_PASSES] {
                    let ran = execute(&g, &passes, &caps, &feeds, &[&[]]);
                    for (name, want) in [("p", &p), ("q", &q), ("gradient", &gradient)] {
                        compare(name, &ran.f32(name), want, 4e-7, 4e-7).unwrap();
                    }
                    let bits = |name: &str| -> Vec<u32> {
                        let again = execute(&g, &passes, &caps, &feeds, &[&[]]);
                        again.f32(name).iter().map(|v| v.to_bits()).collect()
                    };
                    let first: Vec<u32> = ran.f32("gradient").iter().map(|v| v.to_bits()).collect();
                    assert_eq!(bits("gradient"), first);
                }
            }
        }
    }
}

#[test]
fn the_same_bits_come_ten_times() {
    let g = graph(7, 33, true);
    let feeds = [
        ("x", Tensor::f32([7, 33], uniform(5, 231, -2.0, 2.0)).unwrap()),
        ("labels", Tensor::u32([7], [0, 1, 2, 3, 4, 5, 6]).unwrap()),
        ("weights", Tensor::f32([7, 33], uniform(6, 231, -2.0, 2.0)).unwrap()),
    ];
    let run = || execute(&g, &Passes::default(), &families()[0], &feeds, &[&[]]);
    let first = run();
    assert!((0..9).all(|_| run() == first));
}

/// Writes far before and behind `y`, and reads behind `x`.
const WILD: &str = "
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    for (var k = 0u; k < 3u; k += 1u) {
        y[i + k * 1000u] = x[i + 5u];
        y[u32(i32(i) - 40)] = 7.0;
    }
}
";

fn wild() -> Plan {
    let mut g = Graph::new();
    let x = g.input("x", [7], DType::F32);
    let kernel = CustomKernel::new("wild", WILD)
        .input("x")
        .output("y", TensorType::f32([7]))
        .workgroups([2, 1, 1]);
    let y = g.kernel(&kernel, &[x]).unwrap()[0];
    g.output("y", y);
    Plan::compile(&g, &Passes::default(), &families()[0]).unwrap()
}

#[test]
fn a_wild_kernel_stays_inside_of_its_tensors() {
    let x = [("x", Tensor::f32([7], [1.0; 7]).unwrap())];
    let plan = wild();
    let ran = run_plan(&plan, &x, &[&[]]);
    if DeviceOptions::from_env().unwrap().checked {
        let error = ran.unwrap_err();
        assert!(error.contains("index out of bounds") && error.contains("`wild`"), "{error}");
        return;
    }
    let ran = ran.unwrap();
    // What lies behind `x` is NaN.
    assert!(ran.f32("y").iter().all(|y| y.is_finite()), "{:?}", ran.f32("y"));

    // With regions and arrays that are longer than the tensors, the guard words tell.
    let mut longer = plan.clone();
    // SAFETY: it reaches guard words.
    let data = unsafe { longer.data_mut() };
    let dispatch = &mut data.dispatches[0];
    dispatch.bindings.iter_mut().for_each(|b| b.0.bytes += 64);
    let text = dispatch.call.text.as_deref().unwrap();
    assert!(text.contains("array<f32, 7>"), "{text}");
    dispatch.call.text = Some(Arc::from(text.replace("array<f32, 7>", "array<f32, 23>")));
    let region = dispatch.bindings[1].0;
    data.outputs[0].region = region;
    let error = run_plan(&longer, &x, &[&[]]).unwrap_err();
    assert!(error.starts_with("guard: byte"), "{error}");
}

/// Three launches, each on the result of the one before: one after the other, and in a loop.
#[test]
fn a_kernel_follows_itself_and_runs_in_a_loop() {
    let text = "@compute @workgroup_size(8)
        fn main(@builtin(global_invocation_id) id: vec3u) {
            if id.x < a_len { b[id.x] = 0.5 * a[id.x] * a[id.x]; }
        }";
    let back = "@compute @workgroup_size(8)
        fn main(@builtin(global_invocation_id) id: vec3u) {
            if id.x < a_len { d_a[id.x] = d_b[id.x] * a[id.x]; }
        }";
    let half = CustomKernel::new("half_square", text)
        .input("a")
        .output("b", TensorType::f32([5]))
        .gradient(back, [1, 1, 1]);
    let x = [0.5, -1.0, 1.5, 2.0, -3.0];
    // y = 2⁻⁷ x⁸.
    let want = x.map(|x: f64| x.powi(8) / 128.0);
    let slope = x.map(|x: f64| x.powi(7) / 16.0);
    let feeds = [("x", Tensor::f32([5], x.map(|x| x as f32)).unwrap())];
    for in_loop in [false, true] {
        let mut g = Graph::new();
        let x = g.input("x", [5], DType::F32);
        let mut y = x;
        if in_loop {
            let turns = Loop { carries: &[x], times: Some(3), ..Loop::default() };
            let body = |g: &mut Graph, now: &Iteration| {
                let carries = g.kernel(&half, &now.carries)?;
                Ok(Looped { carries, stacked: vec![] })
            };
            y = g.scan(&turns, body).unwrap().carries[0];
        } else {
            for _ in 0..3 {
                y = g.kernel(&half, &[y]).unwrap()[0];
            }
        }
        let loss = g.sum(y, &[], false).unwrap();
        let d = gradients(&mut g, loss, &[x]).unwrap()[0];
        g.output("y", y);
        g.output("d", d);
        let plan = Plan::compile(&g, &Passes::default(), &families()[0]).unwrap();
        assert_eq!(plan.repeats.is_empty(), !in_loop);
        assert!(plan.to_string().contains("kernel half_square (from outside, checked)"), "{plan}");
        let ran = execute(&g, &Passes::default(), &families()[0], &feeds, &[&[]]);
        compare("y", &ran.f32("y"), &want, 1e-6, 0.0).unwrap();
        compare("d", &ran.f32("d"), &slope, 1e-6, 0.0).unwrap();
    }
}
