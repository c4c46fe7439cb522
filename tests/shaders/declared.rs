//! What a kernel's module declares, compared with limits and with what the host binds.

use naga::{AddressSpace, Module, StorageAccess, TypeInner};
use wgrad::kernels::{Access, DeviceCaps, KernelCall, ParamBlock};

/// What every WebGPU device has of each dimension of a workgroup, and of a uniform block's bytes.
const DIMENSIONS: [u32; 3] = [256, 256, 64];
const UNIFORM_BYTES: u32 = 65_536;

/// Invocations, workgroup memory and uniform blocks within what every WebGPU device has.
pub fn within_limits(module: &Module, caps: &DeviceCaps) -> Result<(), String> {
    let size = module.entry_points[0].workgroup_size;
    let invocations: u32 = size.iter().product();
    if invocations > caps.max_invocations || (0..3).any(|axis| size[axis] > DIMENSIONS[axis]) {
        return Err(format!("{invocations} invocations, {size:?}"));
    }
    let blocks = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::Uniform);
    let mut bytes = blocks.map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()));
    if let Some(bytes) = bytes.find(|bytes| *bytes > UNIFORM_BYTES) {
        return Err(format!("a uniform block of {bytes} bytes"));
    }
    let memory: u32 = (module.global_variables.iter())
        .filter(|(_, v)| v.space == AddressSpace::WorkGroup)
        .map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()))
        .sum();
    if memory > caps.max_workgroup_memory {
        return Err(format!("{memory} bytes of workgroup memory"));
    }
    Ok(())
}

/// The storage bindings that the shader declares are those that the host binds, in access and number.
pub fn bindings_match(module: &Module, call: &KernelCall) -> Result<(), String> {
    let mut declared: Vec<(u32, Access)> = Vec::new();
    let mut uniforms = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = variable.binding else { continue };
        match variable.space {
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                declared.push((binding.binding, Access::ReadWrite));
            }
            AddressSpace::Storage { .. } => declared.push((binding.binding, Access::Read)),
            _ => uniforms.push(binding.binding),
        }
    }
    declared.sort_by_key(|d| d.0);
    uniforms.sort_unstable();
    let bound: Vec<(u32, Access)> = (0..).zip(call.binds.iter().map(|b| b.access())).collect();
    if declared != bound {
        return Err(format!("declares {declared:?}, the host binds {bound:?}"));
    }
    let read = [(8, true), (9, call.step), (10, call.iteration())];
    let wanted: Vec<u32> = read.iter().filter(|(_, read)| *read).map(|(at, _)| *at).collect();
    if uniforms != wanted {
        return Err(format!("uniform blocks {uniforms:?}, the host binds {wanted:?}"));
    }
    Ok(())
}

/// The uniform block begins with the Rust struct's members, continues with at most `words`, and has the size of what
/// the host writes.
pub fn layout_matches(
    module: &Module,
    call: &KernelCall,
    block: &ParamBlock,
) -> Result<(), String> {
    let at_8 = |b: &Option<naga::ResourceBinding>| b.is_some_and(|b| b.binding == 8);
    let found = module.global_variables.iter().find(|(_, v)| at_8(&v.binding));
    let variable = found.ok_or("no uniform block at binding 8")?.1;
    let TypeInner::Struct { members, span } = &module.types[variable.ty].inner else {
        return Err("binding 8 is no struct".into());
    };
    let fields: Vec<(&str, usize)> = (members.iter())
        .map(|m| (m.name.as_deref().unwrap_or_default(), m.offset as usize))
        .collect();
    let (head, tail) = fields.split_at(block.fields.len().min(fields.len()));
    if head != block.fields {
        return Err(format!("members {head:?}, {} has {:?}", block.name, block.fields));
    }
    if !tail.is_empty() && tail != [("words", block.size)] {
        return Err(format!("members {tail:?} follow {}", block.name));
    }
    if *span as usize != call.params.len() {
        return Err(format!("a block of {span} bytes, the host writes {}", call.params.len()));
    }
    Ok(())
}
