//! Kernels over rows: what is exact, far out, masked, in how many launches, and the same each time.

use crate::gradient::gradient_graph;
use crate::harness::{
    check_case, check_case_on, execute, families, feeds, operands, run_case, wide,
};
use crate::oracle;
use crate::reference::compare::compare;
use crate::reference::random::uniform;
use crate::reference::{norm, softmax};
use wgrad::graph::{Graph, Value};
use wgrad::kernels::DeviceCaps;
use wgrad::ops::SoftmaxMask::{Additive, Keep};
use wgrad::ops::registry::Case;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

const WIDTHS: [usize; 5] = [1, 3, 7, 64, 1000];

/// Every op on rows of `cols`.
fn cases(rows: usize, cols: usize) -> Vec<Case> {
    let shape = [rows, cols];
    vec![
        Case::layer_norm(&shape, 1, true, true),
        Case::rms_norm(&shape, 1, true),
        Case::masked_softmax(&shape, &shape, Keep),
        Case::masked_softmax(&shape, &[cols], Additive),
        Case::statistic("variance", &shape, &[1]),
        Case::statistic("log_sum_exp", &shape, &[1]),
    ]
}

#[test]
fn rows_of_every_width() {
    for cols in WIDTHS {
        cases(5, cols).iter().for_each(check_case);
    }
}

#[test]
fn rows_of_100_000_columns() {
    cases(2, 100_000).iter().for_each(check_case);
}

#[test]
fn more_rows_than_one_dispatch_dimension() {
    cases(70_000, 3).iter().for_each(check_case);
}

/// The gradient of a case on the device for an upstream gradient.
fn gradients(case: &Case, x: &[Tensor], upstream: &Tensor, caps: &DeviceCaps) -> Vec<Vec<f32>> {
    let graph = gradient_graph(case).unwrap_or_else(|e| panic!("{case}: {e}"));
    let mut named = feeds(x);
    named.push(("upstream".into(), upstream.clone()));
    let fed: Vec<(&str, Tensor)> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let ran = execute(&graph, &Passes::default(), caps, &fed, &[&case.words]);
    (0..x.len()).map(|i| ran.f32(&format!("grad{i}"))).collect()
}

/// The gradient by its formula in f64: dx, dgamma, dbeta.
fn layer_norm_gradient(x: &[f64], gamma: &[f64], dy: &[f64], epsilon: f64) -> [Vec<f64>; 3] {
    let n = gamma.len();
    let unit = norm::layer_norm(x, n, None, None, epsilon);
    let scaled: Vec<f64> = dy.iter().zip(gamma.iter().cycle()).map(|(d, w)| d * w).collect();
    let (mut dgamma, mut dbeta) = (vec![0.0; n], vec![0.0; n]);
    for (i, (u, d)) in unit.iter().zip(dy).enumerate() {
        dgamma[i % n] += u * d;
        dbeta[i % n] += d;
    }
    [norm::layer_norm_grad(x, &scaled, n, epsilon), dgamma, dbeta]
}

/// An upstream gradient in [0.25, 1.75).
fn upstream(rows: usize, cols: usize) -> Tensor {
    Tensor::f32([rows, cols], uniform(71, rows * cols, 0.25, 1.75)).expect("right length")
}

/// Widths and row counts at which the kernels change their method, with gradients that are not zero.
#[test]
fn layer_norm_gradients_at_every_size() {
    for (rows, cols) in [(5, 3), (5, 7), (3, 64), (3, 1000), (2, 20_000), (5000, 8), (40_000, 3)] {
        let case = Case::layer_norm(&[rows, cols], 1, true, true);
        let x = operands(&case);
        let dy = upstream(rows, cols);
        let want = layer_norm_gradient(&wide(&x[0]), &wide(&x[1]), &wide(&dy), 1e-3);
        for caps in families() {
            let got = gradients(&case, &x, &dy, &caps);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                // A column sum of n products near 1 is off by about sqrt(n) roundings of its size.
                let size = if i == 0 { 1.0 } else { (rows as f64).sqrt() };
                let name = format!("{case} gradient {i}");
                compare(&name, got, want, 2e-5, 3e-6 * size).unwrap_or_else(|e| panic!("{e}"));
                assert!(want.iter().any(|v| v.abs() > 0.01), "{name} is zero");
            }
        }
    }
}

