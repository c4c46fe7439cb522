//! Checks of the oracle itself: against published values, by hand, and by finite differences.

use crate::reference::compare::{assert_close, compare, narrow, widen, worst_relative};
use crate::reference::elementwise::{
    UNARY, binary, binary_names, domain, joints, unary, unary_derivative, unary_names,
};
use crate::reference::gradient::{STEP, numeric_gradient, numeric_vjp};
use crate::reference::random::{dropout, threefry2x32, uniform, unit_interval};
use crate::reference::special::{erf, erfc};
use crate::reference::tape::Tape;
use crate::reference::{linalg, losses, norm, reduce, softmax};

#[track_caller]
fn assert_relative(name: &str, got: f64, want: f64, tolerance: f64) {
    let error = (got - want).abs();
    assert!(
        error <= tolerance * want.abs(),
        "{name}: got {got:e}, want {want:e}, off by {error:e}"
    );
}

/// Two `f64` arrays, to nearly full precision.
#[track_caller]
fn assert_same(name: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}: lengths");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{name} at {i}: {g:e}, want {w:e}");
    }
}

/// `(x, erf x, erfc x)`, computed with 40 digits by mpmath 1.4.1.
const ERF: [(f64, f64, f64); 13] = [
    (0.0, 0.0, 1.0),
    (1e-10, 1.128_379_167_095_512_6e-10, 0.999_999_999_887_162_1),
    (0.1, 0.112_462_916_018_284_9, 0.887_537_083_981_715),
    (0.5, 0.520_499_877_813_046_5, 0.479_500_122_186_953_5),
    (0.9, 0.796_908_212_422_832, 0.203_091_787_577_167_86),
    (1.0, 0.842_700_792_949_714_9, 0.157_299_207_050_285_13),
    (1.5, 0.966_105_146_475_310_7, 0.033_894_853_524_689_27),
    (2.0, 0.995_322_265_018_952_7, 0.004_677_734_981_047_266),
    (2.0625, 0.996_463_750_874_790_2, 0.003_536_249_125_209_79),
    (2.5, 0.999_593_047_982_555, 4.069_520_174_449_589e-4),
    (3.0, 0.999_977_909_503_001_4, 2.209_049_699_858_544e-5),
    (4.0, 0.999_999_984_582_742_1, 1.541_725_790_028_002e-8),
    (5.5, 0.999_999_999_999_992_6, 7.357_847_917_974_398e-15),
];

#[test]
fn erf_has_full_precision() {
    for (x, want, want_c) in ERF {
        assert_relative(&format!("erf({x})"), erf(x), want, 4e-16);
        assert_relative(&format!("erf({})", -x), erf(-x), -want, 4e-16);
        assert_relative(&format!("erfc({x})"), erfc(x), want_c, 2e-15);
        assert_relative(&format!("erfc({})", -x), erfc(-x), 1.0 + want, 4e-16);
    }
    let tail = [(8.0, 1.122_429_717_298_292_7e-29), (15.0, 7.212_994_172_451_207e-100)];
    for (x, want) in tail.into_iter().chain([(25.0, 8.300_172_571_196_523e-274)]) {
        assert_relative(&format!("erfc({x})"), erfc(x), want, 1e-15);
    }
    for x in [30.0, 1e4, 1e300, f64::INFINITY] {
        assert_eq!((erf(x), erfc(x), erf(-x), erfc(-x)), (1.0, 0.0, -1.0, 2.0), "at {x}");
    }
}

/// `(name, x, value)`, computed with 40 digits by mpmath 1.4.1.
const ACTIVATIONS: [(&str, f64, f64); 12] = [
    ("gelu", -6.0, -5.919_525_870_226_189e-9),
    ("gelu", -0.3, -0.114_626_573_343_314_2),
    ("gelu", 1.7, 1.624_238_713_310_476_8),
    ("gelu_tanh", -6.0, -8.439_646_700_762_297e-11),
    ("gelu_tanh", -0.3, -0.114_629_076_457_240_75),
    ("gelu_tanh", 1.7, 1.624_105_895_551_156),
    ("softplus", -6.0, 0.002_475_685_137_730_449_5),
    ("softplus", -0.3, 0.554_355_244_468_527_1),
    ("softplus", 1.7, 1.867_786_029_386_265_9),
    ("silu", -6.0, -0.014_835_738_939_808_646),
    ("silu", -0.3, -0.127_667_244_956_502_3),
    ("silu", 1.7, 1.437_409_049_357_991),
];

