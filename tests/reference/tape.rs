//! Reverse-mode differentiation of a network, a sample per row (Griewank and Walther 2008, chapter 3).
//!
//! A tape computes each value when it is written. Gradients then walk the tape backwards, and every use of a value
//! adds its share. All values are matrices.

use super::elementwise::{joints, unary, unary_derivative};
use super::linalg::{broadcast_grad, broadcast_to, concatenate, gather_rows, gather_rows_grad};
use super::linalg::{matmul, slice};
use super::norm::{layer_norm, layer_norm_grad};
use super::softmax::{log_softmax, log_softmax_grad, softmax, softmax_grad};

/// How a value was computed from values before it.
enum Step {
    Leaf,
    /// A matrix product.
    Product(usize, usize),
    /// The sum of values that broadcast.
    Sum(Vec<usize>),
    /// The product of values that broadcast, element by element.
    Times(Vec<usize>),
    /// A factor.
    Scale(f64, usize),
    /// A function of each element, with its parameters.
    Unary(&'static str, Vec<f64>, usize),
    /// The softmax of each row, or its logarithm.
    Softmax {
        log: bool,
        x: usize,
    },
    /// Each row with mean 0 and variance 1; an epsilon.
    Normalize(f64, usize),
    /// Rows side by side.
    Concatenate(Vec<usize>),
    /// The rows of a table that ids name; so many ids for each row of the result.
    Rows {
        table: usize,
        ids: Vec<usize>,
    },
}

/// Values with what they were computed from.
#[derive(Default)]
pub struct Tape {
    steps: Vec<Step>,
    shapes: Vec<[usize; 2]>,
    values: Vec<Vec<f64>>,
    /// The smallest distance of an argument to a joint of its function, 0 itself not counted: how far the values may be
    /// off before a derivative jumps.
    pub margin: Option<f64>,
}

impl Tape {
    fn write(&mut self, step: Step, shape: [usize; 2], value: Vec<f64>) -> usize {
        assert_eq!(value.len(), shape[0] * shape[1], "{} elements as {shape:?}", value.len());
        self.steps.push(step);
        self.shapes.push(shape);
        self.values.push(value);
        self.values.len() - 1
    }

    /// The elements of a value.
    pub fn value(&self, i: usize) -> &[f64] {
        &self.values[i]
    }

    /// Rows and columns of a value.
    pub fn shape(&self, i: usize) -> [usize; 2] {
        self.shapes[i]
    }

    /// A value that is given.
    pub fn leaf(&mut self, shape: [usize; 2], value: Vec<f64>) -> usize {
        self.write(Step::Leaf, shape, value)
    }

    /// `a b`.
    pub fn product(&mut self, a: usize, b: usize) -> usize {
        let ([m, k], [_, n]) = (self.shapes[a], self.shapes[b]);
        let c = matmul(&self.values[a], &self.values[b], 1, m, n, k, false, false);
        self.write(Step::Product(a, b), [m, n], c)
    }

    /// The common shape of values that broadcast.
    fn common(&self, parts: &[usize]) -> [usize; 2] {
        let extent = |axis: usize| parts.iter().map(|&p| self.shapes[p][axis]).max();
        [extent(0).expect("a part"), extent(1).expect("a part")]
    }

    fn spread(&self, i: usize, to: [usize; 2]) -> Vec<f64> {
        broadcast_to(&self.values[i], &self.shapes[i], &to)
    }

    /// The sum of values that broadcast.
    pub fn sum(&mut self, parts: &[usize]) -> usize {
        let to = self.common(parts);
        let mut total = vec![0.0; to[0] * to[1]];
        for &part in parts {
            total.iter_mut().zip(self.spread(part, to)).for_each(|(t, x)| *t += x);
        }
        self.write(Step::Sum(parts.to_vec()), to, total)
    }

    /// The product of values that broadcast.
    pub fn times(&mut self, parts: &[usize]) -> usize {
        let to = self.common(parts);
        let total = self.product_of(parts.iter().copied(), to);
        self.write(Step::Times(parts.to_vec()), to, total)
    }

    fn product_of(&self, parts: impl Iterator<Item = usize>, to: [usize; 2]) -> Vec<f64> {
        let mut total = vec![1.0; to[0] * to[1]];
        for part in parts {
            total.iter_mut().zip(self.spread(part, to)).for_each(|(t, x)| *t *= x);
        }
        total
    }

    /// `factor x`.
    pub fn scale(&mut self, factor: f64, x: usize) -> usize {
        let value = self.values[x].iter().map(|x| factor * x).collect();
        self.write(Step::Scale(factor, x), self.shapes[x], value)
    }

    /// The function `name` of each element.
    pub fn unary(&mut self, name: &'static str, params: &[f64], x: usize) -> usize {
        for joint in joints(name, params) {
            self.keep_from(x, joint);
        }
        let value = self.values[x].iter().map(|&x| unary(name, params, x)).collect();
        self.write(Step::Unary(name, params.to_vec(), x), self.shapes[x], value)
    }