/// Mean 1e4 and spread 1: a variance as the mean of squares less the square of the mean would have no right digit.
#[test]
fn a_mean_that_is_large_against_the_spread() {
    for cols in [7, 64, 1000, 20_000] {
        let data: Vec<f32> = uniform(5, 3 * cols, -1.7, 1.7).iter().map(|v| v + 1e4).collect();
        let x = Tensor::f32([3, cols], data).expect("right length");
        let case = Case::layer_norm(&[3, cols], 1, true, true);
        let mut all = operands(&case);
        all[0] = x.clone();
        // As exact as around zero.
        let bound = oracle::tolerance(&case);
        check_case_on(&case, &all, (bound.0, 3.0 * bound.1));
        let statistic = Case::statistic("variance", &[3, cols], &[1]);
        check_case_on(&statistic, std::slice::from_ref(&x), oracle::tolerance(&statistic));
        let dy = upstream(3, cols);
        let want = layer_norm_gradient(&wide(&x), &wide(&all[1]), &wide(&dy), 1e-3);
        for caps in families() {
            for (got, want) in gradients(&case, &all, &dy, &caps).iter().zip(&want) {
                compare("gradient", got, want, 2e-5, 5e-6).unwrap_or_else(|e| panic!("{e}"));
            }
        }
    }
    // The negative control: what the textbook formula gives in f32 is out of bounds.
    let x: Vec<f32> = uniform(5, 64, -1.7, 1.7).iter().map(|v| v + 1e4).collect();
    let mean = x.iter().sum::<f32>() / 64.0;
    let naive = x.iter().map(|v| v * v).sum::<f32>() / 64.0 - mean * mean;
    let want = norm::variance(&x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), 64);
    assert!(compare("naive", &[naive], &want, 1e-3, 0.0).is_err(), "{naive} is right");
}

/// Equal elements have the variance 0, exactly, at any size.
#[test]
fn constant_rows() {
    for value in [0.0f32, 1.0, 0.1, -1e4, 3e38, 1e-30] {
        for cols in WIDTHS {
            let x = Tensor::f32([2, cols], vec![value; 2 * cols]).expect("right length");
            let case = Case::layer_norm(&[2, cols], 1, true, true);
            let mut all = operands(&case);
            all[0] = x.clone();
            let beta = all[2].as_f32().expect("f32").repeat(2);
            for caps in families() {
                let y = run_case(&case, &all, &Passes::default(), &caps).f32("out0");
                assert_eq!(y, beta, "rows of {value}");
                let statistic = Case::statistic("variance", &[2, cols], &[1]);
                let inputs = std::slice::from_ref(&x);
                let y = run_case(&statistic, inputs, &Passes::default(), &caps).f32("out0");
                assert_eq!(y, [0.0, 0.0], "rows of {value}");
            }
        }
    }
}

#[test]
fn large_and_small_numbers() {
    for size in [1e15f32, 1e-15] {
        let data: Vec<f32> = uniform(6, 3 * 37, -2.0, 2.0).iter().map(|v| v * size).collect();
        for mut case in
            [Case::layer_norm(&[3, 37], 1, true, true), Case::rms_norm(&[3, 37], 1, true)]
        {
            // Tiny rows are normalized only without an epsilon.
            case.params[0] = if size > 1.0 { 1e-3 } else { 0.0 };
            let mut all = operands(&case);
            all[0] = Tensor::f32([3, 37], data.clone()).expect("right length");
            let bound = oracle::tolerance(&case);
            check_case_on(&case, &all, (bound.0, 3.0 * bound.1));
        }
    }
    let far = [3e38f32, -3e38, 1e4, 9999.0, -1e4, 88.8, 0.0, -0.0, 1e-30, 5.0];
    let x = Tensor::f32([2, 5], far).expect("ten");
    let case = Case::statistic("log_sum_exp", &[2, 5], &[1]);
    check_case_on(&case, &[x], oracle::tolerance(&case));
}

/// A row of -inf, which stands for log 0, and its gradient.
#[test]
fn log_sum_exp_of_nothing() {
    const NONE: f32 = f32::NEG_INFINITY;
    let case = Case::statistic("log_sum_exp", &[2, 3], &[1]);
    let x = Tensor::f32([2, 3], [NONE, NONE, NONE, NONE, 2.0, NONE]).expect("six");
    let dy = Tensor::f32([2], [1.0, 3.0]).expect("two");
    for caps in families() {
        let inputs = std::slice::from_ref(&x);
        let y = run_case(&case, inputs, &Passes::default(), &caps).f32("out0");
        assert_eq!(y, [NONE, 2.0]);
        let got = gradients(&case, inputs, &dy, &caps);
        compare("gradient", &got[0], &[0.0, 0.0, 0.0, 0.0, 3.0, 0.0], 1e-6, 0.0).unwrap();
    }
}

