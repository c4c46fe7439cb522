//! Models on a device and steps over them, for a training loop of one's own.

mod builder;
mod run;

use builder::Built;
pub use builder::StepBuilder;

use super::memory::within;
use super::predictor::Predictor;
use crate::error::{Error, Result};
use crate::gpu::{Device, Executor, Store};
use crate::graph::TensorType;
use crate::layers::Model;
use crate::optim::{GradientTransform, Optimizer};
use crate::passes::Passes;
use crate::plan::{BufferClass, Plan};
use crate::step::ArenaLayout;
use crate::tensor::Tensor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A model of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelId(Id);

/// An optimizer of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OptimizerId(Id);

/// A step of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepId(Id);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Id {
    session: u64,
    index: usize,
}

/// Models on a device and the steps that train them: for what `fit` does not do, as several models that train in turn,
/// several optimizers, or reinforcement learning.
///
/// A step is a graph, built once: its models' outputs, its losses, and for each loss the optimizer that lowers it. All
/// steps share the weights on the device. A step's outputs stay readable until it runs again, so that each step has
/// separate memory for what it computes.
///
/// ```no_run
/// use wgrad::prelude::*;
///
/// # fn main() -> wgrad::Result<()> {
/// let device = Device::new()?;
/// let generator = Sequential::new([4]).add(Dense::new(2)).build()?;
/// let discriminator = Sequential::new([2]).add(Dense::new(1)).build()?;
///
/// let mut session = Session::new(&device, 0);
/// let g = session.add("generator", &generator)?;
/// let d = session.add("discriminator", &discriminator)?;
/// let (of_g, of_d) = (session.optimizer(Adam::new(1e-3), [g])?, session.optimizer(Adam::new(1e-3), [d])?);
/// let bce = Loss::BinaryCrossentropy { from_logits: true };
///
/// // The discriminator learns to tell real points (1) from the generator's (0).
/// let judge = session.step("judge", |s| {
///     let (real, noise) = (s.input("real", [32, 2], DType::F32), s.normal([32, 4])?);
///     let fake = s.apply(g, &[noise], true)?[0];
///     let (yes, no) = (s.apply(d, &[real], true)?[0], s.apply(d, &[fake], true)?[0]);
///     let (one, zero) = (s.filled([32, 1], 1.0)?, s.filled([32, 1], 0.0)?);
///     let (on_real, on_fake) = (s.loss(&bce, one, yes)?, s.loss(&bce, zero, no)?);
///     let loss = s.graph().add(on_real, on_fake)?;
///     s.output("loss", loss);
///     s.minimize(loss, of_d)
/// })?;
/// // The generator learns to be taken for real. The discriminator stays as it is.
/// let forge = session.step("forge", |s| {
///     let noise = s.normal([32, 4])?;
///     let fake = s.apply(g, &[noise], true)?[0];
///     let (one, judged) = (s.filled([32, 1], 1.0)?, s.apply(d, &[fake], true)?[0]);
///     let loss = s.loss(&bce, one, judged)?;
///     s.minimize(loss, of_g)
/// })?;
///
/// let real = Tensor::f32([32, 2], [0.5; 64])?;
/// for _ in 0..100 {
///     session.run(judge, &[("real", &real)])?;
///     session.run(forge, &[])?;
/// }
/// println!("{:?}", session.read(judge, "loss")?.as_f32()?);
/// let points = session.predictor(g)?.predict(&Tensor::f32([1, 4], [0.1; 4])?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Session {
    id: u64,
    device: Device,
    store: Store,
    seed: u64,
    models: Vec<Placed>,
    optimizers: Vec<Updating>,
    steps: Vec<Step>,
}

/// A model in its place.
#[derive(Debug)]
struct Placed {
    name: String,
    model: Model,
    layout: ArenaLayout,
}

impl Placed {
    /// The buffer of an arena.
    fn buffer(&self, arena: usize) -> String {
        format!("{}/{}", self.name, self.layout.arena_name(arena))
    }

    /// The arenas that training changes.
    fn trained(&self) -> impl Iterator<Item = usize> + '_ {
        let arenas = self.layout.arenas.iter().enumerate();
        arenas.filter(|(_, arena)| arena.trainable()).map(|(i, _)| i)
    }
}

/// An optimizer and what it updates.
#[derive(Debug)]
struct Updating {
    rule: Box<dyn Optimizer>,
    gradients: GradientTransform,
    models: Vec<usize>,
    /// The number of its first arena. Arenas of all optimizers are counted, so that each has states of other names.
    first: usize,
    learning_rate: Option<f32>,
}

