//! Runs plans on a GPU: the only module that names wgpu.
//!
//! A [`Context`] is a device with its compiled pipelines. A [`Prepared`] is a plan with its buffers
//! and bind groups. A [`Run`] encodes one compute pass, submits once and reads back once. It
//! creates no buffer, bind group or pipeline. Several may be under way.
//!
//! Methods are `async`. On native targets they block the calling thread while they wait for the
//! device. In a browser they do not.

mod adapters;
#[cfg(any(target_arch = "wasm32", test))]
mod browser;
mod buffers;
mod context;
#[cfg(not(target_arch = "wasm32"))]
mod decode;
#[cfg_attr(target_arch = "wasm32", path = "no_disk_cache.rs")]
mod disk_cache;
mod info;
mod limits;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
mod page;
mod pictures;
mod pipelines;
mod prepared;
mod profiler;
mod resize;
pub mod roofline;
#[cfg(not(target_arch = "wasm32"))]
mod sample;
mod step;
mod weights;
#[cfg(not(target_arch = "wasm32"))]
mod windows;

pub use adapters::adapters;
pub use context::Context;
pub use info::{AdapterInfo, Image, PrepareTimes, Source, Wanted};
#[cfg(not(target_arch = "wasm32"))]
pub use info::{WindowTimes, Windows};
pub use limits::Limit;
pub(crate) use pictures::check_texture;
pub use pipelines::Pipeline;
pub use prepared::{Prepared, Run};
pub use weights::Weights;
pub use wgpu::{self, Buffer, Device, Queue, Texture};

use crate::Error;

/// A message of wgpu, which may be a tree of causes, on one line.
fn one_line(message: &dyn std::fmt::Display) -> String {
    message.to_string().split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

impl From<wgpu::Error> for Error {
    fn from(error: wgpu::Error) -> Self {
        match error {
            wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory("the device has no room for the buffers".into()),
            wgpu::Error::Validation { description, .. } => Error::Gpu(one_line(&description)),
            wgpu::Error::Internal { description, .. } => Error::Gpu(one_line(&description)),
        }
    }
}