/// Masks of 0 and 1 and masks of 0 and -inf or the lowest number: rows that are masked entirely are zero, as is their
/// gradient, and what is masked leaves no trace, not even as NaN.
#[test]
fn masked_rows() {
    const COLS: usize = 7;
    let keep = [[1.0; COLS], [0.0; COLS], [0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0]];
    let kept: Vec<f32> = keep.iter().flatten().copied().collect();
    let x = uniform(8, 3 * COLS, -4.0, 4.0);
    let wides = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let want = softmax::masked_softmax(&wides(&x), &wides(&kept), COLS, false);
    let dy = upstream(3, COLS);
    let dot = |r: usize| -> f64 {
        let dy = wide(&dy);
        (r * COLS..(r + 1) * COLS).map(|i| want[i] * dy[i]).sum()
    };
    let slope: Vec<f64> = (0..3 * COLS).map(|i| want[i] * (wide(&dy)[i] - dot(i / COLS))).collect();
    assert!(slope.iter().any(|v| v.abs() > 0.01));
    for (kind, out) in [(Keep, 0.0), (Additive, f32::NEG_INFINITY), (Additive, f32::MIN)] {
        let case = Case::masked_softmax(&[3, COLS], &[3, COLS], kind);
        let inside = if kind == Keep { 1.0 } else { 0.0 };
        let mask: Vec<f32> = kept.iter().map(|&k| if k > 0.0 { inside } else { out }).collect();
        let mut data = x.clone();
        if kind == Keep {
            data.iter_mut().zip(&kept).filter(|(_, k)| **k == 0.0).for_each(|(v, _)| *v = f32::NAN);
        }
        let inputs = [data, mask].map(|v| Tensor::f32([3, COLS], v).expect("right length"));
        for caps in families() {
            let y = run_case(&case, &inputs, &Passes::default(), &caps).f32("out0");
            compare("masked softmax", &y, &want, 2e-6, 0.0).unwrap_or_else(|e| panic!("{e}"));
            assert!(y[COLS..2 * COLS].iter().all(|v| *v == 0.0), "{y:?}");
            let got = gradients(&case, &inputs, &dy, &caps);
            compare("gradient", &got[0], &slope, 2e-5, 2e-6).unwrap_or_else(|e| panic!("{e}"));
            assert!(got[0][COLS..2 * COLS].iter().all(|v| *v == 0.0), "{got:?}");
        }
    }
}

/// NaN that takes part comes through, and stays in its row.
#[test]
fn nan_stays_in_its_row() {
    for case in cases(3, 7) {
        let mut x = operands(&case);
        let mut data = x[0].as_f32().expect("f32").to_vec();
        data[10] = f32::NAN;
        x[0] = Tensor::f32([3, 7], data).expect("right length");
        if case.op == "masked_softmax" {
            let ones = vec![1.0; x[1].shape().len()];
            x[1] = Tensor::f32(x[1].shape(), ones).expect("right length");
        }
        for caps in families() {
            let y = run_case(&case, &x, &Passes::default(), &caps).f32("out0");
            let width = y.len() / 3;
            let found: Vec<bool> = y.chunks(width).map(|r| r.iter().any(|v| v.is_nan())).collect();
            assert_eq!(found, [false, true, false], "{case}: {y:?}");
        }
    }
}

#[test]
fn the_same_bits_ten_times() {
    for case in cases(33, 130).into_iter().chain([Case::layer_norm(&[9000, 6], 1, true, true)]) {
        let x = operands(&case);
        let shape = case.inputs[0].shape.dims().to_vec();
        let dy = match case.op {
            "variance" | "log_sum_exp" => {
                Tensor::f32([shape[0]], uniform(9, shape[0], 0.25, 1.75)).expect("right length")
            }
            _ => upstream(shape[0], shape[1]),
        };
        for caps in families() {
            let run = || {
                let y = run_case(&case, &x, &Passes::default(), &caps).f32("out0");
                let all = [vec![y], gradients(&case, &x, &dy, &caps)].concat();
                all.into_iter().flatten().map(f32::to_bits).collect::<Vec<u32>>()
            };
            let first = run();
            assert!((1..10).all(|_| run() == first), "{case}");
        }
    }
}

/// The templates that the plan of a graph launches.
pub fn launched(graph: &Graph, caps: &DeviceCaps) -> Vec<&'static str> {
    let plan = Plan::compile(graph, &Passes::default(), caps).unwrap_or_else(|e| panic!("{e}"));
    plan.dispatches.iter().map(|d| d.call.name()).collect()
}

