//! Everything that knows wgpu: device choice, buffers, pipelines, the executor and readback.

mod adapters;
mod cache;
mod device;
mod executor;
mod failure;
mod faults;
mod info;
mod launch;
mod memory;
mod options;
mod pipelines;
mod pool;
mod readback;
mod run;
mod store;
mod timed;
#[cfg(not(target_arch = "wasm32"))]
mod vulkan_cache;
mod wait;

pub use device::Device;
pub use executor::{Executor, PendingOutput, StepBlock};
pub use info::AdapterInfo;
pub use options::DeviceOptions;
pub use pool::Pool;
pub(crate) use store::CopiedPart;
pub use store::Store;
#[cfg(not(target_arch = "wasm32"))]
pub use wait::block_on;
