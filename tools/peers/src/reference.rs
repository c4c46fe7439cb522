//! The training that peers are compared on, again in plain f64, and the proof that its seed is a fair one.
//!
//! If a hidden sum is at a ReLU's kink, a difference in its last bit turns a gradient on or off. Adam, whose
//! first steps are as long for a small gradient as for a large one, makes a large difference of that. Such a run
//! would compare roundings. So the reference runs with its weights moved by more than f32 rounds, and with epsilon in
//! its other usual place, and the loss must stay where it is.

use crate::data::{Random, Samples};
use crate::models::{CLASSES, Model};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// How far the moved runs' loss may be from the reference: a hundredth of what peers are allowed.
const STILL: f64 = 1e-5;
/// The same for a network of other layers than dense ones, a tenth of what peers are allowed: such a network decides at a million kinks
/// in each step, and of seven seeds of C the fairest moved by more than [`STILL`].
const STILL_IMAGES: f64 = 1e-4;

/// What f64 says about a model's file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// The loss of the first step.
    pub loss_first: f64,
    /// The loss of the last.
    pub loss: f64,
    /// The most that a moved run's last loss differs.
    pub moved: f64,
}

impl Reference {
    /// Fails for a seed with a kink at which runs differ.
    pub fn ensure_free_of_kinks(&self, model: &Model) -> Result<()> {
        let still = if model.is_dense() { STILL } else { STILL_IMAGES };
        ensure!(
            self.moved <= still,
            "model {}: seed {} is no fair one: moving the weights by a rounding moves the loss by {:e}",
            model.name,
            model.seed,
            self.moved
        );
        Ok(())
    }
}

/// How far a moved run's weights start from the file's, relative to each: some ten roundings of f32, because sums in
/// another order differ by more than one.
const MOVE: f64 = 1e-6;

/// Adam's epsilon, for all peers: so small that it does not matter on which side of the bias correction a library adds
/// it. With the usual 1e-8 the two places differ by more than [`TOLERANCE`](crate::models::TOLERANCE), because some
/// gradients of these batches are not much larger.
const EPSILON: f64 = 1e-12;

/// The place at which Adam adds epsilon.
#[derive(Clone, Copy)]
enum Epsilon {
    /// To the root of the corrected second moment, as the paper has it.
    Corrected,
    /// To the root before its correction, as Keras has it.
    Raw,
}

/// Whether a run of this variant starts with value `i` higher, 1, or lower, -1; variant 0 moves none.
fn direction(variant: u64, i: usize) -> f64 {
    if variant == 0 {
        return 0.0;
    }
    let bits = Random::new(variant << 32 | i as u64).bits();
    if bits & 1 == 0 { 1.0 } else { -1.0 }
}

