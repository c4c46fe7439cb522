//! Attention beyond the cases of its card: lengths and sizes, masks, extremes, bits, limits and memory.

use crate::harness::{
    Ran, browser, check_case, check_case_under, draw, execute, families, feeds, fewer_lanes,
    operands, run_case, wide,
};
use crate::oracle;
use crate::reference::compare::compare;
use wgrad::autodiff::gradients;
use wgrad::graph::{Graph, Value};
use wgrad::kernels::DeviceCaps;
use wgrad::ops::SoftmaxMask;
use wgrad::ops::registry::{Case, Sample};
use wgrad::passes::Passes;
use wgrad::plan::{BufferClass, Plan};
use wgrad::tensor::{DType, Tensor};

/// Extents of attention without a mask.
#[derive(Debug, Clone, Copy)]
struct Extents {
    queries: usize,
    keys: usize,
    heads: [usize; 2],
    sizes: [usize; 2],
    causal: bool,
}

/// The result, and the gradients of q, k and v, for an upstream gradient `dy`: by the fused op, or by products and a
/// softmax.
fn graph(e: Extents, fused: bool) -> wgrad::Result<Graph> {
    let mut g = Graph::new();
    let ([heads, groups], [size, value]) = (e.heads, e.sizes);
    let q = g.input("q", [1, e.queries, heads, size], DType::F32);
    let k = g.input("k", [1, e.keys, groups, size], DType::F32);
    let v = g.input("v", [1, e.keys, groups, value], DType::F32);
    let dy = g.input("dy", [1, e.queries, heads, value], DType::F32);
    let scale = 1.5 / (size as f32).sqrt();
    let y = match fused {
        true => g.attention([q, k, v], scale, e.causal, None)?,
        false => products(&mut g, [q, k, v], scale, e)?,
    };
    let weighted = g.mul(y, dy)?;
    let loss = g.sum(weighted, &[], false)?;
    let grads = gradients(&mut g, loss, &[q, k, v])?;
    ["y", "dq", "dk", "dv"]
        .iter()
        .zip([&[y][..], &grads].concat())
        .for_each(|(n, v)| g.output(n, v));
    Ok(g)
}

fn products(g: &mut Graph, of: [Value; 3], scale: f32, e: Extents) -> wgrad::Result<Value> {
    let [heads, groups] = e.heads;
    let [q, k, v] = of.map(|v| g.transpose(v, &[0, 2, 1, 3]));
    let (q, mut k, mut v) = (q?, k?, v?);
    // Each head of keys, for the heads of queries that share it.
    for side in [&mut k, &mut v] {
        let d = g.shape(*side).dims().to_vec();
        let one = g.reshape(*side, [d[0], groups, 1, d[2], d[3]])?;
        let all = g.broadcast_to(one, [d[0], groups, heads / groups, d[2], d[3]])?;
        *side = g.reshape(all, [d[0], heads, d[2], d[3]])?;
    }
    let scores = g.matmul_form(q, k, false, true)?;
    let scores = g.scale(scores, scale)?;
    let weights = if e.causal {
        let row = |i| (0..e.keys).map(move |j| if j <= i { 1.0 } else { 0.0 });
        let below: Vec<f32> = (0..e.queries).flat_map(row).collect();
        let mask = g.constant_tensor(Tensor::f32([e.queries, e.keys], below)?)?;
        g.masked_softmax(scores, mask, SoftmaxMask::Keep)?
    } else {
        g.softmax(scores)?
    };
    let y = g.matmul(weights, v)?;
    g.transpose(y, &[0, 2, 1, 3])
}

fn run(e: Extents, fused: bool, caps: &DeviceCaps) -> Ran {
    let graph = graph(e, fused).unwrap_or_else(|error| panic!("{e:?}: {error}"));
    let ([heads, groups], [size, value]) = (e.heads, e.sizes);
    let shapes = [
        ("q", [1, e.queries, heads, size]),
        ("k", [1, e.keys, groups, size]),
        ("v", [1, e.keys, groups, value]),
        ("dy", [1, e.queries, heads, value]),
    ];
    let feeds: Vec<(&str, Tensor)> = (shapes.iter().zip(5..))
        .map(|((name, shape), seed)| (*name, draw(&Sample::f32(*shape, (-1.0, 1.0)), seed)))
        .collect();
    execute(&graph, &Passes::default(), caps, &feeds, &[&[]])
}

/// Both have the same errors of rounding but for their order: some units of the largest, and more of sums of many.
#[track_caller]
fn agree(e: Extents) {
    agree_under(e, &families());
}

