//! Cross-entropy over a large vocabulary: the gradient takes the logits' place, and is right there.

use crate::harness::{browser, execute, families};
use crate::reference::compare::compare;
use crate::reference::random::uniform;
use wgrad::autodiff::gradients;
use wgrad::graph::Graph;
use wgrad::kernels::DeviceCaps;
use wgrad::ops::CrossEntropyKind;
use wgrad::passes::Passes;
use wgrad::plan::{BufferClass, Plan};
use wgrad::tensor::{DType, Tensor};

/// The words of GPT-2.
const WORDS: usize = 50_257;

/// Logits `x` times one, `kept` if they are an output too, the weighted sum of their losses, and the gradient.
fn graph(kind: CrossEntropyKind, rows: usize, words: usize, kept: bool) -> Graph {
    let mut g = Graph::new();
    let (x, one) = (g.input("x", [rows, words], DType::F32), g.input("one", [1], DType::F32));
    let weights = g.input("weights", [rows], DType::F32);
    let labels = match kind {
        CrossEntropyKind::Sparse => g.input("labels", [rows], DType::U32),
        _ => g.input("labels", [rows, words], DType::F32),
    };
    let logits = g.mul(x, one).unwrap();
    let (losses, _) = g.cross_entropy(kind, logits, labels, 1.0 / rows as f32).unwrap();
    let weighted = g.mul(losses, weights).unwrap();
    let loss = g.sum(weighted, &[], false).unwrap();
    let gradient = gradients(&mut g, loss, &[x]).unwrap()[0];
    g.output("losses", losses);
    g.output("gradient", gradient);
    if kept {
        g.output("logits", logits);
    }
    g
}

/// How many dispatches of the loss's kernel have the logits and their gradient in one buffer.
fn in_place(plan: &Plan) -> usize {
    let losses = plan.dispatches.iter().filter(|d| d.label.contains("cross_entropy"));
    losses.filter(|d| d.call.defines.contains(&("IN_PLACE", true.into()))).count()
}

/// Losses and gradients in f64.
fn want(x: &[f32], labels: &[u32], weights: &[f32], words: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = labels.len() as f64;
    let (mut losses, mut gradient) = (Vec::new(), Vec::new());
    for ((row, &label), &weight) in x.chunks_exact(words).zip(labels).zip(weights) {
        let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|v| (v - top).exp()).sum();
        losses.push((top + sum.ln() - row[label as usize]) / rows);
        gradient.extend(row.iter().enumerate().map(|(j, v)| {
            let target = if j == label as usize { 1.0 } else { 0.0 };
            f64::from(weight) / rows * ((v - top).exp() / sum - target)
        }));
    }
    (losses, gradient)
}

#[test]
fn a_gradient_over_the_logits_is_that_of_f64() {
    for words in [1, 2, 129, WORDS] {
        let rows = 5;
        let mut x = uniform(3, rows * words, -4.0, 4.0);
        // A row far out, one with a word that dominates, and one that is flat.
        x[..words]
            .iter_mut()
            .enumerate()
            .for_each(|(j, v)| *v = if j % 2 == 0 { 1e4 } else { -1e4 });
        x[2 * words - 1] = 1e4;
        x[2 * words..3 * words].fill(-1e4);
        let labels: Vec<u32> = [0, 1, 7, words - 1, words / 2].map(|l| (l % words) as u32).into();
        // A position left out has weight zero: its gradient is zero, whatever its logits are.
        let weights = [1.0, 0.5, 2.0, 0.0, 3.0];
        let (losses, gradient) = want(&x, &labels, &weights, words);
        assert!(words == 1 || gradient.iter().any(|d| *d != 0.0));
        let feeds = [
            ("x", Tensor::f32([rows, words], x.clone()).unwrap()),
            ("one", Tensor::f32([1], [1.0]).unwrap()),
            ("weights", Tensor::f32([rows], weights).unwrap()),
            ("labels", Tensor::u32([rows], labels).unwrap()),
        ];
        let [own, plain] = families();
        for caps in [own, plain, browser()] {
            let graphs =
                [false, true].map(|kept| graph(CrossEntropyKind::Sparse, rows, words, kept));
            let plans =
                graphs.each_ref().map(|g| Plan::compile(g, &Passes::default(), &caps).unwrap());
            assert_eq!(plans.each_ref().map(in_place), [1, 0], "{}", plans[0]);
            let [over, beside] =
                graphs.each_ref().map(|g| execute(g, &Passes::default(), &caps, &feeds, &[&[]]));
            compare("losses", &over.f32("losses"), &losses, 2e-6, 1e-6).unwrap();
            compare("gradient", &over.f32("gradient"), &gradient, 2e-5, 1e-8).unwrap();
            assert!(over.f32("gradient")[3 * words..4 * words].iter().all(|d| *d == 0.0));
            let bits = |ran: &crate::harness::Ran, name: &str| -> Vec<u32> {
                ran.f32(name).iter().map(|v| v.to_bits()).collect()
            };
            for name in ["losses", "gradient"] {
                assert_eq!(bits(&over, name), bits(&beside, name), "{name} of {words}");
            }
            let times = if words == WORDS { 9 } else { 1 };
            for _ in 0..times {
                let again = execute(&graphs[0], &Passes::default(), &caps, &feeds, &[&[]]);
                assert_eq!(bits(&again, "gradient"), bits(&over, "gradient"));
            }
        }
    }
}

