//! A device that runs networks.

use super::{
    options::{Backend, EngineOptions},
    tuned,
};
use crate::{
    Error, Result, cpu,
    device::{Choice, DeviceClass},
    gpu::{self, AdapterInfo},
    parallel::Team,
    plan::Precision,
    wait::{apart_async, may_block},
};
use std::sync::Arc;

/// A device that runs networks: a GPU adapter opened through wgpu, or the CPU. It is cheap to
/// clone, and threads may share it.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) inner: Arc<EngineInner>,
}

#[derive(Debug)]
pub(super) struct EngineInner {
    pub device: Device,
    pub options: EngineOptions,
    pub choice: Choice,
    is_tuned: bool,
    fallback: Option<String>,
}

#[derive(Debug)]
pub(super) enum Device {
    Gpu(Arc<gpu::Context>),
    Cpu(AdapterInfo),
}

impl Engine {
    /// Opens a device.
    ///
    /// An adapter that cannot be opened, since it lacks a limit or its driver fails, is passed over
    /// for the next: [`Engine::unopened`].
    ///
    /// Errors: [`Error::NoAdapter`] if no adapter matches or none can be opened,
    /// [`Error::Unsupported`] if the CPU is asked for f16, or for no threads or more than 1024.
    pub async fn new_async(options: EngineOptions) -> Result<Self> {
        if may_block() {
            return Self::open(options).await;
        }
        // While drivers load.
        apart_async(move || Self::open(options)).await
    }

    async fn open(options: EngineOptions) -> Result<Self> {
        if let Some(threads) = options.threads.filter(|threads| !(1..=MOST_THREADS).contains(threads)) {
            let what = format!("{threads} threads asked for, 1 to {MOST_THREADS} are possible");
            return Err(Error::Unsupported { adapter: "CPU".into(), what });
        }
        // A wish for an adapter is met by that one and by no other device.
        let gpu_only = options.backend == Backend::Auto && options.adapter.is_none();
        let mut fallback = None;
        let gpu = if options.backend == Backend::Cpu {
            if options.precision.is_f16() {
                let what = "computes in f32; leave out precision f16".into();
                return Err(Error::Unsupported { adapter: cpu_info(options.threads).name, what });
            }
            None
        } else {
            match open(&options, gpu_only).await {
                Ok(context) => Some(context),
                Err(error) if gpu_only && !options.precision.is_f16() && cfg!(not(feature = "without_cpu")) => {
                    log::info!("running on the CPU: {error}");
                    fallback = Some(error.to_string());
                    None
                }
                Err(Error::NoAdapter(why)) if gpu_only && options.precision.is_f16() => {
                    let what = format!("{why}; f16 needs an adapter: {ANY_ADAPTER} takes one that runs shaders on the CPU too");
                    return Err(Error::NoAdapter(what));
                }
                Err(error) => return Err(error),
            }
        };
        if gpu.is_none() && cfg!(feature = "without_cpu") {
            return Err(Error::NoAdapter("the CPU's kernels were left out of this build".into()));
        }
        Ok(Self::on(gpu, options, fallback))
    }

    /// An engine on a device that the program has opened for itself, such as the one that it draws
    /// with: textures and buffers of that device need not leave it. See
    /// [`Model::classify_texture_async`](crate::Model::classify_texture_async). The device has to
    /// be of the crate [`wgpu`](crate::wgpu) as this one has it.
    ///
    /// The device needs WebGPU's default limits, and no feature. With `SHADER_F16` and
    /// [`Precision::F16`] halves are multiplied, with `TIMESTAMP_QUERY` steps can be timed. Of the
    /// options, those that choose a device count for nothing, and compiled pipelines are not kept.
    /// What the program hears of the device stays the program's: this sets no callback.
    ///
    /// Errors: [`Error::Unsupported`] if a limit is below WebGPU's default.
    pub fn with_device(device: gpu::Device, queue: gpu::Queue, options: EngineOptions) -> Result<Self> {
        Ok(Self::on(Some(gpu::Context::of_device(device, queue)?), options, None))
    }

