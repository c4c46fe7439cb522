//! Compiled kernels, each compiled once per device.

use super::Device;
#[cfg(not(target_arch = "wasm32"))]
use super::failure::Failures;
#[cfg(not(target_arch = "wasm32"))]
use super::vulkan_cache::CacheKey;
use crate::error::Result;
use crate::kernels::{Access, FAULTS_BINDING, MAX_STORAGE_BUFFERS, watch};
use crate::plan::{Dispatch, Plan};
use std::collections::HashMap;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Binding of the uniform parameters, of the step block, and of the number of the iteration.
pub(super) const PARAMS_BINDING: u32 = MAX_STORAGE_BUFFERS;
pub(super) const STEP_BINDING: u32 = PARAMS_BINDING + 1;
pub(super) const ITERATION_BINDING: u32 = STEP_BINDING + 1;

/// A pipeline and the layout of its only bind group.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// What a pipeline is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    source: String,
    /// Whether the text is the library's, which needs no run-time checks. An equal text from outside is another kernel.
    trusted: bool,
    /// Whether it tells of indices past the end of its tensors.
    watched: bool,
    /// Which bindings have a dynamic offset.
    moving: Vec<bool>,
}

fn key_of(device: &Device, dispatch: &Dispatch) -> Result<Key> {
    let moving = dispatch.bindings.iter().map(|(region, _)| region.moves()).collect();
    let trusted = dispatch.call.text.is_none();
    let (source, watched) = (dispatch.call.source()?, device.watches(dispatch));
    let source = if watched { watch(&source).source } else { source.into_owned() };
    Ok(Key { source, trusted, watched, moving })
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
        let mut missing: HashMap<Key, &Dispatch> = HashMap::new();
        for dispatch in dispatches {
            let key = key_of(device, dispatch)?;
            if !self.lock().contains_key(&key) {
                missing.insert(key, dispatch);
            }
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        if device.caps().cpu || missing.len() < 2 || threads < 2 {
            return Ok(!missing.is_empty());
        }
        let compiled = side_by_side(missing, threads.min(8), |(key, dispatch)| {
            let pipeline = compile(device, dispatch, &key)?;
            Ok((key, Arc::new(pipeline)))
        });
        let compiled = compiled.into_iter().collect::<Result<Vec<_>>>()?;
        self.lock().extend(compiled);
        Ok(true)
    }

    /// Compiles the kernels of a plan whose text comes from outside of the library, so that a wrong one is known before
    /// anything runs.
    pub(super) fn admit(&self, device: &Device, plan: &Plan) -> Result<()> {
        let mut own = plan.dispatches.iter().filter(|dispatch| dispatch.call.text.is_some());
        own.try_for_each(|dispatch| self.get(device, dispatch).map(drop))
    }

    /// Forgets what was compiled. Users of a pipeline keep it.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    pub(super) fn get(&self, device: &Device, dispatch: &Dispatch) -> Result<Arc<Pipeline>> {
        let key = key_of(device, dispatch)?;
        let known = self.lock().get(&key).cloned();
        if let Some(pipeline) = known {
            return Ok(pipeline);
        }
        let pipeline = Arc::new(compile(device, dispatch, &key)?);
        Ok(self.lock().entry(key).or_insert(pipeline).clone())
    }
}

