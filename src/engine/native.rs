//! What there is where threads may wait and there are files: the same as `async`, waiting in the
//! calling thread, and the stored choice.

use super::{
    device::{Engine, cpu_info},
    model::Model,
    options::EngineOptions,
    profile::TimedStep,
    results::{Class, Feature, GhostMaps, OnDevice, Top},
    session::{Pending, Session},
    tuned,
};
use crate::{
    Error, Result,
    cache::CacheFile,
    detect::{DetectOptions, Detection},
    device::Choice,
    gpu::{self, AdapterInfo, PrepareTimes},
    plan::{Form, Plan},
    tensor::{AnyTensor, Tensor},
    wait::{apart_async, block_on, may_block},
};
use image::DynamicImage;
use std::{io, path::PathBuf, sync::Arc};

/// Every GPU adapter of this machine, best first, and last the CPU.
pub fn adapters() -> Vec<AdapterInfo> {
    block_on(adapters_async())
}

/// As [`adapters`]: the drivers load in a thread of their own.
pub async fn adapters_async() -> Vec<AdapterInfo> {
    let mut adapters = if may_block() { gpu::adapters().await } else { apart_async(gpu::adapters).await };
    adapters.push(cpu_info(None));
    adapters
}

impl Engine {
    /// As [`Engine::new_async`].
    pub fn new(options: EngineOptions) -> Result<Self> {
        block_on(Self::new_async(options))
    }

    /// Where [`Engine::keep_choice`] puts a choice.
    ///
    /// Errors: [`Error::Unsupported`] on the CPU, which makes no choice, and where there is no
    /// folder for it.
    pub fn choice_file(&self) -> Result<PathBuf> {
        Ok(self.tuned_file()?.path().into())
    }

    /// Stores a choice for engines to come, on this adapter with this driver and in this engine's
    /// precision. It lies in the folder of [`EngineOptions::cache`]. `None` removes what is there.
    /// This engine goes on with its own choice.
    ///
    /// Returns whether anything changed.
    ///
    /// Errors: as [`Engine::choice_file`], [`Error::Model`] for a choice that no kernel can be
    /// composed with, and [`Error::Io`].
    pub fn keep_choice(&self, choice: Option<&Choice>) -> Result<bool> {
        let file = self.tuned_file()?;
        let io = |error: io::Error| Error::io(file.path(), error);
        let Some(choice) = choice else { return file.remove().map_err(io) };
        choice.check().map_err(Error::Model)?;
        file.try_write(&serde_json::to_vec(choice).map_err(|e| io(e.into()))?).map_err(io)?;
        Ok(true)
    }

    fn tuned_file(&self) -> Result<CacheFile> {
        let unsupported = |what: &str| Error::Unsupported { adapter: self.adapter().name.clone(), what: what.into() };
        let info = self.gpu().ok_or_else(|| unsupported("has no kernels to choose among; tuning is for GPUs"))?.info();
        tuned::file(info, self.precision(), &self.inner.options.cache)
            .ok_or_else(|| unsupported("its choice cannot be stored: there is no cache folder (GHOSTNET_CACHE_DIR names one)"))
    }
}

impl Model {
    /// As [`Model::prepare_async`].
    pub fn prepare(&self, n: usize, h: usize, w: usize, form: Form) -> Result<PrepareTimes> {
        block_on(self.prepare_async(n, h, w, form))
    }

    /// As [`Model::prepare_named_async`].
    pub fn prepare_named(&self, inputs: &[(&str, &AnyTensor)]) -> Result<PrepareTimes> {
        block_on(self.prepare_named_async(inputs))
    }

    /// As [`Model::run_async`].
    pub fn run(&self, input: &Tensor) -> Result<Tensor> {
        block_on(self.run_async(input))
    }

    /// As [`Model::run_named_async`].
    pub fn run_named(&self, inputs: &[(&str, &AnyTensor)]) -> Result<Vec<(String, AnyTensor)>> {
        block_on(self.run_named_async(inputs))
    }

    /// As [`Model::run_buffers_async`].
    pub fn run_buffers(&self, n: usize, size: [usize; 2], inputs: &[(&str, &gpu::Buffer)]) -> Result<Vec<OnDevice>> {
        block_on(self.run_buffers_async(n, size, inputs))
    }

    /// As [`Model::embed_async`].
    pub fn embed(&self, input: &Tensor) -> Result<Tensor> {
        block_on(self.embed_async(input))
    }

