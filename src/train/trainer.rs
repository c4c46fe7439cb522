//! A compiled model: its device, parameters and plans.

use super::history::Evaluation;
use super::layout::ArenaLayout;
use super::step::{Batch, StepSpec, step_graph};
use crate::error::{Error, Result};
use crate::gpu::{Device, Executor, Store};
use crate::graph::{Graph, TensorType};
use crate::layers::{Model, Sequential};
use crate::losses::Loss;
use crate::metrics::Metric;
use crate::optim::{Clip, GradientTransform, Optimizer};
use crate::passes::Passes;
use crate::plan::Plan;
use crate::tensor::{DType, Shape, Tensor};
use std::sync::Arc;

/// What a model is compiled with, as in Keras' `compile`.
#[derive(Debug)]
pub struct Compile {
    optimizer: Box<dyn Optimizer>,
    gradients: GradientTransform,
    loss: Loss,
    metrics: Vec<Metric>,
    seed: u64,
    evaluation_batch: usize,
    passes: Passes,
}

impl Compile {
    /// With this optimizer and loss, no metrics, seed 0.
    #[must_use]
    pub fn new(optimizer: impl Optimizer + 'static, loss: Loss) -> Self {
        Self {
            optimizer: Box::new(optimizer),
            gradients: GradientTransform::default(),
            loss,
            metrics: Vec::new(),
            seed: 0,
            evaluation_batch: 256,
            passes: Passes::default(),
        }
    }

    /// The metrics that every epoch reports.
    #[must_use]
    pub fn metrics(mut self, metrics: impl Into<Vec<Metric>>) -> Self {
        self.metrics = metrics.into();
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
}

/// Plans kept for another use, with their activation buffers.
const KEPT: usize = 16;

/// Which plan: the batch it reads and whether it trains.
type Key = (Batch, bool);

/// A model on a device, ready to train.
#[derive(Debug)]
pub struct Trainer {
    pub(super) device: Device,
    pub(super) store: Store,
    model: Model,
    layout: ArenaLayout,
    compile: Compile,
    plans: Vec<(Key, Arc<Plan>)>,
    executors: Vec<(Key, Executor)>,
    /// Steps trained so far.
    pub(super) steps: u64,
    /// Epochs trained so far: the shuffle's counter.
    pub(super) epochs: u64,
}

impl Sequential {
    /// Puts the model on a device, with initial parameters.
    ///
    /// # Errors
    /// Settings outside their domain and shapes that do not fit, naming layer and op; [`Error::Limit`] for a
    /// tensor that the device cannot bind.
    pub fn compile(&self, device: &Device, compile: Compile) -> Result<Trainer> {
        Trainer::new(device, &self.build()?, compile)
    }
}

impl Trainer {
    fn new(device: &Device, model: &Model, compile: Compile) -> Result<Self> {
        compile.optimizer.check()?;
        compile.gradients.check()?;
        compile.loss.check()?;
        let output = model.output_shapes().remove(0);
        if compile.loss.takes_labels() && output.rank() == 0 {
            let detail = "integer labels need predictions with a class axis";
            return Err(Error::shape(compile.loss.name(), &[&output], detail));
        }
        if compile.evaluation_batch == 0 {
            let detail = "a batch has at least one sample";
            return Err(Error::parameter("evaluation_batch_size", 0, detail));
        }
        let caps = device.caps();
        let layout = ArenaLayout::new(model, caps.max_binding_bytes.min(caps.max_buffer_bytes))?;
        probe(device, model, &layout, &compile, &output)?;
        let mut store = Store::new(device);
        for (i, &len) in layout.arenas.iter().enumerate() {
            let values = layout.initial(i, compile.seed);
            store.upload(&format!("params/{i}"), &Tensor::f32([len], values)?)?;
            for slot in compile.gradients.slots(&*compile.optimizer) {
                let values = vec![slot.initial; len];
                store.upload(&format!("{}/{i}", slot.name), &Tensor::f32([len], values)?)?;
            }
        }
        let device = device.clone();
        let (model, plans, executors) = (model.clone(), Vec::new(), Vec::new());
        Ok(Self { device, store, model, layout, compile, plans, executors, steps: 0, epochs: 0 })
    }

    /// The network.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Where the parameters lie.
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

    fn spec(&self, train: bool) -> StepSpec<'_> {
        StepSpec {
            model: &self.model,
            layout: &self.layout,
            loss: &self.compile.loss,
            metrics: &self.compile.metrics,
            optimizer: train.then_some(&*self.compile.optimizer),
            gradients: self.compile.gradients,
        }
    }

    pub(super) fn columns(&self) -> usize {
        self.spec(false).columns()
    }

    pub(super) const fn evaluation_batch(&self) -> usize {
        self.compile.evaluation_batch
    }

    pub(super) const fn seed(&self) -> u64 {
        self.compile.seed
    }

    pub(super) const fn loss(&self) -> &Loss {
        &self.compile.loss
    }

    /// The step parameters of the update that the next step makes or adds to.
    pub(super) fn update_values(&self) -> Vec<(&'static str, f32)> {
        self.compile.gradients.step_values(&*self.compile.optimizer, self.steps, None)
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
        let key = (batch.clone(), train);
        if let Some((_, plan)) = self.plans.iter().find(|(known, _)| *known == key) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(self.plan(batch, train)?);
        self.plans.push((key, plan.clone()));
        Ok(plan)
    }