#[test]
fn smooth_activations_have_full_precision() {
    for (name, x, want) in ACTIVATIONS {
        assert_relative(&format!("{name}({x})"), unary(name, &[], x), want, 2e-14);
    }
}

/// Whether `derivative` is that of `name`, judged by finite differences over the domain.
fn derivative_agrees(name: &str, params: &[f64], derivative: impl Fn(f64) -> f64) -> bool {
    let (low, high) = domain(name);
    let points = (0..800).map(|i| f64::from(i - 400) * 0.05 + 0.0131);
    let near = |x: f64| joints(name, params).into_iter().any(|joint| (x - joint).abs() < 0.01);
    points.filter(|&x| low + 0.01 < x && x < high && !near(x)).all(|x| {
        let h = STEP * (x - low).min(1.0) * x.abs().min(1.0);
        let numeric = numeric_gradient(|v| unary(name, params, v[0]), &[x], h)[0];
        let (d, f) = (derivative(x), unary(name, params, x));
        let rounding = 1e-15 * f.abs() / h;
        (d - numeric).abs() <= 1e-7 * d.abs() + rounding + 1e-9
    })
}

#[test]
fn derivatives_agree_with_finite_differences() {
    let others: [(&str, &[f64]); 4] = [
        ("leaky_relu", &[0.01]),
        ("elu", &[0.5]),
        ("clipped_linear", &[-0.5, 2.0]),
        ("clipped_linear", &[0.0, 6.0]),
    ];
    // The perceptron rule is no derivative.
    let rows = UNARY.iter().filter(|row| row.name != "perceptron");
    let defaults = rows.map(|row| (row.name, row.params));
    for (name, params) in defaults.chain(others) {
        let derivative = |x| unary_derivative(name, params, x);
        assert!(derivative_agrees(name, params, derivative), "{name}{params:?}");
        // The negative control: a derivative off by a thousandth is noticed.
        let wrong = |x| derivative(x) * 1.001 + 1e-6;
        assert!(!derivative_agrees(name, params, wrong), "{name}{params:?} hides an error");
    }
}

#[test]
fn joints_take_the_stated_side() {
    let at = |name, x| unary_derivative(name, &[], x);
    assert_eq!(
        (at("relu", 0.0), at("abs", 0.0), at("step", 0.0), at("sign", 0.0)),
        (0., 0., 0., 0.)
    );
    assert_eq!((at("leaky_relu", 0.0), at("elu", 0.0)), (0.2, 1.0));
    assert_eq!((at("hard_sigmoid", -3.0), at("hard_sigmoid", 3.0)), (0.0, 0.0));
    assert_eq!((at("clipped_linear", -1.0), at("clipped_linear", 1.0)), (0.0, 0.0));
    assert_eq!((unary("sign", &[], 0.0), unary("step", &[], 0.0)), (0.0, 0.0));
    assert_eq!((unary("hard_sigmoid", &[], -3.0), unary("hard_sigmoid", &[], 3.0)), (0.0, 1.0));
}

#[test]
fn nothing_is_nan_far_out_or_at_zero() {
    for name in unary_names() {
        let (low, high) = domain(name);
        for x in [-1e4, -100.0, -0.0, 0.0, 100.0, 1e4] {
            if low < x && x < high {
                assert!(!unary(name, &[], x).is_nan(), "{name}({x})");
                assert!(!unary_derivative(name, &[], x).is_nan(), "{name}'({x})");
            }
        }
    }
}

#[test]
fn binary_functions_by_hand() {
    let table = |a, b| binary_names().map(|name| binary(name, a, b)).collect::<Vec<_>>();
    // add sub mul div maximum minimum pow greater greater_equal less less_equal equal
    assert_eq!(table(3.0, 2.0), [5., 1., 6., 1.5, 3., 2., 9., 1., 1., 0., 0., 0.]);
    assert_eq!(table(-2.0, 2.0), [0., -4., -4., -1., 2., -2., 4., 0., 0., 1., 1., 0.]);
    assert_eq!(table(1.0, 1.0), [2., 0., 1., 1., 1., 1., 1., 0., 1., 0., 1., 1.]);
}

