//! The device that compiled pipelines are for, as Vulkan's own header says.
//!
//! wgpu compares the vendor, the device and the driver's version, and takes the driver's data as it is. A driver may
//! not survive the data of another one, so its header is checked here too: length, version, vendor, device and UUID, in
//! 32 bytes (Vulkan, `VkPipelineCacheHeaderVersionOne`).

/// The bytes that wgpu puts before the driver's data.
const WGPU_HEADER: usize = 64;

/// What identifies a device and its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CacheKey {
    vendor: u32,
    device: u32,
    uuid: [u8; 16],
}

impl CacheKey {
    /// The identity of an adapter; `None` if there is no Vulkan.
    #[cfg(not(target_vendor = "apple"))]
    pub fn of(adapter: &wgpu::Adapter) -> Option<Self> {
        // SAFETY: nothing of the hal adapter is destroyed or kept longer than the guard. Its instance and physical
        // device are alive while the guard is; the query has no other condition (Vulkan,
        // vkGetPhysicalDeviceProperties).
        let properties = unsafe {
            let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
            let instance = adapter.shared_instance().raw_instance();
            instance.get_physical_device_properties(adapter.raw_physical_device())
        };
        let (vendor, device) = (properties.vendor_id, properties.device_id);
        Some(Self { vendor, device, uuid: properties.pipeline_cache_uuid })
    }

    #[cfg(target_vendor = "apple")]
    pub fn of(_adapter: &wgpu::Adapter) -> Option<Self> {
        None
    }

    /// Whether data that wgpu gave is for this device, by the driver's own header.
    pub fn fits(&self, data: &[u8]) -> bool {
        let header = data.get(WGPU_HEADER..).and_then(|rest| rest.first_chunk::<32>());
        header.is_some_and(|header| *header == self.header())
    }

    fn header(&self) -> [u8; 32] {
        let mut header = [0; 32];
        let words = [32, 1, self.vendor, self.device];
        for (place, word) in header.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        header[16..].copy_from_slice(&self.uuid);
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_another_device_or_driver_does_not_fit() {
        let own = CacheKey { vendor: 0x10de, device: 0x2204, uuid: [7; 16] };
        let data = |key: &CacheKey| [&[0; WGPU_HEADER][..], &key.header(), b"pipelines"].concat();
        assert!(own.fits(&data(&own)));
        let mut other = own.uuid;
        other[15] = 8;
        for key in [
            CacheKey { vendor: 0x1002, ..own },
            CacheKey { device: 0, ..own },
            CacheKey { uuid: other, ..own },
        ] {
            assert!(!own.fits(&data(&key)), "{key:?}");
        }
        for at in WGPU_HEADER..WGPU_HEADER + 32 {
            let mut damaged = data(&own);
            damaged[at] ^= 1;
            assert!(!own.fits(&damaged), "byte {at}");
        }
        for len in 0..WGPU_HEADER + 32 {
            assert!(!own.fits(&data(&own)[..len]), "{len} bytes");
        }
    }
}
