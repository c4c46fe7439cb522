//! What an adapter can do, as plain data. Only this record decides kernel families.

use super::{Driver, MAX_STORAGE_BUFFERS, MatmulFamily, MatmulRule, USUAL_UNITS, measured_family};

/// Capabilities and limits of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCaps {
    /// Whether the adapter runs on the CPU (software Vulkan).
    pub cpu: bool,
    /// The driver's generation: kernels are chosen by what was measured on it.
    pub driver: Driver,
    /// Smallest and largest subgroup size; `None` without subgroup operations.
    pub subgroup: Option<(u32, u32)>,
    /// Vector registers of the processor on which a CPU adapter runs: 32 with AVX-512 and on Arm, else 16. Fewer registers
    /// make smaller tiles of products pay.
    pub vector_registers: u32,
    /// Whether kernels move four elements as two 64-bit words: on a CPU adapter that has such words, because it
    /// accesses memory a lane and a word at a time.
    pub wide_words: bool,
    /// Invocations per workgroup.
    pub max_invocations: u32,
    /// Units of a GPU that run workgroups (NVIDIA: streaming multiprocessors), or a usual number if its name is not known.
    pub units: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_memory: u32,
    /// Storage buffers per dispatch.
    pub max_storage_buffers: u32,
    /// Workgroups per dispatch dimension.
    pub max_workgroups: u32,
    /// Bytes of one storage binding.
    pub max_binding_bytes: u64,
    /// Bytes of one buffer.
    pub max_buffer_bytes: u64,
    /// Bytes to which parameters in a uniform buffer are aligned.
    pub uniform_alignment: u32,
    /// Bytes of device memory that may be used; `None` if the adapter does not tell.
    pub memory_bytes: Option<u64>,
    /// Loop iterations that one invocation may run in total, over all its loops. Software Vulkan drops the
    /// iterations past 65,535 silently.
    pub max_loop_trips: u32,
    /// Which matrix-product kernels run.
    pub matmul: MatmulFamily,
    /// Rows that go before the built-in table of matrix-product kernels: what was measured on this adapter.
    pub tuned: Vec<MatmulRule>,
}

impl DeviceCaps {
    /// What every WebGPU device can do: the defaults of the specification, no subgroups.
    #[must_use]
    pub const fn webgpu_defaults() -> Self {
        Self {
            cpu: false,
            driver: Driver::Other,
            subgroup: None,
            vector_registers: 16,
            wide_words: false,
            max_invocations: 256,
            units: USUAL_UNITS,
            max_workgroup_memory: 16_384,
            max_storage_buffers: 8,
            max_workgroups: 65_535,
            max_binding_bytes: 128 << 20,
            max_buffer_bytes: 256 << 20,
            uniform_alignment: 256,
            memory_bytes: None,
            max_loop_trips: u32::MAX,
            matmul: MatmulFamily::Tiled,
            tuned: Vec::new(),
        }
    }

    /// Storage buffers that a kernel may bind here: the device's limit, and never more than
    /// [`MAX_STORAGE_BUFFERS`].
    #[must_use]
    pub fn storage_buffers(&self) -> u32 {
        self.max_storage_buffers.min(MAX_STORAGE_BUFFERS)
    }

    /// Lanes that a CPU adapter runs at a time: the size of its subgroups, or eight if that is not told.
    #[must_use]
    pub fn lanes(&self) -> u32 {
        match self.subgroup {
            Some((4 | 8 | 16, lanes)) if self.one_subgroup(lanes) => lanes,
            _ => 8,
        }
    }

    /// Whether the broadcast kernels can run: subgroups of exactly 4, 8 or 16 lanes.
    #[must_use]
    pub fn can_broadcast(&self) -> bool {
        self.one_subgroup(self.lanes())
    }

