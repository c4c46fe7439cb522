//! How much memory an adapter has. wgpu drives several APIs, but only Vulkan is asked.

/// Bytes of the device's own largest heap. A device that shares the host's memory has only a small own heap, so for it
/// the largest of all heaps counts. `None` if the backend does not tell.
#[cfg(not(any(target_arch = "wasm32", target_vendor = "apple")))]
pub(super) fn bytes_of(adapter: &wgpu::Adapter) -> Option<u64> {
    /// `VK_MEMORY_HEAP_DEVICE_LOCAL_BIT`.
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: nothing of the hal adapter is destroyed or kept longer than the guard. Its instance and physical device
    // are alive while the guard is; the query has no other condition (Vulkan, vkGetPhysicalDeviceMemoryProperties).
    let properties = unsafe {
        let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = adapter.shared_instance().raw_instance();
        instance.get_physical_device_memory_properties(adapter.raw_physical_device())
    };
    let heaps = &properties.memory_heaps[..properties.memory_heap_count as usize];
    let shared = adapter.get_info().device_type == wgpu::DeviceType::IntegratedGpu;
    let usable = heaps.iter().filter(|heap| shared || heap.flags.as_raw() & DEVICE_LOCAL != 0);
    usable.map(|heap| heap.size).max()
}

#[cfg(any(target_arch = "wasm32", target_vendor = "apple"))]
pub(super) fn bytes_of(_adapter: &wgpu::Adapter) -> Option<u64> {
    None
}
