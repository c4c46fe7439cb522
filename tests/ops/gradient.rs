//! Gradients against finite differences of the oracle, with a random upstream gradient.

use crate::harness::{draw, execute, families, operands, wide};
use crate::oracle;
use crate::reference::compare::compare;
use crate::reference::elementwise;
use crate::reference::gradient::{STEP, numeric_vjp};
use std::collections::BTreeMap;
use wgrad::Error;
use wgrad::autodiff::gradients;
use wgrad::graph::{Graph, Value};
use wgrad::kernels::DeviceCaps;
use wgrad::ops::registry::{Case, Gradient, Sample, cards};
use wgrad::ops::table;
use wgrad::passes::Passes;
use wgrad::tensor::{DType, Tensor};

/// Finite differences call the oracle twice per element.
const LARGEST: usize = 700;

/// Whether a case is small enough, and has an operand to differentiate by.
pub fn is_gradient_case(case: &Case) -> bool {
    let len: usize = case.inputs.iter().map(|s| s.shape.len()).sum();
    // Only a gather of all its indices has a gradient.
    let whole = case.op != "gather" || case.args[0] == case.inputs[0].shape.len();
    whole && len <= LARGEST && case.inputs.iter().any(|s| s.dtype == DType::F32)
}

/// The case's graph with d(Σ out0 · upstream)/d(input) as output `gradI` for each f32 operand I.
pub fn gradient_graph(case: &Case) -> wgrad::Result<Graph> {
    let (mut g, inputs, outputs) = case.graph()?;
    let shape = g.shape(outputs[0]).clone();
    let upstream = g.input("upstream", shape, DType::F32);
    let weighted = g.mul(outputs[0], upstream)?;
    let loss = g.sum(weighted, &[], false)?;
    let wrt = differentiable(case, &inputs);
    let values: Vec<Value> = wrt.iter().map(|w| w.1).collect();
    let grads = gradients(&mut g, loss, &values)?;
    wrt.iter().zip(grads).for_each(|((i, _), d)| g.output(&format!("grad{i}"), d));
    Ok(g)
}

fn differentiable(case: &Case, inputs: &[Value]) -> Vec<(usize, Value)> {
    let of_f32 = |(i, &v): (usize, &Value)| (case.inputs[i].dtype == DType::F32).then_some((i, v));
    inputs.iter().enumerate().filter_map(of_f32).collect()
}

/// Operands of which none is near a joint of its function.
fn smooth_operands(case: &Case) -> Vec<Tensor> {
    let mut x = operands(case);
    if ["max", "min", "max_pool"].contains(&case.op) {
        // Another order of evenly spaced numbers: no two so near that a step of the differences exchanges them.
        let len = x[0].shape().len();
        let data: Vec<f32> = (0..len).map(|i| (i * 101 % len) as f32 / len as f32 - 0.5).collect();
        x[0] = Tensor::f32(x[0].shape(), data).expect("the same length");
    }
    if elementwise::unary_names().any(|n| n == case.op) {
        let params: Vec<f64> = case.params.iter().map(|&p| f64::from(p)).collect();
        let joints = elementwise::joints(case.op, &params);
        let near = |v: f32| joints.iter().any(|j| (f64::from(v) - j).abs() < 0.01);
        let moved = |&v: &f32| if near(v) { v + 0.05 } else { v };
        let data: Vec<f32> = x[0].as_f32().expect("f32").iter().map(moved).collect();
        x[0] = Tensor::f32(x[0].shape(), data).expect("the same length");
    }
    x
}

/// Gradients on the device and by finite differences, one pair per f32 operand. `error` is added to the first
/// upstream element that the device sees.
fn both(case: &Case, caps: &DeviceCaps, error: f32) -> Vec<(Vec<f32>, Vec<f64>)> {
    let graph = gradient_graph(case).unwrap_or_else(|e| panic!("{case}: {e}"));
    let x = smooth_operands(case);
    let wides: Vec<Vec<f64>> = x.iter().map(wide).collect();
    let len = oracle::results(case, &wides)[0].len();
    let upstream = draw(&Sample::f32([len], (0.25, 1.75)), 99);
    let mut shown = upstream.as_f32().expect("f32").to_vec();
    shown[0] += error;
    let mut named: Vec<(String, Tensor)> = crate::harness::feeds(&x);
    named.push(("upstream".into(), Tensor::f32([len], shown).expect("the same length")));
    let feeds: Vec<(&str, Tensor)> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let ran = execute(&graph, &Passes::default(), caps, &feeds, &[&case.words]);
    let of_operand = |i: usize| {
        let f = |at: &[f64]| {
            let mut all = wides.clone();
            all[i] = at.to_vec();
            oracle::results(case, &all).swap_remove(0)
        };
        let want = numeric_vjp(f, &wides[i], &wide(&upstream), STEP);
        (ran.f32(&format!("grad{i}")), want)
    };
    let f32s = (0..x.len()).filter(|&i| x[i].dtype() == DType::F32);
    f32s.map(of_operand).collect()
}

