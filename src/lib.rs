//! GhostNet, and networks made of ghost modules, on any GPU.
//!
//! [GhostNet](https://arxiv.org/abs/1911.11907) (Han et al., CVPR 2020) makes many feature maps
//! from few. A 1x1 *primary convolution* computes some, a cheap depthwise *operation* derives the
//! ghosts, and both are concatenated. This crate runs it with WGSL compute shaders through
//! [wgpu](https://wgpu.rs). A whole ghost module is one dispatch, and concatenation is free. Where
//! a machine has no GPU the same plan runs on the CPU.
//!
//! ```
//! use ghostnet::{Engine, EngineOptions, Network};
//!
//! let engine = Engine::new(EngineOptions::default())?; // the best GPU, or the CPU
//! let model = engine.load(Network::embedded()?)?; // GhostNet 0.5 for CIFAR-10's ten classes
//! let image = ghostnet::image_input::decode_file("assets/images/chelsea.png".as_ref())?;
//! let best = &model.classify(&image, 5)?[0];
//! assert_eq!(best.label, "cat");
//! # Ok::<(), ghostnet::Error>(())
//! ```
//!
//! A tensor's way through the library, one module a stage:
//!
//! [`image_input`] (file to pixels) -> [`model`] (architecture and weights) -> [`graph`] and its
//! [`passes`](graph::passes) -> [`plan`] (ordered dispatches over reused buffers) -> [`gpu`] or
//! [`cpu`] (prepared buffers and pipelines, run).

// Of the two devices one may be left out, and what only that one uses is then not used.
#![cfg_attr(any(feature = "without_cpu", feature = "without_gpu"), allow(dead_code))]
// Shared as on systems with threads; in a browser there are none.
#![cfg_attr(target_arch = "wasm32", allow(clippy::arc_with_non_send_sync))]

mod block;
mod cache;
mod clock;
mod compile;
#[doc(hidden)]
pub mod cpu;
mod detect;
#[doc(hidden)]
pub mod device;
mod engine;
mod error;
#[cfg(any(feature = "decode", not(target_arch = "wasm32")))]
mod file;
#[doc(hidden)]
#[cfg_attr(feature = "without_gpu", path = "gpu/none.rs")]
pub mod gpu;
pub mod graph;
#[cfg(feature = "hub")]
pub mod hub;
pub mod image_input;
mod json;
#[doc(hidden)]
pub mod kernels;
#[cfg(not(feature = "without_gpu"))]
#[doc(hidden)]
pub mod measure;
pub mod model;
#[cfg(not(target_arch = "wasm32"))]
pub mod npy;
mod parallel;
#[doc(hidden)]
pub mod plan;
#[doc(hidden)]
pub mod shader;
mod simd;
mod stats;
mod tensor;
mod text;
#[cfg_attr(target_arch = "wasm32", path = "no_wait.rs")]
mod wait;
#[cfg(all(target_arch = "wasm32", any(feature = "web", feature = "web_bench", feature = "web_detect")))]
mod web;

pub use cache::CacheDir;
pub use detect::{DetectOptions, Detection, Detector, Landmarker};
pub use engine::{Backend, Class, Engine, EngineOptions, Feature, GhostMaps, IN_FLIGHT, Model, OnDevice, Pending, Session, Top};
#[cfg(not(target_arch = "wasm32"))]
pub use engine::{
    TimedStep,
    native::{adapters, adapters_async},
};
pub use error::{Error, Result};
/// The crate by which GPUs are reached, in the version of the devices and textures that this one
/// takes.
#[cfg(not(feature = "without_gpu"))]
pub use gpu::wgpu;
pub use gpu::{AdapterInfo, PrepareTimes};
/// The crate whose images this one takes, in the version that it takes them of.
pub use image;
pub use model::{Card, Network, Open};
pub use plan::{Form, Precision};
pub use stats::{median, percentile};
pub use tensor::{AnyTensor, Element, Tensor, Values};

/// What the library is made of, for benches, tests and tools. It is public, but nothing in it is
/// promised to stay.
pub mod low_level {
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::file::{open as open_file, replace as replace_file};
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::parallel::with_threads;
    #[doc(inline)]
    pub use crate::{cpu, device, gpu, kernels, plan, shader};
}
