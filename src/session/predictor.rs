//! A model that only predicts.

use super::memory::within;
use super::predict::{batch_of, make_room, outputs};
use super::samples::{self, Features};
use super::scaling::Scaling;
use crate::error::{Error, Result};
use crate::gpu::{Device, Executor, Store};
use crate::layers::Model;
use crate::optim::GradientTransform;
use crate::passes::Passes;
use crate::plan::{BufferClass, Plan};
use crate::step::{ArenaLayout, Batch, StepSpec, step_graph};
use crate::tensor::Tensor;
use futures_intrusive::sync::Semaphore;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Calls that use the device at once: while one waits for its outputs, another uploads its samples.
const TURNS: usize = 4;

/// Lanes and plans kept for another call.
const KEPT: usize = 16;

/// A model with its weights on a device, to be used by any number of threads: no optimizer, no loss, and only the memory
/// that predictions take.
///
/// Every call gives the bits that [`Trainer::predict`](crate::train::Trainer::predict) gives, whatever other threads do. Up to
/// four calls are under way at once; further ones wait. Where a task must not block, as in a server, use the async forms.
///
/// ```no_run
/// use wgrad::prelude::*;
///
/// # fn main() -> wgrad::Result<()> {
/// let device = Device::new()?;
/// let model = Sequential::new([2])
///     .add(Dense::new(8).activation(Activation::Tanh))
///     .add(Dense::new(1))
///     .build()?;
/// // Weights from a file; `Predictor::new` takes a list, and `trainer.predictor()` those of a trainer.
/// let predictor = Predictor::load(&device, &model, "weights.safetensors")?;
/// std::thread::scope(|scope| {
///     for i in 0..8 {
///         let predictor = &predictor;
///         scope.spawn(move || -> wgrad::Result<()> {
///             let x = Tensor::f32([1, 2], [i as f32, 1.0])?;
///             println!("{:?}", predictor.predict(&x)?.as_f32()?);
///             Ok(())
///         });
///     }
/// });
/// # Ok(())
/// # }
/// ```
pub struct Predictor {
    device: Device,
    model: Model,
    layout: ArenaLayout,
    /// The weights and states, which nothing writes, and the constants that all lanes have in common.
    weights: Store,
    scaling: Option<Scaling>,
    batch_size: usize,
    plans: Mutex<Vec<(Batch, Arc<Plan>)>>,
    lanes: Mutex<Lanes>,
    turns: Semaphore,
}

/// Buffers that one call uses at a time.
struct Lane {
    batch: Batch,
    store: Store,
    executor: Executor,
    bytes: u64,
}

#[derive(Default)]
struct Lanes {
    /// Those that no call uses, the last used last.
    free: Vec<Lane>,
    /// Device bytes of all, also of those in use.
    bytes: u64,
}

impl Lanes {
    /// Frees the lane that was not used for longest.
    fn drop_oldest(&mut self) -> bool {
        let oldest = (!self.free.is_empty()).then(|| self.free.remove(0));
        self.bytes -= oldest.as_ref().map_or(0, |lane| lane.bytes);
        oldest.is_some()
    }
}

