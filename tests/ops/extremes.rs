//! Far out, at zero and at the joints: finite, and right.

use crate::gradient::gradient_graph;
use crate::harness::{check_case_on, execute, families, keeps_nan, run_case};
use crate::reference::compare::compare;
use crate::reference::elementwise::{joints, unary, unary_derivative};
use wgrad::ops::CrossEntropyKind;
use wgrad::ops::registry::Case;
use wgrad::ops::table::{ROWS, row};
use wgrad::passes::Passes;
use wgrad::tensor::{Shape, Tensor};

/// Points that have caught implementations out: overflow of an exponential, cancellation near zero, series
/// that end, both sides of a joint.
fn points(joints: &[f64]) -> Vec<f32> {
    let mut points = vec![0.0, -0.0, 1e-30, -1e-30];
    for x in [1e-6, 1e-3, 0.0499, 0.0501, 0.5, 3.0, 6.0, 9.1, 17.0, 30.0, 88.8, 100.0, 1e4f32] {
        points.extend([x, -x]);
    }
    for &joint in joints {
        let at = joint as f32;
        points.extend([at, at + 1e-3, at - 1e-3]);
        points.extend([f32::next_up(at), f32::next_down(at)]);
        if at == 0.0 {
            // What is next to zero is subnormal: these are the next normal numbers.
            points.extend([f32::MIN_POSITIVE, -f32::MIN_POSITIVE]);
        }
    }
    points
}

/// What a function of `x` gives. WGSL lets a device treat a subnormal operand as zero: if `x` is one, the nearer value
/// to `got` counts.
fn or_flushed(x: f32, got: f32, f: impl Fn(f64) -> f64) -> f64 {
    let (kept, flushed) = (f(f64::from(x)), f(0.0f64.copysign(f64::from(x))));
    let error = |want: f64| (f64::from(got) - want).abs();
    if x.is_subnormal() && error(flushed) < error(kept) { flushed } else { kept }
}

#[test]
fn activations_are_safe_and_right() {
    for row in ROWS.iter().filter(|r| r.arity == 1 && r.is_by_name()) {
        let params: Vec<f64> = row.params.iter().map(|p| f64::from(p.1)).collect();
        let mut x = points(&joints(row.name, &params));
        if row.name == "hard_sigmoid" {
            // One unit inside the joint at 3 the result is already 1, and so its derivative 0.
            x.retain(|&x| x != f32::next_down(3.0));
        }
        // e^100 and 1 / 0 are no f32, and logarithm and root have no values below zero.
        let fits = |y: f64| y.abs() <= f64::from(f32::MAX);
        let total = |x: f64| {
            fits(unary(row.name, &params, x)) && fits(2.0 * unary_derivative(row.name, &params, x))
        };
        x.retain(|&x| total(f64::from(x)) && (!x.is_subnormal() || total(0.0)));
        assert!(x.len() >= 13, "{}: {} points", row.name, x.len());
        let case = Case::unary(row, &[x.len()], &[]);
        let graph = gradient_graph(&case).unwrap_or_else(|e| panic!("{e}"));
        let upstream: Vec<f32> = (0..x.len()).map(|i| 0.5 + i as f32 / 32.0).collect();
        let feeds = [
            ("in0", Tensor::f32([x.len()], x.clone()).expect("right length")),
            ("upstream", Tensor::f32([x.len()], upstream.clone()).expect("right length")),
        ];
        let ran = execute(&graph, &Passes::default(), &families()[0], &feeds, &[&[]]);
        let want: Vec<f64> = x
            .iter()
            .zip(&ran.f32("out0"))
            .map(|(&x, &got)| or_flushed(x, got, |x| unary(row.name, &params, x)))
            .collect();
        // Relative down to the smallest normal numbers: an exponential with argument -88 has an error of
        // 3 + 2 · 88 units. Subnormal numbers may be flushed to zero, silu's before it multiplies by x.
        // x/6 + 1/2 cancels at -3.
        let atol = if row.name == "hard_sigmoid" { 6e-8 } else { 1.2e-36 };
        compare(row.name, &ran.f32("out0"), &want, 2.5e-5, atol)
            .unwrap_or_else(|e| panic!("{e}, x {x:?}"));
        let got = ran.f32("grad0");
        let slope = |((&x, &g), &got): ((&f32, &f32), &f32)| {
            or_flushed(x, got, |x| f64::from(g) * unary_derivative(row.name, &params, x))
        };
        let want: Vec<f64> = x.iter().zip(&upstream).zip(&got).map(slope).collect();
        // Absolute: a derivative in terms of the result y, as 1 - y², has the error of y.
        compare(&format!("{}'", row.name), &got, &want, 2.5e-5, 1e-6)
            .unwrap_or_else(|e| panic!("{e}, x {x:?}"));
    }
}

