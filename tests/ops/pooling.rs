//! Pooling beyond its cards: ties, NaN, infinities, folded grids, the loop limit, and what is refused.

use crate::gradient::{gradient_graph, same_bits};
use crate::harness::{
    check_case, check_case_on, check_case_under, execute, families, feeds, operands,
};
use crate::reference::compare::compare;
use crate::reference::pool::{self, Slide};
use wgrad::Error;
use wgrad::graph::{Graph, Window};
use wgrad::kernels::DeviceCaps;
use wgrad::ops::registry::{Case, cards};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

/// Windows that overlap, with padding, over scalars and over vectors of channels.
const SCENES: [(&[usize], &[Slide]); 3] = [
    (&[2, 5, 4, 3], &[[3, 1, 1, 1, 1], [2, 2, 1, 0, 0]]),
    (&[1, 5, 6, 8], &[[2, 2, 1, 0, 1], [3, 1, 1, 1, 1]]),
    (&[3, 11, 4], &[[3, 2, 2, 2, 2]]),
];

/// The largest elements and the gradient by `x` for this upstream gradient.
fn max_pool(case: &Case, x: &Tensor, upstream: &Tensor, caps: &DeviceCaps) -> [Vec<f32>; 2] {
    let graph = gradient_graph(case).unwrap_or_else(|e| panic!("{case}: {e}"));
    let mut named = feeds(std::slice::from_ref(x));
    named.push(("upstream".into(), upstream.clone()));
    let fed: Vec<(&str, Tensor)> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let ran = execute(&graph, &Passes::default(), caps, &fed, &[&[]]);
    [ran.f32("out0"), ran.f32("grad0")]
}

/// Checks the maxima of `x` and their gradient, which are whole numbers and so exact.
#[track_caller]
fn check_max(case: &Case, slides: &[Slide], x: &[f32]) {
    let shape = &case.inputs[0].shape;
    let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
    let want = pool::max(&wide, shape.dims(), slides);
    let upstream: Vec<f32> = (0..want.len()).map(|i| (i % 7) as f32 + 1.0).collect();
    let dy: Vec<f64> = upstream.iter().map(|&v| f64::from(v)).collect();
    let grad = pool::max_grad(&wide, shape.dims(), slides, &dy);
    let x = Tensor::f32(shape, x).unwrap();
    let upstream = Tensor::f32([want.len()], upstream).unwrap();
    for caps in families() {
        let [y, dx] = max_pool(case, &x, &upstream, &caps);
        for (y, want) in y.iter().zip(&want) {
            assert!(f64::from(*y) == *want || (y.is_nan() && want.is_nan()), "{y} for {want}");
        }
        compare("gradient", &dx, &grad, 0.0, 0.0).unwrap();
        // Wherever it went, nothing is lost.
        assert_eq!(dx.iter().sum::<f32>(), dy.iter().sum::<f64>() as f32, "{case}");
    }
}

#[test]
fn the_first_of_equal_elements_takes_the_gradient() {
    for (shape, slides) in SCENES {
        let case = Case::pool("max_pool", shape, slides, false);
        let len = case.inputs[0].shape.len();
        check_max(&case, slides, &vec![0.5; len]);
        // Three values, so that most windows have ties; zeros of both signs are equal.
        let x = (0..len).map(|i| [0.0, -0.0, -1.0, -0.0, 0.0][i * i % 5]);
        check_max(&case, slides, &x.collect::<Vec<f32>>());
        let x = (0..len).map(|i| (i * 7 % 3) as f32);
        check_max(&case, slides, &x.collect::<Vec<f32>>());
    }
}

#[test]
fn nan_wins_and_takes_the_gradient() {
    for nan in [f32::NAN, -f32::NAN] {
        for (shape, slides) in SCENES {
            let case = Case::pool("max_pool", shape, slides, false);
            let x = operands(&case)[0].as_f32().unwrap().to_vec();
            for every in [1, 5, 11] {
                let with = |(i, &v): (usize, &f32)| if i % every == 0 { nan } else { v };
                let x: Vec<f32> = x.iter().enumerate().map(with).collect();
                check_max(&case, slides, &x);
            }
        }
    }
}

