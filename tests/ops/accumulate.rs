//! Cumulative sums of any length, and products and extremes at their edges.

use crate::gradient::gradient_graph;
use crate::harness::{check_case, execute, families, feeds, operands, run_case};
use crate::reference::reduce;
use wgrad::kernels::{DeviceCaps, ReduceParams};
use wgrad::ops::registry::{Case, Sample};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::Tensor;

const INF: f32 = f32::INFINITY;

fn whole(mut case: Case) -> Case {
    case.inputs[0] = Sample::whole(case.inputs[0].shape.clone());
    case
}

/// One chunk and many, one level and several; sums of small whole numbers are exact.
#[test]
fn cumulative_sums_of_any_length() {
    let forms = [[false, false], [true, false], [false, true], [true, true]];
    let lengths: [(&[usize], usize); 8] = [
        (&[1], 0),
        (&[255], 0),
        (&[257], 0),
        (&[4099], 0),
        (&[3, 1009, 5], 1),
        (&[2, 20_001], 1),
        (&[20_001, 3], 0),
        (&[1, 1, 300], 1),
    ];
    for (i, (shape, axis)) in lengths.into_iter().enumerate() {
        let case = whole(Case::cumulative("cumsum", shape, axis, forms[i % 4]));
        // The oracle adds all elements anew for each result.
        if shape.iter().product::<usize>() <= 16_000 {
            check_case(&case);
            continue;
        }
        let x = operands(&case);
        let wide: Vec<f64> = x[0].as_f32().expect("f32").iter().map(|&v| f64::from(v)).collect();
        let want = prefix(&wide, shape, axis, forms[i % 4]);
        for caps in families() {
            assert_eq!(run_case(&case, &x, &Passes::default(), &caps).f32("out0"), want, "{case}");
        }
    }
}

