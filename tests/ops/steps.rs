//! Graphs like those that training builds: passes and planner must handle them correctly together.

use crate::reference::linalg;
use crate::reference::losses::{batch_mean, sparse_categorical_crossentropy_logits};
use crate::reference::random::uniform;
use wgrad::Result;
use wgrad::autodiff::gradients;
use wgrad::graph::{Graph, Value};
use wgrad::ops::{CrossEntropyKind, SoftmaxMask};
use wgrad::tensor::{DType, Tensor};

/// A graph with what it is fed, and the words of its steps.
pub struct Scene {
    pub name: &'static str,
    pub graph: Graph,
    pub feeds: Vec<(String, Tensor)>,
    pub steps: Vec<Vec<(&'static str, u32)>>,
}

const BATCH: usize = 6;
const SIZES: [usize; 3] = [5, 7, 3];
/// Offsets of two matrices and two biases in an arena.
const OFFSETS: [usize; 4] = [0, 64, 128, 192];
pub const ARENA: usize = 256;

/// Shapes of the tensors in the arena.
pub fn shapes() -> [Vec<usize>; 4] {
    let [a, b, c] = SIZES;
    [vec![a, b], vec![b], vec![b, c], vec![c]]
}

fn arena(seed: u32) -> Vec<f32> {
    let mut all = vec![0.0; ARENA];
    for (i, shape) in shapes().iter().enumerate() {
        let x = uniform(seed + i as u32, shape.iter().product(), -1.0, 1.0);
        all[OFFSETS[i]..][..x.len()].copy_from_slice(&x);
    }
    all
}

fn tensor(shape: &[usize], seed: u32) -> Tensor {
    Tensor::f32(shape, uniform(seed, shape.iter().product(), -1.0, 1.0)).expect("right length")
}

const LABELS: [u32; BATCH] = [0, 2, 1, 1, 0, 2];

/// The loss of [`step`]'s network in f64, from the arena's parameters.
pub fn network_loss(parameters: &[f64]) -> f64 {
    let [a, b, c] = SIZES;
    let part = |i: usize| {
        let shape: usize = shapes()[i].iter().product();
        &parameters[OFFSETS[i]..][..shape]
    };
    let x: Vec<f64> = inputs().as_f32().expect("f32").iter().map(|&v| f64::from(v)).collect();
    let h = linalg::matmul(&x, part(0), 1, BATCH, b, a, false, false);
    let h: Vec<f64> = linalg::add_bias(&h, part(1)).iter().map(|v| v.tanh()).collect();
    let y = linalg::matmul(&h, part(2), 1, BATCH, c, b, false, false);
    let y = linalg::add_bias(&y, part(3));
    let labels: Vec<usize> = LABELS.iter().map(|&l| l as usize).collect();
    batch_mean(&sparse_categorical_crossentropy_logits(&labels, &y, c))
}

fn inputs() -> Tensor {
    tensor(&[BATCH, SIZES[0]], 50)
}

/// A training step of two dense layers with an update in place, as Adam makes it.
pub fn step() -> Result<Scene> {
    let mut g = Graph::new();
    let x = g.input("x", [BATCH, SIZES[0]], DType::F32);
    let labels = g.input("labels", [BATCH], DType::U32);
    let p = g.state("p", [ARENA], DType::F32);
    let views = (shapes().iter().zip(OFFSETS))
        .map(|(s, o)| g.view(p, o, s.as_slice()))
        .collect::<Result<Vec<_>>>()?;
    let h = g.in_layer("hidden", |g| {
        let h = g.matmul(x, views[0])?;
        let h = g.add(h, views[1])?;
        g.unary("tanh", h, &[])
    })?;
    let y = g.matmul(h, views[2])?;
    let y = g.add(y, views[3])?;
    let (loss, hits) = g.cross_entropy(CrossEntropyKind::Sparse, y, labels, 1.0 / BATCH as f32)?;
    let total = g.sum(loss, &[], false)?;
    let grads = gradients(&mut g, total, &views)?;
    let grad = g.pack(ARENA, &OFFSETS, &grads)?;
    adam(&mut g, p, grad)?;
    let metrics = g.state("metrics", [4, 128], DType::F32);
    let row = g.step_param("record", DType::U32)?;
    let recorded =
        g.record(metrics, row, &[loss, hits.expect("a softmax form counts hits")], &[0, 64])?;
    g.update(metrics, recorded)?;
    g.output("loss", total);
    g.output("gradient", grad);
    g.output("parameters before", p);
    let feeds = [
        ("x", inputs()),
        ("labels", Tensor::u32([BATCH], LABELS)?),
        ("p", Tensor::f32([ARENA], arena(60))?),
    ];
    let rate = 0.05f32.to_bits();
    let steps = (0..3).map(|i| vec![("record", i), ("rate", rate)]).collect();
    Ok(scene("a training step", g, &feeds, steps))
}

/// m = 0.9 m + 0.1 g, v = 0.99 v + 0.01 g², p = p - rate m / (√v + ε), all in place.
fn adam(g: &mut Graph, p: Value, grad: Value) -> Result<()> {
    let (m, v) = (g.state("m", [ARENA], DType::F32), g.state("v", [ARENA], DType::F32));
    let rate = g.step_param("rate", DType::F32)?;
    let blend = |g: &mut Graph, old: Value, new: Value, keep: f32| {
        let (a, b) = (g.scale(old, keep)?, g.scale(new, 1.0 - keep)?);
        g.add(a, b)
    };
    let m_new = blend(g, m, grad, 0.9)?;
    let square = g.unary("square", grad, &[])?;
    let v_new = blend(g, v, square, 0.99)?;
    let root = g.unary("sqrt", v_new, &[])?;
    let epsilon = g.constant(1e-3);
    let root = g.add(root, epsilon)?;
    let direction = g.div(m_new, root)?;
    let change = g.mul(direction, rate)?;
    let p_new = g.sub(p, change)?;
    [(m, m_new), (v, v_new), (p, p_new)].iter().try_for_each(|&(s, new)| g.update(s, new))
}

/// Keeps each element with probability 3/4, times 4/3.
pub fn dropout(g: &mut Graph, x: Value, stream: u32) -> Result<Value> {
    let seed = g.step_param("seed", DType::U32)?;
    let step = g.step_param("step", DType::U32)?;
    let shape = g.shape(x).clone();
    let u = g.random_uniform(shape, seed, step, stream)?;
    let rate = g.constant(0.25);
    let keep = g.binary("greater_equal", u, rate)?;
    let keep = g.scale(keep, 4.0 / 3.0)?;
    g.mul(x, keep)
}

/// Dropout behind a product and behind an activation, with its gradient.
pub fn dropped() -> Result<Scene> {
    let mut g = Graph::new();
    let x = g.input("x", [9, 12], DType::F32);
    let w = g.input("w", [12, 12], DType::F32);
    let product = g.matmul(x, w)?;
    let a = dropout(&mut g, product, 1)?;
    let h = g.unary("silu", a, &[])?;
    let y = dropout(&mut g, h, 2)?;
    let alone = dropout(&mut g, x, 1)?;
    let total = g.mul(y, y)?;
    let loss = g.mean(total, &[], false)?;
    let grads = gradients(&mut g, loss, &[x, w])?;
    for (name, v) in [("y", y), ("alone", alone), ("dx", grads[0]), ("dw", grads[1])] {
        g.output(name, v);
    }
    let feeds = [("x", tensor(&[9, 12], 1)), ("w", tensor(&[12, 12], 2))];
    let steps = vec![vec![("seed", 5), ("step", 0)], vec![("seed", 5), ("step", 1)]];
    Ok(scene("dropout", g, &feeds, steps))
}

/// Blocks whose input is added to their output.
pub fn residual() -> Result<Scene> {
    let mut g = Graph::new();
    let x = g.input("x", [5, 8], DType::F32);
    let w = g.input("w", [8, 8], DType::F32);
    let mut h = x;
    for _ in 0..3 {
        let inner = g.matmul(h, w)?;
        let inner = g.unary("relu", inner, &[])?;
        let mean = g.mean(inner, &[1], true)?;
        let centred = g.sub(inner, mean)?;
        h = g.add(h, centred)?;
    }
    let loss = g.mean(h, &[], false)?;
    let grads = gradients(&mut g, loss, &[x, w])?;
    for (name, v) in [("h", h), ("dx", grads[0]), ("dw", grads[1])] {
        g.output(name, v);
    }
    let feeds = [("x", tensor(&[5, 8], 3)), ("w", tensor(&[8, 8], 4))];
    Ok(scene("residual sums", g, &feeds, vec![vec![]]))
}

/// Normalizations with sums before and dropout or activations after them, in a step that changes their gammas.
pub fn normalized() -> Result<Scene> {
    let mut g = Graph::new();
    let x = g.input("x", [9, 12], DType::F32);
    let w = g.input("w", [12, 12], DType::F32);
    let gamma = g.state("gamma", [12], DType::F32);
    let mask = g.input("mask", [12], DType::F32);
    let product = g.matmul(x, w)?;
    let sum = g.add(x, x)?;
    let y = g.layer_norm(sum, Some(gamma), None, 1, 1e-3)?;
    let y = dropout(&mut g, y, 1)?;
    let y = g.add(y, product)?;
    let y = g.rms_norm(y, Some(gamma), 1, 1e-3)?;
    let y = g.unary("silu", y, &[])?;
    let y = g.masked_softmax(y, mask, SoftmaxMask::Additive)?;
    let spread = g.variance(y, &[1], false)?;
    let level = g.log_sum_exp(y, &[0], false)?;
    let total = g.sum(spread, &[], false)?;
    let level = g.sum(level, &[], false)?;
    let loss = g.add(total, level)?;
    let grads = gradients(&mut g, loss, &[x, w, gamma])?;
    for (name, v) in [("y", y), ("sum", sum), ("dx", grads[0]), ("dw", grads[1])] {
        g.output(name, v);
    }
    let change = g.scale(grads[2], 0.1)?;
    let new = g.sub(gamma, change)?;
    g.update(gamma, new)?;
    let feeds = [
        ("x", tensor(&[9, 12], 7)),
        ("w", tensor(&[12, 12], 8)),
        ("gamma", tensor(&[12], 9)),
        ("mask", tensor(&[12], 10)),
    ];
    let steps = vec![vec![("seed", 5), ("step", 0)], vec![("seed", 5), ("step", 1)]];
    Ok(scene("normalizations", g, &feeds, steps))
}

/// Two states that exchange their values, one of them scaled.
pub fn swap() -> Result<Scene> {
    let mut g = Graph::new();
    let (a, b) = (g.state("a", [37], DType::F32), g.state("b", [37], DType::F32));
    let double = g.scale(a, 2.0)?;
    g.update(a, b)?;
    g.update(b, double)?;
    g.output("sum", a);
    let feeds = [("a", tensor(&[37], 5)), ("b", tensor(&[37], 6))];
    Ok(scene("a swap", g, &feeds, vec![vec![]; 3]))
}

/// Three states that move round by one.
pub fn rotation() -> Result<Scene> {
    let mut g = Graph::new();
    let s: Vec<Value> = ["a", "b", "c"].map(|n| g.state(n, [65], DType::F32)).to_vec();
    for i in 0..3 {
        g.update(s[i], s[(i + 1) % 3])?;
    }
    let feeds = [("a", tensor(&[65], 7)), ("b", tensor(&[65], 8)), ("c", tensor(&[65], 9))];
    Ok(scene("a rotation", g, &feeds, vec![vec![]; 2]))
}

/// States that are read and written in ways in which writing in place would be wrong.
pub fn hazards() -> Result<Scene> {
    let mut g = Graph::new();
    let x = g.input("x", [3, 5], DType::F32);
    // Both operands are the state.
    let a = g.state("a", [15], DType::F32);
    let a_new = g.add(a, a)?;
    g.update(a, a_new)?;
    // The new state is also packed.
    let b = g.state("b", [3, 5], DType::F32);
    let b_new = g.mul(b, x)?;
    g.update(b, b_new)?;
    let packed = g.pack(64, &[0], &[b_new])?;
    g.output("packed", packed);
    // A part of the old state is read after the run.
    let c = g.state("c", [128], DType::F32);
    let part = g.view(c, 64, [3, 5])?;
    g.output("part", part);
    let c_new = g.neg(c)?;
    g.update(c, c_new)?;
    // The new state is a part of another, which changes too.
    let d = g.state("d", [3, 5], DType::F32);
    g.update(d, part)?;
    // The old state is read transposed.
    let e = g.state("e", [6, 6], DType::F32);
    let turned = g.transpose(e, &[1, 0])?;
    let e_new = g.add(e, turned)?;
    g.update(e, e_new)?;
    // One new value goes to two states, and is read by others.
    let (f, h) = (g.state("f", [7], DType::F32), g.state("h", [7], DType::F32));
    let both = g.mul(f, h)?;
    g.update(f, both)?;
    g.update(h, both)?;
    let later = g.sub(both, f)?;
    g.output("later", later);
    let feeds = [
        ("x", tensor(&[3, 5], 10)),
        ("a", tensor(&[15], 11)),
        ("b", tensor(&[3, 5], 12)),
        ("c", tensor(&[128], 13)),
        ("d", tensor(&[3, 5], 14)),
        ("e", tensor(&[6, 6], 15)),
        ("f", tensor(&[7], 16)),
        ("h", tensor(&[7], 17)),
    ];
    Ok(scene("hazards", g, &feeds, vec![vec![]]))
}

/// More operands and results than one kernel may bind.
pub fn crowd() -> Result<Scene> {
    let mut g = Graph::new();
    let names: Vec<String> = (0..20).map(|i| format!("x{i}")).collect();
    let x: Vec<Value> = names.iter().map(|n| g.input(n, [3, 7], DType::F32)).collect();
    let w = g.input("w", [7, 7], DType::F32);
    let mut sum = g.matmul(x[0], w)?;
    for (i, &x) in x.iter().enumerate() {
        let part = g.unary("sigmoid", x, &[])?;
        let part = g.mul(part, sum)?;
        sum = g.add(sum, part)?;
        if i % 4 == 1 {
            g.output(&format!("sum{i}"), sum);
            g.output(&format!("part{i}"), part);
        }
    }
    let loss = g.mean(sum, &[], false)?;
    for (i, d) in gradients(&mut g, loss, &x)?.into_iter().enumerate() {
        g.output(&format!("dx{i}"), d);
    }
    let mut feeds = vec![("w", tensor(&[7, 7], 40))];
    feeds.extend(names.iter().zip(20..).map(|(n, seed)| (n.as_str(), tensor(&[3, 7], seed))));
    Ok(scene("a crowd", g, &feeds, vec![vec![]]))
}

fn scene(
    name: &'static str,
    graph: Graph,
    feeds: &[(&str, Tensor)],
    steps: Vec<Vec<(&'static str, u32)>>,
) -> Scene {
    let feeds = feeds.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
    Scene { name, graph, feeds, steps }
}

/// All of them.
pub fn scenes() -> Vec<Scene> {
    [step(), dropped(), residual(), normalized(), swap(), rotation(), hazards(), crowd()]
        .map(|s| s.unwrap_or_else(|e| panic!("{e}")))
        .into()
}
