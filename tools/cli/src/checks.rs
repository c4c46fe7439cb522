//! What `doctor` checks: products, sums and training steps compared with f64 on the host, and the time of a submit.

use crate::barriers;
use anyhow::{Result, ensure};
use std::sync::Arc;
use std::time::Instant;
use wgrad::gpu::{Executor, StepBlock, Store, block_on};
use wgrad::graph::Graph;
use wgrad::kernels::{DeviceCaps, MatmulFamily, MatmulRule, MatmulTile, matmul_rule};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::prelude::*;

/// Every check with its name, and what it says.
pub fn all(device: &Device) -> [(&'static str, Result<String>); 5] {
    [
        ("products", products(device)),
        ("rows", rows(device)),
        ("barriers", barriers::check(device)),
        ("training", training(device)),
        ("submit", submit(device)),
    ]
}

/// Numbers in [-1, 1) that look random.
fn numbers(seed: u32, len: usize) -> Vec<f32> {
    let mixed = |i: usize| (i as u32 ^ seed << 20).wrapping_mul(2_654_435_761).rotate_left(13);
    (0..len).map(|i| (mixed(i).wrapping_mul(40_503) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// The largest difference; NaN counts as infinite.
pub fn apart(a: &[f32], b: &[f64]) -> f64 {
    let each = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).abs());
    each.fold(0.0, |most, d| if d.is_nan() { f64::INFINITY } else { most.max(d) })
}

/// The sum over l < k of a(i, l) and b(l, j), for all i < m and j < n, in f64.
fn sums(
    [m, n, k]: [usize; 3],
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    (0..m * n).map(|ij| (0..k).map(|l| a(ij / n, l) * b(l, ij % n)).sum()).collect()
}

/// Products whose sizes fill no tile: with every kernel that runs here, in the three forms, and with divided sums.
fn products(device: &Device) -> Result<String> {
    let (sizes, forms) = ([197, 135, 301], [[false, false], [true, false], [false, true]]);
    let caps = device.caps();
    let mut kernels = 0;
    for tile in MatmulTile::ALL.into_iter().filter(|t| t.family == caps.matmul && t.runs_on(caps)) {
        for form in forms {
            product(device, tile, 0, sizes, form)?;
            kernels += 1;
        }
    }
    let tile = matmul_rule(caps, [37, 29, 1111]).tile;
    let fill = if caps.matmul == MatmulFamily::Tiled { 1 << 16 } else { 0 };
    product(device, tile, fill, [37, 29, 1111], [false, false])?;
    Ok(format!("{kernels} kernels and one long sum differ from f64 by at most {ALLOWED:.0e}"))
}

/// The largest difference of a product's elements.
const ALLOWED: f64 = 1e-4;

/// A product with this kernel, whose sums are divided for as many workgroups as `fill` says.
fn product(
    device: &Device,
    tile: MatmulTile,
    fill: usize,
    [m, n, k]: [usize; 3],
    [ta, tb]: [bool; 2],
) -> Result<()> {
    let (a, b) = (numbers(1, m * k), numbers(2, k * n));
    let at = |values: &[f32], i: usize| f64::from(values[i]);
    let expected = sums(
        [m, n, k],
        |i, l| at(&a, if ta { l * m + i } else { i * k + l }),
        |l, j| at(&b, if tb { j * k + l } else { l * n + j }),
    );
    let (left, right) = (if ta { [k, m] } else { [m, k] }, if tb { [n, k] } else { [k, n] });
    let mut g = Graph::new();
    let (x, y) = (g.input("a", left, DType::F32), g.input("b", right, DType::F32));
    let c = g.matmul_form(x, y, ta, tb)?;
    g.output("c", c);
    let tuned = vec![MatmulRule { m: 0, n: 0, work: 0, tile, fill }];
    let device = device.with_caps(DeviceCaps { tuned, ..device.caps().clone() });
    let inputs = [("a", Tensor::f32(left, a)?), ("b", Tensor::f32(right, b)?)];
    let mut executor = executor(&device, &g, &inputs)?;
    executor.run(&[StepBlock::default()])?;
    let apart = apart(block_on(executor.read("c"))?.as_f32()?, &expected);
    ensure!(
        apart <= ALLOWED,
        "{tile}, {m}x{n}x{k}: {apart:.1e} from f64, {ALLOWED:.0e} is allowed"
    );
    Ok(())
}

/// Sums and softmax of rows, by subgroup if the adapter has one size of them.
fn rows(device: &Device) -> Result<String> {
    const ROWS: usize = 5;
    const COLS: usize = 20;
    let x = numbers(6, ROWS * COLS);
    let mut g = Graph::new();
    let v = g.input("x", [ROWS, COLS], DType::F32);
    let (sum, softmax) = (g.sum(v, &[1], false)?, g.softmax(v)?);
    g.output("sum", sum);
    g.output("softmax", softmax);
    let mut executor = executor(device, &g, &[("x", Tensor::f32([ROWS, COLS], x.clone())?)])?;
    executor.run(&[StepBlock::default()])?;
    let x = wide(&x);
    let sums: Vec<f64> = x.chunks(COLS).map(|row| row.iter().sum()).collect();
    let shares = x.chunks(COLS).flat_map(|row| {
        let all: f64 = row.iter().map(|v| v.exp()).sum();
        row.iter().map(move |v| v.exp() / all)
    });
    let shares: Vec<f64> = shares.collect();
    let of_sum = apart(block_on(executor.read("sum"))?.as_f32()?, &sums);
    let of_softmax = apart(block_on(executor.read("softmax"))?.as_f32()?, &shares);
    let most = of_sum.max(of_softmax);
    ensure!(most <= 1e-5, "sums and softmax differ from f64 by {most:.1e}, 1e-5 is allowed");
    Ok(format!("sums and softmax differ from f64 by at most {most:.1e}"))
}

/// A graph that is ready to run.
pub fn executor(device: &Device, graph: &Graph, inputs: &[(&str, Tensor)]) -> Result<Executor> {
    let mut store = Store::new(device);
    inputs.iter().try_for_each(|(name, tensor)| store.upload(name, tensor))?;
    let plan = Arc::new(Plan::compile(graph, &Passes::default(), device.caps())?);
    Ok(Executor::new(device, plan, &store)?)
}

/// Three steps of a network with one hidden layer, and the same in f64.
fn training(device: &Device) -> Result<String> {
    const N: usize = 24;
    const I: usize = 10;
    const H: usize = 12;
    const O: usize = 3;
    let (x, y) = (numbers(3, N * I), numbers(4, N * O));
    let hidden = Dense::new(H).activation(Activation::Tanh);
    let model = Sequential::new([I]).add(hidden).add(Dense::new(O));
    let mut trainer = model.compile(device, Compile::new(Sgd::new(0.1), Loss::MeanSquaredError))?;
    let read = |trainer: &Trainer| -> Result<Vec<Vec<f32>>> {
        trainer.weights()?.iter().map(|(_, t)| Ok(t.as_f32()?.to_vec())).collect()
    };
    let mut weights: Vec<Vec<f64>> = read(&trainer)?.iter().map(|w| wide(w)).collect();
    let (x64, y64) = (wide(&x), wide(&y));
    for _ in 0..3 {
        let [w0, b0, w1, b1] = &weights[..] else { anyhow::bail!("two layers have four tensors") };
        let h = sums([N, H, I], |n, i| x64[n * I + i], |i, j| w0[i * H + j]);
        let h: Vec<f64> = h.iter().enumerate().map(|(at, z)| (z + b0[at % H]).tanh()).collect();
        let out = sums([N, O, H], |n, j| h[n * H + j], |j, o| w1[j * O + o]);
        let error = out.iter().zip(&y64).enumerate().map(|(at, (z, y))| z + b1[at % O] - y);
        let d1: Vec<f64> = error.map(|e| 2.0 * e / (N * O) as f64).collect();
        let d0 = sums([N, H, O], |n, o| d1[n * O + o], |o, j| w1[j * O + o]);
        let d0: Vec<f64> = d0.iter().zip(&h).map(|(d, h)| d * (1.0 - h * h)).collect();
        let gradients = [
            sums([I, H, N], |i, n| x64[n * I + i], |n, j| d0[n * H + j]),
            sums([1, H, N], |_, _| 1.0, |n, j| d0[n * H + j]),
            sums([H, O, N], |j, n| h[n * H + j], |n, o| d1[n * O + o]),
            sums([1, O, N], |_, _| 1.0, |n, o| d1[n * O + o]),
        ];
        for (w, g) in weights.iter_mut().zip(gradients) {
            w.iter_mut().zip(g).for_each(|(w, g)| *w -= 0.1 * g);
        }
    }
    let data = TensorDataset::new(Tensor::f32([N, I], x)?, Tensor::f32([N, O], y)?)?;
    trainer.fit(&data, Fit::new().epochs(3).batch_size(N).verbose(Verbose::Silent))?;
    let pairs = read(&trainer)?.into_iter().zip(&weights);
    let apart = pairs.map(|(a, b)| apart(&a, b)).fold(0.0, f64::max);
    ensure!(apart <= 1e-4, "weights differ from f64 by {apart:.1e} after 3 steps, not 1e-4");
    Ok(format!("weights differ from f64 by at most {apart:.1e} after 3 steps"))
}

/// The least time, of many, of a submit that does next to nothing and of waiting for it.
fn submit(device: &Device) -> Result<String> {
    let mut g = Graph::new();
    let x = g.input("x", [64], DType::F32);
    let y = g.unary("tanh", x, &[])?;
    g.output("y", y);
    let mut executor = executor(device, &g, &[("x", Tensor::f32([64], numbers(5, 64))?)])?;
    let mut least = f64::MAX;
    for _ in 0..200 {
        let start = Instant::now();
        executor.run(&[StepBlock::default()])?;
        device.wait()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    ensure!(least < 0.1, "one small kernel and a wait take {:.0} ms", least * 1e3);
    Ok(format!("one small kernel and a wait take {:.1} us", least * 1e6))
}
