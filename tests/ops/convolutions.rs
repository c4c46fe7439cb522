//! Convolutions beyond their cards: what they launch, how much they multiply, and that bits repeat.

use crate::gradient::{gradient_graph, same_bits, same_bits_under};
use crate::harness::{check_case_under, device, execute, families};

use wgrad::autodiff::gradients;
use wgrad::graph::{Graph, Window};
use wgrad::kernels::DeviceCaps;
use wgrad::ops::registry::Case;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

const PARTS: [&str; 3] = ["convolution", "convolution_transpose", "convolution_kernel"];

fn same(taps: usize, stride: usize) -> Window {
    Window { stride, before: (taps - stride) / 2, after: taps / 2, ..Window::of(taps) }
}

/// One filter, or one channel, takes no launch more than eight.
#[test]
fn one_filter_is_as_many_launches() {
    let launches = |[channels, filters]: [usize; 2]| {
        let mut g = Graph::new();
        let x = g.input("x", [3, 9, 7, channels], DType::F32);
        let kernel = g.input("kernel", [3, 3, channels, filters], DType::F32);
        let bias = g.input("bias", [filters], DType::F32);
        let upstream = g.input("upstream", [3, 9, 7, filters], DType::F32);
        let y = g.convolution(x, kernel, &[same(3, 1); 2], 1).expect("a convolution");
        let y = g.add(y, bias).expect("a sum");
        let weighted = g.mul(y, upstream).expect("a product");
        let loss = g.sum(weighted, &[], false).expect("a sum");
        let all = gradients(&mut g, loss, &[x, kernel, bias]).expect("gradients");
        for (name, v) in ["dx", "dkernel", "dbias"].into_iter().zip(all) {
            g.output(name, v);
        }
        let plan = Plan::compile(&g, &Passes::default(), device().caps()).expect("a plan");
        plan.dispatches.len()
    };
    let usual = launches([4, 8]);
    for sizes in [[4, 1], [1, 8], [1, 1]] {
        assert!(launches(sizes) <= usual, "{sizes:?}");
    }
}

/// Bias, activation and the upstream gradient through it are in the product; the gradients of kernel and bias are one.
#[test]
fn a_layer_is_one_launch_forward_and_two_backward() {
    for groups in [1, 2] {
        let mut g = Graph::new();
        let x = g.input("x", [3, 9, 7, 4], DType::F32);
        let kernel = g.input("kernel", [3, 3, 4 / groups, 8], DType::F32);
        let bias = g.input("bias", [8], DType::F32);
        let upstream = g.input("upstream", [3, 9, 7, 8], DType::F32);
        let y = g.convolution(x, kernel, &[same(3, 1); 2], groups).expect("a convolution");
        let y = g.add(y, bias).expect("a sum");
        let y = g.unary("relu", y, &[]).expect("a function");
        let forward = {
            let mut g = g.clone();
            g.output("y", y);
            Plan::compile(&g, &Passes::default(), device().caps()).expect("a plan").dispatches.len()
        };
        let weighted = g.mul(y, upstream).expect("a product");
        let loss = g.sum(weighted, &[], false).expect("a sum");
        let all = gradients(&mut g, loss, &[x, kernel, bias]).expect("gradients");
        for (name, v) in ["dx", "dkernel", "dbias"].into_iter().zip(all) {
            g.output(name, v);
        }
        g.output("y", y);
        let plan = Plan::compile(&g, &Passes::default(), device().caps()).expect("a plan");
        if groups == 1 {
            assert_eq!([forward, plan.dispatches.len()], [1, 3], "{plan}");
        }
        let with = |passes: &Passes| {
            let of = |shape: &[usize], seed: usize| {
                let len: usize = shape.iter().product();
                let v: Vec<f32> =
                    (0..len).map(|i| ((i * 31 + seed) % 17) as f32 / 8.0 - 1.0).collect();
                Tensor::f32(shape, v).expect("as many elements")
            };
            let feeds = [
                ("x", of(&[3, 9, 7, 4], 1)),
                ("kernel", of(&[3, 3, 4 / groups, 8], 2)),
                ("bias", of(&[8], 3)),
                ("upstream", of(&[3, 9, 7, 8], 4)),
            ];
            execute(&g, passes, device().caps(), &feeds, &[&[]])
        };
        let (fast, plain) = (with(&Passes::default()), with(&Passes::none()));
        for name in ["y", "dx", "dkernel", "dbias"] {
            let (a, b) = (fast.f32(name), plain.f32(name));
            assert!(a.iter().any(|v| v.abs() > 0.1), "{name} is zero");
            let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-4, "{name}: {apart}");
        }
    }
}

