//! From an image file to the network's input: decode, orient, resize, crop, normalise, as timm's evaluation transform does.
//!
//! The resize is Pillow's own algorithm (`src/libImaging/Resample.c` of version 13, two passes of 22-bit fixed-point weights with 8 bits in
//! between), so that the pixels are Pillow's bit for bit; only the cropped part of it is computed. Two things differ from
//! timm's loader on purpose: EXIF orientation is applied, since people expect a photo to stand as their viewer shows it, and
//! 16-bit grey keeps its high byte, where Pillow's `convert("RGB")` clips every value above 255 to white.
//!
//! Colour profiles are ignored, as timm ignores them. Animations give their first frame.

#[cfg(feature = "decode")]
mod decode;

use std::{borrow::Cow, ops::Range};

use image::{DynamicImage, RgbImage};

use crate::error::{Error, Result};

#[cfg(feature = "decode")]
pub use decode::{decode_bytes, decode_file};

/// Images of more pixels are refused before they are decoded. The largest camera sensors have 100 to 150 megapixels; at 8 bytes
/// per pixel (16-bit RGBA) this bounds a decoded image to 1 GiB.
const MAX_PIXELS: u64 = 1 << 27;

/// The filter with which an image is resized; both antialias as Pillow does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interpolation {
    /// Triangle filter, support 1.
    Bilinear,
    /// Catmull-Rom-like cubic with a = -0.5, support 2.
    #[default]
    Bicubic,
}

/// What a network expects of its input image (timm's `pretrained_cfg`).
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    /// Height and width of the network's input, in pixels.
    pub size: [usize; 2],
    /// Mean of each channel (red, green, blue), of values in 0 ..= 1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, of values in 0 ..= 1.
    pub std: [f32; 3],
    /// Filter of the resize.
    pub interpolation: Interpolation,
    /// Share of the resized image's short side that the crop keeps: the short side is resized to `size / crop_pct`.
    pub crop_pct: f32,
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
        }
    }
}

impl Preprocess {
    /// The image resized and cropped to exactly `self.size`: what timm has before `ToTensor`.
    ///
    /// The short side is resized to `floor(size / crop_pct)` and the centre is cut out; where the resized image is smaller than
    /// the crop, black surrounds it. Alpha is dropped, not blended. Only the crop is computed, so
    /// an extreme aspect costs no extreme memory.
    ///
    /// # Errors
    /// [`Error::Model`] where these settings describe no transform, [`Error::Shape`] where the image has no pixels.
    pub fn resize_and_crop(&self, image: &DynamicImage) -> Result<RgbImage> {
        use DynamicImage::{ImageLuma8, ImageLuma16, ImageLumaA8, ImageLumaA16, ImageRgb8, ImageRgb16, ImageRgba8, ImageRgba16};

        let scaled = self.scaled_size()?;
        let (h, w) = (image.height() as usize, image.width() as usize);
        if h == 0 || w == 0 {
            return Err(Error::shape("image", format!("{w} x {h} has no pixels")));
        }
        let [crop_h, crop_w] = self.size;
        let [resized_h, resized_w] = resized_size([h, w], scaled);
        let (rows, top) = crop_window(resized_h, crop_h);
        let (columns, left) = crop_window(resized_w, crop_w);
        let vertical = Taps::new(h, resized_h, rows, self.interpolation);
        let horizontal = Taps::new(w, resized_w, columns, self.interpolation);

        let image = match image {
            ImageLuma8(_) | ImageLumaA8(_) | ImageRgb8(_) | ImageRgba8(_) => Cow::Borrowed(image),
            ImageLuma16(_) | ImageLumaA16(_) | ImageRgb16(_) | ImageRgba16(_) => Cow::Borrowed(image),
            _ => Cow::Owned(ImageRgb8(image.to_rgb8())),
        };
        let stride = horizontal.len() * 3;
        let (source_rows, source_columns) = (vertical.sources(), horizontal.sources());
        let mut scratch = Vec::new();
        let mut pixels = vec![0; crop_h * crop_w * 3];
        let out_row = |i: usize| ((top + i) * crop_w + left) * 3..((top + i) * crop_w + left) * 3 + stride;
        if vertical_first([h, w], [resized_h, resized_w]) {
            let mut row = vec![0; source_columns.len() * 3];
            let mut sums = vec![0; row.len()];
            for i in 0..vertical.len() {
                let (start, weights) = vertical.tap(i);
                sums.fill(ROUND);
                for (y, &weight) in (source_rows.start + start..).zip(weights) {
                    add_row(&mut sums, rgb_row(&image, y, source_columns.clone(), &mut scratch), weight);
                }
                clip_row(&sums, &mut row);
                horizontal.filter_row(&row, &mut pixels[out_row(i)]);
            }
        } else {
            let mut narrow = vec![0; source_rows.len() * stride];
            for (y, out) in source_rows.zip(narrow.chunks_exact_mut(stride)) {
                horizontal.filter_row(rgb_row(&image, y, source_columns.clone(), &mut scratch), out);
            }
            let mut sums = vec![0; stride];
            for i in 0..vertical.len() {
                let (start, weights) = vertical.tap(i);
                sums.fill(ROUND);
                for (row, &weight) in narrow[start * stride..].chunks_exact(stride).zip(weights) {
                    add_row(&mut sums, row, weight);
                }
                clip_row(&sums, &mut pixels[out_row(i)]);
            }
        }
        Ok(RgbImage::from_raw(crop_w as u32, crop_h as u32, pixels).expect("the buffer was made for this size"))
    }

