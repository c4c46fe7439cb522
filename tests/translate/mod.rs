//! Kernels in the languages of Vulkan, Metal and Direct3D, by the options with which wgpu-hal 30 itself translates them: with
//! all run-time checks and with none, as `gpu/pipelines.rs` asks for them. No binding is made up: each is in a map, as it is
//! in wgpu's layouts.

use naga::back::pipeline_constants::process_overrides;
use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::ModuleInfo;
use naga::{AddressSpace, Module, ResourceBinding, ShaderStage, StorageAccess};
use std::io::Write as _;
use std::process::{Command, Stdio};
use wgrad::kernels::DeviceCaps;

const ENTRY: &str = "main";

/// The bindings that a shader declares, with whether each is a storage buffer and whether it is written.
fn bindings(module: &Module) -> Vec<(ResourceBinding, bool, bool)> {
    let variables = module.global_variables.iter();
    let bound = variables.filter_map(|(_, v)| Some((v.binding?, v.space)));
    let kind = |(binding, space)| match space {
        AddressSpace::Storage { access } => (binding, true, access.contains(StorageAccess::STORE)),
        _ => (binding, false, false),
    };
    bound.map(kind).collect()
}

const fn policies(checked: bool, bound: BoundsCheckPolicy) -> BoundsCheckPolicies {
    let policy = if checked { bound } else { BoundsCheckPolicy::Unchecked };
    let binding_array = BoundsCheckPolicy::Unchecked;
    BoundsCheckPolicies { index: policy, buffer: policy, image_load: policy, binding_array }
}

/// What wgpu lets a Vulkan device's shaders use.
fn capabilities(caps: &DeviceCaps) -> Vec<spv::Capability> {
    use spv::Capability as C;
    let mut able = vec![C::Shader, C::Matrix, C::ImageQuery, C::DerivativeControl];
    if caps.subgroup.is_some() {
        able.extend([C::GroupNonUniform, C::GroupNonUniformVote, C::GroupNonUniformArithmetic]);
        able.extend([C::GroupNonUniformBallot, C::GroupNonUniformShuffle]);
        able.extend([C::GroupNonUniformShuffleRelative, C::GroupNonUniformQuad]);
    }
    if caps.wide_words {
        able.push(C::Int64);
    }
    able
}

/// SPIR-V of this version: 1.3 is that of Vulkan 1.1, 1.6 that of 1.3.
pub fn to_spirv(
    module: &Module,
    info: &ModuleInfo,
    caps: &DeviceCaps,
    checked: bool,
    lang_version: (u8, u8),
) -> Result<Vec<u32>, String> {
    let mut flags = spv::WriterFlags::LABEL_VARYINGS;
    flags.insert(spv::WriterFlags::FORCE_POINT_SIZE);
    let target = |b: ResourceBinding| spv::BindingInfo {
        descriptor_set: b.group,
        binding: b.binding,
        binding_array_size: None,
    };
    let options = spv::Options {
        lang_version,
        flags,
        fake_missing_bindings: false,
        binding_map: bindings(module).into_iter().map(|(b, ..)| (b, target(b))).collect(),
        capabilities: Some(capabilities(caps).into_iter().collect()),
        bounds_check_policies: policies(checked, BoundsCheckPolicy::Restrict),
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: checked,
        emit_int_div_checks: checked,
        use_storage_input_output_16: false,
        ..Default::default()
    };
    let pipeline =
        spv::PipelineOptions { entry_point: ENTRY.into(), shader_stage: ShaderStage::Compute };
    spv::write_vec(module, info, &options, Some(&pipeline)).map_err(|e| format!("SPIR-V: {e}"))
}

/// Metal's language of this version.
fn to_metal(
    module: &Module,
    info: &ModuleInfo,
    checked: bool,
    lang_version: (u8, u8),
) -> Result<String, String> {
    let target = |slot: usize, mutable| msl::BindTarget {
        buffer: Some(slot as u8),
        mutable,
        ..Default::default()
    };
    let bound = bindings(module);
    let sizes_buffer = Some(bound.len() as u8);
    let resources = bound.into_iter().enumerate();
    let resources = msl::EntryPointResources {
        resources: resources.map(|(slot, (b, _, written))| (b, target(slot, written))).collect(),
        immediates_buffer: None,
        sizes_buffer,
    };
    let options = msl::Options {
        lang_version,
        per_entry_point_map: [(ENTRY.to_owned(), resources)].into(),
        fake_missing_bindings: false,
        spirv_cross_compatibility: false,
        bounds_check_policies: policies(checked, BoundsCheckPolicy::Restrict),
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: checked,
        emit_int_div_checks: checked,
        ..Default::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, ENTRY.into())),
        vertex_pulling_transform: true,
        ..Default::default()
    };
    let (text, names) =
        msl::write_string(module, info, &options, &pipeline).map_err(|e| format!("MSL: {e}"))?;
    match names.entry_point_names.as_slice() {
        [Ok(_)] => Ok(text),
        other => Err(format!("MSL: entry points {other:?}")),
    }
}

