//! Compiles each pipeline once per device.

use super::disk_cache::DiskCache;
use crate::{
    Error, Result, parallel,
    plan::PipelineKey,
    shader::{self, Binding},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A compiled pipeline with the bindings its shader declares. Binding 0 is the uniform `Params`,
/// bound at an offset set per dispatch.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) bindings: Vec<Binding>,
}

/// The pipelines of a device.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    compiled: Mutex<BTreeMap<PipelineKey, Arc<Pipeline>>>,
    pub(super) disk: Option<DiskCache>,
}

impl Pipelines {
    pub(super) async fn get(&self, device: &wgpu::Device, keys: &[PipelineKey]) -> Result<Vec<Arc<Pipeline>>> {
        let lock = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing: Vec<&PipelineKey> = Vec::new();
        for key in keys {
            if !lock().contains_key(key) && !missing.contains(&key) {
                missing.push(key);
            }
        }
        // Where the driver looks for pipelines and leaves new ones.
        let cache = self.disk.as_ref().map(DiskCache::cache);
        // The lock is not held while compiling: at worst two threads compile one pipeline. Drivers
        // compile in the calling thread.
        let pipelines = parallel::try_map(&missing, async |key| compile(device, cache, key).await).await?;
        for (&key, pipeline) in missing.iter().zip(pipelines) {
            lock().insert(key.clone(), Arc::new(pipeline));
        }
        if let Some(disk) = self.disk.as_ref().filter(|_| !missing.is_empty()) {
            disk.changed();
        }
        let compiled = lock();
        Ok(keys.iter().map(|key| compiled.get(key).expect("compiled above").clone()).collect())
    }
}

async fn compile(device: &wgpu::Device, cache: Option<&wgpu::PipelineCache>, key: &PipelineKey) -> Result<Pipeline> {
    compile_source(device, cache, &key.file_name(), key.source()).await
}

/// Compiles one shader of this crate.
pub(super) async fn compile_source(
    device: &wgpu::Device,
    cache: Option<&wgpu::PipelineCache>,
    name: &str,
    source: String,
) -> Result<Pipeline> {
    let bindings = shader::bindings(&source);
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(source.into()) };
    let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
    // SAFETY: every loop in shaders/ counts an integer up or down to a bound that does not change
    // in the loop, so none is infinite. All other checks stay. The counters that bounding adds to
    // each loop keep drivers from unrolling it.
    #[allow(unsafe_code)]
    let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };

    let entry = |binding, ty| wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None };
    let buffer = |ty, dynamic| wgpu::BindingType::Buffer { ty, has_dynamic_offset: dynamic, min_binding_size: None };
    let texture = wgpu::BindingType::Texture {
        sample_type: wgpu::TextureSampleType::Float { filterable: false },
        view_dimension: wgpu::TextureViewDimension::D2,
        multisampled: false,
    };
    let mut entries = vec![entry(0, buffer(wgpu::BufferBindingType::Uniform, true))];
    entries.extend(bindings.iter().map(|b| {
        let storage = buffer(wgpu::BufferBindingType::Storage { read_only: !b.writes }, false);
        entry(b.index, if b.texture { texture } else { storage })
    }));
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(name),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(name),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions { constants: &[], zero_initialize_workgroup_memory: zeroes(device) },
        cache,
    });
    match scope.pop().await {
        Some(error) => Err(match Error::from(error) {
            Error::Gpu(why) => Error::Gpu(format!("shader {name}: {why}")),
            other => other,
        }),
        None => Ok(Pipeline { pipeline, layout, bindings }),
    }
}

/// Whether workgroup memory is zeroed before a kernel runs, on this device. A browser does it in
/// any case.
fn zeroes(device: &wgpu::Device) -> bool {
    !cfg!(target_arch = "wasm32") && needs_zeroes(device.adapter_info().backend)
}

/// Whether kernels need zeroed workgroup memory on a backend. Every kernel writes it before it
/// reads it, so none does. But Metal's compiler misplaces barriers where nothing zeroes the memory
/// (gfx-rs/wgpu 4500 and 3181, and vello turned it on for that, linebender/vello 363).
fn needs_zeroes(backend: wgpu::Backend) -> bool {
    backend == wgpu::Backend::Metal
}

#[cfg(test)]
mod tests {
    use super::needs_zeroes;
    use wgpu::Backend::*;

    #[test]
    fn workgroup_memory_is_zeroed_on_metal_alone() {
        assert_eq!([Metal, Vulkan, Dx12, Gl, BrowserWebGpu, Noop].map(needs_zeroes), [true, false, false, false, false, false]);
    }
}
