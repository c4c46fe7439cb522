//! Replays a plan: pipelines, buffers and bind groups are made once, and one submit has many encoded steps.

use super::faults::Faults;
use super::launch::Launch;
use super::readback::Readback;
use super::store::create_buffer;
use super::{Device, Pool, Store, launch};
use crate::error::{Error, Result};
use crate::kernels::{STEP_BLOCKS_BYTES, STEP_WORDS};
use crate::plan::{BufferClass, Plan};
use crate::tensor::{DType, Data, Shape, Tensor};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The words that one step reads.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct StepBlock(pub(super) [u32; STEP_WORDS]);

impl Default for StepBlock {
    fn default() -> Self {
        Self([0; STEP_WORDS])
    }
}

impl StepBlock {
    /// Sets an f32 step word of `plan`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the plan reads no word of this name, or reads it as another element type.
    pub fn set_f32(&mut self, plan: &Plan, name: &str, value: f32) -> Result<()> {
        self.set(plan, name, DType::F32, value, value.to_bits())
    }

    /// As [`StepBlock::set_f32`], for a u32 word.
    ///
    /// # Errors
    /// As [`StepBlock::set_f32`].
    pub fn set_u32(&mut self, plan: &Plan, name: &str, value: u32) -> Result<()> {
        self.set(plan, name, DType::U32, value, value)
    }

    fn set(
        &mut self,
        plan: &Plan,
        name: &str,
        dtype: DType,
        value: impl std::fmt::Display,
        bits: u32,
    ) -> Result<()> {
        let place = plan.step_param(name).filter(|&i| plan.step_params[i].dtype == dtype);
        let Some(place) = place else {
            let words = plan.step_params.iter().map(|p| format!("`{}` ({})", p.name, p.dtype));
            let words = words.collect::<Vec<_>>().join(", ");
            let detail = match words.as_str() {
                "" => "the plan reads no step words".into(),
                words => format!("the plan has no such {dtype} step word; it reads {words}"),
            };
            return Err(Error::parameter(format!("step word `{name}`"), value, detail));
        };
        self.set_word(place, bits)
    }

    /// Sets a word by its index, which [`crate::plan::PlanData::step_param`] gives: for code that sets the same words
    /// step after step.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an index past the block.
    pub fn set_word(&mut self, index: usize, value: u32) -> Result<()> {
        let word = self.0.get_mut(index).ok_or_else(|| {
            let detail = format!("a step has {STEP_WORDS} words");
            Error::parameter("index of a step word", index, detail)
        })?;
        *word = value;
        Ok(())
    }
}

/// A plan bound to buffers, ready to run.
pub struct Executor {
    pub(super) device: Device,
    pub(super) plan: Arc<Plan>,
    /// Its own arenas, and activations from a pool, by plan index.
    owned: HashMap<usize, wgpu::Buffer>,
    params: wgpu::Buffer,
    pub(super) steps: wgpu::Buffer,
    /// The numbers of iterations, if a kernel reads them.
    iterations: Option<wgpu::Buffer>,
    pub(super) launches: Vec<Launch>,
    /// What watched kernels tell.
    pub(super) faults: Option<Faults>,
    /// The external buffers that the bind groups refer to.
    bound: HashMap<usize, wgpu::Buffer>,
    pub(super) steps_per_submit: Option<usize>,
    /// The end of each submit of a step, as a position in the plan's order; empty if a step is one submit.
    pub(super) submit_ends: Vec<usize>,
    pub(super) in_flight: VecDeque<super::wait::Submitted>,
    /// Steps submitted.
    pub(super) runs: u64,
    /// Room for dynamic offsets.
    pub(super) offsets: Vec<u32>,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("dispatches", &self.launches.len()).finish_non_exhaustive()
    }
}

impl Executor {
    /// Allocates the plan's own buffers, compiles its kernels and binds it to the buffers of `store`.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the device refuses; [`Error::Internal`] if `store` lacks a buffer.
    pub fn new(device: &Device, plan: Arc<Plan>, store: &Store) -> Result<Self> {
        Self::with_pool(device, plan, store, &mut Pool::default())
    }

