//! What the benchmarks share: a compiled graph that runs many steps for one wait.

pub mod cpu;
mod times;

pub use times::Times;

use anyhow::Result;
use criterion::Criterion;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wgrad::Error;
use wgrad::gpu::{Device, Executor, StepBlock, Store};
use wgrad::graph::Graph;
use wgrad::kernels::DeviceCaps;
use wgrad::layers::Sequential;
use wgrad::passes::Passes;
use wgrad::plan::{BufferClass, Plan};
use wgrad::prelude::*;
use wgrad::tensor::DType;
use wgrad::train::Batch;

/// Operations of a submit: some hundred milliseconds on a slow GPU, on which a watchdog may end what takes seconds.
const SUBMIT_FLOPS: u64 = 1 << 38;

/// A plan with its buffers.
pub struct Runner {
    device: Device,
    executor: Executor,
}

impl Runner {
    /// Compiles `graph`; inputs and states hold small random numbers.
    ///
    /// # Errors
    /// Those of the plan and the device.
    pub fn new(device: &Device, graph: &Graph) -> Result<Self, Error> {
        Self::from_plan(device, Plan::compile(graph, &Passes::default(), device.caps())?)
    }

    /// Binds a plan to buffers with small random numbers in them.
    ///
    /// # Errors
    /// Those of the device.
    pub fn from_plan(device: &Device, plan: Plan) -> Result<Self, Error> {
        Self::with(device, plan, &[])
    }

    /// As [`Runner::from_plan`], with these tensors in the buffers of their names.
    ///
    /// # Errors
    /// Those of the device.
    pub fn with(device: &Device, plan: Plan, feeds: &[(&str, Tensor)]) -> Result<Self, Error> {
        let mut store = Store::new(device);
        for (i, decl) in plan.buffers.iter().enumerate() {
            if matches!(decl.class, BufferClass::Input | BufferClass::State) {
                if let Some((name, tensor)) = feeds.iter().find(|f| f.0 == decl.name) {
                    store.upload(name, tensor)?;
                    continue;
                }
                // Index buffers hold zeros, which are valid rows; bytes of small floats elsewhere.
                if decl.name.ends_with("/order") || decl.name.ends_with("/y") {
                    store.allocate(&decl.name, decl.bytes)?;
                } else {
                    let values = uniform(i as u64, decl.bytes as usize / 4);
                    store.upload(&decl.name, &Tensor::f32([values.len()], values)?)?;
                }
            }
        }
        let flops: u64 = plan.dispatches.iter().map(|d| d.call.flops).sum();
        let mut executor = Executor::new(device, Arc::new(plan), &store)?;
        executor.set_steps_per_submit((SUBMIT_FLOPS / flops.max(1)) as usize);
        Ok(Self { device: device.clone(), executor })
    }

    /// Seconds for `steps` steps and one wait.
    ///
    /// # Errors
    /// Those of the device.
    pub fn time(&mut self, steps: u64) -> Result<Duration, Error> {
        let blocks = vec![StepBlock::default(); steps as usize];
        let start = Instant::now();
        self.executor.run(&blocks)?;
        self.device.wait()?;
        Ok(start.elapsed())
    }

    /// The least times of a step over `rounds` of `steps` each, after one step that is not measured.
    ///
    /// # Errors
    /// Those of the device.
    pub fn least(&mut self, rounds: usize, steps: u64) -> Result<Times, Error> {
        self.time(1)?;
        let mut least = Times { clock: f64::MAX, processor: None };
        for _ in 0..rounds {
            let before = adapter_time(&self.device);
            let clock = self.time(steps)?;
            let used = adapter_time(&self.device).zip(before).map(|(after, before)| after - before);
            let ms = |t: Duration| 1e3 * t.as_secs_f64() / steps as f64;
            least = least.least(Times { clock: ms(clock), processor: used.map(ms) });
        }
        Ok(least)
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.executor.plan()
    }
}

/// Uniform numbers in [-0.05, 0.05).
#[must_use]
pub fn uniform(stream: u64, len: usize) -> Vec<f32> {
    Initializer::Uniform { low: -0.05, high: 0.05 }.fill(len, 1, 1, 0, stream)
}

/// The plan of one training step on MNIST-shaped data: 784, the hidden layers, 10; ReLU, Adam, accuracy.
///
/// # Errors
/// Those of the model and the device.
pub fn training_step(device: &Device, hidden: &[usize], size: usize) -> Result<Plan, Error> {
    let mut model = Sequential::new([784]);
    for &units in hidden {
        model = model.add(Dense::new(units).activation(Activation::Relu));
    }
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(Adam::default(), loss).metrics([Metric::Accuracy]);
    let trainer = model.add(Dense::new(10)).compile(device, compile)?;
    let x = wgrad::graph::TensorType { shape: [4096, 784].into(), dtype: DType::U8 };
    let y = wgrad::graph::TensorType { shape: [4096].into(), dtype: DType::U32 };
    let batch = Batch { scale: 1.0 / 255.0, ..Batch::new("train", x, y, size, 64) };
    trainer.plan(&batch, true)
}

/// wgpu's no-op backend under stated capabilities: what a step costs the host alone.
#[must_use]
pub fn noop_device(caps: DeviceCaps) -> Device {
    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor {
        required_limits: wgpu::Limits {
            max_storage_buffers_per_shader_stage: 8,
            ..wgpu::Limits::default()
        },
        ..Default::default()
    });
    Device::from_wgpu(device, queue, caps)
}

/// Processor time of this process so far, over all threads, if the system counts it (Linux): on a machine
/// that others use too it scatters far less than time on the clock.
#[must_use]
pub fn processor_time() -> Option<Duration> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds = tasks.map(|task| -> Option<u64> {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    });
    nanoseconds.sum::<Option<u64>>().map(Duration::from_nanos)
}

/// [`processor_time`] if the adapter is the processor: on a GPU the processor only waits.
#[must_use]
pub fn adapter_time(device: &Device) -> Option<Duration> {
    device.caps().cpu.then(processor_time).flatten()
}

/// Criterion with short measurements: kernels are timed over many steps each.
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args()
}

/// A measured duration, or the end of the benchmark with the error's message, because there is no caller to return it to.
pub fn timed(result: Result<Duration, Error>) -> Duration {
    result.unwrap_or_else(|e| {
        eprintln!("benchmark failed: {e}");
        std::process::exit(1)
    })
}
