//! From an image file to the network's input: decode, orient, resize, crop, normalise, as timm's
//! evaluation transform does.
//!
//! The resize is Pillow's own algorithm (`src/libImaging/Resample.c` of version 13): two passes of
//! 22-bit fixed-point weights with 8 bits in between. So the pixels are Pillow's bit for bit. Only
//! the cropped part is computed.
//!
//! Two things differ from timm's loader on purpose. EXIF orientation is applied, since people
//! expect a photo to stand as their viewer shows it. 16-bit grey keeps its high byte, where
//! Pillow's `convert("RGB")` clips every value above 255 to white.
//!
//! Colour profiles are ignored, as timm ignores them. Animations give their first frame.

#[cfg(feature = "decode")]
mod decode;
#[cfg(feature = "decode")]
mod gif;
#[cfg(feature = "decode")]
mod jpeg;
pub(crate) mod resample;
pub(crate) mod sample;

use std::{borrow::Cow, ops::Range};

use image::{DynamicImage, RgbImage};

use crate::{
    error::{Error, Result},
    kernels::resize::Rows,
    text::decimal,
};

pub use resample::{Interpolation, Resize};

#[cfg(feature = "decode")]
pub use decode::{decode_bytes, decode_file, is_image, with_file};

/// Images of more pixels are refused before they are decoded. The largest camera sensors have 100
/// to 150 megapixels. At 8 bytes per pixel (16-bit RGBA) this bounds a decoded image to 1 GiB.
const MAX_PIXELS: u64 = 1 << 27;

/// What a network expects of its input image (timm's `pretrained_cfg`).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Preprocess {
    /// Height and width of the network's input, in pixels.
    pub size: [usize; 2],
    /// Mean of each channel (red, green, blue), of values in 0 ..= 1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, of values in 0 ..= 1.
    pub std: [f32; 3],
    /// Filter of the resize.
    pub interpolation: Interpolation,
    /// Share of the resized image's short side that the crop keeps: the short side is resized to
    /// `size / crop_pct`.
    pub crop_pct: f32,
    /// Which side that is.
    pub crop_mode: CropMode,
}

/// How an image whose aspect is not the input's is resized before its centre is cut out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CropMode {
    /// Its aspect stays, and its tighter side is resized to `size / crop_pct`.
    #[default]
    Center,
    /// Both sides are resized to `size / crop_pct`, whatever its aspect.
    Squash,
}

impl CropMode {
    /// timm's name: `center` or `squash`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Center => "center",
            Self::Squash => "squash",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Center, Self::Squash].into_iter().find(|mode| mode.name() == name)
    }
}

impl Default for Preprocess {
    /// timm's values for `ghostnet_100.in1k`.
    fn default() -> Self {
        Self {
            size: [224, 224],
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            interpolation: Interpolation::Bicubic,
            crop_pct: 0.875,
            crop_mode: CropMode::Center,
        }
    }
}

impl Preprocess {
    /// Sets [`Preprocess::size`].
    pub fn size(self, size: [usize; 2]) -> Self {
        Self { size, ..self }
    }

    /// Sets [`Preprocess::mean`].
    pub fn mean(self, mean: [f32; 3]) -> Self {
        Self { mean, ..self }
    }

    /// Sets [`Preprocess::std`].
    pub fn std(self, std: [f32; 3]) -> Self {
        Self { std, ..self }
    }

    /// Sets [`Preprocess::interpolation`].
    pub fn interpolation(self, interpolation: Interpolation) -> Self {
        Self { interpolation, ..self }
    }

    /// Sets [`Preprocess::crop_pct`].
    pub fn crop_pct(self, crop_pct: f32) -> Self {
        Self { crop_pct, ..self }
    }

    /// Sets [`Preprocess::crop_mode`].
    pub fn crop_mode(self, crop_mode: CropMode) -> Self {
        Self { crop_mode, ..self }
    }