/// One launch forward and two backward; masked softmax and variance one and one.
#[test]
fn launches_are_few() -> anyhow::Result<()> {
    type Build = fn(&mut Graph, &[Value]) -> wgrad::Result<Value>;
    const ROW: &str = "reduce/row_kernel";
    let cases: [(Build, &[usize], &[&str]); 6] = [
        (
            |g, x| g.layer_norm(x[0], Some(x[1]), Some(x[2]), 1, 1e-3),
            &[0, 1, 2],
            &[ROW, ROW, "reduce/column_sums"],
        ),
        (|g, x| g.layer_norm(x[0], None, None, 1, 1e-3), &[0], &[ROW, ROW]),
        (|g, x| g.rms_norm(x[0], Some(x[1]), 1, 1e-3), &[0, 1], &[ROW, ROW, "reduce/column_sums"]),
        (|g, x| g.masked_softmax(x[0], x[3], Additive), &[0, 3], &[ROW, ROW]),
        (|g, x| g.variance(x[0], &[1], true), &[0], &[ROW, ROW]),
        (|g, x| g.log_sum_exp(x[0], &[1], true), &[0], &[ROW, ROW]),
    ];
    for caps in families() {
        for (build, wrt, expected) in cases {
            let mut g = Graph::new();
            let x = g.input("x", [64, 48], DType::F32);
            let [a, b] = ["a", "b"].map(|name| g.input(name, [48], DType::F32));
            let mask = g.input("mask", [64, 48], DType::F32);
            let operands = [x, a, b, mask];
            let y = build(&mut g, &operands)?;
            g.output("y", y);
            assert_eq!(launched(&g, &caps), expected[..1]);
            let shape = g.shape(y).clone();
            let dy = g.input("dy", shape, DType::F32);
            let weighted = g.mul(y, dy)?;
            let loss = g.sum(weighted, &[], false)?;
            let wrt: Vec<Value> = wrt.iter().map(|&i| operands[i]).collect();
            for (i, d) in wgrad::autodiff::gradients(&mut g, loss, &wrt)?.into_iter().enumerate() {
                g.output(&format!("d{i}"), d);
            }
            assert_eq!(launched(&g, &caps), expected, "{:?}", caps.matmul);
        }
    }
    Ok(())
}

#[test]
fn statistics_have_the_shapes_of_reductions() -> anyhow::Result<()> {
    let mut g = Graph::new();
    let x = g.input("x", [4, 3, 5], DType::F32);
    for (axes, keep, shape) in [
        (&[2usize][..], false, &[4usize, 3][..]),
        (&[2], true, &[4, 3, 1]),
        (&[2, 0], false, &[3]),
        (&[0, 2], true, &[1, 3, 1]),
        (&[], false, &[]),
        (&[], true, &[1, 1, 1]),
    ] {
        let sum = g.sum(x, axes, keep)?;
        let both = [g.variance(x, axes, keep)?, g.log_sum_exp(x, axes, keep)?];
        assert!(both.iter().all(|&v| g.shape(v).dims() == shape), "{axes:?} {keep}");
        assert_eq!(g.shape(sum).dims(), shape);
    }
    Ok(())
}

#[test]
fn wrong_operands_are_refused() {
    let mut g = Graph::new();
    let x = g.input("x", [4, 3, 5], DType::F32);
    let row = g.input("row", [5], DType::F32);
    let other = g.input("other", [3], DType::F32);
    let ids = g.input("ids", [4, 3, 5], DType::U32);
    let scalar = g.input("scalar", wgrad::tensor::Shape::scalar(), DType::F32);
    let says = |result: wgrad::Result<Value>, words: &[&str]| {
        let text = result.expect_err("a refusal").to_string();
        assert!(words.iter().all(|w| text.contains(w)), "{text}: {words:?}");
    };
    says(g.layer_norm(x, Some(other), None, 1, 1e-3), &["layer_norm", "[4, 3, 5]", "[3]", "[5]"]);
    says(g.layer_norm(x, None, Some(row), 2, 1e-3), &["layer_norm", "[3, 5]"]);
    says(g.layer_norm(x, None, None, 0, 1e-3), &["layer_norm", "[4, 3, 5]"]);
    says(g.layer_norm(x, None, None, 4, 1e-3), &["layer_norm", "last 4 axes"]);
    says(g.layer_norm(x, None, None, 1, -1.0), &["epsilon", "-1"]);
    says(g.layer_norm(ids, None, None, 1, 1e-3), &["layer_norm", "f32", "u32"]);
    says(g.rms_norm(x, Some(other), 1, 1e-3), &["rms_norm", "[3]"]);
    says(g.rms_norm(x, None, 1, f32::NAN), &["epsilon", "NaN"]);
    says(g.masked_softmax(x, other, Keep), &["masked_softmax", "[4, 3, 5]", "[3]"]);
    says(g.masked_softmax(scalar, scalar, Keep), &["masked_softmax"]);
    says(g.variance(x, &[3], false), &["variance", "[3]", "[4, 3, 5]"]);
    says(g.variance(x, &[1, 1], false), &["variance", "distinct"]);
    says(g.log_sum_exp(scalar, &[], false), &["log_sum_exp"]);
}
