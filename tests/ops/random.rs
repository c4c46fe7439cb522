//! Random numbers, bit for bit: alone, in a fused kernel, and in the epilogue of a product.

use crate::harness::{NO_PASSES, execute, families, run_case};
use crate::oracle;
use crate::reference::compare::narrow;
use crate::steps::dropout;
use wgrad::graph::Graph;
use wgrad::ops::registry::Case;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

fn numbers(stream: u32, shape: &[usize], seed: u32, step: u32) -> Vec<f32> {
    let case = Case::random("random_uniform", stream, shape, seed, step);
    let got = run_case(&case, &[], &Passes::default(), &families()[0]).f32("out0");
    assert_eq!(got, narrow(&oracle::results(&case, &[])[0]), "{case}");
    got
}

#[test]
fn uniform_numbers_are_the_generators_bits() {
    for (stream, seed, step) in [(0, 0, 0), (1, 42, 7), (u32::MAX, u32::MAX, u32::MAX)] {
        numbers(stream, &[3, 5], seed, step);
        numbers(stream, &[4099], seed, step);
    }
}

#[test]
fn streams_steps_and_seeds_differ_and_the_mean_is_a_half() {
    let base = numbers(1, &[100_000], 5, 9);
    for other in [numbers(2, &[100_000], 5, 9), numbers(1, &[100_000], 6, 9)] {
        assert_ne!(base, other);
    }
    assert_ne!(base, numbers(1, &[100_000], 5, 10));
    assert_eq!(base, numbers(1, &[100_000], 5, 9));
    let mean = base.iter().map(|&v| f64::from(v)).sum::<f64>() / 1e5;
    // The standard error is 1 / sqrt(12 · 100,000) = 0.0009; five of them.
    assert!((mean - 0.5).abs() < 0.0046, "mean {mean}");
    assert!(base.iter().all(|v| (0.0..1.0).contains(v)));
}

#[test]
fn normal_numbers_have_the_moments_of_the_distribution() {
    let numbers = |stream, seed, step| {
        let case = Case::random("random_normal", stream, &[1_000_000], seed, step);
        run_case(&case, &[], &Passes::default(), &families()[0]).f32("out0")
    };
    let base = numbers(1, 5, 9);
    assert_eq!(base, numbers(1, 5, 9));
    for other in [numbers(2, 5, 9), numbers(1, 6, 9), numbers(1, 5, 10)] {
        assert_ne!(base, other);
    }
    // The k-th moment of a million numbers has the standard error sqrt((m_2k - m_k^2) / 1e6); five of them.
    for (k, want, error) in [(1, 0.0, 1e-3), (2, 1.0, 1.5e-3), (3, 0.0, 3.9e-3), (4, 3.0, 9.8e-3)] {
        let moment = base.iter().map(|&v| f64::from(v).powi(k)).sum::<f64>() / 1e6;
        assert!((moment - want).abs() < 5.0 * error, "moment {k}: {moment}");
    }
    // The share within one, two and three: standard errors below 5e-4.
    for (bound, share) in [(1.0, 0.682_689), (2.0, 0.954_500), (3.0, 0.997_300)] {
        let got = base.iter().filter(|v| v.abs() < bound).count() as f64 / 1e6;
        assert!((got - share).abs() < 2.5e-3, "{got} within {bound}");
    }
    assert!(base.iter().all(|v| v.abs() < 5.8));
}

/// The mask of `stream` for dropout that keeps 3/4, from the oracle's numbers.
fn mask(stream: u32, len: usize) -> Vec<f32> {
    let u = &oracle::results(&Case::random("random_uniform", stream, &[len], 21, 3), &[])[0];
    u.iter().map(|&u| if u >= 0.25 { 4.0f32 / 3.0 } else { 0.0 }).collect()
}

#[test]
fn a_mask_is_the_same_wherever_it_is_computed() {
    let words = [("seed", 21), ("step", 3)];
    for [m, n] in [[9, 12], [7, 5], [33, 70]] {
        let mut g = Graph::new();
        let (a, b) = (g.input("a", [m, 1], DType::F32), g.input("b", [1, n], DType::F32));
        let x = g.input("x", [m, n], DType::F32);
        // A product of ones is one everywhere.
        let product = g.matmul(a, b).expect("a product");
        let epilogue = dropout(&mut g, product, 4).expect("dropout");
        let fused = g.neg(x).expect("a function");
        let fused = dropout(&mut g, fused, 4).expect("dropout");
        let other = dropout(&mut g, x, 5).expect("dropout");
        for (name, v) in [("epilogue", epilogue), ("fused", fused), ("other", other)] {
            g.output(name, v);
        }
        let ones = |r: usize, c: usize, v: f32| Tensor::f32([r, c], vec![v; r * c]).expect("ones");
        let feeds = [("a", ones(m, 1, 1.0)), ("b", ones(1, n, 1.0)), ("x", ones(m, n, -1.0))];
        for caps in families() {
            for passes in [Passes::default(), NO_PASSES] {
                let plan = Plan::compile(&g, &passes, &caps).expect("a plan");
                let drawing = plan.dispatches.iter().filter(|d| {
                    d.call.name().starts_with("matmul/")
                        && d.call.defines.contains(&("RANDOM", true.into()))
                });
                assert_eq!(drawing.count(), usize::from(passes.fuse), "{plan}");
                let ran = execute(&g, &passes, &caps, &feeds, &[&words]);
                assert_eq!(ran.f32("epilogue"), mask(4, m * n));
                assert_eq!(ran.f32("fused"), mask(4, m * n));
                assert_ne!(ran.f32("other"), mask(4, m * n));
            }
        }
    }
}

/// Seed and step may be constants: a graph that draws the same numbers each time.
#[test]
fn seed_and_step_may_be_constants() {
    let mut g = Graph::new();
    let (seed, step) = (g.constant_u32(21), g.constant_u32(3));
    let u = g.random_uniform([13], seed, step, 4).expect("numbers");
    g.output("u", u);
    let ones = g.input("ones", [13, 1], DType::F32);
    let one = g.input("one", [1, 1], DType::F32);
    let product = g.matmul(ones, one).expect("a product");
    let u = g.random_uniform([13, 1], seed, step, 4).expect("numbers");
    let y = g.mul(product, u).expect("a function");
    g.output("y", y);
    let feed = |r: usize| Tensor::f32([r, 1], vec![1.0; r]).expect("ones");
    let want = narrow(&oracle::results(&Case::random("random_uniform", 4, &[13], 21, 3), &[])[0]);
    for passes in [Passes::default(), NO_PASSES] {
        let feeds = [("ones", feed(13)), ("one", feed(1))];
        let ran = execute(&g, &passes, &families()[0], &feeds, &[&[]]);
        assert_eq!((ran.f32("u"), ran.f32("y")), (want.clone(), want.clone()));
    }
}
