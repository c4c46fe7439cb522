//! A compiled model: its device, parameters and plans.

use super::scaling::Scaling;
use super::sweep::{ROLES, Sweep};
use crate::error::{Error, Result};
use crate::gpu::{Device, Executor, Pool, StepBlock, Store};
use crate::graph::{Graph, TensorType};
use crate::layers::Model;
use crate::optim::{GradientTransform, Optimizer, Slot};
use crate::plan::Plan;
use crate::step::{
    ArenaLayout, Batch, Compile, OutputSpec, StepSpec, check_heads, step_graph, traced_step,
};
use crate::tensor::{DType, Shape, Tensor};
use std::sync::{Arc, Weak};

/// Plans and executors kept for another use.
const KEPT: usize = 16;

/// Which plan: the batch it reads and whether it trains.
pub(crate) type Key = (Batch, bool);

/// A model on a device with what it is trained with: its plans, executors, memory and weights.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) device: Device,
    pub(crate) store: Store,
    /// Activations: the plans take turns.
    pub(crate) pool: Pool,
    pub(crate) model: Model,
    pub(crate) layout: ArenaLayout,
    compile: Compile,
    pub(crate) outputs: Vec<OutputSpec>,
    /// Whether a layer penalises what it computes.
    activity: bool,
    /// What is odd about the outputs.
    pub(crate) warnings: Vec<String>,
    pub(crate) plans: Vec<(Key, Arc<Plan>)>,
    pub(crate) executors: Vec<(Key, Executor)>,
    /// Room for the words of the steps that are submitted next.
    pub(crate) blocks: Vec<StepBlock>,
    /// Steps trained so far.
    pub(crate) steps: u64,
    /// The learning rate of the coming steps, if it was set by hand.
    pub(crate) learning_rate: Option<f32>,
    /// The last sweep that trained, whose samples are on the device.
    pub(crate) trained: Option<Sweep>,
    /// How the samples came that the model was trained on, if that is known.
    pub(crate) scaling: Option<Scaling>,
    /// The holder of the other half of this uses the buffers of [`HELD`](super::memory::HELD) until its end.
    pub(crate) held: Weak<()>,
}

/// Whether a plan is this one.
fn is((known, trains): &Key, batch: &Batch, train: bool) -> bool {
    *trains == train && known == batch
}

impl Compiled {
    pub(crate) fn new(device: &Device, model: Model, compile: Compile) -> Result<Self> {
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
        let mut this = Self {
            activity: false,
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
            learning_rate: None,
            trained: None,
            scaling: None,
            held: Weak::new(),
        };
        this.check_slots()?;
        this.probe()?;
        for (name, values) in this.initial_state() {
            this.store.upload(&name, &Tensor::f32([values.len()], values)?)?;
        }
        Ok(this)
    }

    /// The initial contents of the buffers that training changes: parameters, states and the optimizer's slots.
    fn initial_state(&self) -> Vec<(String, Vec<f32>)> {
        let mut state = Vec::new();
        for (i, arena) in self.layout.arenas.iter().enumerate() {
            state.push((self.layout.arena_name(i), self.layout.initial(i, self.compile.seed)));
            for slot in self.slots().iter().filter(|_| arena.trainable()) {
                state.push((self.layout.slot_name(slot.name, i), vec![slot.initial; arena.len]));
            }
        }
        state
    }

    /// What training keeps for each trained parameter.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.compile.gradients.slots(&*self.compile.optimizer)
    }

    /// Refuses slots whose buffers, or whose tensors in a checkpoint, would have a name that is taken.
    fn check_slots(&self) -> Result<()> {
        let slots = self.slots();
        for (i, Slot { name, .. }) in slots.iter().enumerate() {
            let twice = slots[..i].iter().any(|slot| slot.name == *name);
            let own = ["params", "frozen", "state", "constants", "kept", "profile"].contains(name)
                || ROLES.contains(name);
            if twice || own || name.is_empty() || name.contains('/') {
                let detail = "each slot of an optimizer has a different name, without `/`; \
                              this one is taken; rename it";
                return Err(Error::parameter("slot", name, detail));
            }
        }
        Ok(())
    }

    /// Plans a step of one sample, or of as many as the model takes, so that anything that does not fit is refused before anything is allocated, and a
    /// kernel of the user's that does not compile is refused here. It shows masks and penalties of the model.
    pub(crate) fn probe(&mut self) -> Result<()> {
        let size = crate::layers::Layer::batch_size(&self.model).unwrap_or(1);
        let one = |dims: &[usize]| Shape::from([&[size], dims].concat());
        let target = |(output, shape): (&OutputSpec, Shape)| match shape.dims().split_last() {
            Some((_, rest)) if output.loss.takes_labels() => {
                TensorType { shape: one(rest), dtype: DType::U32 }
            }
            _ => TensorType::f32(one(shape.dims())),
        };
        let x = self.model.inputs().iter().enumerate().map(|(i, input)| {
            let dtype = if self.model.index_range(i).is_some() { DType::U32 } else { DType::F32 };
            TensorType { shape: one(input.shape.dims()), dtype }
        });
        let batch = Batch {
            role: "train",
            x: x.collect(),
            y: self.outputs.iter().zip(self.model.output_shapes()).map(target).collect(),
            weights: Vec::new(),
            scale: 1.0,
            size,
            records: 1,
            capacity: 1,
        };
        let (graph, traced) = traced_step(&self.spec(true), &batch)?;
        self.activity = traced.activity;
        for (output, mask) in self.outputs.iter_mut().zip(traced.masks) {
            output.mask = mask;
        }
        let plan = Plan::compile(&graph, &self.compile.passes, self.device.caps())?;
        let plan = Arc::new(plan);
        self.admit_model(&plan)?;
        self.device.admit_kernels(&plan)
    }

    pub(crate) fn spec(&self, train: bool) -> StepSpec<'_> {
        StepSpec {
            model: &self.model,
            layout: &self.layout,
            outputs: &self.outputs,
            activity: self.activity,
            gradients: self.compile.gradients,
            optimizer: train.then_some(&*self.compile.optimizer),
        }
    }

    pub(crate) fn columns(&self) -> usize {
        self.spec(false).columns()
    }

    pub(crate) const fn evaluation_batch(&self) -> usize {
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
    pub(crate) fn graph(&self, batch: &Batch, train: bool) -> Result<Graph> {
        step_graph(&self.spec(train), batch)
    }

    /// The plan of a step over `batch`.
    pub(crate) fn plan(&self, batch: &Batch, train: bool) -> Result<Plan> {
        Plan::compile(&self.graph(batch, train)?, &self.compile.passes, self.device.caps())
    }

    /// The plan of a step over `batch`, compiled at its first use.
    pub(crate) fn planned(&mut self, batch: &Batch, train: bool) -> Result<Arc<Plan>> {
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
    pub(crate) fn executor(&mut self, batch: &Batch, train: bool) -> Result<usize> {
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

    pub(crate) fn executor_at(&mut self, i: usize) -> &mut Executor {
        &mut self.executors[i].1
    }
}