const COLS: usize = 5;

/// Rows of logits that overflow, underflow, tie, or have one entry that dominates.
fn logits() -> Tensor {
    let rows = [
        [1e4, -1e4, 0.0, 1e4, 1.0],
        [-1e4; COLS],
        [1e4; COLS],
        [1e4, 9999.0, 9998.0, -1e4, 0.0],
        [0.0, 0.0, 200.0, 0.0, 0.0],
        [-1e4, -1e4, -1e4, -1e4, 1e4],
        [30.0, -30.0, 0.0, 1e-6, -1e-6],
        [3e38, -3e38, 0.0, 1.0, 2.0],
    ];
    let flat: Vec<f32> = rows.iter().flatten().copied().collect();
    Tensor::f32([rows.len(), COLS], flat).expect("right length")
}

/// Exponentials of small differences, each to a few units in the last place.
const CLOSE: (f64, f64) = (2e-6, 5e-7);

#[test]
fn softmax_of_extreme_logits() {
    for op in ["softmax", "log_softmax"] {
        let x = logits();
        let case = Case::softmax(op, x.shape().dims());
        // In log_softmax a difference of 6e38 is no f32; leave out the last row.
        let keep = if op == "softmax" { 8 } else { 7 };
        let case = Case { inputs: Case::softmax(op, &[keep, COLS]).inputs, ..case };
        check_case_on(&case, &[x.rows(0, keep).expect("rows")], CLOSE);
    }
}

#[test]
fn cross_entropies_of_extreme_logits() {
    let x = logits().rows(0, 7).expect("rows");
    let mut case = Case::cross_entropy(CrossEntropyKind::Sparse, 7, COLS);
    case.params[0] = 0.25;
    for label in 0..COLS as u32 {
        let labels = Tensor::u32([7], vec![label; 7]).expect("right length");
        check_case_on(&case, &[x.clone(), labels], CLOSE);
    }
    let mut case = Case::cross_entropy(CrossEntropyKind::Categorical, 7, COLS);
    let mut binary = Case::cross_entropy(CrossEntropyKind::Binary, 7, COLS);
    (case.params[0], binary.params[0]) = (0.25, 0.25);
    for pattern in [[0.0, 0.0, 1.0, 0.0, 0.0], [0.2; 5], [0.5, 0.5, 0.0, 0.0, 0.0], [0.0; 5]] {
        let flat: Vec<f32> = pattern.repeat(7);
        let targets = Tensor::f32(Shape::from([7, COLS]), flat).expect("right length");
        check_case_on(&case, &[x.clone(), targets.clone()], CLOSE);
        check_case_on(&binary, &[x.clone(), targets], CLOSE);
    }
}