    fn on(gpu: Option<gpu::Context>, options: EngineOptions, fallback: Option<String>) -> Self {
        let (device, class, tuned) = match gpu {
            Some(context) => {
                let (class, tuned) = (context.class(), tuned::read(&context, &options));
                (Device::Gpu(Arc::new(context)), class, tuned)
            }
            None => (Device::Cpu(cpu_info(options.threads)), DeviceClass::Cpu, None),
        };
        let mut choice = options.choice.or(tuned).unwrap_or_else(|| Choice::new(class));
        // What a choice asks for and the device cannot do is left out.
        if let Device::Gpu(context) = &device {
            choice.multiplies_halves &= context.multiplies_halves() || !options.precision.is_f16();
        }
        Self { inner: Arc::new(EngineInner { device, options, choice, is_tuned: tuned.is_some(), fallback }) }
    }

    /// The adapter: the GPU's, or for the CPU its architecture and number of threads.
    pub fn adapter(&self) -> &AdapterInfo {
        match &self.inner.device {
            Device::Gpu(context) => context.info(),
            Device::Cpu(info) => info,
        }
    }

    /// `gpu` or `cpu`.
    pub fn backend(&self) -> &'static str {
        match self.inner.device {
            Device::Gpu(_) => "gpu",
            Device::Cpu(_) => "cpu",
        }
    }

    /// Why [`Backend::Auto`] took the CPU, in one line; `None` if it did not.
    pub fn fallback(&self) -> Option<&str> {
        self.inner.fallback.as_deref()
    }

    /// Better adapters that could not be opened, each with its name and the reason, in one line.
    pub fn unopened(&self) -> &[String] {
        self.gpu().map_or(&[], |context| context.unopened())
    }

    /// How values are stored.
    pub fn precision(&self) -> Precision {
        self.inner.options.precision
    }

    /// Which kernels and tiles it uses. With [`Precision::F16`] it multiplies halves only where the
    /// device can, whatever was asked for.
    pub fn choice(&self) -> Choice {
        self.inner.choice
    }

    /// Whether [`Engine::choice`] is what `ghostnet tune` stored for this adapter and driver.
    pub fn is_tuned(&self) -> bool {
        self.inner.is_tuned
    }

    /// Whether the device resizes images in memory, rather than the CPU for it.
    pub fn resizes_on_device(&self) -> bool {
        self.gpu().is_some() && self.inner.options.resize_on_device.unwrap_or(self.inner.choice.resize_on_device())
    }

    /// The open GPU device, to run plans by hand with [`gpu::Prepared`]; `None` on the CPU.
    pub fn gpu(&self) -> Option<&Arc<gpu::Context>> {
        match &self.inner.device {
            Device::Gpu(context) => Some(context),
            Device::Cpu(_) => None,
        }
    }

    /// How plans run on the CPU.
    pub(crate) fn cpu_options(&self) -> cpu::Options {
        cpu::Options { threads: self.inner.options.threads, ..cpu::Options::default() }
    }

    /// Whether the GPU device was lost (driver reset, unplugged): a new engine is needed then.
    pub fn is_lost(&self) -> bool {
        self.gpu().is_some_and(|context| context.is_lost())
    }

    /// Loses the GPU device on purpose, as a driver reset would. What uses it then fails with
    /// [`Error::DeviceLost`].
    #[doc(hidden)]
    pub fn lose_device(&self) {
        if let Device::Gpu(context) = &self.inner.device {
            context.destroy();
        }
    }
}

/// More threads than this are a mistake.
const MOST_THREADS: usize = 1024;

/// How any adapter is asked for.
const ANY_ADAPTER: &str = if cfg!(target_arch = "wasm32") { "backend: 'gpu'" } else { "--backend gpu (`Backend::Gpu`)" };

async fn open(options: &EngineOptions, gpu_only: bool) -> Result<gpu::Context> {
    let wanted = gpu::Wanted {
        name: options.adapter.as_deref(),
        gpu_only,
        default_limits: options.default_limits,
        halves: options.precision.is_f16(),
    };
    Ok(gpu::Context::new(&wanted).await?.with_cache(&options.cache).await)
}

/// The CPU as an adapter, with at most so many threads: its features are its instruction sets,
/// first the one that is used.
pub fn cpu_info(threads: Option<usize>) -> AdapterInfo {
    let threads = threads.map_or_else(Team::all, Team::of).threads();
    let processor = cpu::Level::processor().unwrap_or_else(|| std::env::consts::ARCH.into());
    AdapterInfo {
        name: format!("CPU ({processor}, {threads} thread{})", if threads == 1 { "" } else { "s" }),
        backend: "cpu".into(),
        driver: format!("ghostnet {}", env!("CARGO_PKG_VERSION")),
        device_type: "cpu".into(),
        features: cpu::instructions(),
    }
}