/// The bits of the other forms are the same in place as beside the logits.
#[test]
fn targets_of_their_own_shape_are_in_place_too() {
    let (rows, words) = (3, 131);
    let feeds = [
        ("x", Tensor::f32([rows, words], uniform(5, rows * words, -9.0, 9.0)).unwrap()),
        ("one", Tensor::f32([1], [1.0]).unwrap()),
        ("weights", Tensor::f32([rows], [1.0, 0.25, 2.0]).unwrap()),
        ("labels", Tensor::f32([rows, words], uniform(6, rows * words, 0.0, 1.0)).unwrap()),
    ];
    for kind in [CrossEntropyKind::Categorical, CrossEntropyKind::Binary] {
        for caps in families() {
            let ran = [false, true].map(|kept| {
                let g = graph(kind, rows, words, kept);
                let plan = Plan::compile(&g, &Passes::default(), &caps).unwrap();
                assert_eq!(in_place(&plan), usize::from(!kept), "{plan}");
                let ran = execute(&g, &Passes::default(), &caps, &feeds, &[&[]]);
                [ran.f32("losses"), ran.f32("gradient")]
            });
            assert_eq!(ran[0], ran[1]);
            assert!(ran[0][1].iter().all(|d| *d != 0.0 && d.is_finite()));
        }
    }
}

/// A device that binds the arrays of a language model.
fn large() -> DeviceCaps {
    DeviceCaps {
        max_binding_bytes: 1 << 30,
        max_buffer_bytes: 1 << 30,
        ..DeviceCaps::webgpu_defaults()
    }
}

/// The activations of a step of 768 rows, in arrays of rows by words: weighted or not, and trained or evaluated.
fn arrays(weighted: bool, trained: bool, kept: bool) -> f64 {
    let (rows, width) = (768, 16);
    let mut g = Graph::new();
    let x = g.input("x", [rows, width], DType::F32);
    let w = g.state("w", [width, WORDS], DType::F32);
    let labels = g.input("labels", [rows], DType::U32);
    let logits = g.matmul(x, w).unwrap();
    let scale = 1.0 / rows as f32;
    let (mut losses, hits) =
        g.cross_entropy(CrossEntropyKind::Sparse, logits, labels, scale).unwrap();
    if weighted {
        let weights = g.input("weights", [rows], DType::F32);
        losses = g.mul(losses, weights).unwrap();
    }
    let loss = g.sum(losses, &[], false).unwrap();
    g.output("loss", loss);
    g.output("hits", hits.unwrap());
    if trained {
        let gradients = gradients(&mut g, loss, &[x, w]).unwrap();
        g.output("dx", gradients[0]);
        g.update(w, gradients[1]).unwrap();
    }
    if kept {
        g.output("logits", logits);
    }
    let plan = Plan::compile(&g, &Passes::default(), &large()).unwrap();
    let bytes = plan.bytes_of(BufferClass::Activation);
    bytes as f64 / (rows * WORDS * 4) as f64
}

#[test]
fn a_step_over_a_large_vocabulary_has_no_array_of_probabilities() {
    // Chunks of the products' sums are a part of an array.
    let near = |found: f64, arrays: f64| (arrays..arrays + 0.1).contains(&found);
    let [alone, weighted, evaluated, shown, both] = [
        arrays(false, true, false),
        arrays(true, true, false),
        arrays(false, false, false),
        arrays(false, false, true),
        arrays(false, true, true),
    ];
    assert!(near(alone, 1.0), "{alone} arrays");
    assert!(near(weighted, 2.0), "{weighted} arrays with weights of samples");
    assert!(near(evaluated, 1.0) && near(shown, 1.0), "{evaluated} and {shown} arrays");
    // What reads the logits later keeps them beside the gradient.
    assert!(near(both, 2.0), "{both} arrays");
}

/// A row that the lanes of one subgroup may not walk is divided among more.
#[test]
fn rows_of_words_stay_below_the_loop_limit() {
    let caps = DeviceCaps { max_loop_trips: 65_535, cpu: true, ..large() };
    let g = graph(CrossEntropyKind::Sparse, 2, WORDS, false);
    let lanes = |caps: &DeviceCaps| {
        let plan = Plan::compile(&g, &Passes::default(), caps).unwrap();
        let loss = plan.dispatches.iter().find(|d| d.label.contains("cross_entropy")).unwrap();
        let lanes = loss.call.defines.iter().find(|d| d.0 == "WG").unwrap();
        match lanes.1 {
            wgrad::kernels::Define::Int(lanes) => lanes as usize,
            wgrad::kernels::Define::Text(_) => unreachable!("a number"),
        }
    };
    let divided = lanes(&caps);
    assert!(3 * WORDS.div_ceil(divided) + 64 <= 65_535, "{divided} lanes");
    assert_eq!(lanes(&DeviceCaps { max_loop_trips: u32::MAX, ..caps }), 1);
    assert_eq!(divided, 4);
}
