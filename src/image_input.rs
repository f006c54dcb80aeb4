//! From an image file to the network's input: decode, orient, resize, crop, normalise, as timm's evaluation transform does.
//!
//! The resize is Pillow's own algorithm (`src/libImaging/Resample.c` of version 13, two passes of 22-bit fixed-point weights with 8 bits in
//! between), so that the pixels are Pillow's bit for bit; only the cropped part of it is computed. Two things differ from
//! timm's loader on purpose: EXIF orientation is applied, since people expect a photo to stand as their viewer shows it, and
//! 16-bit grey keeps its high byte, where Pillow's `convert("RGB")` clips every value above 255 to white.
//!
//! Colour profiles are ignored, as timm ignores them. Animations give their first frame.

use std::{
    borrow::Cow,
    fs::File,
    io::{Cursor, Read},
    ops::Range,
    path::Path,
};

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage, metadata::Orientation};

use crate::{
    cpu,
    error::{Error, Result},
    kernels::{Resize, Rows},
};

pub use crate::kernels::Interpolation;

/// Images of more pixels are refused before they are decoded. The largest camera sensors have 100 to 150 megapixels; at 8 bytes
/// per pixel (16-bit RGBA) this bounds a decoded image to 1 GiB.
const MAX_PIXELS: u64 = 1 << 27;
/// What a decoder may allocate, in bytes.
const MAX_ALLOC: u64 = MAX_PIXELS * 8;
/// Longer files are refused, so that pointing at a disk image or a device does not fill the memory.
const MAX_FILE: u64 = 1 << 30;

const FORMATS: &str = "JPEG, PNG, WebP, BMP, GIF";

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
        let resize = self.resize([image.height() as usize, image.width() as usize])?;
        let pixels = cpu::resize(&resize, &Readable::new(image));
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
        Ok(Resize::new([h, w], resized_size([h, w], scaled), self.size, self.interpolation))
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

/// Decodes an image file (JPEG, PNG, WebP, BMP or GIF, told by content, not by name) and turns it as its EXIF orientation says.
///
/// Animations give their first frame. Pixels keep the file's kind (grey, RGB, with alpha, 8 or 16 bits).
///
/// # Errors
/// [`Error::Io`] where the file cannot be read; [`Error::Image`] where it is no image of these formats, is damaged or cut short,
/// or has more than 2^27 pixels (found in the header, before anything is decoded).
pub fn decode_file(path: &Path) -> Result<DynamicImage> {
    if path.is_dir() {
        return Err(Error::image(path, "is a directory, not an image"));
    }
    let mut file = File::open(path).map_err(|e| Error::io(path, &e))?.take(MAX_FILE + 1);
    let mut bytes = Vec::new();
    // The kind is known from the first bytes; the rest of a file that is no image is not worth reading.
    file.by_ref().take(512).read_to_end(&mut bytes).map_err(|e| Error::io(path, &e))?;
    recognise(path, &bytes)?;
    file.read_to_end(&mut bytes).map_err(|e| Error::io(path, &e))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::image(path, format!("is over the limit of {MAX_FILE} bytes for an image file")));
    }
    decode_bytes(path, &bytes)
}

/// Decodes an image in memory as [`decode_file`] does; `origin` only names it in errors.
///
/// # Errors
/// [`Error::Image`], as for [`decode_file`].
pub fn decode_bytes(origin: &Path, bytes: &[u8]) -> Result<DynamicImage> {
    let format = recognise(origin, bytes)?;
    let name = name(format);
    let cut_off = || Error::image(origin, format!("damaged {name}: ends before the image does ({} bytes)", bytes.len()));
    let broken = |e: ImageError| {
        if ends_early(format, bytes, &e) { cut_off() } else { Error::image(origin, format!("damaged {name}: {}", reason(&e))) }
    };
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOC);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (w, h) = decoder.dimensions();
    let pixels = u64::from(w) * u64::from(h);
    if pixels == 0 {
        return Err(Error::image(origin, format!("{w} x {h} has no pixels")));
    }
    if pixels > MAX_PIXELS {
        return Err(Error::image(origin, format!("{w} x {h} is {pixels} pixels, the limit is {MAX_PIXELS}")));
    }
    if format == ImageFormat::Jpeg && !jpeg_has_end(bytes) {
        return Err(cut_off());
    }
    // Damaged metadata is no reason to refuse a good image.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// The format by its first bytes, if it is one that this crate decodes.