    /// The network's input: f32 `[3, h, w]`, planes of red, green and blue (NCHW for a batch of one), each `(v / 255 - mean) / std`.
    ///
    /// # Errors
    /// As [`Preprocess::resize_and_crop`].
    pub fn tensor(&self, image: &DynamicImage) -> Result<Vec<f32>> {
        let image = self.resize_and_crop(image)?;
        let mut tensor = Vec::with_capacity(image.as_raw().len());
        for c in 0..3 {
            // The same three f32 operations in the same order as torch, so that the values are equal to the bit.
            let values: [f32; 256] = std::array::from_fn(|v| (v as f32 / 255.0 - self.mean[c]) / self.std[c]);
            tensor.extend(image.as_raw().iter().skip(c).step_by(3).map(|&v| values[usize::from(v)]));
        }
        Ok(tensor)
    }

    /// timm's `scale_size`, height and width: what the crop is cut from if the image has the crop's aspect.
    fn scaled_size(&self) -> Result<[u64; 2]> {
        let [h, w] = self.size;
        if h == 0 || w == 0 || (h as u64).saturating_mul(w as u64) > MAX_PIXELS {
            return Err(Error::Model(format!("input size {h} x {w} is not between 1 x 1 and {MAX_PIXELS} pixels")));
        }
        if let Some(std) = self.std.iter().find(|std| !std.is_finite() || **std == 0.0) {
            return Err(Error::Model(format!("standard deviation {std} of the input is not a number to divide by")));
        }
        // timm divides by a double: 224 / 0.8 is 280, but 0.8 as f32 is a little more and would give 279.
        let crop_pct: f64 = self.crop_pct.to_string().parse().unwrap_or(f64::NAN);
        let scaled = self.size.map(|size| (size as f64 / crop_pct).floor());
        // The upper bound keeps every coordinate below 2^53, exact in f64, for any image that decodes.
        if !(crop_pct > 0.0 && scaled.iter().all(|s| (1.0..=65_536.0 * 16.0).contains(s))) {
            return Err(Error::Model(format!("crop share {} of input size {h} x {w}: no image can be resized to that", self.crop_pct)));
        }
        Ok(scaled.map(|s| s as u64))
    }
}

/// The size `[h, w]` to which timm resizes an image of `size` for a `scaled` target: aspect kept, the tighter side equal.
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

/// Which of `resized` rows (or columns) a centred crop of `crop` takes, and where in the crop they start (0 unless it pads).
fn crop_window(resized: u64, crop: usize) -> (Range<u64>, usize) {
    match (crop as u64).checked_sub(resized) {
        Some(missing) => (0..resized, (missing / 2) as usize),
        None => {
            let start = ((resized - crop as u64) as f64 / 2.0).round_ties_even() as u64;
            (start..start + crop as u64, 0)
        }
    }
}

/// Bits after the point of a weight, as in Pillow: 32 less 8 for the pixel and 2 for overshoot.
const PRECISION_BITS: u32 = 32 - 8 - 2;
const ROUND: i32 = 1 << (PRECISION_BITS - 1);

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

fn add_row(sums: &mut [i32], row: &[u8], weight: i32) {
    for (sum, &v) in sums.iter_mut().zip(row) {
        *sum += i32::from(v) * weight;
    }
}

fn clip_row(sums: &[i32], out: &mut [u8]) {
    for (out, &sum) in out.iter_mut().zip(sums) {
        *out = clip(sum);
    }
}

/// Whether Pillow makes the vertical pass of a resize of `[h, w]` first. The order shows, as 8 bits are kept in between: 13 levels
/// in high-contrast noise.
///
/// Pillow does so from version 13 on (python-pillow/Pillow#9549), for tall images; before, never. The rule is the one that fits
/// 2,919 random resizes of Pillow 13.0.0 in which the order showed.
fn vertical_first([h, w]: [usize; 2], [resized_h, resized_w]: [u64; 2]) -> bool {
    let (down, across) = (h as i64 - resized_h as i64, w as i64 - resized_w as i64);
    down > 0 && down > 2 * across
}