#[track_caller]
fn agree_under(e: Extents, all: &[DeviceCaps]) {
    for caps in all {
        let (fused, composed) = (run(e, true, caps), run(e, false, caps));
        for name in ["y", "dq", "dk", "dv"] {
            let want: Vec<f64> = composed.f32(name).iter().map(|&v| f64::from(v)).collect();
            let largest = want.iter().fold(0.0f64, |most, v| most.max(v.abs()));
            // One key has the weight 1, whatever its score.
            let single = e.keys == 1 || (e.causal && e.queries == 1);
            assert!(largest > 0.0 || (single && ["dq", "dk"].contains(&name)), "{e:?}: {name}");
            compare(
                &format!("{e:?} {name}"),
                &fused.f32(name),
                &want,
                2e-5,
                4e-6 * largest.max(0.1),
            )
            .unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn lengths_agree_with_products() {
    for (queries, keys) in [(1, 1), (1, 64), (7, 7), (64, 64), (64, 7), (7, 64)] {
        for causal in [false, true] {
            agree(Extents { queries, keys, heads: [2, 1], sizes: [8, 8], causal });
        }
    }
    for causal in [false, true] {
        agree(Extents { queries: 1000, keys: 1000, heads: [2, 1], sizes: [8, 8], causal });
    }
    agree(Extents { queries: 250, keys: 1000, heads: [1, 1], sizes: [33, 40], causal: false });
    agree(Extents { queries: 4096, keys: 4096, heads: [1, 1], sizes: [8, 8], causal: true });
    for (queries, keys) in [(40, 4096), (4096, 40)] {
        agree(Extents { queries, keys, heads: [1, 1], sizes: [8, 8], causal: false });
    }
    // The control: without its mask a causal result is another.
    let e = Extents { queries: 7, keys: 7, heads: [2, 1], sizes: [8, 8], causal: true };
    let caps = &families()[0];
    let (with, without) = (run(e, true, caps), run(Extents { causal: false, ..e }, true, caps));
    let wide: Vec<f64> = without.f32("y").iter().map(|&v| f64::from(v)).collect();
    assert!(compare("control", &with.f32("y"), &wide, 2e-5, 4e-6).is_err());
}

/// Fewer lanes, with shuffles and without: results and gradients, for rows that no lanes divide and sizes that four does
/// not.
#[test]
fn other_lanes_agree_with_products() {
    let forms = [fewer_lanes(), vec![browser()]].concat();
    for (queries, keys, sizes, causal) in
        [(1, 9, [8, 8], false), (37, 41, [5, 33], true), (70, 23, [36, 12], false)]
    {
        agree_under(Extents { queries, keys, heads: [4, 2], sizes, causal }, &forms);
    }
}

/// A lane has its rows to itself: how many there are, and whether they hand columns around, changes no bit.
#[test]
fn lanes_do_not_change_the_bits() {
    let direct = |lanes| DeviceCaps { subgroup: Some((lanes, lanes)), ..browser() };
    let forms = [fewer_lanes(), vec![direct(4), direct(8), direct(16), browser()]].concat();
    for causal in [false, true] {
        let e = Extents { queries: 70, keys: 33, heads: [2, 1], sizes: [12, 7], causal };
        let y = |caps: &DeviceCaps| run(e, true, caps).f32("y");
        let first = y(&forms[0]);
        assert!(first.iter().any(|v| *v != 0.0));
        for caps in &forms[1..] {
            assert_eq!(y(caps), first, "{:?}, {:?}", caps.subgroup, caps.matmul);
        }
    }
}

/// Sizes up to the largest, and those that four does not divide.
#[test]
fn sizes_of_heads() {
    for sizes in [[5, 33], [33, 5], [16, 12], [64, 32]] {
        agree(Extents { queries: 41, keys: 37, heads: [2, 2], sizes, causal: false });
    }
    check_case(&Case::attention([1, 41, 37], [1, 1], [128, 128], false, None));
    crate::gradient::check(&Case::attention([1, 3, 5], [1, 1], [128, 127], false, None));
    let case = Case::attention([1, 5, 7], [1, 1], [129, 8], false, None);
    let error = case.graph().expect_err("too large").to_string();
    assert!(error.contains("at most 128") && error.contains("129"), "{error}");
}

/// A query that no key is left for has zeros, and no gradient is NaN; nor is one of keys that no query attends to.
#[test]
fn rows_that_are_masked_entirely() -> anyhow::Result<()> {
    for (kind, in_, out) in
        [(SoftmaxMask::Keep, 1.0, 0.0), (SoftmaxMask::Additive, 0.0, f32::NEG_INFINITY)]
    {
        let mut g = Graph::new();
        let shapes = [("q", [2, 9, 2, 4]), ("k", [2, 5, 1, 4]), ("v", [2, 5, 1, 4])];
        let [q, k, v] = shapes.map(|(name, shape)| g.input(name, shape, DType::F32));
        // All keys of the first sample, and the last key of the other.
        let number = |i: usize| if i < 45 || i % 5 == 4 { out } else { in_ };
        let numbers = (0..90).map(number).collect::<Vec<f32>>();
        let mask = g.constant_tensor(Tensor::f32([2, 1, 9, 5], numbers)?)?;
        let y = g.attention([q, k, v], 1.0, false, Some((mask, kind)))?;
        let squares = g.mul(y, y)?;
        let loss = g.sum(squares, &[], false)?;
        let grads = gradients(&mut g, loss, &[q, k, v])?;
        g.output("y", y);
        ["dq", "dk", "dv"].iter().zip(grads).for_each(|(name, d)| g.output(name, d));
        let feeds = shapes.map(|(name, shape)| (name, draw(&Sample::f32(shape, (-1.0, 1.0)), 7)));
        for caps in families() {
            let ran = execute(&g, &Passes::default(), &caps, &feeds, &[&[]]);
            for name in ["y", "dq", "dk", "dv"] {
                let all = ran.f32(name);
                let (first, other) = all.split_at(all.len() / 2);
                assert!(first.iter().all(|&v| v == 0.0), "{kind:?} {name}: {first:?}");
                let kept = if name.ends_with(['k', 'v']) { &other[..16] } else { other };
                assert!(kept.iter().all(|&v| v != 0.0 && v.is_finite()), "{kind:?} {name}");
                assert!(other[kept.len()..].iter().all(|&v| v == 0.0), "{kind:?} {name}");
            }
        }
    }
    Ok(())
}

/// Scores of ±1e4, as exact numbers: the weights are those of the differences.
#[test]
fn large_scores() {
    for mask in [None, Some((&[1, 1, 1, 9][..], SoftmaxMask::Keep))] {
        let mut case = Case::attention([1, 6, 9], [2, 1], [4, 3], false, mask);
        for sample in &mut case.inputs[..3] {
            *sample = Sample::whole(sample.shape.clone());
        }
        case.params[0] = 160.0;
        let x: Vec<Vec<f64>> = operands(&case).iter().map(wide).collect();
        let sums = oracle::results(&case, &x).swap_remove(1);
        assert!(sums.iter().any(|s| s.abs() > 4000.0), "{sums:?}");
        check_case(&case);
        // All scores are the same large number, of either sign.
        for sign in [1.0, -1.0] {
            case.params[0] = sign * 625.0;
            case.inputs[0].domain = (2.0, 3.0);
            case.inputs[1].domain = (2.0, 3.0);
            check_case(&case);
        }
    }
}

/// A NaN is seen in the rows that it is in, and in no other.
#[test]
fn a_nan_stays_in_its_row() {
    for mask in [None, Some((&[1, 1, 6, 5][..], SoftmaxMask::Additive))] {
        let case = Case::attention([1, 6, 5], [1, 1], [4, 4], false, mask);
        let mut x = operands(&case);
        let mut q = x[0].as_f32().expect("f32").to_vec();
        q[4] = f32::NAN;
        x[0] = Tensor::f32(x[0].shape(), q).expect("the same length");
        for caps in families() {
            let y = run_case(&case, &x, &Passes::default(), &caps).f32("out0");
            assert!(y[4..8].iter().all(|v| v.is_nan()), "{y:?}");
            assert!(y[..4].iter().chain(&y[8..]).all(|v| v.is_finite()), "{y:?}");
        }
    }
}

#[test]
fn the_same_bits_ten_times() {
    let e = Extents { queries: 100, keys: 77, heads: [2, 1], sizes: [8, 8], causal: true };
    for caps in families() {
        let bits = || {
            let ran = run(e, true, &caps);
            let all = ["y", "dq", "dk", "dv"].map(|name| ran.f32(name));
            all.concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let first = bits();
        assert!((0..9).all(|_| bits() == first));
    }
    // With a mask, its gradient and dropout.
    let mask = Some((&[2, 1, 40, 37][..], SoftmaxMask::Additive));
    let case = Case::attention([2, 40, 37], [2, 1], [8, 6], false, mask).dropping(0.3);
    let graph = crate::gradient::gradient_graph(&case).expect("a gradient");
    let upstream = draw(&Sample::f32([2, 40, 2, 6], (0.25, 1.75)), 99);
    let named = feeds(&operands(&case));
    let fed = named.iter().map(|(name, t)| (name.as_str(), t.clone()));
    let fed: Vec<_> = fed.chain([("upstream", upstream)]).collect();
    for caps in families() {
        let run = || execute(&graph, &Passes::default(), &caps, &fed, &[&case.words]);
        let first = run();
        assert!(first.f32("grad3").iter().any(|&d| d != 0.0));
        assert!((0..9).all(|_| run() == first));
    }
}

/// More workgroups than one dimension of the grid holds, and surplus ones.
#[test]
fn grids_fold() {
    let case = Case::attention([3, 70, 170], [4, 2], [3, 5], true, None);
    for caps in [families(), [browser(), families()[0].clone()]].concat() {
        let caps = DeviceCaps { max_workgroups: 29, ..caps };
        let graph = crate::gradient::gradient_graph(&case).expect("a gradient");
        let plan = Plan::compile(&graph, &Passes::default(), &caps).expect("a plan");
        let folded = |name: &str| {
            let all = plan.dispatches.iter().filter(|d| d.call.name().starts_with(name));
            all.filter(|d| d.call.grid[1] > 1).count()
        };
        assert_eq!(folded("attention/"), 3, "{plan}");
        check_case_under(&case, std::slice::from_ref(&caps));
        let named = feeds(&operands(&case));
        let upstream = draw(&Sample::f32([3, 70, 4, 5], (0.25, 1.75)), 99);
        let mut fed: Vec<_> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
        fed.push(("upstream", upstream));
        let wide = DeviceCaps { max_workgroups: 65_535, ..caps.clone() };
        let [a, b] = [&caps, &wide].map(|c| execute(&graph, &Passes::default(), c, &fed, &[&[]]));
        for name in ["grad0", "grad1", "grad2"] {
            assert_eq!(a.f32(name), b.f32(name), "{name}");
            assert!(a.f32(name).iter().any(|&v| v != 0.0), "{name}");
        }
    }
}

/// A sequence for which an invocation would loop too often is refused, with what fits.
#[test]
fn loops_keep_the_limit() {
    let case = Case::attention([1, 8, 4000], [2, 1], [3, 5], false, None);
    for caps in families() {
        let caps = DeviceCaps { max_loop_trips: 600, ..caps };
        let graph = case.graph().expect("a graph").0;
        let error = Plan::compile(&graph, &Passes::default(), &caps).expect_err("refused");
        let text = error.to_string();
        assert!(text.contains("attention: keys") && text.contains("4000"), "{text}");
    }
}

/// Memory grows with the length, not with its square.
#[test]
fn memory_is_linear_in_the_length() {
    let bytes = |length, fused| {
        let (heads, sizes) = ([4, 2], [32, 32]);
        let e = Extents { queries: length, keys: length, heads, sizes, causal: true };
        let caps = DeviceCaps { max_binding_bytes: 1 << 30, ..families()[0].clone() };
        let graph = graph(e, fused).expect("a graph");
        let plan = Plan::compile(&graph, &Passes::default(), &caps).expect("a plan");
        let all = plan.memory();
        let of = |class| all.iter().filter(|m| m.0 == class).map(|m| m.1).sum::<u64>();
        (of(BufferClass::Activation) + of(BufferClass::Constant)) as f64
    };
    let (short, long) = (bytes(512, true), bytes(4096, true));
    assert!(long <= 8.0 * 1.1 * short, "{short} bytes for 512, {long} for 4096");
    let (short, long) = (bytes(512, false), bytes(4096, false));
    assert!(long > 20.0 * short, "the control: {short} bytes for 512, {long} for 4096");
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut g = Graph::new();
    let mut input = |shape: [usize; 4]| g.input(&format!("{shape:?}"), shape, DType::F32);
    let (q, k, other) = (input([2, 5, 4, 8]), input([2, 7, 2, 8]), input([2, 7, 3, 8]));
    let (short, mask) = (input([2, 6, 2, 8]), input([2, 4, 5, 6]));
    let mut says = |of: [Value; 3], mask: Option<Value>, words: &[&str]| {
        let mask = mask.map(|mask| (mask, SoftmaxMask::Keep));
        let error = g.attention(of, 1.0, false, mask).expect_err("refused").to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{error}");
    };
    says([q, other, other], None, &["attention", "divide", "3", "4"]);
    says([q, k, short], None, &["[2, 6, 2, 8]", "time and heads of k"]);
    says([q, k, k], Some(mask), &["mask", "[2, 4, 5, 7]"]);
    let flat = g.input("flat", [2, 5], DType::F32);
    let error = g.attention([flat; 3], 1.0, false, None).expect_err("refused").to_string();
    assert!(error.contains("[batch, time, heads, size]"), "{error}");
}
