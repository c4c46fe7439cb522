//! Compiled kernels, each compiled once per device.

use super::Device;
use crate::error::{Error, Result};
use crate::kernels::{Access, KernelCall, MAX_STORAGE_BUFFERS, preprocess};
use crate::plan::Dispatch;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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

/// The cache: shader to pipeline.
#[derive(Default)]
pub(super) struct Pipelines(Mutex<HashMap<Key, Arc<Pipeline>>>);

// The keys are whole shaders: too long for whoever prints a device or a trainer.
impl std::fmt::Debug for Pipelines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_tuple("Pipelines").field(&count).finish()
    }
}

impl Pipelines {
    pub(super) fn get(&self, device: &Device, dispatch: &Dispatch) -> Result<Arc<Pipeline>> {
        let call = &dispatch.call;
        let source = preprocess(call.template, &call.defines)?;
        let moving = dispatch.bindings.iter().map(|(region, _)| region.slot.is_some()).collect();
        let key = (source, moving);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(pipeline) = known {
            return Ok(pipeline);
        }
        let pipeline = Arc::new(compile(device, call, &key)?);
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(cache.entry(key).or_insert(pipeline).clone())
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
    let layout = device
        .device
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
    let pipeline_layout = device.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let module = device.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label,
        source: wgpu::ShaderSource::Wgsl(source.as_str().into()),
    });
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
        cache: None,
    });
    device.check(&format!("compiling {}", call.template)).map_err(|e| match e {
        Error::Gpu { kind, during, detail } => {
            Error::Gpu { kind, during, detail: format!("{detail}\n{source}") }
        }
        other => other,
    })?;
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
