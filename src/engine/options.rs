//! How an engine is made.

use crate::{CacheDir, device::Choice, plan::Precision};

/// Where a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// On the best adapter that is a GPU, else on the CPU.
    ///
    /// An adapter that [runs shaders on the CPU](crate::AdapterInfo::is_software) is left out. The
    /// CPU path answers sooner on the same cores, and starts at once.
    ///
    /// Where [`EngineOptions::adapter`] names one, on that one or not at all.
    #[default]
    Auto,
    /// On the best adapter, be it one that runs shaders on the CPU; or fail.
    Gpu,
    /// On the CPU.
    Cpu,
}

/// How an [`Engine`](super::Engine) is made.
///
/// ```
/// use ghostnet::{Backend, EngineOptions, Precision};
///
/// let options = EngineOptions::default().backend(Backend::Gpu).precision(Precision::F16);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct EngineOptions {
    /// GPU or CPU.
    pub backend: Backend,
    /// Part of the wanted adapter's name, driver or API, in any letter case. `None` is the best
    /// adapter.
    pub adapter: Option<String>,
    /// How weights and activations are stored. [`Precision::F16`] needs a GPU, and any will do: the
    /// CPU computes in f32. [`Choice::multiplies_halves`] says whether convolutions then multiply
    /// halves.
    pub precision: Precision,
    /// Ask the device for WebGPU's default limits and no more, as a browser would.
    pub default_limits: bool,
    /// Leave out the passes that fuse operations: for tests and comparison.
    pub unfused: bool,
    /// Kernels and tiles. `None` is the choice that `ghostnet tune` stored for this adapter and
    /// driver, else that of the device's class.
    pub choice: Option<Choice>,
    /// Where compiled pipelines are kept for the next start (Vulkan only), and what `ghostnet tune`
    /// chose.
    pub cache: CacheDir,
    /// Whether a GPU resizes images itself, rather than the CPU for it. `None` leaves that to the
    /// device's class. Both give the same pixels. Detectors' and landmarks' pictures are sampled,
    /// and their candidates found, by a GPU unless this is `Some(false)`.
    pub resize_on_device: Option<bool>,
    /// The most threads that share a run on the CPU, from 1 to 1024. `None` is as many as the
    /// machine grants this process, and no engine has more. All engines share one set of threads.
    /// Results do not depend on their number.
    pub threads: Option<usize>,
}

impl EngineOptions {
    /// Sets [`EngineOptions::backend`].
    pub fn backend(self, backend: Backend) -> Self {
        Self { backend, ..self }
    }

    /// Sets [`EngineOptions::adapter`].
    pub fn adapter(self, adapter: impl Into<Option<String>>) -> Self {
        Self { adapter: adapter.into(), ..self }
    }

    /// Sets [`EngineOptions::precision`].
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Sets [`EngineOptions::default_limits`].
    pub fn default_limits(self, default_limits: bool) -> Self {
        Self { default_limits, ..self }
    }

    /// Sets [`EngineOptions::unfused`].
    pub fn unfused(self, unfused: bool) -> Self {
        Self { unfused, ..self }
    }

    /// Sets [`EngineOptions::choice`].
    pub fn choice(self, choice: impl Into<Option<Choice>>) -> Self {
        Self { choice: choice.into(), ..self }
    }

    /// Sets [`EngineOptions::cache`].
    pub fn cache(self, cache: CacheDir) -> Self {
        Self { cache, ..self }
    }

    /// Sets [`EngineOptions::resize_on_device`].
    pub fn resize_on_device(self, resize_on_device: impl Into<Option<bool>>) -> Self {
        Self { resize_on_device: resize_on_device.into(), ..self }
    }

    /// Sets [`EngineOptions::threads`].
    pub fn threads(self, threads: impl Into<Option<usize>>) -> Self {
        Self { threads: threads.into(), ..self }
    }
}