/// A step that is ready to run.
#[derive(Debug)]
struct Step {
    name: String,
    executor: Executor,
    inputs: Vec<Input>,
    /// The optimizers that it updates with.
    optimizers: Vec<usize>,
}

/// An input of a step.
#[derive(Debug)]
struct Input {
    name: String,
    ty: TensorType,
    /// Whether a run gave it.
    given: bool,
}

/// The buffer of an input.
fn input_buffer(step: &str, input: &str) -> String {
    format!("input/{step}/{input}")
}

impl Session {
    /// A session without models. The seed is that of initial weights and dropout.
    #[must_use]
    pub fn new(device: &Device, seed: u64) -> Self {
        static SESSIONS: AtomicU64 = AtomicU64::new(0);
        let id = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let device = device.of_another_owner();
        let store = Store::new(&device);
        let (models, optimizers, steps) = (Vec::new(), Vec::new(), Vec::new());
        Self { id, device, store, seed, models, optimizers, steps }
    }

    /// Puts a model on the device, with initial weights, under a name that no other model of the session has.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a name that is taken, is empty or has a `/`; [`Error::Limit`] and [`Error::Gpu`] if the
    /// device has no room.
    pub fn add(&mut self, name: &str, model: &Model) -> Result<ModelId> {
        self.check_name("model", name, self.models.iter().any(|m| m.name == name))?;
        let layout = ArenaLayout::of(self.device.caps(), model)?;
        let placed = Placed { name: name.into(), model: model.clone(), layout };
        self.admit(name, placed.layout.arenas.iter().map(|arena| arena.len as u64 * 4).sum())?;
        for i in 0..placed.layout.arenas.len() {
            let values = placed.layout.initial(i, self.seed);
            self.store.upload_bytes(&placed.buffer(i), bytemuck::cast_slice(&values))?;
        }
        self.models.push(placed);
        Ok(ModelId(self.new_id(self.models.len())))
    }

    /// An optimizer of the weights of these models, except frozen ones.
    ///
    /// # Errors
    /// Settings outside their domain; [`Error::Parameter`] for no models, a model twice or of another session;
    /// [`Error::Limit`] and [`Error::Gpu`] if the device has no room.
    pub fn optimizer(
        &mut self,
        rule: impl Optimizer + 'static,
        models: impl IntoIterator<Item = ModelId>,
    ) -> Result<OptimizerId> {
        self.optimizer_with(rule, GradientTransform::default(), models)
    }

    /// As [`Session::optimizer`], with gradients that are clipped or averaged over steps.
    ///
    /// # Errors
    /// As [`Session::optimizer`].
    pub fn optimizer_with(
        &mut self,
        rule: impl Optimizer + 'static,
        gradients: GradientTransform,
        models: impl IntoIterator<Item = ModelId>,
    ) -> Result<OptimizerId> {
        rule.check()?;
        gradients.check()?;
        let mut own: Vec<usize> = Vec::new();
        for model in models {
            let i = self.model_index(model)?;
            if own.contains(&i) {
                let detail = "an optimizer updates each of its models once";
                return Err(Error::parameter("models", &self.models[i].name, detail));
            }
            own.push(i);
        }
        if own.is_empty() {
            return Err(Error::parameter("models", "[]", "an optimizer updates a model"));
        }
        let arenas = |models: &[usize]| -> Vec<usize> {
            let arenas = models.iter().flat_map(|&m| {
                let placed = &self.models[m];
                placed.trained().map(|a| placed.layout.arenas[a].len)
            });
            arenas.collect()
        };
        let first = self.optimizers.iter().map(|o| arenas(&o.models).len()).sum();
        let slots = gradients.slots(&rule);
        let lens = arenas(&own);
        let bytes = lens.iter().map(|&len| (len * slots.len()) as u64 * 4).sum();
        self.admit(&format!("the state of {}", rule.name()), bytes)?;
        for (arena, len) in (first..).zip(lens) {
            for slot in &slots {
                let values = vec![slot.initial; len];
                let name = format!("{}/{arena}", slot.name);
                self.store.upload_bytes(&name, bytemuck::cast_slice(&values))?;
            }
        }
        let (rule, learning_rate) = (Box::new(rule), None);
        self.optimizers.push(Updating { rule, gradients, models: own, first, learning_rate });
        Ok(OptimizerId(self.new_id(self.optimizers.len())))
    }

