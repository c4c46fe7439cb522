//! Models on a device and steps over them, for a training loop of one's own.

mod builder;
mod placed;
mod run;
mod weights;

pub use builder::StepBuilder;
use builder::{Built, Declared};
use placed::{Placed, trained};

use super::memory::within;
use crate::error::{Error, Result};
use crate::gpu::{Device, Executor, Store};
use crate::graph::TensorType;
use crate::layers::Model;
use crate::optim::{GradientTransform, Optimizer};
use crate::passes::Passes;
use crate::plan::{BufferClass, Plan};
use crate::step::ArenaLayout;
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

/// An optimizer and what it updates.
#[derive(Debug)]
struct Updating {
    rule: Box<dyn Optimizer>,
    gradients: GradientTransform,
    models: Vec<usize>,
    /// What it updates: the weights of its models, each once, and the buffers of their arenas.
    layout: ArenaLayout,
    buffers: Vec<String>,
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
    ids: Option<Ids>,
    /// Whether a run gave it.
    given: bool,
}

/// An input's numbers name rows of a table, or classes.
#[derive(Debug)]
struct Ids {
    /// They are below this.
    range: usize,
    /// What takes them, for messages: "layer `embedding` takes the ids".
    takes: String,
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
    /// A layer object that another model of the session has too, by the same [`LayerHandle`](crate::layers::LayerHandle)
    /// or as a part of the same model, has its weights once, as in Keras: a step that trains the one model trains the
    /// other. For weights of its own, as of a target network, build the second model of new layers.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a name that is taken, is empty or has a `/`; [`Error::Shape`] for a shared layer whose
    /// weights have another shape in the other model; [`Error::Limit`] and [`Error::Gpu`] if the
    /// device has no room.
    pub fn add(&mut self, name: &str, model: &Model) -> Result<ModelId> {
        self.check_name("model", name, self.models.iter().any(|m| m.name == name))?;
        let placed = Placed::new(name, model, self.device.caps(), &self.models)?;
        let own = placed.shared..placed.layout.arenas.len();
        let lens = placed.layout.arenas[own.clone()].iter().map(|arena| arena.len as u64);
        self.admit(name, lens.sum::<u64>() * 4)?;
        for i in own {
            let values = placed.layout.initial(i, self.seed);
            self.store.upload_bytes(&placed.buffers[i], bytemuck::cast_slice(&values))?;
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
        let models: Vec<&Placed> = own.iter().map(|&m| &self.models[m]).collect();
        let (layout, buffers) = trained(&models);
        let first = self.optimizers.iter().map(|o| o.buffers.len()).sum();
        let slots = gradients.slots(&rule);
        self.admit(&format!("the state of {}", rule.name()), layout.bytes() * slots.len() as u64)?;
        for (arena, own) in (first..).zip(&layout.arenas) {
            for slot in &slots {
                let values = vec![slot.initial; own.len];
                let name = format!("{}/{arena}", slot.name);
                self.store.upload_bytes(&name, bytemuck::cast_slice(&values))?;
            }
        }
        let (rule, models, learning_rate) = (Box::new(rule), own, None);
        let own = Updating { rule, gradients, models, layout, buffers, first, learning_rate };
        self.optimizers.push(own);
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
        for Declared { buffer, ty, .. } in &inputs {
            let bytes = (ty.shape.len() * ty.dtype.size()) as u64;
            self.store.allocate(buffer, bytes)?;
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
        let inputs = inputs.into_iter().map(|Declared { buffer, ty, ids }| {
            let name = buffer.strip_prefix(&prefix).unwrap_or(&buffer).to_owned();
            Input { name, ty, ids, given: false }
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