/// The gradient of the images at stride 2 has as many products as the convolution itself.
#[test]
fn a_strided_gradient_multiplies_no_zeros() {
    for (taps, stride) in [(3, 2), (4, 2), (2, 2), (5, 3), (1, 2)] {
        let window = same(taps, stride.min(taps));
        let window = Window { stride, ..window };
        let flops = |op: &'static str| -> u64 {
            let case = Case::convolution(op, [2, 4, 8, 1], &[(window, 12), (window, 12)]);
            let graph = case.graph().expect("a graph").0;
            let plan = Plan::compile(&graph, &Passes::default(), device().caps()).expect("a plan");
            let products = plan.dispatches.iter().filter(|d| d.call.name().starts_with("matmul"));
            products.map(|d| d.call.flops).sum()
        };
        let [forward, input] = [flops("convolution"), flops("convolution_transpose")];
        // Elements at the border have windows outside.
        assert!(input <= forward * 13 / 10, "{taps} by {stride}: {input} of {forward}");
    }
}

/// The convolution and both of its gradients.
#[test]
fn the_same_bits_ten_times() {
    let large = Window { stride: 5, before: 2, after: 1, ..Window::of(7) };
    let dilated = Window { stride: 2, dilation: 3, before: 3, after: 3, ..Window::of(3) };
    let of = |sizes, axes: &[(Window, usize)]| Case::convolution("convolution", sizes, axes);
    for case in [
        of([2, 7, 6, 1], &[(same(3, 2), 41), (same(3, 1), 5)]),
        of([2, 7, 6, 1], &[(large, 19), (large, 14)]),
        of([2, 6, 9, 3], &[(same(3, 1), 11), (dilated, 41)]),
        of([2, 7, 3, 1], &[(dilated, 41)]),
        of([1, 3, 5, 1], &[(same(3, 1), 4), (same(2, 1), 5), (same(3, 2), 6)]),
    ] {
        same_bits(&case);
    }
}

/// The gradient of the kernel is a sum over all windows, which is divided: the parts are added in a fixed order.
#[test]
fn the_same_bits_ten_times_of_divided_sums() {
    for groups in [1, 2] {
        let axes = [(same(3, 1), 48), (same(3, 2), 65)];
        let case = Case::convolution("convolution", [2, 4, 6, groups], &axes);
        // A device may have no need to divide such sums, but must if its loops are short.
        let short = |caps| DeviceCaps { max_loop_trips: 200, ..caps };
        let all = families().map(short);
        let graph = gradient_graph(&case).expect("a gradient");
        for caps in &all {
            let plan = Plan::compile(&graph, &Passes::default(), caps).expect("a plan");
            let joins = plan.dispatches.iter().filter(|d| d.call.name() == "matmul/combine");
            assert!(joins.count() >= 1, "{plan}");
        }
        same_bits_under(&case, &all);
    }
}

/// A transposed convolution of stride 16 by 16 is one product, not 256; what strides of up to 16 residues launch stays.
#[test]
fn large_strides_launch_no_product_for_each_residue() {
    let launches = |taps: usize, stride: usize| {
        let window = Window { stride, ..Window::of(taps) };
        let case = Case::convolution(
            "convolution_transpose",
            [2, 3, 4, 1],
            &[(window, taps + 2 * stride), (window, taps + stride)],
        );
        let (graph, ..) = case.graph().expect("a graph");
        let plan = Plan::compile(&graph, &Passes::default(), device().caps()).expect("a plan");
        let products = plan.dispatches.iter().filter(|d| d.call.name().starts_with("matmul"));
        let products = products.filter(|d| !d.call.name().contains("combine")).count();
        (products, plan.dispatches.len())
    };
    assert_eq!(launches(4, 4).0, 16);
    for (taps, stride, most) in [(16, 16, 6), (5, 16, 8), (17, 16, 16), (32, 16, 16), (5, 5, 6)] {
        let (products, all) = launches(taps, stride);
        assert_eq!(products, 1, "{taps} taps, stride {stride}");
        assert!(all <= most, "{taps} taps, stride {stride}: {all} launches");
    }
}

/// More workgroups than one dimension of the grid holds: tiles of outputs, and the parts of long sums.
#[test]
fn grids_fold() {
    // The gradient of the kernel is as large as the kernel alone.
    let sizes = [([5, 3, 7, 1], [29, 31]), ([5, 3, 7, 1], [29, 31]), ([2, 48, 65, 1], [9, 11])];
    for (part, (sizes, extents)) in PARTS.into_iter().zip(sizes) {
        let axes = [(same(3, 1), extents[0]), (same(3, 2), extents[1])];
        let case = Case::convolution(part, sizes, &axes);
        for caps in families() {
            let caps = DeviceCaps { max_workgroups: 20, ..caps };
            let plan = Plan::compile(&case.graph().unwrap().0, &Passes::default(), &caps).unwrap();
            assert!(plan.dispatches.iter().any(|d| d.call.grid[1..] != [1, 1]), "{part}\n{plan}");
            check_case_under(&case, std::slice::from_ref(&caps));
        }
    }
}
