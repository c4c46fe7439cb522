//! Says whether the library computes correctly on this machine, and what to do if not.

use crate::checks;
use anyhow::{Result, bail};
use wgrad::gpu::Device;
use wgrad::kernels::{DeviceCaps, MatmulFamily, matmul_rule};
use wgrad::wgpu::Features;

/// Prints the adapters, what the chosen one can do, and what each check says. The error is that no adapter opens, or
/// how many checks failed.
pub fn run() -> Result<()> {
    for adapter in Device::adapters() {
        println!("found  {adapter}");
    }
    let device = match Device::new() {
        Err(e) if !matches!(e, wgrad::Error::NoAdapter(_)) => {
            bail!("the adapter cannot be opened: {e}\n{BROKEN}")
        }
        opened => opened?,
    };
    describe(&device);
    let all = checks::all(&device);
    let (mut failed, count) = (0, all.len());
    for (name, said) in all {
        match said {
            Ok(said) => println!("ok     {name}: {said}"),
            Err(e) => {
                failed += 1;
                println!("FAILED {name}: {e:#}");
            }
        }
    }
    let kind = if device.caps().cpu { "CPU" } else { "GPU" };
    println!("result: checks={count} failed={failed} kind={kind}");
    if failed > 0 {
        bail!("{failed} of {count} checks failed\n{BROKEN}");
    }
    Ok(())
}

/// What to do if there is no adapter.
pub const ADVICE: &str = "  Linux: install the GPU's Vulkan driver and the loader (Debian, Ubuntu: libvulkan1; `vulkaninfo` shows what is found).
  In a container: NVIDIA_DRIVER_CAPABILITIES must have `graphics`, and /dev/dri or /dev/nvidia* must be there.
  Without a GPU: software Vulkan (Debian, Ubuntu: mesa-vulkan-drivers).
  WGRAD_ADAPTER and WGPU_BACKEND, if they are set, may keep an adapter away.";

/// What to do if an adapter computes something else.
const BROKEN: &str = "  Update the driver. Run again with WGRAD_CHECKED=1 (shaders with all checks), with WGRAD_CACHE= (nothing kept from
  earlier runs) and with another adapter (WGRAD_ADAPTER=NAME): what makes it right shows where the defect is.";

/// Prints the chosen adapter and what matters about it.
fn describe(device: &Device) {
    let (caps, features) = (device.caps(), device.wgpu().0.features());
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let has = |feature: Features| if features.contains(feature) { "yes" } else { "no" };
    let lanes = match caps.subgroup {
        None => "not told, no subgroups".into(),
        Some((a, b)) if a == b => format!("{a}, the size of subgroups"),
        Some((a, b)) => format!("{a} to {b}, the size of subgroups"),
    };
    println!("taken  {}", device.info());
    println!("       lanes: {lanes}");
    println!("       driver: {}, generation: {}", device.info().driver, caps.driver);
    if caps.cpu {
        println!("       vector registers of the processor: {}", caps.vector_registers);
    }
    products(caps);
    println!("       timestamp queries: {}", has(Features::TIMESTAMP_QUERY));
    println!("       pipeline cache: {}", has(Features::PIPELINE_CACHE));
    println!("       invocations per workgroup: {}", caps.max_invocations);
    println!("       workgroup memory: {} KiB", caps.max_workgroup_memory >> 10);
    println!("       largest binding: {}", mib(caps.max_binding_bytes));
    println!("       largest buffer: {}", mib(caps.max_buffer_bytes));
    println!("       memory: {}", caps.memory_bytes.map_or("not told".into(), mib));
    if caps.cpu {
        println!("note   this is software Vulkan: it computes the same, on the processor");
    }
}

/// Prints which kernels multiply matrices, and why.
fn products(caps: &DeviceCaps) {
    let (preferred, why) = caps.preferred_matmul();
    let why = if caps.matmul == preferred { why } else { "the caller chose it" };
    println!("       family of products: {:?}: {why}", caps.matmul);
    let kernel = |side| matmul_rule(caps, [side; 3]).tile;
    let (small, middle, large) = (kernel(64), kernel(512), kernel(2048));
    println!("       kernels of products: {small} at 64³, {middle} at 512³, {large} at 2048³");
    if caps.matmul == MatmulFamily::Tiled {
        println!(
            "       units that a large product fills: {} (128 if the name is not known)",
            caps.units
        );
    }
    println!("       rows by `tune`, which go before: {}", caps.tuned.len());
    println!("       64-bit words: {}", if caps.wide_words { "yes" } else { "no" });
}
