//! Image files to pixels (feature `decode`).

use std::{
    borrow::Cow,
    io::{Cursor, Read},
    path::Path,
};

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, metadata::Orientation};

use super::MAX_PIXELS;
use crate::{
    error::{Error, Result},
    file,
};

/// What a decoder may allocate, in bytes.
const MAX_ALLOC: u64 = MAX_PIXELS * 8;
/// Longer files are refused, so that pointing at a disk image or a device does not fill the memory.
const MAX_FILE: u64 = 1 << 30;

const FORMATS: &str = "JPEG, PNG, WebP, BMP, GIF";

/// Decodes an image file (JPEG, PNG, WebP, BMP or GIF, told by content, not by name) and turns it
/// as its EXIF orientation says.
///
/// Animations give their first frame. Pixels keep the file's kind (grey, RGB, with alpha, 8 or 16
/// bits).
///
/// # Errors
/// [`Error::Io`] where the file cannot be read. [`Error::Image`] where it is no image of these
/// formats, is damaged or cut short, or has more than 2^27 pixels (found in the header, before
/// anything is decoded).
pub fn decode_file(path: &Path) -> Result<DynamicImage> {
    if path.is_dir() {
        return Err(Error::image(path, "is a directory, not an image"));
    }
    let (file, _) = file::open(path)?;
    let mut file = file.take(MAX_FILE + 1);
    let mut bytes = Vec::new();
    // The kind is known from the first bytes, and the rest of a file that is no image is not worth
    // reading.
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
        ImageFormat::Jpeg => !jpeg_has_end(bytes),
        // A RIFF container states its length, less the eight bytes that state it.
        ImageFormat::WebP => bytes.get(4..8).is_none_or(|n| u32::from_le_bytes([n[0], n[1], n[2], n[3]]) as usize + 8 > bytes.len()),
        _ => false,
    }
}

/// Whether an end-of-image marker follows the first scan.
///
/// The decoder fills what a cut-off file lacks with grey and reports nothing, and grey is then
/// classified with confidence.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    let mut rest = &bytes[2..];
    // Segments before the first scan are stepped over, as an EXIF thumbnail has an end marker of
    // its own.
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
    // Bytes between segments that are no marker: the decoder has read the headers, so it knows
    // better.
    true
}