/// Trains a model of dense layers with ReLU between them in f64, as it is and moved.
pub fn run(model: &Model, samples: &Samples) -> Reference {
    let runs = [
        (0, Epsilon::Corrected),
        (1, Epsilon::Corrected),
        (2, Epsilon::Corrected),
        (3, Epsilon::Corrected),
        (4, Epsilon::Corrected),
        (5, Epsilon::Corrected),
        (6, Epsilon::Raw),
    ];
    let losses = std::thread::scope(|scope| {
        let runs = runs
            .map(|(variant, epsilon)| scope.spawn(move || train(model, samples, variant, epsilon)));
        runs.map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let moved = losses[1..].iter().map(|l| (l.1 - losses[0].1).abs()).fold(0.0, f64::max);
    Reference { loss_first: losses[0].0, loss: losses[0].1, moved }
}

/// A parameter with Adam's moments.
struct Parameter {
    /// The values.
    values: Vec<f64>,
    /// The mean gradient.
    m: Vec<f64>,
    /// The mean square.
    v: Vec<f64>,
}

impl Parameter {
    /// Starts from a file's values, moved as this variant of the run has it.
    fn new(values: &[f32], variant: u64) -> Parameter {
        let moved = |(i, v): (usize, &f32)| f64::from(*v) * (1.0 + MOVE * direction(variant, i));
        let values: Vec<f64> = values.iter().enumerate().map(moved).collect();
        Parameter { m: vec![0.0; values.len()], v: vec![0.0; values.len()], values }
    }

    /// Adam's step number `t`, counted from 1.
    fn update(&mut self, gradient: &[f64], t: i32, rate: f64, epsilon: Epsilon) {
        let (c1, c2) = (1.0 - 0.9f64.powi(t), 1.0 - 0.999f64.powi(t));
        for (i, g) in gradient.iter().enumerate() {
            self.m[i] = 0.9 * self.m[i] + 0.1 * g;
            self.v[i] = 0.999 * self.v[i] + 0.001 * g * g;
            let root = match epsilon {
                Epsilon::Corrected => (self.v[i] / c2).sqrt() + EPSILON,
                Epsilon::Raw => (self.v[i].sqrt() + EPSILON) / c2.sqrt(),
            };
            self.values[i] -= rate * (self.m[i] / c1) / root;
        }
    }
}

/// The first and the last loss of a run.
fn train(model: &Model, samples: &Samples, variant: u64, epsilon: Epsilon) -> (f64, f64) {
    let mut parameters: Vec<(Parameter, Parameter)> = samples
        .layers
        .iter()
        .map(|l| (Parameter::new(&l.weights, variant), Parameter::new(&l.biases, variant)))
        .collect();
    let (mut first, mut last) = (0.0, 0.0);
    let inputs = model.inputs();
    for step in 0..model.steps {
        let rows = step * model.batch..(step + 1) * model.batch;
        let images = &samples.images[rows.start * inputs..rows.end * inputs];
        let images: Vec<f64> = images.iter().map(|v| f64::from(*v)).collect();
        let (loss, gradients) = gradients(&parameters, images, &samples.labels[rows]);
        for ((weights, biases), (gw, gb)) in parameters.iter_mut().zip(&gradients) {
            weights.update(gw, step as i32 + 1, model.rate, epsilon);
            biases.update(gb, step as i32 + 1, model.rate, epsilon);
        }
        if step == 0 {
            first = loss;
        }
        last = loss;
    }
    (first, last)
}

/// The gradients of a layer's weights and biases.
type Gradient = (Vec<f64>, Vec<f64>);

/// The mean loss of a batch, and the gradients of each layer's weights and biases.
fn gradients(
    parameters: &[(Parameter, Parameter)],
    images: Vec<f64>,
    labels: &[i32],
) -> (f64, Vec<Gradient>) {
    let rows = labels.len();
    // Each layer's input; the last is the logits.
    let mut values = vec![images];
    for (i, (weights, biases)) in parameters.iter().enumerate() {
        let outputs = biases.values.len();
        let mut y: Vec<f64> = biases.values.iter().copied().cycle().take(rows * outputs).collect();
        add_product(&values[i], &weights.values, outputs, &mut y);
        if i + 1 < parameters.len() {
            y.iter_mut().for_each(|v| *v = v.max(0.0));
        }
        values.push(y);
    }

    let mut delta = values.pop().unwrap_or_default();
    let mut loss = 0.0;
    for (row, label) in delta.chunks_mut(CLASSES).zip(labels) {
        let most = row.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = row.iter().map(|v| (v - most).exp()).sum();
        loss += (sum.ln() - (row[*label as usize] - most)) / rows as f64;
        row.iter_mut().for_each(|v| *v = (*v - most).exp() / sum / rows as f64);
        row[*label as usize] -= 1.0 / rows as f64;
    }

    let mut gradients = Vec::new();
    for ((weights, biases), x) in parameters.iter().zip(&values).rev() {
        let (inputs, outputs) = (x.len() / rows, biases.values.len());
        let mut gw = vec![0.0; inputs * outputs];
        let mut gb = vec![0.0; outputs];
        for (x, d) in x.chunks(inputs).zip(delta.chunks(outputs)) {
            add_product(x, d, outputs, &mut gw);
            gb.iter_mut().zip(d).for_each(|(g, d)| *g += d);
        }
        let mut below = vec![0.0; x.len()];
        add_product(&delta, &transpose(&weights.values, outputs), inputs, &mut below);
        below.iter_mut().zip(x).for_each(|(b, x)| *b = if *x > 0.0 { *b } else { 0.0 });
        delta = below;
        gradients.push((gw, gb));
    }
    gradients.reverse();
    (loss, gradients)
}

/// y += a b, with `columns` columns of b and y.
fn add_product(a: &[f64], b: &[f64], columns: usize, y: &mut [f64]) {
    let inner = b.len() / columns;
    for (a, y) in a.chunks(inner).zip(y.chunks_mut(columns)) {
        for (a, b) in a.iter().zip(b.chunks(columns)).filter(|(a, _)| **a != 0.0) {
            y.iter_mut().zip(b).for_each(|(y, b)| *y += a * b);
        }
    }
}

/// The transpose of a matrix with `columns` columns.
fn transpose(a: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|c| a.iter().skip(c).step_by(columns).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{samples, tests::TINY};
    use crate::models::MODELS;

    #[test]
    fn gradients_are_those_of_differences() {
        let samples = samples(&TINY);
        let start = || -> Vec<(Parameter, Parameter)> {
            let layers = samples.layers.iter();
            layers.map(|l| (Parameter::new(&l.weights, 0), Parameter::new(&l.biases, 0))).collect()
        };
        let images: Vec<f64> =
            samples.images[..TINY.batch * TINY.inputs()].iter().map(|v| f64::from(*v)).collect();
        let labels = &samples.labels[..TINY.batch];
        let (_, exact) = gradients(&start(), images.clone(), labels);
        for layer in 0..3 {
            for (weight, exact) in [(true, &exact[layer].0), (false, &exact[layer].1)] {
                let i = (0..exact.len()).find(|i| exact[*i].abs() > 1e-3).unwrap();
                let moved = |by: f64| {
                    let mut parameters = start();
                    let (weights, biases) = &mut parameters[layer];
                    if weight {
                        weights.values[i] += by
                    } else {
                        biases.values[i] += by
                    }
                    gradients(&parameters, images.clone(), labels).0
                };
                let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((difference - exact[i]).abs() < 1e-7, "{layer} {difference} {}", exact[i]);
            }
        }
    }

    #[test]
    fn the_small_models_seed_is_free_of_kinks() {
        let reference = run(&MODELS[0], &samples(&MODELS[0]));
        reference.ensure_free_of_kinks(&MODELS[0]).unwrap();
        assert!(reference.loss > 0.05 && reference.loss < reference.loss_first, "{reference:?}");
    }

    #[test]
    fn recorded_references_are_those_of_fair_seeds() {
        for model in MODELS {
            // Small dense models train in f64 on each machine; those that are neither are too large for f64.
            let recorded = model.large == model.is_dense();
            assert_eq!(model.recorded.is_some(), recorded, "{}", model.name);
            let Some(reference) = model.recorded else { continue };
            reference.ensure_free_of_kinks(&model).unwrap();
            // The first loss is near that of equal chances, the last far from both it and nothing.
            let chance = (model.classes() as f64).ln();
            // Batch normalization makes the first logits large: V starts further from them.
            let near = if model.name == "V" { chance } else { 0.5 };
            assert!((reference.loss_first - chance).abs() < near, "{reference:?}");
            assert!(reference.loss > 0.05 && reference.loss < chance / 2.0, "{reference:?}");
        }
    }

    #[test]
    fn a_seed_that_is_not_is_refused() {
        let reference = Reference { loss_first: 2.3, loss: 0.5, moved: 2e-4 };
        assert!(reference.ensure_free_of_kinks(&MODELS[0]).is_err());
        assert!(reference.ensure_free_of_kinks(&MODELS[3]).is_err());
        let half = Reference { moved: 5e-5, ..reference };
        assert!(half.ensure_free_of_kinks(&MODELS[0]).is_err());
        half.ensure_free_of_kinks(&MODELS[3]).unwrap();
    }

    /// Names fair seeds: `cargo test -p xtask --release seeds -- --ignored --nocapture`.
    #[test]
    #[ignore = "a search, run when a model changes"]
    fn seeds() {
        for model in MODELS.iter().filter(|m| m.recorded.is_none() && m.is_dense()) {
            for seed in 0..12 {
                let model = Model { seed, ..*model };
                println!("{} {seed} {:?}", model.name, run(&model, &samples(&model)));
            }
        }
    }
}
