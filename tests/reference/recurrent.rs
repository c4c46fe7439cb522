//! Recurrent layers, step by step.

use super::{elementwise, linalg};

/// Sizes of a recurrent layer.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    pub time: usize,
    pub features: usize,
    pub units: usize,
}

/// h = f(x kernel + h recurrent + bias) from h = 0, for `x` of `[batch, time, features]`: h after each step, in the order
/// in which they are computed, each `[batch, units]`. Source: Elman 1990, with the bias of Keras' `SimpleRNN`.
pub fn simple_rnn(
    x: &[f64],
    [kernel, recurrent, bias]: [&[f64]; 3],
    Sizes { batch, time, features, units }: Sizes,
    activation: &str,
    backwards: bool,
) -> Vec<Vec<f64>> {
    let mut h = vec![0.0; batch * units];
    let mut states = Vec::new();
    for i in 0..time {
        let t = if backwards { time - 1 - i } else { i };
        let row = |b: usize| &x[(b * time + t) * features..][..features];
        let now: Vec<f64> = (0..batch).flat_map(row).copied().collect();
        let fed = linalg::matmul(&now, kernel, 1, batch, units, features, false, false);
        let kept = linalg::matmul(&h, recurrent, 1, batch, units, units, false, false);
        let sum = fed.iter().zip(&kept).enumerate().map(|(i, (a, b))| a + b + bias[i % units]);
        h = sum.map(|z| elementwise::unary(activation, &[], z)).collect();
        states.push(h.clone());
    }
    states
}

/// States as a layer returns them: `[batch, time, units]`.
pub fn batch_first(states: &[Vec<f64>], batch: usize) -> Vec<f64> {
    let units = states[0].len() / batch;
    let of = |b: usize| states.iter().flat_map(move |h| &h[b * units..][..units]);
    (0..batch).flat_map(of).copied().collect()
}

fn sigmoid(x: f64) -> f64 {
    elementwise::unary("sigmoid", &[], x)
}

/// h and c after a step of long short-term memory: of `sums` with the parts i, f, g, o in each row, and of c before it.
/// Source: Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000.
pub fn lstm_gates(sums: &[f64], c: &[f64], units: usize) -> (Vec<f64>, Vec<f64>) {
    let step = |(at, &c): (usize, &f64)| {
        let (row, unit) = (at / units, at % units);
        let part = |k: usize| sums[(4 * row + k) * units + unit];
        let new = sigmoid(part(1)) * c + sigmoid(part(0)) * part(2).tanh();
        (sigmoid(part(3)) * new.tanh(), new)
    };
    c.iter().enumerate().map(step).unzip()
}

/// h after a step of gated recurrent units: of `sums` with the parts z, r, x, u in each row, u what the reset gate acts
/// on, and of h before it. Source: Cho et al. 2014, with the reset after the product.
pub fn gru_gates(sums: &[f64], h: &[f64], units: usize) -> Vec<f64> {
    let step = |(at, &h): (usize, &f64)| {
        let (row, unit) = (at / units, at % units);
        let part = |k: usize| sums[(4 * row + k) * units + unit];
        let n = (part(2) + sigmoid(part(1)) * part(3)).tanh();
        let z = sigmoid(part(0));
        z * h + (1.0 - z) * n
    };
    h.iter().enumerate().map(step).collect()
}

/// h of long short-term memory after each step, from h = c = 0, for `x` of `[batch, time, features]`; weights with the
/// gates i, f, g, o side by side. Source: as [`lstm_gates`].
pub fn lstm(
    x: &[f64],
    [kernel, recurrent, bias]: [&[f64]; 3],
    Sizes { batch, time, features, units }: Sizes,
) -> Vec<Vec<f64>> {
    let (mut h, mut c, width) = (vec![0.0; batch * units], vec![0.0; batch * units], 4 * units);
    let mut states = Vec::new();
    for t in 0..time {
        let row = |b: usize| &x[(b * time + t) * features..][..features];
        let now: Vec<f64> = (0..batch).flat_map(row).copied().collect();
        let fed = linalg::matmul(&now, kernel, 1, batch, width, features, false, false);
        let kept = linalg::matmul(&h, recurrent, 1, batch, width, units, false, false);
        let sums = fed.iter().zip(&kept).enumerate().map(|(i, (a, b))| a + b + bias[i % width]);
        (h, c) = lstm_gates(&sums.collect::<Vec<f64>>(), &c, units);
        states.push(h.clone());
    }
    states
}
