//! A compiled model: its device, parameters and plans.

use super::memory::ROLES;
use super::run::FitState;
use super::samples;
use super::scaling::Scaling;
use super::sweep::Sweep;
use crate::error::{Error, Result};
use crate::gpu::{Device, Executor, Pool, StepBlock, Store};
use crate::graph::{Graph, TensorType};
use crate::layers::{Model, Sequential};
use crate::optim::{GradientTransform, Optimizer, Slot};
use crate::plan::Plan;
use crate::tensor::{DType, Shape, Tensor};
use crate::step::{ArenaLayout, Batch, Compile, OutputSpec, StepSpec, check_heads, step_graph};
use std::sync::{Arc, Weak};

/// Plans and executors kept for another use.
const KEPT: usize = 16;

/// Which plan: the batch it reads and whether it trains.
type Key = (Batch, bool);

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
    pub(super) device: Device,
    pub(super) store: Store,
    /// Activations: the plans take turns.
    pub(super) pool: Pool,
    pub(super) model: Model,
    pub(super) layout: ArenaLayout,
    compile: Compile,
    pub(crate) outputs: Vec<OutputSpec>,
    /// What is odd about the outputs.
    pub(super) warnings: Vec<String>,
    pub(super) plans: Vec<(Key, Arc<Plan>)>,
    pub(super) executors: Vec<(Key, Executor)>,
    /// Room for the words of the steps that are submitted next.
    pub(super) blocks: Vec<StepBlock>,
    /// Steps trained so far.
    pub(super) steps: u64,
    /// Epochs trained so far: the shuffle's counter.
    pub(super) epochs: u64,
    /// The learning rate of the coming steps, if it was set by hand.
    pub(super) learning_rate: Option<f32>,
    /// Where the last `fit` ended, or the place of the one that a checkpoint holds.
    pub(super) fit_state: Option<FitState>,
    /// Whether the next `fit` goes on from there.
    pub(super) resume: bool,
    /// The steps of the last `fit`, whose samples are on the device.
    pub(super) trained: Option<Sweep>,
    /// How the samples came that the model was trained on, if that is known.
    pub(super) scaling: Option<Scaling>,
    /// The `fit` under way; see [`Trainer::is_fitting`].
    pub(super) fitting: Weak<()>,
}

/// Whether a plan is this one.
fn is((known, trains): &Key, batch: &Batch, train: bool) -> bool {
    *trains == train && known == batch
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
    /// does not suit, as one of logits after a softmax; [`Error::Limit`] for a tensor that the device cannot bind.
    pub fn compile(&self, device: &Device, compile: Compile) -> Result<Trainer> {
        Trainer::new(device, self.clone(), compile)
    }
}

impl Trainer {
    fn new(device: &Device, model: Model, compile: Compile) -> Result<Self> {
        compile.optimizer.check()?;
        compile.gradients.check()?;
        let outputs = compile.outputs(&model)?;
        let warnings = check_heads(&model, &outputs)?;
        warnings.iter().for_each(|warning| log::warn!("{warning}"));
        if compile.evaluation_batch == 0 {
            let detail = "a batch has at least one sample";
            return Err(Error::parameter("evaluation_batch_size", 0, detail));
        }
        let device = device.of_another_owner();
        let layout = ArenaLayout::of(device.caps(), &model)?;
        let mut trainer = Self {
            store: Store::new(&device),
            pool: Pool::default(),
            device,
            model,
            layout,
            compile,
            outputs,
            warnings,
            plans: Vec::new(),
            executors: Vec::new(),
            blocks: Vec::new(),
            steps: 0,
            epochs: 0,
            learning_rate: None,
            fit_state: None,
            resume: false,
            trained: None,
            scaling: None,
            fitting: Weak::new(),
        };
        trainer.check_slots()?;
        trainer.probe()?;
        for (name, values) in trainer.initial_state() {
            trainer.store.upload(&name, &Tensor::f32([values.len()], values)?)?;
        }
        Ok(trainer)
    }

    /// The initial contents of the buffers that training changes: parameters and the optimizer's slots.
    fn initial_state(&self) -> Vec<(String, Vec<f32>)> {
        let mut state = Vec::new();
        for (i, arena) in self.layout.arenas.iter().enumerate() {
            state.push((self.layout.arena_name(i), self.layout.initial(i, self.compile.seed)));
            for slot in self.slots().iter().filter(|_| arena.trainable) {
                state.push((self.layout.slot_name(slot.name, i), vec![slot.initial; arena.len]));
            }
        }
        state
    }

    /// What training keeps for each trained parameter.
    pub(super) fn slots(&self) -> Vec<Slot> {
        self.compile.gradients.slots(&*self.compile.optimizer)
    }