    /// Builds a step and compiles it. `build` names the step's inputs and outputs, applies models, and says which
    /// optimizer lowers which loss; see [`StepBuilder`].
    ///
    /// # Errors
    /// Those of `build`; [`Error::Parameter`] for a name that is taken, and for a graph that reads buffers or words that
    /// no session has; [`Error::Limit`] and [`Error::Gpu`] if the device has no room.
    pub fn step(
        &mut self,
        name: &str,
        build: impl FnOnce(&mut StepBuilder<'_>) -> Result<()>,
    ) -> Result<StepId> {
        self.check_name("step", name, self.steps.iter().any(|step| step.name == name))?;
        let mut builder = StepBuilder::new(self, name);
        build(&mut builder)?;
        let Built { graph, inputs, optimizers } = builder.end()?;
        let plan = Plan::compile(&graph, &Passes::default(), self.device.caps())?;
        for (name, ty) in &inputs {
            let bytes = (ty.shape.len() * ty.dtype.size()) as u64;
            self.store.allocate(name, bytes)?;
        }
        let external = plan.buffers.iter().filter(|b| b.class.is_external());
        if let Some(other) = external.into_iter().find(|b| !self.store.contains(&b.name)) {
            let detail =
                "a step reads weights and what `StepBuilder::input` gives; make it an input";
            return Err(Error::parameter("buffer of a step", &other.name, detail));
        }
        let of = |class| plan.bytes_of(class);
        let bytes = [BufferClass::Arena, BufferClass::Activation, BufferClass::Uniform].map(of);
        self.admit(name, bytes.iter().sum())?;
        let executor = Executor::new(&self.device, Arc::new(plan), &self.store)?;
        let prefix = input_buffer(name, "");
        let inputs = inputs.into_iter().map(|(buffer, ty)| {
            let name = buffer.strip_prefix(&prefix).unwrap_or(&buffer).to_owned();
            Input { name, ty, given: false }
        });
        let inputs = inputs.collect();
        self.steps.push(Step { name: name.into(), executor, inputs, optimizers });
        Ok(StepId(self.new_id(self.steps.len())))
    }

    /// The learning rate of an optimizer's next update: the one set by hand, or its schedule's.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an optimizer of another session.
    pub fn learning_rate(&self, optimizer: OptimizerId) -> Result<f64> {
        let i = self.optimizer_index(optimizer)?;
        let Updating { rule, gradients, learning_rate, .. } = &self.optimizers[i];
        let of_schedule = || rule.learning_rate().at(gradients.updates(self.steps_with(i)));
        Ok(learning_rate.map_or_else(of_schedule, f64::from))
    }

    /// Sets the learning rate of all coming updates, in place of the optimizer's own.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a rate that is negative or not finite, and for an optimizer of another session.
    pub fn set_learning_rate(&mut self, optimizer: OptimizerId, rate: f32) -> Result<()> {
        let i = self.optimizer_index(optimizer)?;
        if !(rate.is_finite() && rate >= 0.0) {
            return Err(Error::parameter("learning_rate", rate, "a finite number, 0 or more"));
        }
        self.optimizers[i].learning_rate = Some(rate);
        Ok(())
    }

    /// Every weight of a model as a host tensor with its name, in the model's order.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a model of another session; [`Error::Gpu`] if the device fails.
    pub async fn weights_async(&self, model: ModelId) -> Result<Vec<(String, Tensor)>> {
        let placed = &self.models[self.model_index(model)?];
        let mut arenas: Vec<Vec<f32>> = Vec::new();
        for (i, arena) in placed.layout.arenas.iter().enumerate() {
            let bytes = self.store.read(&placed.buffer(i), arena.len * 4).await?;
            arenas.push(bytemuck::pod_collect_to_vec(&bytes));
        }
        placed.layout.split(&arenas)
    }

    /// The blocking form of [`Session::weights_async`].
    ///
    /// # Errors
    /// As [`Session::weights_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn weights(&self, model: ModelId) -> Result<Vec<(String, Tensor)>> {
        crate::gpu::block_on(self.weights_async(model))
    }

    /// Replaces every weight of a model, in the order of [`Session::weights`]. Nothing changes if one does not fit.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] naming the first tensor that does not fit; [`Error::Parameter`] for a model
    /// of another session.
    pub fn set_weights(&mut self, model: ModelId, tensors: &[Tensor]) -> Result<()> {
        let placed = &self.models[self.model_index(model)?];
        for (i, values) in placed.layout.fill(tensors)?.iter().enumerate() {
            self.store.upload_bytes(&placed.buffer(i), bytemuck::cast_slice(values))?;
        }
        Ok(())
    }

    /// Gives each weight of a model a new value that the host computes from its number, in the order of
    /// [`Session::weights`], and its present value. Nothing changes if one fails or does not fit.
    ///
    /// # Errors
    /// Those of `new`; as [`Session::set_weights`].
    pub async fn map_weights_async(
        &mut self,
        model: ModelId,
        new: impl Fn(usize, &Tensor) -> Result<Tensor> + Send,
    ) -> Result<()> {
        let weights = self.weights_async(model).await?;
        let new = weights.iter().enumerate().map(|(i, (_, weight))| new(i, weight));
        self.set_weights(model, &new.collect::<Result<Vec<_>>>()?)
    }

