//! The harness notices the faults that it must notice.

use crate::harness::{families, feeds, operands, run_case, run_plan, wide};
use crate::oracle;
use crate::reference::compare::compare;
use wgrad::kernels::DeviceCaps;
use wgrad::ops::registry::Case;
use wgrad::ops::table;
use wgrad::passes::Passes;
use wgrad::plan::{Plan, PlanData};
use wgrad::tensor::Tensor;

fn square(shape: &[usize]) -> Case {
    Case::unary(table::row("square").expect("a row of the table"), shape, &[])
}

#[test]
fn one_wrong_element_is_noticed() {
    let case = square(&[7, 11]);
    let x = operands(&case);
    let want = &oracle::results(&case, &[wide(&x[0])])[0];
    let got = run_case(&case, &x, &Passes::default(), &families()[0]).f32("out0");
    let (rtol, atol) = oracle::tolerance(&case);
    assert_eq!(compare("square", &got, want, rtol, atol), Ok(()));
    for wrong in [got[40] * 1.000_001, f32::NAN, f32::INFINITY] {
        let mut bad = got.clone();
        bad[40] = wrong;
        assert!(compare("square", &bad, want, rtol, atol).is_err(), "{wrong} was accepted");
    }
}

/// Runs the plan of `case` after `forge` changed it.
fn forged(case: &Case, caps: &DeviceCaps, forge: impl Fn(&mut PlanData)) -> Result<(), String> {
    let graph = case.graph().expect("a graph").0;
    let mut plan = Plan::compile(&graph, &Passes::default(), caps).expect("a plan");
    // SAFETY: what a forged kernel touches past its end are guard words.
    forge(unsafe { plan.data_mut() });
    let named = feeds(&operands(case));
    let feeds: Vec<(&str, Tensor)> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    run_plan(&plan, &feeds, &[&case.words]).map(|_| ())
}

/// Adds one to word `at` of the first dispatch's parameters.
fn one_more(plan: &mut PlanData, at: usize) {
    let word = &mut plan.dispatches[0].call.params[at * 4..][..4];
    let value = u32::from_le_bytes([word[0], word[1], word[2], word[3]]) + 1;
    word.copy_from_slice(&value.to_le_bytes());
}

#[track_caller]
fn noticed(case: &Case, forge: impl Fn(&mut PlanData)) {
    for caps in families() {
        assert_eq!(forged(case, &caps, |_| ()), Ok(()), "{case} as it is");
        let error = forged(case, &caps, &forge).err().unwrap_or_default();
        assert!(error.starts_with("guard: byte"), "{case}, {:?}: `{error}`", caps.matmul);
    }
}

#[test]
fn a_kernel_that_writes_past_its_end_is_noticed() {
    // One element more, inside the last vector and past it.
    noticed(&square(&[3, 5]), |plan| one_more(plan, 0));
    noticed(&square(&[4, 4]), |plan| {
        one_more(plan, 0);
        one_more(plan, 1);
    });
    // One row more of a product, of a reduction, of a softmax and of a row kernel.
    let product = Case::matmul(&[], [5, 7, 3], [false, false], false);
    noticed(&product, |plan| one_more(plan, 0));
    let another_row = |plan: &mut PlanData| {
        one_more(plan, 0);
        plan.dispatches[0].call.grid[0] += 1;
    };
    noticed(&Case::reduce("sum", &[3, 5], &[1]), another_row);
    noticed(&Case::softmax("softmax", &[3, 5]), another_row);
    noticed(&Case::reduce("min", &[3, 5], &[1]), another_row);
    noticed(&Case::reduce("product", &[3, 5], &[1]), another_row);
    // One column more of a cumulative sum.
    noticed(&Case::cumulative("cumsum", &[3, 5], 0, [false, false]), |plan| one_more(plan, 2));
    noticed(&Case::layer_norm(&[3, 5], 1, true, true), another_row);
    noticed(&Case::statistic("variance", &[3, 5], &[1]), another_row);
    // One sample more of a depthwise convolution and of the gradient of its input; one chunk more of its kernel's.
    for (form, field) in [
        ("depthwise_convolution", 0),
        ("depthwise_convolution_input", 0),
        ("depthwise_convolution_kernel", 2),
    ] {
        noticed(&Case::depthwise(form, &[1, 4, 5, 3], 1, &[[2, 1, 1, 0, 0]; 2]), |plan| {
            one_more(plan, field);
        });
    }
    // One column more of column sums.
    noticed(&Case::column_sums(&[3, 5], 1, &[5]), |plan| one_more(plan, 1));
}

/// A read past the end finds NaN, so that it shows in the result.
#[test]
fn a_kernel_that_reads_past_its_end_is_noticed() {
    let case = Case::reduce("sum", &[1, 65], &[1]);
    let graph = case.graph().expect("a graph").0;
    for caps in families() {
        let mut plan = Plan::compile(&graph, &Passes::default(), &caps).expect("a plan");
        // Both the extent and the chunk.
        // SAFETY: what it reads past its end are guard words.
        let data = unsafe { plan.data_mut() };
        one_more(data, 1);
        one_more(data, 3);
        let ran = run_plan(&plan, &[("in0", operands(&case).remove(0))], &[&[]]).expect("a run");
        assert!(ran.f32("out0")[0].is_nan());
    }
}
