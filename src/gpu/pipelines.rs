//! Compiled kernels, each compiled once per device.

use super::Device;
#[cfg(not(target_arch = "wasm32"))]
use super::failure::Failures;
#[cfg(not(target_arch = "wasm32"))]
use super::vulkan_cache::CacheKey;
use crate::error::Result;
use crate::kernels::{Access, KernelCall, MAX_STORAGE_BUFFERS, preprocess};
use crate::plan::Dispatch;
use std::collections::HashMap;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Binding of the uniform parameters, and of the step block.
pub(super) const PARAMS_BINDING: u32 = MAX_STORAGE_BUFFERS;
pub(super) const STEP_BINDING: u32 = PARAMS_BINDING + 1;

/// A pipeline and the layout of its only bind group.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// Shader text, and which bindings have a dynamic offset.
type Key = (String, Vec<bool>);

fn key_of(dispatch: &Dispatch) -> Result<Key> {
    let source = preprocess(dispatch.call.template, &dispatch.call.defines)?;
    Ok((source, dispatch.bindings.iter().map(|(region, _)| region.step_offset.is_some()).collect()))
}

/// The cache: shader to pipeline.
#[derive(Default)]
pub(super) struct Pipelines {
    compiled: Mutex<HashMap<Key, Arc<Pipeline>>>,
    /// What the driver made of them, kept from run to run.
    #[cfg(not(target_arch = "wasm32"))]
    stored: Option<Stored>,
}

#[cfg(not(target_arch = "wasm32"))]
struct Stored {
    cache: wgpu::PipelineCache,
    key: Option<CacheKey>,
    path: std::path::PathBuf,
    /// Whether a failure to write the file was reported.
    warned: AtomicBool,
}

// The keys are whole shaders: too long for a printed device or trainer.
impl std::fmt::Debug for Pipelines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pipelines").field(&self.lock().len()).finish()
    }
}

impl Pipelines {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Pipeline>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pipelines that begin with what the file has, if the device can use it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn stored(
        device: &wgpu::Device,
        failures: &Failures,
        key: Option<CacheKey>,
        path: std::path::PathBuf,
    ) -> Self {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return Self::default();
        }
        let data = super::cache::read(&path);
        let fits = |data: &Vec<u8>| {
            let fits = key.is_some_and(|key| key.fits(data));
            if !fits {
                log::warn!(
                    "{}: it is of another device or driver; the file is not used",
                    path.display()
                );
            }
            fits
        };
        let data = data.filter(fits);
        let descriptor = |data| wgpu::PipelineCacheDescriptor {
            label: Some("wgrad"),
            data,
            // Data of another version of the driver is ignored. Data of another adapter is still an error.
            fallback: true,
        };
        // SAFETY: the data came from `PipelineCache::get_data` in `save`: `cache::read` returns only what
        // `cache::write` wrote whole, by magic number and checksum. wgpu compares adapter and driver, and `fits` has
        // compared the driver's own header.
        let mut cache = unsafe { device.create_pipeline_cache(&descriptor(data.as_deref())) };
        if failures.check("opening the pipeline cache").is_err() {
            // SAFETY: there is no data.
            cache = unsafe { device.create_pipeline_cache(&descriptor(None)) };
        }
        Self { stored: Some(Stored { cache, key, path, warned: false.into() }), ..Self::default() }
    }

    /// Saves what was compiled for the next run. A failure costs that run its time, and is a warning the first time.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn save(&self) {
        if let Some(Stored { cache, key, path, warned }) = &self.stored
            && let Some(data) = cache.get_data()
            // Mesa 26.2's lavapipe gives a header that is cut off, and nothing behind it: the next run could not use it.
            && key.is_some_and(|key| key.fits(&data))
            && let Err(error) = super::cache::write(path, &data)
            && !warned.swap(true, Ordering::Relaxed)
        {
            log::warn!(
                "{error}: compiled kernels are not kept for the next run; WGRAD_CACHE names another folder, or \
                 none if empty"
            );
        }
    }

    fn backing(&self) -> Option<&wgpu::PipelineCache> {
        #[cfg(not(target_arch = "wasm32"))]
        return self.stored.as_ref().map(|s| &s.cache);
        #[cfg(target_arch = "wasm32")]
        return None;
    }

    /// Compiles the kernels of `dispatches` that are not compiled yet, on several threads, and returns whether
    /// there were any.
    ///
    /// Software Vulkan compiles at the first dispatch, so there is nothing to share out.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn prepare(&self, device: &Device, dispatches: &[Dispatch]) -> Result<bool> {
        let mut missing: HashMap<Key, &KernelCall> = HashMap::new();
        for dispatch in dispatches {
            let key = key_of(dispatch)?;
            if !self.lock().contains_key(&key) {
                missing.insert(key, &dispatch.call);
            }
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        if device.caps().cpu || missing.len() < 2 || threads < 2 {
            return Ok(!missing.is_empty());
        }
        let found = !missing.is_empty();
        let queue = Mutex::new(missing.into_iter());
        let compiled = Mutex::new(Vec::new());
        let work = || {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some((key, call)) = next() {
                let pipeline = compile(device, call, &key).map(|pipeline| (key, pipeline));
                compiled.lock().unwrap_or_else(PoisonError::into_inner).push(pipeline);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(8) {
                scope.spawn(work);
            }
            work();
        });
        for compiled in compiled.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let (key, pipeline) = compiled?;
            self.lock().insert(key, Arc::new(pipeline));
        }
        Ok(found)
    }

    /// Forgets what was compiled. Users of a pipeline keep it.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    pub(super) fn get(&self, device: &Device, dispatch: &Dispatch) -> Result<Arc<Pipeline>> {
        let key = key_of(dispatch)?;
        let known = self.lock().get(&key).cloned();
        if let Some(pipeline) = known {
            return Ok(pipeline);
        }
        let pipeline = Arc::new(compile(device, &dispatch.call, &key)?);
        Ok(self.lock().entry(key).or_insert(pipeline).clone())
    }
}

