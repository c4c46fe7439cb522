//! Matrix products: every form at the edges of tiles, every kernel of both families, divided sums.

use crate::harness::{browser, check_case, check_case_under, device, execute, families};
use crate::reference::linalg;
use wgrad::graph::Graph;
use wgrad::kernels::{Define, DeviceCaps, Driver, MatmulFamily, MatmulRule, MatmulTile};
use wgrad::ops::registry::Case;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

const FORMS: [[bool; 2]; 4] = [[false, false], [true, false], [false, true], [true, true]];

/// Keeps whole numbers, so that sums are exact.
fn whole(mut case: Case) -> Case {
    for sample in &mut case.inputs {
        (sample.domain, sample.whole) = ((-4.0, 5.0), true);
    }
    case
}

#[test]
fn products_of_all_forms_at_tile_edges() {
    let mut sizes = vec![[1, 1, 1], [2, 3, 5], [13, 17, 19], [67, 71, 10], [5, 10, 784]];
    // Around 8 rows and 32 columns, with whole and broken vectors of k.
    sizes.extend([[7, 33, 8], [8, 31, 9], [9, 64, 12], [3, 32, 4], [20, 65, 16], [1, 4, 64]]);
    // Around 64 rows and columns of a workgroup's tile.
    sizes.extend([[63, 65, 15], [64, 63, 17], [65, 64, 16], [4, 1, 65], [256, 256, 3]]);
    // Large enough for tiles of 16, 32 and 64 rows on a CPU.
    sizes.extend([[9, 271, 217], [16, 256, 128], [31, 132, 130], [33, 131, 133]]);
    sizes.push([257, 259, 9]);
    for size in sizes {
        // Tall tiles take long to compile; training never multiplies two transposed operands.
        let tall = size.iter().product::<usize>() >= 1 << 19;
        for form in &FORMS[..if tall { 3 } else { 4 }] {
            check_case(&whole(Case::matmul(&[], size, *form, false)));
        }
    }
}

#[test]
fn larger_and_batched_products() {
    for form in FORMS {
        for shared in [false, true] {
            check_case(&whole(Case::matmul(&[3], [17, 20, 12], form, shared)));
            check_case(&whole(Case::matmul(&[2, 2], [5, 7, 9], form, shared)));
        }
    }
    for form in &FORMS[..3] {
        check_case(&Case::matmul(&[], [300, 520, 260], *form, false));
        check_case(&Case::matmul(&[], [64, 128, 784], *form, false));
    }
    for size in FITTED {
        for form in &FORMS[..2] {
            check_case(&whole(Case::matmul(&[], size, *form, false)));
        }
    }
}

/// Products large enough for the widest tile of the broadcast kernel, of every height.
const FITTED: [[usize; 3]; 4] = [[9, 1901, 999], [16, 1104, 1000], [47, 605, 601], [112, 404, 404]];

/// The sizes above reach every height of tile that the broadcast kernel has with eight lanes, by the built-in table.
#[test]
fn every_tile_height_is_reached() {
    let own = DeviceCaps {
        cpu: true,
        driver: Driver::Other,
        subgroup: Some((8, 8)),
        matmul: MatmulFamily::Broadcast,
        ..families()[0].clone()
    };
    let height = |size: [usize; 3]| {
        let graph = Case::matmul(&[], size, [false, false], false).graph().expect("a graph").0;
        let plan = Plan::compile(&graph, &Passes::default(), &own).expect("a plan");
        let defines = &plan.dispatches[0].call.defines;
        defines.iter().find(|d| d.0 == "TM").expect("a tile height").1.clone()
    };
    let sizes = [[9, 64, 12], [9, 271, 217], [33, 131, 133], [31, 132, 130]];
    assert_eq!(sizes.map(height), [8u32, 16, 24, 32].map(Define::from));
    assert_eq!(FITTED.map(height), [16u32, 16, 24, 32].map(Define::from));
}

/// The capabilities under which one kernel runs all products; `fill` workgroups are wanted. `None`, and a line that says so,
/// if this adapter cannot run it.
pub fn only(tile: MatmulTile, fill: usize) -> Option<DeviceCaps> {
    let [own, plain] = families();
    let caps = match tile.family {
        MatmulFamily::Tiled => plain,
        MatmulFamily::Broadcast => DeviceCaps { matmul: tile.family, ..own },
        MatmulFamily::Direct => browser(),
    };
    let tuned = vec![MatmulRule { m: 0, n: 0, work: 0, tile, fill }];
    if !tile.runs_on(&caps) {
        eprintln!("skipped: {tile}, which {} lanes do not run", caps.lanes());
        return None;
    }
    Some(DeviceCaps { tuned, ..caps })
}

/// Every kernel that runs here, and capabilities under which it runs all products. One that takes fewer terms in an iteration
/// if there is little workgroup memory comes twice.
pub fn kernels(fill: usize) -> Vec<(MatmulTile, DeviceCaps)> {
    let both = |tile: MatmulTile| {
        let caps = only(tile, fill)?;
        let little = DeviceCaps { max_workgroup_memory: 16 << 10, ..caps.clone() };
        let differs = tile.k_step(&little) != tile.k_step(&caps);
        Some([Some((tile, caps)), differs.then_some((tile, little))])
    };
    MatmulTile::ALL.into_iter().filter_map(both).flatten().flatten().collect()
}

