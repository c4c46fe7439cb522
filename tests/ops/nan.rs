//! NaN of either sign passes through, forward and backward: it shows that training went wrong.

use crate::gradient::gradient_graph;
use crate::harness::{execute, families, feeds, keeps_nan, operands, run_case};
use crate::reference::{elementwise, reduce};
use wgrad::ops::CrossEntropyKind;
use wgrad::ops::registry::Case;
use wgrad::ops::table::{Derivative, ROWS, row};
use wgrad::passes::Passes;
use wgrad::tensor::Tensor;

/// Functions that are WGSL's own and nothing else: it does not promise NaN for NaN.
const BUILTINS: [&str; 7] = ["exp", "log", "sqrt", "rsqrt", "floor", "ceil", "round"];

const NANS: [f32; 2] = [f32::NAN, -f32::NAN];

/// The places at which `v` is NaN.
fn places(v: &[f32]) -> Vec<usize> {
    (0..v.len()).filter(|&i| v[i].is_nan()).collect()
}

/// Operand `which` of a case with NaN at these places.
fn with_nan(case: &Case, which: usize, at: &[usize], nan: f32) -> Vec<Tensor> {
    let mut x = operands(case);
    let mut data = x[which].as_f32().expect("f32").to_vec();
    at.iter().for_each(|&i| data[i] = nan);
    x[which] = Tensor::f32(x[which].shape(), data).expect("the same length");
    x
}

/// All functions that compute a number; `is_nan`, `is_finite` and the comparisons answer a question.
#[test]
fn through_every_elementwise_function() {
    let answers = [
        "is_nan",
        "is_finite",
        "greater",
        "greater_equal",
        "less",
        "less_equal",
        "equal",
        "not_equal",
    ];
    let numeric = |arity| {
        ROWS.iter()
            .filter(move |r| r.arity == arity && r.is_by_name() && !answers.contains(&r.name))
    };
    for (nan, caps) in NANS.iter().flat_map(|&nan| families().map(|caps| (nan, caps))) {
        for row in numeric(1).filter(|row| !BUILTINS.contains(&row.name) || keeps_nan(row.name)) {
            let case = Case::unary(row, &[11], &[]);
            let x = with_nan(&case, 0, &[1, 9], nan);
            let y = run_case(&case, &x, &Passes::default(), &caps).f32("out0");
            assert_eq!(places(&y), [1, 9], "{}: {y:?}", row.name);
        }
        for row in numeric(2) {
            let case = Case::binary(row, &[11], &[11]);
            for which in 0..2 {
                let x = with_nan(&case, which, &[1, 9], nan);
                let y = run_case(&case, &x, &Passes::default(), &caps).f32("out0");
                assert_eq!(places(&y), [1, 9], "{} by operand {which}: {y:?}", row.name);
            }
        }
    }
}

/// The derivative of every function that has one, but for that of `neg`, which is -1 everywhere.
#[test]
fn through_every_derivative() {
    let has = |d| matches!(d, Derivative::OfInput(_) | Derivative::OfOutput(_));
    let rows = ROWS.iter().filter(|row| has(row.derivative) && row.name != "neg");
    let rows = rows.filter(|row| !BUILTINS.contains(&row.name) || keeps_nan(row.name));
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 20, "only {}", rows.len());
    for (nan, caps) in NANS.iter().flat_map(|&nan| families().map(|caps| (nan, caps))) {
        for row in &rows {
            let case = Case::unary(row, &[11], &[]);
            let graph = gradient_graph(&case).expect("a gradient");
            let mut named = feeds(&with_nan(&case, 0, &[1, 9], nan));
            named.push(("upstream".into(), Tensor::f32([11], [1.5; 11]).expect("eleven")));
            let fed: Vec<(&str, Tensor)> =
                named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
            let d = execute(&graph, &Passes::default(), &caps, &fed, &[&[]]).f32("grad0");
            assert_eq!(places(&d), [1, 9], "{}: {d:?}", row.name);
        }
    }
}

/// The result comes from the NaN, and so the gradient goes there: to the first operand if both are.
#[test]
fn gradients_of_maximum_and_minimum_go_to_the_nan() {
    for (name, others) in [("maximum", [0.0, 1.0]), ("minimum", [1.0, 0.0])] {
        let case = Case::binary(row(name).expect("a row of the table"), &[5], &[5]);
        let graph = gradient_graph(&case).expect("a gradient");
        for (nan, caps) in NANS.iter().flat_map(|&nan| families().map(|caps| (nan, caps))) {
            let x = [
                Tensor::f32([5], [nan, 1.0, nan, 1.0, 2.0]).expect("five"),
                Tensor::f32([5], [1.0, nan, nan, 2.0, 2.0]).expect("five"),
            ];
            let upstream = Tensor::f32([5], [1.0, 2.0, 3.0, 4.0, 5.0]).expect("five");
            let mut named = feeds(&x);
            named.push(("upstream".into(), upstream));
            let fed: Vec<(&str, Tensor)> =
                named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
            let ran = execute(&graph, &Passes::default(), &caps, &fed, &[&[]]);
            assert_eq!(ran.f32("grad0"), [1.0, 0.0, 3.0, 4.0 * others[0], 5.0], "{name}");
            assert_eq!(ran.f32("grad1"), [0.0, 2.0, 0.0, 4.0 * others[1], 0.0], "{name}");
        }
    }
}

