//! Replays a plan: pipelines, buffers and bind groups are made once, steps are encoded many to a submit.

use super::pipelines::{PARAMS_BINDING, Pipeline, STEP_BINDING};
use super::readback::Readback;
use super::store::create_buffer;
use super::{Device, Pool, Store};
use crate::error::{Error, Result};
use crate::kernels::{STEP_BLOCKS_BYTES, STEP_BYTES, STEP_WORDS, STEPS_PER_SUBMIT};
use crate::plan::{BufferClass, Plan, Slot};
use crate::tensor::{DType, Data, Shape, Tensor};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Submits that may be under way before the host waits.
const IN_FLIGHT: usize = 2;

/// The words that one step reads.
#[derive(Debug, Clone, Copy)]
pub struct StepBlock([u32; STEP_WORDS]);

impl Default for StepBlock {
    fn default() -> Self {
        Self([0; STEP_WORDS])
    }
}

impl StepBlock {
    /// Sets a parameter of `plan`; a name that the plan does not read is ignored.
    pub fn set_f32(&mut self, plan: &Plan, name: &str, value: f32) {
        self.set_u32(plan, name, value.to_bits());
    }

    /// As [`StepBlock::set_f32`], for a u32 parameter.
    pub fn set_u32(&mut self, plan: &Plan, name: &str, value: u32) {
        if let Some(i) = plan.step_param(name) {
            self.0[i] = value;
        }
    }
}

pub(super) struct Launch {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    /// Bindings that move from step to step, in binding order.
    slots: Vec<Slot>,
    step: bool,
    grid: [u32; 3],
}

impl Launch {
    /// Encodes the dispatch for the step whose words are the `step`-th that were uploaded. `offsets` is room for
    /// the dynamic offsets.
    pub(super) fn encode(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        step: usize,
        block: &StepBlock,
        offsets: &mut Vec<u32>,
    ) {
        offsets.clear();
        let slot = |s: &Slot| block.0[s.word].wrapping_mul(s.stride as u32);
        offsets.extend(self.slots.iter().map(slot));
        offsets.extend(self.step.then_some((step * STEP_BYTES) as u32));
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.group, &*offsets);
        let [x, y, z] = self.grid;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// A plan bound to buffers, ready to run.
pub struct Executor {
    pub(super) device: Device,
    plan: Arc<Plan>,
    /// Arenas of its own and activations from a pool, by plan index.
    owned: HashMap<usize, wgpu::Buffer>,
    params: wgpu::Buffer,
    steps: wgpu::Buffer,
    pub(super) launches: Vec<Launch>,
    /// The external buffers that the bind groups refer to.
    bound: HashMap<usize, wgpu::Buffer>,
    steps_per_submit: Option<usize>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
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
    /// [`Error::Gpu`] where the device refuses; [`Error::Internal`] where `store` lacks a buffer.
    pub fn new(device: &Device, plan: Arc<Plan>, store: &Store) -> Result<Self> {
        Self::with_pool(device, plan, store, &mut Pool::default())
    }