    /// As [`Executor::new`], with the activation buffers of `pool`: for executors that take turns. An output stays
    /// valid until another one runs.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub fn with_pool(
        device: &Device,
        plan: Arc<Plan>,
        store: &Store,
        pool: &mut Pool,
    ) -> Result<Self> {
        let mut owned: HashMap<usize, wgpu::Buffer> =
            pool.take(device, &plan)?.into_iter().collect();
        for (i, decl) in plan.buffers.iter().enumerate() {
            if decl.class == BufferClass::Arena {
                owned.insert(i, create_buffer(device, &decl.name, decl.bytes)?);
            }
        }
        let mut bytes = vec![0; plan.params_bytes as usize];
        for dispatch in &plan.dispatches {
            let params = &dispatch.call.params;
            bytes[dispatch.params_at as usize..][..params.len()].copy_from_slice(params);
        }
        let uniform = |label, size| {
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            let descriptor = wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            };
            device.device.create_buffer(&descriptor)
        };
        let scopes = device.begin();
        let params = uniform("parameters", bytes.len() as u64);
        device.queue.write_buffer(&params, 0, &bytes);
        let steps = uniform("step blocks", STEP_BLOCKS_BYTES);
        let numbers = launch::iteration_numbers(&plan);
        let iterations = (!numbers.is_empty()).then(|| {
            let buffer = uniform("iterations", numbers.len() as u64);
            device.queue.write_buffer(&buffer, 0, &numbers);
            buffer
        });
        device.end(scopes, "allocating uniform buffers")?;
        let faults = Faults::of(device, &plan)?;
        let mut this = Self {
            device: device.clone(),
            plan,
            owned,
            params,
            steps,
            iterations,
            launches: Vec::new(),
            faults,
            bound: HashMap::new(),
            steps_per_submit: None,
            submit_ends: Vec::new(),
            in_flight: VecDeque::new(),
            runs: 0,
            offsets: Vec::new(),
        };
        this.bind(store)?;
        Ok(this)
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Binds the plan to the present buffers of `store`. Does nothing if they are the same as before.
    ///
    /// # Errors
    /// [`Error::Internal`] if a buffer is missing or too small; [`Error::Gpu`] if the device refuses.
    pub fn bind(&mut self, store: &Store) -> Result<()> {
        if self.is_bound_to(store) {
            return Ok(());
        }
        let mut bound = HashMap::new();
        for (i, decl) in self.plan.buffers.iter().enumerate() {
            if !self.owned.contains_key(&i) {
                let buffer = match &decl.content {
                    Some(constant) => store.constant(constant)?,
                    None => store.buffer(&decl.name)?.clone(),
                };
                if buffer.size() < decl.bytes {
                    let detail =
                        format!("`{}` has {} bytes of {}", decl.name, buffer.size(), decl.bytes);
                    return Err(Error::internal("executor", detail));
                }
                bound.insert(i, buffer);
            }
        }
        self.bound = bound;
        let plan = self.plan.clone();
        #[cfg(not(target_arch = "wasm32"))]
        let new = self.device.pipelines.prepare(&self.device, &plan.dispatches)?;
        let mut launches = Vec::with_capacity(plan.dispatches.len());
        for i in 0..plan.dispatches.len() {
            launches.push(Launch::new(self, i)?);
        }
        self.launches = launches;
        #[cfg(not(target_arch = "wasm32"))]
        if new {
            self.device.pipelines.save();
        }
        Ok(())
    }

    /// Whether the plan is bound to the present buffers of `store`.
    fn is_bound_to(&self, store: &Store) -> bool {
        let decl = |i: usize| &self.plan.buffers[i];
        // A constant has the same content in every store.
        let same = |i: usize, b| decl(i).content.is_some() || store.get(&decl(i).name) == Some(b);
        !self.launches.is_empty() && self.bound.iter().all(|(&i, b)| same(i, b))
    }

    /// Reads an output of the last run.
    ///
    /// # Errors
    /// [`Error::Internal`] for an unknown name; [`Error::Gpu`] if the device fails.
    pub async fn read(&self, name: &str) -> Result<Tensor> {
        self.read_later(name)?.tensor().await
    }

    /// Asks for an output of the last run; later runs may be under way before it is waited for.
    ///
    /// # Errors
    /// As [`Executor::read`].
    pub fn read_later(&self, name: &str) -> Result<PendingOutput> {
        let output = self.plan.outputs.iter().find(|o| o.name == name).ok_or_else(|| {
            Error::internal("executor", format!("the plan has no output `{name}`"))
        })?;
        let buffer = self.buffer(output.region.buffer)?;
        let len = output.shape.len() * output.dtype.size();
        let readback = Readback::of(&self.device, buffer, output.region.offset, len)?;
        Ok(PendingOutput { readback, shape: output.shape.clone(), dtype: output.dtype })
    }

    /// The uniform buffers: parameters, step words, numbers of iterations.
    pub(super) const fn uniforms(&self) -> [Option<&wgpu::Buffer>; 3] {
        [Some(&self.params), Some(&self.steps), self.iterations.as_ref()]
    }

    /// A buffer of the plan.
    pub(super) fn buffer(&self, index: usize) -> Result<&wgpu::Buffer> {
        self.owned.get(&index).or_else(|| self.bound.get(&index)).ok_or_else(|| {
            Error::internal("executor", format!("buffer {index} of the plan is not bound"))
        })
    }
}

/// An output on its way to the host.
#[derive(Debug)]
pub struct PendingOutput {
    readback: Readback,
    shape: Shape,
    dtype: DType,
}

impl PendingOutput {
    /// Waits for the run that the output comes from, and returns the output.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the device fails.
    pub async fn tensor(self) -> Result<Tensor> {
        let bytes = self.readback.bytes().await?;
        let data = match self.dtype {
            DType::F32 => Data::F32(bytemuck::pod_collect_to_vec(&bytes)),
            DType::U32 => Data::U32(bytemuck::pod_collect_to_vec(&bytes)),
            DType::U8 => Data::U8(bytes),
        };
        Tensor::new(self.shape, data)
    }
}
