//! Device choice.

use super::adapters::{CPU, NONE_FOUND, instance, rank, sorted_adapters};
#[cfg(not(target_arch = "wasm32"))]
use super::cache;
use super::failure::{Failures, Late, Scopes};
use super::info::{AdapterInfo, info_of};
use super::options::{DeviceOptions, checked_from_env};
use super::pipelines::Pipelines;
#[cfg(not(target_arch = "wasm32"))]
use super::vulkan_cache::CacheKey;
#[cfg(not(target_arch = "wasm32"))]
use super::wait::Helper;
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::kernels::MatmulRule;
use crate::kernels::{DeviceCaps, Driver, MatmulFamily, units_of};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An open device. Clones share it.
///
/// ```no_run
/// use wgrad::prelude::*;
///
/// // The best adapter, or what the environment says: `WGRAD_ADAPTER=radeon`.
/// let device = Device::new()?;
/// println!("{}", device.info());
///
/// // A choice in the program.
/// let options = DeviceOptions { adapter: Some("radeon".into()), ..DeviceOptions::from_env()? };
/// let device = wgrad::gpu::block_on(Device::open(&options))?;
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Device {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) failures: Failures,
    late: Late,
    pub(super) pipelines: Arc<Pipelines>,
    /// How many times the host waited.
    waits: Arc<AtomicU64>,
    /// Waits for futures.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) helper: Arc<Helper>,
    /// Whether shaders run with bounds, loop and division checks.
    pub(super) checked: bool,
    info: AdapterInfo,
    caps: DeviceCaps,
}

impl Device {
    /// The adapters that can be opened, best first.
    pub async fn adapters_async() -> Vec<AdapterInfo> {
        let adapters = sorted_adapters(&*instance().await).await;
        adapters.iter().map(|a| info_of(&a.get_info())).collect()
    }

