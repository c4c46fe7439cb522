//! What an adapter can do, as plain data. Only this record decides kernel families.

use super::{Driver, MAX_STORAGE_BUFFERS, MatmulFamily, MatmulRule, measured_family};

/// Capabilities and limits of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCaps {
    /// Whether the adapter runs on the CPU (software Vulkan).
    pub cpu: bool,
    /// The driver's generation: kernels are chosen by what was measured on it.
    pub driver: Driver,
    /// Smallest and largest subgroup size; `None` without subgroup operations.
    pub subgroup: Option<(u32, u32)>,
    /// Whether kernels move four elements as two 64-bit words: on a CPU adapter that has such words, because it
    /// accesses memory a lane and a word at a time.
    pub wide_words: bool,
    /// Invocations per workgroup.
    pub max_invocations: u32,
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
            wide_words: false,
            max_invocations: 256,
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
    /// A CPU runs eight lanes at a time and pays for workgroup memory, so it takes the fewest lanes that
    /// keep each invocation under the loop limit; a GPU takes enough lanes to hide latency. A CPU without subgroups, as
    /// in a browser, would run a barrier for each step of a tree: one lane needs none.
    #[must_use]
    pub fn row_workgroup(&self, len: usize, loops: u32) -> u32 {
        let fits = |lanes: u32| {
            (len as u64).div_ceil(u64::from(lanes)) * u64::from(loops) + 64
                <= u64::from(self.max_loop_trips)
        };
        let start = match (self.cpu, len) {
            (true, _) => {
                if self.subgroup.is_some() {
                    8
                } else {
                    1
                }
            }
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