/// Padding has no value that an element could lose to.
#[test]
fn padding_never_wins() {
    for (shape, slides) in SCENES {
        let case = Case::pool("max_pool", shape, slides, false);
        let len = case.inputs[0].shape.len();
        for low in [f32::NEG_INFINITY, f32::MIN, -1.0] {
            check_max(&case, slides, &vec![low; len]);
        }
    }
}

#[test]
fn odd_sizes_agree() {
    let windows: [&[Slide]; 4] = [
        &[[3, 2, 1, 1, 1], [2, 2, 1, 0, 1]],
        &[[5, 3, 1, 0, 0], [2, 5, 1, 0, 0]],
        &[[3, 1, 1, 1, 1], [7, 1, 1, 3, 3]],
        &[[2, 2, 3, 1, 2], [3, 3, 2, 1, 0]],
    ];
    for slides in windows {
        for (op, counts) in [
            ("max_pool", false),
            ("average_pool", false),
            ("average_pool", true),
            ("max_pool_gradient", false),
            ("average_pool_gradient", true),
        ] {
            check_case(&Case::pool(op, &[2, 19, 41, 7], slides, counts));
            check_case(&Case::pool(op, &[1, 41, 13, 12], slides, counts));
        }
    }
}

/// More workgroups than one dimension of the grid holds.
#[test]
fn grids_fold() {
    for op in ["max_pool", "average_pool", "max_pool_gradient", "average_pool_gradient"] {
        let case = Case::pool(op, &[3, 41, 7], &[[3, 1, 1, 1, 1]], false);
        for caps in families() {
            let caps = DeviceCaps { max_workgroups: 4, ..caps };
            let plan = Plan::compile(&case.graph().unwrap().0, &Passes::default(), &caps).unwrap();
            assert!(plan.dispatches.iter().all(|d| d.call.grid[1] > 1), "{op}");
            check_case_under(&case, std::slice::from_ref(&caps));
        }
    }
}

#[test]
fn the_same_bits_come_ten_times() {
    // Windows that overlap, whose gradient is gathered, and such that do not, whose gradient is spread.
    let scenes: [(&[usize], &[Slide]); 4] = [
        (&[2, 41, 7], &[[3, 1, 1, 1, 1]]),
        (&[2, 41, 7], &[[3, 3, 1, 1, 0]]),
        (&[2, 13, 19, 5], &[[3, 2, 1, 1, 1], [2, 2, 1, 0, 0]]),
        (&[1, 5, 6, 7, 4], &[[2, 2, 1, 0, 0], [2, 2, 1, 0, 1], [3, 3, 1, 1, 1]]),
    ];
    for (op, counts) in [("max_pool", false), ("average_pool", false), ("average_pool", true)] {
        for (shape, slides) in scenes {
            same_bits(&Case::pool(op, shape, slides, counts));
        }
        let spread = |slides| {
            let graph = gradient_graph(&Case::pool(op, scenes[1].0, slides, counts)).unwrap();
            let plan = Plan::compile(&graph, &Passes::default(), &families()[0]).unwrap();
            plan.dispatches.iter().any(|d| d.call.name() == "window/pool_spread")
        };
        assert!(spread(scenes[1].1) && !spread(scenes[0].1), "{op}");
    }
}

/// Weighted sums of neighbours, the divided ones among them: the means of uneven windows are such.
#[test]
fn the_same_bits_of_bands_come_ten_times() {
    for card in cards().iter().filter(|card| ["bands", "pad"].contains(&card.name)) {
        card.cases.iter().for_each(same_bits);
    }
}

/// The second derivative of a mean is there: that of a maximum is refused.
#[test]
fn a_gradient_may_be_differentiated_if_it_is_of_a_mean() {
    let mean = Case::pool("average_pool_gradient", &[1, 7, 4], &[[3, 2, 1, 1, 1]], false);
    assert!(gradient_graph(&mean).is_ok());
    let max = Case::pool("max_pool_gradient", &[1, 7, 4], &[[3, 2, 1, 1, 1]], false);
    let error = gradient_graph(&max).unwrap_err();
    assert!(matches!(error, Error::NotDifferentiable { .. }), "{error}");
}