/// Direct3D's language: all storage buffers with a dynamic offset, as those have that move with the iteration of a loop.
fn to_direct3d(
    module: &Module,
    info: &ModuleInfo,
    checked: bool,
    shader_model: hlsl::ShaderModel,
) -> Result<String, String> {
    let target = |register: usize, storage: bool| hlsl::BindTarget {
        space: 0,
        register: register as u32,
        binding_array_size: None,
        dynamic_storage_buffer_offsets_index: storage.then_some(register as u32),
        restrict_indexing: true,
    };
    let bound = bindings(module);
    let offsets = hlsl::OffsetsBindTarget { space: 1, register: 0, size: bound.len() as u32 };
    let options = hlsl::Options {
        shader_model,
        binding_map: (bound.into_iter().enumerate())
            .map(|(register, (b, storage, _))| (b, target(register, storage)))
            .collect(),
        fake_missing_bindings: false,
        special_constants_binding: Some(hlsl::BindTarget { space: 2, ..target(0, false) }),
        dynamic_storage_buffer_offsets_targets: [(0, offsets)].into(),
        zero_initialize_workgroup_memory: false,
        restrict_indexing: checked,
        force_loop_bounding: checked,
        ..Default::default()
    };
    let pipeline =
        hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, ENTRY.into())) };
    let mut text = String::new();
    let written = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .map_err(|e| format!("HLSL: {e}"))?;
    match written.entry_point_names.as_slice() {
        [Ok(_)] => Ok(text),
        other => Err(format!("HLSL: entry points {other:?}")),
    }
}

/// Translates in every way that wgpu may choose; `validate` is [`spirv_val`], if it is there.
pub fn translate(
    module: &Module,
    info: &ModuleInfo,
    caps: &DeviceCaps,
    validate: bool,
) -> Result<(), String> {
    let entry = Some((ShaderStage::Compute, ENTRY));
    let (module, info) = process_overrides(module, info, entry, &Default::default())
        .map_err(|e| format!("overrides: {e}"))?;
    for (checked, version) in [(true, (1, 3)), (false, (1, 3)), (false, (1, 6))] {
        let words = to_spirv(&module, &info, caps, checked, version)?;
        // What runs, on Vulkan 1.3: a program is started for each module, so the others are left out.
        if validate && (checked, version) == (false, (1, 6)) {
            spirv_val(&words, "vulkan1.3")?;
        }
    }
    for (checked, version) in [(true, (2, 4)), (false, (2, 4)), (false, (3, 1))] {
        to_metal(&module, &info, checked, version)?;
    }
    for checked in [true, false] {
        to_direct3d(&module, &info, checked, hlsl::ShaderModel::V6_0)?;
        // The older compiler has neither subgroups nor 64-bit words.
        if caps.subgroup.is_none() && !caps.wide_words {
            to_direct3d(&module, &info, checked, hlsl::ShaderModel::V5_1)?;
        }
    }
    Ok(())
}

/// Whether Khronos' validator is installed; if not, a line says so.
pub fn validator() -> bool {
    let found =
        Command::new("spirv-val").arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        eprintln!(
            "skipped: SPIR-V is not validated, because spirv-val (spirv-tools) is not installed"
        );
    }
    found
}

/// What Khronos' validator says of a module.
pub fn spirv_val(words: &[u32], environment: &str) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("spirv-val: {e}");
    let mut child = Command::new("spirv-val")
        .args(["--target-env", environment, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    if let Some(input) = child.stdin.take().as_mut() {
        input.write_all(&bytes).map_err(fail)?;
    }
    let output = child.wait_with_output().map_err(fail)?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("spirv-val, {environment}: {}", String::from_utf8_lossy(&said)))
}
