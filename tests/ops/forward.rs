//! Every registry case against the oracle.

use crate::harness::{
    browser, check_case, check_case_on, check_case_under, families, fewer_lanes, operands,
};
use crate::oracle::tolerance;
use wgrad::kernels::DeviceCaps;
use wgrad::ops::registry::{Case, Sample, cards};
use wgrad::ops::table;
use wgrad::passes::Passes;
use wgrad::plan::Plan;

#[test]
fn every_card() {
    for card in cards() {
        card.cases.iter().for_each(check_case);
    }
}

/// Rows and products of single lanes.
#[test]
fn every_card_on_a_cpu_of_a_browser() {
    for card in cards() {
        for case in &card.cases {
            check_case_under(case, &[browser()]);
        }
    }
}

/// Rows, products, attention and recurrences: the cases whose kernels depend on the lanes.
#[test]
fn every_card_on_fewer_lanes() {
    let sources = |case: &Case, caps: &DeviceCaps| -> Vec<String> {
        let graph = case.graph().unwrap_or_else(|e| panic!("{case}: {e}")).0;
        let plan = Plan::compile(&graph, &Passes::default(), caps).expect("a plan");
        plan.dispatches.iter().map(|d| d.call.source().expect("a shader").into_owned()).collect()
    };
    let all: Vec<Case> = cards().into_iter().flat_map(|card| card.cases).collect();
    let own: Vec<_> = all.iter().map(|case| sources(case, &families()[0])).collect();
    for caps in fewer_lanes() {
        let others = all.iter().zip(&own).filter(|(case, own)| sources(case, &caps) != **own);
        let others: Vec<&Case> = others.map(|(case, _)| case).collect();
        assert!((20..all.len() / 2).contains(&others.len()), "{} of {}", others.len(), all.len());
        others.into_iter().for_each(|case| check_case_under(case, std::slice::from_ref(&caps)));
    }
}

#[test]
fn parameters_of_functions() {
    let settings: [(&str, &[f32]); 4] = [
        ("leaky_relu", &[0.01]),
        ("elu", &[0.5]),
        ("clipped_linear", &[-0.5, 2.0]),
        ("clipped_linear", &[0.0]),
    ];
    for (name, params) in settings {
        let row = table::row(name).expect("a row of the table");
        let mut case = Case::unary(row, &[7, 13], params);
        let x = operands(&case);
        if case.params == [0.0] {
            // The oracle takes all parameters or none; the graph fills in the default.
            let want = Case::unary(row, &[7, 13], &[0.0, 1.0]);
            check_case_on(&want, &x, tolerance(&want));
            continue;
        }
        case.params = params.to_vec();
        check_case_on(&case, &x, tolerance(&case));
    }
}

/// All ways in which the axes of two operands of rank 3 repeat.
#[test]
fn broadcasting_in_all_combinations() {
    let row = table::row("sub").expect("a row of the table");
    for extents in [[3usize, 5, 7], [2, 3, 8]] {
        let shapes: Vec<Vec<usize>> = (0..8)
            .map(|bits| (0..3).map(|a| if bits >> a & 1 == 1 { 1 } else { extents[a] }).collect())
            .collect();
        for a in &shapes {
            for b in &shapes {
                check_case(&Case::binary(row, a, b));
            }
            // Missing leading axes count as 1.
            for lead in 1..=3 {
                check_case(&Case::binary(row, a, &extents[lead..]));
                check_case(&Case::binary(row, &extents[lead..], a));
            }
        }
    }
}

fn permutations(rank: usize) -> Vec<Vec<usize>> {
    if rank == 0 {
        return vec![vec![]];
    }
    let insert = |p: Vec<usize>| {
        (0..rank).map(move |at| {
            let mut q = p.clone();
            q.insert(at, rank - 1);
            q
        })
    };
    permutations(rank - 1).into_iter().flat_map(insert).collect()
}

#[test]
fn transposes_of_rank_2_to_4() {
    let shapes: [&[usize]; 9] = [
        &[1, 5],
        &[8, 1],
        &[37, 41],
        &[64, 48],
        &[5, 8, 3],
        &[4, 8, 12],
        &[1, 7, 4],
        &[2, 3, 5, 7],
        &[2, 4, 1, 8],
    ];
    for shape in shapes {
        for axes in permutations(shape.len()) {
            check_case(&Case::transpose(shape, &axes));
        }
    }
}

#[test]
fn reductions_over_every_set_of_axes() {
    let shape = [3, 5, 2, 7];
    for op in ["sum", "mean", "max", "min", "product"] {
        for bits in 1..16usize {
            let axes: Vec<usize> = (0..4).filter(|a| bits >> a & 1 == 1).collect();
            check_case(&Case::reduce(op, &shape, &axes));
        }
    }
}

#[test]
fn gathers_of_odd_tables() {
    let case = cards().into_iter().find(|c| c.name == "gather").expect("a card").cases.remove(2);
    for start in [0, 1, 9] {
        let mut case = case.clone();
        case.words[0].1 = start;
        check_case(&case);
    }
}

/// Rows of every width beside each other, and more of them than one dimension of the grid holds.
#[test]
fn gathers_fold_their_rows_over_the_grid() {
    for width in [1, 40, 1100] {
        let table = Sample::f32([5, width], (-1.0, 1.0));
        let case = Case::gather(45, &[45, 0], &[(table, 0.5)]);
        for caps in families() {
            let graph = case.graph().expect("a graph").0;
            let caps = DeviceCaps { max_workgroups: 8, ..caps };
            let plan = Plan::compile(&graph, &Passes::default(), &caps).expect("a plan");
            assert_eq!(plan.dispatches[0].call.grid[2] > 1, width > 8, "{width}");
            check_case_under(&case, std::slice::from_ref(&caps));
        }
    }
}

#[test]
fn slices_and_joins_along_every_axis() {
    for shape in [&[7][..], &[5, 8], &[3, 4, 5], &[2, 3, 4, 4]] {
        for (axis, &extent) in shape.iter().enumerate() {
            for range in [0..1, extent - 1..extent, 0..extent, 1..extent] {
                check_case(&Case::slice(shape, axis, range));
            }
            for extents in [&[1][..], &[extent, 1], &[1, 3, extent, 2], &[2; 7], &[1; 8], &[1; 50]]
            {
                check_case(&Case::concatenate(shape, axis, extents));
            }
        }
    }
}
