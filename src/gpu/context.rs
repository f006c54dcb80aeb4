//! Choosing an adapter and opening its device.

use super::{
    one_line,
    pipelines::{Pipeline, Pipelines},
};
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
    fn new(adapter: &wgpu::Adapter, info: wgpu::AdapterInfo) -> Self {
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

    /// Whether it runs shaders on the CPU, as lavapipe, SwiftShader and WARP do.
    pub fn is_software(&self) -> bool {
        self.device_type == "cpu"
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
#[cfg(not(target_arch = "wasm32"))]
async fn enumerate(instance: &wgpu::Instance) -> Vec<(wgpu::Adapter, AdapterInfo)> {
    let adapters = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await.into_iter();
    let mut adapters: Vec<_> = adapters.map(|a| (AdapterInfo::new(&a, a.get_info()), a)).map(|(info, a)| (a, info)).collect();
    adapters.sort_by_key(|(_, info)| {
        ["discrete", "integrated", "virtual", "other", "cpu"].iter().position(|t| *t == info.device_type).unwrap_or(usize::MAX)
    });
    adapters
}

/// The adapter that a browser names, if it does: there is one at most.
#[cfg(target_arch = "wasm32")]
async fn enumerate(instance: &wgpu::Instance) -> Vec<(wgpu::Adapter, AdapterInfo)> {
    let options = wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
    let Ok(adapter) = instance.request_adapter(&options).await else { return Vec::new() };
    // What wgpu tells of it is less.
    let told = browser::adapter().await.unwrap_or_default();
    let device_type = if told.is_software() { wgpu::DeviceType::Cpu } else { wgpu::DeviceType::Other };
    let info = wgpu::AdapterInfo { name: told.name(), ..wgpu::AdapterInfo::new(device_type, wgpu::Backend::BrowserWebGpu) };
    let info = AdapterInfo::new(&adapter, info);
    vec![(adapter, info)]
}

/// What a browser tells of an adapter.
#[cfg(any(target_arch = "wasm32", test))]
#[derive(Default)]
struct Told {
    /// Vendor, architecture, device and description; what the browser keeps to itself is empty.
    texts: [String; 4],
    is_fallback: bool,
}

#[cfg(any(target_arch = "wasm32", test))]
impl Told {
    /// Its description, or its vendor and architecture.
    fn name(&self) -> String {
        let [parts @ .., description] = &self.texts;
        if !description.is_empty() {
            return description.clone();
        }
        let name = parts.join(" ").trim_ascii().to_string();
        if name.is_empty() { "a GPU that the browser does not name".into() } else { name }
    }

    /// Whether it runs shaders on the CPU. One of which nothing is told is taken for a GPU.
    ///
    /// Architectures are named as by Dawn's `gpu_info.json`, where Google's is `swiftshader`,
    /// Microsoft's `warp` and Mesa's `software`; descriptions as drivers name themselves.
    fn is_software(&self) -> bool {
        let drivers = ["swiftshader", "llvmpipe", "lavapipe", "basic render"];
        let all = self.texts.join(" ").to_ascii_lowercase();
        self.is_fallback || ["warp", "software"].contains(&&*self.texts[1]) || drivers.iter().any(|driver| cut(&all, driver).is_some())
    }
}

/// What wgpu does not tell of a browser's adapter.
#[cfg(target_arch = "wasm32")]
mod browser {
    use super::Told;
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(catch, js_namespace = ["navigator", "gpu"], js_name = requestAdapter)]
        async fn request_adapter(options: &JsValue) -> Result<JsValue, JsValue>;
    }

    pub(super) async fn adapter() -> Option<Told> {
        let options = js_sys::Object::new();
        js_sys::Reflect::set(&options, &"powerPreference".into(), &"high-performance".into()).ok()?;
        let adapter = request_adapter(&options).await.ok()?;
        let get = |of: &JsValue, key: &str| js_sys::Reflect::get(of, &key.into()).unwrap_or_default();
        let info = get(&adapter, "info");
        let texts = ["vendor", "architecture", "device", "description"].map(|key| get(&info, key).as_string().unwrap_or_default());
        // The adapter's own in browsers before 2025.
        let is_fallback = [&info, &adapter].iter().any(|of| get(of, "isFallbackAdapter").is_truthy());
        Some(Told { texts, is_fallback })
    }
}

