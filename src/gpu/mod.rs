//! Everything that knows wgpu: device choice, buffers, pipelines, the executor and readback.

mod cache;
mod device;
mod executor;
mod failure;
mod launch;
mod memory;
mod options;
mod pipelines;
mod pool;
mod readback;
mod store;
mod timed;
#[cfg(not(target_arch = "wasm32"))]
mod vulkan_cache;

pub use device::{AdapterInfo, Device};
pub use executor::{Executor, PendingOutput, StepBlock};
pub use options::DeviceOptions;
pub use pool::Pool;
pub use store::Store;

/// Runs a future to its end on this thread: the blocking form of the asynchronous calls.
#[cfg(not(target_arch = "wasm32"))]
pub fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}