    /// As [`Executor::new`], with the activation buffers of `pool`: for executors that take turns. An output holds
    /// until another one runs.
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
        let params = uniform("parameters", bytes.len() as u64);
        device.queue.write_buffer(&params, 0, &bytes);
        let steps = uniform("step blocks", STEP_BLOCKS_BYTES);
        device.check("allocating uniform buffers")?;
        let mut this = Self {
            device: device.clone(),
            plan,
            owned,
            params,
            steps,
            launches: Vec::new(),
            bound: HashMap::new(),
            steps_per_submit: None,
            in_flight: VecDeque::new(),
        };
        this.bind(store)?;
        Ok(this)
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Binds the plan to the present buffers of `store`. Does nothing where they are the same as before.
    ///
    /// # Errors
    /// [`Error::Internal`] where a buffer is missing or too small; [`Error::Gpu`] where the device refuses.
    pub fn bind(&mut self, store: &Store) -> Result<()> {
        let mut bound = HashMap::new();
        for (i, decl) in self.plan.buffers.iter().enumerate() {
            if !self.owned.contains_key(&i) {
                let buffer = store.buffer(&decl.name)?;
                if buffer.size() < decl.bytes {
                    let detail =
                        format!("`{}` has {} bytes of {}", decl.name, buffer.size(), decl.bytes);
                    return Err(Error::internal("executor", detail));
                }
                bound.insert(i, buffer.clone());
            }
        }
        if !self.launches.is_empty() && bound == self.bound {
            return Ok(());
        }
        self.bound = bound;
        let plan = self.plan.clone();
        #[cfg(not(target_arch = "wasm32"))]
        let new = self.device.pipelines.prepare(&self.device, &plan.dispatches)?;
        let mut launches = Vec::with_capacity(plan.dispatches.len());
        for dispatch in &plan.dispatches {
            let pipeline = self.device.pipelines.get(&self.device, dispatch)?;
            let mut entries = Vec::new();
            for (binding, (region, _)) in dispatch.bindings.iter().enumerate() {
                let buffer = self.buffer(region.buffer)?;
                entries.push(bind(binding as u32, buffer, region.offset, region.bytes));
            }
            let params = dispatch.call.params.len() as u64;
            entries.push(bind(PARAMS_BINDING, &self.params, dispatch.params_at, params));
            if dispatch.call.step {
                entries.push(bind(STEP_BINDING, &self.steps, 0, STEP_BYTES as u64));
            }
            let group = self.device.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(dispatch.call.template),
                layout: &pipeline.layout,
                entries: &entries,
            });
            self.device.check(&format!("binding {}", dispatch.label))?;
            let slots = dispatch.bindings.iter().filter_map(|(region, _)| region.slot).collect();
            let (step, grid) = (dispatch.call.step, dispatch.call.grid);
            launches.push(Launch { pipeline, group, slots, step, grid });
        }
        self.launches = launches;
        #[cfg(not(target_arch = "wasm32"))]
        if new {
            self.device.pipelines.save();
        }
        Ok(())
    }

    /// How many steps share a submit, where that was set.
    #[must_use]
    pub const fn steps_per_submit(&self) -> Option<usize> {
        self.steps_per_submit
    }

    /// Sets how many steps share a submit: 1 to 64. A submit should stay well under a driver's watchdog.
    pub fn set_steps_per_submit(&mut self, steps: usize) {
        self.steps_per_submit = Some(steps.clamp(1, STEPS_PER_SUBMIT));
    }

    /// Runs the plan once for each block. Several steps share an upload, a pass and a submit; the host waits
    /// only for the submit before the last, so that work neither piles up nor runs dry.
    ///
    /// # Errors
    /// [`Error::Gpu`] for any failure reported by now.
    pub fn run(&mut self, blocks: &[StepBlock]) -> Result<()> {
        for chunk in blocks.chunks(self.steps_per_submit.unwrap_or(STEPS_PER_SUBMIT)) {
            if self.in_flight.len() >= IN_FLIGHT {
                self.device.poll_until(self.in_flight.pop_front(), "running a plan")?;
            }
            self.upload(chunk);
            let mut encoder = self.device.device.create_command_encoder(&Default::default());
            self.encode(&mut encoder, chunk);
            self.in_flight.push_back(self.device.queue.submit([encoder.finish()]));
        }
        self.device.check("running a plan")
    }

    /// Uploads the words of the steps that come next.
    pub(super) fn upload(&self, blocks: &[StepBlock]) {
        let words: Vec<u32> = blocks.iter().flat_map(|b| b.0).collect();
        self.device.queue.write_buffer(&self.steps, 0, bytemuck::cast_slice(&words));
    }

    /// Encodes a replay per block into one compute pass.
    fn encode(&self, encoder: &mut wgpu::CommandEncoder, blocks: &[StepBlock]) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        let mut offsets = Vec::new();
        for (step, block) in blocks.iter().enumerate() {
            for launch in &self.launches {
                launch.encode(&mut pass, step, block, &mut offsets);
            }
        }
    }

    /// Reads an output of the last run.
    ///
    /// # Errors
    /// [`Error::Internal`] for an unknown name; [`Error::Gpu`] where the device fails.
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

    fn buffer(&self, index: usize) -> Result<&wgpu::Buffer> {
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
    /// Waits for the run that it comes from, and gives it.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device fails.
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

fn bind(binding: u32, buffer: &wgpu::Buffer, offset: u64, size: u64) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry {
        binding,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset,
            size: std::num::NonZeroU64::new(size),
        }),
    }
}