#[test]
fn products_by_hand() {
    let (a, b) = ([1., 2., 3., 4., 5., 6.], [1., 0., 2., -1., 3., 1.]);
    // [1 2 3; 4 5 6] [1 0; 2 -1; 3 1]
    let want = [14., 1., 32., 1.];
    assert_eq!(linalg::matmul(&a, &b, 1, 2, 2, 3, false, false), want);
    let (at, bt) = ([1., 4., 2., 5., 3., 6.], [1., 2., 3., 0., -1., 1.]);
    assert_eq!(linalg::matmul(&at, &b, 1, 2, 2, 3, true, false), want);
    assert_eq!(linalg::matmul(&a, &bt, 1, 2, 2, 3, false, true), want);
    assert_eq!(linalg::matmul(&at, &bt, 1, 2, 2, 3, true, true), want);
    let two = linalg::matmul(
        &[a, a.map(|v| 2.0 * v)].concat(),
        &[b, b].concat(),
        2,
        2,
        2,
        3,
        false,
        false,
    );
    assert_eq!(two, [14., 1., 32., 1., 28., 2., 64., 2.]);
    assert_eq!(linalg::add_bias(&want, &[10., 20.]), [24., 21., 42., 21.]);
}

#[test]
fn movement_by_hand() {
    let x: Vec<f64> = (0..6).map(f64::from).collect();
    assert_eq!(linalg::transpose(&x, &[2, 3], &[1, 0]), [0., 3., 1., 4., 2., 5.]);
    assert_eq!(linalg::transpose(&x, &[1, 2, 3], &[2, 0, 1]), [0., 3., 1., 4., 2., 5.]);
    let y: Vec<f64> = (0..24).map(f64::from).collect();
    // Element (i, j, k) of the result is element (k, i, j) of y.
    let turned = linalg::transpose(&y, &[2, 3, 4], &[1, 2, 0]);
    assert_eq!((turned[0], turned[1], turned[2], turned[8]), (0., 12., 1., 4.));

    assert_eq!(linalg::slice(&x, &[2, 3], 1, 1..3), [1., 2., 4., 5.]);
    assert_eq!(linalg::slice(&x, &[2, 3], 0, 1..2), [3., 4., 5.]);
    let (a, b): (&[f64], &[f64]) = (&[7., 8.], &x);
    assert_eq!(
        linalg::concatenate(&[a, b], &[&[2, 1], &[2, 3]], 1),
        [7., 0., 1., 2., 8., 3., 4., 5.]
    );
    let rows = linalg::concatenate(&[b, b], &[&[2, 3], &[2, 3]], 0);
    assert_eq!(rows, [&x[..], &x[..]].concat());

    assert_eq!(linalg::broadcast_shape(&[3, 1], &[4]), Some(vec![3, 4]));
    assert_eq!(linalg::broadcast_shape(&[], &[2, 1]), Some(vec![2, 1]));
    assert_eq!(linalg::broadcast_shape(&[3], &[4]), None);
    assert_eq!(linalg::broadcast_to(&[1., 2.], &[2, 1], &[2, 3]), [1., 1., 1., 2., 2., 2.]);
    assert_eq!(linalg::broadcast_to(&[1., 2.], &[2], &[2, 2]), [1., 2., 1., 2.]);
    assert_eq!(linalg::broadcast_to(&[7.], &[], &[3]), [7., 7., 7.]);
    assert_eq!(linalg::broadcast_grad(&x, &[2, 1], &[2, 3]), [3., 12.]);
    assert_eq!(linalg::broadcast_grad(&x, &[3], &[2, 3]), [3., 5., 7.]);

    assert_eq!(linalg::gather_rows(&x, 2, &[2, 0, 2]), [4., 5., 0., 1., 4., 5.]);
    assert_eq!(linalg::gather_rows_grad(&x, 2, &[2, 0, 2], 4), [2., 3., 0., 0., 4., 6., 0., 0.]);
}

