//! What a model is compiled with.

use crate::error::{Error, Result};
use crate::layers::Model;
use crate::losses::Loss;
use crate::metrics::Metric;
use crate::optim::{Clip, GradientTransform, Optimizer};
use crate::passes::Passes;
use crate::tensor::Shape;

/// What one output of a model is trained towards.
#[derive(Debug, Clone)]
pub struct OutputSpec {
    /// The output's name.
    pub name: String,
    /// The shape of one sample.
    pub shape: Shape,
    /// Its loss.
    pub loss: Loss,
    /// The factor of its loss in the sum that training lowers.
    pub weight: f32,
    /// Its metrics.
    pub metrics: Vec<Metric>,
    /// Numbers of a sample's mask, if the output has one: a number for each position, which is all axes but the last,
    /// or for each element if the mask is over the last axis too.
    pub mask: Option<usize>,
}

/// What a model is compiled with, as in Keras' `compile`.
///
/// ```
/// use wgrad::prelude::*;
///
/// let rate = CosineDecay::new(0.001, 10_000);
/// let compile = Compile::new(Adam::new(rate), Loss::CategoricalCrossentropy { from_logits: true })
///     .metrics([Metric::Accuracy, Metric::precision(ClassAverage::Macro)])
///     .clip(Clip::GlobalNorm(1.0))
///     .seed(7);
/// ```
#[derive(Debug)]
pub struct Compile {
    pub(crate) optimizer: Box<dyn Optimizer>,
    loss: Loss,
    metrics: Vec<Metric>,
    losses: Vec<(String, Loss, f32)>,
    output_metrics: Vec<(String, Vec<Metric>)>,
    pub(crate) gradients: GradientTransform,
    pub(crate) seed: u64,
    pub(crate) evaluation_batch: usize,
    pub(crate) passes: Passes,
}

impl Compile {
    /// With this optimizer and loss, no metrics, seed 0. If there are several outputs, each has this loss, unless
    /// [`Compile::output_loss`] gives it another.
    #[must_use]
    pub fn new(optimizer: impl Optimizer + 'static, loss: impl Into<Loss>) -> Self {
        Self {
            optimizer: Box::new(optimizer),
            loss: loss.into(),
            metrics: Vec::new(),
            losses: Vec::new(),
            output_metrics: Vec::new(),
            gradients: GradientTransform::default(),
            seed: 0,
            evaluation_batch: 256,
            passes: Passes::default(),
        }
    }

    /// The metrics of every output, which every epoch reports.
    #[must_use]
    pub fn metrics(mut self, metrics: impl Into<Vec<Metric>>) -> Self {
        self.metrics = metrics.into();
        self
    }

    /// The loss of the output of this name, and its factor in the sum of losses.
    #[must_use]
    pub fn output_loss(mut self, output: &str, loss: impl Into<Loss>, weight: f32) -> Self {
        self.losses.push((output.into(), loss.into(), weight));
        self
    }

    /// The metrics of the output of this name, in place of those of every output.
    #[must_use]
    pub fn output_metrics(mut self, output: &str, metrics: impl Into<Vec<Metric>>) -> Self {
        self.output_metrics.push((output.into(), metrics.into()));
        self
    }

    /// Bounds the gradients; see [`Clip`].
    #[must_use]
    pub const fn clip(mut self, clip: Clip) -> Self {
        self.gradients.clip = Some(clip);
        self
    }

    /// Updates at every `steps`-th step, with the mean of the gradients since the last update; see
    /// [`GradientTransform`].
    #[must_use]
    pub const fn gradient_accumulation_steps(mut self, steps: u64) -> Self {
        self.gradients.accumulation_steps = steps;
        self
    }

    /// The seed of initial values, shuffling and dropout.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Samples per step of `evaluate`, `predict` and validation; 256 unless set.
    #[must_use]
    pub const fn evaluation_batch_size(mut self, size: usize) -> Self {
        self.evaluation_batch = size;
        self
    }

    /// Which graph passes run.
    #[must_use]
    pub const fn passes(mut self, passes: Passes) -> Self {
        self.passes = passes;
        self
    }

    /// What each output of `model` is trained towards. Its mask is known when the first step is built.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an output that the model does not have and for settings outside their domain;
    /// [`Error::Shape`] for labels if there is no class axis.
    pub(crate) fn outputs(&self, model: &Model) -> Result<Vec<OutputSpec>> {
        let names = model.output_names();
        let chosen = self.losses.iter().map(|(name, ..)| name);
        for name in chosen.chain(self.output_metrics.iter().map(|(name, _)| name)) {
            if !names.contains(name) {
                let detail = format!("the model's outputs are {}", names.join(", "));
                return Err(Error::parameter("output", name, detail));
            }
        }
        let mut outputs = Vec::new();
        for (name, shape) in names.into_iter().zip(model.output_shapes()) {
            let own = self.losses.iter().rev().find(|(n, ..)| *n == name);
            let (loss, weight) = own.map_or((self.loss, 1.0), |(_, loss, weight)| (*loss, *weight));
            loss.check()?;
            if !(weight.is_finite() && weight >= 0.0) {
                let detail = "the factor of a loss is a finite number, 0 or more";
                return Err(Error::parameter(format!("loss weight of {name}"), weight, detail));
            }
            if loss.takes_labels() && shape.rank() == 0 {
                let detail = "integer labels need predictions with a class axis";
                return Err(Error::shape(loss.name(), &[&shape], detail));
            }
            let own = self.output_metrics.iter().rev().find(|(n, _)| *n == name);
            let metrics = own.map_or(&self.metrics, |(_, metrics)| metrics).clone();
            outputs.push(OutputSpec { name, shape, loss, weight, metrics, mask: None });
        }
        Ok(outputs)
    }
}