/// The upstream gradient and the operand's.
fn passed(case: &Case) -> (Vec<f32>, Vec<f32>) {
    let graph = gradient_graph(case).unwrap_or_else(|e| panic!("{case}: {e}"));
    let x = smooth_operands(case);
    let upstream = draw(&Sample::f32([x[0].shape().len()], (0.25, 1.75)), 99);
    let mut named: Vec<(String, Tensor)> = crate::harness::feeds(&x);
    named.push(("upstream".into(), upstream.clone()));
    let feeds: Vec<(&str, Tensor)> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let ran = execute(&graph, &Passes::default(), &families()[0], &feeds, &[&case.words]);
    (upstream.as_f32().expect("f32").to_vec(), ran.f32("grad0"))
}

/// Finite differences are right to about 1e-9; the rest is f32: a sum of n products of numbers up to a few units, each
/// rounded to 6e-8; one element of the gradient adds up `n` of them.
fn tolerance(case: &Case) -> (f64, f64) {
    let largest = case.inputs.iter().map(|s| s.shape.len()).max().unwrap_or(1) as f64;
    (2e-5, 2e-6 * largest.sqrt().min(10.0))
}

/// Asserts that a case and its gradients, none of which is all zero, have the same bits ten times under each of `all`.
#[track_caller]
pub fn same_bits_under(case: &Case, all: &[DeviceCaps]) {
    let graph = gradient_graph(case).unwrap_or_else(|e| panic!("{case}: {e}"));
    let (alone, _, outputs) = case.graph().unwrap_or_else(|e| panic!("{case}: {e}"));
    let shape = alone.shape(outputs[0]);
    let mut named = crate::harness::feeds(&operands(case));
    named.push(("upstream".into(), draw(&Sample::f32(shape, (0.25, 1.75)), 99)));
    let fed: Vec<(&str, Tensor)> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    for caps in all {
        let run = || -> BTreeMap<String, Vec<u32>> {
            let ran = execute(&graph, &Passes::default(), caps, &fed, &[&case.words]);
            let bits = |name: &String| ran.f32(name).iter().map(|v| v.to_bits()).collect();
            ran.outputs.keys().map(|name| (name.clone(), bits(name))).collect()
        };
        let first = run();
        for (name, bits) in &first {
            let zero = |bits: &u32| f32::from_bits(*bits) == 0.0;
            assert!(!bits.iter().all(zero), "{case}: {name} is zero, {:?}", caps.matmul);
        }
        assert!((1..10).all(|_| run() == first), "{case}, {:?}", caps.matmul);
    }
}

/// [`same_bits_under`] each family of kernels.
#[track_caller]
pub fn same_bits(case: &Case) {
    same_bits_under(case, &families());
}

