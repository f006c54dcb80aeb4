//! The front door: an [`Engine`] is a device, a [`Model`] is a network on it.

mod answer;
mod classify;
#[cfg(not(target_arch = "wasm32"))]
mod detect;
mod device;
#[cfg(not(target_arch = "wasm32"))]
mod last;
#[cfg(all(target_arch = "wasm32", feature = "web", not(feature = "without_gpu")))]
mod lent;
mod model;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod native;
mod options;
mod part;
#[cfg(not(target_arch = "wasm32"))]
mod profile;
mod results;
mod session;
mod tuned;
#[cfg_attr(target_arch = "wasm32", path = "no_worker.rs")]
mod worker;

pub use device::Engine;
#[cfg(all(target_arch = "wasm32", feature = "web", not(feature = "without_gpu")))]
pub(crate) use lent::Lent;
#[cfg(feature = "web")]
pub(crate) use model::Asked;
pub use model::Model;
pub use options::{Backend, EngineOptions};
#[cfg(not(target_arch = "wasm32"))]
pub use profile::TimedStep;
pub use results::{Class, Feature, GhostMaps, OnDevice, Top};
pub use session::{IN_FLIGHT, Pending, Session};
