//! Sizes at which kernels change their method: past one workgroup, past one dispatch dimension, past the loop limit,
//! one stage or two.

use crate::harness::{check_case, execute, families};
use wgrad::Error;
use wgrad::graph::Graph;
use wgrad::kernels::{DeviceCaps, MatmulFamily};
use wgrad::ops::CrossEntropyKind;
use wgrad::ops::registry::{Case, Sample};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

fn whole(mut case: Case) -> Case {
    case.inputs[0] = Sample::whole(case.inputs[0].shape.clone());
    case
}

#[test]
fn reductions_of_one_and_two_stages() {
    for op in ["sum", "max"] {
        for (shape, axes) in [
            (&[300_000usize][..], &[0usize][..]),
            (&[4099], &[0]),
            (&[2, 70_001], &[1]),
            (&[70_001, 3], &[0]),
            (&[3, 1009, 5], &[1]),
            (&[257, 64], &[0]),
            (&[1, 1], &[0]),
        ] {
            check_case(&whole(Case::reduce(op, shape, axes)));
        }
    }
}

#[test]
fn more_rows_than_one_dispatch_dimension() {
    check_case(&whole(Case::reduce("sum", &[70_000, 3], &[1])));
    check_case(&Case::softmax("softmax", &[70_000, 3]));
    check_case(&Case::classes("hits", 70_000, 3, true));
    check_case(&Case::cross_entropy(CrossEntropyKind::Sparse, 70_000, 3));
    check_case(&Case::cross_entropy(CrossEntropyKind::Binary, 70_000, 3));
}

#[test]
fn a_join_past_65_535_workgroups() {
    check_case(&Case::concatenate(&[70_000, 0], 1, &[1, 60]));
}

#[test]
fn softmax_rows_from_1_to_100_000() {
    for op in ["softmax", "log_softmax"] {
        for cols in [1, 2, 7, 8, 9, 31, 64, 129, 1000, 1025, 10_007, 100_000] {
            check_case(&Case::softmax(op, &[2, cols]));
        }
    }
    for kind in [CrossEntropyKind::Sparse, CrossEntropyKind::Categorical] {
        for cols in [1, 2, 129, 1025, 20_011] {
            check_case(&Case::cross_entropy(kind, 3, cols));
        }
    }
}

/// A row so long that lanes have to be added to stay below the loop limit of software Vulkan.
#[test]
fn a_row_past_the_loop_limit_of_few_lanes() {
    let case = Case::softmax("softmax", &[1, 300_007]);
    check_case(&case);
}

/// What software Vulkan runs: 65,535 loop iterations per invocation.
fn software_vulkan() -> DeviceCaps {
    DeviceCaps {
        cpu: true,
        subgroup: Some((8, 8)),
        max_loop_trips: 65_535,
        matmul: MatmulFamily::Broadcast,
        ..DeviceCaps::webgpu_defaults()
    }
}

#[test]
fn past_the_loop_limit_is_an_error() {
    let norm = Case::layer_norm(&[1, 24_000_000], 1, true, true);
    for case in [Case::softmax("softmax", &[1, 6_000_000]), norm] {
        let graph = case.graph().expect("a graph").0;
        let error = Plan::compile(&graph, &Passes::default(), &software_vulkan()).unwrap_err();
        assert!(matches!(error, Error::Limit { .. }), "{case}");
        let text = error.to_string();
        let columns = case.inputs[0].shape.len().to_string();
        assert!(text.contains(case.op) && text.contains(&columns), "{text}");
    }
}

#[test]
fn an_elementwise_op_past_65_535_workgroups() {
    let len = 65_536 * 256 + 7;
    let mut g = Graph::new();
    let x = g.input("x", [len], DType::F32);
    let y = g.unary("square", x, &[]).expect("a function of the table");
    g.output("y", y);
    let data: Vec<f32> = (0..len).map(|i| (i % 4001) as f32 - 2000.0).collect();
    let feed = Tensor::f32([len], data.clone()).expect("as many elements");
    let ran = execute(&g, &Passes::default(), &families()[0], &[("x", feed)], &[&[]]);
    let got = ran.f32("y");
    assert_eq!(got.len(), len);
    let wrong = data.iter().zip(&got).position(|(x, y)| x * x != *y);
    assert_eq!(wrong, None, "squares of whole numbers are exact");
}

/// More elements than eight lanes may visit.
#[test]
fn a_range_past_the_loop_limit_of_a_few_lanes() {
    let mut case = Case::ranges("sum_ranges", 600_000, &[1, 599_998]);
    case.inputs[0] = Sample::whole([600_000]);
    check_case(&case);
}