/// Cumulative sums by going along the axis once.
fn prefix(x: &[f64], shape: &[usize], axis: usize, [reverse, exclusive]: [bool; 2]) -> Vec<f32> {
    let (len, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let mut sums = vec![0.0; x.len()];
    for block in 0..x.len() / len / inner {
        for column in 0..inner {
            let mut running = 0.0;
            for j in 0..len {
                let j = if reverse { len - 1 - j } else { j };
                let at = (block * len + j) * inner + column;
                let before = running;
                running += x[at];
                sums[at] = (if exclusive { before } else { running }) as f32;
            }
        }
    }
    sums
}

/// No invocation goes through more elements than the loop limit allows, however low it is.
#[test]
fn cumulative_sums_keep_the_loop_limit() {
    for trips in [8, 100, 65_535] {
        let case = whole(Case::cumulative("cumsum", &[40_000], 0, [false, false]));
        let graph = case.graph().expect("a graph").0;
        for caps in families() {
            let caps = DeviceCaps { max_loop_trips: trips, ..caps };
            let plan = Plan::compile(&graph, &Passes::default(), &caps).expect("a plan");
            let chunk = |bytes: &[u8]| {
                let block: ReduceParams = bytemuck::pod_read_unaligned(&bytes[..32]);
                block.chunk
            };
            let longest = plan.dispatches.iter().map(|d| chunk(&d.call.params)).max();
            assert!(longest.is_some_and(|chunk| chunk <= trips / 2), "{longest:?}, {trips}");
            assert!(trips > 100 || plan.dispatches.len() > 4, "{plan}");
            let x = operands(&case);
            let wide: Vec<f64> = x[0].as_f32().expect("f32").iter().map(|&v| v.into()).collect();
            let want = prefix(&wide, &[40_000], 0, [false, false]);
            let ran = execute(&graph, &Passes::default(), &caps, &[("in0", x[0].clone())], &[&[]]);
            assert_eq!(ran.f32("out0"), want);
        }
    }
}

#[test]
fn the_same_bits_ten_times() {
    let cases = [
        Case::cumulative("cumsum", &[3, 5000], 1, [false, false]),
        Case::cumulative("cumprod", &[999, 3], 0, [true, true]),
        Case::reduce("product", &[3, 9001], &[1]),
        Case::reduce("min", &[9001, 3], &[0]),
    ];
    for case in &cases {
        for caps in families() {
            let run = || {
                let ran = run_case(case, &operands(case), &Passes::default(), &caps).f32("out0");
                ran.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let first = run();
            assert!((0..9).all(|_| run() == first), "{case}");
        }
    }
}

/// With one zero among the factors, its gradient is the product of the others; with two, all are zero. And factors so
/// small that their product is zero still have a gradient.
#[test]
fn the_gradient_of_a_product_with_zeros() {
    let rows = [[2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 5.0, 0.0], [1e-30, 1e-30, 1.0]];
    let want = [[12.0, 8.0, 6.0], [0.0, 8.0, 0.0], [0.0; 3], [1e-30, 1e-30, 0.0]];
    for (shape, axes, turn) in [([4usize, 3], [1usize], false), ([3, 4], [0], true)] {
        let place = |i: usize| if turn { (i % 4, i / 4) } else { (i / 3, i % 3) };
        let case = Case::reduce("product", &shape, &axes);
        let graph = gradient_graph(&case).expect("a gradient");
        let x: Vec<f32> = (0..12).map(place).map(|(r, c)| rows[r][c]).collect();
        let want: Vec<f32> = (0..12).map(place).map(|(r, c)| want[r][c]).collect();
        let mut named = feeds(&[Tensor::f32(shape, x).expect("twelve")]);
        named.push(("upstream".into(), Tensor::f32([4], [1.0; 4]).expect("four")));
        let fed: Vec<(&str, Tensor)> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
        for caps in families() {
            let ran = execute(&graph, &Passes::default(), &caps, &fed, &[&[]]);
            assert_eq!(ran.f32("grad0"), want);
        }
    }
}

/// Along rows and columns, in one stage and in two.
#[test]
fn long_products_and_minima() {
    for (shape, axis) in [(&[300_000usize][..], 0), (&[2, 70_001], 1), (&[70_001, 3], 0)] {
        check_case(&whole(Case::reduce("min", shape, &[axis])));
        // Factors 1 and -1, and a 2 and a 3: exact.
        let case = Case::reduce("product", shape, &[axis]);
        let len: usize = shape.iter().product();
        let mut x: Vec<f32> = (0..len).map(|i| if i % 7 < 3 { -1.0 } else { 1.0 }).collect();
        (x[5], x[len - 1]) = (2.0, 3.0);
        let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        let want = reduce::product(&wide, shape, &[axis]);
        let x = [Tensor::f32(shape, x).expect("right length")];
        for caps in families() {
            let got = run_case(&case, &x, &Passes::default(), &caps).f32("out0");
            assert!(got.iter().zip(&want).all(|(&g, &w)| f64::from(g) == w), "{case}: {got:?}");
        }
    }
}

/// NaN of either sign wins; infinities and zeros keep their order.
#[test]
fn minima_and_products_of_special_numbers() {
    for nan in [f32::NAN, -f32::NAN] {
        let rows = [
            [1.0, nan, 3.0],
            [INF, INF, INF],
            [-INF, 2.0, nan],
            [f32::MAX, INF, f32::MIN],
            [0.0, INF, 1.0],
            [-0.0, 5.0, 2.0],
        ];
        let x: Vec<f32> = rows.iter().flatten().copied().collect();
        let turned: Vec<f32> = (0..18).map(|i| rows[i % 6][i / 6]).collect();
        for (shape, axis, x) in [([6usize, 3], 1, x), ([3, 6], 0, turned)] {
            let x = [Tensor::f32(shape, x).expect("eighteen")];
            for caps in families() {
                let of = |op| {
                    let case = Case::reduce(op, &shape, &[axis]);
                    run_case(&case, &x, &Passes::default(), &caps).f32("out0")
                };
                let (min, product) = (of("min"), of("product"));
                assert!(min[0].is_nan() && min[2].is_nan(), "{min:?}");
                assert_eq!([min[1], min[3], min[4], min[5]], [INF, f32::MIN, 0.0, 0.0]);
                assert!([0, 2, 4].iter().all(|&i| product[i].is_nan()), "{product:?}");
                assert_eq!([product[1], product[3], product[5]], [INF, -INF, 0.0]);
            }
        }
    }
}

/// Ties, zeros of both signs, infinities; the first NaN wins in both.
#[test]
fn places_of_special_numbers() {
    let nan = f32::NAN;
    let rows = [
        [2.0, 2.0, 1.0, 1.0],
        [-0.0, 0.0, -0.0, 0.0],
        [-INF, -INF, -INF, -INF],
        [1.0, INF, -INF, INF],
        [5.0, -nan, nan, INF],
        [f32::MIN_POSITIVE, 2.0 * f32::MIN_POSITIVE, -f32::MIN_POSITIVE, 0.0],
    ];
    let flat: Vec<f32> = rows.iter().flatten().copied().collect();
    let x = [Tensor::f32([6, 4], flat).expect("24")];
    for caps in families() {
        let of =
            |op| run_case(&Case::position(op, &[6, 4]), &x, &Passes::default(), &caps).f32("out0");
        let (largest, smallest) = (of("argmax"), of("argmin"));
        assert_eq!(largest[..5], [0.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(smallest[..5], [2.0, 0.0, 0.0, 2.0, 1.0]);
        // The smallest normal numbers: WGSL lets a device treat smaller ones as zero.
        assert_eq!((largest[5], smallest[5]), (1.0, 2.0));
    }
}