#[test]
fn reductions_by_hand() {
    let x = [1., -2., 3., -4., -5., -6.];
    assert_eq!(reduce::sum(&x, &[2, 3], &[0]), [-3., -7., -3.]);
    assert_eq!(reduce::sum(&x, &[2, 3], &[1]), [2., -15.]);
    assert_eq!(reduce::sum(&x, &[2, 3], &[]), x);
    assert_eq!(reduce::mean(&x, &[2, 3], &[1, 0]), [-13. / 6.]);
    assert_eq!(reduce::max(&x, &[2, 3], &[1]), [3., -4.]);
    assert_eq!(reduce::max(&x, &[3, 1, 2], &[0, 1]), [3., -2.]);
    assert_eq!(reduce::reduced_shape(&[2, 3, 4], &[1], false), [2, 4]);
    assert_eq!(reduce::reduced_shape(&[2, 3, 4], &[1], true), [2, 1, 4]);
}

#[test]
fn normalizations_by_hand() {
    let x = [1., 2., 3., 4., -3., 3., -3., 3.];
    assert_eq!(norm::variance(&x, 4), [1.25, 9.0]);
    let root = 1.5f64.sqrt();
    let want = [-1.5 / root, -0.5 / root, 0.5 / root, 1.5 / root];
    assert_same("layer_norm", &norm::layer_norm(&x[..4], 4, None, None, 0.25), &want, 1e-15);
    let (gamma, beta) = ([2., -1.], [0., 10.]);
    let got = norm::layer_norm(&x[4..], 2, Some(&gamma), Some(&beta), 0.0);
    assert_eq!(got, [-2., 9., -2., 9.]);
    assert_eq!(norm::rms_norm(&x[4..], 4, None, 7.0), [-0.75, 0.75, -0.75, 0.75]);
    assert_eq!(norm::rms_norm(&x[4..], 2, Some(&gamma), 0.0), [-2., -1., -2., -1.]);
}

#[test]
fn masked_softmax_by_hand() {
    let (x, none) = ([0., 5., 0., 7.], f64::NEG_INFINITY);
    let masked = |mask: &[f64], additive| softmax::masked_softmax(&x, mask, 4, additive);
    assert_eq!(masked(&[1., 0., 1., 0.], false), [0.5, 0., 0.5, 0.]);
    assert_eq!(masked(&[0., none, 0., none], true), [0.5, 0., 0.5, 0.]);
    assert_eq!(masked(&[none; 4], true), [0.; 4]);
    assert_eq!(masked(&[0.; 4], false), [0.; 4]);
    assert_eq!(masked(&[0.; 4], true), softmax::softmax(&x, 4));
}

#[test]
fn analytic_gradients_agree_with_finite_differences() {
    let (x, g) = (widen(&uniform(1, 12, -3.0, 3.0)), widen(&uniform(2, 12, -1.0, 1.0)));
    let numeric = numeric_vjp(|x| softmax::softmax(x, 4), &x, &g, STEP);
    assert_same("softmax", &softmax::softmax_grad(&x, &g, 4), &numeric, 1e-9);
    let numeric = numeric_vjp(|x| softmax::log_softmax(x, 4), &x, &g, STEP);
    assert_same("log_softmax", &softmax::log_softmax_grad(&x, &g, 4), &numeric, 1e-9);
    let numeric = numeric_vjp(|x| norm::layer_norm(x, 4, None, None, 0.01), &x, &g, STEP);
    assert_same("layer_norm", &norm::layer_norm_grad(&x, &g, 4, 0.01), &numeric, 1e-9);

    let y = widen(&uniform(3, 12, 0.0, 1.0));
    let loss = |z: &[f64]| losses::batch_mean(&losses::categorical_crossentropy_logits(&y, z, 4));
    let got = losses::categorical_crossentropy_logits_grad(&y, &x, 4);
    assert_same("categorical", &got, &numeric_gradient(loss, &x, STEP), 1e-9);
    let loss = |z: &[f64]| losses::batch_mean(&losses::binary_crossentropy_logits(&y, z, 4));
    let got = losses::binary_crossentropy_logits_grad(&y, &x, 4);
    assert_same("binary", &got, &numeric_gradient(loss, &x, STEP), 1e-9);

    let (to, index) = ([2, 3, 2], [1, 0, 1, 1, 2, 0]);
    let numeric = numeric_vjp(|x| linalg::broadcast_to(x, &[3, 1], &to), &x[..3], &g, STEP);
    assert_same("broadcast", &linalg::broadcast_grad(&g, &[3, 1], &to), &numeric, 1e-9);
    let numeric = numeric_vjp(|x| linalg::gather_rows(x, 2, &index), &x[..6], &g, STEP);
    assert_same("gather", &linalg::gather_rows_grad(&g, 2, &index, 3), &numeric, 1e-9);
}