#[test]
fn a_window_past_the_loop_limit_is_an_error() {
    let case = Case::pool("max_pool", &[1, 70_000, 1], &[[70_000, 1, 1, 0, 0]], false);
    let graph = case.graph().unwrap().0;
    let caps = DeviceCaps { max_loop_trips: 65_535, ..DeviceCaps::webgpu_defaults() };
    let error = Plan::compile(&graph, &Passes::default(), &caps).unwrap_err();
    assert!(matches!(error, Error::Limit { needed: 70_000, .. }), "{error}");
    assert!(error.to_string().contains("max_pool"), "{error}");
    // One that just fits.
    let case = Case::pool("max_pool", &[1, 65_535, 1], &[[65_535, 1, 1, 0, 0]], false);
    check_case_on(&case, &operands(&case), (0.0, 0.0));
}

/// A window with more elements than a loop may have iterations is pooled axis by axis, with the same result.
#[test]
fn a_window_past_the_loop_limit_is_pooled_axis_by_axis() {
    let slides: [Slide; 2] = [[300, 300, 1, 4, 6], [240, 239, 1, 1, 0]];
    let image = [1, 290, 478, 1];
    let max = Case::pool("max_pool", &image, &slides, false);
    let plan = Plan::compile(&max.graph().unwrap().0, &Passes::default(), &families()[0]).unwrap();
    assert_eq!(plan.dispatches.len(), 2);
    // Few values, so that there are ties in lines and columns: the first of the window takes the gradient.
    let x: Vec<f32> = (0..290 * 478).map(|i: usize| (i * i % 97 % 7) as f32 - 3.0).collect();
    check_max(&max, &slides, &x);
    for counts in [false, true] {
        check_case(&Case::pool("average_pool", &image, &slides, counts));
    }
    // The control: one that a loop can do is one kernel.
    let small = Case::pool("max_pool", &image, &[[200, 1, 1, 0, 0], [200, 1, 1, 0, 0]], false);
    let plan =
        Plan::compile(&small.graph().unwrap().0, &Passes::default(), &families()[0]).unwrap();
    assert_eq!(plan.dispatches.len(), 1);
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    let refused = |shape: &[usize], dtype: DType, windows: &[Window], words: &[&str]| {
        let mut g = Graph::new();
        let x = g.input("x", shape, dtype);
        let error = g.max_pool(x, windows).expect_err("refused").to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(g.average_pool(x, windows, true).is_err());
    };
    let of = |taps, before, after| Window { before, after, ..Window::of(taps) };
    let image = [2, 5, 6, 3];
    refused(&image, DType::U8, &[of(2, 0, 0); 2], &["max_pool", "only f32"]);
    refused(&image, DType::F32, &[], &["windows slide along 1 to 3 axes"]);
    refused(&image, DType::F32, &[of(2, 0, 0)], &["1 windows", "[2, 5, 6, 3]"]);
    refused(&image, DType::F32, &[of(2, 0, 0); 4], &["not 4"]);
    refused(&image, DType::F32, &[of(2, 0, 0), of(7, 0, 0)], &["6 elements of axis 2"]);
    refused(&image, DType::F32, &[of(2, 2, 0), of(2, 0, 0)], &["padding alone along axis 1"]);
    refused(&image, DType::F32, &[of(2, 0, 0), of(3, 0, 3)], &["window 6", "along axis 2"]);
    let zero = Window { stride: 0, ..Window::of(1) };
    refused(&image, DType::F32, &[zero; 2], &["stride: 0"]);
    // Taps of which each is in padding.
    let around = Window { dilation: 2, ..of(2, 1, 1) };
    refused(&[1, 1, 1], DType::F32, &[around], &["padding alone"]);
    // Numbers near the end of what a machine counts.
    for far in [of(2, usize::MAX - 9, 0), of(2, 0, usize::MAX - 9), of(1 << 40, 1 << 40, 0)] {
        refused(&[1, 4, 1], DType::F32, &[far], &["axis 1 has", "2^30 at most"]);
    }
}