/// NaN is not lost on the way: it shows that training went wrong.
#[test]
fn nan_comes_through() {
    let case = Case::softmax("softmax", &[2, COLS]);
    let mut x = vec![0.5; 2 * COLS];
    x[1] = f32::NAN;
    let x = Tensor::f32([2, COLS], x).expect("right length");
    for caps in families() {
        let ran = run_case(&case, std::slice::from_ref(&x), &Passes::default(), &caps);
        let y = ran.f32("out0");
        // Its own probability is NaN everywhere; the others of its row are if `exp` lets it into their sum.
        assert!(y[1].is_nan(), "{y:?}");
        assert!(y[..COLS].iter().all(|v| v.is_nan()) || !keeps_nan("exp"), "{y:?}");
        assert!(y[COLS..].iter().all(|v| v.is_finite()), "{y:?}");
        let case = Case::reduce("sum", &[2, COLS], &[1]);
        let ran = run_case(&case, std::slice::from_ref(&x), &Passes::default(), &caps);
        assert!(ran.f32("out0")[0].is_nan() && ran.f32("out0")[1] == 2.5);
    }
    for name in [
        "relu",
        "sigmoid",
        "tanh",
        "gelu",
        "gelu_tanh",
        "silu",
        "softplus",
        "softsign",
        "elu",
        "selu",
        "leaky_relu",
        "hard_sigmoid",
        "clipped_linear",
    ] {
        let row = row(name).expect("a row of the table");
        let case = Case::unary(row, &[2, COLS], &[]);
        // Of either sign.
        for nan in [f32::NAN, -f32::NAN] {
            let mut x = x.as_f32().expect("f32").to_vec();
            x[1] = nan;
            let x = [Tensor::f32([2, COLS], x).expect("right length")];
            let y = run_case(&case, &x, &Passes::default(), &families()[0]).f32("out0");
            assert!(y[1].is_nan() && y.iter().filter(|v| v.is_nan()).count() == 1, "{name}: {y:?}");
        }
    }
}

/// A row with a NaN anywhere has no class, in both kernels and in every family.
#[test]
fn rows_with_nan_have_no_class() {
    // Wide enough for several turns of each lane; a NaN in front, inside, at the end, everywhere, and nowhere.
    const WIDE: usize = 300;
    let mut x: Vec<f32> = (0..5 * WIDE).map(|i| (i % WIDE) as f32 / WIDE as f32).collect();
    x[0] = f32::NAN;
    x[WIDE + 170] = -f32::NAN;
    x[3 * WIDE - 1] = f32::NAN;
    x[3 * WIDE..4 * WIDE].fill(f32::NAN);
    let last = WIDE as u32 - 1;
    let x = Tensor::f32([5, WIDE], x).expect("right length");
    let labels = Tensor::u32([5], [last; 5]).expect("right length");
    let mut one_hot = vec![0.0; 5 * WIDE];
    (0..5).for_each(|row| one_hot[row * WIDE + WIDE - 1] = 1.0);
    let one_hot = Tensor::f32([5, WIDE], one_hot).expect("right length");
    for (sparse, targets) in [(true, labels), (false, one_hot)] {
        let run = |case: &Case, output: &str| {
            let inputs = [x.clone(), targets.clone()];
            let each = families().into_iter().map(|caps| {
                run_case(case, &inputs, &Passes::default(), &caps).f32(output).to_vec()
            });
            each.collect::<Vec<_>>()
        };
        let classes = |op| run(&Case::classes(op, 5, WIDE, sparse), "out0");
        let hit = vec![0.0, 0.0, 0.0, 0.0, 1.0];
        assert!(classes("hits").iter().all(|found| *found == hit));
        let (none, right) = (-1.0 - last as f32, (last * (WIDE as u32 + 1)) as f32);
        let cells = vec![none, none, none, none, right];
        assert!(classes("confusion_cells").iter().all(|found| *found == cells));
        let wide = WIDE as f32;
        let ranks = vec![wide, wide, wide, wide, 0.0];
        assert!(classes("target_ranks").iter().all(|found| *found == ranks));
        let kind = if sparse { CrossEntropyKind::Sparse } else { CrossEntropyKind::Categorical };
        assert!(run(&Case::cross_entropy(kind, 5, WIDE), "out2").iter().all(|found| *found == hit));
    }
}

/// 1 for NaN of either sign and any payload, 0 for all else, infinities among it; of the finite the other way round.
#[test]
fn is_nan_and_is_finite_go_by_the_bits() {
    let of = |name| Case::unary(row(name).expect("a row of the table"), &[8], &[]);
    let odd = f32::from_bits(0xffc0_1234);
    let x = [f32::NAN, -f32::NAN, odd, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX];
    let x = [Tensor::f32([8], x).expect("right length")];
    for caps in families() {
        let y = |name| run_case(&of(name), &x, &Passes::default(), &caps).f32("out0");
        assert_eq!(y("is_nan")[..], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(y("is_finite")[..], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    }
}