    /// As [`Model::features_async`].
    pub fn features(&self, input: &Tensor) -> Result<Vec<Feature>> {
        block_on(self.features_async(input))
    }

    /// As [`Model::ghost_maps_async`].
    pub fn ghost_maps(&self, input: &Tensor, module: &str) -> Result<GhostMaps> {
        block_on(self.ghost_maps_async(input, module))
    }

    /// As [`Model::classify_async`].
    pub fn classify(&self, image: &DynamicImage, top: impl Into<Top>) -> Result<Vec<Class>> {
        block_on(self.classify_async(image, top))
    }

    /// As [`Model::classify_batch_async`].
    pub fn classify_batch(&self, images: &[DynamicImage], top: impl Into<Top>) -> Result<Vec<Vec<Class>>> {
        block_on(self.classify_batch_async(images, top))
    }

    /// As [`Model::classify_texture_async`].
    pub fn classify_texture(&self, texture: &gpu::Texture, top: impl Into<Top>) -> Result<Vec<Class>> {
        block_on(self.classify_texture_async(texture, top))
    }

    /// As [`Model::detect_async`].
    pub fn detect(&self, image: &DynamicImage, options: &DetectOptions) -> Result<Vec<Detection>> {
        block_on(self.detect_async(image, options))
    }

    /// As [`Model::detect_batch_async`].
    pub fn detect_batch(&self, images: &[DynamicImage], options: &DetectOptions) -> Result<Vec<Vec<Detection>>> {
        block_on(self.detect_batch_async(images, options))
    }

    /// As [`Model::detect_texture_async`].
    pub fn detect_texture(&self, texture: &gpu::Texture, options: &DetectOptions) -> Result<Vec<Detection>> {
        block_on(self.detect_texture_async(texture, options))
    }

    /// As [`Model::landmarks_texture_async`].
    pub fn landmarks_texture(&self, texture: &gpu::Texture, found: &[Detection]) -> Result<Vec<Vec<[f32; 2]>>> {
        block_on(self.landmarks_texture_async(texture, found))
    }

    /// As [`Model::landmarks_async`].
    pub fn landmarks(&self, image: &DynamicImage, found: &[Detection]) -> Result<Vec<Vec<[f32; 2]>>> {
        block_on(self.landmarks_async(image, found))
    }

    /// As [`Model::classify_pixels_async`].
    pub fn classify_pixels(&self, pixels: &[u32], n: usize, top: impl Into<Top>) -> Result<Vec<Vec<Class>>> {
        block_on(self.classify_pixels_async(pixels, n, top))
    }

    /// As [`Model::profile_async`].
    pub fn profile(&self, n: usize, h: usize, w: usize, rounds: usize) -> Result<(Arc<Plan>, Vec<f64>)> {
        block_on(self.profile_async(n, h, w, rounds))
    }

    /// As [`Model::profile_picture_async`].
    pub fn profile_picture(&self, image: &DynamicImage, rounds: usize) -> Result<Vec<TimedStep>> {
        block_on(self.profile_picture_async(image, rounds))
    }

    /// As [`Model::session_async`].
    pub fn session(&self, n: usize, h: usize, w: usize, form: Form, in_flight: usize) -> Result<Session> {
        block_on(self.session_async(n, h, w, form, in_flight))
    }
}

impl Session {
    /// As [`Session::submit_async`].
    pub fn submit(&mut self, input: &Tensor) -> Result<Pending<Tensor>> {
        block_on(self.submit_async(input))
    }

    /// As [`Session::submit_named_async`].
    pub fn submit_named(&mut self, inputs: &[(&str, &AnyTensor)]) -> Result<Pending<Vec<(String, AnyTensor)>>> {
        block_on(self.submit_named_async(inputs))
    }

    /// As [`Session::submit_images_async`].
    pub fn submit_images(&mut self, images: &[DynamicImage]) -> Result<Pending<Vec<Vec<Class>>>> {
        block_on(self.submit_images_async(images))
    }

    /// As [`Session::submit_pixels_async`].
    pub fn submit_pixels(&mut self, pixels: &[u32]) -> Result<Pending<Vec<Vec<Class>>>> {
        block_on(self.submit_pixels_async(pixels))
    }
}

impl<T> Pending<T> {
    /// As [`Pending::wait_async`].
    pub fn wait(self) -> Result<T> {
        block_on(self.wait_async())
    }
}
