//! The results of two training steps on a drawn model, in f64.

use super::draw::{Drawn, Merge, Node, Output, Rule};
use crate::reference::compare::widen;
use crate::reference::gradient::{STEP, numeric_gradient};
use crate::reference::losses::{self, batch_mean};
use crate::reference::optim::{self, clip_by_global_norm};
use crate::reference::tape::Tape;
use wgrad::prelude::*;

/// The learning rate of every rule.
pub const RATE: f32 = 0.125;
/// The epsilon of Adam: large, so that roundings of a tiny gradient do not decide its direction.
pub const ADAM_EPSILON: f32 = 0.0078125;
/// The epsilon of a normalization: large, so that rows of nearly equal numbers stay so.
pub const EPSILON: f32 = 0.125;
/// The momentum of Nesterov's rule.
pub const MOMENTUM: f32 = 0.5;
/// The distance that arguments keep from joints: far more than f32 is off.
const MARGIN: f64 = 2e-4;
/// The largest value and gradient: beyond, roundings of f32 grow past the tolerance.
const LARGEST: f64 = 20.0;

/// The weights of each layer.
pub type Weights = Vec<Vec<Vec<f64>>>;

/// What training gives.
pub struct Trained {
    /// The loss before each step.
    pub losses: Vec<f64>,
    pub weights: Weights,
    /// Whether it can be tested in f32: no argument near a joint, nothing large.
    pub fit_for_test: bool,
}

/// A forward pass.
struct Run {
    tape: Tape,
    /// The leaves of each layer's weights.
    weights: Vec<Vec<usize>>,
    /// The value of each tensor; ids have none.
    tensors: Vec<Option<usize>>,
}

fn apply(tape: &mut Tape, f: Activation, x: usize) -> usize {
    match f {
        Activation::Linear => x,
        Activation::Softmax => tape.softmax(false, x),
        Activation::LogSoftmax => tape.softmax(true, x),
        Activation::LeakyRelu { negative_slope } => {
            tape.unary(f.name(), &[negative_slope.into()], x)
        }
        Activation::Elu { alpha } => tape.unary(f.name(), &[alpha.into()], x),
        Activation::ClippedLinear { low, high } => {
            tape.unary(f.name(), &[low.into(), high.into()], x)
        }
        _ => tape.unary(f.name(), &[], x),
    }
}

fn forward(model: &Drawn, weights: &Weights) -> Run {
    let mut tape = Tape::default();
    let features = model.features();
    let leaves: Vec<Vec<usize>> = model
        .layers
        .iter()
        .zip(weights)
        .map(|(layer, own)| {
            let shape = |i: usize| if i == 0 { layer.kernel } else { [1, layer.kernel[1]] };
            own.iter().enumerate().map(|(i, w)| tape.leaf(shape(i), w.clone())).collect()
        })
        .collect();
    let mut tensors: Vec<Option<usize>> = Vec::new();
    for (input, x) in model.inputs.iter().zip(&features) {
        let shape = [model.samples, input.width];
        tensors.push((!input.ids).then(|| tape.leaf(shape, widen(x))));
    }
    for node in &model.nodes {
        let at = |x: &usize| tensors[*x].expect("ids are embedded");
        let value = match node {
            Node::Layer(layer, x) if model.layers[*layer].table => {
                let ids: Vec<usize> = features[*x].iter().map(|&id| id as usize).collect();
                tape.rows(leaves[*layer][0], &ids, model.samples)
            }
            Node::Layer(layer, x) => {
                let mut y = tape.product(at(x), leaves[*layer][0]);
                if let Some(&bias) = leaves[*layer].get(1) {
                    y = tape.sum(&[y, bias]);
                }
                apply(&mut tape, model.layers[*layer].activation, y)
            }
            Node::Activation(f, x) => apply(&mut tape, *f, at(x)),
            Node::Normalize(x) => tape.normalize(EPSILON.into(), at(x)),
            Node::Merge(kind, parts) => {
                let parts: Vec<usize> = parts.iter().map(at).collect();
                match kind {
                    Merge::Add => tape.sum(&parts),
                    Merge::Average => {
                        let sum = tape.sum(&parts);
                        tape.scale(1.0 / parts.len() as f64, sum)
                    }
                    Merge::Multiply => tape.times(&parts),
                    Merge::Concatenate => tape.concatenate(&parts),
                }
            }
        };
        tensors.push(Some(value));
    }
    Run { tape, weights: leaves, tensors }
}

/// The weighted loss of an output, a mean over the batch.
fn loss(output: &Output, y: &[f64], p: &[f64], cols: usize) -> f64 {
    let labels = || y.iter().map(|&y| y as usize).collect::<Vec<_>>();
    let each = match output.loss {
        Loss::MeanSquaredError => losses::mse(y, p, cols),
        Loss::MeanAbsoluteError => losses::mae(y, p, cols),
        Loss::Huber { delta } => losses::huber(y, p, cols, delta.into()),
        Loss::BinaryCrossentropy { from_logits: true } => {
            losses::binary_crossentropy_logits(y, p, cols)
        }
        Loss::BinaryCrossentropy { .. } => losses::binary_crossentropy(y, p, cols),
        Loss::CategoricalCrossentropy { from_logits: true } => {
            losses::categorical_crossentropy_logits(y, p, cols)
        }
        Loss::CategoricalCrossentropy { .. } => losses::categorical_crossentropy(y, p, cols),
        Loss::SparseCategoricalCrossentropy { from_logits: true } => {
            losses::sparse_categorical_crossentropy_logits(&labels(), p, cols)
        }
        Loss::SparseCategoricalCrossentropy { .. } => {
            losses::sparse_categorical_crossentropy(&labels(), p, cols)
        }
        _ => panic!("the oracle has no formula for {:?}", output.loss),
    };
    f64::from(output.weight) * batch_mean(&each)
}

