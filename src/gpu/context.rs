//! Choosing an adapter and opening its device.

use super::pipelines::{Pipeline, Pipelines};
use crate::{Error, Result, device::DeviceClass, plan::PipelineKey, text::cut};
use std::sync::{Arc, Mutex};

/// A GPU as the system describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterInfo {
    /// Its name.
    pub name: String,
    /// The API through which it is used: `vulkan`, `metal`, `dx12`, `webgpu`.
    pub backend: String,
    /// Its driver and the driver's version.
    pub driver: String,
    /// `discrete`, `integrated`, `virtual`, `cpu` (a driver that runs shaders on the CPU) or `other`.
    pub device_type: String,
    /// Features that this library can use, by their WebGPU names.
    pub features: Vec<String>,
}

impl AdapterInfo {
    fn new(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let features = adapter.features();
        let known = [
            (wgpu::Features::TIMESTAMP_QUERY, "timestamp-query"),
            (wgpu::Features::SHADER_F16, "shader-f16"),
            (wgpu::Features::PIPELINE_CACHE, "pipeline-cache"),
        ];
        Self {
            name: info.name,
            backend: info.backend.to_str().to_string(),
            driver: [info.driver, info.driver_info].join(" ").trim_ascii().to_string(),
            device_type: match info.device_type {
                wgpu::DeviceType::DiscreteGpu => "discrete",
                wgpu::DeviceType::IntegratedGpu => "integrated",
                wgpu::DeviceType::VirtualGpu => "virtual",
                wgpu::DeviceType::Cpu => "cpu",
                wgpu::DeviceType::Other => "other",
            }
            .to_string(),
            features: known.iter().filter(|(f, _)| features.contains(*f)).map(|(_, name)| name.to_string()).collect(),
        }
    }
}

/// A limit as WebGPU names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Its name in WebGPU's snake case.
    pub name: &'static str,
    /// What the adapter could grant.
    pub adapter: u64,
    /// What the open device has.
    pub device: u64,
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // GL is left out: its compute shaders lack what WebGPU promises. The rest is what each system's driver offers.
    descriptor.backends = wgpu::Backends::PRIMARY;
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    // Refuse a buffer that would not fit rather than let the system kill the process.
    descriptor.memory_budget_thresholds = wgpu::MemoryBudgetThresholds { for_resource_creation: Some(90), for_device_loss: None };
    wgpu::Instance::new(descriptor)
}

/// All adapters, best first: discrete, integrated, virtual, others, drivers that run on the CPU.
async fn enumerate(instance: &wgpu::Instance) -> Vec<(wgpu::Adapter, AdapterInfo)> {
    #[cfg(not(target_arch = "wasm32"))]
    let adapters = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
    // A browser names one adapter at most.
    #[cfg(target_arch = "wasm32")]
    let adapters = instance
        .request_adapter(&wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() })
        .await
        .into_iter();
    let mut adapters: Vec<_> = adapters.into_iter().map(|a| (AdapterInfo::new(&a), a)).map(|(info, a)| (a, info)).collect();
    #[cfg(target_arch = "wasm32")]
    if let Some((_, info)) = adapters.first_mut() {
        info.name = browser::adapter_name().await.unwrap_or_default();
    }
    #[cfg(not(target_arch = "wasm32"))]
    adapters.sort_by_key(|(_, info)| {
        ["discrete", "integrated", "virtual", "other", "cpu"].iter().position(|t| *t == info.device_type).unwrap_or(usize::MAX)
    });
    adapters
}

/// What wgpu does not tell of a browser's adapter.
#[cfg(target_arch = "wasm32")]
mod browser {
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(catch, js_namespace = ["navigator", "gpu"], js_name = requestAdapter)]
        async fn request_adapter(options: &JsValue) -> Result<JsValue, JsValue>;
    }

    /// Its description, or, where the browser keeps that to itself, its vendor and architecture.
    pub(super) async fn adapter_name() -> Option<String> {
        let options = js_sys::Object::new();
        js_sys::Reflect::set(&options, &"powerPreference".into(), &"high-performance".into()).ok()?;
        let adapter = request_adapter(&options).await.ok()?;
        let info = js_sys::Reflect::get(&adapter, &"info".into()).ok()?;
        let text = |key: &str| js_sys::Reflect::get(&info, &key.into()).ok()?.as_string().filter(|text| !text.is_empty());
        let parts = || ["vendor", "architecture", "device"].into_iter().filter_map(text).collect::<Vec<_>>().join(" ");
        let name = text("description").unwrap_or_else(parts);
        Some(if name.is_empty() { "a GPU that the browser does not name".into() } else { name })
    }
}

