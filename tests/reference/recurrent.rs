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

/// Which recurrent layer, in [`over_time`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// h = tanh(x + h · kernel).
    Simple,
    /// Parts i, f, g, o.
    Lstm,
    /// Parts n of the input, z, r, n of the state: the reset after the product.
    Gru,
}

/// Each state at all times, `[times + 1, rows, units]`, of `products` `[times, rows, parts · units]` of the inputs, the
/// recurrent kernel and the initial states. Where `mask` `[times, rows]` is not positive, states stay. Sources: as
/// [`lstm_gates`], [`gru_gates`] and [`simple_rnn`].
pub fn over_time(
    kind: Kind,
    [products, kernel]: [&[f64]; 2],
    initial: &[Vec<f64>],
    mask: Option<&Vec<f64>>,
    [times, rows, units]: [usize; 3],
    reverse: bool,
) -> Vec<Vec<f64>> {
    let (parts, terms) = match kind {
        Kind::Simple => (1, 1),
        Kind::Lstm => (4, 4),
        Kind::Gru => (4, 3),
    };
    let mut now = initial.to_vec();
    let mut all = vec![now.clone()];
    for i in 0..times {
        let t = if reverse { times - 1 - i } else { i };
        let mut sums = products[t * rows * parts * units..][..rows * parts * units].to_vec();
        let kept = linalg::matmul(&now[0], kernel, 1, rows, terms * units, units, false, false);
        for (at, kept) in kept.iter().enumerate() {
            let (row, column) = (at / (terms * units), at % (terms * units));
            sums[row * parts * units + (parts - terms) * units + column] += kept;
        }
        let new = match kind {
            Kind::Simple => vec![sums.iter().map(|z| z.tanh()).collect()],
            Kind::Lstm => {
                let (h, c) = lstm_gates(&sums, &now[1], units);
                vec![h, c]
            }
            Kind::Gru => {
                // In the order of `gru_gates`: z, r, n of the input, n of the state.
                let part = |row: usize, k: usize| &sums[(4 * row + k) * units..][..units];
                let ordered = |row| [1, 2, 0, 3].map(|k| part(row, k)).concat();
                let ordered: Vec<f64> = (0..rows).flat_map(ordered).collect();
                vec![gru_gates(&ordered, &now[0], units)]
            }
        };
        for (now, new) in now.iter_mut().zip(new) {
            for (at, new) in new.into_iter().enumerate() {
                if mask.is_none_or(|mask| mask[t * rows + at / units] > 0.0) {
                    now[at] = new;
                }
            }
        }
        all.push(now.clone());
    }
    if reverse {
        all.reverse();
    }
    let state = |s: usize| all.iter().flat_map(|at| at[s].clone()).collect();
    (0..initial.len()).map(state).collect()
}
