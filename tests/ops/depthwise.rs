//! Depthwise convolution beyond the cases of its card: bits, loops, divided sums, and what must not be zero.

use crate::gradient::{gradient_graph, same_bits};
use crate::harness::{check_case, check_case_under, draw, execute, families, feeds, operands};
use wgrad::kernels::DeviceCaps;
use wgrad::ops::registry::{Case, Sample};
use wgrad::passes::Passes;
use wgrad::plan::Plan;

const FORMS: [&str; 3] =
    ["depthwise_convolution", "depthwise_convolution_input", "depthwise_convolution_kernel"];

/// Operands of small whole numbers: sums are exact in any order.
fn whole(mut case: Case) -> Case {
    for sample in &mut case.inputs {
        *sample = Sample::whole(sample.shape.clone());
    }
    case
}

/// Strides beside dilations, with and without a common divisor, on an odd width with odd padding: the taps that reach an
/// element are found by arithmetic, so each pair of numbers is a case of it.
#[test]
fn strides_beside_dilations() {
    for (stride, dilation) in
        [(1, 3), (2, 1), (2, 2), (2, 3), (3, 2), (3, 6), (4, 1), (4, 6), (5, 3), (6, 4)]
    {
        for form in FORMS {
            let windows = [[4, stride, dilation, 5, 2]];
            check_case(&whole(Case::depthwise(form, &[1, 23, 3], 1, &windows)));
        }
    }
}

#[test]
fn the_same_bits_ten_times() {
    // With whole vec4s of channels, and without.
    for (channels, multiplier) in [(7, 2), (8, 1)] {
        let windows = [[3, 2, 1, 1, 1], [3, 1, 3, 3, 3]];
        same_bits(&Case::depthwise(FORMS[0], &[3, 31, 41, channels], multiplier, &windows));
    }
}

/// However few iterations an invocation may run, the sum over windows keeps to them, and is the same.
#[test]
fn sums_over_windows_keep_the_loop_limit() {
    let windows = [[3, 1, 1, 1, 1], [3, 2, 1, 0, 1]];
    let case = whole(Case::depthwise(FORMS[2], &[2, 33, 41, 5], 1, &windows));
    let graph = case.graph().expect("a graph").0;
    for trips in [100, 1000, 65_535] {
        let limited: Vec<DeviceCaps> = (families().into_iter())
            .map(|caps| DeviceCaps { max_loop_trips: trips, ..caps })
            .collect();
        for caps in &limited {
            let plan = Plan::compile(&graph, &Passes::default(), caps).expect("a plan");
            let params = &plan.dispatches[0].call.params;
            // Samples, segments of a chunk, chunks, windows of a segment.
            let [_, chunk, chunks, segment]: [u32; 4] = bytemuck::pod_read_unaligned(&params[..16]);
            assert!(chunk * (segment + 1) <= trips, "{chunk} of {segment}");
            assert!(chunks > 1 && chunks <= trips, "{chunks}");
        }
        check_case_under(&case, &limited);
    }
}

#[test]
fn a_kernel_with_more_taps_than_the_loop_limit_is_refused() {
    let case = Case::depthwise(FORMS[0], &[1, 500, 1], 1, &[[400, 1, 1, 0, 0]]);
    let caps = DeviceCaps { max_loop_trips: 1000, ..families()[0].clone() };
    let plan = Plan::compile(&case.graph().expect("a graph").0, &Passes::default(), &caps);
    let error = plan.expect_err("refused").to_string();
    assert!(error.contains("taps of a window") && error.contains("400"), "{error}");
}

#[test]
fn a_stride_past_what_the_kernels_count_is_refused() {
    for (windows, stride) in [([2, 32_768, 1, 0, 0], None), ([2, 32_769, 1, 0, 0], Some("32769"))] {
        let case = Case::depthwise(FORMS[0], &[1, 70_000, 1], 1, &[windows]);
        let graph = case.graph().expect("a graph").0;
        match (Plan::compile(&graph, &Passes::default(), &families()[0]), stride) {
            (Ok(_), None) => {}
            (Err(error), Some(stride)) => {
                let error = error.to_string();
                assert!(
                    ["the stride", stride, "32768", "smaller"].iter().all(|w| error.contains(w)),
                    "{error}"
                );
            }
            (plan, _) => panic!("{windows:?}: {}", plan.is_ok()),
        }
    }
}

/// More workgroups than one dimension of the grid holds.
#[test]
fn grids_fold() {
    // An invocation of the kernel's gradient has four filters of a tap.
    for (form, shape) in FORMS.into_iter().zip([[9, 41, 7], [9, 41, 7], [2, 11, 300]]) {
        let case = Case::depthwise(form, &shape, 2, &[[3, 1, 1, 1, 1]]);
        for caps in families() {
            let caps = DeviceCaps { max_workgroups: 5, ..caps };
            let plan = Plan::compile(&case.graph().unwrap().0, &Passes::default(), &caps).unwrap();
            assert!(plan.dispatches.iter().any(|d| d.call.grid[1] > 1), "{form}");
            check_case_under(&case, std::slice::from_ref(&caps));
        }
    }
}

/// Both gradients of every form have numbers in every place that a window reaches.
#[test]
fn gradients_are_not_zero() {
    let case = Case::depthwise(FORMS[0], &[2, 9, 41, 7], 2, &[[3, 2, 1, 1, 1], [3, 1, 3, 3, 3]]);
    let graph = gradient_graph(&case).expect("a gradient");
    let mut named = feeds(&operands(&case));
    let y = [2, 5, 41, 14];
    named.push(("upstream".into(), draw(&Sample::f32(y, (0.25, 1.75)), 99)));
    let fed: Vec<_> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    for caps in families() {
        let ran = execute(&graph, &Passes::default(), &caps, &fed, &[&[]]);
        for grad in ["grad0", "grad1"] {
            let values = ran.f32(grad);
            assert!(values.iter().all(|&v| v != 0.0), "{grad}");
        }
    }
}
