//! Image files to pixels (feature `decode`).

use std::{
    borrow::Cow,
    io::{self, Cursor, Read},
    path::Path,
    sync::{Condvar, Mutex, PoisonError},
};

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, metadata::Orientation};

use super::{MAX_PIXELS, gif, jpeg};
use crate::{
    error::{Error, Result},
    file,
};

/// What decoders may allocate, in bytes, all threads together.
const MAX_ALLOC: u64 = MAX_PIXELS * 8;
/// Longer files are refused, so that pointing at a disk image or a device does not fill the memory.
const MAX_FILE: u64 = 1 << 30;

/// Pixels that any file may have: 16-bit RGBA takes 32 MiB.
const FREE_PIXELS: u64 = 1 << 22;

const FORMATS: &str = "JPEG, PNG, WebP, BMP, GIF";

/// Decodes an image file (JPEG, PNG, WebP, BMP or GIF, told by content, not by name) and turns it
/// as its EXIF orientation says.
///
/// Animations give their first frame. Pixels keep the file's kind (grey, RGB, with alpha, 8 or 16
/// bits).
///
/// # Errors
/// [`Error::Io`] where the file cannot be read. [`Error::Image`] where it is no image of these
/// formats, is damaged or cut short, or has more than 2^27 pixels or more than a file of its length
/// holds (found in the header, before anything is decoded).
pub fn decode_file(path: &Path) -> Result<DynamicImage> {
    decode_bytes(path, &read(path)?)
}

/// The bytes of a file that may be an image.
fn read(path: &Path) -> Result<Vec<u8>> {
    if path.is_dir() {
        return Err(Error::image(path, "is a directory, not an image"));
    }
    let (file, length) = file::open(path)?;
    let failed = |error: io::Error| Error::io(path, error);
    let mut file = file.take(MAX_FILE + 1);
    let mut bytes = Vec::new();
    // The kind is known from the first bytes, and the rest of a file that is no image is not worth
    // reading.
    file.by_ref().take(512).read_to_end(&mut bytes).map_err(failed)?;
    recognise(path, &bytes)?;
    if length > MAX_FILE {
        return Err(Error::image(path, format!("is over the limit of {MAX_FILE} bytes for an image file")));
    }
    bytes.try_reserve_exact(length as usize).map_err(|_| Error::OutOfMemory(format!("{} of {length} bytes", path.display())))?;
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Whether a file is an image that [`decode_file`] may decode, by its first bytes.
pub fn is_image(path: &Path) -> bool {
    let mut bytes = Vec::new();
    let head = file::open(path).is_ok_and(|(file, _)| file.take(512).read_to_end(&mut bytes).is_ok());
    head && recognise(path, &bytes).is_ok()
}

/// Decodes an image file as [`decode_file`] does, and does something with it. All threads that do
/// so share one budget of memory: those whose image finds no room in it wait.
///
/// # Errors
/// As [`decode_file`], and what `work` gives.
pub fn with_file<T>(path: &Path, work: impl FnOnce(&DynamicImage) -> Result<T>) -> Result<T> {
    let bytes = read(path)?;
    let decoding = Decoding::start(path, &bytes)?;
    let _room = Room::take(decoding.needs());
    work(&decoding.finish()?)
}

/// Decodes an image in memory as [`decode_file`] does; `origin` only names it in errors.
///
/// # Errors
/// [`Error::Image`], as for [`decode_file`].
pub fn decode_bytes(origin: &Path, bytes: &[u8]) -> Result<DynamicImage> {
    let decoding = Decoding::start(origin, bytes)?;
    let _room = Room::take(decoding.needs());
    decoding.finish()
}

/// Bytes of the budget that an image takes while this lives.
struct Room(u64);

/// What is taken of the budget, and who waits for it.
static TAKEN: (Mutex<u64>, Condvar) = (Mutex::new(0), Condvar::new());

impl Room {
    /// Waits until there is room beside the other images. An image that needs all of it has it
    /// alone.
    fn take(bytes: u64) -> Self {
        let bytes = bytes.min(MAX_ALLOC);
        let (taken, freed) = &TAKEN;
        let lock = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = freed.wait_while(lock, |taken| *taken + bytes > MAX_ALLOC).unwrap_or_else(PoisonError::into_inner);
        *taken += bytes;
        Self(bytes)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let (taken, freed) = &TAKEN;
        *taken.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        freed.notify_all();
    }
}

/// An image whose header is read.
struct Decoding<'a> {
    origin: &'a Path,
    format: ImageFormat,
    bytes: Cow<'a, [u8]>,
    pixels: u64,
    orientation: Orientation,
    /// Of a GIF.
    frame: Option<gif::Frame>,
}