/// Every adapter that the library could use, best first. Empty where there is none.
pub async fn adapters() -> Vec<AdapterInfo> {
    enumerate(&instance()).await.into_iter().map(|(_, info)| info).collect()
}

/// Which adapter a [`Context`] is opened on, and what is asked of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Part of the adapter's name, driver or API, in any letter case; adapters that do not match
    /// are not tried.
    pub name: Option<&'a str>,
    /// No adapter that [runs shaders on the CPU](AdapterInfo::is_software).
    pub gpu_only: bool,
    /// WebGPU's default limits and no more, as a browser grants them; otherwise buffers may be as
    /// large as the adapter allows.
    pub default_limits: bool,
    /// Arithmetic in f16, where the adapter offers it.
    pub halves: bool,
}

impl Wanted<'_> {
    fn takes(&self, info: &AdapterInfo) -> bool {
        let named = self.name.is_none_or(|name| {
            let name = name.to_ascii_lowercase();
            [&info.name, &info.driver, &info.backend].iter().any(|text| cut(&text.to_ascii_lowercase(), &name).is_some())
        });
        named && !(self.gpu_only && info.is_software())
    }

    /// Why none of a machine's adapters will do, whose names are `all`.
    fn none_of(&self, all: &[String]) -> Error {
        Error::NoAdapter(match (self.name, all) {
            (_, []) if cfg!(target_arch = "wasm32") => "this browser offers none through WebGPU".into(),
            (_, []) => "this machine offers none (on Linux install a Vulkan driver, e.g. mesa-vulkan-drivers)".into(),
            (Some(name), _) => format!("none matches `{name}`; there are {}", all.join(", ")),
            (None, [only]) => format!("the only adapter, {only}, runs shaders on the CPU"),
            (None, _) => format!("all adapters run shaders on the CPU: {}", all.join(", ")),
        })
    }
}

/// The first candidate that opens, and why those before it do not; an error with every reason, if
/// none does.
async fn first<C, T>(candidates: impl IntoIterator<Item = C>, open: impl AsyncFn(C) -> Result<T, String>) -> Result<(T, Vec<String>)> {
    let mut unopened = Vec::new();
    for candidate in candidates {
        match open(candidate).await {
            Ok(opened) => return Ok((opened, unopened)),
            Err(why) => unopened.push(why),
        }
    }
    Err(Error::NoAdapter(unopened.join("; ")))
}

/// A device, its queue and its compiled pipelines.
#[derive(Debug)]
pub struct Context {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: AdapterInfo,
    adapter_limits: wgpu::Limits,
    class: DeviceClass,
    unopened: Vec<String>,
    lost: Arc<Mutex<Option<String>>>,
    pub(super) pipelines: Pipelines,
}

impl Context {
    /// Opens the best adapter of those that are wanted; where it cannot be opened, the next.
    ///
    /// Errors: [`Error::NoAdapter`] if none is wanted or none can be opened, with the reason of
    /// each.
    pub async fn new(wanted: &Wanted<'_>) -> Result<Self> {
        let all = enumerate(&instance()).await;
        let names: Vec<String> = all.iter().map(|(_, info)| format!("`{}`", info.name)).collect();
        let candidates: Vec<_> = all.into_iter().filter(|(_, info)| wanted.takes(info)).collect();
        if candidates.is_empty() {
            return Err(wanted.none_of(&names));
        }
        let (context, unopened) = first(candidates, async |(adapter, info)| Self::open(adapter, info, wanted).await).await?;
        Ok(Self { unopened, ..context })
    }

    /// Opens an adapter; else says which one and why not.
    async fn open(adapter: wgpu::Adapter, info: AdapterInfo, wanted: &Wanted<'_>) -> Result<Self, String> {
        let unopened = |why: &dyn std::fmt::Display| format!("`{}` cannot be opened: {}", info.name, one_line(why));
        let limits = requested(&adapter.limits(), wanted.default_limits).map_err(|lack| unopened(&lack))?;
        // Timestamps for the profiler and a cache for the next start, where there are any; nothing is needed.
        let halves = if wanted.halves { wgpu::Features::SHADER_F16 } else { wgpu::Features::empty() };
        let optional = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE | halves;
        let features = adapter.features() & optional;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("ghostnet"),
            required_features: features,
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|error| unopened(&error))?;
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
        let class = if info.is_software() { DeviceClass::Software } else { DeviceClass::Gpu };
        Self { device, queue, info, adapter_limits, class, unopened: Vec::new(), lost, pipelines: Pipelines::default() }
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

