//! Sums of rows by id, the gradient of a gather: against the oracle, and to the bit against their order.

use crate::gradient::gradient_graph;
use crate::harness::{Ran, check_case_on, draw, execute, families, operands, run_case};
use crate::oracle::tolerance;
use crate::reference::random::uniform;
use wgrad::autodiff::gradients;
use wgrad::graph::Graph;
use wgrad::kernels::DeviceCaps;
use wgrad::ops::CrossEntropyKind;
use wgrad::ops::registry::{Case, Sample};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

/// A case whose rows are whole numbers, so that its sums are exact in any order.
fn whole(rows: usize, table: &[usize]) -> Case {
    let mut case = Case::segment_sum(rows, table);
    case.inputs[1] = Sample::whole(case.inputs[1].shape.clone());
    case
}

/// Compares `case` with the oracle on these ids.
fn check_ids(case: &Case, ids: Vec<u32>) {
    let mut x = operands(case);
    x[0] = Tensor::u32([ids.len()], ids).expect("an id per row");
    check_case_on(case, &x, tolerance(case));
}

#[test]
fn repeated_missing_and_edge_ids() {
    let case = Case::segment_sum(9, &[6, 5]);
    let ids: [&[u32]; 4] =
        [&[0; 9], &[5; 9], &[5, 0, 5, 0, 3, 3, 3, 0, 5], &[4, 3, 2, 1, 0, 1, 2, 3, 4]];
    ids.iter().for_each(|ids| check_ids(&case, ids.to_vec()));
}

/// Numbers of ids around those at which the sort and the levels of blocks change, and tables from one row to more rows
/// than ids.
#[test]
fn sizes_at_which_the_kernels_change() {
    for rows in [1, 2, 31, 33, 255, 256, 257, 511, 2049, 8191, 8192, 8193] {
        for table in [1, 2, 3, 63, 65, 256, 257, 20_011] {
            let case = whole(rows, &[table, 1]);
            check_case_on(&case, &operands(&case), tolerance(&case));
        }
    }
    for width in [1, 3, 7, 8, 31, 32, 36, 63, 300, 1100] {
        let case = whole(700, &[37, width]);
        check_case_on(&case, &operands(&case), tolerance(&case));
    }
}

/// One id for everything, two ids, ids in descending order, and ids of which all but a few have no row.
#[test]
fn ids_of_every_distribution() {
    for rows in [300usize, 9000, 40_000] {
        let case = whole(rows, &[1000, 2]);
        let n = rows as u32;
        for id in [0, 1, 998, 999] {
            check_ids(&case, vec![id; rows]);
        }
        check_ids(&case, (0..n).map(|i| i % 2 * 999).collect());
        check_ids(&case, (0..n).map(|i| (n - 1 - i) * 1000 / n).collect());
        check_ids(&case, (0..n).map(|i| if i % 997 == 0 { i / 997 } else { 500 }).collect());
    }
}

/// Sizes that were once refused: more ids than one invocation may loop, than 2^17, and a million.
#[test]
fn ids_by_the_million() {
    for (rows, table) in [(65_472, 5), (131_073, 50_021), (1_050_001, 70_001)] {
        let case = whole(rows, &[table, 1]);
        check_case_on(&case, &operands(&case), tolerance(&case));
        check_ids(&case, vec![table as u32 / 2; rows]);
    }
}

/// Grids that have to fold, and loops that have to be short.
#[test]
fn small_limits() {
    let case = whole(9001, &[1031, 3]);
    let x = operands(&case);
    for caps in families() {
        let want = run_case(&case, &x, &Passes::default(), &caps);
        for caps in [
            DeviceCaps { max_workgroups: 19, ..caps.clone() },
            DeviceCaps { max_loop_trips: 1100, ..caps.clone() },
            DeviceCaps { max_invocations: 64, ..caps.clone() },
        ] {
            let graph = case.graph().expect("a graph").0;
            let plan = Plan::compile(&graph, &Passes::default(), &caps).expect("a plan");
            let most = |c: &[u32; 3]| c.iter().all(|&n| n <= caps.max_workgroups);
            assert!(plan.dispatches.iter().all(|d| most(&d.call.grid)));
            assert_eq!(run_case(&case, &x, &Passes::default(), &caps), want);
        }
    }
}