impl<'a> Decoding<'a> {
    /// Reads the header, and refuses what is too large or lies.
    fn start(origin: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let format = recognise(origin, bytes)?;
        let frame = if format == ImageFormat::Gif { gif::Frame::first(bytes) } else { None };
        let bytes = frame.as_ref().map_or(Cow::Borrowed(bytes), |frame| frame.on_its_screen(bytes));
        let mut decoding = Self { origin, format, bytes, pixels: 0, orientation: Orientation::NoTransforms, frame };
        let mut decoder = decoding.decoder(&decoding.bytes)?;
        let (w, h) = decoder.dimensions();
        let bits = u64::from(decoder.original_color_type().bits_per_pixel());
        // Damaged metadata is no reason to refuse a good image.
        let orientation = if format != ImageFormat::WebP || has_sound_exif(&decoding.bytes) { decoder.orientation().ok() } else { None };
        drop(decoder);
        let pixels = u64::from(w) * u64::from(h);
        if pixels == 0 {
            return Err(Error::image(origin, format!("{w} x {h} has no pixels")));
        }
        if pixels > MAX_PIXELS {
            return Err(Error::image(origin, format!("{w} x {h} is {pixels} pixels, the limit is {MAX_PIXELS}")));
        }
        // What the formats make of a byte at best: zlib 1032 bytes, GIF's LZW some 1300 pixels, a
        // JPEG 512, run lengths of BMP 128. WebP has no bound, and no picture that comes near this.
        let of_a_byte = match format {
            ImageFormat::Png => 1032 * 8 / bits.max(1),
            ImageFormat::Jpeg => 512,
            ImageFormat::Bmp => 256,
            _ => 1365,
        };
        let most = FREE_PIXELS + of_a_byte * decoding.bytes.len() as u64;
        if pixels > most {
            let what = format!("{w} x {h} is {pixels} pixels, a {} of {} bytes has {most} at most", name(format), decoding.bytes.len());
            return Err(Error::image(origin, what));
        }
        (decoding.pixels, decoding.orientation) = (pixels, orientation.unwrap_or(Orientation::NoTransforms));
        Ok(decoding)
    }

    /// Bytes that decoding it may take.
    fn needs(&self) -> u64 {
        self.pixels * 8
    }

    fn decoder<'b>(&self, bytes: &'b [u8]) -> Result<impl ImageDecoder + use<'b>> {
        let mut limits = image::Limits::no_limits();
        limits.max_alloc = Some(MAX_ALLOC);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), self.format);
        reader.limits(limits);
        reader.into_decoder().map_err(|error| self.broken(&error))
    }

    fn cut_off(&self) -> Error {
        let length = self.bytes.len();
        Error::image(self.origin, format!("damaged {}: ends before the image does ({length} bytes)", name(self.format)))
    }

    fn broken(&self, error: &ImageError) -> Error {
        match ends_early(self.format, &self.bytes, error) {
            true => self.cut_off(),
            false => Error::image(self.origin, format!("damaged {}: {}", name(self.format), reason(error))),
        }
    }

    fn pixels(&self, bytes: &[u8]) -> Result<DynamicImage> {
        DynamicImage::from_decoder(self.decoder(bytes)?).map_err(|error| self.broken(&error))
    }

    fn finish(self) -> Result<DynamicImage> {
        let mut image = if self.format == ImageFormat::Jpeg {
            match jpeg::end(&self.bytes) {
                jpeg::End::Marked => self.pixels(&self.bytes)?,
                jpeg::End::Unmarked => {
                    let [one, other] = jpeg::with_ends(&self.bytes);
                    let image = self.pixels(&one)?;
                    if image != self.pixels(&other)? {
                        return Err(self.cut_off());
                    }
                    image
                }
                jpeg::End::CutOff => return Err(self.cut_off()),
            }
        } else {
            self.pixels(&self.bytes)?
        };
        if let (Some(frame), DynamicImage::ImageRgba8(image)) = (&self.frame, &mut image) {
            frame.fill_beside(image);
        }
        image.apply_orientation(self.orientation);
        Ok(image)
    }
}

/// Whether a WebP's EXIF chunk lies in the file: the decoder takes the memory that it claims.
fn has_sound_exif(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((&[a, b, c, d, size @ ..], chunk)) = rest.split_first_chunk::<8>() {
        let size = u32::from_le_bytes(size) as usize;
        let Some(next) = chunk.get(size..) else { return false };
        if [a, b, c, d] == *b"EXIF" {
            return true;
        }
        // Chunks begin at even places.
        rest = next.get(size % 2..).unwrap_or_default();
    }
    false
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

/// Whether a decoder's error means that the file is too short. The decoders each have other words
/// for it.
fn ends_early(format: ImageFormat, bytes: &[u8], error: &ImageError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = e.source();
    }
    match format {
        ImageFormat::Jpeg => jpeg::end(bytes) != jpeg::End::Marked,
        // A RIFF container states its length, less the eight bytes that state it.
        ImageFormat::WebP => bytes.get(4..8).is_none_or(|n| u32::from_le_bytes([n[0], n[1], n[2], n[3]]) as usize + 8 > bytes.len()),
        _ => false,
    }
}