    /// The image resized and cropped to exactly `self.size`: what timm has before `ToTensor`.
    ///
    /// The short side is resized to `floor(size / crop_pct)` and the centre is cut out. Where the
    /// resized image is smaller than the crop, black surrounds it. Alpha is dropped, not blended.
    /// Only the crop is computed, so an extreme aspect costs no extreme memory.
    ///
    /// # Errors
    /// [`Error::Model`] where these settings describe no transform, [`Error::Shape`] where the
    /// image has no pixels.
    pub fn resize_and_crop(&self, image: &DynamicImage) -> Result<RgbImage> {
        let resize = self.resize([image.height() as usize, image.width() as usize])?;
        let pixels = resample::resize(&resize, &Readable::new(image));
        let [h, w] = self.size;
        Ok(RgbImage::from_raw(w as u32, h as u32, pixels).expect("the buffer was made for this size"))
    }

    /// How an image of `[h, w]` is resized and cropped to `self.size`.
    ///
    /// # Errors
    /// As [`Preprocess::resize_and_crop`].
    pub fn resize(&self, [h, w]: [usize; 2]) -> Result<Resize> {
        let scaled = self.scaled_size()?;
        if h == 0 || w == 0 {
            return Err(Error::shape("image", format!("{w} x {h} has no pixels")));
        }
        let resized = match self.crop_mode {
            CropMode::Center => resized_size([h, w], scaled),
            CropMode::Squash => scaled,
        };
        Ok(Resize::new([h, w], resized, self.size, self.interpolation))
    }

    /// The network's input: f32 `[3, h, w]`, planes of red, green and blue (NCHW for a batch of
    /// one), each `(v / 255 - mean) / std`.
    ///
    /// # Errors
    /// As [`Preprocess::resize_and_crop`].
    pub fn tensor(&self, image: &DynamicImage) -> Result<Vec<f32>> {
        let image = self.resize_and_crop(image)?;
        let mut tensor = Vec::with_capacity(image.as_raw().len());
        for c in 0..3 {
            // The same three f32 operations in the same order as torch, so that the values are
            // equal to the bit.
            let values: [f32; 256] = std::array::from_fn(|v| (v as f32 / 255.0 - self.mean[c]) / self.std[c]);
            tensor.extend(image.as_raw().iter().skip(c).step_by(3).map(|&v| values[usize::from(v)]));
        }
        Ok(tensor)
    }

    /// timm's `scale_size`, height and width: what the crop is cut from if the image has the crop's
    /// aspect.
    fn scaled_size(&self) -> Result<[u64; 2]> {
        let [h, w] = self.size;
        if h == 0 || w == 0 || (h as u64).saturating_mul(w as u64) > MAX_PIXELS {
            return Err(Error::Model(format!("input size {h} x {w} is not between 1 x 1 and {MAX_PIXELS} pixels")));
        }
        if let Some(std) = self.std.iter().find(|std| !std.is_finite() || **std == 0.0) {
            return Err(Error::Model(format!("standard deviation {} of the input is not a number to divide by", decimal((*std).into()))));
        }
        // timm divides by a double: 224 / 0.8 is 280, but 0.8 as f32 is a little more and would
        // give 279. No share has more decimals.
        let crop_pct = (f64::from(self.crop_pct) * 1e6).round() / 1e6;
        let scaled = self.size.map(|size| (size as f64 / crop_pct).floor());
        // The upper bound keeps every coordinate below 2^53, exact in f64, for any image that
        // decodes.
        if !(crop_pct > 0.0 && scaled.iter().all(|s| (1.0..=65_536.0 * 16.0).contains(s))) {
            return Err(Error::Model(format!(
                "crop share {} of input size {h} x {w}: no image can be resized to that",
                decimal(self.crop_pct.into())
            )));
        }
        Ok(scaled.map(|s| s as u64))
    }
}

/// The size `[h, w]` to which timm resizes an image of `size` for a `scaled` target: aspect kept,
/// the tighter side equal.
fn resized_size([h, w]: [usize; 2], scaled: [u64; 2]) -> [u64; 2] {
    let [target_h, target_w] = scaled;
    if target_h == target_w {
        // torchvision's `_compute_resized_output_size`: the long side is rounded down.
        let (short, long) = (h.min(w), h.max(w));
        let new_long = (target_h as f64 * long as f64 / short as f64) as u64;
        if w <= h { [new_long, target_h] } else { [target_h, new_long] }
    } else {
        // timm's `ResizeKeepRatio`: both sides are rounded, halves to even.
        let ratio = (h as f64 / target_h as f64).min(w as f64 / target_w as f64);
        [h, w].map(|size| (size as f64 / ratio).round_ties_even() as u64)
    }
}