    /// The adapters that can be opened, best first.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn adapters() -> Vec<AdapterInfo> {
        super::block_on(Self::adapters_async())
    }

    /// Opens the adapter that the environment names (`WGRAD_ADAPTER`, `WGPU_BACKEND`), or the best available.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] listing what there is; [`Error::Gpu`] if the adapter refuses; those of
    /// [`DeviceOptions::from_env`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new() -> Result<Self> {
        super::block_on(Self::new_async())
    }

    /// The async form of [`Device::new`]: the only one in a browser, where there is no environment and the browser
    /// chooses the adapter.
    ///
    /// # Errors
    /// As [`Device::new`].
    pub async fn new_async() -> Result<Self> {
        Self::open(&DeviceOptions::from_env()?).await
    }

    /// Opens an adapter with its own limits and the optional features that the kernels use.
    ///
    /// # Errors
    /// As [`Device::new`].
    pub async fn open(options: &DeviceOptions) -> Result<Self> {
        let adapters = sorted_adapters(&*instance().await).await;
        let names: Vec<String> =
            adapters.iter().map(|a| info_of(&a.get_info()).to_string()).collect();
        let wanted = options.adapter.as_deref().map(str::to_ascii_lowercase);
        let fits = |a: &&wgpu::Adapter| {
            wanted.as_ref().is_none_or(|w| a.get_info().name.to_ascii_lowercase().contains(w))
        };
        let adapter = adapters.iter().find(fits).ok_or_else(|| match &options.adapter {
            Some(name) if !names.is_empty() => Error::NoAdapter(format!(
                "no name contains `{name}`; there are: {}",
                names.join("; ")
            )),
            _ => Error::NoAdapter(NONE_FOUND.into()),
        })?;
        if options.adapter.is_none() && rank(&adapter.get_info()) == CPU {
            log::warn!(
                "no GPU was found: training runs on the CPU, on {}; install the GPU's driver, or name this adapter in \
                 WGRAD_ADAPTER or `DeviceOptions::adapter` if it is meant",
                info_of(&adapter.get_info())
            );
        }
        let wanted = wgpu::Features::SUBGROUP
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::SHADER_INT64
            | wgpu::Features::PIPELINE_CACHE;
        let features = adapter.features() & wanted;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgrad"),
            required_features: features,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let turn = instance().await;
        let opened = adapter.request_device(&descriptor).await;
        drop(turn);
        let (device, queue) = opened.map_err(|e| {
            Error::NoAdapter(format!("{} could not be opened: {e}", info_of(&adapter.get_info())))
        })?;
        // Before anything that may fail: wgpu's own handlers panic.
        let failures = Failures::watching(&device);
        let info = adapter.get_info();
        let memory = options.memory.or_else(|| super::memory::bytes_of(adapter));
        #[cfg_attr(target_arch = "wasm32", expect(unused_mut, reason = "there are no files"))]
        let mut caps = caps_of(&info, &device, options.matmul, memory);
        #[cfg_attr(target_arch = "wasm32", expect(unused_mut, reason = "there are no files"))]
        let mut pipelines = Pipelines::default();
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(folder) = &options.cache {
            caps.tuned = read_tuned(folder, &info);
            let (key, path) = (CacheKey::of(adapter), folder.join(cache::name(&info, "pipelines")));
            pipelines = Pipelines::stored(&device, &failures, key, path);
        }
        let info = info_of(&info);
        Ok(Self::assemble(device, queue, failures, info, caps, pipelines, options.checked))
    }

    /// Wraps a device that the caller opened, with the capabilities that the caller states: for sharing a
    /// device with other wgpu code, or for wgpu's no-op backend. The device's error and lost-device
    /// callbacks are replaced, nothing is kept from run to run, and `WGRAD_CHECKED` asks for checks.
    /// Capabilities beyond the device's limits end in validation errors.
    #[must_use]
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue, caps: DeviceCaps) -> Self {
        let info = info_of(&device.adapter_info());
        let (failures, pipelines) = (Failures::watching(&device), Pipelines::default());
        Self::assemble(device, queue, failures, info, caps, pipelines, checked_from_env())
    }

    fn assemble(
        device: wgpu::Device,
        queue: wgpu::Queue,
        failures: Failures,
        info: AdapterInfo,
        caps: DeviceCaps,
        pipelines: Pipelines,
        checked: bool,
    ) -> Self {
        let (pipelines, waits, late) = (Arc::new(pipelines), Arc::default(), Late::default());
        Self {
            device,
            queue,
            failures,
            late,
            pipelines,
            waits,
            #[cfg(not(target_arch = "wasm32"))]
            helper: Arc::default(),
            checked,
            info,
            caps,
        }
    }

    /// Which adapter was taken.
    #[must_use]
    pub const fn info(&self) -> &AdapterInfo {
        &self.info
    }

    /// What it can do.
    #[must_use]
    pub const fn caps(&self) -> &DeviceCaps {
        &self.caps
    }

    /// The same device, used under other capabilities: tests run every kernel family on one adapter.
    #[must_use]
    pub fn with_caps(&self, caps: DeviceCaps) -> Self {
        Self { caps, ..self.clone() }
    }

    /// The same device with errors that come as late as a browser's: no call returns its own errors, and only a call
    /// that waits for the device finds them. For tests of what a browser does.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn with_late_errors(&self) -> Self {
        Self { late: self.late.always(), ..self.clone() }
    }

    /// Saves `rows` in `folder`. The next [`Device::open`] of this adapter with this driver puts them before the
    /// built-in table of matrix-product kernels. Returns the file that was written.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save_tuned(
        &self,
        folder: &std::path::Path,
        rows: &[MatmulRule],
    ) -> Result<std::path::PathBuf> {
        let path = folder.join(cache::name(&self.device.adapter_info(), "matmul"));
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        cache::write(&path, text.as_bytes())?;
        Ok(path)
    }

    /// The wgpu device, for code that shares it.
    #[must_use]
    pub const fn wgpu(&self) -> (&wgpu::Device, &wgpu::Queue) {
        (&self.device, &self.queue)
    }

    /// Returns any failure that was reported since the last call, by any user of this device.
    ///
    /// # Errors
    /// [`Error::Gpu`] with the runtime's words.
    pub fn check(&self, during: &str) -> Result<()> {
        let found = self.failures.check(during);
        if found.is_err() { self.first_failure(found, during) } else { Ok(()) }
    }

    /// The same device for another owner, which is told of each error that comes late.
    pub(crate) fn of_another_owner(&self) -> Self {
        Self { late: self.late.of_another_owner(), ..self.clone() }
    }

    /// Compiles the kernels of a plan that come from outside of the library.
    ///
    /// # Errors
    /// [`Error::Gpu`] that names the kernel, with the line that is wrong.
    pub(crate) fn admit_kernels(&self, plan: &crate::plan::Plan) -> Result<()> {
        self.pipelines.admit(self, plan)
    }

    /// Begins a group of calls of wgpu. [`Device::end`] tells what fails in it, or [`Device::settle`] if errors come
    /// late.
    pub(super) fn begin(&self) -> Scopes {
        Scopes::begin(&self.device)
    }

    /// Ends a group of calls, and returns its failure if that is known.
    pub(super) fn end(&self, scopes: Scopes, during: &str) -> Result<()> {
        self.end_about(scopes, during, "")
    }

    /// As [`Device::end`], with `about` after the runtime's words.
    pub(super) fn end_about(&self, scopes: Scopes, during: &str, about: &str) -> Result<()> {
        let ended = self.late.end(scopes, during, about);
        self.first_failure(ended, during)
    }

    /// Waits for the errors that come late. Bytes that the device wrote are valid only after this: a kernel that was
    /// refused leaves zeros.
    pub(super) async fn settle(&self, during: &str) -> Result<()> {
        let settled = self.late.settle().await;
        if settled.is_err() {
            // A pipeline may have been refused: if it is compiled again, it is refused again.
            self.pipelines.forget();
        }
        self.first_failure(settled, during)
    }

    /// The loss of the device, since all else follows from that; else the error of `found`; else the one kept.
    fn first_failure(&self, found: Result<()>, during: &str) -> Result<()> {
        match found {
            Ok(()) => self.check(during),
            Err(error) => {
                // The news that the device is gone may come after the errors that follow from it.
                drop(self.device.poll(wgpu::PollType::Poll));
                self.failures.check_lost(during)?;
                Err(error)
            }
        }
    }

    /// How often the host has waited on this device, by any of its clones: for bytes to read, or until everything
    /// submitted had run. A submit that waits its turn behind others does not count.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    pub(super) fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until everything submitted has run.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the device is lost or reported a failure.
    pub async fn wait_async(&self) -> Result<()> {
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        self.queue.on_submitted_work_done(move || {
            // The receiver is gone only if the caller dropped the future.
            drop(sender.send(()));
        });
        self.count_wait();
        self.finish(None, "waiting").await?;
        receiver.receive().await;
        self.settle("waiting").await
    }

    /// The blocking form of [`Device::wait_async`].
    ///
    /// # Errors
    /// As [`Device::wait_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self) -> Result<()> {
        super::block_on(self.wait_async())
    }
}

