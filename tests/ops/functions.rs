//! Functions where their builtin or a plain formula fails: powers, angles, rounding, differences near zero.

use crate::gradient::gradient_graph;
use crate::harness::{execute, families, feeds, run_case};
use crate::reference::compare::compare;
use crate::reference::elementwise::{binary, unary};
use wgrad::ops::registry::Case;
use wgrad::ops::table::row;
use wgrad::passes::Passes;
use wgrad::tensor::Tensor;

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

fn vector(x: &[f32]) -> Tensor {
    Tensor::f32([x.len()], x).expect("right length")
}

fn of(name: &str, x: &[f32]) -> Vec<f32> {
    let case = Case::unary(row(name).expect("a row of the table"), &[x.len()], &[]);
    run_case(&case, &[vector(x)], &Passes::default(), &families()[0]).f32("out0")
}

fn powers(pairs: &[(f32, f32)]) -> Vec<f32> {
    let (x, y): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
    let case = Case::binary(row("pow").expect("a row of the table"), &[x.len()], &[y.len()]);
    run_case(&case, &[vector(&x), vector(&y)], &Passes::default(), &families()[0]).f32("out0")
}

/// Everything that IEEE 754 says of special operands, and whole exponents of any base.
#[test]
fn powers_of_special_numbers() {
    let bases = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 10.0, -1e5, INF, NAN];
    let exponents =
        [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 5.0, 64.0, 65.0, -65.0, 0.5, -0.5, 2.5, NAN];
    let pairs: Vec<(f32, f32)> =
        bases.iter().flat_map(|&x| exponents.iter().map(move |&y| (x, y))).collect();
    for (&(x, y), got) in pairs.iter().zip(powers(&pairs)) {
        let want = binary("pow", x.into(), y.into()) as f32;
        let near = (got - want).abs() <= 1e-5 * want.abs();
        let same = got == want || got.is_nan() && want.is_nan();
        // Results below the smallest normal number may be zero.
        let tiny = want.abs() < f32::MIN_POSITIVE && got.abs() < f32::MIN_POSITIVE;
        assert!(same || near || tiny, "{x} to the power {y}: {got}, not {want}");
    }
}

#[test]
fn small_whole_powers_are_products() {
    let pairs: Vec<(f32, f32)> = (-40..40).map(|i| (0.37 * i as f32, 2.0)).collect();
    let squares: Vec<f32> = pairs.iter().map(|(x, _)| x * x).collect();
    assert_eq!(powers(&pairs), squares);
}

/// At a = 0, for negative bases, and with an exponent of 0: what Keras and PyTorch give.
#[test]
fn the_gradient_of_a_power() {
    let pairs =
        [(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (0.0, 0.5), (-2.0, 3.0), (-2.0, 0.0), (3.0, 2.0)];
    let (x, y): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
    let case = Case::binary(row("pow").expect("a row of the table"), &[7], &[7]);
    let graph = gradient_graph(&case).expect("a gradient");
    let mut named = feeds(&[vector(&x), vector(&y)]);
    named.push(("upstream".into(), vector(&[2.0; 7])));
    let fed: Vec<(&str, Tensor)> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let ran = execute(&graph, &Passes::default(), &families()[0], &fed, &[&[]]);
    assert_eq!(ran.f32("grad0"), [0.0, 2.0, 0.0, INF, 24.0, 0.0, 12.0]);
    let by_exponent = ran.f32("grad1");
    assert_eq!(by_exponent[..4], [0.0; 4]);
    let want = 2.0 * 9.0 * 3f64.ln();
    compare("aᵇ ln a", &by_exponent[6..], &[want], 1e-6, 0.0).unwrap_or_else(|e| panic!("{e}"));
}

/// Up to 100,000 the reduction to an eighth of a turn loses nothing; past it the result is still between -1 and 1.
#[test]
fn angles_of_many_turns() {
    let mut x: Vec<f32> = (0..2000).map(|i| (i - 1000) as f32 * 99.991).collect();
    x.extend((0..400).map(|i| (i - 200) as f32 * std::f32::consts::FRAC_PI_4));
    x.extend([1e5, -1e5, 99_999.984]);
    for name in ["sin", "cos"] {
        let want: Vec<f64> = x.iter().map(|&x| unary(name, &[], x.into())).collect();
        compare(name, &of(name, &x), &want, 0.0, 2e-7).unwrap_or_else(|e| panic!("{e}"));
        let far = of(name, &[1e6, 1e9, 1e20, f32::MAX, -f32::MAX]);
        assert!(far.iter().all(|y| y.abs() <= 1.0), "{name}: {far:?}");
        // An angle off by a hundred-thousandth is noticed.
        let moved: Vec<f64> = x.iter().map(|&x| unary(name, &[], f64::from(x) + 1e-5)).collect();
        assert!(compare(name, &of(name, &x), &moved, 0.0, 2e-7).is_err());
    }
}

#[test]
fn halves_go_to_the_even_number() {
    let x = [
        0.5,
        1.5,
        2.5,
        -0.5,
        -1.5,
        -2.5,
        0.499_999_97,
        -0.2,
        0.2,
        8_388_607.5,
        1e9,
        -1e9,
        3.0,
        -0.0,
        INF,
        -INF,
    ];
    let by = |f: fn(f32) -> f32| x.map(f).to_vec();
    assert_eq!(of("round", &x), by(f32::round_ties_even));
    assert_eq!(of("floor", &x), by(f32::floor));
    assert_eq!(of("ceil", &x), by(f32::ceil));
}

/// The relative error stays small where 1 + x, e^x - 1 and 1 - erfc lose all digits.
#[test]
fn differences_near_zero_keep_their_digits() {
    let sizes = [1e-30, 1e-7, 1e-4, 0.01, 0.2, 0.299, 0.301, 0.399, 0.401, 0.49, 0.51, 0.8f32];
    let x: Vec<f32> = sizes.iter().flat_map(|&x| [x, -x]).collect();
    for name in ["log1p", "expm1", "erf", "sin"] {
        let want: Vec<f64> = x.iter().map(|&x| unary(name, &[], x.into())).collect();
        compare(name, &of(name, &x), &want, 3e-6, 0.0).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// NaN is not equal to anything, itself included.
#[test]
fn nan_is_not_equal() {
    let case = Case::binary(row("not_equal").expect("a row of the table"), &[4], &[4]);
    let x = [vector(&[NAN, NAN, 1.0, 0.0]), vector(&[NAN, 1.0, 1.0, -0.0])];
    for caps in families() {
        let y = run_case(&case, &x, &Passes::default(), &caps).f32("out0");
        assert_eq!(y, [1.0, 1.0, 0.0, 0.0]);
    }
}