/// The documented order in f32: rows up to the first whole block, blocks of 32, blocks of 1,024, and down again.
fn in_order(values: &[f32], start: usize, levels: u32) -> f32 {
    fn block(values: &[f32], level: u32, at: usize) -> f32 {
        match level {
            0 => values[at],
            _ => (at * 32..(at + 1) * 32)
                .map(|i| block(values, level - 1, i))
                .fold(0.0, |a, b| a + b),
        }
    }
    let (mut pieces, mut tails) = (Vec::new(), Vec::new());
    let (mut first, mut end) = (start, values.len());
    for level in 0..levels {
        let (up, down) = (first.div_ceil(32), end / 32);
        if up >= down {
            break;
        }
        pieces.extend((first..up * 32).map(|i| (level, i)));
        tails.push((level, down * 32..end));
        (first, end) = (up, down);
    }
    pieces.extend((first..end).map(|i| (tails.len() as u32, i)));
    for (level, range) in tails.into_iter().rev() {
        pieces.extend(range.map(|i| (level, i)));
    }
    pieces.into_iter().fold(0.0, |sum, (level, at)| sum + block(values, level, at))
}

/// Every sum has the bits of its documented order, ten times over and on each family: the sort keeps the order of
/// equal ids, and nothing depends on how the work is divided.
#[test]
fn the_bits_of_the_documented_order() {
    for (rows, table, levels) in
        [(200usize, 3usize, 0), (9000, 11, 2), (9000, 700, 2), (5000, 2, 1)]
    {
        let case = Case::segment_sum(rows, &[table, 1]);
        let ids: Vec<u32> = (operands(&case)[0].as_u32().expect("ids").iter())
            .map(|&id| if id % 4 == 3 { 1 } else { id })
            .collect();
        let values = uniform(7, rows, -1.0, 1.0);
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_key(|&i| ids[i]);
        let sorted: Vec<f32> = order.iter().map(|&i| values[i]).collect();
        let below = |t: u32| order.partition_point(|&i| ids[i] < t);
        let sum = |t: u32| in_order(&sorted[..below(t + 1)], below(t), levels).to_bits();
        let want: Vec<u32> = (0..table as u32).map(sum).collect();
        assert!(want.contains(&0) == (table > 3), "ids without a row");
        let x = [
            Tensor::u32([rows], ids.clone()).expect("ids"),
            Tensor::f32([rows, 1], values).expect("rows"),
        ];
        for caps in families() {
            for _ in 0..10 {
                let got = run_case(&case, &x, &Passes::default(), &caps).f32("out0");
                let got: Vec<u32> = got.iter().map(|v| v.to_bits()).collect();
                assert_eq!(got, want, "{case}");
            }
        }
        // Another order gives other bits: the comparison can fail.
        let mut backwards = sorted[..below(2)].to_vec();
        backwards[below(1)..].reverse();
        assert_ne!(in_order(&backwards, below(1), levels).to_bits(), want[1], "{case}");
    }
}

/// An id past the table counts as the last row both ways: that row is read, and it gets the gradient. The host refuses
/// such ids in data; this is what happens without its check.
#[test]
fn ids_past_the_table_are_its_last_row() {
    for rows in [4, 400] {
        let case = Case::gather(rows, &[rows, 0], &[(Sample::f32([5, 3], (-1.0, 1.0)), 1.0)]);
        let graph = gradient_graph(&case).expect("a gradient");
        let ids = [1, 5, u32::MAX, 4].repeat(rows / 4);
        let table: Vec<f32> = (0..15).map(|v| v as f32).collect();
        let upstream = draw(&Sample::whole([rows, 3]), 3);
        let feeds = [
            ("in0", Tensor::u32([rows], ids).expect("ids")),
            ("in1", Tensor::f32([5, 3], table).expect("fifteen numbers")),
            ("upstream", upstream.clone()),
        ];
        let mut want = [0.0; 15];
        for (i, dy) in upstream.as_f32().expect("f32").iter().enumerate() {
            let row = if i / 3 % 4 == 0 { 1 } else { 4 };
            want[row * 3 + i % 3] += dy;
        }
        for caps in families() {
            let ran = execute(&graph, &Passes::default(), &caps, &feeds, &[&[]]);
            let last = [12.0, 13.0, 14.0];
            let read = [[3.0, 4.0, 5.0], last, last, last].concat();
            assert_eq!(ran.f32("out0"), read.repeat(rows / 4));
            assert_eq!(ran.f32("grad1"), want);
        }
    }
}