#[test]
fn softmax_is_safe_and_argmax_takes_the_first() {
    let x = [1e4, 1e4, -1e4, 5.0, 5.0, 5.0];
    let third = 1.0 / 3.0;
    assert_same("softmax", &softmax::softmax(&x, 3), &[0.5, 0.5, 0.0, third, third, third], 1e-15);
    assert_eq!(softmax::logsumexp(&x, 3)[0], 1e4 + 2f64.ln());
    assert_eq!(softmax::argmax(&[1., 3., 3., 2., 2., 2.], 3), [1, 0]);
}

/// `(rounds, words)` for three pairs of counter and key: all zeros, all ones, digits of pi.
/// Source: `kat_vectors` of Random123, the code published with Salmon et al. 2011.
const THREEFRY: [(u32, [[u32; 2]; 3]); 3] = [
    (13, [[0x9d1c_5ec6, 0x8bd5_0731], [0xfd36_d048, 0x2d17_272c], [0xba3e_4725, 0xf27d_669e]]),
    (20, [[0x6b20_0159, 0x99ba_4efe], [0x1cb9_96fc, 0xbb00_2be7], [0xc492_3a9c, 0x483d_f7a0]]),
    (32, [[0xcee3_d47e, 0xa23d_fd5c], [0x6e2f_e0d0, 0xb1b7_6f82], [0xe282_7716, 0xc3c0_5cdf]]),
];

#[test]
fn threefry_gives_the_published_words() {
    for (rounds, [zeros, ones, pi]) in THREEFRY {
        assert_eq!(threefry2x32([0; 2], [0; 2], rounds), zeros, "{rounds} rounds");
        assert_eq!(threefry2x32([u32::MAX; 2], [u32::MAX; 2], rounds), ones, "{rounds} rounds");
        let (counter, key) = ([0x243f_6a88, 0x85a3_08d3], [0x1319_8a2e, 0x0370_7344]);
        assert_eq!(threefry2x32(key, counter, rounds), pi, "{rounds} rounds");
    }
}

#[test]
fn uniform_inputs_are_uniform_and_seeded() {
    let x = uniform(7, 10_000, -2.0, 3.0);
    assert!(x.iter().all(|v| (-2.0..3.0).contains(v)));
    let mean = widen(&x).iter().sum::<f64>() / 1e4;
    // The standard error of the mean is 5 / sqrt(12 * 10,000) = 0.0144.
    assert!((mean - 0.5).abs() < 0.06, "mean {mean}");
    assert_eq!(x[..100], uniform(7, 100, -2.0, 3.0));
    assert_ne!(x[..100], uniform(8, 100, -2.0, 3.0));
    assert_eq!((unit_interval(0), unit_interval(u32::MAX)), (0.0, 1.0 - 0.5f64.powi(24)));
    assert_eq!(dropout(&[1., 2.], &[true, false], 0.5), [2., 0.]);
}