/// The weights with which source pixels make each output pixel along one axis.
struct Taps {
    /// First source pixel that any output needs.
    origin: usize,
    /// One past the last source pixel that any output needs.
    end: usize,
    /// First source pixel of each output, counted from `origin`, and where its weights start and end.
    spans: Vec<(usize, Range<usize>)>,
    weights: Vec<i32>,
}

impl Taps {
    /// Weights for the outputs `window` of a resize from `from` to `to` pixels (Pillow's `precompute_coeffs`, in its order of
    /// operations: another order rounds some weights the other way).
    fn new(from: usize, to: u64, window: Range<u64>, interpolation: Interpolation) -> Self {
        let (filter, support): (fn(f64) -> f64, f64) = match interpolation {
            Interpolation::Bilinear => (triangle, 1.0),
            Interpolation::Bicubic => (cubic, 2.0),
        };
        let scale = from as f64 / to as f64;
        let filter_scale = scale.max(1.0);
        let support = support * filter_scale;
        let inverse = 1.0 / filter_scale;
        let (mut spans, mut weights, mut reals) = (Vec::new(), Vec::new(), Vec::new());
        for x in window {
            let center = (x as f64 + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            reals.clear();
            reals.extend((start..end).map(|i| filter((i as f64 - center + 0.5) * inverse)));
            let sum: f64 = reals.iter().sum();
            let first = weights.len();
            weights.extend(reals.iter().map(|&w| {
                let w = w / sum * f64::from(1 << PRECISION_BITS);
                (w + 0.5f64.copysign(w)) as i32
            }));
            spans.push((start, first..weights.len()));
        }
        let origin = spans.iter().map(|(start, _)| *start).min().unwrap_or(0);
        let end = spans.iter().map(|(start, weights)| start + weights.len()).max().unwrap_or(0);
        spans.iter_mut().for_each(|(start, _)| *start -= origin);
        Self { origin, end, spans, weights }
    }

    /// Number of outputs.
    fn len(&self) -> usize {
        self.spans.len()
    }

    /// The source pixels that are needed.
    fn sources(&self) -> Range<usize> {
        self.origin..self.end
    }

    /// First source pixel of output `i`, counted from the start of [`Taps::sources`], and the weights from there on.
    fn tap(&self, i: usize) -> (usize, &[i32]) {
        let (start, weights) = &self.spans[i];
        (*start, &self.weights[weights.clone()])
    }

    /// Filters one row: `source` holds the pixels of [`Taps::sources`] and `out` takes one pixel per output, both RGB interleaved.
    fn filter_row(&self, source: &[u8], out: &mut [u8]) {
        let (source, _) = source.as_chunks::<3>();
        let (out, _) = out.as_chunks_mut::<3>();
        for (i, out) in out.iter_mut().enumerate() {
            let (start, weights) = self.tap(i);
            let [mut r, mut g, mut b] = [ROUND; 3];
            for (pixel, &weight) in source[start..].iter().zip(weights) {
                r += i32::from(pixel[0]) * weight;
                g += i32::from(pixel[1]) * weight;
                b += i32::from(pixel[2]) * weight;
            }
            *out = [clip(r), clip(g), clip(b)];
        }
    }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic, a = -0.5 (`bicubic_filter` of Pillow's Resample.c).
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Columns `x` of row `y` as interleaved RGB8. Only what is needed is converted, so a large grey or 16-bit image is not copied whole.
fn rgb_row<'a>(image: &'a DynamicImage, y: usize, x: Range<usize>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
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
    let width = image.width();
    match image {
        DynamicImage::ImageRgb8(i) => return samples(i.as_raw(), width, y, x, 3),
        DynamicImage::ImageRgba8(i) => convert::<_, 4>(samples(i.as_raw(), width, y, x, 4), scratch, |v| v),
        DynamicImage::ImageLuma8(i) => convert::<_, 1>(samples(i.as_raw(), width, y, x, 1), scratch, |v| v),
        DynamicImage::ImageLumaA8(i) => convert::<_, 2>(samples(i.as_raw(), width, y, x, 2), scratch, |v| v),
        DynamicImage::ImageRgb16(i) => convert::<_, 3>(samples(i.as_raw(), width, y, x, 3), scratch, high),
        DynamicImage::ImageRgba16(i) => convert::<_, 4>(samples(i.as_raw(), width, y, x, 4), scratch, high),
        DynamicImage::ImageLuma16(i) => convert::<_, 1>(samples(i.as_raw(), width, y, x, 1), scratch, high),
        DynamicImage::ImageLumaA16(i) => convert::<_, 2>(samples(i.as_raw(), width, y, x, 2), scratch, high),
        _ => unreachable!("`resize_and_crop` converts every other kind first"),
    }
    scratch
}