    /// Counts the distance of each element from `joint`.
    fn keep_from(&mut self, x: usize, joint: f64) {
        let distances = self.values[x].iter().map(|x| (x - joint).abs()).filter(|d| *d > 0.0);
        self.margin = distances.chain(self.margin).reduce(f64::min);
    }

    /// The softmax of each row, or its logarithm.
    pub fn softmax(&mut self, log: bool, x: usize) -> usize {
        let [_, cols] = self.shapes[x];
        let value = match log {
            true => log_softmax(&self.values[x], cols),
            false => softmax(&self.values[x], cols),
        };
        self.write(Step::Softmax { log, x }, self.shapes[x], value)
    }

    /// Each row with mean 0 and variance 1.
    pub fn normalize(&mut self, epsilon: f64, x: usize) -> usize {
        let value = layer_norm(&self.values[x], self.shapes[x][1], None, None, epsilon);
        self.write(Step::Normalize(epsilon, x), self.shapes[x], value)
    }

    /// Rows side by side.
    pub fn concatenate(&mut self, parts: &[usize]) -> usize {
        let values: Vec<&[f64]> = parts.iter().map(|&p| &*self.values[p]).collect();
        let shapes: Vec<&[usize]> = parts.iter().map(|&p| &self.shapes[p][..]).collect();
        let joined = concatenate(&values, &shapes, 1);
        let cols = shapes.iter().map(|s| s[1]).sum();
        self.write(Step::Concatenate(parts.to_vec()), [shapes[0][0], cols], joined)
    }

    /// In `rows` rows, side by side, the rows of `table` that `ids` name.
    pub fn rows(&mut self, table: usize, ids: &[usize], rows: usize) -> usize {
        let [_, cols] = self.shapes[table];
        let value = gather_rows(&self.values[table], cols, ids);
        let shape = [rows, value.len() / rows];
        self.write(Step::Rows { table, ids: ids.to_vec() }, shape, value)
    }

    /// The gradient of every value, from those of some: for each value the sum over all paths.
    pub fn gradients(&self, seeds: &[(usize, Vec<f64>)]) -> Vec<Vec<f64>> {
        let mut all: Vec<Vec<f64>> = self.values.iter().map(|v| vec![0.0; v.len()]).collect();
        for (i, seed) in seeds {
            add(&mut all[*i], seed);
        }
        for i in (0..self.steps.len()).rev() {
            let upstream = all[i].clone();
            for (operand, share) in self.shares(i, &upstream) {
                add(&mut all[operand], &share);
            }
        }
        all
    }

    /// What step `i` adds to the gradients of its operands.
    fn shares(&self, i: usize, up: &[f64]) -> Vec<(usize, Vec<f64>)> {
        let to = self.shapes[i];
        let back = |part: usize, g: Vec<f64>| (part, broadcast_grad(&g, &self.shapes[part], &to));
        match &self.steps[i] {
            Step::Leaf => vec![],
            &Step::Product(a, b) => {
                let ([m, k], [_, n]) = (self.shapes[a], self.shapes[b]);
                let left = matmul(up, &self.values[b], 1, m, k, n, false, true);
                vec![(a, left), (b, matmul(&self.values[a], up, 1, k, n, m, true, false))]
            }
            Step::Sum(parts) => parts.iter().map(|&part| back(part, up.to_vec())).collect(),
            Step::Times(parts) => {
                let share = |(at, &part): (usize, &usize)| {
                    let others = parts.iter().enumerate().filter(|(j, _)| *j != at);
                    let others = self.product_of(others.map(|(_, &p)| p), to);
                    back(part, others.iter().zip(up).map(|(o, g)| o * g).collect())
                };
                parts.iter().enumerate().map(share).collect()
            }
            &Step::Scale(factor, x) => vec![(x, up.iter().map(|g| factor * g).collect())],
            Step::Unary(name, params, x) => {
                let slopes = self.values[*x].iter().map(|&x| unary_derivative(name, params, x));
                vec![(*x, slopes.zip(up).map(|(s, g)| s * g).collect())]
            }
            &Step::Softmax { log, x } => {
                let gradient = if log { log_softmax_grad } else { softmax_grad };
                vec![(x, gradient(&self.values[x], up, to[1]))]
            }
            &Step::Normalize(epsilon, x) => {
                vec![(x, layer_norm_grad(&self.values[x], up, to[1], epsilon))]
            }
            Step::Concatenate(parts) => {
                let mut start = 0;
                let share = |&part: &usize| {
                    let range = start..start + self.shapes[part][1];
                    start = range.end;
                    (part, slice(up, &to, 1, range))
                };
                parts.iter().map(share).collect()
            }
            Step::Rows { table, ids } => {
                let [rows, cols] = self.shapes[*table];
                vec![(*table, gather_rows_grad(up, cols, ids, rows))]
            }
        }
    }
}

fn add(total: &mut [f64], share: &[f64]) {
    assert_eq!(total.len(), share.len(), "a gradient of another length");
    total.iter_mut().zip(share).for_each(|(t, s)| *t += s);
}