/// Every step of a tape, some of them used twice, against finite differences.
#[test]
fn a_tape_has_the_gradient_of_its_function() {
    let shapes = [[3, 4], [4, 4], [1, 4], [3, 1], [5, 2]];
    let lengths = shapes.map(|[rows, cols]| rows * cols);
    let all = widen(&uniform(21, lengths.iter().sum(), -1.0, 1.0));
    let weights = widen(&uniform(22, 3 * 13, -1.0, 1.0));
    let record = |all: &[f64]| {
        let (mut tape, mut rest) = (Tape::default(), all);
        let leaves = shapes.map(|shape| {
            let (own, others) = rest.split_at(shape[0] * shape[1]);
            rest = others;
            tape.leaf(shape, own.to_vec())
        });
        let [x, w, bias, column, table] = leaves;
        let product = tape.product(x, w);
        let biased = tape.sum(&[product, bias, x]);
        let again = tape.product(biased, w);
        let times = tape.times(&[again, column, again]);
        let scaled = tape.scale(0.5, times);
        let gelu = tape.unary("gelu", &[], scaled);
        let softmax = tape.softmax(false, gelu);
        let log = tape.softmax(true, biased);
        let rows = tape.rows(table, &[4, 0, 4, 1, 2, 4], 3);
        let log = tape.normalize(0.1, log);
        let end = tape.concatenate(&[softmax, log, rows, column]);
        assert_eq!(tape.shape(end), [3, 13]);
        (tape, leaves, end)
    };
    let (tape, leaves, end) = record(&all);
    let gradients = tape.gradients(&[(end, weights.clone())]);
    let got: Vec<f64> = leaves.iter().flat_map(|&leaf| gradients[leaf].clone()).collect();
    let value = |all: &[f64]| {
        let (tape, _, end) = record(all);
        tape.value(end).to_vec()
    };
    let want = numeric_vjp(value, &all, &weights, STEP);
    assert_same("tape", &got, &want, 1e-8);
    assert!(leaves.iter().all(|&leaf| gradients[leaf].iter().any(|g| g.abs() > 1e-3)));
    assert_eq!(tape.margin, None);
    let mut tape = Tape::default();
    let x = tape.leaf([1, 3], vec![0.0, -0.25, 3.0]);
    tape.unary("relu", &[], x);
    assert_eq!(tape.margin, Some(0.25));
}

#[test]
fn compare_refuses_what_it_should() {
    let want = widen(&uniform(9, 50, 0.5, 2.0));
    let got = narrow(&want);
    let differs = |got: &[f32], want: &[f64]| compare("x", got, want, 1e-4, 1e-6).unwrap_err();
    assert_eq!(compare("x", &got, &want, 1e-4, 1e-6), Ok(()));
    assert_eq!(compare("x", &got, &want, 0.0, 0.0), Ok(()));

    for wrong in [got[17] * 1.001, f32::NAN, f32::INFINITY, -got[17]] {
        let mut bad = got.clone();
        bad[17] = wrong;
        bad[3] *= 1.0002;
        let message = differs(&bad, &want);
        assert!(message.contains("2 of 50") && message.contains("worst at 17"), "{message}");
    }
    for wrong in [want[49] * 1.001, f64::NAN, f64::INFINITY, 1e300] {
        let mut bad = want.clone();
        bad[49] = wrong;
        assert!(differs(&got, &bad).contains("worst at 49"));
    }
    assert!(differs(&got[1..], &want).contains("got 49 elements, want 50"));
    assert!(differs(&[], &[]).contains("nothing to compare"));
    assert!(differs(&[f32::NAN], &[f64::NAN]).contains("1 of 1"));
    assert!(differs(&[f32::INFINITY], &[f64::NEG_INFINITY]).contains("1 of 1"));
    assert_eq!(compare("x", &[f32::INFINITY], &[f64::INFINITY], 1e-4, 1e-6), Ok(()));
    for tolerance in [f64::NAN, -1.0, f64::INFINITY] {
        assert!(compare("x", &got, &want, tolerance, 0.0).is_err(), "rtol {tolerance}");
        assert!(compare("x", &got, &want, 0.0, tolerance).is_err(), "atol {tolerance}");
    }
    // The message chooses by tolerance, not by size: 1 % of the small number is worse.
    assert!(differs(&[1000.5, 0.01], &[1000.0, 0.011]).contains("worst at 1"));

    assert_eq!(worst_relative(&[1.5, 0.5], &[1.0, 0.5], 1e-3), 0.5);
    assert_eq!(worst_relative(&[f32::NAN], &[1.0], 1e-3), f64::INFINITY);
}

#[test]
#[should_panic(expected = "product: 1 of 2 elements differ; worst at 1: got 2e0, want 3e0")]
fn assert_close_panics_with_the_message() {
    assert_close("product", &[1.0, 2.0], &[1.0, 3.0], 1e-5, 1e-6);
}