fn recognise(origin: &Path, bytes: &[u8]) -> Result<ImageFormat> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
    if bytes.is_empty() {
        return Err(Error::image(origin, "is empty"));
    }
    match image::guess_format(bytes) {
        Ok(format @ (Jpeg | Png | WebP | Bmp | Gif)) => Ok(format),
        other => {
            Err(Error::image(origin, format!("not an image of a known format ({FORMATS}): looks like {}", looks_like(bytes, other.ok()))))
        }
    }
}

fn looks_like(bytes: &[u8], format: Option<ImageFormat>) -> Cow<'static, str> {
    let start = &bytes[..bytes.len().min(512)];
    let lower = start.trim_ascii_start().to_ascii_lowercase();
    // A multi-byte character may be cut off at the end of the sample.
    let is_text = |s: &[u8]| match std::str::from_utf8(s) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none(),
    } && !s.iter().any(|&b| b < 32 && !b"\t\n\r\x0c".contains(&b));
    match (start, &lower[..]) {
        ([_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', ..], _) => "HEIC or another MP4-like container".into(),
        ([0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', ..], _) => "JPEG XL".into(),
        ([0x1F, 0x8B, ..] | [b'P', b'K', 3, 4, ..], _) => "a compressed archive".into(),
        (_, [b'%', b'p', b'd', b'f', ..]) => "a PDF document".into(),
        (s, _) if s.starts_with(b"version https://git-lfs") => "a Git LFS pointer (`git lfs pull` fetches the file)".into(),
        (_, l) if l.starts_with(b"<!doctype html") || l.starts_with(b"<html") => "an HTML page".into(),
        (_, l) if l.starts_with(b"<svg") || l.starts_with(b"<?xml") => "SVG or other XML".into(),
        (s, _) if is_text(s) => "text".into(),
        _ => format.map_or("binary data".into(), |f| format!("{f:?}").into()),
    }
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        _ => "GIF",
    }
}

/// The decoder's reason in one line, without the format that the caller names already.
fn reason(error: &ImageError) -> String {
    use std::error::Error as _;
    let text = match error {
        ImageError::Decoding(e) => e.source().map_or_else(|| e.to_string(), ToString::to_string),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a decoder's error means that the file is too short; the decoders each have other words for it.
fn ends_early(format: ImageFormat, bytes: &[u8], error: &ImageError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = e.source();
    }
    match format {
        ImageFormat::Jpeg => !jpeg_has_end(bytes),
        // A RIFF container states its length, less the eight bytes that state it.
        ImageFormat::WebP => bytes.get(4..8).is_none_or(|n| u32::from_le_bytes([n[0], n[1], n[2], n[3]]) as usize + 8 > bytes.len()),
        _ => false,
    }
}

/// Whether an end-of-image marker follows the first scan.
///
/// The decoder fills what a cut-off file lacks with grey and reports nothing, and grey is then classified with confidence.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    let mut rest = &bytes[2..];
    // Segments before the first scan are stepped over, as an EXIF thumbnail has an end marker of its own.
    while let [0xFF, marker, tail @ ..] = rest {
        rest = match (marker, tail) {
            (0xFF, _) => &rest[1..],
            (0x01 | 0xD0..=0xD7, _) => tail,
            (_, [high, low, ..]) => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let Some(next) = tail.get(length..) else { return false };
                if *marker == 0xDA {
                    return next.windows(2).any(|pair| pair == [0xFF, 0xD9]);
                }
                next
            }
            _ => return false,
        };
    }
    // Bytes between segments that are no marker: the decoder has read the headers, so it knows better.
    true
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

/// A decoded image whose rows can be had as RGB8. Only what is needed is converted, so a large grey or 16-bit image is not copied whole.
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
}
