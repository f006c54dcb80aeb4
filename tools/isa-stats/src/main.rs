//! The cost of a WGSL compute shader on an AMD GPU, with no such GPU present.
//!
//! Mesa's RADV compiles for an AMD GPU that is not there (`RADV_FORCE_FAMILY`). This turns WGSL
//! into SPIR-V by naga, hands it to that driver and prints the compiler's statistics of its entry
//! point: registers, spills, occupancy, code size and estimates of time.
//!
//! Usage: `isa-stats [--clamp] FILE.wgsl`
//!
//! The SPIR-V is what wgpu 30 gives RADV for modules made as `src/gpu/pipelines.rs` makes them:
//! indices of arrays and vectors are clamped, those of buffers are the driver's matter
//! (`robustBufferAccess2`), loops are not bounded and workgroup memory is not zeroed. With
//! `--clamp` indices of buffers are clamped too and workgroup memory is zeroed, as in the MSL that
//! wgpu gives Metal.

use std::ffi::CStr;

use anyhow::{Context, Result, anyhow, bail};
use ash::vk;
use naga::{
    AddressSpace,
    back::spv,
    proc::{BoundsCheckPolicies, BoundsCheckPolicy},
    valid::{Capabilities, ValidationFlags, Validator},
};

/// Every shader's entry point.
const ENTRY: &str = "main";

fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let clamp = args.iter().position(|arg| arg == "--clamp").map(|at| args.remove(at)).is_some();
    let [path] = &args[..] else { bail!("usage: isa-stats [--clamp] FILE.wgsl") };
    let source = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    let module = naga::front::wgsl::parse_str(&source).map_err(|error| anyhow!(error.emit_to_string(&source)))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module);
    let info = info.map_err(|error| anyhow!(error.emit_to_string(&source)))?;
    let gpu = Gpu::open()?;
    println!("{path} on {}", gpu.name);
    for (name, value) in gpu.statistics(&module, &to_spirv(&module, &info, clamp)?)? {
        println!("  {name:28} {value}");
    }
    Ok(())
}

fn to_spirv(module: &naga::Module, info: &naga::valid::ModuleInfo, clamp: bool) -> Result<Vec<u32>> {
    let buffer = if clamp { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::empty(),
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer,
            image_load: buffer,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        force_loop_bounding: false,
        zero_initialize_workgroup_memory: if clamp {
            spv::ZeroInitializeWorkgroupMemoryMode::Polyfill
        } else {
            spv::ZeroInitializeWorkgroupMemoryMode::None
        },
        ..Default::default()
    };
    let pipeline = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: ENTRY.into() };
    Ok(spv::write_vec(module, info, &options, Some(&pipeline))?)
}

struct Gpu {
    _entry: ash::Entry,
    _instance: ash::Instance,
    device: ash::Device,
    executables: ash::khr::pipeline_executable_properties::Device,
    name: String,
}

impl Gpu {
    fn open() -> Result<Self> {
        // SAFETY: the loader and driver are trusted; every create-info below outlives its call.
        unsafe {
            let entry = ash::Entry::load().context("no Vulkan loader (libvulkan1)")?;
            let app = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let instance = entry.create_instance(&vk::InstanceCreateInfo::default().application_info(&app), None)?;
            let physical = *instance.enumerate_physical_devices()?.first().context("no Vulkan device: is RADV_FORCE_FAMILY set?")?;
            let props = instance.get_physical_device_properties(physical);
            let name = props.device_name_as_c_str()?.to_string_lossy().into_owned();
            let mut stats = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let mut v12 = vk::PhysicalDeviceVulkan12Features::default().shader_float16(true).vulkan_memory_model(true);
            let mut v11 = vk::PhysicalDeviceVulkan11Features::default().storage_buffer16_bit_access(true);
            let mut v13 = vk::PhysicalDeviceVulkan13Features::default().maintenance4(true).subgroup_size_control(true);
            let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
            let base = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true).shader_int16(true).shader_int64(true);
            let queue = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
            let extensions = [ash::khr::pipeline_executable_properties::NAME.as_ptr(), ash::ext::robustness2::NAME.as_ptr()];
            let info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queue)
                .enabled_extension_names(&extensions)
                .enabled_features(&base)
                .push_next(&mut stats)
                .push_next(&mut v11)
                .push_next(&mut v12)
                .push_next(&mut v13)
                .push_next(&mut robust);
            let device = instance.create_device(physical, &info, None)?;
            let executables = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Self { _entry: entry, _instance: instance, device, executables, name })
        }
    }

    fn statistics(&self, module: &naga::Module, words: &[u32]) -> Result<Vec<(String, String)>> {
        let mut groups: Vec<Vec<vk::DescriptorSetLayoutBinding>> = Vec::new();
        for (_, global) in module.global_variables.iter() {
            let Some(slot) = &global.binding else { continue };
            let kind = match (global.space, &module.types[global.ty].inner) {
                (AddressSpace::Uniform, _) => vk::DescriptorType::UNIFORM_BUFFER,
                (AddressSpace::Storage { .. }, _) => vk::DescriptorType::STORAGE_BUFFER,
                (_, naga::TypeInner::Sampler { .. }) => vk::DescriptorType::SAMPLER,
                (_, naga::TypeInner::Image { class: naga::ImageClass::Storage { .. }, .. }) => vk::DescriptorType::STORAGE_IMAGE,
                _ => vk::DescriptorType::SAMPLED_IMAGE,
            };
            groups.resize_with(groups.len().max(slot.group as usize + 1), Vec::new);
            groups[slot.group as usize].push(
                vk::DescriptorSetLayoutBinding::default()
                    .binding(slot.binding)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE),
            );
        }
        // SAFETY: as in `open`; the objects live until the process ends.
        unsafe {
            let sets = groups
                .iter()
                .map(|b| self.device.create_descriptor_set_layout(&vk::DescriptorSetLayoutCreateInfo::default().bindings(b), None))
                .collect::<Result<Vec<_>, _>>()?;
            let push = [vk::PushConstantRange::default().stage_flags(vk::ShaderStageFlags::COMPUTE).size(128)];
            let layout = self
                .device
                .create_pipeline_layout(&vk::PipelineLayoutCreateInfo::default().set_layouts(&sets).push_constant_ranges(&push), None)?;
            let shader = self.device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(words), None)?;
            let entry = std::ffi::CString::new(ENTRY)?;
            let stage = vk::PipelineShaderStageCreateInfo::default().stage(vk::ShaderStageFlags::COMPUTE).module(shader).name(&entry);
            let info =
                vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR);
            let pipeline = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None).map_err(|(_, e)| e)?[0];
            let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
            let statistics = self.executables.get_pipeline_executable_statistics(&executable)?;
            Ok(statistics
                .iter()
                .map(|s| {
                    let name = CStr::from_ptr(s.name.as_ptr()).to_string_lossy().into_owned();
                    let value = match s.format {
                        vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => format!("{:.3}", s.value.f64),
                        vk::PipelineExecutableStatisticFormatKHR::INT64 => s.value.i64.to_string(),
                        _ => s.value.u64.to_string(),
                    };
                    (name, value)
                })
                .collect())
        }
    }
}