/// The rows that were saved for this adapter and driver; none, and a warning, if a row is not understood.
#[cfg(not(target_arch = "wasm32"))]
fn read_tuned(folder: &std::path::Path, info: &wgpu::AdapterInfo) -> Vec<MatmulRule> {
    let path = folder.join(cache::name(info, "matmul"));
    let Some(content) = cache::read(&path) else { return Vec::new() };
    let rows = |text: String| {
        text.lines().map(str::parse).collect::<Result<_>>().map_err(|e| e.to_string())
    };
    match String::from_utf8(content).map_err(|e| e.to_string()).and_then(rows) {
        Ok(rows) => rows,
        Err(why) => {
            log::warn!(
                "{}: {why}; the table is not used, and `wgrad tune` makes a new one",
                path.display()
            );
            Vec::new()
        }
    }
}

/// Vector registers that a compiler may use on this processor.
fn vector_registers() -> u32 {
    #[cfg(target_arch = "x86_64")]
    let many = std::is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    let many = cfg!(target_arch = "aarch64");
    if many { 32 } else { 16 }
}

fn caps_of(
    info: &wgpu::AdapterInfo,
    device: &wgpu::Device,
    matmul: Option<MatmulFamily>,
    memory: Option<u64>,
) -> DeviceCaps {
    let limits = device.limits();
    let cpu = info.device_type == wgpu::DeviceType::Cpu;
    let subgroup = device
        .features()
        .contains(wgpu::Features::SUBGROUP)
        .then_some((info.subgroup_min_size, info.subgroup_max_size));
    let driver = Driver::of(&info.driver, &info.driver_info);
    let mut caps = DeviceCaps {
        cpu,
        driver,
        subgroup,
        vector_registers: vector_registers(),
        wide_words: cpu
            && driver.gains_by_wide_words()
            && device.features().contains(wgpu::Features::SHADER_INT64),
        max_invocations: limits
            .max_compute_invocations_per_workgroup
            .min(limits.max_compute_workgroup_size_x),
        units: units_of(&info.name),
        max_workgroup_memory: limits.max_compute_workgroup_storage_size,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        uniform_alignment: limits.min_uniform_buffer_offset_alignment.max(16),
        memory_bytes: memory,
        // Software Vulkan drops loop iterations past this count.
        max_loop_trips: if cpu { 65_535 } else { u32::MAX },
        matmul: MatmulFamily::Tiled,
        tuned: Vec::new(),
    };
    caps.matmul = matmul.unwrap_or_else(|| caps.preferred_matmul().0);
    caps
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    /// Drivers do not bear several instances that begin and end at the same time.
    #[cfg(not(target_vendor = "apple"))]
    #[test]
    fn devices_opened_at_the_same_time_have_one_instance() -> Result<()> {
        let options = DeviceOptions { cache: None, ..DeviceOptions::from_env()? };
        let barrier = std::sync::Barrier::new(6);
        let open = || {
            barrier.wait();
            crate::gpu::block_on(Device::open(&options))
        };
        let devices: Vec<Device> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect::<Result<_>>()
        })?;
        let instance = |device: &Device| {
            // SAFETY: the hal device is only looked at, and the guard keeps it.
            let device = unsafe { device.device.as_hal::<wgpu::hal::api::Vulkan>() }?;
            Some(device.shared_instance().raw_instance().handle())
        };
        let first = instance(&devices[0]);
        assert_eq!(first.is_some(), devices[0].info.backend == "vulkan");
        assert!(devices.iter().all(|device| instance(device) == first));
        Ok(())
    }

    #[test]
    fn a_device_takes_up_its_own_pipelines() -> Result<()> {
        use crate::gpu::block_on;
        let folder = std::env::temp_dir().join(format!("wgrad-own-{}", std::process::id()));
        let cache = Some(folder.clone());
        let device =
            block_on(Device::open(&DeviceOptions { cache, ..DeviceOptions::from_env()? }))?;
        if device.device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            device.pipelines.save();
            let info = device.device.adapter_info();
            let Some(data) = cache::read(&folder.join(cache::name(&info, "pipelines"))) else {
                // Mesa 26.2's lavapipe gives less than a header, and nothing is kept.
                assert!(!info.driver_info.contains("22.3.6"), "nothing is kept");
                return Ok(());
            };
            let adapters = block_on(async { sorted_adapters(&*instance().await).await });
            let own = adapters.iter().find(|a| a.get_info().name == info.name).unwrap();
            assert!(CacheKey::of(own).unwrap().fits(&data));
            std::fs::remove_dir_all(&folder).unwrap();
        }
        Ok(())
    }
}