/// All run-time checks of wgpu if they are asked for, else none.
const fn runtime_checks(checked: bool) -> wgpu::ShaderRuntimeChecks {
    if checked {
        wgpu::ShaderRuntimeChecks::checked()
    } else {
        wgpu::ShaderRuntimeChecks::unchecked()
    }
}

fn module(device: &Device, label: &str, source: &str) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    };
    // SAFETY: without checks a shader must stay inside its bindings, end its loops and never divide by zero.
    // - What runs is a `Plan`. Only `Plan::lower` makes one, and only `Plan::data_mut`, which is unsafe, changes one.
    //   Only the builder's functions make its graph. So every shader is a template of this library, filled in by its
    //   own op card, and no text comes from a user.
    // - A card takes extents, strides and grid from the shapes of its operands and results. `Graph::verify` has
    //   compared these with what the op infers. A buffer's region is as long as its shape says (`plan/storage.rs`), and
    //   `Executor::bind` refuses a buffer that is shorter. Invocations past an extent store nothing, and read nothing
    //   or its last element.
    // - Indices that come from a buffer or a step word are clamped (gather, labels, the keys of a sort), or were
    //   written by kernels that keep them in range (a sort's positions and places, a segment's bounds). wgpu checks
    //   dynamic offsets.
    // - Every loop counts up to an extent. Divisors are extents, and no extent is zero: `Graph::verify` refuses it.
    // The op tests run each kernel both ways, with guard words around every buffer.
    unsafe {
        device.device.create_shader_module_trusted(descriptor, runtime_checks(device.checked))
    }
}

fn compile(device: &Device, call: &KernelCall, (source, moving): &Key) -> Result<Pipeline> {
    let mut entries: Vec<wgpu::BindGroupLayoutEntry> = call
        .binds
        .iter()
        .enumerate()
        .map(|(i, bind)| {
            let read_only = bind.access() == Access::Read;
            entry(i as u32, wgpu::BufferBindingType::Storage { read_only }, moving[i])
        })
        .collect();
    entries.push(entry(PARAMS_BINDING, wgpu::BufferBindingType::Uniform, false));
    if call.step {
        entries.push(entry(STEP_BINDING, wgpu::BufferBindingType::Uniform, true));
    }
    let label = Some(call.template);
    let scopes = device.begin();
    let layout = device
        .device
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
    let pipeline_layout = device.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let module = module(device, call.template, source);
    let pipeline = device.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        // Every kernel writes its workgroup memory before it reads it.
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: device.pipelines.backing(),
    });
    device.end_about(scopes, &format!("compiling {}", call.template), source)?;
    Ok(Pipeline { pipeline, layout })
}

fn entry(binding: u32, ty: wgpu::BufferBindingType, dynamic: bool) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: dynamic, min_binding_size: None },
        count: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_all_or_none() {
        for checked in [true, false] {
            let checks = runtime_checks(checked);
            assert_eq!((checks.bounds_checks, checks.force_loop_bounding), (checked, checked));
        }
    }
}
