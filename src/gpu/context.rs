//! An open device.

use super::{
    adapters::{Unopened, enumerate, first, instance},
    disk_cache::DiskCache,
    info::{AdapterInfo, Wanted},
    limits::{Bound, COMPUTE, Limit, requested},
    pipelines::{Pipeline, Pipelines},
};
use crate::{CacheDir, Error, Result, device::DeviceClass, plan::PipelineKey};
use std::sync::{Arc, Mutex, PoisonError};

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
        if !all.iter().any(|(_, info)| wanted.takes(info)) {
            return Err(wanted.none_of(&all.into_iter().map(|(_, info)| info).collect::<Vec<_>>()));
        }
        let candidates = all.into_iter().filter(|(_, info)| wanted.takes(info));
        let (context, unopened) = first(candidates, |(adapter, info)| Self::open(adapter, info, wanted)).await?;
        Ok(Self { unopened, ..context })
    }

    async fn open(adapter: wgpu::Adapter, info: AdapterInfo, wanted: &Wanted<'_>) -> Result<Self, Unopened> {
        let unopened = |why: String| Unopened { adapter: info.name.clone(), why };
        let limits = requested(&adapter.limits(), wanted.default_limits).map_err(|lack| unopened(lack.to_string()))?;
        // Timestamps for the profiler and a cache for the next start, where there are any. Neither
        // is needed.
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
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|error| unopened(error.to_string().split_ascii_whitespace().collect::<Vec<_>>().join(" ")))?;
        let context = Self::from_device(device, queue, info, adapter.limits());
        context.watch();
        Ok(context)
    }

    /// On a device that the program has opened for itself, with its queue. What the program hears
    /// of it, a loss and errors that nobody caught, stays the program's.
    ///
    /// Errors: [`Error::Unsupported`] if the device has less than WebGPU's default limits of what
    /// compute shaders need.
    pub fn of_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let (limits, info) = (device.limits(), AdapterInfo::of(device.adapter_info(), device.features()));
        match requested(&limits, true) {
            Ok(_) => Ok(Self::from_device(device, queue, info, limits)),
            Err(lack) => Err(Error::Unsupported { adapter: info.name, what: format!("the device was opened with too little: {lack}") }),
        }
    }

    fn from_device(device: wgpu::Device, queue: wgpu::Queue, info: AdapterInfo, adapter_limits: wgpu::Limits) -> Self {
        let class = if info.is_software() { DeviceClass::Software } else { DeviceClass::Gpu };
        Self { device, queue, info, adapter_limits, class, unopened: Vec::new(), lost: Arc::default(), pipelines: Pipelines::default() }
    }

    /// Hears of a loss, and of errors that nobody caught.
    fn watch(&self) {
        let Self { device, lost, .. } = self;
        let sink = lost.clone();
        device.set_device_lost_callback(move |_, message| {
            let reason = if message.is_empty() { "its driver gives no reason".into() } else { message };
            sink.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        });
        let sink = lost.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            // wgpu destroys the buffers of a lost device under the runs that use them. Those fail
            // with the loss.
            let is_lost = sink.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            assert!(is_lost, "{error}");
        }));
    }

    /// Keeps compiled pipelines in this folder, for the next start. Only Vulkan offers it.
    /// Elsewhere, and where the folder cannot be used, the context stays as it is.
    pub async fn with_cache(mut self, folder: &CacheDir) -> Self {
        self.pipelines.disk = DiskCache::open(&self.device, folder).await;
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

    /// Whether its kernels may multiply halves: see
    /// [`Choice::multiplies_halves`](crate::device::Choice::multiplies_halves).
    pub fn multiplies_halves(&self) -> bool {
        self.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// Whether the device was lost.
    pub fn is_lost(&self) -> bool {
        self.check_lost().is_err()
    }

    /// Fails if the device was lost.
    pub(super) fn check_lost(&self) -> Result<()> {
        match &*self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
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
        if let Some(disk) = &self.pipelines.disk {
            disk.keep();
        }
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("run") })
    }

    /// Loses the device on purpose, as a driver reset would.
    #[doc(hidden)]
    pub fn destroy(&self) {
        // wgpu would tell only when nothing is under way any more.
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert("it was destroyed".into());
        self.device.destroy();
    }
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
