//! A compiled model that trains.

use super::place::FitState;
use crate::error::Result;
use crate::gpu::Device;
use crate::graph::Graph;
use crate::layers::{Model, Sequential};
use crate::optim::{GradientTransform, Optimizer};
use crate::plan::Plan;
use crate::session::{Compiled, Scaling};
use crate::step::{ArenaLayout, Batch, Compile, OutputSpec};

/// A model on a device, ready to train.
///
/// ```no_run
/// use wgrad::prelude::*;
///
/// let x = Tensor::f32([4, 2], [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?;
/// let data = TensorDataset::new(x.clone(), Tensor::f32([4, 1], [0.0, 1.0, 1.0, 0.0])?)?;
/// let model = Sequential::new([2])
///     .add(Dense::new(8).activation(Activation::Tanh))
///     .add(Dense::new(1));
/// let loss = Loss::BinaryCrossentropy { from_logits: true };
/// let mut trainer = model.compile(&Device::new()?, Compile::new(Adam::new(0.05), loss))?;
///
/// let history = trainer.fit(&data, Fit::new().epochs(100).full_batch())?;
/// println!("{:?}", history.get("loss").last());
/// println!("{}", trainer.evaluate(&data)?.loss);
/// println!("{:?}", trainer.predict(&x)?.as_f32()?);
/// for (name, tensor) in trainer.weights()? {
///     println!("{name} {}", tensor.shape());
/// }
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    pub(super) core: Compiled,
    /// Epochs trained so far: the shuffle's counter.
    pub(super) epochs: u64,
    /// Where the last `fit` ended, or the place of the one that a checkpoint holds.
    pub(super) fit_state: Option<FitState>,
    /// Whether the next `fit` goes on from there.
    pub(super) resume: bool,
}

impl Sequential {
    /// Puts the model on a device, with initial parameters; see [`Model::compile`].
    ///
    /// # Errors
    /// As [`Model::new`] and [`Model::compile`].
    pub fn compile(&self, device: &Device, compile: Compile) -> Result<Trainer> {
        Trainer::new(device, self.build()?, compile)
    }
}

impl Model {
    /// Puts the model on a device, with initial parameters.
    ///
    /// # Errors
    /// Settings outside their domain and shapes that do not fit, naming layer and op; a loss that the last activation
    /// does not suit, as one of logits after a softmax; [`Error::Limit`](crate::Error::Limit) for a tensor that the device cannot bind.
    pub fn compile(&self, device: &Device, compile: Compile) -> Result<Trainer> {
        Trainer::new(device, self.clone(), compile)
    }
}

impl Trainer {
    fn new(device: &Device, model: Model, compile: Compile) -> Result<Self> {
        let core = Compiled::new(device, model, compile)?;
        Ok(Self { core, epochs: 0, fit_state: None, resume: false })
    }

    /// What `compile` found odd about the model's outputs, but may be meant. It is in the crate `log` too, and is the
    /// first line that `fit` shows.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.core.warnings
    }

    /// The network.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.core.model
    }

    /// The places of the parameters.
    #[must_use]
    pub const fn layout(&self) -> &ArenaLayout {
        &self.core.layout
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.core.device
    }

    /// Steps trained so far.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.core.steps
    }

    /// The graph of a step over `batch`, before any pass.
    ///
    /// # Errors
    /// As [`step_graph`](super::step_graph).
    pub fn graph(&self, batch: &Batch, train: bool) -> Result<Graph> {
        self.core.graph(batch, train)
    }

    /// The plan of a step over `batch`.
    ///
    /// # Errors
    /// As [`step_graph`](super::step_graph) and [`Plan::compile`].
    pub fn plan(&self, batch: &Batch, train: bool) -> Result<Plan> {
        self.core.plan(batch, train)
    }

    /// The learning rate of the next step: the one set by hand, or its schedule's.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        self.core.learning_rate()
    }

    /// Sets the learning rate of all coming steps, in place of the optimizer's.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for a rate that is negative or not finite.
    pub fn set_learning_rate(&mut self, rate: f32) -> Result<()> {
        self.core.set_learning_rate(rate)
    }

    pub(crate) const fn seed(&self) -> u64 {
        self.core.seed()
    }

    /// What each output is trained towards.
    pub(crate) fn outputs(&self) -> &[OutputSpec] {
        &self.core.outputs
    }

    pub(crate) fn optimizer(&self) -> &dyn Optimizer {
        self.core.optimizer()
    }

    pub(crate) const fn gradients(&self) -> &GradientTransform {
        self.core.gradients()
    }

    /// How the samples came that the model was trained on, if that is known.
    pub(crate) const fn scaling(&self) -> Option<&Scaling> {
        self.core.scaling.as_ref()
    }

    /// Takes over the information how the samples came that weights from a file were trained on.
    pub(crate) fn set_scaling(&mut self, scaling: Scaling) {
        self.core.scaling = Some(scaling);
    }
}
