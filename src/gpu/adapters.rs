//! The instance of wgpu and its adapters, in order.

use std::ops::Deref;

/// Why there is no adapter, and what to do.
#[cfg(not(target_arch = "wasm32"))]
pub(super) const NONE_FOUND: &str = "none was found; install a Vulkan, Metal or DX12 driver (software Vulkan: the package \
     mesa-vulkan-drivers), or clear WGPU_BACKEND";
#[cfg(target_arch = "wasm32")]
pub(super) const NONE_FOUND: &str = "the browser gives none; use a browser with WebGPU that is switched on (Chrome or Edge 113, \
     Safari 26, Firefox 141, or later), and open the page over https or from localhost";

/// The rank of software.
pub(super) const CPU: u8 = 4;

/// Lower is better.
pub(super) fn rank(info: &wgpu::AdapterInfo) -> u8 {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => CPU,
    }
}

fn new_instance() -> wgpu::Instance {
    // `WGPU_BACKEND` narrows the backends.
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env())
}

/// The instance of the process, for one caller at a time. It is never dropped: if threads open or close instances at the same
/// time, NVIDIA's driver for Linux crashes or hangs. For the same reason no two devices are opened at once.
#[cfg(not(target_arch = "wasm32"))]
pub(super) async fn instance() -> impl Deref<Target = wgpu::Instance> {
    use futures_intrusive::sync::Mutex;
    static INSTANCE: std::sync::OnceLock<Mutex<wgpu::Instance>> = std::sync::OnceLock::new();
    INSTANCE.get_or_init(|| Mutex::new(new_instance(), true)).lock().await
}

/// A browser has one thread, and its instance holds nothing.
#[cfg(target_arch = "wasm32")]
pub(super) async fn instance() -> impl Deref<Target = wgpu::Instance> {
    Box::new(new_instance())
}

#[cfg(not(target_arch = "wasm32"))]
async fn all_adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    instance.enumerate_adapters(wgpu::Backends::all() - wgpu::Backends::NOOP).await
}

/// A browser gives one adapter: here the fastest, in place of the one that saves power.
#[cfg(target_arch = "wasm32")]
async fn all_adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    instance.request_adapter(&options).await.into_iter().collect()
}

/// The adapters that can be opened, best first.
pub(super) async fn sorted_adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let mut adapters = all_adapters(instance).await;
    // Adapters without compute shaders cannot run a kernel.
    adapters.retain(|a| {
        let flags = a.get_downlevel_capabilities().flags;
        flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
    });
    let of_rank = |wanted| adapters.iter().filter(move |a| rank(&a.get_info()) == wanted);
    (0..=CPU).flat_map(of_rank).cloned().collect()
}
