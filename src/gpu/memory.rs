//! How much memory an adapter has. Of the APIs that wgpu drives, Vulkan alone is asked.

/// Bytes of the largest heap that is the device's own, or of any where it shares the host's memory and its own is a
/// small part of that; `None` where the backend does not tell.
#[cfg(not(any(target_arch = "wasm32", target_vendor = "apple")))]
pub(super) fn bytes_of(adapter: &wgpu::Adapter) -> Option<u64> {
    /// `VK_MEMORY_HEAP_DEVICE_LOCAL_BIT`.
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: nothing of the hal adapter is destroyed or kept past the guard, whose instance and physical device
    // are alive while it is; the query has no other condition (Vulkan, vkGetPhysicalDeviceMemoryProperties).
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