    /// Refuses slots whose buffers, or whose tensors in a checkpoint, would have a name that is taken.
    fn check_slots(&self) -> Result<()> {
        let slots = self.slots();
        for (i, Slot { name, .. }) in slots.iter().enumerate() {
            let twice = slots[..i].iter().any(|slot| slot.name == *name);
            let own =
                ["params", "frozen", "kept", "profile"].contains(name) || ROLES.contains(name);
            if twice || own || name.is_empty() || name.contains('/') {
                let detail = "each slot of an optimizer has a different name, without `/`; \
                              this one is taken; rename it";
                return Err(Error::parameter("slot", name, detail));
            }
        }
        Ok(())
    }

    /// Plans a step of one sample, so that anything that does not fit is refused before anything is allocated.
    pub(super) fn probe(&self) -> Result<()> {
        let one = |dims: &[usize]| Shape::from([&[1], dims].concat());
        let target = |(output, shape): (&OutputSpec, Shape)| match shape.dims().split_last() {
            Some((_, rest)) if output.loss.takes_labels() => {
                TensorType { shape: one(rest), dtype: DType::U32 }
            }
            _ => TensorType::f32(one(shape.dims())),
        };
        let x = self.model.inputs().iter().enumerate().map(|(i, input)| {
            let dtype = if samples::ids(&self.model, i).is_some() { DType::U32 } else { DType::F32 };
            TensorType { shape: one(input.shape.dims()), dtype }
        });
        let batch = Batch {
            role: "train",
            x: x.collect(),
            y: self.outputs.iter().zip(self.model.output_shapes()).map(target).collect(),
            weighted: false,
            scale: 1.0,
            size: 1,
            records: 1,
            capacity: 1,
        };
        self.admit_model(&Arc::new(self.plan(&batch, true)?))
    }

    /// What `compile` found odd about the model's outputs, but may be meant. It is in the crate `log` too, and is the
    /// first line that `fit` shows.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The network.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The places of the parameters.
    #[must_use]
    pub const fn layout(&self) -> &ArenaLayout {
        &self.layout
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Steps trained so far.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn spec(&self, train: bool) -> StepSpec<'_> {
        StepSpec {
            model: &self.model,
            layout: &self.layout,
            outputs: &self.outputs,
            gradients: self.compile.gradients,
            optimizer: train.then_some(&*self.compile.optimizer),
        }
    }

    pub(super) fn columns(&self) -> usize {
        self.spec(false).columns()
    }

    pub(super) const fn evaluation_batch(&self) -> usize {
        self.compile.evaluation_batch
    }

    pub(crate) const fn seed(&self) -> u64 {
        self.compile.seed
    }

    pub(crate) fn optimizer(&self) -> &dyn Optimizer {
        &*self.compile.optimizer
    }

    pub(crate) const fn gradients(&self) -> &GradientTransform {
        &self.compile.gradients
    }

    /// The graph of a step over `batch`, before any pass.
    ///
    /// # Errors
    /// As [`step_graph`].
    pub fn graph(&self, batch: &Batch, train: bool) -> Result<Graph> {
        step_graph(&self.spec(train), batch)
    }

    /// The plan of a step over `batch`.
    ///
    /// # Errors
    /// As [`step_graph`] and [`Plan::compile`].
    pub fn plan(&self, batch: &Batch, train: bool) -> Result<Plan> {
        Plan::compile(&self.graph(batch, train)?, &self.compile.passes, self.device.caps())
    }

    /// The plan of a step over `batch`, compiled at its first use.
    pub(super) fn planned(&mut self, batch: &Batch, train: bool) -> Result<Arc<Plan>> {
        if let Some(i) = self.executor_of(batch, train) {
            return Ok(self.executors[i].1.plan().clone());
        }
        if let Some((_, plan)) = self.plans.iter().find(|(key, _)| is(key, batch, train)) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(self.plan(batch, train)?);
        // Datasets of many sizes leave plans behind; the oldest are removed first.
        if self.plans.len() == KEPT {
            self.plans.remove(0);
        }
        self.plans.push(((batch.clone(), train), plan.clone()));
        Ok(plan)
    }

    /// The index of the executor for `batch`, if there is one.
    fn executor_of(&self, batch: &Batch, train: bool) -> Option<usize> {
        self.executors.iter().position(|(key, _)| is(key, batch, train))
    }

    /// The index of the executor for `batch`, made at its first use and bound to the present buffers.
    pub(super) fn executor(&mut self, batch: &Batch, train: bool) -> Result<usize> {
        let i = match self.executor_of(batch, train) {
            Some(i) => i,
            None => {
                let plan = self.planned(batch, train)?;
                let (store, pool) = (&self.store, &mut self.pool);
                let executor = Executor::with_pool(&self.device, plan, store, pool)?;
                if self.executors.len() == KEPT {
                    self.executors.remove(0);
                }
                self.executors.push(((batch.clone(), train), executor));
                self.executors.len() - 1
            }
        };
        self.executors[i].1.bind(&self.store)?;
        Ok(i)
    }

    pub(super) fn executor_at(&mut self, i: usize) -> &mut Executor {
        &mut self.executors[i].1
    }
}
