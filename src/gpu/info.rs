//! What callers give to a GPU and are told of it. Nothing here needs one.

#[cfg(not(target_arch = "wasm32"))]
use crate::kernels::sample;
use crate::{
    Error,
    kernels::resize::{Problem, Rows},
    text::cut,
};
use std::sync::Arc;

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
    /// Whether it runs shaders on the CPU, as lavapipe, SwiftShader and WARP do.
    pub fn is_software(&self) -> bool {
        self.device_type == "cpu"
    }
}

/// Which adapter a [`Context`](super::Context) is opened on, and what is asked of it.
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
    pub(super) fn takes(&self, info: &AdapterInfo) -> bool {
        let named = self.name.is_none_or(|name| {
            let name = name.to_ascii_lowercase();
            [&info.name, &info.driver, &info.backend].iter().any(|text| cut(&text.to_ascii_lowercase(), &name).is_some())
        });
        named && !(self.gpu_only && info.is_software())
    }

    /// Why none of a machine's adapters will do.
    pub(super) fn none_of(&self, all: &[AdapterInfo]) -> Error {
        let names = || all.iter().map(|info| format!("`{}`", info.name)).collect::<Vec<_>>().join(", ");
        Error::NoAdapter(match (self.name, all) {
            (_, []) if cfg!(target_arch = "wasm32") => "this browser offers none through WebGPU".into(),
            (_, []) => "this machine offers none (on Linux install a Vulkan driver, e.g. mesa-vulkan-drivers)".into(),
            (Some(name), _) => format!("none matches `{name}`; there are {}", names()),
            (None, [_]) => format!("the only adapter, {}, runs shaders on the CPU", names()),
            (None, _) => format!("all adapters run shaders on the CPU: {}", names()),
        })
    }
}

/// How long it took to get ready, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PrepareTimes {
    /// Packing weights and uploading them, and making buffers.
    pub weights: f64,
    /// Compiling pipelines.
    pub pipelines: f64,
}

/// An image, and how it becomes the network's input.
pub struct Image<'a> {
    /// How: made for the image's size.
    pub resize: Arc<Problem>,
    /// Its pixels.
    pub source: Source<'a>,
}

/// Where an image's pixels come from. Only those that the crop needs are taken.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// Memory, through a buffer of one RGBA8 word a pixel.
    Buffer(&'a dyn Rows),
    /// Memory, through a texture, as a browser's images go.
    Texture(&'a dyn Rows),
    /// A texture of the device: the part of it that begins at this column and row.
    OnDevice(&'a super::Texture, [u32; 2]),
    /// What a browser holds: an `ImageBitmap`, a canvas, a frame of a video. No pixel of it passes
    /// through this program's memory.
    #[cfg(target_arch = "wasm32")]
    External(&'a wasm_bindgen::JsValue),
}

/// Windows of a picture, each of which becomes a network's input.
#[cfg(not(target_arch = "wasm32"))]
pub struct Windows<'a> {
    /// How.
    pub sample: &'a sample::Problem,
    /// The picture's pixels.
    pub source: Source<'a>,
}

/// Milliseconds of what a device makes of a window of a picture.
#[cfg(not(target_arch = "wasm32"))]
pub struct WindowTimes {
    /// The dispatch that samples it.
    pub sample: f64,
    /// Each of the plan's steps.
    pub steps: Vec<f64>,
    /// The dispatches that find candidates, if any do, and the bytes that they write.
    pub decode: Option<(f64, u64)>,
}