    /// The index of the executor for `batch`, made at its first use and bound to the present buffers.
    pub(super) fn executor(&mut self, batch: &Batch, train: bool) -> Result<usize> {
        let key = (batch.clone(), train);
        let i = match self.executors.iter().position(|(known, _)| *known == key) {
            Some(i) => i,
            None => {
                let plan = self.planned(batch, train)?;
                let executor = Executor::new(&self.device, plan, &self.store)?;
                // Datasets of many sizes leave plans behind; the oldest go first.
                if self.executors.len() == KEPT {
                    let (key, _) = self.executors.remove(0);
                    self.plans.retain(|(known, _)| *known != key);
                }
                self.executors.push((key, executor));
                self.executors.len() - 1
            }
        };
        self.executors[i].1.bind(&self.store)?;
        Ok(i)
    }

    pub(super) fn executor_at(&mut self, i: usize) -> &mut Executor {
        &mut self.executors[i].1
    }

    /// The means of each metrics column over all samples of these batches.
    pub(super) async fn collect(&self, batches: &[(Batch, usize)]) -> Result<Evaluation> {
        let (first, columns) = (&batches[0].0, self.columns());
        let room = first.column_room();
        let len = first.slots * columns * room;
        let bytes = self.store.read(&format!("{}/metrics", first.role), len * 4).await?;
        let values: &[f32] = bytemuck::cast_slice(&bytes);
        let metrics = &self.compile.metrics;
        let mut sums = vec![0.0; columns];
        let mut samples = 0;
        let sizes = batches.iter().flat_map(|(b, count)| std::iter::repeat_n(b.size, *count));
        for (slot, size) in values.chunks_exact(columns * room).zip(sizes) {
            samples += size;
            for (c, (sum, column)) in sums.iter_mut().zip(slot.chunks_exact(room)).enumerate() {
                // Metrics are a number per sample. A sample's loss is divided by the batch already, and the
                // penalty is one number per batch.
                let metric = (1..=metrics.len()).contains(&c);
                let numbers = if c > metrics.len() { &column[..1] } else { &column[..size] };
                let total: f64 = numbers.iter().copied().map(f64::from).sum();
                *sum += if metric { total } else { total * size as f64 };
            }
        }
        let mut means = sums.into_iter().map(|sum| sum / samples as f64);
        let mut loss = means.next().unwrap_or(0.0);
        let named = metrics.iter().map(Metric::name).zip(means.by_ref()).collect();
        loss += means.next().unwrap_or(0.0);
        Ok(Evaluation { loss, metrics: named })
    }

    /// Every parameter as a host tensor with its name, in the model's order: kernels `[in, out]` as in Keras.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device fails.
    pub async fn weights_async(&self) -> Result<Vec<(String, Tensor)>> {
        let mut arenas: Vec<Vec<f32>> = Vec::new();
        for (i, len) in self.layout.arenas.iter().enumerate() {
            let bytes = self.store.read(&format!("params/{i}"), len * 4).await?;
            arenas.push(bytemuck::pod_collect_to_vec(&bytes));
        }
        let tensors = self.layout.tensors.iter().map(|t| {
            let values = &arenas[t.arena][t.offset..t.offset + t.spec.shape.len()];
            Ok((t.name.clone(), Tensor::f32(t.spec.shape.clone(), values)?))
        });
        tensors.collect()
    }

    /// The blocking form of [`Trainer::weights_async`].
    ///
    /// # Errors
    /// As [`Trainer::weights_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn weights(&self) -> Result<Vec<(String, Tensor)>> {
        crate::gpu::block_on(self.weights_async())
    }

    /// Replaces every parameter, in the order of [`Trainer::weights`]. Nothing changes where one does not fit.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] naming the first tensor that does not fit.
    pub fn set_weights(&mut self, tensors: &[Tensor]) -> Result<()> {
        if tensors.len() != self.layout.tensors.len() {
            let detail = format!("the model has {} tensors", self.layout.tensors.len());
            return Err(Error::parameter("weights", tensors.len(), detail));
        }
        let mut arenas: Vec<Vec<f32>> = self.layout.arenas.iter().map(|&n| vec![0.0; n]).collect();
        for (placed, tensor) in self.layout.tensors.iter().zip(tensors) {
            if tensor.shape() != &placed.spec.shape {
                let detail = format!("`{}` has the second shape", placed.name);
                return Err(Error::shape(
                    "set_weights",
                    &[tensor.shape(), &placed.spec.shape],
                    detail,
                ));
            }
            if tensor.dtype() != DType::F32 {
                let detail = format!("`{}` is f32", placed.name);
                return Err(Error::dtype("set_weights", &[tensor.dtype()], detail));
            }
            let values = tensor.as_f32()?;
            arenas[placed.arena][placed.offset..placed.offset + values.len()]
                .copy_from_slice(values);
        }
        for (i, values) in arenas.into_iter().enumerate() {
            let len = values.len();
            self.store.upload(&format!("params/{i}"), &Tensor::f32([len], values)?)?;
        }
        Ok(())
    }
}

/// Plans a step of one sample, so that whatever does not fit is refused before anything is allocated.
fn probe(
    device: &Device,
    model: &Model,
    layout: &ArenaLayout,
    compile: &Compile,
    output: &Shape,
) -> Result<()> {
    let one = |dims: &[usize]| Shape::from([&[1], dims].concat());
    let y = match (compile.loss.takes_labels(), output.dims().split_last()) {
        (true, Some((_, rest))) => TensorType { shape: one(rest), dtype: DType::U32 },
        _ => TensorType::f32(one(output.dims())),
    };
    let x = TensorType::f32(one(model.inputs()[0].shape.dims()));
    let spec = StepSpec {
        model,
        layout,
        loss: &compile.loss,
        metrics: &compile.metrics,
        optimizer: Some(&*compile.optimizer),
        gradients: compile.gradients,
    };
    let batch = Batch { role: "train", x, y: Some(y), scale: 1.0, size: 1, slots: 1, capacity: 1 };
    Plan::compile(&step_graph(&spec, &batch)?, &compile.passes, device.caps()).map(|_| ())
}
