//! Compiled kernels, each compiled once per device.

use super::Device;
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
    Ok((source, dispatch.bindings.iter().map(|(region, _)| region.slot.is_some()).collect()))
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
    path: std::path::PathBuf,
    /// Whether a failure to write the file was told.
    warned: AtomicBool,
}

// The keys are whole shaders: too long for whoever prints a device or a trainer.
impl std::fmt::Debug for Pipelines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pipelines").field(&self.lock().len()).finish()
    }
}

impl Pipelines {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Pipeline>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pipelines that begin with what the file holds, where the device can use it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn stored(device: &wgpu::Device, path: std::path::PathBuf) -> Self {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return Self::default();
        }
        let data = super::cache::read(&path);
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("wgrad"),
            data: data.as_deref(),
            // Data of another driver is set aside, not refused.
            fallback: true,
        };
        // SAFETY: the data came from `PipelineCache::get_data` in `save`: `cache::read` returns only what
        // `cache::write` wrote whole, by magic number and checksum. wgpu itself compares adapter and driver.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Self { stored: Some(Stored { cache, path, warned: false.into() }), ..Self::default() }
    }

    /// Keeps what was compiled for the next run. A failure costs that run its time, and is a warning the first time.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn save(&self) {
        if let Some(Stored { cache, path, warned }) = &self.stored
            && let Some(data) = cache.get_data()
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

    /// Forgets what was compiled. What uses a pipeline keeps it.
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

/// All run-time checks of wgpu where they are asked for, none elsewhere.
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
    // SAFETY: without checks a shader must stay inside its bindings, end its loops and divide by nothing that is zero.
    // - What runs is a `Plan`, which is made by `Plan::lower` alone and changed by nothing but `Plan::data_mut`, which
    //   is unsafe; its graph is made by the builder's functions alone. So every shader is a template of this library, filled in by its own op card,
    //   and no text comes from a user.
    // - A card takes extents, strides and grid from the shapes of its operands and results, which `Graph::verify` has
    //   compared with what the op infers; a buffer's region is as long as its shape says (`plan/storage.rs`), and
    //   `Executor::bind` refuses a buffer that is shorter. Invocations past an extent store nothing and read
    //   nothing, or its last element.
    // - Indices that come from a buffer or a step word are clamped (gather, labels), or were written by a kernel that
    //   keeps them in range (the order of `segment_rank`). Dynamic offsets are checked by wgpu.
    // - Every loop counts up to an extent; divisors are extents, and no tensor is empty.
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