#[test]
fn the_largest_tile_takes_as_many_terms_as_there_is_memory_for() {
    let largest = MatmulTile::ALL[0];
    let steps: Vec<usize> =
        kernels(0).iter().filter(|k| k.0 == largest).map(|k| largest.k_step(&k.1)).collect();
    assert!(steps == [16, 8] || device().caps().max_workgroup_memory < 32 << 10, "{steps:?}");
}

#[test]
fn every_tile_in_every_form() {
    for (tile, caps) in kernels(0) {
        let (rows, columns, step) = (tile.rows as usize, tile.columns as usize, tile.k_step(&caps));
        // Odd lines past the edges of a tile, and whole vectors short of them.
        let sizes = [[rows + 1, columns - 1, 2 * step + 3], [rows - 4, columns + 4, 3 * step]];
        for size in sizes {
            for form in FORMS {
                let case = whole(Case::matmul(&[], size, form, false));
                check_case_under(&case, std::slice::from_ref(&caps));
            }
        }
        // Five rows of tiles: one band of four, and a rest.
        let high = Case::matmul(&[2], [4 * rows + 3, columns + 5, step], [false, true], false);
        check_case_under(&whole(high), std::slice::from_ref(&caps));
    }
}

/// A CPU adapter without 64-bit words.
#[test]
fn broadcast_products_without_wide_words() {
    let tile = MatmulTile::ALL.into_iter().find(|t| t.to_string() == "broadcast 16x32");
    let Some(caps) = tile.and_then(|tile| only(tile, 0)) else { return };
    let caps = DeviceCaps { wide_words: false, ..caps };
    for form in FORMS {
        let case = whole(Case::matmul(&[], [20, 36, 12], form, false));
        check_case_under(&case, std::slice::from_ref(&caps));
    }
}

#[test]
fn split_sums_of_every_tile() {
    for (tile, caps) in kernels(8) {
        for (form, n) in FORMS.into_iter().zip([8, 7, 5, 12]) {
            let case = whole(Case::matmul(&[2], [3, n, 1601], form, form[0]));
            let graph = case.graph().expect("a graph").0;
            let plan = Plan::compile(&graph, &Passes::default(), &caps).expect("a plan");
            let templates: Vec<&str> = plan.dispatches.iter().map(|d| d.call.name()).collect();
            assert_eq!(templates.last(), Some(&"matmul/combine"), "{tile}: {templates:?}");
            check_case_under(&case, std::slice::from_ref(&caps));
        }
    }
}

/// The second kernel of a divided product applies the epilogue, and adds the column sums.
#[test]
fn split_sums_with_an_epilogue_and_column_sums() {
    let (rows, cols, k) = (6, 10, 1100);
    let numbers = |len: usize, seed: usize| -> Vec<f32> {
        (0..len).map(|i| ((i * 7 + seed + i / 5) % 9) as f32 - 4.0).collect()
    };
    let (a, b, bias) = (numbers(k * rows, 1), numbers(k * cols, 2), numbers(cols, 3));
    let wide = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let product = linalg::matmul(&wide(&a), &wide(&b), 1, rows, cols, k, true, false);
    let biased = product.iter().enumerate().map(|(i, v)| (v + f64::from(bias[i % cols])).max(0.0));
    let want: Vec<f64> = biased.collect();
    let sums: Vec<f64> =
        (0..cols).map(|c| (0..k).map(|r| f64::from(b[r * cols + c])).sum()).collect();
    let mut g = Graph::new();
    let va = g.input("a", [k, rows], DType::F32);
    let vb = g.input("b", [k, cols], DType::F32);
    let vbias = g.input("bias", [cols], DType::F32);
    let c = g.matmul_form(va, vb, true, false).expect("a product");
    let c = g.add(c, vbias).expect("a sum");
    let c = g.unary("relu", c, &[]).expect("a function");
    let s = g.sum(vb, &[0], false).expect("column sums");
    g.output("c", c);
    g.output("s", s);
    let tensor = |shape: &[usize], v: &[f32]| Tensor::f32(shape, v).expect("as many elements");
    let feeds = [
        ("a", tensor(&[k, rows], &a)),
        ("b", tensor(&[k, cols], &b)),
        ("bias", tensor(&[cols], &bias)),
    ];
    for (_, caps) in kernels(8) {
        let plan = Plan::compile(&g, &Passes::default(), &caps).expect("a plan");
        assert_eq!(plan.dispatches.len(), 2, "{plan}");
        let ran = execute(&g, &Passes::default(), &caps, &feeds, &[&[]]);
        assert_eq!(wide(&ran.f32("c")), want, "{:?}", caps.tuned);
        assert_eq!(wide(&ran.f32("s")), sums, "{:?}", caps.tuned);
    }
}

/// More terms than one invocation of software Vulkan may add: 65,535 iterations of four.
#[test]
fn products_past_the_loop_limit() {
    for form in &FORMS[..3] {
        for k in [262_140, 262_141, 300_000] {
            check_case(&whole(Case::matmul(&[], [2, 4, k], *form, false)));
        }
    }
}