/// How far the predictions are from the loss's joints.
fn loss_margin(output: &Output, y: &[f64], p: &[f64]) -> f64 {
    let distance = |(y, p): (&f64, &f64)| match output.loss {
        Loss::MeanAbsoluteError => (y - p).abs(),
        // Probabilities are clipped near 0 and 1, and their logarithms are steep long before.
        Loss::BinaryCrossentropy { from_logits: false }
        | Loss::CategoricalCrossentropy { from_logits: false } => 0.05 * p.min(1.0 - p),
        _ => f64::INFINITY,
    };
    let sparse = matches!(output.loss, Loss::SparseCategoricalCrossentropy { from_logits: false });
    let steep = p.iter().filter(|_| sparse).map(|p| 0.05 * p.min(1.0 - p));
    y.iter().zip(p).map(distance).chain(steep).fold(f64::INFINITY, f64::min)
}

/// The predictions of each output.
pub fn predict(model: &Drawn, weights: &Weights) -> Vec<Vec<f64>> {
    let run = forward(model, weights);
    let value = |o: &Output| run.tape.value(run.tensors[o.tensor].expect("numbers")).to_vec();
    model.outputs.iter().map(value).collect()
}

/// Trains for `steps` steps over all samples. `tamper` may change the gradients before the rule sees them.
pub fn train(model: &Drawn, steps: u64, mut tamper: impl FnMut(&mut Weights)) -> Trained {
    let mut weights: Weights =
        model.weights().iter().map(|own| own.iter().map(|w| widen(w)).collect()).collect();
    let zeros = |w: &Weights| -> Weights {
        w.iter().map(|own| own.iter().map(|w| vec![0.0; w.len()]).collect()).collect()
    };
    let (mut first, mut second) = (zeros(&weights), zeros(&weights));
    let uses = model.uses();
    let trained: Vec<usize> =
        (0..model.layers.len()).filter(|&l| uses[l] > 0 && !model.layers[l].frozen).collect();
    let targets: Vec<Vec<f64>> = model.targets().iter().map(|y| widen(y)).collect();
    let (mut losses, mut fit_for_test) = (Vec::new(), true);
    for step in 0..steps {
        let run = forward(model, &weights);
        let mut seeds = Vec::new();
        let mut total = 0.0;
        for (output, y) in model.outputs.iter().zip(&targets) {
            let value = run.tensors[output.tensor].expect("an output has numbers");
            let (p, cols) = (run.tape.value(value), run.tape.shape(value)[1]);
            total += loss(output, y, p, cols);
            seeds.push((value, numeric_gradient(|p| loss(output, y, p, cols), p, STEP)));
            fit_for_test &= loss_margin(output, y, p) > MARGIN;
        }
        let all = run.tape.gradients(&seeds);
        let mut gradients: Weights = run
            .weights
            .iter()
            .map(|own| own.iter().map(|&leaf| all[leaf].clone()).collect())
            .collect();
        fit_for_test &= run.tape.margin.is_none_or(|m| m > MARGIN);
        let small = |v: &[f64]| v.iter().all(|x| x.abs() < LARGEST);
        fit_for_test &= run.tensors.iter().flatten().all(|&t| small(run.tape.value(t)));
        fit_for_test &= gradients.iter().flatten().all(|g| small(g));
        for &l in &trained {
            let l2 = f64::from(model.layers[l].l2);
            total += optim::l1_l2(&weights[l][0], 0.0, l2);
            let penalty = optim::l1_l2_grad(&weights[l][0], 0.0, l2);
            gradients[l][0].iter_mut().zip(penalty).for_each(|(g, p)| *g += p);
        }
        losses.push(total);
        tamper(&mut gradients);
        if let Some(Clip::GlobalNorm(bound)) = model.clip {
            let flat: Vec<Vec<f64>> = trained.iter().flat_map(|&l| gradients[l].clone()).collect();
            let mut clipped = clip_by_global_norm(&flat, bound.into()).into_iter();
            for &l in &trained {
                gradients[l].iter_mut().for_each(|g| *g = clipped.next().expect("as many"));
            }
        }
        for &l in &trained {
            for i in 0..weights[l].len() {
                let (p, g) = (&mut weights[l][i], &gradients[l][i]);
                let lr = f64::from(RATE);
                let sgd = |momentum, nesterov| optim::Sgd { lr, momentum, nesterov, decay: 0.0 };
                match model.rule {
                    Rule::Sgd => optim::sgd(&sgd(0.0, false), step, p, g, &mut first[l][i]),
                    Rule::Nesterov => {
                        optim::sgd(&sgd(MOMENTUM.into(), true), step, p, g, &mut first[l][i]);
                    }
                    Rule::Adam => {
                        let rule =
                            optim::Adam { lr, epsilon: ADAM_EPSILON.into(), ..Default::default() };
                        optim::adam(&rule, step, p, g, &mut first[l][i], &mut second[l][i]);
                    }
                }
            }
        }
    }
    Trained { losses, weights, fit_for_test }
}