/// A lane in use. It goes back when the call ends, or when its future is dropped: what is under way ends before what is
/// submitted later.
struct Taken<'p> {
    predictor: &'p Predictor,
    lane: Option<Lane>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut lanes = lock(&self.predictor.lanes);
        if lanes.free.len() == KEPT {
            lanes.drop_oldest();
        }
        lanes.free.extend(self.lane.take());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Predictor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Predictor").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Predictor {
    /// A model with these weights, in the order of [`Trainer::weights`](crate::train::Trainer::weights).
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::Shape`] or [`Error::DType`] for weights that do not suit the model, naming the
    /// first; [`Error::Limit`] and [`Error::Gpu`] if the device has no room.
    pub fn new(device: &Device, model: &Model, weights: &[Tensor]) -> Result<Self> {
        let layout = ArenaLayout::of(device.caps(), model)?;
        let arenas = layout.fill(weights)?;
        let bytes = layout.arenas.iter().map(|arena| arena.len as u64 * 4).sum();
        within(device, "the weights of a predictor", bytes, "use a smaller model")?;
        let mut store = Store::new(device);
        for (i, values) in arenas.iter().enumerate() {
            store.upload_bytes(&layout.arena_name(i), bytemuck::cast_slice(values))?;
        }
        Self::assemble(device, model, layout, store, None)
    }

    /// A model whose weights are in `weights`, laid out as `layout` says.
    pub(crate) fn assemble(
        device: &Device,
        model: &Model,
        layout: ArenaLayout,
        weights: Store,
        scaling: Option<Scaling>,
    ) -> Result<Self> {
        Ok(Self {
            device: device.of_another_owner(),
            model: model.clone(),
            layout,
            weights,
            scaling,
            batch_size: 256,
            plans: Mutex::default(),
            lanes: Mutex::default(),
            turns: Semaphore::new(true, TURNS),
        })
    }

    /// The most samples of a step, 256 unless set. A call with fewer samples takes a smaller step.
    #[must_use]
    pub const fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// The network.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Takes over the information how the samples came that weights from a file were trained on.
    pub(crate) fn set_scaling(&mut self, scaling: Option<Scaling>) {
        self.scaling = scaling;
    }

    /// The most samples of a step, if any.
    pub(crate) fn step_size(&self) -> Result<usize> {
        match self.batch_size {
            0 => Err(Error::parameter("batch_size", 0, "a batch has at least one sample")),
            size => Ok(size),
        }
    }

    /// Each output for each sample in memory: `[n, ...]`.
    pub(crate) async fn predict_features(&self, features: Features<'_>) -> Result<Vec<Tensor>> {
        let size = self.step_size()?;
        let scale = samples::scale(&self.model, self.scaling.as_ref(), features)?;
        let n = features.x[0].shape().dims()[0];
        // Rounded up, so that few plans are compiled for any number of samples.
        let batch = batch_of(features.x, scale, n.min(size).next_power_of_two());
        let shapes = self.model.output_shapes();
        let _turn = self.turns.acquire(1).await;
        let mut taken = Taken { predictor: self, lane: Some(self.lane(&batch)?) };
        match &mut taken.lane {
            Some(Lane { store, executor, .. }) => {
                outputs(store, executor, &batch, features.x, &shapes).await
            }
            None => Err(Error::internal("predictor", "a lane was given away")),
        }
    }

    /// The plan of a batch, compiled at its first use.
    fn plan(&self, batch: &Batch) -> Result<Arc<Plan>> {
        let known = |plans: &[(Batch, Arc<Plan>)]| {
            plans.iter().find(|(known, _)| known == batch).map(|(_, plan)| plan.clone())
        };
        if let Some(plan) = known(&lock(&self.plans)) {
            return Ok(plan);
        }
        let spec = StepSpec {
            model: &self.model,
            layout: &self.layout,
            outputs: &[],
            activity: false,
            gradients: GradientTransform::default(),
            optimizer: None,
        };
        let graph = step_graph(&spec, batch)?;
        let plan = Arc::new(Plan::compile(&graph, &Passes::default(), self.device.caps())?);
        let mut plans = lock(&self.plans);
        if let Some(plan) = known(&plans) {
            return Ok(plan);
        }
        if plans.len() == KEPT {
            plans.remove(0);
        }
        plans.push((batch.clone(), plan.clone()));
        Ok(plan)
    }

    /// A lane for a batch that no other call uses.
    fn lane(&self, batch: &Batch) -> Result<Lane> {
        let free = |lanes: &mut Lanes| {
            let i = lanes.free.iter().rposition(|lane| lane.batch == *batch)?;
            Some(lanes.free.remove(i))
        };
        if let Some(lane) = free(&mut lock(&self.lanes)) {
            return Ok(lane);
        }
        let plan = self.plan(batch)?;
        let all: u64 = plan.memory().iter().map(|(_, bytes)| bytes).sum();
        // Lanes have weights and constants in common.
        let constants = plan.bytes_of(BufferClass::Constant);
        let bytes = all - plan.bytes_of(BufferClass::State) - constants;
        {
            let weights: u64 = self.weights.sizes().map(|(_, bytes)| bytes).sum();
            let weights = weights + constants;
            let mut lanes = lock(&self.lanes);
            let admit = |lanes: &Lanes| {
                let needed = weights + lanes.bytes + bytes;
                within(&self.device, "predictions", needed, "use a smaller `batch_size`")
            };
            while let Err(error) = admit(&lanes) {
                if !lanes.drop_oldest() {
                    return Err(error);
                }
            }
            lanes.bytes += bytes;
        }
        let made = self.make(batch, plan, bytes);
        if made.is_err() {
            lock(&self.lanes).bytes -= bytes;
        }
        made
    }

    fn make(&self, batch: &Batch, plan: Arc<Plan>, bytes: u64) -> Result<Lane> {
        let mut store = Store::beside(&self.weights);
        for name in self.weights.names() {
            store.share(&self.weights, name)?;
        }
        make_room(&mut store, batch)?;
        let executor = Executor::new(&self.device, plan, &store)?;
        Ok(Lane { batch: batch.clone(), store, executor, bytes })
    }
}