    /// Whether the kernels for CPU adapters hand values from lane to lane by shuffles: there are subgroups for it, and products
    /// do not do without because this driver's shuffles are slow.
    #[must_use]
    pub fn shuffles(&self) -> bool {
        self.can_broadcast() && self.matmul != MatmulFamily::Direct
    }

    /// The family that suits the adapter, and why: on a CPU the one that was measured on this driver with these lanes, else
    /// broadcast if there are subgroups for it, else direct; on a GPU tiles.
    #[must_use]
    pub fn preferred_matmul(&self) -> (MatmulFamily, &'static str) {
        match (self.cpu, measured_family(self)) {
            (false, _) => (MatmulFamily::Tiled, "a GPU shares tiles in workgroup memory"),
            (true, Some(family)) => {
                (family, "measured on this generation of drivers with these lanes")
            }
            (true, None) if self.can_broadcast() => {
                (MatmulFamily::Broadcast, "nothing was measured; subgroups are of 4, 8 or 16 lanes")
            }
            (true, None) => {
                (MatmulFamily::Direct, "nothing was measured; no subgroups of 4, 8 or 16 lanes")
            }
        }
    }

    /// Invocations per workgroup for a kernel that reduces one row of `len` elements in `loops` loops over it.
    ///
    /// A CPU pays for workgroup memory and for each barrier, so it takes the lanes that are one subgroup, or one lane if
    /// there are no such subgroups, as in a browser. Only a row that would pass the loop limit takes more, which share
    /// workgroup memory. A GPU takes enough lanes to hide latency.
    #[must_use]
    pub fn row_workgroup(&self, len: usize, loops: u32) -> u32 {
        let fits = |lanes: u32| {
            (len as u64).div_ceil(u64::from(lanes)) * u64::from(loops) + 64
                <= u64::from(self.max_loop_trips)
        };
        let start = match (self.cpu, len) {
            (true, _) if self.can_broadcast() => self.lanes(),
            (true, _) => 1,
            (false, 0..=128) => 32,
            (false, 129..=1024) => 64,
            (false, _) => 256,
        };
        let mut lanes = start.min(self.max_invocations);
        while !fits(lanes) && lanes * 2 <= self.max_invocations {
            lanes *= 2;
        }
        lanes
    }

    /// Whether a row kernel of `lanes` invocations can reduce through one subgroup operation.
    #[must_use]
    pub fn one_subgroup(&self, lanes: u32) -> bool {
        self.subgroup == Some((lanes, lanes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a CPU adapter are reduced by one subgroup of 4, 8 or 16 lanes, or by one lane; past the loop limit by more.
    #[test]
    fn rows_of_a_cpu_need_no_workgroup_memory() {
        let cpu = |subgroup| DeviceCaps {
            cpu: true,
            subgroup,
            max_loop_trips: 65_535,
            ..DeviceCaps::webgpu_defaults()
        };
        for lanes in [4, 8, 16] {
            let caps = cpu(Some((lanes, lanes)));
            assert!([1, 7, 1000, 100_000].iter().all(|&len| caps.row_workgroup(len, 1) == lanes));
            assert!(caps.row_workgroup(1_500_000, 1) > lanes, "{lanes}");
        }
        for without in [None, Some((4, 64)), Some((32, 32)), Some((1, 1))] {
            assert_eq!(cpu(without).row_workgroup(1000, 3), 1, "{without:?}");
            assert_eq!(cpu(without).row_workgroup(100_000, 3), 8, "{without:?}");
        }
    }

    #[test]
    fn lanes_are_handed_values_where_shuffles_are_not_slow() {
        let caps = DeviceCaps {
            cpu: true,
            subgroup: Some((16, 16)),
            matmul: MatmulFamily::Broadcast,
            ..DeviceCaps::webgpu_defaults()
        };
        assert!(caps.shuffles());
        assert!(!DeviceCaps { matmul: MatmulFamily::Direct, ..caps.clone() }.shuffles());
        assert!(!DeviceCaps { subgroup: Some((4, 16)), ..caps }.shuffles());
    }
}