#[track_caller]
pub fn check(case: &Case) {
    let (rtol, atol) = tolerance(case);
    for caps in families() {
        for (i, (got, want)) in both(case, &caps, 0.0).iter().enumerate() {
            let name = format!("{case} gradient {i}, {:?}", caps.matmul);
            compare(&name, got, want, rtol, atol).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

#[test]
fn every_differentiable_card() {
    for card in cards() {
        match card.gradient {
            Gradient::Checked => {
                let small = card.cases.iter().filter(|c| is_gradient_case(c));
                small.for_each(check);
            }
            Gradient::Zero => {
                for case in card.cases.iter().filter(|c| is_gradient_case(c)) {
                    for (got, _) in both(case, &families()[0], 0.0) {
                        assert!(got.iter().all(|&v| v == 0.0), "{case} has a gradient");
                    }
                }
            }
            Gradient::StraightThrough => {
                for case in card.cases.iter().filter(|c| is_gradient_case(c)) {
                    let (upstream, got) = passed(case);
                    assert_eq!(got, upstream, "{case}");
                }
            }
            Gradient::None(_) => {
                for case in &card.cases {
                    let refused = gradient_graph(case);
                    let right = matches!(refused, Err(Error::NotDifferentiable { .. }));
                    assert!(right, "{case}: {refused:?}");
                }
            }
        }
    }
}

#[test]
fn a_gather_of_some_indices_has_no_gradient() {
    let case = Case::gather(7, &[3, 0], &[(Sample::f32([5, 3], (-1.0, 1.0)), 1.0)]);
    assert!(matches!(gradient_graph(&case), Err(Error::NotDifferentiable { .. })));
}

/// A matrix that is trained is refused, and named: it has no zero gradient.
#[test]
fn the_matrices_of_an_affine_map_have_no_gradient() {
    use wgrad::ops::{Affine, FillMode, Interpolation};
    let mut g = Graph::new();
    let images = g.input("images", [2, 3, 4, 1], DType::F32);
    let matrices = g.input("matrices", [2, 6], DType::F32);
    let (fill, interpolation) = (FillMode::Wrap, Interpolation::Bilinear);
    let affine = Affine { height: 3, width: 4, fill, value: 0.0.into(), interpolation };
    let y = g.in_layer("turn", |g| g.affine(images, matrices, affine)).expect("they fit");
    let loss = g.sum(y, &[], false).expect("f32");
    let refused = gradients(&mut g, loss, &[matrices]).expect_err("no gradient");
    assert!(
        matches!(&refused, Error::NotDifferentiable { op, layer, .. } if op == "affine" && layer == "turn")
    );
    assert!(gradients(&mut g, loss, &[images]).is_ok());
}

#[test]
fn a_wrong_upstream_is_noticed() {
    let names = [
        "tanh",
        "matmul",
        "softmax",
        "sum",
        "transpose",
        "min",
        "product",
        "cumsum",
        "sin",
        "pow",
        "affine",
        "attention",
        "bands",
    ];
    let row_kernels = ["layer_norm", "rms_norm", "masked_softmax", "variance", "log_sum_exp"];
    let pools = ["max_pool", "average_pool"];
    let convolutions = [
        "convolution",
        "convolution_transpose",
        "convolution_kernel",
        "depthwise_convolution",
        "depthwise_convolution_input",
        "depthwise_convolution_kernel",
    ];
    // Of a margin the first element has no gradient, whatever its upstream is.
    let pad = Case::pad(&[3, 5], &[[0, 2], [0, 1]], 0.5);
    let of_card = |name: &str| {
        let card = cards().into_iter().find(|c| c.name == name).expect("a card");
        // Nor has an element that is masked.
        let whole = |c: &Case| c.op != "masked_softmax" || c.args == [1];
        card.cases.into_iter().find(whole).expect("a case")
    };
    let all = names.into_iter().chain(row_kernels).chain(pools).chain(convolutions);
    for case in all.map(of_card).chain([pad]) {
        let (case, name) = (&case, case.op);
        let (rtol, atol) = tolerance(case);
        let (got, want) = &both(case, &families()[0], 0.01)[0];
        assert!(compare(name, got, want, rtol, atol).is_err(), "{name} hides an error");
    }
}

#[test]
fn broadcast_operands_sum_their_gradients() {
    for name in ["add", "sub", "mul", "div", "pow", "maximum", "minimum"] {
        let row = table::row(name).expect("a row of the table");
        let shapes: [(&[usize], &[usize]); 6] = [
            (&[3, 5], &[1, 5]),
            (&[3, 1], &[1, 5]),
            (&[2, 1, 5], &[2, 3, 1]),
            (&[1], &[2, 3, 5]),
            (&[], &[3, 5]),
            (&[2, 3, 5], &[3, 1]),
        ];
        shapes.iter().for_each(|(a, b)| check(&Case::binary(row, a, b)));
    }
}

#[test]
fn reductions_over_every_set_of_axes() {
    for op in ["sum", "mean", "max", "min", "product"] {
        for bits in 1..16usize {
            let axes: Vec<usize> = (0..4).filter(|a| bits >> a & 1 == 1).collect();
            check(&Case::reduce(op, &[3, 5, 2, 7], &axes));
        }
    }
}

/// A value whose own gradient is asked for still passes the gradient on to its operands.
#[test]
fn an_intermediate_value_passes_the_gradient_on() -> anyhow::Result<()> {
    let mut g = Graph::new();
    let x = g.input("x", [3], DType::F32);
    let h = g.unary("square", x, &[])?;
    let y = g.unary("square", h, &[])?;
    let loss = g.sum(y, &[], false)?;
    let grads = gradients(&mut g, loss, &[x, h])?;
    g.output("dx", grads[0]);
    g.output("dh", grads[1]);
    let feed = Tensor::f32([3], [1.0, -2.0, 3.0])?;
    let ran = execute(&g, &Passes::default(), &families()[0], &[("x", feed)], &[&[]]);
    assert_eq!(ran.f32("dh"), [2.0, 8.0, 18.0]);
    assert_eq!(ran.f32("dx"), [4.0, -32.0, 108.0]);
    Ok(())
}

/// A value used twice adds up its gradients; one that the loss does not depend on has none.
#[test]
fn uses_add_up() -> anyhow::Result<()> {
    let mut g = Graph::new();
    let x = g.input("x", [3], DType::F32);
    let unused = g.input("unused", [2], DType::F32);
    let square = g.mul(x, x)?;
    let y = g.add(square, x)?;
    let loss = g.sum(y, &[], false)?;
    let grads = gradients(&mut g, loss, &[x, unused])?;
    g.output("dx", grads[0]);
    g.output("zero", grads[1]);
    let feed = Tensor::f32([3], [1.0, -2.0, 3.0])?;
    let none = Tensor::f32([2], [1.0, 1.0])?;
    let feeds = [("x", feed), ("unused", none)];
    let ran = execute(&g, &Passes::default(), &families()[0], &feeds, &[&[]]);
    assert_eq!(ran.f32("dx"), [3.0, -3.0, 7.0]);
    assert_eq!(ran.f32("zero"), [0.0, 0.0]);
    Ok(())
}