/// A decoded image whose rows can be had as RGB8. Only what is needed is converted, so a large grey
/// or 16-bit image is not copied whole.
pub(crate) struct Readable<'a>(Cow<'a, DynamicImage>);

impl<'a> Readable<'a> {
    pub(crate) fn new(image: &'a DynamicImage) -> Self {
        use DynamicImage::{ImageLuma8, ImageLuma16, ImageLumaA8, ImageLumaA16, ImageRgb8, ImageRgb16, ImageRgba8, ImageRgba16};

        Self(match image {
            ImageLuma8(_) | ImageLumaA8(_) | ImageRgb8(_) | ImageRgba8(_) => Cow::Borrowed(image),
            ImageLuma16(_) | ImageLumaA16(_) | ImageRgb16(_) | ImageRgba16(_) => Cow::Borrowed(image),
            _ => Cow::Owned(ImageRgb8(image.to_rgb8())),
        })
    }

    /// Rows and columns.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.0.height() as usize, self.0.width() as usize]
    }

    /// Bytes of a pixel in memory.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn pixel_bytes(&self) -> usize {
        self.0.color().bytes_per_pixel().into()
    }
}

impl Rows for Readable<'_> {
    fn row<'a>(&'a self, y: usize, x: Range<usize>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        fn samples<T>(all: &[T], width: u32, y: usize, x: Range<usize>, channels: usize) -> &[T] {
            let start = y * width as usize;
            &all[(start + x.start) * channels..(start + x.end) * channels]
        }
        fn convert<T: Copy, const CHANNELS: usize>(samples: &[T], out: &mut Vec<u8>, byte: impl Fn(T) -> u8) {
            out.clear();
            for pixel in samples.as_chunks::<CHANNELS>().0 {
                let rgb = if CHANNELS < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
                out.extend(rgb.map(&byte));
            }
        }
        // The high byte, as Pillow takes it for 16-bit colour.
        let high = |v: u16| (v >> 8) as u8;
        let width = self.0.width();
        match &*self.0 {
            DynamicImage::ImageRgb8(i) => return samples(i.as_raw(), width, y, x, 3),
            DynamicImage::ImageRgba8(i) => convert::<_, 4>(samples(i.as_raw(), width, y, x, 4), scratch, |v| v),
            DynamicImage::ImageLuma8(i) => convert::<_, 1>(samples(i.as_raw(), width, y, x, 1), scratch, |v| v),
            DynamicImage::ImageLumaA8(i) => convert::<_, 2>(samples(i.as_raw(), width, y, x, 2), scratch, |v| v),
            DynamicImage::ImageRgb16(i) => convert::<_, 3>(samples(i.as_raw(), width, y, x, 3), scratch, high),
            DynamicImage::ImageRgba16(i) => convert::<_, 4>(samples(i.as_raw(), width, y, x, 4), scratch, high),
            DynamicImage::ImageLuma16(i) => convert::<_, 1>(samples(i.as_raw(), width, y, x, 1), scratch, high),
            DynamicImage::ImageLumaA16(i) => convert::<_, 2>(samples(i.as_raw(), width, y, x, 2), scratch, high),
            _ => unreachable!("`new` converts every other kind"),
        }
        scratch
    }

    fn texels<'a>(&'a self, y: usize, x: Range<usize>, scratch: &'a mut Vec<u8>) -> (&'a [u8], usize) {
        match &*self.0 {
            DynamicImage::ImageRgba8(image) => {
                let [start, end] = [x.start, x.end].map(|x| (y * image.width() as usize + x) * 4);
                (&image.as_raw()[start..end], 4)
            }
            _ => (self.row(y, x, scratch), 3),
        }
    }
}
