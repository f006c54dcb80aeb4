//! Choosing an adapter.

#[cfg(target_arch = "wasm32")]
pub(super) use super::browser::enumerate;
use super::info::AdapterInfo;
use crate::{Error, Result};

pub(super) fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // GL is left out: its compute shaders lack what WebGPU promises. The rest is what each system's
    // driver offers.
    descriptor.backends = if VULKAN_ALONE { wgpu::Backends::empty() } else { wgpu::Backends::PRIMARY };
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    descriptor.memory_budget_thresholds = MEMORY;
    wgpu::Instance::new(descriptor)
}

/// Refuse a buffer that would not fit rather than let the system kill the process.
const MEMORY: wgpu::MemoryBudgetThresholds = wgpu::MemoryBudgetThresholds { for_resource_creation: Some(90), for_device_loss: None };

/// Whether the system has Vulkan and nothing else, and Wayland may be its display.
const VULKAN_ALONE: bool = cfg!(all(unix, not(any(target_vendor = "apple", target_os = "android", target_arch = "wasm32"))));

/// Vulkan's adapters where it is alone, by an instance that shows nothing on a Wayland display.
///
/// Where an instance could, Mesa's layer that sorts devices asks Wayland's library for the display
/// of each listing. That library complains on stderr where there is none.
#[cfg(all(unix, not(any(target_vendor = "apple", target_os = "android", target_arch = "wasm32"))))]
fn vulkan(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    use wgpu::hal::{self, Instance as _, vulkan};
    let descriptor = hal::InstanceDescriptor {
        name: "ghostnet",
        flags: wgpu::InstanceFlags::empty().with_env(),
        memory_budget_thresholds: MEMORY,
        backend_options: wgpu::BackendOptions::default(),
        telemetry: None,
        display: None,
    };
    let without_wayland: Box<vulkan::CreateInstanceCallback<'_>> =
        Box::new(|creation| creation.extensions.retain(|name| name.to_bytes() != b"VK_KHR_wayland_surface"));
    // SAFETY: the extensions are those of an instance on a system without Wayland, since wgpu-hal
    // leaves out what a system lacks, and no surface is ever made.
    #[allow(unsafe_code)]
    let adapters = unsafe {
        let made = vulkan::Instance::init_with_callback(&descriptor, Some(without_wayland));
        made.map(|made| made.enumerate_adapters(None)).unwrap_or_default()
    };
    // SAFETY: wgpu's own instance has no Vulkan of its own; an adapter keeps the one that it is of.
    #[allow(unsafe_code)]
    adapters.into_iter().map(|adapter| unsafe { instance.create_adapter_from_hal(adapter) }).collect()
}

#[cfg(all(not(target_arch = "wasm32"), any(not(unix), target_vendor = "apple", target_os = "android")))]
fn vulkan(_: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    Vec::new()
}

/// All adapters, best first: discrete, integrated, virtual, others, drivers that run on the CPU.
#[cfg(not(target_arch = "wasm32"))]
pub(super) async fn enumerate(instance: &wgpu::Instance) -> Vec<(wgpu::Adapter, AdapterInfo)> {
    let mut all = vulkan(instance);
    all.extend(instance.enumerate_adapters(wgpu::Backends::PRIMARY).await);
    let mut adapters: Vec<_> = all.into_iter().map(|adapter| (AdapterInfo::new(&adapter), adapter)).map(|(info, a)| (a, info)).collect();
    adapters.sort_by_key(|(_, info)| {
        ["discrete", "integrated", "virtual", "other", "cpu"].iter().position(|t| *t == info.device_type).unwrap_or(usize::MAX)
    });
    adapters
}

/// Every adapter that the library could use, best first. Empty where there is none.
pub async fn adapters() -> Vec<AdapterInfo> {
    enumerate(&instance()).await.into_iter().map(|(_, info)| info).collect()
}

impl AdapterInfo {
    pub(super) fn new(adapter: &wgpu::Adapter) -> Self {
        Self::of(adapter.get_info(), adapter.features())
    }

    /// Of what it is, and which features count.
    pub(super) fn of(info: wgpu::AdapterInfo, features: wgpu::Features) -> Self {
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

/// Why an adapter is not used.
pub(super) struct Unopened {
    pub adapter: String,
    pub why: String,
}

impl std::fmt::Display for Unopened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` cannot be opened: {}", self.adapter, self.why)
    }
}

/// The first candidate that opens, and why those before it do not; an error with every reason, if
/// none does.
pub(super) async fn first<C, T, F: Future<Output = Result<T, Unopened>>>(
    candidates: impl IntoIterator<Item = C>,
    open: impl Fn(C) -> F,
) -> Result<(T, Vec<String>)> {
    let mut unopened = Vec::new();
    for candidate in candidates {
        match open(candidate).await {
            Ok(opened) => return Ok((opened, unopened)),
            Err(why) => unopened.push(why.to_string()),
        }
    }
    Err(Error::NoAdapter(unopened.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::{super::info::Wanted, *};

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
        let cpus = [adapter("cpu"), AdapterInfo { name: "another".into(), ..adapter("cpu") }];
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
    fn where_an_adapter_cannot_be_opened_the_next_is() {
        let open = |name: &'static str| {
            let bad = || Unopened { adapter: name.into(), why: "it is bad".into() };
            std::future::ready(if name.starts_with("good") { Ok(name.to_string()) } else { Err(bad()) })
        };
        let first = |names: &[&'static str]| pollster::block_on(first(names.iter().copied(), open)).map_err(|error| error.to_string());
        let bad = |name: &str| format!("`{name}` cannot be opened: it is bad");
        assert_eq!(first(&["good 1", "bad 1", "good 2"]), Ok(("good 1".into(), vec![])));
        assert_eq!(first(&["bad 1", "bad 2", "good 1"]), Ok(("good 1".into(), vec![bad("bad 1"), bad("bad 2")])));
        assert_eq!(first(&["bad 1"]), Err(format!("no GPU adapter: {}", bad("bad 1"))));
        assert_eq!(first(&["bad 1", "bad 2"]), Err(format!("no GPU adapter: {}; {}", bad("bad 1"), bad("bad 2"))));
    }
}