/// A label past the classes counts as the last class for every kernel that takes labels. The host refuses such labels in
/// data; this is what happens without its check.
#[test]
fn labels_past_the_classes_are_the_last_class() -> wgrad::Result<()> {
    let mut g = Graph::new();
    let (x, labels) = (g.input("x", [4, 3], DType::F32), g.input("labels", [4], DType::U32));
    let (losses, hits) = g.cross_entropy(CrossEntropyKind::Sparse, x, labels, 1.0)?;
    let total = g.sum(losses, &[], false)?;
    let gradient = gradients(&mut g, total, &[x])?[0];
    let values = [
        ("losses", losses),
        ("hits with them", hits.expect("hits")),
        ("gradient", gradient),
        ("one hot", g.one_hot(labels, 3)?),
        ("hits", g.hits(x, labels)?),
        ("cells", g.confusion_cells(x, labels)?),
        ("ranks", g.target_ranks(x, labels)?),
    ];
    values.iter().for_each(|(name, value)| g.output(name, *value));
    let scores = [0.5, 2.0, -1.0, 0.25, 0.5, 3.0, 1.0, 0.0, 0.5, -1.0, -2.0, 4.0];
    for caps in families() {
        let ran = |labels: [u32; 4]| -> wgrad::Result<_> {
            let feeds =
                [("x", Tensor::f32([4, 3], scores)?), ("labels", Tensor::u32([4], labels)?)];
            Ok(execute(&g, &Passes::default(), &caps, &feeds, &[&[]]))
        };
        let (got, want) = (ran([1, 3, u32::MAX, 7])?, ran([1, 2, 2, 2])?);
        let other = ran([1, 0, 0, 0])?;
        for (name, _) in values {
            let bits = |ran: &Ran| ran.f32(name).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&got), bits(&want), "{name}");
            assert_ne!(bits(&got), bits(&other), "{name}: the comparison can fail");
        }
        assert_eq!(want.f32("hits"), [1.0, 1.0, 0.0, 1.0]);
    }
    Ok(())
}

/// A maximum below zero is not zero, an infinite one stays, a NaN is kept, and a segment without rows is zero; ties share
/// the gradient. Short segments, and ones that are joined in blocks.
#[test]
fn maxima_of_every_kind_of_row() {
    for (repeats, width) in [(1, 1), (1, 32), (80, 1), (80, 36)] {
        let kinds: [(u32, &[f32]); 5] = [
            (0, &[-3.0, -2.0, -2.0]),
            (1, &[f32::NEG_INFINITY; 2]),
            (3, &[1.0, f32::NAN, f32::INFINITY]),
            (4, &[-0.0]),
            (5, &[f32::MIN, f32::MIN, f32::NEG_INFINITY]),
        ];
        let (mut ids, mut values) = (Vec::new(), Vec::new());
        for _ in 0..repeats {
            for (id, rows) in kinds {
                ids.extend(vec![id; rows.len()]);
                values.extend(rows.iter().flat_map(|&v| vec![v; width]));
            }
        }
        let rows = ids.len();
        let case = Case::segments("segment_max", rows, &[6, width]);
        let graph = gradient_graph(&case).expect("a gradient");
        let dy: Vec<f32> = (0..6 * width).map(|i| 1.0 + (i / width) as f32).collect();
        let feeds = [
            ("in0", Tensor::u32([rows], ids.clone()).expect("ids")),
            ("in1", Tensor::f32([rows, width], values.clone()).expect("rows")),
            ("upstream", Tensor::f32([6, width], dy).expect("a gradient")),
        ];
        for caps in families() {
            let ran = execute(&graph, &Passes::default(), &caps, &feeds, &[&[]]);
            let (y, d) = (ran.f32("out0"), ran.f32("grad1"));
            let want = [-2.0, f32::NEG_INFINITY, 0.0, f32::NAN, 0.0, f32::MIN];
            for (i, y) in y.iter().enumerate() {
                let want = want[i / width];
                assert!(*y == want || y.is_nan() && want.is_nan(), "{i}: {y}, {want}");
            }
            // Of three rows the second and the third are the maximum; of those with a NaN, the NaN.
            let first: Vec<f32> = (0..12).map(|row| d[row * width]).collect();
            let part = 1.0 / repeats as f32;
            let parts = [0.0, 0.5, 0.5, 1.0, 1.0, 0.0, 4.0, 0.0, 5.0, 3.0, 3.0, 0.0];
            for (row, (got, want)) in first.iter().zip(parts).enumerate() {
                assert!((got - want * part).abs() <= 1e-6, "{row}: {got}, {}", want * part);
            }
        }
    }
}