    /// Better adapters that could not be opened, each with its name and the reason.
    pub fn unopened(&self) -> &[String] {
        &self.unopened
    }

    /// The limits that matter to this library.
    pub fn limits(&self) -> Vec<Limit> {
        let (has, granted) = (&self.adapter_limits, self.device.limits());
        let textures: Bound = ("max_texture_dimension_2d", |l| l.max_texture_dimension_2d.into());
        let bounds = COMPUTE.iter().chain([&textures]);
        bounds.map(|&(name, of)| Limit { name, adapter: of(has), device: of(&granted) }).collect()
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

/// A limit's name in WebGPU's snake case, and its value.
type Bound = (&'static str, fn(&wgpu::Limits) -> u64);

/// The limits that compute shaders need: kernels are made for WebGPU's defaults of these.
const COMPUTE: [Bound; 12] = [
    ("max_buffer_size", |l| l.max_buffer_size),
    ("max_storage_buffer_binding_size", |l| l.max_storage_buffer_binding_size),
    ("max_storage_buffers_per_shader_stage", |l| l.max_storage_buffers_per_shader_stage.into()),
    ("max_bindings_per_bind_group", |l| l.max_bindings_per_bind_group.into()),
    ("max_compute_workgroup_storage_size", |l| l.max_compute_workgroup_storage_size.into()),
    ("max_compute_invocations_per_workgroup", |l| l.max_compute_invocations_per_workgroup.into()),
    ("max_compute_workgroup_size_x", |l| l.max_compute_workgroup_size_x.into()),
    ("max_compute_workgroup_size_y", |l| l.max_compute_workgroup_size_y.into()),
    ("max_compute_workgroup_size_z", |l| l.max_compute_workgroup_size_z.into()),
    ("max_compute_workgroups_per_dimension", |l| l.max_compute_workgroups_per_dimension.into()),
    ("min_uniform_buffer_offset_alignment", |l| l.min_uniform_buffer_offset_alignment.into()),
    ("min_storage_buffer_offset_alignment", |l| l.min_storage_buffer_offset_alignment.into()),
];

/// A limit in which an adapter falls short.
#[derive(Debug, PartialEq, Eq)]
struct Lack {
    limit: &'static str,
    needed: u64,
    has: u64,
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "its {} is {}, {} is needed", self.limit, self.has, self.needed)
    }
}

/// What is asked of an adapter that `has` these limits: WebGPU's default limits, with larger
/// buffers where the adapter has them, unless `default_limits`.
///
/// Textures and what rendering needs may be less than the default, since some GPUs that compute
/// well have less (a Raspberry Pi's).
fn requested(has: &wgpu::Limits, default_limits: bool) -> Result<wgpu::Limits, Lack> {
    let default = wgpu::Limits::default();
    let mut limits = default.clone();
    // A browser offers no adapter with less than the defaults.
    if cfg!(not(target_arch = "wasm32")) {
        limits = limits.or_worse_values_from(has);
        if let Some((limit, of)) = COMPUTE.into_iter().find(|(_, of)| of(&limits) != of(&default)) {
            return Err(Lack { limit, needed: of(&default), has: of(has) });
        }
    }
    if default_limits {
        return Ok(limits);
    }
    Ok(wgpu::Limits {
        max_buffer_size: has.max_buffer_size,
        max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
        ..limits
    })
}

#[cfg(test)]
impl Context {
    /// The adapter of unit tests, as tests/common/mod.rs opens that of the others. `None` where GPU
    /// tests are to be left out.
    pub(super) fn for_tests(wanted: &Wanted<'_>) -> Option<Arc<Self>> {
        let name = std::env::var("GHOSTNET_ADAPTER").ok();
        match pollster::block_on(Self::new(&Wanted { name: name.as_deref(), ..*wanted })) {
            Ok(context) => Some(Arc::new(context)),
            Err(error) => {
                let skip = std::env::var_os("GHOSTNET_SKIP_GPU_TESTS").is_some() && std::env::var_os("CI").is_none();
                assert!(skip, "{error} (set GHOSTNET_SKIP_GPU_TESTS to leave the GPU tests out)");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default() -> wgpu::Limits {
        wgpu::Limits::default()
    }

    /// A large GPU: more than WebGPU's defaults in what the test looks at.
    fn large() -> wgpu::Limits {
        wgpu::Limits {
            max_texture_dimension_2d: 32768,
            max_buffer_size: 1 << 40,
            max_storage_buffer_binding_size: 1 << 31,
            max_storage_buffers_per_shader_stage: 1 << 20,
            max_compute_workgroup_storage_size: 49152,
            max_compute_invocations_per_workgroup: 1024,
            max_compute_workgroup_size_x: 1024,
            min_storage_buffer_offset_alignment: 16,
            ..default()
        }
    }

    /// A Raspberry Pi's V3D by Mesa's driver (`v3d_limits.h`, `v3dv_limits.h`, `v3dv_device.c`), as
    /// wgpu's Vulkan backend reads them.
    fn raspberry_pi(color_attachments: u32) -> wgpu::Limits {
        wgpu::Limits {
            max_texture_dimension_1d: 4096,
            max_texture_dimension_2d: 4096,
            max_texture_dimension_3d: 4096,
            max_texture_array_layers: 2048,
            max_storage_buffers_per_shader_stage: 8,
            max_storage_textures_per_shader_stage: 4,
            max_sampled_textures_per_shader_stage: 16,
            max_uniform_buffer_binding_size: 1 << 30,
            max_storage_buffer_binding_size: 1 << 30,
            max_buffer_size: 1 << 30,
            max_inter_stage_shader_variables: 15,
            max_color_attachments: color_attachments,
            max_compute_workgroup_storage_size: 16384,
            max_compute_invocations_per_workgroup: 256,
            max_compute_workgroup_size_z: 256,
            min_uniform_buffer_offset_alignment: 32,
            min_storage_buffer_offset_alignment: 32,
            ..default()
        }
    }

    #[test]
    fn what_is_asked_of_an_adapter_is_what_it_has() {
        let adapters = [("default", default()), ("large", large()), ("Pi 4", raspberry_pi(4)), ("Pi 5", raspberry_pi(8))];
        for (name, has) in &adapters {
            for default_limits in [true, false] {
                let limits = requested(has, default_limits).unwrap();
                // What wgpu would refuse.
                limits.check_limits_with_fail_fn(has, false, |limit, asked, has| panic!("{name}: {limit} {asked}, it has {has}"));
                for (limit, of) in COMPUTE {
                    let is_buffer = limit == "max_buffer_size" || limit == "max_storage_buffer_binding_size";
                    let source = if is_buffer && !default_limits { has } else { &default() };
                    assert_eq!(of(&limits), of(source), "{name}: {limit}");
                }
            }
        }
        let of = |has| requested(&has, true).unwrap();
        assert_eq!([of(default()), of(large())], [default(), default()]);
        let pi = of(raspberry_pi(4));
        assert_eq!((pi.max_texture_dimension_2d, pi.max_texture_dimension_3d, pi.max_color_attachments), (4096, 2048, 4));
    }

    #[test]
    fn what_compute_needs_and_an_adapter_lacks_is_named_with_both_numbers() {
        let lack = |limit, needed, has| Err(Lack { limit, needed, has });
        // OpenGL ES 3.1.
        let old = wgpu::Limits::downlevel_defaults();
        assert_eq!(requested(&old, true), lack("max_storage_buffers_per_shader_stage", 8, 4));
        let cases = [
            (wgpu::Limits { max_compute_workgroup_storage_size: 16352, ..large() }, "max_compute_workgroup_storage_size", 16384, 16352),
            (wgpu::Limits { max_compute_invocations_per_workgroup: 128, ..large() }, "max_compute_invocations_per_workgroup", 256, 128),
            (wgpu::Limits { max_compute_workgroup_size_y: 64, ..large() }, "max_compute_workgroup_size_y", 256, 64),
            (wgpu::Limits { max_buffer_size: 1 << 27, ..large() }, "max_buffer_size", 1 << 28, 1 << 27),
            // Here less is better.
            (wgpu::Limits { min_uniform_buffer_offset_alignment: 512, ..large() }, "min_uniform_buffer_offset_alignment", 256, 512),
        ];
        for (has, limit, needed, limited) in cases {
            for default_limits in [true, false] {
                assert_eq!(requested(&has, default_limits), lack(limit, needed, limited));
            }
        }
        let text = requested(&old, true).unwrap_err().to_string();
        assert_eq!(text, "its max_storage_buffers_per_shader_stage is 4, 8 is needed");
    }

    /// An adapter of a type, named after it.
    fn adapter(device_type: &str) -> AdapterInfo {
        AdapterInfo {
            name: format!("the {device_type}"),
            backend: "vulkan".into(),
            driver: "Mesa".into(),
            device_type: device_type.into(),
            features: Vec::new(),
        }
    }

    #[test]
    fn adapters_that_run_shaders_on_the_cpu_are_taken_where_they_are_asked_for() {
        let types = ["discrete", "integrated", "virtual", "other", "cpu"];
        let taken = |wanted: Wanted<'_>| types.into_iter().filter(|of| wanted.takes(&adapter(of))).collect::<Vec<_>>();
        let gpus = Wanted { gpu_only: true, ..Default::default() };
        assert_eq!(taken(gpus), types[..4]);
        assert_eq!(taken(Wanted::default()), types);
        assert_eq!(taken(Wanted { name: Some("The CPU"), ..Default::default() }), ["cpu"]);
        assert_eq!(taken(Wanted { name: Some("mesa"), ..gpus }), types[..4]);
        assert_eq!(taken(Wanted { name: Some("nosuch"), ..Default::default() }), [""; 0]);
    }

    #[test]
    fn why_there_is_no_adapter() {
        let gpus = Wanted { gpu_only: true, ..Default::default() };
        let cpus = ["`the cpu`".to_string(), "`another`".to_string()];
        let cases = [
            (gpus, &cpus[..0], "this machine offers none (on Linux install a Vulkan driver, e.g. mesa-vulkan-drivers)"),
            (gpus, &cpus[..1], "the only adapter, `the cpu`, runs shaders on the CPU"),
            (gpus, &cpus[..], "all adapters run shaders on the CPU: `the cpu`, `another`"),
            (Wanted { name: Some("x"), ..Default::default() }, &cpus[..], "none matches `x`; there are `the cpu`, `another`"),
        ];
        for (wanted, all, why) in cases {
            assert_eq!(wanted.none_of(all).to_string(), format!("no GPU adapter: {why}"));
        }
    }

    #[test]
    fn what_a_browser_tells_of_an_adapter() {
        let told = |texts: [&str; 4], is_fallback| Told { texts: texts.map(Into::into), is_fallback };
        for (texts, name) in [
            (["google", "swiftshader", "", ""], "google swiftshader"),
            (["google", "swiftshader", "0xc0de", "SwiftShader Device (Subzero)"], "SwiftShader Device (Subzero)"),
            (["microsoft", "warp", "", ""], "microsoft warp"),
            (["", "", "", "Microsoft Basic Render Driver"], "Microsoft Basic Render Driver"),
            (["mesa", "software", "", ""], "mesa software"),
            (["", "", "", "llvmpipe (LLVM 15.0.6, 256 bits)"], "llvmpipe (LLVM 15.0.6, 256 bits)"),
        ] {
            let told = told(texts, false);
            assert!(told.is_software() && told.name() == name, "{texts:?}: {}", told.name());
        }
        for (texts, name) in [
            (["", "", "", ""], "a GPU that the browser does not name"),
            (["intel", "gen-12lp", "", ""], "intel gen-12lp"),
            (["mesa", "", "", ""], "mesa"),
            (["microsoft", "", "", ""], "microsoft"),
            (["nvidia", "ampere", "", "NVIDIA Warp 9 Software Edition"], "NVIDIA Warp 9 Software Edition"),
        ] {
            let gpu = told(texts, false);
            assert!(!gpu.is_software() && gpu.name() == name, "{texts:?}: {}", gpu.name());
            assert!(told(texts, true).is_software(), "{texts:?}: as the browser says");
        }
    }

    #[test]
    fn where_an_adapter_cannot_be_opened_the_next_is() {
        let bad = |name: &str| format!("{name} is");
        let open = async |name: &&str| if name.starts_with("good") { Ok(name.to_string()) } else { Err(bad(name)) };
        let first = |names: &[&str]| pollster::block_on(first(names, open)).map_err(|error| error.to_string());
        assert_eq!(first(&["good 1", "bad 1", "good 2"]), Ok(("good 1".into(), vec![])));
        assert_eq!(first(&["bad 1", "bad 2", "good 1"]), Ok(("good 1".into(), vec![bad("bad 1"), bad("bad 2")])));
        assert_eq!(first(&["bad 1"]), Err(format!("no GPU adapter: {}", bad("bad 1"))));
        assert_eq!(first(&["bad 1", "bad 2"]), Err(format!("no GPU adapter: {}; {}", bad("bad 1"), bad("bad 2"))));
    }
}