/// Every adapter that the library could use, best first. Empty where there is none.
pub async fn adapters() -> Vec<AdapterInfo> {
    enumerate(&instance()).await.into_iter().map(|(_, info)| info).collect()
}

/// A device, its queue and its compiled pipelines.
#[derive(Debug)]
pub struct Context {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: AdapterInfo,
    adapter_limits: wgpu::Limits,
    class: DeviceClass,
    lost: Arc<Mutex<Option<String>>>,
    pub(super) pipelines: Pipelines,
}

impl Context {
    /// Opens the best adapter whose name or driver contains `filter` (any letter case).
    ///
    /// `default_limits` asks for WebGPU's default limits and no more, as a browser grants them; otherwise buffers may be as large as the
    /// adapter allows. `halves` asks for arithmetic in f16, where the adapter offers it.
    pub async fn new(filter: Option<&str>, default_limits: bool, halves: bool) -> Result<Self> {
        let all = enumerate(&instance()).await;
        let names: Vec<String> = all.iter().map(|(_, info)| format!("`{}`", info.name)).collect();
        let chosen = match filter {
            None => all.into_iter().next(),
            Some(filter) => {
                let wanted = filter.to_ascii_lowercase();
                let matches =
                    |i: &AdapterInfo| [&i.name, &i.driver, &i.backend].iter().any(|t| cut(&t.to_ascii_lowercase(), &wanted).is_some());
                all.into_iter().find(|(_, info)| matches(info))
            }
        };
        let Some((adapter, info)) = chosen else {
            return Err(Error::NoAdapter(match (filter, names.is_empty()) {
                (_, true) if cfg!(target_arch = "wasm32") => "this browser offers none through WebGPU".into(),
                (_, true) => "this machine offers none (on Linux install a Vulkan driver, e.g. mesa-vulkan-drivers)".into(),
                (Some(filter), false) => format!("none matches `{filter}`; there are {}", names.join(", ")),
                (None, false) => "none can be used".into(),
            }));
        };
        let limits = limits(&adapter, &info, default_limits)?;
        // Timestamps for the profiler and a cache for the next start, where there are any; nothing is needed.
        let halves = if halves { wgpu::Features::SHADER_F16 } else { wgpu::Features::empty() };
        let optional = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE | halves;
        let features = adapter.features() & optional;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("ghostnet"),
            required_features: features,
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|error| Error::Unsupported { adapter: info.name.clone(), what: format!("cannot be opened: {error}") })?;
        Ok(Self::from_device(device, queue, info, adapter.limits()))
    }

    fn from_device(device: wgpu::Device, queue: wgpu::Queue, info: AdapterInfo, adapter_limits: wgpu::Limits) -> Self {
        let lost = Arc::new(Mutex::new(None));
        let sink = lost.clone();
        device.set_device_lost_callback(move |_, message| {
            let reason = if message.is_empty() { "its driver gives no reason".into() } else { message };
            sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(reason);
        });
        let sink = lost.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            // wgpu destroys the buffers of a lost device under the runs that use them; those fail with the loss.
            let is_lost = sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some();
            assert!(is_lost, "{error}");
        }));
        let class = if info.device_type == "cpu" { DeviceClass::Software } else { DeviceClass::Gpu };
        Self { device, queue, info, adapter_limits, class, lost, pipelines: Pipelines::default() }
    }

    /// Keeps compiled pipelines in this folder, for the next start. Only Vulkan offers it; elsewhere, and where the folder cannot be
    /// used, the context stays as it is.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn with_cache(mut self, folder: &crate::CacheDir) -> Self {
        self.pipelines.disk = super::disk_cache::DiskCache::open(&self.device, folder).await;
        self
    }

    /// The adapter.
    pub fn info(&self) -> &AdapterInfo {
        &self.info
    }

    /// The limits that matter to this library.
    pub fn limits(&self) -> Vec<Limit> {
        let (has, granted) = (&self.adapter_limits, self.device.limits());
        let limit = |name, of: fn(&wgpu::Limits) -> u64| Limit { name, adapter: of(has), device: of(&granted) };
        vec![
            limit("max_buffer_size", |l| l.max_buffer_size),
            limit("max_storage_buffer_binding_size", |l| l.max_storage_buffer_binding_size),
            limit("max_storage_buffers_per_shader_stage", |l| l.max_storage_buffers_per_shader_stage.into()),
            limit("max_compute_workgroup_storage_size", |l| l.max_compute_workgroup_storage_size.into()),
            limit("max_compute_invocations_per_workgroup", |l| l.max_compute_invocations_per_workgroup.into()),
            limit("max_compute_workgroups_per_dimension", |l| l.max_compute_workgroups_per_dimension.into()),
            limit("min_uniform_buffer_offset_alignment", |l| l.min_uniform_buffer_offset_alignment.into()),
            limit("min_storage_buffer_offset_alignment", |l| l.min_storage_buffer_offset_alignment.into()),
        ]
    }

    /// The class of device that kernels are chosen for.
    pub fn class(&self) -> DeviceClass {
        self.class
    }

    /// Whether [`Prepared::profile`](super::Prepared::profile) can time steps.
    pub fn has_timestamps(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Whether its kernels may multiply halves: see [`Choice::multiplies_halves`](crate::device::Choice::multiplies_halves).
    pub fn multiplies_halves(&self) -> bool {
        self.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// Whether the device was lost.
    pub fn is_lost(&self) -> bool {
        self.check_lost().is_err()
    }

    /// Fails if the device was lost.
    pub(super) fn check_lost(&self) -> Result<()> {
        match &*self.lost.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(message) => Err(Error::DeviceLost(message.clone())),
            None => Ok(()),
        }
    }

    /// The largest buffer that a shader may bind, in bytes.
    pub(super) fn max_binding(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    /// Compiled pipelines for `keys`, in order; those not there yet are compiled now.
    pub(super) async fn pipelines(&self, keys: &[PipelineKey]) -> Result<Vec<Arc<Pipeline>>> {
        self.pipelines.get(&self.device, keys).await
    }

    /// A run is done: now there is time to keep what was compiled for it.
    pub(super) fn keep_pipelines(&self) {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(disk) = &self.pipelines.disk {
            disk.keep();
        }
    }

    /// Loses the device on purpose, as a driver reset would.
    #[doc(hidden)]
    pub fn destroy(&self) {
        // wgpu would tell only when nothing is under way any more.
        self.lost.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert("it was destroyed".into());
        self.device.destroy();
    }
}

/// WebGPU's default limits, with larger buffers where the adapter has them; an error where it has less than the kernels need.
fn limits(adapter: &wgpu::Adapter, info: &AdapterInfo, default_limits: bool) -> Result<wgpu::Limits> {
    let has = adapter.limits();
    let needs = wgpu::Limits::default();
    let lacks = [
        ("invocations per workgroup", needs.max_compute_invocations_per_workgroup, has.max_compute_invocations_per_workgroup),
        ("bytes of workgroup memory", needs.max_compute_workgroup_storage_size, has.max_compute_workgroup_storage_size),
        ("storage buffers per shader", needs.max_storage_buffers_per_shader_stage, has.max_storage_buffers_per_shader_stage),
        ("workgroups per dimension", needs.max_compute_workgroups_per_dimension, has.max_compute_workgroups_per_dimension),
    ];
    if let Some((what, needed, limit)) = lacks.into_iter().find(|(_, needed, limit)| limit < needed) {
        return Err(Error::Unsupported { adapter: info.name.clone(), what: format!("has {limit} {what}, {needed} are needed") });
    }
    if default_limits {
        return Ok(needs);
    }
    Ok(wgpu::Limits {
        max_buffer_size: has.max_buffer_size.max(needs.max_buffer_size),
        max_storage_buffer_binding_size: has.max_storage_buffer_binding_size.max(needs.max_storage_buffer_binding_size),
        ..needs
    })
}
