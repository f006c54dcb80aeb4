//! Images to classes: a network on a device that tells classes apart.

use super::{
    model::Model,
    part::{Feed, RunnerKind, Slots, slots},
    results::{Class, Top},
};
use crate::{
    Error, Result, cpu, gpu,
    image_input::{Readable, Resize, resample},
    kernels::resize::Rows,
    parallel::*,
    plan::{Form, Plan},
};
use image::DynamicImage;
use std::sync::{Arc, PoisonError, atomic::Ordering};

/// Sizes of images that are kept.
const MAX_RESIZES: usize = 8;

pub(super) fn gpu_images<'a>(resizes: Vec<Arc<Resize>>, images: &'a [Readable<'_>]) -> Vec<gpu::Image<'a>> {
    let pairs = resizes.into_iter().zip(images);
    pairs.map(|(resize, image)| gpu::Image { resize: resize.problem(), source: gpu::Source::Buffer(image) }).collect()
}

/// A part of an image.
fn cut(image: &DynamicImage, [x, y, width, height]: [u32; 4]) -> Result<DynamicImage> {
    let fits = |from: u32, length: u32, has: u32| length > 0 && from.checked_add(length).is_some_and(|end| end <= has);
    if fits(x, width, image.width()) && fits(y, height, image.height()) {
        return Ok(image.crop_imm(x, y, width, height));
    }
    let (w, h) = (image.width(), image.height());
    Err(Error::shape("image", format!("is {w} x {h}; {width} x {height} at column {x}, row {y} is no part of it")))
}

impl Model {
    /// The form of a run that gives the `top` best classes, or all where there are fewer.
    pub(super) fn classify_form(&self, top: usize) -> Result<Form> {
        match self.network().classes() {
            0 => {
                let what =
                    format!("{} tells no classes apart: its first result is no vector, and no card names any", self.network().name());
                Err(Error::Model(what))
            }
            classes => Ok(Form::Classify { k: top.clamp(1, classes) }),
        }
    }

    /// The `top` most probable classes of an image, best first (all classes, if there are fewer): a
    /// number, or a [`Top`]. Where the CPU resizes images, the calling thread does.
    ///
    /// Errors: [`Error::Shape`] for a part that is none of the image's.
    pub async fn classify_async(&self, image: &DynamicImage, top: impl Into<Top>) -> Result<Vec<Class>> {
        Ok(self.classify_batch_async(std::slice::from_ref(image), top).await?.remove(0))
    }

    /// As [`Model::classify_async`] for several images in one run, or in several where the device
    /// does not take so many at once.
    pub async fn classify_batch_async(&self, images: &[DynamicImage], top: impl Into<Top>) -> Result<Vec<Vec<Class>>> {
        let top = top.into();
        let parts = top.part.map(|part| images.iter().map(|image| cut(image, part)).collect::<Result<Vec<_>>>()).transpose()?;
        let images = parts.as_deref().unwrap_or(images);
        let top = top.part(None);
        let Some(resizes) = self.on_device(images)? else {
            return self.classify_pixels_async(&self.pixels_of(images)?, images.len(), top).await;
        };
        let readable: Vec<_> = images.iter().map(Readable::new).collect();
        let images = gpu_images(resizes, &readable);
        let mut classes = Vec::new();
        while classes.len() < images.len() {
            let count = self.at_once(images.len() - classes.len());
            let of = &images[classes.len()..classes.len() + count];
            let some = self.classify_on_device(of, top.needed()).await;
            classes.extend(self.fits(some, count)?);
        }
        Ok(classes.into_iter().map(|classes| top.of(classes)).collect())
    }

    /// How many of `images` images to try at once.
    fn at_once(&self, images: usize) -> usize {
        self.inner.at_once.load(Ordering::Relaxed).clamp(1, images)
    }

    /// The result of a run of `images` images; nothing where they were too many for the device, and
    /// fewer are to be tried.
    fn fits<T: Default>(&self, result: Result<T>, images: usize) -> Result<T> {
        match result {
            Err(Error::Limit { .. } | Error::OutOfMemory(_)) if images > 1 => {
                self.inner.at_once.fetch_min(images / 2, Ordering::Relaxed);
                Ok(T::default())
            }
            result => result,
        }
    }

    /// The `top` most probable classes of a texture on the device of
    /// [`Engine::with_device`](crate::Engine::with_device), or of a part of it. The device copies
    /// and resizes it in the order of its queue, after what was submitted before, and none of its
    /// pixels passes through this program's memory. Values are taken as they are stored,
    /// sRGB-encoded as pictures are.
    ///
    /// Errors: [`Error::Unsupported`] on the CPU, [`Error::Limit`] where the part that the crop
    /// needs is larger than a texture may be. [`Error::Shape`] for a part that is none, a format
    /// other than `Rgba8Unorm`, `Bgra8Unorm` and their sRGB forms, and a texture without
    /// `COPY_SRC`. [`Error::Gpu`] for one of another device; of another instance, wgpu itself
    /// panics.
    pub async fn classify_texture_async(&self, texture: &gpu::Texture, top: impl Into<Top>) -> Result<Vec<Class>> {
        let top = top.into();
        let part = top.part.unwrap_or([0, 0, texture.width(), texture.height()]);
        gpu::check_texture(texture, part)?;
        let [x, y, width, height] = part;
        let image = gpu::Image { resize: self.resize(height, width)?.problem(), source: gpu::Source::OnDevice(texture, [x, y]) };
        Ok(top.of(self.classify_on_device(&[image], top.needed()).await?.remove(0)))
    }

    /// The `top` most probable classes of what a browser holds, of `width` x `height` pixels: an
    /// image, a canvas, a frame of a video. The GPU resizes it, and none of its pixels passes
    /// through this program's memory.
    ///
    /// Errors: [`Error::Unsupported`] on the CPU. [`Error::Limit`] where the part that the crop
    /// needs is larger than a texture may be. [`Error::Image`] where the browser does not copy it
    /// to one: another site's pixels, 16 bits a channel, a canvas that nobody drew on.
    #[cfg(target_arch = "wasm32")]
    pub async fn classify_external_async(&self, source: &wasm_bindgen::JsValue, width: u32, height: u32, top: usize) -> Result<Vec<Class>> {
        let image = gpu::Image { resize: self.resize(height, width)?.problem(), source: gpu::Source::External(source) };
        Ok(self.classify_on_device(&[image], top).await?.remove(0))
    }

    /// The `top` most probable classes of images that the device resizes.
    async fn classify_on_device(&self, images: &[gpu::Image<'_>], top: usize) -> Result<Vec<Vec<Class>>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let request = self.request(images.len(), self.network().preprocess()?.size, self.classify_form(top)?)?;
        let (mut runner, _) = self.runner(&request).await?;
        let RunnerKind::Gpu(prepared) = &mut runner.kind else {
            let what = "resizes images in memory, and none that a GPU or a browser holds".into();
            return Err(Error::Unsupported { adapter: self.engine().adapter().name.clone(), what });
        };
        let run = match prepared.submit_images(images).await {
            Err(error @ Error::Image { .. }) => {
                // Nothing was submitted.
                self.inner.results.keep(runner);
                return Err(error);
            }
            run => run?,
        };
        let outputs = run.wait().await?;
        let classes = self.classes(&runner.plan, &slots(&runner.plan, outputs), images.len());
        self.inner.results.keep(runner);
        Ok(classes)
    }

    /// How each of the images is resized, if the device does it rather than the CPU.
    pub(super) fn on_device(&self, images: &[DynamicImage]) -> Result<Option<Vec<Arc<Resize>>>> {
        let Some(context) = self.engine().gpu().filter(|_| self.engine().resizes_on_device()) else { return Ok(None) };
        let resizes = images.iter().map(|image| self.resize(image.height(), image.width())).collect::<Result<Vec<_>>>()?;
        // One that is too large for the device's buffers, and the CPU resizes them all.
        Ok(resizes.iter().all(|resize| context.takes(&resize.problem())).then_some(resizes))
    }

    /// How images of a size become the network's input.
    fn resize(&self, height: u32, width: u32) -> Result<Arc<Resize>> {
        let size = [height as usize, width as usize];
        let lock = || self.inner.resizes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resize) = lock().iter().find(|resize| resize.source() == size) {
            return Ok(resize.clone());
        }
        let resize = Arc::new(self.network().preprocess()?.resize(size)?);
        let mut resizes = lock();
        resizes.push(resize.clone());
        if resizes.len() > MAX_RESIZES {
            resizes.remove(0);
        }
        Ok(resize)
    }

    /// An image resized and cropped to the network's input, one RGBA8 word a pixel (red lowest).
    pub fn pixels(&self, image: &DynamicImage) -> Result<Vec<u32>> {
        self.pixels_of_rows(&Readable::new(image), image.height(), image.width())
    }

    /// As [`Model::pixels`], of an image of `height` x `width` pixels in memory.
    pub fn pixels_of_rows(&self, image: &dyn Rows, height: u32, width: u32) -> Result<Vec<u32>> {
        let resize = self.resize(height, width)?;
        let [h, w] = resize.size();
        // Three bytes a pixel while it is resized, four here, and as many where images are
        // gathered.
        cpu::probe("an image of the network's size", h.saturating_mul(w).saturating_mul(16))?;
        let rgb = resample::resize(&resize, image);
        Ok(rgb.as_chunks().0.iter().map(|&[r, g, b]| u32::from_le_bytes([r, g, b, 255])).collect())
    }

    /// As [`Model::pixels`], of several images, one after the other.
    pub(super) fn pixels_of(&self, images: &[DynamicImage]) -> Result<Vec<u32>> {
        let pixels: Vec<Vec<u32>> = with_threads(|| images.par_iter().map(|image| self.pixels(image)).collect::<Result<_>>())?;
        Ok(pixels.concat())
    }

    /// Classifies `n` images that [`Model::pixels`] has made, one after the other in `pixels`; in
    /// several runs where the device does not take so many at once.
    ///
    /// Errors: [`Error::Shape`] for another number of pixels, or where a part is asked for.
    pub async fn classify_pixels_async(&self, pixels: &[u32], n: usize, top: impl Into<Top>) -> Result<Vec<Vec<Class>>> {
        let top = top.into();
        if n == 0 {
            return Ok(Vec::new());
        }
        if top.part.is_some() {
            return Err(Error::shape("input", "pixels are of the whole image; cut the part out before `Model::pixels`"));
        }
        let [h, w] = self.network().preprocess()?.size;
        if pixels.len() != n * h * w {
            let what = format!("a batch of {n} at {h} x {w} has {} pixels, {} were given", n * h * w, pixels.len());
            return Err(Error::shape("input", what));
        }
        let mut classes = Vec::new();
        while classes.len() < n {
            let count = self.at_once(n - classes.len());
            let some = self.classify_some(&pixels[classes.len() * h * w..][..count * h * w], count, top.needed()).await;
            classes.extend(self.fits(some, count)?);
        }
        Ok(classes.into_iter().map(|classes| top.of(classes)).collect())
    }

    /// Classifies `n` images in one run.
    async fn classify_some(&self, pixels: &[u32], n: usize, top: usize) -> Result<Vec<Vec<Class>>> {
        let request = self.request(n, self.network().preprocess()?.size, self.classify_form(top)?)?;
        let (plan, slots) = self.inner.results.run(self.engine(), &request, Feed::Pixels(pixels)).await?;
        Ok(self.classes(&plan, &slots, n))
    }

    /// Each image's classes, of a plan that classifies.
    pub(super) fn classes(&self, plan: &Plan, slots: &Slots, images: usize) -> Vec<Vec<Class>> {
        let class = |pair: &[u32]| {
            let index = pair[0] as usize;
            Class { index, label: self.network().label(index), probability: f32::from_bits(pair[1]) }
        };
        let table = slots[0].chunks_exact(slots[0].len() / plan.batch());
        table.take(images).map(|image| image.chunks_exact(2).map(class).collect()).collect()
    }
}
