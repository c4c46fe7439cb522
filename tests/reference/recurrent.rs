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

/// A recurrent layer with its options.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    pub kind: Kind,
    pub sizes: Sizes,
    /// The function of [`Kind::Simple`].
    pub activation: &'a str,
    /// Whether a GRU resets h before the recurrent product.
    pub reset_before: bool,
    pub backwards: bool,
    /// Which steps count, `[batch, time]`.
    pub mask: Option<&'a [f64]>,
    /// What inputs `[batch, features]` and h `[batch, units]` are multiplied by, the same at all steps: dropout.
    pub dropped: [Option<&'a [f64]>; 2],
}

impl<'a> Layer<'a> {
    /// Forwards, without mask and dropout.
    pub const fn new(kind: Kind, sizes: Sizes) -> Self {
        let (mask, dropped) = (None, [None; 2]);
        Self {
            kind,
            sizes,
            activation: "tanh",
            reset_before: false,
            backwards: false,
            mask,
            dropped,
        }
    }

    /// From states of zero.
    pub fn zeros(&self) -> Vec<Vec<f64>> {
        let states = if self.kind == Kind::Lstm { 2 } else { 1 };
        vec![vec![0.0; self.sizes.batch * self.sizes.units]; states]
    }

    /// Each state after each step, in the order in which they are computed, each `[batch, units]`. `x` is `[batch, time,
    /// features]`; weights have gates side by side: i, f, g, o, or z, r, n with a bias of inputs and, unless the reset is
    /// before the product, a second one of h. Sources: Elman 1990 with the bias of Keras' `SimpleRNN`, [`lstm_gates`],
    /// [`gru_gates`]; the reset before the product: Cho et al. 2014; dropout: Gal and Ghahramani 2016.
    pub fn states(
        &self,
        x: &[f64],
        [kernel, recurrent, bias]: [&[f64]; 3],
        initial: &[Vec<f64>],
    ) -> Vec<Vec<Vec<f64>>> {
        let Sizes { batch, time, features, units } = self.sizes;
        let width = kernel.len() / features;
        let of_state =
            |h: &[f64]| linalg::matmul(h, recurrent, 1, batch, width, units, false, false);
        let dropped = |v: Vec<f64>, factors: Option<&[f64]>| match factors {
            Some(factors) => v.iter().zip(factors).map(|(v, f)| v * f).collect(),
            None => v,
        };
        let biased = |v: Vec<f64>, bias: &[f64]| -> Vec<f64> {
            v.iter().enumerate().map(|(i, v)| v + bias.get(i % width).unwrap_or(&0.0)).collect()
        };
        let mut now = initial.to_vec();
        let step = |i: usize| {
            let t = if self.backwards { time - 1 - i } else { i };
            let row = |b: usize| &x[(b * time + t) * features..][..features];
            let read = dropped((0..batch).flat_map(row).copied().collect(), self.dropped[0]);
            let fed = linalg::matmul(&read, kernel, 1, batch, width, features, false, false);
            let (first, second) = bias.split_at(width);
            let (fed, h) = (biased(fed, first), dropped(now[0].clone(), self.dropped[1]));
            let kept = biased(of_state(&h), second);
            let sums = || -> Vec<f64> { fed.iter().zip(&kept).map(|(a, b)| a + b).collect() };
            let new = match self.kind {
                Kind::Simple => {
                    vec![
                        sums()
                            .iter()
                            .map(|&z| elementwise::unary(self.activation, &[], z))
                            .collect(),
                    ]
                }
                Kind::Lstm => {
                    let (h, c) = lstm_gates(&sums(), &now[1], units);
                    vec![h, c]
                }
                Kind::Gru => {
                    let part = |v: &[f64], row: usize, k: usize| {
                        v[(3 * row + k) * units..][..units].to_vec()
                    };
                    let sums = sums();
                    let reset = |at: usize| {
                        h[at] * sigmoid(sums[(3 * (at / units) + 1) * units + at % units])
                    };
                    let after = if self.reset_before {
                        of_state(&(0..h.len()).map(reset).collect::<Vec<f64>>())
                    } else {
                        kept.clone()
                    };
                    // A gate of 1 if the reset was before.
                    let open = vec![f64::INFINITY; units];
                    let ordered = |row| {
                        let gate =
                            if self.reset_before { open.clone() } else { part(&sums, row, 1) };
                        [part(&sums, row, 0), gate, part(&fed, row, 2), part(&after, row, 2)]
                            .concat()
                    };
                    vec![gru_gates(
                        &(0..batch).flat_map(ordered).collect::<Vec<f64>>(),
                        &now[0],
                        units,
                    )]
                }
            };
            for (now, new) in now.iter_mut().zip(new) {
                for (at, new) in new.into_iter().enumerate() {
                    if self.mask.is_none_or(|mask| mask[at / units * time + t] > 0.0) {
                        now[at] = new;
                    }
                }
            }
            now.clone()
        };
        (0..time).map(step).collect()
    }
}

/// Which recurrent layer.
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
/// [`Layer::states`].
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
