//! Shaders as wgpu 30 hands them to drivers: naga's writers with the options that `wgpu-hal` 30
//! sets for modules made as `src/gpu/pipelines.rs` makes them, in its `vulkan/adapter.rs`,
//! `metal/device.rs` and `dx12/device.rs`.

use ghostnet::shader::Binding;
use naga::{
    Module, ResourceBinding, ShaderStage,
    back::{hlsl, msl, spv},
    proc::{BoundsCheckPolicies, BoundsCheckPolicy},
    valid::ModuleInfo,
};

/// A version of a driver's language, and whether buffers' indices are clamped in it.
#[derive(Debug, Clone, Copy)]
pub struct Vulkan {
    pub version: (u8, u8),
    /// As `spirv-val --target-env` names it.
    pub environment: &'static str,
    pub clamps: bool,
}

/// The least that wgpu takes, and what today's drivers have: `robustBufferAccess2` takes the place
/// of clamps.
pub const VULKAN: [Vulkan; 2] = [
    Vulkan { version: (1, 3), environment: "vulkan1.1", clamps: true },
    Vulkan { version: (1, 6), environment: "vulkan1.3", clamps: false },
];

/// macOS 10.15 and macOS 26.
pub const METAL: [(u8, u8); 2] = [(2, 2), (4, 0)];

/// By the compiler FXC, and by DXC. Halves need 6.2.
pub const DIRECT3D: [hlsl::ShaderModel; 2] = [hlsl::ShaderModel::V5_1, hlsl::ShaderModel::V6_2];

fn policies(index: BoundsCheckPolicy, buffer: BoundsCheckPolicy) -> BoundsCheckPolicies {
    BoundsCheckPolicies { index, buffer, image_load: buffer, binding_array: BoundsCheckPolicy::Unchecked }
}

pub fn spirv(module: &Module, info: &ModuleInfo, halves: bool, driver: Vulkan) -> Result<Vec<u32>, String> {
    use spv::Capability::*;
    let mut capabilities =
        vec![Shader, Matrix, Sampled1D, Image1D, ImageQuery, DerivativeControl, StorageImageExtendedFormats, SampledCubeArray];
    if halves {
        capabilities.push(Float16);
    }
    let options = spv::Options {
        lang_version: driver.version,
        flags: spv::WriterFlags::FORCE_POINT_SIZE,
        capabilities: Some(capabilities.into_iter().collect()),
        bounds_check_policies: policies(
            BoundsCheckPolicy::Restrict,
            if driver.clamps { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked },
        ),
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: true,
        ..Default::default()
    };
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into() };
    spv::write_vec(module, info, &options, Some(&pipeline)).map_err(|error| error.to_string())
}

/// The resources of group 0: the uniform `params`, and the rest.
fn resources(bindings: &[Binding]) -> impl Iterator<Item = (ResourceBinding, Option<&Binding>)> {
    let of = |binding| ResourceBinding { group: 0, binding };
    std::iter::once((of(0), None)).chain(bindings.iter().map(move |binding| (of(binding.index), Some(binding))))
}

pub fn metal(module: &Module, info: &ModuleInfo, bindings: &[Binding], version: (u8, u8)) -> Result<String, String> {
    let (mut buffers, mut textures) = (0, 0);
    let next = |count: &mut u8| {
        *count += 1;
        Some(*count - 1)
    };
    let map = resources(bindings)
        .map(|(at, binding)| {
            let mut target = msl::BindTarget { mutable: binding.is_some_and(|binding| binding.writes), ..Default::default() };
            if binding.is_some_and(|binding| binding.texture) {
                target.texture = next(&mut textures);
            } else {
                target.buffer = next(&mut buffers);
            }
            (at, target)
        })
        .collect();
    let entry = msl::EntryPointResources { resources: map, immediates_buffer: None, sizes_buffer: next(&mut buffers) };
    let options = msl::Options {
        lang_version: version,
        per_entry_point_map: [("main".to_string(), entry)].into(),
        spirv_cross_compatibility: false,
        fake_missing_bindings: false,
        bounds_check_policies: policies(BoundsCheckPolicy::Restrict, BoundsCheckPolicy::Restrict),
        zero_initialize_workgroup_memory: true,
        force_loop_bounding: false,
        emit_int_div_checks: true,
        ..Default::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, "main".into())),
        vertex_pulling_transform: true,
        ..Default::default()
    };
    let (text, written) = msl::write_string(module, info, &options, &pipeline).map_err(|error| error.to_string())?;
    let names = written.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if names.len() == 1 && text.contains("kernel void") { Ok(text) } else { Err("no kernel".into()) }
}

pub fn hlsl(module: &Module, info: &ModuleInfo, bindings: &[Binding], model: hlsl::ShaderModel) -> Result<String, String> {
    let (mut constants, mut read, mut written) = (0, 0, 0);
    let binding_map = resources(bindings)
        .map(|(at, binding)| {
            let registers = match binding {
                None => &mut constants,
                Some(binding) if binding.writes => &mut written,
                Some(_) => &mut read,
            };
            let target = hlsl::BindTarget { register: *registers, restrict_indexing: true, ..Default::default() };
            *registers += 1;
            (at, target)
        })
        .collect();
    let options = hlsl::Options {
        shader_model: model,
        binding_map,
        fake_missing_bindings: false,
        // For `num_workgroups`.
        special_constants_binding: Some(hlsl::BindTarget { register: constants, ..Default::default() }),
        zero_initialize_workgroup_memory: false,
        restrict_indexing: true,
        force_loop_bounding: false,
        ..Default::default()
    };
    let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, "main".into())) };
    let mut text = String::new();
    let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).map_err(|error| error.to_string())?;
    let names = written.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if names.len() == 1 && text.contains("numthreads") { Ok(text) } else { Err("no kernel".into()) }
}
