//! What an adapter is.

/// A GPU as the system describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterInfo {
    /// Its name.
    pub name: String,
    /// The API through which it is used: `vulkan`, `metal`, `dx12`, `webgpu`.
    pub backend: String,
    /// Its driver and the driver's version.
    pub driver: String,
    /// `discrete`, `integrated`, `virtual`, `cpu` (a driver that runs shaders on the CPU) or
    /// `other`.
    pub device_type: String,
    /// Features that this library can use, by their WebGPU names.
    pub features: Vec<String>,
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

    /// Whether it runs shaders on the CPU, as lavapipe, SwiftShader and WARP do.
    pub fn is_software(&self) -> bool {
        self.device_type == "cpu"
    }
}
