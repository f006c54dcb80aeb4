//! No GPU: in the place of `mod.rs` where the feature `without_gpu` leaves wgpu out. Nothing here
//! but [`Weights`] has a value.

#[path = "info.rs"]
mod info;

pub use info::{AdapterInfo, Image, PrepareTimes, Source, Wanted};

#[cfg(not(target_arch = "wasm32"))]
pub use info::{WindowTimes, Windows};

use crate::{CacheDir, Result, device::DeviceClass, kernels::resize::Problem, plan::Plan};
#[cfg(not(target_arch = "wasm32"))]
use crate::{
    kernels::{decode, sample},
    plan::Placed,
};
use std::sync::Arc;

/// None is ever made.
#[derive(Debug)]
pub enum Device {}

/// None is ever made.
#[derive(Debug)]
pub enum Queue {}

/// None is ever made.
#[derive(Debug, Clone)]
pub enum Buffer {}

/// None is ever made.
#[derive(Debug)]
pub enum Texture {}

impl Texture {
    pub(crate) fn width(&self) -> u32 {
        match *self {}
    }

    pub(crate) fn height(&self) -> u32 {
        match *self {}
    }
}

pub(crate) fn check_texture(texture: &Texture, _: [u32; 4]) -> Result<()> {
    match *texture {}
}

/// None is ever open.
#[derive(Debug)]
pub enum Context {}

impl Context {
    /// Errors: [`Error::NoAdapter`](crate::Error::NoAdapter).
    pub async fn new(wanted: &Wanted<'_>) -> Result<Self> {
        Err(wanted.none_of(&[]))
    }

    pub(crate) fn of_device(device: Device, _: Queue) -> Result<Self> {
        match device {}
    }

    pub(crate) async fn with_cache(self, _: &CacheDir) -> Self {
        match self {}
    }

    pub(crate) fn info(&self) -> &AdapterInfo {
        match *self {}
    }

    pub(crate) fn unopened(&self) -> &[String] {
        match *self {}
    }

    pub(crate) fn class(&self) -> DeviceClass {
        match *self {}
    }

    pub(crate) fn multiplies_halves(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_lost(&self) -> bool {
        match *self {}
    }

    pub(crate) fn takes(&self, _: &Problem) -> bool {
        match *self {}
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn takes_windows(&self, _: &sample::Problem) -> bool {
        match *self {}
    }

    pub(crate) fn destroy(&self) {
        match *self {}
    }
}

/// None is ever uploaded.
#[derive(Debug, Default)]
pub struct Weights {}

/// No plan is ever prepared.
pub enum Prepared {}

impl Prepared {
    pub(crate) async fn new(context: &Context, _: Arc<Plan>, _: &Weights) -> Result<(Self, PrepareTimes)> {
        match *context {}
    }

    pub(crate) async fn set_in_flight(&mut self, _: usize) -> Result<()> {
        match *self {}
    }

    pub(crate) async fn run(&mut self, _: &[u8]) -> Result<Vec<Vec<u8>>> {
        match *self {}
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) async fn run_stage(&mut self, _: &crate::plan::Stage, _: &[u8]) -> Result<Vec<Vec<u8>>> {
        match *self {}
    }

    pub(crate) async fn run_buffers(&mut self, _: &[&Buffer]) -> Result<Vec<Buffer>> {
        match *self {}
    }

    pub(crate) async fn submit(&mut self, _: &[u8]) -> Result<Run> {
        match *self {}
    }

    pub(crate) async fn submit_images(&mut self, _: &[Image<'_>]) -> Result<Run> {
        match *self {}
    }

    pub(crate) async fn prepare_images(&self, _: bool) -> Result<f64> {
        match *self {}
    }

    pub(crate) async fn profile(&mut self, _: usize) -> Result<Vec<f64>> {
        match *self {}
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Prepared {
    pub(crate) async fn submit_windows(&mut self, _: &Windows<'_>, _: &[usize]) -> Result<Run> {
        match *self {}
    }

    pub(crate) async fn detect(
        &mut self,
        _: &Windows<'_>,
        _: impl FnOnce(&[Placed]) -> decode::Problem,
        _: f32,
    ) -> Result<Option<Vec<u32>>> {
        match *self {}
    }

    pub(crate) async fn results(&mut self, _: &[usize]) -> Result<Vec<Vec<u8>>> {
        match *self {}
    }

    pub(crate) async fn profile_window<F: FnOnce(&[Placed]) -> decode::Problem>(
        &mut self,
        _: &Windows<'_>,
        _: Option<(F, f32)>,
        _: usize,
    ) -> Result<WindowTimes> {
        match *self {}
    }
}

/// None is ever under way.
pub enum Run {}

impl Run {
    pub(crate) fn is_done(&self) -> bool {
        match *self {}
    }

    pub(crate) async fn wait(self) -> Result<Vec<Vec<u8>>> {
        match self {}
    }
}