/// What `work` makes of each item, in any order, on so many threads.
#[cfg(not(target_arch = "wasm32"))]
fn side_by_side<T: Send, R: Send>(
    items: impl IntoIterator<Item = T, IntoIter: Send>,
    threads: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let (queue, done) = (Mutex::new(items.into_iter()), Mutex::new(Vec::new()));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let turns = || {
        while let Some(item) = next() {
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(turns);
        }
        turns();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// All run-time checks of wgpu if they are asked for, else none.
const fn runtime_checks(checked: bool) -> wgpu::ShaderRuntimeChecks {
    if checked {
        wgpu::ShaderRuntimeChecks::checked()
    } else {
        wgpu::ShaderRuntimeChecks::unchecked()
    }
}

fn module(device: &Device, label: &str, key: &Key) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(key.source.as_str().into()),
    };
    if !key.trusted {
        // With all run-time checks. Its arrays have the lengths of their tensors (`ops/custom_kernel.rs`), and its regions
        // the bytes of these (`plan/build.rs`): some drivers check the array, others what is bound.
        return device.device.create_shader_module(descriptor);
    }
    // SAFETY: without checks a shader must stay inside its bindings, end its loops and never divide by zero.
    // - What runs is a `Plan`. Only `Plan::lower` makes one, and only `Plan::data_mut`, which is unsafe, changes one.
    //   Only the builder's functions make its graph. So every shader that comes here is a template of this library,
    //   filled in by its own op card. Text that comes from a user is in `KernelCall::text`, which only
    //   `ops/custom_kernel.rs` sets, and has all checks.
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

/// What is compiled, and what helps to understand the runtime's words.
fn words(dispatch: &Dispatch, key: &Key) -> (String, String) {
    let template = dispatch.call.name();
    if key.trusted {
        return (format!("compiling {template}"), key.source.clone());
    }
    let layer = match dispatch.layer.as_str() {
        "" => String::new(),
        layer => format!("layer `{layer}`: "),
    };
    // The runtime quotes the line that is wrong; what the library adds is not in the author's text.
    let lines = key.source.lines().skip_while(|line| *line != crate::kernels::DECLARED);
    let declared: Vec<&str> = lines.collect();
    (format!("{layer}compiling the kernel `{template}`"), declared.join("\n"))
}

fn compile(device: &Device, dispatch: &Dispatch, key: &Key) -> Result<Pipeline> {
    let call = &dispatch.call;
    let mut entries: Vec<wgpu::BindGroupLayoutEntry> = call
        .binds
        .iter()
        .enumerate()
        .map(|(i, bind)| {
            let read_only = bind.access() == Access::Read;
            entry(i as u32, wgpu::BufferBindingType::Storage { read_only }, key.moving[i])
        })
        .collect();
    entries.push(entry(PARAMS_BINDING, wgpu::BufferBindingType::Uniform, false));
    if call.step {
        entries.push(entry(STEP_BINDING, wgpu::BufferBindingType::Uniform, true));
    }
    if call.iteration() {
        entries.push(entry(ITERATION_BINDING, wgpu::BufferBindingType::Uniform, true));
    }
    if key.watched {
        let faults = wgpu::BufferBindingType::Storage { read_only: false };
        entries.push(entry(FAULTS_BINDING, faults, false));
    }
    let label = Some(call.name());
    let scopes = device.begin();
    let layout = device
        .device
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
    let pipeline_layout = device.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let module = module(device, call.name(), key);
    let pipeline = device.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        // Every kernel of the library writes its workgroup memory before it reads it.
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: !key.trusted,
            ..Default::default()
        },
        cache: device.pipelines.backing(),
    });
    let (during, about) = words(dispatch, key);
    device.end_about(scopes, &during, &about)?;
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

    /// Each item once, and two at a time: the barrier opens only if both threads have one.
    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn work_is_done_side_by_side() {
        let both = std::sync::Barrier::new(2);
        let mut done = side_by_side(0..20, 2, |item| {
            both.wait();
            item * 3
        });
        done.sort_unstable();
        assert_eq!(done, (0..20).map(|item| item * 3).collect::<Vec<_>>());
        assert_eq!(side_by_side([5, 6], 1, |item| item), [5, 6]);
    }

    #[test]
    fn checks_are_all_or_none() {
        for checked in [true, false] {
            let checks = runtime_checks(checked);
            assert_eq!((checks.bounds_checks, checks.force_loop_bounding), (checked, checked));
        }
    }
}
