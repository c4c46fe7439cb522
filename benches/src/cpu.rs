//! The same arithmetic on the CPU through the `gemm` crate: what a product and a training step take without a GPU.

use crate::uniform;
use std::time::{Duration, Instant};

/// A matrix in memory: extents, and whether it is stored transposed.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The elements, row by row as stored.
    pub values: &'a [f32],
    /// Whether the operand is the transpose of what is stored.
    pub transposed: bool,
}

/// c = a · b, with a m by k and b k by n, on all cores.
///
/// # Panics
/// If a slice has not as many elements as its extents say.
pub fn product([m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32]) {
    assert!(a.values.len() == m * k && b.values.len() == k * n && c.len() == m * n);
    // (column stride, row stride) of each operand.
    let (a_cs, a_rs) = if a.transposed { (m, 1) } else { (1, k) };
    let (b_cs, b_rs) = if b.transposed { (k, 1) } else { (1, n) };
    // SAFETY: the slices hold m·k, k·n and m·n elements, and the strides address exactly those; c is borrowed
    // mutably and overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.values.as_ptr(),
            a_cs as isize,
            a_rs as isize,
            b.values.as_ptr(),
            b_cs as isize,
            b_rs as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}

const fn plain(values: &[f32]) -> Matrix<'_> {
    Matrix { values, transposed: false }
}

const fn transposed(values: &[f32]) -> Matrix<'_> {
    Matrix { values, transposed: true }
}

/// Parameters of a layer, kernel and then bias, with what Adam keeps of them.
struct Layer {
    inputs: usize,
    outputs: usize,
    values: Vec<f32>,
    gradient: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    /// What the layer gave, and the gradient by it before its activation.
    activation: Vec<f32>,
    delta: Vec<f32>,
}

impl Layer {
    fn split(&self) -> (&[f32], &[f32]) {
        self.values.split_at(self.inputs * self.outputs)
    }
}

/// A dense ReLU network with softmax cross-entropy and Adam, products through the `gemm` crate, all else in loops.
pub struct CpuStep {
    batch: usize,
    x: Vec<f32>,
    layers: Vec<Layer>,
    steps: i32,
}

impl CpuStep {
    /// The network 784, the hidden layers, 10, on one batch of made-up samples.
    #[must_use]
    pub fn new(hidden: &[usize], batch: usize) -> Self {
        let mut widths = vec![784];
        widths.extend(hidden);
        widths.push(10);
        let layer = |(i, w): (usize, &[usize])| {
            let len = (w[0] + 1) * w[1];
            Layer {
                inputs: w[0],
                outputs: w[1],
                values: uniform(i as u64, len),
                gradient: vec![0.0; len],
                mean: vec![0.0; len],
                square: vec![0.0; len],
                activation: vec![0.0; batch * w[1]],
                delta: vec![0.0; batch * w[1]],
            }
        };
        let layers = widths.windows(2).enumerate().map(layer).collect();
        let x = uniform(99, batch * 784).into_iter().map(|v| 10.0 * v + 0.5).collect();
        Self { batch, x, layers, steps: 0 }
    }

    /// Time of some steps.
    pub fn time(&mut self, steps: u64) -> Duration {
        let start = Instant::now();
        for _ in 0..steps {
            self.step();
        }
        start.elapsed()
    }

    /// One step; gives the mean loss before it.
    pub fn step(&mut self) -> f32 {
        let last = self.layers.len() - 1;
        for i in 0..=last {
            let (before, rest) = self.layers.split_at_mut(i);
            let x = before.last().map_or(&self.x, |layer| &layer.activation);
            forward(&mut rest[0], x, self.batch, i < last);
        }
        let loss = cross_entropy(&mut self.layers[last], self.batch);
        for i in (0..=last).rev() {
            let (before, rest) = self.layers.split_at_mut(i);
            backward(&mut rest[0], before.last_mut(), &self.x, self.batch);
        }
        self.steps += 1;
        let (bias1, bias2) = (1.0 - 0.9f32.powi(self.steps), 1.0 - 0.999f32.powi(self.steps));
        let rate = 0.001 * bias2.sqrt() / bias1;
        self.layers.iter_mut().for_each(|layer| adam(layer, rate));
        loss
    }
}

fn forward(layer: &mut Layer, x: &[f32], batch: usize, relu: bool) {
    let (inputs, outputs) = (layer.inputs, layer.outputs);
    let mut y = std::mem::take(&mut layer.activation);
    let (kernel, bias) = layer.split();
    product([batch, outputs, inputs], plain(x), plain(kernel), &mut y);
    for row in y.chunks_exact_mut(outputs) {
        for (y, b) in row.iter_mut().zip(bias) {
            *y = if relu { (*y + b).max(0.0) } else { *y + b };
        }
    }
    layer.activation = y;
}

/// Softmax cross-entropy of labels 0, 1, ..., 9, 0, ...: the mean loss, and the gradient by the logits.
fn cross_entropy(layer: &mut Layer, batch: usize) -> f32 {
    let mut loss = 0.0;
    let rows = layer.activation.chunks_exact(layer.outputs);
    for (i, (row, delta)) in rows.zip(layer.delta.chunks_exact_mut(layer.outputs)).enumerate() {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = row.iter().map(|v| (v - largest).exp()).sum();
        for (d, v) in delta.iter_mut().zip(row) {
            *d = (v - largest).exp() / sum / batch as f32;
        }
        delta[i % layer.outputs] -= 1.0 / batch as f32;
        loss += sum.ln() + largest - row[i % layer.outputs];
    }
    loss / batch as f32
}

fn backward(layer: &mut Layer, before: Option<&mut Layer>, x: &[f32], batch: usize) {
    let (inputs, outputs) = (layer.inputs, layer.outputs);
    let x = before.as_ref().map_or(x, |b| &b.activation);
    let (kernel, bias) = layer.gradient.split_at_mut(inputs * outputs);
    product([inputs, outputs, batch], transposed(x), plain(&layer.delta), kernel);
    bias.fill(0.0);
    for row in layer.delta.chunks_exact(outputs) {
        bias.iter_mut().zip(row).for_each(|(b, d)| *b += d);
    }
    if let Some(before) = before {
        let (kernel, _) = layer.split();
        product(
            [batch, inputs, outputs],
            plain(&layer.delta),
            transposed(kernel),
            &mut before.delta,
        );
        for (d, y) in before.delta.iter_mut().zip(&before.activation) {
            *d = if *y > 0.0 { *d } else { 0.0 };
        }
    }
}

fn adam(layer: &mut Layer, rate: f32) {
    let state = layer.mean.iter_mut().zip(&mut layer.square);
    for ((w, g), (m, v)) in layer.values.iter_mut().zip(&layer.gradient).zip(state) {
        *m = 0.9 * *m + 0.1 * g;
        *v = 0.999 * *v + 0.001 * g * g;
        *w -= rate * *m / (v.sqrt() + 1e-7);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_learn_the_batch() {
        let mut step = CpuStep::new(&[16, 12], 20);
        let first = step.step();
        for _ in 0..200 {
            step.step();
        }
        let last = step.step();
        assert!((first - 10f32.ln()).abs() < 0.2 && last < 0.1 * first, "{first}, {last}");
    }
}
