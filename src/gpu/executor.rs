//! Replays a plan: pipelines, buffers and bind groups are made once, and one submit has many encoded steps.

use super::launch::Launch;
use super::readback::Readback;
use super::store::create_buffer;
use super::{Device, Pool, Store, launch};
use crate::error::{Error, Result};
use crate::kernels::{STEP_BLOCKS_BYTES, STEP_WORDS, STEPS_PER_SUBMIT};
use crate::plan::{self, BufferClass, Plan};
use crate::tensor::{DType, Data, Shape, Tensor};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Submits that may be under way before the host waits.
const IN_FLIGHT: usize = 2;

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
    plan: Arc<Plan>,
    /// Its own arenas, and activations from a pool, by plan index.
    owned: HashMap<usize, wgpu::Buffer>,
    params: wgpu::Buffer,
    steps: wgpu::Buffer,
    /// The numbers of iterations, if a kernel reads them.
    iterations: Option<wgpu::Buffer>,
    pub(super) launches: Vec<Launch>,
    /// The external buffers that the bind groups refer to.
    bound: HashMap<usize, wgpu::Buffer>,
    steps_per_submit: Option<usize>,
    /// The end of each submit of a step, as a position in the plan's order; empty if a step is one submit.
    submit_ends: Vec<usize>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    /// Room for dynamic offsets.
    offsets: Vec<u32>,
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
        let mut this = Self {
            device: device.clone(),
            plan,
            owned,
            params,
            steps,
            iterations,
            launches: Vec::new(),
            bound: HashMap::new(),
            steps_per_submit: None,
            submit_ends: Vec::new(),
            in_flight: VecDeque::new(),
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

    /// How many steps share a submit, if that was set.
    #[must_use]
    pub const fn steps_per_submit(&self) -> Option<usize> {
        self.steps_per_submit
    }

    /// Sets how many steps share a submit: 1 to 64. A submit should stay well under a driver's watchdog.
    pub fn set_steps_per_submit(&mut self, steps: usize) {
        self.steps_per_submit = Some(steps.clamp(1, STEPS_PER_SUBMIT));
    }

    /// Divides each step over this many submits, but over no more than it has dispatches: each submit has at least one.
    /// For steps that take so long by themselves that a driver's watchdog might take a single submit for a hang.
    /// Several steps share a submit only if they are not divided.
    pub fn set_submits_per_step(&mut self, submits: usize) {
        self.submit_ends.clear();
        if submits > 1 {
            let cost = self.plan.order().map(|launch| {
                // An estimate is enough: what a dispatch computes and moves, and the least that it takes.
                let dispatch = &self.plan.dispatches[launch.dispatch];
                dispatch.call.flops + dispatch.bytes_read + dispatch.bytes_written + 1
            });
            self.submit_ends = submit_ends(&cost.collect::<Vec<u64>>(), submits);
        }
    }

    /// Runs the plan once for each block. Several steps share an upload, a pass and a submit; the host waits
    /// only for the submit before the last, so that work neither piles up nor runs dry.
    ///
    /// # Errors
    /// [`Error::Gpu`] for any failure reported by now.
    pub fn run(&mut self, blocks: &[StepBlock]) -> Result<()> {
        let scopes = self.device.begin();
        let together = self.steps_per_submit.unwrap_or(STEPS_PER_SUBMIT);
        let plan = self.plan.clone();
        if self.submit_ends.is_empty() {
            for chunk in blocks.chunks(together) {
                self.make_room()?;
                self.upload(chunk);
                let steps = chunk.iter().enumerate();
                let all = steps.flat_map(|step| plan.order().map(move |launch| (step, launch)));
                self.submit(all);
            }
        } else {
            for block in blocks {
                let (mut order, mut start) = (plan.order(), 0);
                for part in 0..self.submit_ends.len() {
                    self.make_room()?;
                    if part == 0 {
                        self.upload(std::slice::from_ref(block));
                    }
                    let end = self.submit_ends[part];
                    let some = order.by_ref().take(end - start);
                    self.submit(some.map(|launch| ((0, block), launch)));
                    start = end;
                }
            }
        }
        self.device.end(scopes, "running a plan")
    }

    /// Waits until another submit may be under way.
    fn make_room(&mut self) -> Result<()> {
        match self.in_flight.len() {
            0..IN_FLIGHT => Ok(()),
            _ => self.device.poll_until(self.in_flight.pop_front(), "running a plan"),
        }
    }

    /// Uploads the words of the steps that come next.
    pub(super) fn upload(&self, blocks: &[StepBlock]) {
        self.device.queue.write_buffer(&self.steps, 0, bytemuck::cast_slice(blocks));
    }

    /// Submits launches in one compute pass, each with the place and the words of its step.
    fn submit<'a>(
        &mut self,
        launches: impl Iterator<Item = ((usize, &'a StepBlock), plan::Launch)>,
    ) {
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (step, launch) in launches {
            let iterations = &launch.iterations;
            let offsets = &mut self.offsets;
            self.launches[launch.dispatch].encode(&mut pass, step, iterations, offsets);
        }
        drop(pass);
        self.in_flight.push_back(self.device.queue.submit([encoder.finish()]));
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

/// Cuts dispatches of these costs into at most `parts` runs of about the same cost: the end of each.
fn submit_ends(cost: &[u64], parts: usize) -> Vec<usize> {
    let total: u64 = cost.iter().sum();
    let mut ends = Vec::new();
    let mut done = 0;
    for (i, cost) in cost.iter().enumerate() {
        done += cost;
        let due = (ends.len() as u128 + 1) * u128::from(total);
        if u128::from(done) * parts as u128 >= due {
            ends.push(i + 1);
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_divided_by_its_cost() {
        assert_eq!(submit_ends(&[1, 1, 1, 1], 2), [2, 4]);
        assert_eq!(submit_ends(&[1, 1, 1, 1], usize::MAX), [1, 2, 3, 4]);
        assert_eq!(submit_ends(&[5], 3), [1]);
        assert!(submit_ends(&[], 3).is_empty());
        // One long dispatch is a part by itself, and short ones go with their neighbours.
        assert_eq!(submit_ends(&[1, 100, 1, 1], 2), [2, 4]);
        assert_eq!(submit_ends(&[100, 1, 1, 1, 100], 2), [3, 5]);
        for parts in 2..9 {
            let ends = submit_ends(&[3, 1, 4, 1, 5, 9, 2, 6], parts);
            assert!(ends.len() <= parts && ends.last() == Some(&8), "{parts}: {ends:?}");
            assert!(ends.windows(2).all(|w| w[0] < w[1]), "{parts}: {ends:?}");
        }
    }
}