/// Along rows and columns, in one stage and in two, at the ends and inside.
#[test]
fn through_the_maximum_of_a_tensor() {
    for (shape, axis) in [(&[3usize, 7][..], 1), (&[7, 3], 0), (&[2, 70_001], 1), (&[70_001, 2], 0)]
    {
        let case = Case::reduce("max", shape, &[axis]);
        let len = shape[axis];
        // Of the first row or column; the others keep their maximum.
        let stride = if axis == 0 { shape[1] } else { 1 };
        for at in [0, 1, len / 2, len - 1] {
            for (nan, caps) in NANS.iter().flat_map(|&nan| families().map(|caps| (nan, caps))) {
                let x = with_nan(&case, 0, &[at * stride], nan);
                let y = run_case(&case, &x, &Passes::default(), &caps).f32("out0");
                assert_eq!(places(&y), [0], "{case} at {at}");
                let wide: Vec<f64> = crate::harness::wide(&x[0]);
                let want = reduce::max(&wide, shape, &[axis]);
                assert!(
                    want[0].is_nan()
                        && want[1..].iter().zip(&y[1..]).all(|(a, &b)| *a == f64::from(b))
                );
            }
        }
    }
}

/// The NaN of a row share its gradient, as ties do; other rows do not change.
#[test]
fn the_gradient_of_a_maximum_goes_to_the_nan() {
    let case = Case::reduce("max", &[3, 3], &[1]);
    let graph = gradient_graph(&case).expect("a gradient");
    for (nan, caps) in NANS.iter().flat_map(|&nan| families().map(|caps| (nan, caps))) {
        let x = [1.0, nan, 3.0, nan, 5.0, nan, 7.0, 9.0, 8.0];
        let feeds = [
            ("in0", Tensor::f32([3, 3], x).expect("nine")),
            ("upstream", Tensor::f32([3], [2.0, 6.0, 5.0]).expect("three")),
        ];
        let ran = execute(&graph, &Passes::default(), &caps, &feeds, &[&[]]);
        assert_eq!(ran.f32("grad0"), [0.0, 2.0, 0.0, 3.0, 0.0, 3.0, 0.0, 5.0, 0.0]);
    }
}

/// Infinities and zeros of both signs keep their order, which the maximum takes as keys.
#[test]
fn the_maximum_of_infinities_and_zeros() {
    const INF: f32 = f32::INFINITY;
    let x = [-INF, -INF, -INF, f32::MIN, INF, f32::MAX, -0.0, -1.0, -1e-30, 0.0, -0.0, -5.0];
    for (shape, axis, x) in
        [([4usize, 3], 1, x), ([3, 4], 0, std::array::from_fn(|i| x[i % 4 * 3 + i / 4]))]
    {
        let case = Case::reduce("max", &shape, &[axis]);
        let x = [Tensor::f32(shape, x).expect("twelve")];
        for caps in families() {
            let y = run_case(&case, &x, &Passes::default(), &caps).f32("out0");
            assert_eq!(y, [-INF, INF, 0.0, 0.0]);
        }
    }
}

#[test]
fn through_softmax_and_cross_entropies() {
    let cases = [
        Case::softmax("softmax", &[3, 7]),
        Case::softmax("log_softmax", &[3, 7]),
        Case::cross_entropy(CrossEntropyKind::Sparse, 3, 7),
        Case::cross_entropy(CrossEntropyKind::Categorical, 3, 7),
        Case::cross_entropy(CrossEntropyKind::Binary, 3, 7),
    ];
    for case in &cases {
        for at in [7, 10, 13] {
            for (nan, caps) in NANS.iter().flat_map(|&nan| families().map(|caps| (nan, caps))) {
                let x = with_nan(case, 0, &[at], nan);
                let y = run_case(case, &x, &Passes::default(), &caps).f32("out0");
                let of_row: Vec<usize> = if y.len() == 3 { vec![1] } else { (7..14).collect() };
                // The other elements of the row are NaN if the device's `exp` lets it into their sum.
                if keeps_nan("exp") {
                    assert_eq!(places(&y), of_row, "{case}");
                } else {
                    assert!(y.len() == 3 || y[at].is_nan(), "{case}");
                }
            }
        }
    }
}

/// The oracle has no other meaning than the kernels.
#[test]
fn the_oracle_keeps_nan_too() {
    for name in ["maximum", "minimum"] {
        assert!(elementwise::binary(name, f64::NAN, 1.0).is_nan());
        assert!(elementwise::binary(name, 1.0, f64::NAN).is_nan());
    }
    assert!(reduce::max(&[1.0, f64::NAN, 2.0], &[3], &[0])[0].is_nan());
}
