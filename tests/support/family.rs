//! Which kernels run: those of the adapter, or those of another kind of adapter. Each kind can run on each adapter.

#![allow(dead_code, reason = "each test binary includes the whole module and uses a part of it")]

use wgrad::gpu::{Device, DeviceOptions, block_on};
use wgrad::kernels::{DeviceCaps, MatmulFamily};
use wgrad::{Error, Result};

/// A GPU without subgroups and 64-bit words: it reduces through workgroup memory, multiplies in tiles, and goes through
/// time in a loop of launches.
pub fn as_gpu(own: &DeviceCaps) -> DeviceCaps {
    let plain = DeviceCaps { cpu: false, subgroup: None, wide_words: false, ..own.clone() };
    // As a GPU's 48 KiB. Kernels take 32 of them, which software Vulkan has.
    let memory =
        if own.max_workgroup_memory < 32 << 10 { own.max_workgroup_memory } else { 48 << 10 };
    DeviceCaps { matmul: MatmulFamily::Tiled, max_workgroup_memory: memory, ..plain }
}

/// A CPU adapter in a browser: no subgroups, so rows and products are those of single lanes, and all steps of time are
/// one kernel.
pub fn as_cpu(own: &DeviceCaps) -> DeviceCaps {
    DeviceCaps { cpu: true, matmul: MatmulFamily::Direct, ..as_gpu(own) }
}

/// Opens a device for tests. `WGRAD_TEST_FAMILY` says which kernels it runs: `gpu`, `cpu`, or its own if it is not set.
pub fn open(options: &DeviceOptions) -> Result<Device> {
    let device = block_on(Device::open(options))?;
    let family = std::env::var("WGRAD_TEST_FAMILY").unwrap_or_default();
    let caps = match family.as_str() {
        "" => return Ok(device),
        "gpu" => as_gpu(device.caps()),
        "cpu" => as_cpu(device.caps()),
        _ => return Err(Error::parameter("WGRAD_TEST_FAMILY", family, "gpu or cpu is expected")),
    };
    Ok(device.with_caps(caps))
}