    /// The blocking form of [`Session::map_weights_async`].
    ///
    /// # Errors
    /// As [`Session::map_weights_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn map_weights(
        &mut self,
        model: ModelId,
        new: impl Fn(usize, &Tensor) -> Result<Tensor> + Send,
    ) -> Result<()> {
        crate::gpu::block_on(self.map_weights_async(model, new))
    }

    /// Gives the model `to` the weights of the model `from`, on the device: a target network.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the first weight of another shape; [`Error::Parameter`] for another number of weights,
    /// for other layers frozen, and for a model of another session.
    pub fn copy_weights(&mut self, from: ModelId, to: ModelId) -> Result<()> {
        let (from, to) = (self.model_index(from)?, self.model_index(to)?);
        let (from, to) = (&self.models[from], &self.models[to]);
        let (ours, theirs) = (&from.layout.tensors, &to.layout.tensors);
        if ours.len() != theirs.len() {
            let detail = format!("`{}` has {}", to.name, theirs.len());
            return Err(Error::parameter("weights", ours.len(), detail));
        }
        for (a, b) in ours.iter().zip(theirs) {
            if a.spec.shape != b.spec.shape {
                let shapes = [&a.spec.shape, &b.spec.shape];
                let detail = format!("`{}` and `{}` have the same shape", a.name, b.name);
                return Err(Error::shape("copy_weights", &shapes, detail));
            }
        }
        if from.layout.arenas != to.layout.arenas {
            let detail = "both models have the same layers frozen";
            return Err(Error::parameter("copy_weights", &to.name, detail));
        }
        for i in 0..from.layout.arenas.len() {
            self.store.copy(&from.buffer(i), &to.buffer(i))?;
        }
        Ok(())
    }

    /// A model with a copy of its present weights that only predicts.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a model of another session; [`Error::Limit`] and [`Error::Gpu`] if the device has no
    /// room.
    pub fn predictor(&self, model: ModelId) -> Result<Predictor> {
        let placed = &self.models[self.model_index(model)?];
        let bytes = placed.layout.arenas.iter().map(|arena| arena.len as u64 * 4).sum();
        self.admit("a copy of the weights", bytes)?;
        let mut weights = Store::new(&self.device);
        for i in 0..placed.layout.arenas.len() {
            weights.copy_from(&self.store, &placed.buffer(i), &placed.layout.arena_name(i))?;
        }
        let layout = placed.layout.clone();
        Predictor::assemble(&self.device, &placed.model, layout, weights, None)
    }

    /// The id of the last of `count` things.
    const fn new_id(&self, count: usize) -> Id {
        Id { session: self.id, index: count - 1 }
    }

    fn index(&self, what: &str, id: Id) -> Result<usize> {
        if id.session == self.id {
            return Ok(id.index);
        }
        Err(Error::parameter(what, id.index, "it is of another session"))
    }

    fn model_index(&self, model: ModelId) -> Result<usize> {
        self.index("model", model.0)
    }

    fn optimizer_index(&self, optimizer: OptimizerId) -> Result<usize> {
        self.index("optimizer", optimizer.0)
    }

    /// Steps run so far that update with an optimizer.
    fn steps_with(&self, optimizer: usize) -> u64 {
        let own = self.steps.iter().filter(|step| step.optimizers.contains(&optimizer));
        own.map(|step| step.executor.runs()).sum()
    }

    fn check_name(&self, what: &str, name: &str, taken: bool) -> Result<()> {
        if name.is_empty() || name.contains('/') {
            let detail = "a name has a letter or more, and no `/`";
            return Err(Error::parameter(format!("name of a {what}"), format!("`{name}`"), detail));
        }
        if taken {
            let detail = format!("another {what} of the session has this name");
            return Err(Error::parameter(format!("name of a {what}"), name, detail));
        }
        Ok(())
    }

    /// Refuses `bytes` that the device's memory does not hold beside what the session has.
    fn admit(&self, what: &str, bytes: u64) -> Result<()> {
        let plans = self.steps.iter().map(|step| step.executor.plan());
        let own = plans.flat_map(|plan| plan.memory());
        let own: u64 = own.filter(|(class, _)| !class.is_external()).map(|(_, bytes)| bytes).sum();
        let held: u64 = self.store.sizes().map(|(_, bytes)| bytes).sum();
        let needed = held.saturating_add(own).saturating_add(bytes);
        let detail = "use smaller batches or smaller models";
        within(&self.device, &format!("session with {what}"), needed, detail)
    }
}
